"""Notifications of macOS and Windows, by desktop-notifier, behind the same calls as `bubbles`.

Untried: no such system was at hand; what is below the port was read, and run against its Linux
back-end. The texts are plain there, not markup. Where the system shows none (macOS outside of an
app bundle) the library pretends to, so its abilities are asked first.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from borrow.tray.quiet import LABELS, LINES, ONE_PLACE, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.tray.quiet import Bubble

logger = logging.getLogger(__name__)

WITHIN: Final = 5.0  # seconds; macOS asks its person first whether we may, and we do not wait
SYSTEMS: Final = ("darwin", "win32")


@dataclass(frozen=True, slots=True)
class Told:
    """One notification. `buttons` are (name, label); `urgent`: it stays until it is answered."""

    title: str
    body: str
    buttons: tuple[tuple[str, str], ...]
    urgent: bool
    passing: bool


class Center(Protocol):
    """What shows notifications. The handlers may be called from any thread.

    `show` gives the notification's name, "" if nothing is shown here.
    """

    async def show(
        self, told: Told, on_action: Callable[[str], None], on_closed: Callable[[], None]
    ) -> str: ...
    async def close(self, name: str) -> None: ...


class NativeBubbles:
    """`on_action(key, action)` and `on_closed(key)` are called in the event loop."""

    def __init__(
        self,
        center: Center,
        *,
        on_action: Callable[[str, str], None],
        on_closed: Callable[[str], None],
    ) -> None:
        self._center = center
        self._on_action = on_action
        self._on_closed = on_closed
        self._names: dict[str, str] = {}  # by key
        self._rounds: dict[str, int] = {}  # by key: a late signal of an older one is not ours
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def show(self, bubble: Bubble) -> bool:
        """False if nothing shows notifications here."""
        key = ONE_PLACE if bubble.passing else bubble.key
        await self.withdraw(key)  # it has no "replace this one"
        round_ = self._rounds[key] = self._rounds.get(key, 0) + 1
        told = Told(
            title=plain(bubble.title),
            body="\n".join(plain(line) for line in bubble.lines[:LINES]),
            buttons=tuple((each, LABELS[each]) for each in bubble.buttons),
            urgent=bubble.urgent,
            passing=bubble.passing,
        )
        name = await self._bounded(
            self._center.show(
                told,
                lambda action: self._later(self._acted, key, round_, action),
                lambda: self._later(self._closed, key, round_),
            )
        )
        if name:
            self._names[key] = str(name)
        return bool(name)

    async def withdraw(self, key: str) -> None:
        name = self._names.pop(key, None)
        if name is not None:
            self._rounds[key] += 1
            await self._bounded(self._center.close(name))

    async def withdraw_all(self) -> None:
        for key in list(self._names):
            await self.withdraw(key)

    async def _bounded(self, call: Any) -> object:
        """Whatever a foreign system's library raises is a notification that was not shown."""
        try:
            async with asyncio.timeout(WITHIN):
                return await call
        except Exception as exc:  # noqa: BLE001  as said
            logger.info("no notification was shown: %s", type(exc).__name__)
            return ""

    def _later(self, call: Callable[..., None], *words: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *words)

    def _acted(self, key: str, round_: int, action: str) -> None:
        if self._rounds.get(key) == round_ and action in LABELS:
            self._names.pop(key, None)  # the system takes it away with the press
            self._rounds[key] += 1
            self._on_action(key, action)
            self._on_closed(key)

    def _closed(self, key: str, round_: int) -> None:
        if self._rounds.get(key) == round_ and self._names.pop(key, None) is not None:
            self._on_closed(key)


class Library:
    """desktop-notifier as a `Center`. Raises ImportError where it is not installed."""

    def __init__(self) -> None:
        import desktop_notifier

        self._types: Any = desktop_notifier
        self._notifier: Any = desktop_notifier.DesktopNotifier(app_name="Borrow")

    async def show(
        self, told: Told, on_action: Callable[[str], None], on_closed: Callable[[], None]
    ) -> str:
        lib = self._types
        able = await self._notifier.get_capabilities()
        if lib.Capability.TITLE not in able:
            return ""
        urgency = lib.Urgency.Low if told.passing else lib.Urgency.Normal
        note = lib.Notification(
            title=told.title,
            message=told.body,
            urgency=lib.Urgency.Critical if told.urgent else urgency,
            buttons=tuple(
                lib.Button(title=label, on_pressed=_pressing(on_action, name))
                for name, label in told.buttons
            ),
            on_dismissed=on_closed,
        )
        return str(await self._notifier.send_notification(note))

    async def close(self, name: str) -> None:
        await self._notifier.clear(name)


def _pressing(on_action: Callable[[str], None], name: str) -> Callable[[], None]:
    return lambda: on_action(name)


def center_here(platform: str) -> Center | None:
    """The system's own, None where there is none of these or it cannot be had."""
    if platform not in SYSTEMS:
        return None
    try:
        return Library()
    except Exception as exc:  # noqa: BLE001  ImportError, and what its back-ends make of an odd system
        logger.warning("no notifications here: %s", type(exc).__name__)
        return None
