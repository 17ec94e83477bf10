"""How fast one connection may ask: a program in a loop must not cost the others their answers.

A busy SDK fetches once per API call, a few hundred times a second at most; the bound is well above
that and counted per connection, so that nobody pays for somebody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from aiohttp import web

from borrow.daemon.guard import refused

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Middleware

MOST: Final = 2_000  # requests in any second of one connection


class Pace:
    """Counts the requests of one second, then of the next. `now` is in monotonic seconds."""

    __slots__ = ("_count", "_since")

    def __init__(self) -> None:
        self._since = 0.0
        self._count = 0

    def exceeded(self, now: float, most: int = MOST) -> bool:
        """Take one request into account; whether it is one too many."""
        if now - self._since >= 1.0:
            self._since, self._count = now, 0
        self._count += 1
        return self._count > most


def pace_middleware(
    now: Callable[[], float], on_reject: Callable[[str], None], *, most: int = MOST
) -> Middleware:
    """429 and the end of the connection for what comes too fast. Put it first."""
    paces: WeakKeyDictionary[asyncio.BaseTransport, Pace] = WeakKeyDictionary()

    @web.middleware
    async def paced(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        transport = request.transport
        if transport is not None:
            pace = paces.get(transport)
            if pace is None:
                pace = paces[transport] = Pace()
            if pace.exceeded(now(), most):
                on_reject("rate")
                response = refused("rate", 429, headers={"Retry-After": "1"})
                response.force_close()
                return response
        return await handler(request)

    return paced
