"""A terminal's keys one by one, and a line that is typed with them.

While it is open nothing is echoed, and Ctrl-Z does nothing: a half-drawn question must not be left
behind. Ctrl-C stays what it is. The terminal is as it was before, however this ends.
"""

from __future__ import annotations

import codecs
import os
import select
import sys
import termios
import unicodedata
from typing import TYPE_CHECKING, Final, Self

from borrow.cli import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ESC: Final = "esc"
EOF: Final = "eof"  # Ctrl-D, or the terminal is gone
ENTER: Final = "enter"
_NAMED: Final = {
    "\r": ENTER,
    "\n": ENTER,
    "\x04": EOF,
    "\x08": "backspace",
    "\x7f": "backspace",
    "\x15": "clear",
    "\t": "tab",
}
_ARROWS: Final = {"A": "up", "B": "down"}
_SEQUENCE: Final = 0.05  # seconds within which the rest of an arrow key follows its first byte
_LFLAG, _CC = 3, 6


class Keyboard:
    """`with Keyboard() as keys:`; stdin is a terminal."""

    def __init__(self) -> None:
        self._handle = sys.stdin.fileno()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._read: list[str] = []

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(self._handle)
        mode = termios.tcgetattr(self._handle)
        mode[_LFLAG] &= ~(termios.ICANON | termios.ECHO)
        mode[_CC][termios.VMIN], mode[_CC][termios.VTIME] = 1, 0
        mode[_CC][termios.VSUSP] = b"\0"  # _POSIX_VDISABLE
        termios.tcsetattr(self._handle, termios.TCSADRAIN, mode)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        termios.tcsetattr(self._handle, termios.TCSAFLUSH, self._before)

    def forget(self) -> None:
        """What was typed until now was meant for something else."""
        termios.tcflush(self._handle, termios.TCIFLUSH)
        self._read.clear()

    def key(self, within: float) -> str | None:
        """A character, or the name of a key; None after `within` seconds, "" for a key unknown."""
        char = self._char(within)
        if char is None:
            return None
        if char == "\x1b":
            return self._sequence()
        if char in _NAMED:
            return _NAMED[char]
        return char if char.isprintable() else ""

    def _sequence(self) -> str:
        char = self._char(_SEQUENCE)
        if char is None:
            return ESC
        if char not in "[O":
            return ""  # Alt and a letter
        while (char := self._char(_SEQUENCE)) is not None:
            if "@" <= char <= "~":
                return _ARROWS.get(char, "")
        return ""

    def _char(self, within: float) -> str | None:
        while not self._read:
            ready, _, _ = select.select([self._handle], [], [], within)
            if not ready:
                return None
            try:
                data = os.read(self._handle, 1024)
            except OSError:  # the terminal was closed
                data = b""
            if not data:
                return "\x04"
            self._read.extend(self._decoder.decode(data))
        return self._read.pop(0)


class Typing:
    """One line as it is typed. `take` is given each key; it says whether the line is complete."""

    def __init__(self, *, secret: bool = False, recent: tuple[str, ...] = ()) -> None:
        self.text = ""
        self._secret = secret
        self._recent = recent
        self._place = -1  # of what was recalled

    def take(self, key: str) -> bool:
        match key:
            case "enter":
                return True
            case "backspace":
                self.text = self.text[:-1]
            case "clear":
                self.text = ""
            case "up" | "down" if self._recent:
                step = 1 if key == "up" else -1
                self._place = min(len(self._recent) - 1, max(-1, self._place + step))
                self.text = self._recent[self._place] if self._place >= 0 else ""
            case _ if len(key) == 1:
                self.text += key
        return False

    def drawn(self, room: int) -> str:
        """Its end, in at most `room` columns."""
        text = "•" * len(self.text) if self._secret else self.text
        while columns(text) > room:
            text = text[1:]
        return text


class Row:
    """The one line that is drawn anew; where nothing can be, each new text is a line of its own."""

    def __init__(self, wide: Callable[[], int]) -> None:
        self._wide = wide
        self._moves = say.can_move()
        self._last = ""

    def draw(self, text: str, *, steady: str = "") -> None:
        """`steady` is the part whose change is worth a line where lines stay."""
        if self._moves:
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
        elif (steady or text) != self._last:
            self._last = steady or text
            say.note(text)

    def end(self) -> None:
        """The row stays as it is, and what comes next stands below it."""
        if self._moves:
            sys.stderr.write("\n")
            sys.stderr.flush()

    def wipe(self) -> None:
        if self._moves:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    @property
    def room(self) -> int:
        """Columns that a row may have without wrapping."""
        return max(20, self._wide() - 1)


def columns(text: str) -> int:
    """How wide a terminal draws it."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )
