"""A very small HTTP/1.1 server for the control socket: one request per connection, JSON in and out.

The command line, the tray and `credential_process` wait for these answers, and aiohttp takes
longer to import than a whole interpreter to start. Only processes of our own user get this far
(0700 folder, SO_PEERCRED), so it refuses whatever it does not know and does no more than it must.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from borrow.daemon.peer import UnixPeer, unix_peer
from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)
from borrow.protocol.strict import parse_object

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger(__name__)

MAX_HEAD: Final = 16 * 1024
MAX_BODY: Final = 64 * 1024
_LENGTH_DIGITS: Final = 8
READ_WITHIN: Final = 5.0  # seconds for a whole request
WRITE_WITHIN: Final = 30.0  # seconds a client may take to read one piece of an answer

_REASONS: Final = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found"}

STATUS: Final[tuple[tuple[type[BorrowError], int], ...]] = (
    (Needs, 422),
    (Refused, 403),
    (Unavailable, 503),
    (Untrusted, 400),
    (Misconfigured, 409),
    (BorrowError, 500),
)


class Call(NamedTuple):
    """One request. `pid` is the caller's, from the kernel."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any]
    pid: int


Send = Callable[[bytes], Awaitable[None]]


class Stream(NamedTuple):
    """An answer that grows: `run` sends its pieces, the connection's end ends it.

    A BorrowError before the first piece is an answer with a status of its own; later ones are the
    stream's to tell in its own form.
    """

    run: Callable[[Send], Awaitable[None]]
    content_type: str = "application/x-ndjson"


Answer = dict[str, Any] | Stream
Handle = Callable[[Call], Awaitable[Answer]]


def error_body(error: BorrowError) -> dict[str, Any]:
    """`{"error": {"state", "message", "hint", "request"?, "fields"?}}`."""
    told: dict[str, Any] = {"state": error.state, "message": error.message, "hint": error.hint}
    if isinstance(error, Refused) and error.request:
        told["request"] = error.request
    if isinstance(error, Needs):
        told["fields"] = error.fields
    return {"error": told}


class ControlServer:
    """`handle` answers; `uid` is the only user served."""

    def __init__(self, handle: Handle, *, uid: int) -> None:
        self._handle = handle
        self._uid = uid
        self._server: asyncio.Server | None = None
        self._path: Path | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, path: Path) -> None:
        """Listen on `path`. The daemon's lock is held, so a socket that is there is a dead one."""
        self._path = path
        self._server = await asyncio.start_unix_server(
            self._connected, sock=_listener(path), limit=MAX_HEAD
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._path is not None:  # a socket that is left tells of a daemon that was killed
            with contextlib.suppress(OSError):
                self._path.unlink()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = _peer_of(writer)
        if peer is None or peer.uid != self._uid:
            logger.warning("control socket: stranger", extra={"uid": peer.uid if peer else None})
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            await self._serve(reader, writer, peer.pid)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the client left, or never said what it wanted
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int
    ) -> None:
        try:
            async with asyncio.timeout(READ_WITHIN):
                call = await _read_call(reader, pid)
        except Untrusted as exc:
            await _write(writer, _whole(400, error_body(exc)))
            return
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self._answer(call, writer))
            leaving = tasks.create_task(_left(reader))
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()  # a caller that left takes its place in the flight with it
            leaving.cancel()

    async def _answer(self, call: Call, writer: asyncio.StreamWriter) -> None:
        try:
            try:
                answer = await self._handle(call)
                if isinstance(answer, Stream):
                    await _stream(writer, answer)
                else:
                    await _write(writer, _whole(200, answer))
            except BorrowError as exc:
                status = next(code for kind, code in STATUS if isinstance(exc, kind))
                status = 404 if exc.state == "not_found" else status
                await _write(writer, _whole(status, error_body(exc)))
        except (ConnectionError, TimeoutError):
            return  # the client left, or reads nothing
        except Exception:
            logger.exception("control call failed", extra={"path": call.path.split("/")[:3]})
            writer.transport.abort()


def _listener(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
    except OSError as exc:
        listener.close()
        raise Misconfigured(
            f"cannot listen on {path}: {exc.strerror}", hint="check the folder's owner"
        ) from exc
    return listener


def _peer_of(writer: asyncio.StreamWriter) -> UnixPeer | None:
    connection = writer.get_extra_info("socket")
    # asyncio wraps the socket and hides nothing that getsockopt needs.
    return unix_peer(connection) if connection is not None else None


async def _read_call(reader: asyncio.StreamReader, pid: int) -> Call:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    except (asyncio.LimitOverrunError, UnicodeDecodeError):
        raise Untrusted("the request's head is too long or not ASCII") from None
    line, *lines = head[:-4].split("\r\n")
    method, _, rest = line.partition(" ")
    target, _, version = rest.partition(" ")
    if version not in ("HTTP/1.1", "HTTP/1.0") or not target.startswith("/"):
        raise Untrusted("not an HTTP request")
    headers = {}
    for each in lines:
        name, colon, value = each.partition(":")
        if not colon or name != name.strip() or name.lower() in headers:
            raise Untrusted("not an HTTP header")
        headers[name.lower()] = value.strip()
    length = headers.get("content-length", "0")
    known = length.isdecimal() and len(length) <= _LENGTH_DIGITS  # int() takes 4,300 at most
    if "transfer-encoding" in headers or not known or int(length) > MAX_BODY:
        raise Untrusted("the request's body is too large or of unknown length")
    raw = await reader.readexactly(int(length))
    try:
        parts = urlsplit(target)
    except ValueError:  # `//[` looks like the start of a host
        raise Untrusted("not an HTTP request") from None
    return Call(
        method=method,
        path=unquote(parts.path),
        query=dict(parse_qsl(parts.query)),
        body=parse_object(raw, "request", limit=MAX_BODY) if raw else {},
        pid=pid,
    )


async def _left(reader: asyncio.StreamReader) -> None:
    """Until the client closes its side. One request per connection: anything more is dropped."""
    while await reader.read(1024):
        pass


def _whole(status: int, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode() + b"\n"
    return _head(status, "application/json", len(data)) + data


def _head(status: int, content_type: str, length: int | None) -> bytes:
    reason = _REASONS.get(status, "Error")
    sized = "" if length is None else f"Content-Length: {length}\r\n"
    return (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{sized}"
        "Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    ).encode("ascii")


async def _stream(writer: asyncio.StreamWriter, answer: Stream) -> None:
    head = _head(200, answer.content_type, None)

    async def send(piece: bytes) -> None:
        nonlocal head
        first, head = head, b""
        await _write(writer, first + piece)

    try:
        await answer.run(send)
    except BorrowError:
        if head:
            raise  # nothing was sent yet
        logger.exception("a stream ended with an error it did not tell")


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    async with asyncio.timeout(WRITE_WITHIN):
        await writer.drain()
