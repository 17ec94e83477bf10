"""A person's terminals for a scripted day: what is typed goes in key by key, and is counted.

A command is *typed twice* if the person has to type it again because its first time did not do what
it was typed for: it ended otherwise than it does with all power in hand, or its line stands in the
script a second time. A command that is meant to fail has done its work by failing so. A no is an
answer and no second typing, as long as the program that got it goes on by itself after a later yes;
had its line to be typed again, it would count.

A job is *broken* if a process that a line started ended otherwise than meant, or did not go on as
the same process.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pexpect

from borrow_fakes.lab import BORROW, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow_fakes.lab import Home

RC: Final = f'PS1="<\\#|\\$?> "\neval "$({BORROW} hook bash)"\n'
PROMPT: Final = r"<\d+\|(\d+)> "
PATIENCE: Final = 60  # seconds, for a busy machine
_PREFIX: Final = re.compile(r"borrow run \S+ (?:.*? )?-- ")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
STOPPED: Final = 128 + signal.SIGTSTP


@dataclass(slots=True)
class Typed:
    """One line, and how it ended. `keys` for borrow: its own words, and all of an answer."""

    text: str
    borrows: int
    meant: int
    code: int | None = None

    @property
    def keys(self) -> int:
        return len(self.text) + 1


@dataclass(slots=True)
class Counts:
    """What a day came to."""

    commands: int
    keys: int
    keys_for_borrow: int
    answer_keys: int
    elevations: int
    extensions: int
    noes: int
    typed_twice: list[str]
    broken_jobs: list[str]

    def row(self) -> dict[str, str]:
        return {
            "commands": str(self.commands),
            "elevations": f"{self.elevations} (and {self.extensions} extension, {self.noes} no)",
            "keystrokes": str(self.keys),
            "to borrow": str(self.keys_for_borrow),
            "and to answer": str(self.answer_keys),
            "typed twice": str(len(self.typed_twice)),
            "broken jobs": str(len(self.broken_jobs)),
        }


@dataclass(slots=True)
class Day:
    """The person's machine and what they typed on it. `close` ends the terminals."""

    home: Home
    folder: Path
    env: dict[str, str]
    lines: list[Typed] = field(default_factory=list)
    control_keys: int = 0
    answer_keys: int = 0
    elevations: int = 0
    extensions: int = 0
    noes: int = 0
    broken: list[str] = field(default_factory=list)
    terminals: list[Terminal] = field(default_factory=list)

    def terminal(self) -> Terminal:
        made = Terminal(self)
        self.terminals.append(made)
        return made

    def close(self) -> None:
        for each in self.terminals:
            each.close()

    def counts(self) -> Counts:
        texts = [line.text for line in self.lines]
        otherwise = [f"{one.text}: {one.code}" for one in self.lines if one.code != one.meant]
        again = sorted({text for text in texts if texts.count(text) > 1})
        own = sum(line.borrows for line in self.lines)
        return Counts(
            commands=len(self.lines),
            keys=sum(line.keys for line in self.lines) + self.control_keys + self.answer_keys,
            keys_for_borrow=own,
            answer_keys=self.answer_keys,
            elevations=self.elevations,
            extensions=self.extensions,
            noes=self.noes,
            typed_twice=otherwise + again,
            broken_jobs=self.broken + [text for text in otherwise if text not in self.broken],
        )

    @contextlib.contextmanager
    def same_process(self, pid: int, what: str) -> Iterator[None]:
        """Whatever happens meanwhile, that process is still the one that it was."""
        before = started(pid)
        assert before
        yield
        if started(pid) != before:
            self.broken.append(f"{what}: another process")

    def lid_closed(self, seconds: float) -> None:
        """A suspend look-alike: nothing of this machine runs for a while, and its clocks do.

        Harder than the real thing, where the clocks behind time-outs stand still too. A shell is
        stopped before its jobs and goes on after them, else it would take them for stopped ones.
        """
        shells = [each.child.pid for each in self.terminals]
        jobs = [pid for pid in descendants(shells) if state(pid) != "T"]
        order = [*shells, *jobs, self.home.daemon_pid()]
        for pid in order:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            wait_for(partial(is_still, pid), why="a process to stop")
        time.sleep(seconds)
        for pid in reversed(order):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


