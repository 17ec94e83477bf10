"""A screen saver for a test's desk: locked until it reads a line, then it says so.

Run as a program with the bus's address.
"""

from __future__ import annotations

import asyncio
import sys

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

NAME, PATH = "org.xfce.ScreenSaver", "/org/xfce/ScreenSaver"
_DBUS = "org.freedesktop.DBus"


async def main(address: str) -> None:
    bus = await MessageBus(bus_address=address).connect()
    locked = True

    def answer(message: Message) -> Message | None:
        if message.message_type is MessageType.METHOD_CALL and message.member == "GetActive":
            return Message.new_method_return(message, "b", [locked])
        return None

    bus.add_message_handler(answer)
    place = "/org/freedesktop/DBus"
    await bus.call(Message(_DBUS, place, _DBUS, "RequestName", signature="su", body=[NAME, 4]))
    print("locked", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    locked = False
    await bus.send(Message.new_signal(PATH, NAME, "ActiveChanged", "b", [locked]))
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
