"""The first second: a click or key that was meant for another window decides nothing.

A window's decisive buttons rest, and are awake a second after the window came, got the focus back,
or was uncovered by something that lay on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from tkinter import Tk

ARM_AFTER: Final = 1000  # milliseconds
SETTLE: Final = 150  # milliseconds that a window which resizes itself may seem covered


class Arming:
    """`rest` puts the buttons to sleep, `wake` wakes those that may be pressed.

    `idle` says whether nothing is under way or over: else the buttons stay as they are.
    """

    def __init__(
        self,
        root: Tk,
        *,
        rest: Callable[[], None],
        wake: Callable[[], None],
        idle: Callable[[], bool],
    ) -> None:
        self._root = root
        self._rest = rest
        self._wake = wake
        self._idle = idle
        self._armed = ""  # the timer's name
        self._covering = ""  # the timer's name
        self._covered = False
        for event in ("<FocusIn>", "<Map>"):
            root.bind(event, lambda event: self._arm() if event.widget is root else None)
        root.bind("<Visibility>", self._seen)

    def _arm(self) -> None:
        if not self._idle():
            return
        self._rest()
        if self._armed:
            self._root.after_cancel(self._armed)
        self._armed = self._root.after(ARM_AFTER, self._wake)

    def _seen(self, event: Any) -> None:
        """Something lay on it, and went away under the finger that was to press it."""
        if event.widget is not self._root:
            return
        if str(event.state) != "VisibilityUnobscured":
            self._covering = self._covering or self._root.after(SETTLE, self._cover)
            return
        if self._covering:
            self._root.after_cancel(self._covering)
            self._covering = ""
        if self._covered:
            self._covered = False
            self._arm()

    def _cover(self) -> None:
        self._covering, self._covered = "", True
