"""A day of work at a terminal, typed key by key: nothing is typed twice, no job breaks.

The machine has just been restarted: no daemon runs and nothing is held. The shell has the hook, the
project a trusted `.borrow.toml`; plan reads, apply asks. In between a person answers in another
terminal, a lid is closed, an agent works. `borrow_fakes.day` says what counts as typed twice and as
a broken job. The figures stand at the end of the run; with `-m slow` the day has forty commands,
and Terraform where the machine has it.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow.cli.demo.standin_seed import Role, Seed, Trust
from borrow_fakes import terraform
from borrow_fakes.day import Day, Terminal, decide
from borrow_fakes.lab import BIN, Home, home, wait_for
from borrow_fakes.moto_cloud import stand_in
from borrow_fakes.sdks import CLI_V2
from borrow_fakes.solo_mode import ME, set_up
from borrow_fakes.tables import Table
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from borrow.cli.demo.standin_process import StandInProcess

SOURCES = Path(__file__).parent / "day"
TRUST = Trust(("user/borrow-base",))
STATE = ("arn:aws:s3:::tf-state", "arn:aws:s3:::tf-state/*", "arn:aws:s3:::tf-work/*")
SEED = Seed(
    roles={
        "Planner": Role(
            ("s3:Get*", "s3:List*", "s3:PutObject", "s3:DeleteObject"), resources=STATE, trust=TRUST
        ),
        "Reader": Role(("s3:Get*", "s3:List*"), trust=TRUST),
        "Writer": Role(("s3:*",), trust=TRUST),
    },
    buckets={
        "tf-state": {},
        "tf-work": {"given": "hello"},
        "work": {"notes": "b\na\nc\n", "marker": "stale", "queue/1": "job", "queue/2": "job"}
        | {f"old/{number}": "x" for number in range(1, 5)},
    },
)
CLICKED = ("prod-write", "uploads", "prod-admin", "lift", "audit")
READ = ("planner", "reader", "work")


def role(name: str, cloud: str, *more: str) -> str:
    lines = (f"[roles.{name}]", f'aws = "arn:aws:iam::123456789012:role/{cloud}"', *more)
    return "\n".join([*lines, 'share = "session"\n'])


POLICY = (
    f'version = 1\n[admins]\npeople = ["{ME}"]\n[defaults]\npending = "15m"\n'
    + role("planner", "Planner", 'tier = "low"')
    + role("reader", "Reader", 'tier = "low"')
    + role("work", "Reader", 'tier = "low"', 'base = "reader"')
    + role("prod-write", "Writer")
    + role("uploads", "Writer")
    + role("prod-admin", "Writer")
    + role("audit", "Writer")
    + role("lift", "Writer", 'allows = ["s3:DeleteObject"]')
    + role("agent-fix", "Writer")
    + f"""
