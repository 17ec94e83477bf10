"""Runs a command that has no coding agent among its ancestors: apart.py COMMAND…

Borrow recognises agents by the environment of a process and of those above it, and what runs under
one is refused what a person would get. So tests that are started by an agent would see themselves
as one. Where that is so, the command is started without those variables below a process that left
its family (it becomes init's child); else it is simply run in this process's place. Exit code and
signals are passed on, and if this process is killed, what it started ends too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from borrow.daemon.caller import AGENT_FLAGS, agent_of

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES: Final = tuple(name for name, _ in AGENT_FLAGS)
_KEEPER: Final = "--keeper"
_LOST: Final = 70  # the keeper was killed


def without_flags(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in NAMES}


def main(words: list[str]) -> int:
    if words[:1] == [_KEEPER]:
        return _keep(int(words[1]), int(words[2]), words[3:])
    if not agent_of(os.getpid()):
        os.execvp(words[0], words)
    return _apart(words)


def _apart(words: list[str]) -> int:
    """Start the keeper and wait for its word: its process group, and then the exit code."""
    told, tell = os.pipe()
    alive, we_live = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if os.fork() == 0:
            for each in (tell, alive):
                os.set_inheritable(each, True)
            keeper = [sys.executable, __file__, _KEEPER, str(tell), str(alive), *words]
            os.execve(keeper[0], keeper, without_flags(os.environ))
        os._exit(0)
    os.close(tell)
    os.close(alive)
    os.waitpid(child, 0)
    with os.fdopen(told) as lines, os.fdopen(we_live, "w"):
        group = int(lines.readline() or 0)

        def pass_on(number: int, _: object) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)

        if group:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
                signal.signal(number, pass_on)
        return int(lines.readline() or _LOST)


def _keep(tell: int, alive: int, words: list[str]) -> int:
    """The command's parent, which no agent is above any more."""
    for number in (signal.SIGINT, signal.SIGQUIT):  # meant for the command
        signal.signal(number, lambda *_: None)
    with os.fdopen(tell, "w", buffering=1) as lines:
        print(os.getpgrp(), file=lines)
        with subprocess.Popen(words) as command:
            threading.Thread(target=_end_with, args=(alive,), daemon=True).start()
            code = command.wait()
        print(code if code >= 0 else 128 - code, file=lines)
    return 0


def _end_with(alive: int) -> None:
    os.read(alive, 1)  # nothing ever comes but the end
    os.killpg(os.getpgrp(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
