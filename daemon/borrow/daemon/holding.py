"""A call that aiohttp serves, held while people decide; how, `techniques` knows of each client.

What the fast lane can read it holds itself (`crowd`): IMDS, agents with a person's bearer and
whatever is not plain wait here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from borrow.daemon.techniques import (
    AGAIN,
    PAUSE,
    PLAIN,
    Technique,
    farewell,
    last_words,
    told,
)
from borrow.protocol.errors import BorrowError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from borrow.daemon.broker import Served
    from borrow.daemon.ticker import Ticker

NO_STORE: Final = {"Cache-Control": "no-store"}


async def hold(
    request: web.Request,
    fetch: Callable[[], Awaitable[Served]],
    *,
    technique: Technique,
    ticker: Ticker,
    render: Callable[[Served], bytes | None],
    on_limit: Callable[[], None],
) -> web.StreamResponse:
    """Answer `request` with what `fetch` brings, however long that takes.

    The handler is cancelled when the client leaves, and with it the fetch: its place in the
    flight is given up, the flight goes on.
    """

    async def outcome() -> bytes | BorrowError:
        try:
            return await _whole(fetch, render)
        except BorrowError as exc:
            return exc

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(outcome())
        await asyncio.wait({task}, timeout=technique.opens if technique.dribble else None)
        if not task.done() and technique.dribble:
            return await _dribble(request, task, ticker, technique, on_limit)
        result = await task
    return answer(result, technique)


async def _whole(
    fetch: Callable[[], Awaitable[Served]], render: Callable[[Served], bytes | None]
) -> bytes:
    # A credential may end between being found and being written: then the next one is fetched.
    for _ in range(AGAIN):
        if (body := render(await fetch())) is not None:
            return body
        await asyncio.sleep(PAUSE)
    raise Unavailable("the credentials end as fast as they come")


async def _dribble(
    request: web.Request,
    task: asyncio.Task[bytes | BorrowError],
    ticker: Ticker,
    technique: Technique,
    on_limit: Callable[[], None],
) -> web.StreamResponse:
    limit = None if technique.limit is None else technique.limit - technique.opens
    response = web.StreamResponse(headers={"Content-Type": "application/json", **NO_STORE})
    response.enable_chunked_encoding()
    transport = request.transport
    try:
        await response.prepare(request)
        await response.write(b" ")
        if transport is None:
            raise ConnectionResetError
        ticker.add(transport, farewell(technique))
        try:
            await asyncio.wait({task}, timeout=limit)
        finally:
            ticker.remove(transport)
        if not task.done():
            on_limit()
            task.cancel()
            transport.abort()
        elif (last := last_words(task.result(), technique)) is not None:
            await response.write(last)
            await response.write_eof()
        else:
            transport.abort()
    except ConnectionError:  # the client left while we wrote
        task.cancel()
    return response


def answer(result: bytes | BorrowError, technique: Technique = PLAIN) -> web.Response:
    status, body = told(result, technique)
    return web.Response(body=body, status=status, content_type="application/json", headers=NO_STORE)