[[rule]]
id = "reads"
who = ["{ME}"]
roles = {json.dumps(READ)}
max = "8h"
approve = {{ mode = "auto" }}
[[rule]]
id = "clicks"
who = ["{ME}"]
roles = {json.dumps(CLICKED)}
max = "1h"
extensions = 1
approve = {{ mode = "self", factor = ["consent"] }}
[[rule]]
id = "agents"
who = ["{ME}"]
roles = ["agent-fix"]
max = "1h"
approve = {{ mode = "self", factor = ["totp"], match = true }}
"""
)
PROJECT = """
[commands]
"TOOL *" = "planner"
"TOOL apply*" = "prod-write"
"aws *" = "reader"
"aws s3 cp *" = "uploads"
"aws s3 rm *" = "prod-admin"
"aws2 *" = "reader"
"python sizes.py*" = "reader"
"python drain.py*" = "work"
"""


@dataclass(slots=True)
class Place:
    """The machine after its restart, before anything is typed."""

    home: Home
    folder: Path
    env: dict[str, str]
    tool: str  # what plans and applies
    secret: str  # of the person's authenticator app

    def gate(self, number: int) -> Path:
        return self.folder / f"at{number}"

    def open(self, *gates: int) -> None:
        for number in gates:
            (self.folder / str(number)).touch()

    def code(self) -> str:
        import pyotp

        return pyotp.TOTP(self.secret).now()


@pytest.fixture
def cloud() -> Iterator[StandInProcess]:
    """One that nothing else calls: locks and parts are looked at in the end."""
    with stand_in(SEED) as running:
        yield running


@pytest.fixture
def machine(cloud: StandInProcess) -> Iterator[Home]:
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        where = f'endpoint_url = "{cloud.endpoint}"\nregion = "us-east-1"\n'
        set_up(one, POLICY, cloud='driver = "assume-role"\n' + where)
        one.borrow("daemon", "stop", ok=False)
        one.borrow("keys", "add", "--sealed", text=json.dumps(cloud.base_key))
        yield one


def prepared(one: Home, tool: str) -> Place:
    """The project and the shell's start file; then the machine is restarted."""
    need(lacking("bash"), "apt-get install bash")
    one.start()
    begun = one.control("POST", "/v1/totp").body
    import pyotp

    # The code before this one is taken too, and no code is taken twice: this one is for later.
    earlier = int(time.clock_gettime(time.CLOCK_REALTIME)) - 30
    first = pyotp.TOTP(begun["secret"]).at(earlier)
    assert one.control("POST", f"/v1/totp/{begun['enrolment']}", {"code": first}).status == 200
    from borrow_fakes.day import RC

    (one.root / "home/.bashrc").write_text(RC)
    folder = one.root / "project"
    shutil.copytree(SOURCES, folder)
    (folder / ".borrow.toml").write_text(PROJECT.replace("TOOL", tool))
    (one.root / "bin").mkdir()
    script(one, "deploy", f'exec {BIN}/python {folder}/deploy.py "$@"')
    script(one, "aws2", 'exec /usr/bin/aws "$@" --endpoint-url "$AWS_ENDPOINT_URL"')
    env = one.env | {"PATH": f"{one.root / 'bin'}:{one.env['PATH']}", "DEPLOY_GATES": str(folder)}
    if tool == "terraform":
        made = terraform.initialised(one.root / "tf", one, "planner")
        shutil.copytree(made, folder, symlinks=True, dirs_exist_ok=True)
        path = f"{one.root / 'bin'}:{terraform.settings(folder)['PATH']}"
        env |= terraform.settings(folder) | {"TF_WORKSPACE": "day", "PATH": path}
        env["TF_CLI_ARGS"] = "-no-color"
        env["TF_CLI_ARGS_apply"] = f"-no-color -auto-approve -var=gates={folder}"
    one.borrow("trust", "-y", str(folder))
    one.borrow("return", "--all")
    one.kill_daemon()
    for left in (one.root / "run").iterdir():  # of a restart it is a fresh memory file system
        shutil.rmtree(left)
    return Place(one, folder, env, tool, begun["secret"])


def script(one: Home, name: str, line: str) -> None:
    path = one.root / "bin" / name
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Callable[[str, Day], None]:
    """Put a day's figures below the run, and hold it to the two that matter."""

    table = Table(record_property, "A day in the terminal")

    def tell(name: str, day: Day) -> None:
        counts = day.counts()
        for column, text in counts.row().items():
            table.say(name, column, text)
        assert counts.typed_twice == []
        assert counts.broken_jobs == []

    return tell


class Apply:
    """One long apply, from its question to its end. It is one process the whole time."""

    def __init__(self, place: Place, day: Day, at: Terminal, seconds: int) -> None:
        self.place, self.day, self.at = place, day, at
        self.line = at.type(f"borrow run prod-write --for {seconds}s -- {place.tool} apply")
        self.pid = at.foreground({"deploy": "python"}.get(place.tool, place.tool))
        self._same = day.same_process(self.pid, self.line.text)
        self._same.__enter__()

    def to_the_background(self) -> None:
        wait_for(self.place.gate(1).exists, seconds=60, why="the apply to reach its first gate")
        (grant,) = [g for g in self.place.home.status()["grants"] if g["role"] == "prod-write"]
        self.first_end = float(grant["expires_at"])
        self.at.stop(self.pid)
        self.at.run("bg")

    def past_its_first_end(self) -> None:
        clock = time.CLOCK_REALTIME
        wait_for(lambda: time.clock_gettime(clock) > self.first_end, seconds=90, why="that end")
        self.place.open(1)
        wait_for(self.place.gate(2).exists, seconds=60, why="the apply to go on")

    def to_its_end(self) -> None:
        """`fg`: the prompt that comes says how the apply ended, and that line is done too."""
        line = self.at.type("fg %1")
        self.at.foreground({"deploy": "python"}.get(self.place.tool, self.place.tool))
        self._same.__exit__(None, None, None)
        self.place.open(2, 3)
        self.at.finish(line, "Apply complete! Resources: ")
        self.line.code = line.code


def looked(cloud: StandInProcess) -> Any:
    """The cloud's buckets as its administrator sees them."""
    return terraform.Cloud(cloud, "Writer")


@pytest.fixture
def days() -> Iterator[Callable[[Place], Day]]:
    with contextlib.ExitStack() as stack:

        def begun(place: Place) -> Day:
            day = Day(place.home, place.folder, place.env)
            stack.callback(day.close)
            return day

        yield begun


def test_a_day_of_twelve_commands(
    cloud: StandInProcess,
    machine: Home,
    days: Callable[[Place], Day],
    told: Callable[[str, Day], None],
) -> None:
    place = prepared(machine, "deploy")
    day = days(place)
    mine, other, side = day.terminal(), day.terminal(), day.terminal()

    agent = side.type("python agent.py")  # it and the next one start the daemon, whoever is first
    mine.run("deploy plan", "Plan: 4 to add")
    worker_denied_and_then_lifted(day, mine, other)
    apply = Apply(place, day, mine, 12)
    approve(day, other, "prod-write")
    apply.to_the_background()
    extend(day, mine, other)
    the_agent_asks(day, other, place)
    held_with_the_lid_closed(day, mine, other, 2)
    side.finish(agent, AGENTS_DAY)
    mine.run("aws s3 ls s3://nowhere | cat", "NoSuchBucket")
    removed_with_a_yes(day, mine, other)
    apply.past_its_first_end()
    apply.to_its_end()

    assert place.home.asks() == []
    assert looked(cloud).keys("tf-state") == []
    assert looked(cloud).keys("work") == ["notes", "old/2", "old/3", "old/4", "sorted"]
    assert day.counts().commands == 12
    told("12 commands", day)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_day_of_forty_commands(
    cloud: StandInProcess,
    machine: Home,
    days: Callable[[Place], Day],
    told: Callable[[str, Day], None],
) -> None:
    need(CLI_V2.missing(), CLI_V2.install)
    has_terraform = lacking("terraform") is None and terraform.mirror() is not None
    place = prepared(machine, "terraform" if has_terraform else "deploy")
    day, tool = days(place), place.tool
    mine, other, side = day.terminal(), day.terminal(), day.terminal()

    mine.run("borrow", "nothing")
    mine.run("pwd", "project")
    mine.run("ls", "sizes.py")
    agent = side.type("python agent.py")
    mine.run(f"{tool} plan", "Plan: ")
    mine.run("aws s3 ls s3://work", "notes")
    mine.run("aws s3 ls s3://work/old/ | wc -l", "4")
    mine.run("aws2 s3 ls s3://work", "notes")
    mine.run("aws sts get-caller-identity --query Arn --output text", "assumed-role/Reader/")
    mine.run("python sizes.py | sort -n | tail -n 1", "notes")
    mine.run("aws s3api get-object --bucket work --key notes notes.txt", "ContentLength")
    mine.run("sort notes.txt > sorted.txt")
    mine.run("cat sorted.txt", "a\r?\nb\r?\nc")
    mine.run("borrow explain prod-write", "clicks")
    the_agent_asks(day, other, place)

    apply = Apply(place, day, mine, 30)
    approve(day, other, "prod-write")
    apply.to_the_background()
    extend(day, mine, other)
    mine.run("jobs", "Running")
    mine.run("aws s3 ls s3://nowhere", "NoSuchBucket", code=255)
    given_up_while_it_waits(day, mine)
    held_with_the_lid_closed(day, mine, other, 10)
    mine.run("aws s3 cp sorted.txt s3://work/again", "upload")
    mine.run("aws s3 cp s3://work/sorted - | head -n 1", "9999")
    removed_with_a_yes(day, mine, other)
    mine.run("aws s3 rm s3://work/old/2", "delete")
    mine.run("for n in 3 4; do aws s3 rm s3://work/old/$n; done", "old/4")
    # What other commands of this terminal were run with lifts the worker by nothing.
    worker_denied_and_then_lifted(day, mine, other)
    mine.run("borrow return lift", "lift")
    mine.run("python -c 'raise SystemExit(3)'", code=3)
    mine.run("grep nothing sorted.txt", code=1)
    mine.run("no-such-program", "command not found", code=127)
    interrupted(mine, "sleep 60")
    side.finish(agent, AGENTS_DAY)
    side.run("aws s3 ls s3://work/again", "again")
    apply.past_its_first_end()
    apply.to_its_end()
    mine.run(f"{tool} plan -input=false", "No changes" if has_terraform else "Plan: ")
    mine.run("borrow return uploads", "uploads")
    mine.run("borrow audit verify", "verif")
    mine.run("borrow return --all")

    wait_for(lambda: not place.home.asks(), seconds=60, why="what was given up to be withdrawn")
    assert [key for key in looked(cloud).keys("tf-state") if key.endswith(".tflock")] == []
    assert looked(cloud).keys("work") == ["again", "notes", "sorted"]
    assert day.counts().commands == 40
    told(f"40 commands, {tool}", day)


