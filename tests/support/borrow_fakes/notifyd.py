"""A session bus of its own, a notification service on it, and whoever else talks there."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
_DBUS = "org.freedesktop.DBus"


@contextlib.asynccontextmanager
async def session_bus() -> AsyncIterator[str]:
    """The address of a bus that ends with the test."""
    need(lacking("dbus-daemon"), "apt-get install dbus-daemon")
    process = await asyncio.create_subprocess_exec(
        *(str(shutil.which("dbus-daemon")), "--session", "--nofork", "--print-address=1"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.terminate()
        await process.wait()


@dataclass(slots=True)
class Peer:
    """Any program of this person on the bus."""

    bus: MessageBus
    told: list[tuple[str, list[Any]]] = field(default_factory=list)  # calls that it got
    named_as: str = "Xfce Notify Daemon"
    _numbers: int = 0

    @classmethod
    async def at(cls, address: str) -> Peer:
        return cls(await MessageBus(bus_address=address).connect())

    async def serve_notifications(self) -> None:
        self.bus.add_message_handler(self._answer)
        await self.call("RequestName", "su", NAME, 4)

    async def call(self, member: str, signature: str, *body: Any) -> list[Any]:
        path = "/org/freedesktop/DBus"
        message = Message(_DBUS, path, _DBUS, member, signature=signature, body=[*body])
        answer = await self.bus.call(message)
        return list(answer.body)

    async def owns(self, name: str) -> bool:
        return await self.call("NameHasOwner", "s", name) == [True]

    async def signal(self, member: str, signature: str, *body: Any) -> None:
        await self.bus.send(Message.new_signal(PATH, NAME, member, signature, [*body]))

    def named(self, member: str) -> list[list[Any]]:
        return [body for told, body in self.told if told == member]

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.interface != NAME:
            return None
        self.told.append((str(message.member), list(message.body)))
        if message.member == "Notify":
            self._numbers += 1
            number = message.body[1] or self._numbers
            return Message.new_method_return(message, "u", [number])
        if message.member == "GetServerInformation":
            told = [self.named_as, "a test", "0", "1.2"]
            return Message.new_method_return(message, "ssss", told)
        return Message.new_method_return(message, "", [])
