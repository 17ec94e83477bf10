"""The bytes around a body, as aiohttp writes them: what the fast lane answers with."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from borrow.daemon.moments import Moment


def sized(status: int, body: bytes, now: Moment) -> bytes:
    """A whole answer."""
    return _head(status, f"Content-Length: {len(body)}", now) + body


def chunked_head(now: Moment) -> bytes:
    """The head of a `200` whose body comes in chunks."""
    return _head(200, "Transfer-Encoding: chunked", now)


def chunk(data: bytes) -> bytes:
    """Of nothing: the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _head(status: int, framing: str, now: Moment) -> bytes:
    from http import HTTPStatus

    from aiohttp.http import SERVER_SOFTWARE  # loaded long ago: the approver was asked through it

    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Cache-Control: no-store\r\n{framing}\r\nDate: {formatdate(now.wall, usegmt=True)}\r\n"
        f"Server: {SERVER_SOFTWARE}\r\n\r\n"
    ).encode("ascii")
