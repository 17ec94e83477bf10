"""One line into the terminal of the program that waits: "number 123, sent to your phone".

The terminal belongs to the caller and is written to from outside, so each step distrusts the
path: it must be a terminal device of our own user, and the very device that the kernel says
controls the caller's session at this moment. A number is not secret, but a line that turned up in
somebody else's terminal would be a message in our name. Nothing here raises: the line is a
courtesy, and the request goes on without it.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Final

from borrow.daemon.caller import Session, controlling_tty
from borrow.protocol.text import shown

# Characters. One write of this size is not torn by other output.
MAX_LINE: Final = 400

_TERMINAL = re.compile(r"/dev/(?:pts/\d{1,6}|tty\d{1,3})")


def say(session: Session, line: str) -> bool:
    """Write `line`, escaped and cut, to the session's terminal; False if that was not possible.

    Blocks on /proc for microseconds only; a terminal that is stopped (Ctrl-S) is not waited for.
    """
    if not _TERMINAL.fullmatch(session.tty):
        return False
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        terminal = os.open(session.tty, flags)
    except OSError:
        return False
    try:
        if not _is_ours(terminal, session):
            return False
        text = ("\r" + shown(line, MAX_LINE) + "\r\n").encode("utf-8", "replace")
        return os.write(terminal, text) == len(text)
    except OSError:
        return False
    finally:
        os.close(terminal)


def _is_ours(terminal: int, session: Session) -> bool:
    """Asked of the opened device, so that no swap between check and write can matter."""
    seen = os.fstat(terminal)
    if not stat.S_ISCHR(seen.st_mode) or seen.st_uid != os.getuid() or not os.isatty(terminal):
        return False
    return _kernel_number(seen.st_rdev) == controlling_tty(session)


def _kernel_number(device: int) -> int:
    """A device number as in /proc/<pid>/stat: minor in bits 0-7 and 20-31, major between."""
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & 0xFFF00) << 12)
