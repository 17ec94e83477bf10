"""The monitors of an X display, and on which of them a window comes up, whole.

Tk knows one screen that spans all of them: its middle may be the border of two, and its height that
of the other one. So Xinerama is asked, which every X server of today answers from RandR, over a
connection of our own. `monitor_at` and `place` are pure; `look` does the asking.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAME: Final = 90  # pixels of a monitor's height left to the desktop: a panel and a title bar
_ABOVE: Final = 40  # of them above the window
_MOST: Final = 16  # monitors


@dataclass(frozen=True, slots=True)
class Monitor:
    """In pixels of the whole screen."""

    left: int
    top: int
    width: int
    height: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def most_high(self) -> int:
        """Of a window's inside."""
        return self.height - FRAME

    def distance(self, x: int, y: int) -> int:
        """0 for a point on it."""
        across = max(self.left - x, 0, x - (self.left + self.width - 1))
        down = max(self.top - y, 0, y - (self.bottom - 1))
        return across + down

    @property
    def size(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a display says of itself. `dpi` is the text of `Xft.dpi`.

    Without `monitors` it cannot be told how many there are; `closed`: it lets us in not at all.
    """

    monitors: tuple[Monitor, ...] = ()
    dpi: str = ""
    closed: bool = False


def monitor_at(monitors: Sequence[Monitor], x: int, y: int) -> Monitor:
    """The one with this point, or the nearest to it."""
    return min(monitors, key=lambda each: each.distance(x, y))


def place(monitor: Monitor, width: int, height: int) -> tuple[int, int]:
    """Where the frame of a window with this inside begins: in the middle, a little above it."""
    spare = max(0, monitor.most_high - height)
    return (
        monitor.left + max(0, (monitor.width - width) // 2),
        monitor.top + min(_ABOVE, FRAME) + spare // 3,
    )


def is_local(display: str) -> bool:
    """Another machine's display may let its asker wait for long."""
    return display.startswith((":", "unix:"))


class _Info(ctypes.Structure):  # XineramaScreenInfo
    _fields_ = (
        ("number", ctypes.c_int),
        ("left", ctypes.c_short),
        ("top", ctypes.c_short),
        ("width", ctypes.c_short),
        ("height", ctypes.c_short),
    )


def look(display: str) -> Seen:
    """Ask `display`, as in DISPLAY. Blocks as long as the server does."""
    try:
        x11 = ctypes.CDLL("libX11.so.6")
    except OSError:  # another system, or no X libraries
        return Seen()
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = (ctypes.c_char_p,)
    x11.XCloseDisplay.argtypes = (ctypes.c_void_p,)
    opened = x11.XOpenDisplay(display.encode("utf-8", "surrogateescape"))
    if not opened:
        return Seen(closed=True)
    try:
        return Seen(_monitors(x11, opened), _dpi(x11, opened))
    finally:
        x11.XCloseDisplay(opened)


def _monitors(x11: Any, opened: int) -> tuple[Monitor, ...]:
    try:
        xinerama = ctypes.CDLL("libXinerama.so.1")
    except OSError:
        return ()
    ask = xinerama.XineramaQueryScreens
    ask.restype = ctypes.POINTER(_Info)
    ask.argtypes = (ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))
    count = ctypes.c_int()
    told = ask(opened, ctypes.byref(count))
    if not told:
        return ()
    listed = [told[place] for place in range(min(count.value, _MOST))]
    found = [Monitor(each.left, each.top, each.width, each.height) for each in listed]
    x11.XFree.argtypes = (ctypes.c_void_p,)
    x11.XFree(told)
    # Mirrored ones are one place.
    return tuple(dict.fromkeys(each for each in found if each.width > 0 and each.height > 0))


def _dpi(x11: Any, opened: int) -> str:
    x11.XGetDefault.restype = ctypes.c_char_p
    x11.XGetDefault.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
    told: bytes | None = x11.XGetDefault(opened, b"Xft", b"dpi")
    return (told or b"").decode("ascii", "replace")[:16]
