"""Terraform under Borrow: plan reads, apply asks, and no run is lost at an edge.

The real program with its AWS provider, state and lock in S3 behind the stand-in cloud, which checks
every signature and every role's policy. An apply stops at gates while a test breaks something; what
counts is its exit code, that it made everything, and that the lock is gone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow.cli.demo.standin_process import StandInProcess
from borrow.cli.demo.standin_seed import Role, Seed, Trust
from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import ME, set_up
from borrow_fakes.team import ANN, Server, join
from borrow_fakes.terraform import PARTS, RESOURCES, Cloud, Project, initialised, need_terraform

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

MINUTES = 180.0  # seconds for a busy machine; an apply takes six
TRUST = Trust(("user/borrow-base",))
SEED = Seed(
    roles={
        # Plans and locks, and changes nothing but the state.
        "Planner": Role(
            ("s3:Get*", "s3:List*", "s3:PutObject", "s3:DeleteObject"),
            resources=(
                "arn:aws:s3:::tf-state",
                "arn:aws:s3:::tf-state/*",
                "arn:aws:s3:::tf-work/given",
            ),
            trust=TRUST,
        ),
        "Writer": Role(("s3:*",), trust=TRUST),
    },
    buckets={"tf-state": {}, "tf-work": {"given": "hello"}},
)
POLICY = f"""
version = 1
[admins]
people = ["{ME}"]
[defaults]
pending = "15m"
[roles.planner]
aws = "arn:aws:iam::123456789012:role/Planner"
tier = "low"
[roles.dev]
aws = "arn:aws:iam::123456789012:role/Planner"
tier = "low"
base = "planner"
[roles.prod-write]
aws = "arn:aws:iam::123456789012:role/Writer"
tier = "normal"
share = "session"
[roles.prod-no]
aws = "arn:aws:iam::123456789012:role/Writer"
tier = "normal"
[[rule]]
id = "plans"
who = ["{ME}"]
roles = ["planner", "dev"]
max = "1h"
approve = {{ mode = "auto" }}
[[rule]]
id = "applies"
who = ["{ME}"]
roles = ["prod-write", "prod-no"]
max = "1h"
extensions = 3
approve = {{ mode = "self", factor = ["consent"] }}
"""


@pytest.fixture(scope="module")
def cloud() -> Iterator[StandInProcess]:
    need_terraform()
    with StandInProcess(SEED) as running:
        yield running


@pytest.fixture(scope="module")
def lab(cloud: StandInProcess) -> Iterator[Home]:
    """A person alone, for all tests of this file."""
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        where = f'endpoint_url = "{cloud.endpoint}"\nregion = "us-east-1"\n'
        set_up(one, POLICY, cloud='driver = "assume-role"\n' + where)
        one.borrow("daemon", "stop", ok=False)
        one.borrow("keys", "add", "--sealed", text=json.dumps(cloud.base_key))
        yield one.start()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, lab: Home) -> Path:
    """One `terraform init` for all workers: it reads 700 MB of provider."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    with (shared / "terraform.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = shared / "terraform"
        if not folder.exists():
            initialised(folder, lab, "planner")
        return folder


@pytest.fixture
def project(
    lab: Home, made: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Project]:
    made_of = Project.copy(
        made, lab, tmp_path / "project", request.node.name.removeprefix("test_")[:60]
    )
    yield made_of
    for child in lab.children:
        if child.poll() is None:  # of a test that failed: it would ask in the next one
            os.killpg(child.pid, signal.SIGKILL)
    lab.control("POST", "/v1/return", {"all": True})


@pytest.fixture
def seen(cloud: StandInProcess) -> Cloud:
    return Cloud(cloud, "Writer")


def ends_well(child: subprocess.Popen[str], project: Project, seen: Cloud) -> str:
    code, out, err = finish(child, seconds=MINUTES)
    assert code == 0, out + err
    assert f"Apply complete! Resources: {RESOURCES} added" in out
    assert sorted(seen.made(project.workspace)) == PARTS
    assert seen.locks(project.workspace) == []
    return out


def say_yes(one: Home, role: str = "prod-write") -> str:
    request = str(one.pending(role, seconds=60)["request"])
    assert one.decide(request).status == 200
    return request


def grants(one: Home) -> list[dict[str, Any]]:
    return [each for each in one.status()["grants"] if each["role"] == "prod-write"]


def reach(gate: int, child: subprocess.Popen[str], project: Project) -> None:
    """To that gate, with a yes to whatever is asked on the way: a short grant may end early."""

    def reached() -> bool:
        for each in project.home.asks():
            if each["state"] == "pending":
                project.home.decide(each["request"])
        return project.is_at(gate, child)

    wait_for(reached, seconds=60, why=f"the apply to reach gate {gate}")


def test_plan_reads_by_itself_and_apply_waits_for_a_yes(project: Project, seen: Cloud) -> None:
    code, out, err = finish(project.plan("dev"), seconds=MINUTES)
    assert code == 0, out + err
    assert f"Plan: {RESOURCES} to add" in out
    assert project.home.asks() == []
    child = project.apply("prod-write")
    say_yes(project.home)
    ends_well(child, project, seen)


