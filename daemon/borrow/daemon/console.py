"""One-time links into the signed-in cloud console: `http://127.0.0.1:PORT/console/ID`.

The command line asks the cloud's sign-in service and hands the address here; the browser is given a
link that holds nothing of it. A link works once, for two minutes, for our own user (the door sees
to that), by the exact Host, and only for a navigation that no page started. This route alone may be
asked by a browser at all.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from borrow.daemon.control import Parts, Route, refuse_agents, route
from borrow.daemon.guard import Head, Refusal, no_browser
from borrow.daemon.ports import LOOPBACK
from borrow.protocol.errors import Misconfigured
from borrow.protocol.strict import Members, b64url

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from borrow.daemon.unixhttp import Answer, Call

LIVES: Final = 120.0  # seconds until a link is dead, used or not
PREFIX: Final = "/console/"
_MOST: Final = 16  # links at once; the oldest goes first
_LONGEST: Final = 8192  # bytes of an address; a sign-in token has about two thousand
_PATH: Final = re.compile(PREFIX + r"([A-Za-z0-9_-]{43})")

# What a browser says of a navigation that a person or a program started, and no page.
_NAVIGATION: Final = {
    b"sec-fetch-site": b"none",
    b"sec-fetch-mode": b"navigate",
    b"sec-fetch-dest": b"document",
}
# Of a page or a preflight, or of a look ahead that would use the link up.
_NEVER: Final = (b"origin", b"referer", b"upgrade", b"sec-purpose", b"purpose", b"http2-settings")


@dataclass(frozen=True, slots=True)
class _Link:
    location: str = field(repr=False)
    until: float


class Links:
    """The open links, in memory. `now` is in monotonic seconds, `entropy(n)` n random bytes."""

    def __init__(self, now: Callable[[], float], entropy: Callable[[int], bytes]) -> None:
        self._now = now
        self._entropy = entropy
        self._links: dict[str, _Link] = {}  # by the id's digest: looking one up tells no prefix

    def make(self, location: str) -> str:
        """The path of a new link to `location`."""
        now = self._now()
        self._links = {key: each for key, each in self._links.items() if each.until > now}
        while len(self._links) >= _MOST:
            del self._links[next(iter(self._links))]
        name = b64url(self._entropy(32))
        self._links[_digest(name)] = _Link(location, now + LIVES)
        return PREFIX + name

    def take(self, path: str) -> str:
        """Where the link at `path` leads, once; "" if it does not any more, or never did."""
        matched = _PATH.fullmatch(path)
        link = self._links.pop(_digest(matched[1]), None) if matched else None
        return link.location if link is not None and link.until > self._now() else ""


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def no_browser_but_for_links(head: Head, authority: bytes) -> Refusal | None:
    """The guard's `no_browser`, except for a plain navigation to a link."""
    if head.method != "GET" or not _PATH.fullmatch(head.target):
        return no_browser(head, authority)
    if any(name in _NEVER or name.startswith(b"access-control-") for name, _ in head.headers):
        return Refusal("browser", 403)
    for name, wanted in _NAVIGATION.items():
        if head.values(name) not in ([], [wanted]):
            return Refusal("browser", 403)
    return None


def console_routes(parts: Parts, links: Links) -> list[Route]:
    """The control API's call: an address comes in, a link goes out."""

    async def make(call: Call, _: str) -> Answer:
        await refuse_agents(call.pid, "open a console")
        body = Members(call.body, "request")
        location = checked(body.text("location", limit=_LONGEST))
        body.end()
        return {"url": f"http://{LOOPBACK}:{parts.port}{links.make(location)}", "seconds": LIVES}

    return [route("POST", r"/v1/console", make)]


def checked(location: str) -> str:
    """`location` if a browser may be sent there: https, or http on loopback for tests."""
    try:
        url = urlsplit(location)
        host = url.hostname or ""
    except ValueError:
        url, host = urlsplit(""), ""
    plain = (
        location.isascii() and location.isprintable() and not set(' "<>\\').intersection(location)
    )
    safe = url.scheme == "https" or (url.scheme == "http" and host in (LOOPBACK, "localhost"))
    if not (plain and safe and host) or url.username is not None:
        raise Misconfigured("that is no address of a sign-in service", hint="https only")
    return location


def web_routes(links: Links) -> list[web.RouteDef]:
    """The browser's side."""
    from aiohttp import web

    headers = {
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    }

    async def follow(request: web.Request) -> web.StreamResponse:
        location = links.take(request.raw_path)
        if not location:
            told = "This link was used, or is too old. Make another: borrow console ROLE\n"
            return web.Response(text=told, status=410, headers=headers)
        return web.Response(status=303, headers=headers | {"Location": location})

    return [web.get(PREFIX + "{id:.*}", follow, allow_head=False)]
