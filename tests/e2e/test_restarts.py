"""kill -9 at each step of the walk: no decision lost, nobody asked twice, nothing granted twice.

One oracle over the minter's log and the cloud's own record says so after every story. What dies is
the one process of solo mode, a team's server, or a team's daemon; each comes back by its ordinary
command, and every client is a plain one with the bearer it always had.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow_fakes.lab import Home, finish, home, wait_for
from borrow_fakes.team import ANN, BO, Server, join

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
ROUNDS = 8  # deaths at moments that a seed chooses
AN_ANSWER = 60.0  # seconds for a client on a busy machine, its own retries included
REFUSABLE = """
[roles.no-{0}]
aws = "arn:aws:iam::123456789012:role/Admin"
[[rule]]
id = "no-{0}"
who = ["group:team"]
roles = ["no-{0}"]
max = "1h"
approve = {{ mode = "self", factor = ["consent"] }}
"""


@pytest.fixture(scope="module")
def cloud(own_cloud: StandInProcess) -> StandInProcess:
    """Our own: the oracle reads its whole trail, and its answers are delayed."""
    return own_cloud


class Oracle:
    """What must be true of everything since it was made, whatever was killed."""

    def __init__(self, one: Home, cloud: StandInProcess) -> None:
        self._home = one
        self._cloud = cloud
        self._logged = len(entries(one))
        self._called = len(cloud.trail())

    def check(self, *, requests: int = 1, decisions: int = 1, grants: int = 1) -> None:
        """One prompt a request, one yes or no a decision, and no grant or session beside them."""
        log = entries(self._home)
        kinds = Counter(entry["kind"] for entry in log[self._logged :])
        assert kinds["request.accept"] == requests, kinds
        assert kinds["decision"] == decisions, kinds
        assert kinds["request.approved"] == kinds["request.redeemed"] == grants, kinds
        assert kinds["grant.open"] == grants, kinds
        self._check_cloud(log, grants)
        checked = json.loads(self._home.borrow("audit", "verify", "--json").stdout)
        assert checked["bad_seq"] is None

    def _check_cloud(self, log: list[dict[str, Any]], grants: int) -> None:
        begun, called = defaultdict(list), defaultdict(list)
        opened = {entry["grant"]: entry["at"] for entry in log if entry["kind"] == "grant.open"}
        for entry in log:
            if entry["kind"] == "mint.begin":
                begun[entry["grant"]].append(entry["at"])
        trail = self._cloud.trail()
        for line in trail[self._called :]:
            if line["eventName"] == "AssumeRole":
                assert line["requestParameters"]["sourceIdentity"] in begun, "no leaf at all"
            else:
                context = line["userIdentity"]["sessionContext"]
                assert context["sourceIdentity"] in opened, "a session of no grant"
        for line in trail:
            if line["eventName"] == "AssumeRole":
                called[line["requestParameters"]["sourceIdentity"]].append(moment(line))
        for grant, times in begun.items():
            calls = sorted(called[grant])
            assert len(calls) <= len(times), "an STS call without its leaf"
            # The trail has whole seconds, rounded down.
            assert all(int(leaf) <= call for leaf, call in zip(sorted(times), calls, strict=False))
        new = [grant for grant in opened if grant in {e["grant"] for e in self._since(log)}]
        assert len(new) == grants
        assert all(called[grant] for grant in new)  # each was used: the rules above had a case

    def _since(self, log: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [entry for entry in log[self._logged :] if entry["kind"] == "grant.open"]


def entries(one: Home) -> list[dict[str, Any]]:
    """The whole log in its order, without the price of a command."""
    found: list[dict[str, Any]] = []
    while True:
        page = one.control("GET", f"/v1/audit/entries?start={len(found)}").body["entries"]
        if not page:
            return found
        parsed = [json.loads(each["entry"]) for each in page]
        found += [each["facts"] | {"kind": each["kind"], "at": each["at"]} for each in parsed]


def moment(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["eventTime"]).timestamp()


@dataclass(slots=True)
class Scene:
    """A workstation, and something of it that dies and comes back."""

    home: Home
    die: Callable[[], None]
    holds: bool  # the daemon lives through it, so a call that waits must as well
    refusable: str  # a role for one no: it is remembered, and must not meet another test
    bearers: dict[str, dict[str, str]] = field(default_factory=dict)

    def call(self, role: str = "click") -> subprocess.Popen[str]:
        """An ordinary client; the same bearer every time."""
        if role not in self.bearers:
            self.bearers[role] = self.home.bearer(role)
        return self.home.spawn(*BOTO3, env=self.bearers[role])

    def after_death(self, waiting: subprocess.Popen[str]) -> subprocess.Popen[str]:
        """The client that must succeed now: the one that waits, or the next with its bearer."""
        self.die()
        if self.holds:
            assert waiting.poll() is None, waiting.communicate()
            return waiting
        waiting.kill()
        return self.call()

    def give_back(self) -> None:
        """The next test asks anew."""
        for ask in self.home.asks():
            self.home.control("POST", "/v1/return", {"request": ask["request"]})
        self.home.control("POST", "/v1/return", {"all": True})
        kinds = ("grant.open", "grant.released")

        def even() -> bool:
            opened, released = (
                {e["grant"] for e in entries(self.home) if e["kind"] == kind} for kind in kinds
            )
            return opened == released

        wait_for(even, why="the grants to be given back")


def succeeds(child: subprocess.Popen[str]) -> None:
    code, out, err = finish(child, seconds=AN_ANSWER)
    assert code == 0, err
    assert "5" in out  # the object's length


@pytest.fixture(scope="module")
def lasting_team(cloud: StandInProcess) -> Iterator[tuple[Server, Home]]:
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    made = Server.make(cloud=settings, base_key=cloud.base_key)
    aws = {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    with made as server, home(**aws) as one:
        policy = server.home.root / "server/policy.toml"
        more = [REFUSABLE.format(victim) for victim in ("server", "daemon")]
        policy.write_text(policy.read_text() + "".join(more))
        join(server, one, ANN)
        yield server, one.start()


def restarted(server: Server) -> None:
    server.kill()
    server.start()


def restarted_home(one: Home) -> None:
    one.kill_daemon()
    one.start()


@pytest.fixture(params=["solo", "server", "daemon"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return a_scene(request, request.param)


def a_scene(request: pytest.FixtureRequest, victim: str) -> Scene:
    """Of "solo", "server" or "daemon"; at the test's end it has given back what it took."""
    if victim == "solo":
        one: Home = request.getfixturevalue("lasting_solo")
        made = Scene(one, lambda: restarted_home(one), holds=False, refusable="short")
    else:
        server, one = request.getfixturevalue("lasting_team")
        die = (lambda: restarted(server)) if victim == "server" else (lambda: restarted_home(one))
        made = Scene(one, die, holds=victim == "server", refusable=f"no-{victim}")
    request.addfinalizer(made.give_back)
    return made


