"""Notifications over org.freedesktop.Notifications: shown, clicked, withdrawn.

The body is markup, so every line is escaped. A signal counts only if it comes from the program
that owns the name and took our notification (abuse case A55). There are two buttons, *Review…* and
*Deny*, and neither grants; a click beside them reviews.
"""

from __future__ import annotations

import html
import logging
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from borrow.protocol.errors import Unavailable
from borrow.tray.quiet import LABELS, LINES, ONE_PLACE, REVIEW, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbus_fast import Message

    from borrow.tray.quiet import Bubble
    from borrow.tray.session_bus import SessionBus

logger = logging.getLogger(__name__)

NAME: Final = "org.freedesktop.Notifications"
PATH: Final = "/org/freedesktop/Notifications"
_LOW, _NORMAL, _CRITICAL = 0, 1, 2
_FOR_EVER, _BY_DESKTOP = 0, -1
DEFAULT: Final = "default"  # what a click on the notification itself does; some have no buttons
_DRAWS_DEFAULT: Final = "Xfce"  # in the name of the one that would draw it as a third button


class Bubbles:
    """`on_action(key, action)` and `on_closed(key)` are called in the event loop."""

    def __init__(
        self,
        bus: SessionBus,
        *,
        on_action: Callable[[str, str], None],
        on_closed: Callable[[str], None],
    ) -> None:
        self._bus = bus
        self._on_action = on_action
        self._on_closed = on_closed
        self._numbers: dict[str, int] = {}  # by key
        self._owner = ""
        self._clicks: tuple[str, bool] = "", False  # of which owner, whether a click is an action

    async def start(self) -> None:
        def on_owner(owner: str) -> None:
            self._owner = owner
            self._numbers.clear()  # a new program knows none of ours

        await self._bus.watch_owner(NAME, on_owner)
        rule = f"type='signal',interface='{NAME}',path='{PATH}'"
        await self._bus.listen(rule, self._on_signal)

    async def show(self, bubble: Bubble) -> bool:
        """False if nothing shows notifications here."""
        actions = [word for each in bubble.buttons for word in (each, LABELS[each])]
        if REVIEW in bubble.buttons and await self._takes_clicks():
            actions = [DEFAULT, LABELS[REVIEW], *actions]
        within = _FOR_EVER if bubble.urgent else _BY_DESKTOP
        key = ONE_PLACE if bubble.passing else bubble.key  # what passes makes way for the next
        number = self._numbers.get(key, 0)
        title, body = plain(bubble.title), body_of(bubble.lines)
        words = ("Borrow", number, "", title, body, actions, _hints(bubble), within)
        try:
            told = await self._bus.call(NAME, PATH, NAME, "Notify", "susssasa{sv}i", *words)
            self._owner = self._owner or await self._bus.owner(NAME)  # started by that very call
        except Unavailable as exc:
            logger.info("no notification was shown: %s", exc.message)
            return False
        match told:
            case [int(number)]:
                self._numbers[key] = number
                return True
            case _:
                return False

    async def withdraw_all(self) -> None:
        """What asks has nobody behind its buttons any more."""
        for key in list(self._numbers):
            await self.withdraw(key)

    async def withdraw(self, key: str) -> None:
        number = self._numbers.pop(key, None)
        if number is None:
            return
        try:
            await self._bus.call(NAME, PATH, NAME, "CloseNotification", "u", number)
        except Unavailable:
            return  # gone already

    def _on_signal(self, message: Message) -> None:
        if message.interface != NAME or not self._owner or message.sender != self._owner:
            return
        match message.member, message.body:
            case "ActionInvoked", [int(number), str(action)]:
                # Sent only where it was offered, and it opens a window: it decides nothing.
                action = REVIEW if action == DEFAULT else action
                if (key := self._key(number)) and action in LABELS:
                    self._on_action(key, action)
            case "NotificationClosed", [int(number), int()]:
                if key := self._key(number):
                    del self._numbers[key]
                    self._on_closed(key)
            case _:
                return

    async def _takes_clicks(self) -> bool:
        """mako and dunst draw no buttons: there a click is the only way to the question."""
        if self._owner and self._clicks[0] == self._owner:
            return self._clicks[1]
        try:
            told = await self._bus.call(NAME, PATH, NAME, "GetServerInformation")
        except Unavailable:
            return False
        name = told[0] if told and isinstance(told[0], str) else ""
        self._owner = self._owner or await self._bus.owner(NAME)  # started by that very call
        self._clicks = self._owner, bool(name) and _DRAWS_DEFAULT not in name
        return self._clicks[1]

    def _key(self, number: int) -> str:
        return next((key for key, each in self._numbers.items() if each == number), "")


def _hints(bubble: Bubble) -> dict[str, Variant]:
    urgency = _LOW if bubble.passing else _CRITICAL if bubble.urgent else _NORMAL
    hints = {"urgency": Variant("y", urgency), "desktop-entry": Variant("s", "borrow")}
    return hints | ({"transient": Variant("b", True)} if bubble.passing else {})


def body_of(lines: tuple[str, ...]) -> str:
    """Markup that shows exactly `lines`, at most three."""
    kept = [plain(line) for line in lines[:LINES]]
    return "\n".join(html.escape(line, quote=False) for line in kept)
