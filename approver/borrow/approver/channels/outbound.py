"""The one door through which the approver sends to addresses that others chose.

Every address a connection is opened to is a public one: that is asked where the socket is made,
after the last resolution, so a name that changes its mind in between (DNS rebinding), an address
written as a decimal number and a literal are one case. Redirects are not followed, and no proxy
settings of the environment are taken: they are a shell's, and would undo that without a word. A
proxy that the operator names for this finds the names itself, so it is the one that guards then.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.resolver import ThreadedResolver

from borrow.approver.channels.addresses import host_of, is_allowed, is_public, read_url, refused
from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping

    from aiohttp.abc import AbstractResolver
    from yarl import URL

logger = logging.getLogger(__name__)

SEND_SECONDS: Final = 10.0  # for one POST, its resolution and handshake included
MOST_CONNECTIONS: Final = 64
MAX_LINE: Final = 65_536  # bytes of a stream that are kept while its line has no end


@dataclass(frozen=True, slots=True)
class Reply:
    """`retry_after` is in seconds, 0 if the receiver named none."""

    status: int
    retry_after: float = 0.0


class Outbound:
    """Sends to addresses that others chose. `open` before the first use, `close` after the last."""

    def __init__(
        self,
        allow_hosts: Collection[str],
        *,
        resolver: AbstractResolver | None = None,
        proxy: str = "",
        within: float = SEND_SECONDS,
    ) -> None:
        self._allow_hosts = frozenset(host.lower() for host in allow_hosts)
        self._resolver = resolver
        self._proxy = proxy
        self._within = within
        self._stack = contextlib.AsyncExitStack()
        self._guarded: aiohttp.ClientSession | None = None
        self._free: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._resolver = self._resolver or ThreadedResolver()
        guard = {} if self._proxy else {"socket_factory": _public_socket}  # a proxy is private
        self._guarded = await self._session(**guard)
        self._free = await self._session()

    async def close(self) -> None:
        await self._stack.aclose()
        self._stack = contextlib.AsyncExitStack()

    async def _session(self, **options: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            resolver=self._resolver,
            use_dns_cache=False,
            limit=MOST_CONNECTIONS,
            limit_per_host=8,
            **options,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self._within),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers={"User-Agent": "borrow"},  # and no version of anything
        )
        return await self._stack.enter_async_context(session)

    async def require_public(self, url: str) -> None:
        """Raises Refused unless all that the name of `url` means today is public."""
        parts = read_url(url, self._allow_hosts)
        if is_allowed(parts, self._allow_hosts):
            return
        if self._resolver is None:
            raise RuntimeError("not open")
        try:
            found = await self._resolver.resolve(host_of(parts), parts.port or 443)
        except OSError:
            if self._proxy:  # behind it there may be no names of the outside
                return
            raise refused() from None
        if not found or not all(is_public(each["host"]) for each in found):
            raise refused()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """What came back. Raises Refused for an address that may not be sent to, and Unavailable
        if nobody answered, which is also what a connection to a private address is."""
        parts, session, proxy = self._way(url)
        try:
            async with session.post(
                parts, data=body, headers=headers, allow_redirects=False, proxy=proxy
            ) as answer:
                return Reply(answer.status, _seconds(answer.headers.get("Retry-After", "")))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            extra = {"host": host_of(parts), "kind": type(exc).__name__}  # paths are secrets
            logger.info("not sent", extra=extra)
            raise Unavailable("the receiver does not answer") from None

    async def lines(
        self, url: str, headers: Mapping[str, str], *, quiet: float
    ) -> AsyncGenerator[bytes]:
        """What is sent without end, line by line; as `post` raises, also after `quiet` seconds
        without a byte. It ends when the other side ends it."""
        parts, session, proxy = self._way(url)
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._within, sock_connect=self._within, sock_read=quiet
        )
        try:
            async with session.get(
                parts, headers=headers, allow_redirects=False, timeout=timeout, proxy=proxy
            ) as answer:
                if answer.status != HTTPStatus.OK:
                    raise Unavailable(f"the receiver answers {answer.status}")
                rest = b""
                async for data in answer.content.iter_any():
                    *whole, rest = (rest + data).split(b"\n")
                    for line in whole:
                        yield line
                    if len(rest) > MAX_LINE:
                        raise Unavailable("the receiver sends a line without end")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            extra = {"host": host_of(parts), "kind": type(exc).__name__}
            logger.info("not read", extra=extra)
            raise Unavailable("the receiver does not answer") from None

    def _way(self, url: str) -> tuple[URL, aiohttp.ClientSession, str | None]:
        """The address, by which session, and through which proxy: allowed hosts are near."""
        parts = read_url(url, self._allow_hosts)
        near = is_allowed(parts, self._allow_hosts)
        session = self._free if near else self._guarded
        if session is None:
            raise RuntimeError("not open")
        return parts, session, None if near else self._proxy or None


def _public_socket(info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
    """aiohttp makes every socket of a guarded session here, once for each address it tries."""
    family, kind, protocol, _, address = info
    if not is_public(str(address[0])):
        logger.warning("a private address was refused")
        raise OSError("not a public address")
    return socket.socket(family=family, type=kind, proto=protocol)


def _seconds(text: str) -> float:
    """A Retry-After in seconds; one that is a date, or odd, counts as none."""
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0.0
