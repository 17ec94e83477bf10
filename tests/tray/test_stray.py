"""What the D-Bus library leaves behind at the end of a desktop session is no fault of ours."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, cast

import pytest

from borrow.tray.session_bus import SessionBus

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbus_fast.aio import MessageBus


class Bus:
    """As far as a session bus looks at the library's."""

    def __init__(self, *, connected: bool) -> None:
        self.connected = connected

    def add_message_handler(self, handler: Callable[[Any], Any]) -> None:
        """Nothing comes."""


@pytest.mark.parametrize(
    ("connected", "error", "told"),
    [
        (False, BrokenPipeError(32, "gone"), False),
        (True, BrokenPipeError(32, "gone"), True),
        (False, ValueError("a fault"), True),
    ],
)
async def test_a_send_that_was_cut_by_the_sessions_end_is_told_to_nobody(
    connected: bool, error: Exception, told: bool
) -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    bus = SessionBus(cast("MessageBus", Bus(connected=connected)))

    def hear(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        bus.on_stray(cast("asyncio.AbstractEventLoop", Told(heard)), context)

    loop.set_exception_handler(hear)
    lost = loop.create_future()
    lost.set_exception(error)
    del lost
    gc.collect()
    assert bool(heard) == told


class Told:
    """A loop that keeps what it would print."""

    def __init__(self, heard: list[dict[str, Any]]) -> None:
        self.heard = heard

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.heard.append(context)
