"""The session bus, one connection: calls that raise our errors, and objects that answer.

Everything on that bus is another program of the same user. Whoever sends a signal is compared with
the owner of the name it should come from (abuse case A55); nothing that arrives here grants.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

ANSWER_WITHIN: Final = 5.0  # seconds; the other side is a program on this machine
_DBUS: Final = "org.freedesktop.DBus"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_UNKNOWN: Final = "org.freedesktop.DBus.Error.UnknownMethod"
_FAILED: Final = "org.freedesktop.DBus.Error.InvalidArgs"

Method = tuple[str, str, "Callable[..., list[Any]]"]  # signatures in and out; the body's values
Properties = "Callable[[], Mapping[str, Variant]]"


class Served:
    """One object on the bus: its methods by name, and its properties as they are now."""

    def __init__(
        self, path: str, interface: str, methods: Mapping[str, Method], properties: Any
    ) -> None:
        self.path = path
        self.interface = interface
        self._methods = methods
        self._properties: Callable[[], Mapping[str, Variant]] = properties

    def answer(self, message: Message) -> Message:
        if message.interface == _PROPERTIES:
            return self._property(message)
        found = self._methods.get(message.member or "")
        if message.interface not in (self.interface, None) or found is None:
            return Message.new_error(message, _UNKNOWN, "no such method")
        taken, given, method = found
        if message.signature != taken:
            return Message.new_error(message, _FAILED, f"{message.member} takes {taken}")
        return Message.new_method_return(message, given, method(*message.body))

    def _property(self, message: Message) -> Message:
        known = self._properties()
        match message.member, message.body:
            case "GetAll", [self.interface]:
                return Message.new_method_return(message, "a{sv}", [dict(known)])
            case "Get", [self.interface, str(name)] if name in known:
                return Message.new_method_return(message, "v", [known[name]])
        return Message.new_error(message, _FAILED, "no such property")


class SessionBus:
    """A connected bus. `on_signal` handlers get every signal they matched, sender included."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._served: dict[str, Served] = {}
        self._handlers: list[Callable[[Message], None]] = []
        bus.add_message_handler(self._on_message)

    @classmethod
    async def connect(cls, address: str | None = None) -> SessionBus:
        """The one that the environment names, without an `address`."""
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                made = MessageBus(bus_address=address, bus_type=BusType.SESSION)
                return cls(await made.connect())
        except Exception as exc:
            # Its addresses, sockets and handshake fail in many ways, all of them "no bus".
            raise Unavailable(
                "there is no D-Bus session",
                hint="log in to a desktop, or use `borrow inbox` and `borrow approve`",
                state="no_bus",
            ) from exc

    @property
    def name(self) -> str:
        return self._bus.unique_name or ""

    @property
    def over(self) -> bool:
        return not self._bus.connected

    def close(self) -> None:
        self._bus.disconnect()

    def on_stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler of the loop.

        What the library itself was sending when the bus went is waited for by nobody; told as a
        lost exception it would look like a fault at each end of a desktop session.
        """
        if not isinstance(context.get("exception"), OSError | EOFError) or not self.over:
            loop.default_exception_handler(context)

    async def closed(self) -> None:
        """Until the bus is gone: the desktop session is over."""
        try:
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        except (OSError, EOFError):
            return

    def serve(self, served: Served) -> None:
        self._served[served.path] = served

    def signal(self, served: Served, member: str, signature: str = "", *body: Any) -> None:
        message = Message.new_signal(served.path, served.interface, member, signature, list(body))
        # Nobody waits for it: a bus that is gone is noticed by whoever calls.
        self._bus.send(message).add_done_callback(lambda sent: sent.cancelled() or sent.exception())

    async def own(self, name: str) -> None:
        await self.call(_DBUS, "/org/freedesktop/DBus", _DBUS, "RequestName", "su", name, 4)

    async def call(
        self, name: str, path: str, interface: str, member: str, signature: str = "", *body: Any
    ) -> list[Any]:
        """The answer's values; Unavailable if there is none."""
        if not self._bus.connected:
            raise Unavailable("the D-Bus session is over", state="no_bus")
        message = Message(
            destination=name,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                answer = await self._bus.call(message)
        except (TimeoutError, OSError, EOFError) as exc:
            raise Unavailable(f"{name} does not answer", state="no_bus") from exc
        if answer.message_type is MessageType.ERROR:
            raise Unavailable(f"{name} refused {member}: {answer.error_name}", state="no_bus")
        return list(answer.body)

    async def owner(self, name: str) -> str:
        """The unique name of who owns `name`, "" if nobody does."""
        try:
            answer = await self.call(
                _DBUS, "/org/freedesktop/DBus", _DBUS, "GetNameOwner", "s", name
            )
        except Unavailable:
            return ""
        return str(answer[0])

    async def listen(self, rule: str, handler: Callable[[Message], None]) -> None:
        self._handlers.append(handler)
        await self.call(_DBUS, "/org/freedesktop/DBus", _DBUS, "AddMatch", "s", rule)

    async def watch_owner(self, name: str, handler: Callable[[str], None]) -> None:
        """Tell `handler` of each change of the owner of `name`, "" when it is gone."""

        def on_signal(message: Message) -> None:
            if (
                message.member == "NameOwnerChanged"
                and message.sender == _DBUS
                and message.body[0] == name
            ):
                handler(str(message.body[2]))

        rule = f"type='signal',sender='{_DBUS}',member='NameOwnerChanged',arg0='{name}'"
        await self.listen(rule, on_signal)

    def _on_message(self, message: Message) -> Message | bool | None:
        if message.message_type is MessageType.SIGNAL:
            for handler in self._handlers:
                handler(message)
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        served = self._served.get(message.path or "")
        if served is None or message.interface == "org.freedesktop.DBus.Introspectable":
            return None
        try:
            return served.answer(message)
        except Exception:
            logger.exception("a call on the session bus failed")
            return Message.new_error(message, _FAILED, "failed")
