"""How a call is held while people decide, client by client (SDKS §0, §2, §9).

Decided within 0.4 s: the true status. Later: most SDKs give up after a second of silence, so their
`200` is opened at once and a space goes out every quarter second; a refusal then aborts the
connection, and the retry gets its 403 from memory. Go waits without a byte and shows the true
status. Rust reads a reason only out of a `200` (of any other status it shows the number alone), and
only Rust gets one, in a document that nobody takes for credentials (`documents.explanation`). The
fingerprint tunes this and is trusted for nothing else.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from borrow.daemon.documents import explanation, refusal
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable, Untrusted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from borrow.daemon.broker import Served
    from borrow.daemon.ticker import Ticker

DECIDE_WITHIN: Final = 0.4  # seconds; the shortest client time-out is 1 s
RUST_WAITS: Final = 4.5  # seconds; the whole client's identity time-out is 5 s

_AGAIN: Final = 10  # fetches whose result was over before it was written

_RUST_SENDS: Final = {b"accept", b"authorization", b"host"}

NO_STORE: Final = {"Cache-Control": "no-store"}

STATUS: Final[tuple[tuple[type[BorrowError], int], ...]] = (
    (Refused, 403),
    (Unavailable, 503),
    (Misconfigured, 503),
    (Untrusted, 502),
    (BorrowError, 503),
)


@dataclass(frozen=True, slots=True)
class Technique:
    """`limit`: seconds after which the client gives up anyhow; None: it has no limit.

    `explain`: it shows the reason of a refusal only out of a `200`.
    """

    dribble: bool
    limit: float | None = None
    explain: bool = False


PLAIN: Final = Technique(dribble=False)
DRIBBLE: Final = Technique(dribble=True)
RUST: Final = Technique(dribble=True, limit=RUST_WAITS, explain=True)


def technique_for(headers: tuple[tuple[bytes, bytes], ...]) -> Technique:
    """From the raw headers: their exact case is part of the fingerprint."""
    exact = dict(headers)
    lower = {name.lower(): value for name, value in headers}
    agent = lower.get(b"user-agent", b"")
    if agent.startswith(b"Go-http-client"):
        return PLAIN
    # Terraform sends an agent of its own through Go's HTTP client.
    if b"Amz-Sdk-Request" in exact and exact.get(b"Accept-Encoding") == b"gzip":
        return PLAIN
    # The whole request of Rust's credential provider: one header more is another client.
    rust = exact.keys() == _RUST_SENDS and exact[b"accept"] == b"application/json"
    return RUST if rust and len(headers) == len(exact) else DRIBBLE


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
        await asyncio.wait({task}, timeout=DECIDE_WITHIN)
        if not task.done() and technique.dribble:
            return await _dribble(request, task, ticker, technique, on_limit)
        result = await task
    return answer(result, technique)


async def _whole(
    fetch: Callable[[], Awaitable[Served]], render: Callable[[Served], bytes | None]
) -> bytes:
    # A credential may end between being found and being written: then the next one is fetched.
    for _ in range(_AGAIN):
        if (body := render(await fetch())) is not None:
            return body
        await asyncio.sleep(0.2)
    raise Unavailable("the credentials end as fast as they come")


async def _dribble(
    request: web.Request,
    task: asyncio.Task[bytes | BorrowError],
    ticker: Ticker,
    technique: Technique,
    on_limit: Callable[[], None],
) -> web.StreamResponse:
    limit = None if technique.limit is None else technique.limit - DECIDE_WITHIN
    response = web.StreamResponse(headers={"Content-Type": "application/json", **NO_STORE})
    response.enable_chunked_encoding()
    transport = request.transport
    try:
        await response.prepare(request)
        await response.write(b" ")
        if transport is None:
            raise ConnectionResetError
        ticker.add(transport)
        try:
            await asyncio.wait({task}, timeout=limit)
        finally:
            ticker.remove(transport)
        if not task.done():
            on_limit()
            task.cancel()
            transport.abort()
        elif isinstance(result := task.result(), bytes) or technique.explain:
            await response.write(_body(result, technique))
            await response.write_eof()
        else:
            # Never an error document after a 200: Go and google-auth would send unsigned calls.
            transport.abort()
    except ConnectionError:  # the client left while we wrote
        task.cancel()
    return response


def answer(result: bytes | BorrowError, technique: Technique = PLAIN) -> web.Response:
    status = 200 if isinstance(result, bytes) or technique.explain else status_of(result)
    body, kind = _body(result, technique), "application/json"
    return web.Response(body=body, status=status, content_type=kind, headers=NO_STORE)


def _body(result: bytes | BorrowError, technique: Technique) -> bytes:
    if isinstance(result, bytes):
        return result
    write = explanation if technique.explain else refusal
    return json.dumps(write(result, status_of(result))).encode()


def status_of(error: BorrowError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))