# -- each step -------------------------------------------------------------------------------------


def test_killed_while_the_question_is_on_a_persons_screen(
    scene: Scene, cloud: StandInProcess
) -> None:
    oracle = Oracle(scene.home, cloud)
    waiting = scene.call()
    before = scene.home.pending("click")
    subject = f"/v1/decisions/{before['request']}"
    shown = scene.home.control("GET", subject).body
    client = scene.after_death(waiting)
    after = scene.home.pending("click", seconds=30)
    assert (after["request"], after["number"]) == (before["request"], before["number"])
    said = {"decision": "approve", "request_hash": shown["request_hash"]}  # what was read before
    assert scene.home.control("POST", subject, said).status == 200
    succeeds(client)
    oracle.check()


def test_killed_after_the_yes_was_acknowledged(scene: Scene, cloud: StandInProcess) -> None:
    oracle = Oracle(scene.home, cloud)
    waiting = scene.call()
    request = scene.home.pending("click")["request"]
    assert scene.home.decide(request).body["state"] in ("approved", "redeemed")
    if scene.holds:  # it may have its answer already
        scene.die()
        succeeds(waiting)
    else:
        scene.die()
        waiting.kill()
    succeeds(scene.call())
    assert scene.home.asks() == []
    oracle.check()


def test_killed_after_the_no_was_acknowledged(scene: Scene, cloud: StandInProcess) -> None:
    oracle = Oracle(scene.home, cloud)
    waiting = scene.call(scene.refusable)
    request = scene.home.pending(scene.refusable)["request"]
    assert scene.home.decide(request, "deny", reason="not today").body["state"] == "denied"
    scene.die()
    waiting.kill()
    code, out, err = finish(scene.call(scene.refusable), seconds=AN_ANSWER)
    assert code != 0
    assert request in out + err  # the no that was said, not another one
    assert scene.home.asks() == []
    oracle.check(grants=0)


