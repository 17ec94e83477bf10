"""A daemon that was killed comes back by itself, so that programs which wait for it go on.

A shell, less than a megabyte of it, reads from a pipe whose other end only the daemon holds: the
end of one is the end of the other, whatever killed it. A daemon that ends in order takes its
socket away. Where that is left, nobody meant the end, and the shell becomes `borrow daemon start`.
It never starts what did not run, and needs no service manager.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME: Final = "borrow-revival"
COUNT: Final = "BORROW_REVIVED"
# Times in a row, each a second later than the one before: what dies at each start has to be looked
# at. A command of the person's begins anew.
MOST: Final = 5
# The path of the socket, the pause in seconds, and the command follow the name.
_SCRIPT: Final = (
    'socket=$1 pause=$2; shift 2; read -r _; [ -S "$socket" ] || exit 0; sleep "$pause"; exec "$@"'
)


@contextlib.contextmanager
def lifeline(socket: Path, environment: Mapping[str, str]) -> Iterator[tuple[int, ...]]:
    """The descriptors that the daemon started meanwhile is to inherit, to be revived by.

    `environment` is the daemon's own. Where there is no shell, there is no revival.
    """
    times = _times()
    if times >= MOST:
        yield ()
        return
    ours, daemons = os.pipe()
    try:
        _wait_for_the_end(ours, socket, times, environment)
        yield (daemons,)
    finally:
        os.close(ours)
        os.close(daemons)


def _wait_for_the_end(line: int, socket: Path, times: int, environment: Mapping[str, str]) -> None:
    import subprocess

    command = [sys.executable, "-P", "-m", "borrow.cli.main", "daemon", "start"]
    with contextlib.suppress(OSError):
        waits = subprocess.Popen(  # noqa: S603  our own words; the paths are arguments of the script
            ["/bin/sh", "-c", _SCRIPT, NAME, str(socket), str(times), *command],
            stdin=line,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**environment, COUNT: str(times + 1)},
            start_new_session=True,
        )
        waits.returncode = 0  # it outlives us, and Python is not to warn of that


def _times() -> int:
    """How often in a row it was revived; 0 in a command of the person's."""
    text = os.environ.get(COUNT, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 3 else 0
