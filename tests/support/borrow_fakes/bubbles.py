"""A desktop's notification service on a message bus of its own: keeps what is shown, and presses.

Its bus is private to the test: nobody's desktop sees anything. Firefox finds it by its environment.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from jeepney import (  # type: ignore[import-untyped]  # ships no types
    DBusAddress,
    HeaderFields,
    MessageType,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus  # type: ignore[import-untyped]  # as above
from jeepney.io.asyncio import open_dbus_connection  # type: ignore[import-untyped]  # as above

if TYPE_CHECKING:
    from pathlib import Path

    from jeepney import Message
    from jeepney.io.asyncio import DBusConnection

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
INSTALL = "apt-get install --no-install-recommends dbus-daemon libnotify4"


@dataclass(frozen=True)
class Bubble:
    number: int
    title: str
    body: str
    actions: dict[str, str]  # key -> label


class Bubbles:
    """`async with Bubbles(folder) as bubbles:`; `environment` is for those who show something."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.shown: dict[int, Bubble] = {}
        self.closed: list[int] = []
        self._last = 0
        self._changed = asyncio.Condition()

    @property
    def environment(self) -> dict[str, str]:
        return {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._folder}/bus"}

    async def __aenter__(self) -> Self:
        address = self.environment["DBUS_SESSION_BUS_ADDRESS"]
        config = self._folder / "bus.conf"
        config.write_text(
            "<busconfig><type>session</type>"
            f"<listen>{address}</listen>"
            '<policy context="default"><allow send_destination="*" eavesdrop="true"/>'
            '<allow eavesdrop="true"/><allow own="*"/></policy></busconfig>'
        )
        self._daemon = await asyncio.create_subprocess_exec(
            *("dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        self._line = await self._connect(address)
        await self._request_name()
        self._task = asyncio.ensure_future(self._serve())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._line.close()
        self._daemon.terminate()
        await self._daemon.wait()

    async def _connect(self, address: str) -> DBusConnection:
        for _ in range(200):
            with contextlib.suppress(OSError):
                return await open_dbus_connection(address)
            await asyncio.sleep(0.05)
        raise AssertionError("the message bus did not start")

    async def _request_name(self) -> None:
        await self._line.send(message_bus.RequestName(NAME))

    async def wait_for(self, title: str, seconds: float = 20.0) -> Bubble:
        def found() -> Bubble | None:
            return next((b for b in self.shown.values() if b.title == title), None)

        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(lambda: found() is not None)
        bubble = found()
        assert bubble is not None
        return bubble

    async def press(self, bubble: Bubble, label: str) -> None:
        """The button of that name; "" is the bubble itself."""
        key = next((k for k, text in bubble.actions.items() if text == label), "default")
        await self._signal("ActionInvoked", "us", (bubble.number, key))
        await self._signal("NotificationClosed", "uu", (bubble.number, 2))
        self.shown.pop(bubble.number, None)

    async def _signal(self, name: str, signature: str, body: tuple[Any, ...]) -> None:
        sender = DBusAddress(PATH, interface=NAME)
        await self._line.send(new_signal(sender, name, signature, body))

    async def _serve(self) -> None:
        while True:
            message = await self._line.receive()
            if message.header.message_type is MessageType.method_call:
                await self._line.send(await self._answer(message))

    async def _answer(self, message: Message) -> Message:
        match message.header.fields.get(HeaderFields.member):
            case "GetCapabilities":
                return new_method_return(message, "as", (["actions", "body"],))
            case "GetServerInformation":
                return new_method_return(message, "ssss", ("bubbles", "test", "1", "1.2"))
            case "Notify":
                _, replaces, _, title, body, actions, _, _ = message.body
                number = replaces or self._last + 1
                self._last = max(self._last, number)
                pairs = dict(zip(actions[::2], actions[1::2], strict=True))
                async with self._changed:
                    self.shown[number] = Bubble(number, title, body, pairs)
                    self._changed.notify_all()
                return new_method_return(message, "u", (number,))
            case "CloseNotification":
                (number,) = message.body
                async with self._changed:
                    self.shown.pop(number, None)
                    self.closed.append(number)
                    self._changed.notify_all()
                await self._signal("NotificationClosed", "uu", (number, 3))
                return new_method_return(message)
            case _:
                return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")
