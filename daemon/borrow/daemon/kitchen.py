"""Between the door and aiohttp: what can be refused by a glance is, and aiohttp comes when needed.

Until the application stands, a connection waits here. If its request is plain, of the right form
and shows no bearer of ours, it gets its 401 from here and aiohttp stays unimported: a scanner, or
an SDK's stray request without a header, costs a moment and no memory. Everything else (any request
that is not plain, whatever the guard refuses, IMDS, a known bearer) is handed to aiohttp, whose
answer it gets. This lane can only say no; once aiohttp is there, it is not used any more.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import TYPE_CHECKING, Final, cast

from borrow.daemon.guard import Head, authority_of, inspect

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

_PREFIX: Final = "/v1/credentials/"
_BODY: Final = b'{"error": "unauthorized"}'
UNAUTHORIZED: Final = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"Cache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    % len(_BODY)
    + _BODY
)


class Kitchen:
    """`application()` gives what builds the app, which a thread then calls; `known` says whether
    an Authorization header carries a bearer of ours."""

    def __init__(
        self,
        application: Callable[[], Callable[[], web.Application]],
        known: Callable[[str], bool],
        spawn: Spawn,
        *,
        port: int,
        on_reject: Callable[[str], None],
    ) -> None:
        self._on_reject = on_reject
        self._application = application
        self._known = known
        self._spawn = spawn
        self._authority = authority_of(port)
        self._serve: Callable[[], asyncio.Protocol] | None = None
        self._runner: web.AppRunner | None = None
        self._waiting: dict[Waiting, None] = {}
        self._started = False

    def hand_over(self) -> asyncio.Protocol:
        return self._serve() if self._serve is not None else Waiting(self)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # -- called by Waiting -----------------------------------------------------------------------

    def is_stray(self, data: bytes) -> bool:
        """Whether this is one plain request for credentials without a bearer of ours."""
        head = read_plain(data)
        if head is None or inspect(head, self._authority) is not None:
            return False
        if head.method != "GET" or not _names_a_role(head.target):
            return False
        given = head.values(b"authorization")
        stray = not given or (len(given) == 1 and not self._known(given[0].decode("latin-1")))
        if stray:
            self._on_reject("bearer")
        return stray

    def wait(self, waiting: Waiting) -> None:
        """Keep a connection until aiohttp stands; the first one makes it come."""
        self._waiting[waiting] = None
        if not self._started:
            self._started = True
            self._spawn(self._open())

    def forget(self, waiting: Waiting) -> None:
        self._waiting.pop(waiting, None)

    async def _open(self) -> None:
        # In a thread, so that held streams of the control socket go on meanwhile.
        app = await asyncio.to_thread(self._application())
        from aiohttp import web

        from borrow.daemon.handlers import aiohttp_handlers

        gc.freeze()  # what was just imported stays
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=CLEAN_UP)
        await runner.setup()
        self._runner = runner
        server = cast("web.Server", runner.server)  # set by setup()
        self._serve = aiohttp_handlers(server, on_reject=self._on_reject)
        waiting, self._waiting = list(self._waiting), {}
        for each in waiting:
            each.pass_on(self._serve())


class Waiting(asyncio.Protocol):
    """One connection until it is refused here or aiohttp's."""

    __slots__ = ("_buffer", "_kitchen", "_transport")

    _transport: asyncio.Transport

    def __init__(self, kitchen: Kitchen) -> None:
        self._kitchen = kitchen
        self._buffer = b""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # TCP always is

    @override
    def data_received(self, data: bytes) -> None:
        first, self._buffer = not self._buffer, self._buffer + data
        if len(self._buffer) > _MOST:
            self._transport.abort()
        elif first and self._kitchen.is_stray(data):  # the door passes a whole head on at once
            self._transport.write(UNAUTHORIZED)
            self._transport.close()
        elif first:
            self._kitchen.wait(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._kitchen.forget(self)

    def pass_on(self, handler: asyncio.Protocol) -> None:
        if self._transport.is_closing():
            return
        self._transport.set_protocol(handler)
        handler.connection_made(self._transport)
        handler.data_received(self._buffer)


def read_plain(data: bytes) -> Head | None:
    """The head of one whole request without anything unusual, or None: then aiohttp reads it.

    Unusual is a second request or a body in the same piece, a bare line feed, a folded header, a
    byte that is no printable ASCII, and any header that frames a body.
    """
    if data.count(b"\r\n\r\n") != 1 or not data.endswith(b"\r\n\r\n"):
        return None
    line, *lines = data[:-4].split(b"\r\n")
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] != b"HTTP/1.1" or not _is_printable(data):
        return None
    headers = []
    for each in lines:
        name, colon, value = each.partition(b":")
        if not colon or not name or name != name.strip(b" \t") or name.lower() in _FRAMING:
            return None
        headers.append((name.lower(), value.strip(b" \t")))
    return Head(parts[0].decode("ascii"), parts[1].decode("ascii"), (1, 1), tuple(headers))


_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_ROLE: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")


def _is_printable(data: bytes) -> bool:
    text = data.replace(b"\r\n", b"")
    return text.isascii() and text.decode("ascii").isprintable()


def _names_a_role(target: str) -> bool:
    role = target.removeprefix(_PREFIX)
    return (
        role != target and 0 < len(role) <= 64 and role[0] not in "._-" and _ROLE.issuperset(role)
    )
