"""`caller` for macOS, which has no /proc: a listing of `ps`, and what can honestly be said from it.

Untried on a Mac; the parsers are tested. What is not known stays empty: the working folder, git
branch, container and coding agent (another process's environment cannot be read), and the process
behind a TCP socket. A caller that is not seen to be an agent gets no more than a person's terminal.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import Final, NamedTuple

from borrow.daemon.caller import MAX_PARENTS, ProcessFacts, Session
from borrow.daemon.masking import mask_argv
from borrow.daemon.procfs import clean

_PS: Final = "/bin/ps"
_WITHIN: Final = 5.0  # seconds
_LSTART: Final = "%a %b %d %H:%M:%S %Y"  # in the C locale, local time


class Row(NamedTuple):
    """A process of the listing. `start` is in unix seconds."""

    ppid: int
    tty: str
    start: int
    exe: str


def read_table(text: str) -> dict[int, Row]:
    """From `ps -Aww -o pid=,ppid=,tty=,lstart=,comm=`; lines not of this form are left out.

    `comm` is the path of the file that runs, comes last and may hold blanks.
    """
    found = {}
    for line in text.splitlines():
        parts = line.split(None, 8)
        if len(parts) < 9 or not (parts[0].isdecimal() and parts[1].isdecimal()):
            continue
        try:
            start = int(time.mktime(time.strptime(" ".join(parts[3:8]), _LSTART)))
        except (ValueError, OverflowError):
            continue
        tty = "" if parts[2] in ("??", "-") else f"/dev/{parts[2]}"
        found[int(parts[0])] = Row(int(parts[1]), tty, start, parts[8].strip())
    return found


def session_in(table: dict[int, Row], pid: int, sid: int) -> Session | None:
    """The session `sid` of `pid`; None if the process is not in the listing."""
    own, leader = table.get(pid), table.get(sid)
    if own is None or sid <= 0:
        return None
    return Session(sid, leader.start if leader is not None else 0, own.tty)


def facts_in(table: dict[int, Row], pid: int, command: str) -> ProcessFacts | None:
    """What the listing says of `pid`. `command` is its whole command line, as `ps` joins it."""
    own = table.get(pid)
    if own is None:
        return None
    parents: list[str] = []
    child = own
    while len(parents) < MAX_PARENTS and (parent := table.get(child.ppid)) is not None:
        if child.ppid <= 0 or parent.start > child.start:
            break  # a reused number
        parents.append(clean(parent.exe.rpartition("/")[2], 64))
        child = parent
    argv = tuple(clean(word) for word in mask_argv(command.split()))
    return ProcessFacts(pid, clean(own.exe), argv, start=own.start, parents=tuple(parents))


# -- the listing -----------------------------------------------------------------------------------


def session_of(pid: int) -> Session | None:
    try:
        return session_in(_table(), pid, os.getsid(pid))
    except OSError:
        return None


def session_alive(sid: int, leader_start: int) -> bool:
    """While the leader lives: who is left of a session without one cannot be told from here."""
    leader = _table().get(sid)
    return leader is not None and leader.start == leader_start


def describe(pid: int) -> ProcessFacts | None:
    command = _ps("-ww", "-o", "command=", "-p", str(pid))
    return facts_in(_table(), pid, command.strip())


def _table() -> dict[int, Row]:
    return read_table(_ps("-Aww", "-o", "pid=,ppid=,tty=,lstart=,comm="))


def _ps(*options: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603  a fixed program; the one variable is a number
            [_PS, *options],
            capture_output=True,
            check=False,
            env={"LC_ALL": "C"},
            timeout=_WITHIN,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace")
