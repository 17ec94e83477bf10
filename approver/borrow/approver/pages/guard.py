"""What stands around every page: the headers it leaves with, and which posts are taken. Pure.

A page that shows strangers' words next to a yes must run no script of theirs, stand in nobody's
frame and take no form that another site filled in.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from borrow.approver.settings import Network

CSP: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    # Nothing goes to others. `no-referrer` would make browsers send `Origin: null` with our own
    # forms, and the origin is one of the two things by which a post is known to be ours.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_HSTS: Final = "max-age=31536000"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def headers(origin: str) -> dict[str, str]:
    """For every answer of the pages."""
    if origin.startswith("https:"):
        return _HEADERS | {"Strict-Transport-Security": _HSTS}
    return dict(_HEADERS)


def check_post(sent: Mapping[str, str], origin: str) -> None:
    """Raises Refused unless the browser says that one of our own pages sent this.

    1. `Sec-Fetch-Site`, which no script can set, says same-origin if it is there
    2. `Origin` is ours if it is there
    3. one of the two is there (what sends neither is no browser of today)
    """
    site, source = sent.get("Sec-Fetch-Site"), sent.get("Origin")
    if (
        site not in (None, "same-origin")
        or source not in (None, origin)
        or (site or source) is None
    ):
        raise Refused(
            "this was sent from another site",
            hint="open the page itself, and do it there",
            state="cross_site",
        )


def check_host(host: str, origin: str) -> None:
    """On the loopback, any name can be made to lead here (DNS rebinding): ours alone is served.

    Elsewhere a proxy may name us as it likes; nothing is ever made from the host that was sent.
    """
    ours = urlsplit(origin)
    if ours.hostname in _LOOPBACK and host.lower() != ours.netloc:
        raise Refused("this page has another address", hint=f"open {origin}", state="wrong_host")


def is_prefetch(sent: Mapping[str, str]) -> bool:
    """Nobody has looked yet: a browser fetched ahead of its person."""
    purpose = sent.get("Sec-Purpose", sent.get("Purpose", ""))
    return "prefetch" in purpose.lower()


def passkeys_work(origin: str) -> bool:
    """Browsers offer passkeys to https names and to localhost, never to a bare address."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    return host == "localhost" or (parts.scheme == "https" and not _is_address(host))


def client_address(peer: str, forwarded: str, trusted: tuple[Network, ...]) -> str:
    """Who calls, for counting. `forwarded` is X-Forwarded-For: believed as far as proxies of ours
    wrote it, from its end on; whatever stands before that is the caller's own invention."""
    seen = peer
    for hop in reversed([each.strip() for each in forwarded.split(",") if each.strip()]):
        if not _is_in(seen, trusted) or not _is_address(hop):
            break
        seen = hop
    return seen


def _is_in(text: str, networks: tuple[Network, ...]) -> bool:
    return _is_address(text) and any(ip_address(text) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
