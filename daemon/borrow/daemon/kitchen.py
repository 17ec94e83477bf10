"""Where connections wait while aiohttp is imported, once, at the first of them.

The door admits a connection and hands it over at once; until the application stands, a small
protocol keeps what arrives. Afterwards every hand-over goes straight to aiohttp.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web
    from typing_extensions import override

    from borrow.daemon.tasks import Spawn
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


logger = logging.getLogger(__name__)

# Bytes kept of one waiting connection; the door let through a head of 16 KiB at most.
_MOST: Final = 64 * 1024

CLEAN_UP: Final = 1.0  # seconds for handlers whose connections were cut already


class Kitchen:
    """`build` makes the application, in a thread: it imports aiohttp and cryptography."""

    def __init__(
        self,
        build: Callable[[], web.Application],
        spawn: Spawn,
    ) -> None:
        self._build = build
        self._spawn = spawn
        self._serve: Callable[[], asyncio.Protocol] | None = None
        self._runner: web.AppRunner | None = None
        self._waiting: dict[Waiting, None] = {}
        self._started = False

    def hand_over(self) -> asyncio.Protocol:
        if self._serve is not None:
            return self._serve()
        if not self._started:
            self._started = True
            self._spawn(self._open())
        return Waiting(self._waiting)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _open(self) -> None:
        app = await asyncio.to_thread(self._build)
        from aiohttp import web

        from borrow.daemon.front import aiohttp_handlers

        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=CLEAN_UP)
        await runner.setup()
        self._runner = runner
        self._serve = aiohttp_handlers(cast("web.Server", runner.server))  # set by setup()
        waiting, self._waiting = list(self._waiting), {}
        for each in waiting:
            each.pass_on(self._serve())


class Waiting(asyncio.Protocol):
    """One connection until the application stands."""

    __slots__ = ("_buffer", "_room", "_transport")

    def __init__(self, room: dict[Waiting, None]) -> None:
        self._room = room
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # TCP always is
        self._room[self] = None

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _MOST and self._transport is not None:
            self._transport.abort()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._room.pop(self, None)

    def pass_on(self, handler: asyncio.Protocol) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        if self._buffer:
            handler.data_received(self._buffer)
