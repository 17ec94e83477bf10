"""Which addresses the approver may be sent to, and the one door through which it sends (SSRF).

Subscriptions bring URLs that a browser, or somebody who imitates one, chose. They are https, and
every address a connection is opened to is a public one: that is asked where the socket is made,
after the last resolution, so a name that changes its mind in between (DNS rebinding), an address
written as a decimal number and a literal are one case. Redirects are not followed, and no proxy
settings of the environment are taken. `push_allow_hosts` names hosts for which none of this holds
but https (plain http for the loopback).
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from borrow.protocol.errors import Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aiohttp.abc import AbstractResolver

logger = logging.getLogger(__name__)

SEND_SECONDS: Final = 10.0  # for one POST, its resolution and handshake included
MAX_URL: Final = 2_048  # characters; the longest known push endpoint has about 500
MOST_CONNECTIONS: Final = 64
LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_NOT_PUBLIC: Final = "not_public"
# What a URL is written in. Two parsers disagree about the rest (white space, backslashes, quotes).
_URL_TEXT: Final = re.compile(r"https?://[A-Za-z0-9._~:/?\[\]@!$&'()*+,;=%-]+", re.ASCII)
_UNICAST: Final = ipaddress.ip_network("2000::/3")
# Networks of IPv6 that carry an IPv4 address: (network, bits to the right of it).
_CARRIERS: Final = (
    (ipaddress.ip_network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (ipaddress.ip_network("64:ff9b::/96"), 0),  # NAT64: how an IPv6-only server reaches IPv4
    (ipaddress.ip_network("2002::/16"), 80),  # 6to4
)


def is_public(text: str) -> bool:
    """Whether `text` is one address of the public internet, in its plain spelling."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # a name, or a number that only the C library takes for an address
        return False
    if isinstance(address, ipaddress.IPv6Address):
        for network, right in _CARRIERS:
            if address in network:
                inner = ipaddress.IPv4Address(int(address) >> right & 0xFFFF_FFFF)
                return is_public(str(inner))
        return address.is_global and address in _UNICAST
    return address.is_global and not address.is_multicast and not address.is_reserved


def read_url(url: str, allow_hosts: Collection[str]) -> URL:
    """Raises Refused unless `url` is one to send to. What its name resolves to is seen later.

    The value returned is what is connected to: nothing parses the text a second time.
    """
    if len(url) > MAX_URL or not _URL_TEXT.fullmatch(url):
        raise refused()
    try:
        parts = URL(url, encoded=True)
        port = parts.port
    except ValueError:
        raise refused() from None
    host = _host(parts)
    if not host or parts.user or parts.password or parts.raw_fragment:
        raise refused()
    if is_allowed(parts, allow_hosts):
        if parts.scheme != "https" and not (parts.scheme == "http" and host in LOOPBACK):
            raise refused()
    elif parts.scheme != "https" or port != 443 or _is_private(host):
        raise refused()
    return parts


def is_allowed(parts: URL, allow_hosts: Collection[str]) -> bool:
    """Named by `push_allow_hosts`, as `host` (any port) or `host:port`."""
    host = _host(parts)
    return host in allow_hosts or f"{host}:{parts.port}" in allow_hosts


def _host(parts: URL) -> str:
    return (parts.raw_host or "").lower()


def refused() -> Refused:
    return Refused(
        "the address is not a public https address",
        hint="`push_allow_hosts` in server.toml names others that may be sent to",
        state=_NOT_PUBLIC,
    )


def _is_private(host: str) -> bool:
    """Of what is no name: aiohttp asks no resolver about a literal, nor about a plain number."""
    literal = ":" in host or host.replace(".", "").isdigit()
    return literal and not is_public(host)


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
        within: float = SEND_SECONDS,
    ) -> None:
        self._allow_hosts = frozenset(host.lower() for host in allow_hosts)
        self._resolver = resolver
        self._within = within
        self._stack = contextlib.AsyncExitStack()
        self._guarded: aiohttp.ClientSession | None = None
        self._free: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        self._resolver = self._resolver or ThreadedResolver()
        self._guarded = await self._session(socket_factory=_public_socket)
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
            found = await self._resolver.resolve(_host(parts), parts.port or 443)
        except OSError:
            raise refused() from None
        if not found or not all(is_public(each["host"]) for each in found):
            raise refused()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """What came back. Raises Refused for an address that may not be sent to, and Unavailable
        if nobody answered, which is also what a connection to a private address is."""
        parts = read_url(url, self._allow_hosts)
        session = self._free if is_allowed(parts, self._allow_hosts) else self._guarded
        if session is None:
            raise RuntimeError("not open")
        try:
            async with session.post(
                parts, data=body, headers=headers, allow_redirects=False
            ) as answer:
                return Reply(answer.status, _seconds(answer.headers.get("Retry-After", "")))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            extra = {"host": _host(parts), "kind": type(exc).__name__}  # paths are secrets
            logger.info("not sent", extra=extra)
            raise Unavailable("the receiver does not answer") from None


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