AGENTS_DAY = "notes(.|\n)*granted: agent-fix(.|\n)*delete: s3://work/marker"


def approve(day: Day, other: Terminal, role: str) -> None:
    decide(day, other, role)
    day.elevations += 1


def extend(day: Day, mine: Terminal, other: Terminal) -> None:
    line = mine.type("borrow extend prod-write 30m")
    decide(day, other, "prod-write")  # an extension, and no elevation
    mine.finish(line, "granted: prod-write")
    day.extensions += 1


def the_agent_asks(day: Day, other: Terminal, place: Place) -> None:
    """Its question takes a number and a code: a click is never for it."""
    asked = day.home.pending("agent-fix", seconds=60)
    decide(day, other, "agent-fix", number=asked["number"], code=place.code())


def held_with_the_lid_closed(day: Day, mine: Terminal, other: Terminal, seconds: float) -> None:
    """Answered late: the call waits with its pipe full, and through a closed lid."""
    line = mine.type("seq 20000 | sort -r | aws s3 cp - s3://work/sorted")
    pid = mine.foreground("aws")
    day.home.pending("uploads", seconds=60)
    with day.same_process(pid, line.text):
        day.lid_closed(seconds)
        time.sleep(1)
        approve(day, other, "uploads")
    mine.finish(line, "")


def worker_denied_and_then_lifted(day: Day, mine: Terminal, other: Terminal) -> None:
    """A no, then a yes to the same with a ticket: the worker goes on, and is not typed again."""
    line = mine.type("python drain.py")
    pid = mine.foreground("python")
    decide(day, other, "lift", verb="deny")
    day.noes += 1
    mine.child.expect("not yet: ")
    with day.same_process(pid, line.text):
        mine.stop(pid)
        ask = mine.type('borrow ask lift -m "INC-42: drain the queue" --wait')
        approve(day, other, "lift")
        mine.finish(ask, "granted: lift")
        back = mine.type("fg")
    mine.finish(back, "the queue is empty")
    line.code = back.code


def removed_with_a_yes(day: Day, mine: Terminal, other: Terminal) -> None:
    line = mine.type("aws s3 rm s3://work/old/1")
    approve(day, other, "prod-admin")
    mine.finish(line, "delete: s3://work/old/1")


def given_up_while_it_waits(day: Day, mine: Terminal) -> None:
    """Ctrl-C at a call that waits: it is over at once, and its question goes by itself."""
    line = mine.type("borrow run audit -- aws s3 ls", meant=130)
    mine.foreground("aws")
    day.home.pending("audit", seconds=60)
    mine.press("c")
    mine.finish(line)


def interrupted(mine: Terminal, text: str) -> None:
    line = mine.type(text, meant=130)
    mine.foreground(text.split()[0])
    mine.press("c")
    mine.finish(line)
