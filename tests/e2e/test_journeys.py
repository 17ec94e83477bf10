"""The two journeys: a role that is not granted yet, and a denied call in a running process.

J1: the call waits, and the very process that waited ends with 0. J2: what it took after a denied
call, for each client, as observed: the call went through by itself, the next call did, the next but
one, or the program had to be run again. The table stands at the end of the run.
"""

from __future__ import annotations

import contextlib
import select
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from borrow_fakes.day import RC, Day, Terminal, parent, started
from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.matrix import REGION, Cell, go_on, helper
from borrow_fakes.sdks import (
    BOTO3,
    CLI_V1,
    CLI_V2,
    GO_V2,
    JAVA_V2,
    JS_V3,
    RUBY,
    RUST,
    SOURCES,
    here,
)
from borrow_fakes.tables import Table
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from borrow_fakes.lab import Home
    from borrow_fakes.matrix import Bench
    from borrow_fakes.sdks import Sdk

# -- J1: a role that is not granted yet ------------------------------------------------------------

TELLS: Final = """
import boto3, os
print("before", os.getpid(), flush=True)
print(boto3.client("sts").get_caller_identity()["Arn"])
print("after", os.getpid(), flush=True)
"""
LINES: Final = {
    "run": "borrow run click -- {}",
    "hook": "{}",  # in a project that gives the program its role
    "profile": "AWS_PROFILE=by-click {}",
}


@pytest.fixture(scope="module")
def place(bench: Bench) -> Home:
    need(lacking("bash"), "apt-get install bash")
    home, project = bench.home, bench.home.root / "j1"
    (project / "bin").mkdir(parents=True)
    (project / "tells.py").write_text(TELLS)
    tool = project / "bin/tells"
    tool.write_text(f"#!/bin/sh\nexec {sys.executable} {project}/tells.py\n")
    tool.chmod(0o755)
    (project / ".borrow.toml").write_text('[commands]\n"tells" = "click"\n')
    (home.root / "home/.bashrc").write_text(RC)
    home.borrow("trust", "-y", str(project))
    config = {"AWS_CONFIG_FILE": str(project / "config")}
    home.borrow("profiles", "install", "click", "--prefix", "by-", env=config)
    return home


@pytest.fixture(params=list(LINES))
def typed(place: Home, request: pytest.FixtureRequest) -> Iterator[tuple[Terminal, str]]:
    """A terminal, and the line that starts a program by this way."""
    project = place.root / "j1"
    folder = project if request.param == "hook" else place.root
    env = place.env | {
        "PATH": f"{project / 'bin'}:{place.env['PATH']}",
        "AWS_CONFIG_FILE": str(project / "config"),
    }
    day = Day(place, folder, env)
    with contextlib.closing(day):
        yield day.terminal(), LINES[request.param]
    place.borrow("return", "--all")


def test_j1_the_process_that_waited_for_its_role_ends_with_0(
    place: Home, typed: tuple[Terminal, str]
) -> None:
    terminal, line = typed
    one = terminal.type(line.format("tells"))
    terminal.child.expect(r"before (\d+)")
    pid = int(terminal.child.match[1])
    request = place.pending("click", seconds=60)["request"]
    before = started(pid)
    assert before
    assert parent(pid) == terminal.child.pid  # nothing of borrow between the shell and the program
    assert started(pid) == before
    assert place.decide(request).status == 200
    assert f"after {pid}" in terminal.finish(one, "assumed-role/Admin/")


# -- J2: a denied call in a running process --------------------------------------------------------

NEXT: Final = "arn:aws:iam::123456789012:role/Next"
ASSUME: Final = ("sts", "assume-role", "--role-arn", NEXT, "--role-session-name", "next")
PLUG_IN: Final = "boto3, borrow.boto"
BY_ITSELF, NEXT_CALL, NEXT_BUT_ONE, RE_RUN = "by itself", "next call", "next call but one", "re-run"
# What docs/sdks.md says of each; the tests fail when a client does otherwise.
J2: Final[dict[str, tuple[Sdk, str]]] = {
    PLUG_IN: (BOTO3, BY_ITSELF),
    "boto3": (BOTO3, NEXT_CALL),
    "AWS CLI v1": (CLI_V1, RE_RUN),
    "AWS CLI v2": (CLI_V2, RE_RUN),
    "JS v3": (JS_V3, NEXT_BUT_ONE),
    "Go v2": (GO_V2, NEXT_CALL),
    "Java v2": (JAVA_V2, NEXT_CALL),
    "Rust": (RUST, RE_RUN),  # it keeps what it has for 80 s
    "Ruby": (RUBY, RE_RUN),  # by a profile: it keeps what it has until its end
}
REPORTS: Final = ("boto3", "AWS CLI v1", "AWS CLI v2")  # know client-side monitoring