def test_killed_while_sts_is_asked(scene: Scene, cloud: StandInProcess) -> None:
    oracle = Oracle(scene.home, cloud)
    asked = cloud.sts_calls()
    cloud.knobs(sts_delay=4.0)
    try:
        waiting = scene.call()
        scene.home.decide(scene.home.pending("click")["request"])
        wait_for(lambda: cloud.sts_calls() > asked, why="STS to be asked")
    finally:
        cloud.knobs(sts_delay=0.0)  # for the calls to come
    succeeds(scene.after_death(waiting))
    asked = cloud.sts_calls() - asked
    assert asked == 2
    log = entries(scene.home)
    (grant,) = {e["grant"] for e in log if e["kind"] == "grant.open"} - ended(log)
    mine = Counter(e["kind"] for e in log if e.get("grant") == grant)
    assert mine["mint.begin"] == 2
    if scene.refusable != "no-daemon":  # the minter lived through a daemon's death
        assert mine["mint.lost"] == 1
    wait_for(lambda: len(calls_of(cloud, grant)) == 2, why="the slow call's line in the trail")
    oracle.check()


def ended(log: list[dict[str, Any]]) -> set[str]:
    return {e["grant"] for e in log if e["kind"] == "grant.released"}


def calls_of(cloud: StandInProcess, grant: str) -> list[dict[str, Any]]:
    made = cloud.trail("AssumeRole")
    return [line for line in made if line["requestParameters"]["sourceIdentity"] == grant]


def test_killed_while_credentials_are_cached(scene: Scene, cloud: StandInProcess) -> None:
    oracle = Oracle(scene.home, cloud)
    first = scene.call()
    scene.home.decide(scene.home.pending("click")["request"])
    succeeds(first)
    scene.die()
    succeeds(scene.call())
    assert scene.home.asks() == []
    oracle.check()


def test_what_another_person_saw_and_said_outlives_the_server(
    request: pytest.FixtureRequest, lasting_team: tuple[Server, Home], cloud: StandInProcess
) -> None:
    scene = a_scene(request, "server")
    server, ann = lasting_team
    with home() as bo:
        join(server, bo, BO).start()
        oracle = Oracle(ann, cloud)
        child = scene.call("change")
        asked = ann.pending("change")
        subject = f"/v1/decisions/{asked['request']}"
        shown = bo.control("GET", subject).body
        scene.die()
        told = ann.control("GET", f"/v1/explain/{asked['request']}").body["request"]
        assert told["seen"] == [BO]
        said = {"decision": "approve", "request_hash": shown["request_hash"]}
        assert bo.control("POST", subject, said | {"number": asked["number"]}).status == 200
        scene.die()
        succeeds(child)
        succeeds(scene.call("change"))
        waiting = bo.control("GET", "/v1/inbox").body["decisions"]
        assert [each["request"] for each in waiting if each["state"] == "pending"] == []
        oracle.check()


# -- any moment ------------------------------------------------------------------------------------


class Person:
    """Answers yes to what is open, while things die; knows what was acknowledged."""

    def __init__(self, one: Home) -> None:
        self._home = one
        self._leave = threading.Event()
        self.acknowledged: list[str] = []

    @contextlib.contextmanager
    def answering(self, *, after: float) -> Iterator[None]:
        """From `after` seconds on, until the block ends."""
        self._leave.clear()
        thread = threading.Thread(target=self._answer, args=(after,))
        thread.start()
        try:
            yield
        finally:
            self._leave.set()
            thread.join()

    def _answer(self, after: float) -> None:
        while not self._leave.wait(after):
            after = 0.1
            # What is cut off was not acknowledged: to be said again, to whoever comes back.
            with contextlib.suppress(OSError, http.client.HTTPException, json.JSONDecodeError):
                for request in self.open():
                    if self._home.decide(request).status == 200:
                        self.acknowledged.append(request)

    def open(self) -> list[str]:
        """What the approver waits for. (The daemon hears of a yes by its next poll only.)"""
        listed = self._home.control("GET", "/v1/inbox").body.get("decisions", [])
        return [one["request"] for one in listed if one["state"] == "pending"]


@pytest.mark.parametrize("victims", [("solo",), ("server", "daemon")], ids=["solo", "team"])
@pytest.mark.timeout(240)
def test_killed_at_any_moment(
    request: pytest.FixtureRequest, cloud: StandInProcess, victims: tuple[str, ...]
) -> None:
    """The person is in the middle of the yes in some rounds, and away in the others."""
    chosen = random.Random(417)
    scenes = [a_scene(request, victim) for victim in victims]
    first = scenes[0]
    oracle, person = Oracle(first.home, cloud), Person(first.home)
    for number in range(ROUNDS):
        child = first.call()
        patience = chosen.uniform(0.1, 1.0) if number % 2 else 600.0
        with person.answering(after=patience):
            time.sleep(chosen.uniform(0.1, 1.5))
            chosen.choice(scenes).die()
        assert first.home.control("GET", "/v1/inbox").status == 200
        assert not set(person.acknowledged) & set(person.open()), "a yes was asked for again"
        child.kill()
    child = first.call()
    with person.answering(after=0.1):
        succeeds(child)
    assert len(set(person.acknowledged)) <= 1
    oracle.check()