def test_a_no_shows_its_reason_and_request_in_terraforms_own_output(
    project: Project, seen: Cloud
) -> None:
    child = project.apply("prod-no")
    request = project.home.pending("prod-no", seconds=60)["request"]
    project.home.decide(request, "deny", reason="freeze until Monday")
    code, out, err = finish(child, seconds=MINUTES)
    assert code == 1
    told = " ".join((out + err).split())  # Terraform breaks lines
    assert "freeze until Monday" in told
    assert request in told
    assert seen.locks(project.workspace) == []
    assert project.home.asks() == []  # the provider's own tries asked nobody again


@pytest.mark.slow
def test_an_extension_carries_an_apply_over_its_grants_end_and_over_a_closed_lid(
    project: Project, seen: Cloud
) -> None:
    one = project.home
    child = project.apply("prod-write", "--for", "12s", gates=True)
    reach(1, child, project)
    first_end = grants(one)[0]["expires_at"]
    extend = one.spawn(BORROW, "extend", "prod-write", "30m")
    say_yes(one)
    assert finish(extend)[0] == 0
    wait_for(
        lambda: time.clock_gettime(time.CLOCK_REALTIME) > first_end, why="the first grant's end"
    )
    project.open(1)
    reach(2, child, project)
    assert one.asks() == []
    daemon = one.daemon_pid()
    with stopped(daemon, *session_of(child)):
        project.open(2)
        time.sleep(3)
    with stopped(daemon):  # wakes up later than the program that calls it
        project.open(3)
        time.sleep(3)
    ends_well(child, project, seen)
    assert one.asks() == []


@pytest.mark.slow
def test_at_a_grants_end_the_calls_wait_and_all_of_them_are_one_question(
    project: Project, seen: Cloud
) -> None:
    one = project.home
    child = project.apply("prod-write", "--for", "8s", gates=True)
    reach(1, child, project)
    wait_for(lambda: not grants(one), why="the grant's end")
    project.open(1, 2, 3)
    asked = one.pending("prod-write", seconds=60)
    time.sleep(1)  # for the other object's call
    assert [each["request"] for each in one.asks()] == [asked["request"]]
    assert one.decide(asked["request"]).status == 200
    ends_well(child, project, seen)
    assert one.asks() == []


@pytest.mark.slow
def test_kill_9_of_the_daemon_while_a_call_waits_and_in_the_middle_of_an_apply(
    project: Project, seen: Cloud
) -> None:
    one = project.home
    child = project.apply("prod-write", gates=True)
    before = one.pending("prod-write", seconds=60)["request"]
    killed = one.daemon_pid()
    # Terraform tries three times in about three seconds, and a busy machine may need longer.
    with stopped(*session_of(child)):
        os.kill(killed, signal.SIGKILL)
        wait_for(lambda: is_back(one, killed), seconds=60, why="the daemon to come back by itself")
    assert say_yes(one) == before  # nobody is asked twice
    reach(1, child, project)
    one.kill_daemon()
    project.open(1, 2, 3)
    time.sleep(2)  # refused connections
    one.start()
    ends_well(child, project, seen)
    assert one.asks() == []


def is_back(one: Home, killed: int) -> bool:
    with contextlib.suppress(OSError, KeyError, ValueError):
        return one.daemon_pid() != killed
    return False


@contextlib.contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """A suspend look-alike: they do not run, and the clocks do."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def session_of(child: subprocess.Popen[str]) -> list[int]:
    """Every process of the run's terminal session."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getsid(int(each.name)) == child.pid:
                found.append(int(each.name))
    return found


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "away", [3, pytest.param(180, marks=pytest.mark.slow)], ids=lambda each: f"{each}s"
)
@pytest.mark.slow
def test_a_teams_server_killed_and_then_out_of_reach_at_a_grants_end(
    cloud: StandInProcess, made: Path, tmp_path: Path, seen: Cloud, away: int
) -> None:
    """The server holds approver and minter. First it dies; then its packets get no answer."""
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    aws = {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    with Server.make(cloud=settings, base_key=cloud.base_key) as server, home(**aws) as ann:
        policy = server.home.root / "server/policy.toml"
        policy.write_text(policy.read_text().replace("role/Admin", "role/Writer"))
        join(server, ann, ANN).start()
        project = Project.copy(made, ann, tmp_path / "project", f"team-{away}")
        child = project.apply("click", gates=True)
        say_yes(ann, "click")
        reach(1, child, project)
        server.kill()
        project.open(1)  # what is cached goes on
        reach(2, child, project)
        server.start()
        assert server.process is not None
        with stopped(server.process.pid):
            ann.control("POST", "/v1/return", {"all": True})
            project.open(2, 3)
            time.sleep(away)
            assert child.poll() is None
        say_yes(ann, "click")
        ends_well(child, project, seen)