class Denied:
    """One client under an elastic role, whose call the cloud denies by that role."""

    def __init__(self, cell: Cell, name: str) -> None:
        self.cell, self.home, self.name = cell, cell.home, name
        self.child: subprocess.Popen[str] | None = None

    def start(self) -> None:
        sdk, words = self.cell.sdk, ("assume", NEXT)
        if not sdk.each:
            command: tuple[str, ...] = (*sdk.command[:-2], *ASSUME)
        elif sdk is BOTO3:
            program = str(SOURCES / "assume.py")
            more = ("plug-in",) if self.name == PLUG_IN else ()
            command = (sys.executable, program, NEXT, *more)
        else:
            command = (*sdk.command, *words)
        if sdk.no_container:
            env = helper(self.cell, "elastic")
            self.child = self.home.spawn(*command, env=env, typed=True)
            return
        line = (BORROW, "run", "elastic", "--", *command)
        self.child = self.home.spawn(*line, env=REGION, typed=True)

    def call(self) -> bool:
        """Whether a call goes through; a program that ends with it is started again."""
        if self.child is None or not self.cell.sdk.each:
            self.start()
        assert self.child is not None
        if not self.cell.sdk.each:
            code, _, err = finish(self.child, seconds=60)
            assert code == 0 or "AccessDenied" in err, err
            return code == 0
        go_on(self.child)
        return self.line()

    def line(self) -> bool:
        assert self.child is not None
        assert self.child.stdout is not None
        wait_for(self._is_there_or_asked, seconds=60, why="an answer or a question")
        if self._asked():
            self.yes()
            assert self.child.stdout.readline() == "done\n"
            return True
        told = self.child.stdout.readline()
        assert told == "done\n" or "AccessDenied" in told or "not authorized" in told, told
        return told == "done\n"

    def _asked(self) -> bool:
        return "lift" in {ask["role"] for ask in self.home.asks() if ask.get("request")}

    def _is_there_or_asked(self) -> bool:
        assert self.child is not None
        assert self.child.stdout is not None
        return bool(select.select([self.child.stdout], [], [], 0)[0]) or self._asked()

    def yes(self) -> None:
        self.cell.yes(self.cell.pending("lift", seconds=60))

    def ask(self) -> None:
        """The person asks for more, in the same terminal session."""
        asking = self.home.spawn(BORROW, "ask", "lift", "--wait")
        self.yes()
        assert finish(asking)[0] == 0

    def end(self) -> None:
        if self.child is not None and self.child.poll() is None:
            finish(self.child)
        self.child = None

    def what_it_takes(self) -> str:
        if self.call():
            return BY_ITSELF
        self.look_for_an_offer()
        self.ask()
        if self.cell.sdk.each:
            if self.call():
                return NEXT_CALL
            time.sleep(0.5)  # JS fetches behind that call
            if self.call():
                return NEXT_BUT_ONE
        self.end()
        assert self.call()
        return RE_RUN

    def look_for_an_offer(self) -> None:
        """Made by a client's own report of its denied call, where it makes one."""
        if self.name in REPORTS:
            (offer,) = wait_for(lambda: self.home.status()["offers"], why="an offer")
            assert (offer["role"], offer["action"]) == ("lift", "sts:AssumeRole")
        else:
            assert self.home.status()["offers"] == []
        assert self.home.asks() == []


obtainable = [name for name, (sdk, _) in J2.items() if sdk in here()]


@pytest.mark.parametrize("name", obtainable, ids=lambda name: name.replace(" ", "-"))
def test_j2_what_a_denied_call_takes_in_a_running_process(
    bench: Bench, record_property: Callable[[str, object], None], name: str
) -> None:
    sdk, known = J2[name]
    need(sdk.missing(), sdk.install)
    bench.home.control("POST", "/v1/return", {"all": True})
    cell = Cell(record_property, sdk)
    cell.begin(bench)
    client = Denied(cell, name)
    took = client.what_it_takes()
    client.end()
    table = Table(record_property, "A call is denied in a running process, and its person says yes")
    table.say(name, "goes through", took)
    table.say(name, "offered by itself", "yes" if name in REPORTS or took == BY_ITSELF else "no")
    assert took == known
    calls = [
        (line["userIdentity"]["arn"].split("/")[1], "errorCode" in line)
        for line in cell.trail("AssumeRole")
        if "assumed-role" in line["userIdentity"].get("arn", "")
    ]
    assert ("Reader", True) in calls  # the cloud denied by role …
    assert calls[-1] == ("Admin", False)  # … and what went through was the elevated one
    asked = [entry["role"] for entry in cell.entries("request.accept")]
    assert asked.count("lift") == 1
    bench.home.control("POST", "/v1/return", {"all": True})
