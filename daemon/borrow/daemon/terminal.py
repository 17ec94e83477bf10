"""Lines in the terminal of the program that waits: "number 123 · 14:57 left".

The terminal belongs to the caller and is written to from outside, so each step distrusts the
path: it must be a terminal device of our own user, and the very device that the kernel says
controls the caller's session at this moment. A number is not secret, but a line that turned up in
somebody else's terminal would be a message in our name. Nothing here raises: the line is a
courtesy, and the request goes on without it.

Every call blocks on /proc for microseconds only; a terminal that is stopped (Ctrl-S) is not waited
for.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from borrow.daemon import procfs
from borrow.daemon.caller import Session, controlling_tty
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

# Characters. One write of this size is not torn by other output.
MAX_LINE: Final = 400

_TERMINAL = re.compile(r"/dev/(?:pts/\d{1,6}|tty\d{1,3})")

_USUAL_WIDTH: Final = 80  # of a terminal that does not know its own
_LEAST_HEAD: Final = 16  # columns left to a line's head, however long the rest is
_CLEAR: Final = "\x1b[K"  # from the cursor to the end of the line
# A blank in the last column (no terminal goes past it): the cursor rests there. What others write
# then (a program's output, an echoed ^C, a shell's prompt) wraps onto a line of its own, and a
# carriage return still leads back to the head of ours.
_EDGE: Final = "\x1b[999G "
_BELL: Final = "\a"


class Drawn(Enum):
    """What became of a line that should be redrawn in place."""

    YES = "yes"
    NOT_HERE = "not here"  # a full-screen program has it, or it cannot: plain lines, and few
    NO = "no"  # no terminal of the caller's


@dataclass(frozen=True, slots=True)
class Live:
    """A line that is redrawn. `head` is cut so that `needed` fits; of `more`, what has room."""

    head: str
    needed: tuple[str, ...] = ()
    more: tuple[str, ...] = ()

    def whole(self) -> str:
        return _SEPARATOR.join((self.head, *self.needed, *self.more))


_SEPARATOR: Final = " · "


def say(session: Session, line: str, *, after_live: bool = False, bell: bool = False) -> bool:
    """Write `line`, escaped and cut, to the session's terminal; False if that was not possible.

    A line that is being redrawn there is ended first (`after_live`), or else replaced.
    """
    with _opened(session) as terminal:
        if terminal is None:
            return False
        start = "\r\n" if after_live else "\r"
        clear = _CLEAR if _is_drawn_on(terminal, session) else ""
        text = start + shown(line, MAX_LINE) + clear + "\r\n"
        return _write(terminal, text + (_BELL if bell else ""))


def draw(session: Session, line: Live, *, after_live: bool = False) -> Drawn:
    """Put `line` in the place of the one that stands there, cut to the terminal's width.

    With `after_live` that one is ended and stays, and this one starts below it.
    """
    with _opened(session) as terminal:
        if terminal is None:
            return Drawn.NO
        if not _is_drawn_on(terminal, session):
            return Drawn.NOT_HERE
        # The last column stays free of words: some terminals wrap as soon as it is filled.
        text = fit(line, _width(terminal) - 1)
        start = "\r\n" if after_live else "\r"
        return Drawn.YES if _write(terminal, start + text + _CLEAR + _EDGE) else Drawn.NO


def fit(line: Live, room: int) -> str:
    """`line`, escaped, in at most `room` columns."""
    head = shown(line.head, MAX_LINE)
    needed = "".join(_SEPARATOR + shown(part, MAX_LINE) for part in line.needed)
    text = _cut(_cut(head, max(room - columns(needed), _LEAST_HEAD)) + needed, room)
    for part in line.more:
        longer = text + _SEPARATOR + shown(part, MAX_LINE)
        if columns(longer) <= room:
            text = longer
    return text


def columns(text: str) -> int:
    """How wide a terminal draws `text`, or less."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _cut(text: str, room: int) -> str:
    if columns(text) <= room:
        return text
    while text and columns(text) >= room:
        text = text[:-1]
    return text + "…" if room > 0 else ""


@contextmanager
def _opened(session: Session) -> Iterator[int | None]:
    """The session's terminal, checked, or None."""
    terminal = _open(session)
    try:
        yield terminal
    finally:
        if terminal is not None:
            os.close(terminal)


def _open(session: Session) -> int | None:
    if not _TERMINAL.fullmatch(session.tty):
        return None
    flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        terminal = os.open(session.tty, flags)
    except OSError:
        return None
    try:
        ours = _is_ours(terminal, session)
    except OSError:
        ours = False
    if not ours:
        os.close(terminal)
        return None
    return terminal


def _is_ours(terminal: int, session: Session) -> bool:
    """Asked of the opened device, so that no swap between check and write can matter."""
    seen = os.fstat(terminal)
    if not stat.S_ISCHR(seen.st_mode) or seen.st_uid != os.getuid() or not os.isatty(terminal):
        return False
    return _kernel_number(seen.st_rdev) == controlling_tty(session)


def _write(terminal: int, text: str) -> bool:
    data = text.encode("utf-8", "replace")
    try:
        return os.write(terminal, data) == len(data)
    except OSError:
        return False


def _is_drawn_on(terminal: int, session: Session) -> bool:
    """Whether a line can be redrawn there: not below `TERM=dumb`, as an editor's shell window has.

    That is the word of the process that leads the session; where it may not be read, it can.
    """
    told = procfs.read(f"{procfs.PROC}/{session.sid}/environ")
    return b"TERM=dumb" not in told.split(b"\0") and _takes_lines(terminal)


def _takes_lines(terminal: int) -> bool:
    """False while an editor, a pager or a shell's prompt has it: those draw the screen themselves.

    They all take the terminal out of canonical mode, and the programs that wait for us do not.
    """
    import termios  # late, like all that only some systems have

    try:
        return bool(termios.tcgetattr(terminal)[3] & termios.ICANON)
    except termios.error:
        return False


def _width(terminal: int) -> int:
    try:
        return os.get_terminal_size(terminal).columns or _USUAL_WIDTH
    except OSError:
        return _USUAL_WIDTH


def _kernel_number(device: int) -> int:
    """A device number as in /proc/<pid>/stat: minor in bits 0-7 and 20-31, major between."""
    major, minor = os.major(device), os.minor(device)
    return (minor & 0xFF) | (major << 8) | ((minor & 0xFFF00) << 12)