class Terminal:
    """An interactive bash with the hook, at a pseudo-terminal and in a session of its own."""

    def __init__(self, day: Day) -> None:
        self._day = day
        self.child: Any = pexpect.spawn(
            "bash",
            ["-i"],
            env=day.env | {"TERM": "dumb"},
            cwd=str(day.folder),
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(50, 200),
        )
        self.seen = ""
        self.child.expect(PROMPT)

    # -- what fingers do ---------------------------------------------------------------------------

    def type(self, text: str, meant: int = 0) -> Typed:
        """A command, and Enter."""
        line = Typed(text, borrows(text), meant)
        self._day.lines.append(line)
        self.child.sendline(text)
        return line

    def answer(self, text: str) -> None:
        """What a question of borrow's gets, or a command that answers one; and Enter."""
        self._day.answer_keys += len(text) + 1
        self.child.sendline(text)

    def press(self, key: str) -> None:
        self._day.control_keys += 1
        self.child.sendcontrol(key)

    # -- what eyes see -----------------------------------------------------------------------------

    def prompt(self) -> int:
        """Wait for the next prompt; the exit code of what ended. `seen` holds what was printed."""
        self.child.expect(PROMPT)
        self.seen = _COLOURS.sub("", str(self.child.before))
        return int(self.child.match[1])

    def finish(self, line: Typed, shows: str = "") -> str:
        """Wait until it ends, as it should. What a line prints is part of its work."""
        line.code = self.prompt()
        assert line.code == line.meant, f"{line.text}: {line.code}\n{self.seen}"
        assert re.search(shows, self.seen), f"{line.text}: {self.seen!r} lacks {shows!r}"
        return self.seen

    def run(self, text: str, shows: str = "", code: int = 0) -> str:
        return self.finish(self.type(text, code), shows)

    def stop(self, pid: int) -> None:
        """Ctrl-Z until it counts: the terminal is a job's a moment after it was started."""
        for _ in range(6):
            self.press("z")
            with contextlib.suppress(AssertionError):
                wait_for(lambda: state(pid) == "T", seconds=5, why="Ctrl-Z")
                break
        assert self.prompt() == STOPPED

    def foreground(self, program: str) -> int:
        """The process called `program` of the job that the terminal belongs to, once it runs."""

        def found() -> int:
            job = fields(self.child.pid)[5]
            for pid in descendants([self.child.pid]):
                with contextlib.suppress(OSError):
                    name = Path(f"/proc/{pid}/comm").read_text().strip()
                    if name == program and fields(pid)[2:3] == [job]:
                        return pid
            return 0

        return wait_for(found, seconds=PATIENCE, why=f"{program} to run")

    def close(self) -> None:
        self.child.close(force=True)


# -- the person who answers ------------------------------------------------------------------------


def decide(
    day: Day, at: Terminal, role: str, *, verb: str = "approve", number: str = "", code: str = ""
) -> str:
    """At another terminal: look at the question about `role`, and answer it."""
    request = str(day.home.pending(role, seconds=PATIENCE)["request"])
    at.answer(f"borrow {verb} {beginning(request, day)}")
    if number:
        at.child.expect("number shown where it was asked")
        at.answer(number)
        at.child.expect("code of your authenticator")
        at.answer(code)
    else:
        at.child.expect(r"it\? \[y/N\]")
        at.answer("y")
    assert at.prompt() == 0, at.seen
    return request


def beginning(request: str, day: Day) -> str:
    """As much of its id as tells it from the others."""
    others = [str(ask.get("request")) for ask in day.home.asks() if ask.get("request") != request]
    starts = [request[:length] for length in range(3, len(request) + 1)]
    return next(one for one in starts if not any(other.startswith(one) for other in others))


def borrows(text: str) -> int:
    """Keys of `text` that are for borrow: all of its own command, or the prefix of another one."""
    found = _PREFIX.match(text)
    if found:
        return len(found[0])
    return len(text) + 1 if text.split()[0] == "borrow" else 0


# -- the system ------------------------------------------------------------------------------------


def descendants(of: list[int]) -> list[int]:
    """All that they started, and so on; not what has left them."""
    pids = [int(each.name) for each in Path("/proc").glob("[0-9]*")]
    parents = {pid: parent(pid) for pid in pids}
    found: list[int] = []
    grown = list(of)
    while grown:
        grown = [pid for pid, by in parents.items() if by in grown]
        found += grown
    return found


def fields(pid: int) -> list[str]:
    """What follows the name in /proc/PID/stat: state, parent, group, session, terminal, …"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def state(pid: int) -> str:
    return (fields(pid) or [""])[0]


def is_still(pid: int) -> bool:
    return state(pid) in ("T", "Z", "")


def parent(pid: int) -> int:
    return int((fields(pid) or ["", "0"])[1])


def started(pid: int) -> str:
    """When: with its number, what tells a process from all others. "" if it is gone."""
    found = fields(pid)
    return found[19] if found and found[0] != "Z" else ""
