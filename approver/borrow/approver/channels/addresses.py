"""Which addresses the approver may be sent to (SSRF). Pure; `outbound` sends.

Subscriptions bring URLs that a browser, or somebody who imitates one, chose: https, and public.
`push_allow_hosts` names hosts for which only https is asked (plain http for the loopback).
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from yarl import URL

from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Collection

MAX_URL: Final = 2_048  # characters; the longest known push endpoint has about 500
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
    except (ValueError, IndexError):  # yarl lets the latter out for `https://[]a@`
        raise refused() from None
    host = host_of(parts)
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
    host = host_of(parts)
    return host in allow_hosts or f"{host}:{parts.port}" in allow_hosts


def host_of(parts: URL) -> str:
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
