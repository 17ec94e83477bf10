"""Which HTTP requests may come in at all: the rules a request meets after its socket's uid.

The rules are values (`RULES`), each a small function of the request's head, so that a test can
leave one out and watch the attack succeed. They look at the head as it was received and never at
what a framework made of it: aiohttp's `request.host`, for one, prefers the host of an
absolute-form target over the Host header. A refusal is a word and a status; it never carries a
byte of the request. No `Access-Control-*` header is ever added, so no page reads an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Handler, Middleware

Header = tuple[bytes, bytes]


class Head(NamedTuple):
    """The request line and headers, as received. Header names are lower-cased."""

    method: str
    target: str
    version: tuple[int, int]
    headers: tuple[Header, ...]

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


class Refusal(NamedTuple):
    """`reason` is a fixed word for the client, the counters and the audit; nothing else is said."""

    reason: str
    status: int


# What a rule says of a head that reached the listener at `authority` (b"127.0.0.1:PORT").
Rule = Callable[[Head, bytes], Refusal | None]

ALLOWED_METHODS: Final = ("GET", "PUT")

# Nothing below it is answered without a bearer (`container`).
BEARER_PATH: Final = "/v1/credentials/"

# Sent by browsers only. `sec-` covers Sec-Fetch-*, Sec-CH-*, Sec-WebSocket-*, which no script can
# set or remove; `access-control-` marks a preflight.
_BROWSER: Final = frozenset({b"origin", b"referer", b"cookie", b"upgrade", b"http2-settings"})
_BROWSER_PREFIXES: Final = (b"sec-", b"access-control-")

# A forwarded request comes from somebody else than the process that owns the socket.
_PROXIED: Final = frozenset(
    {
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-original-host",
        b"x-original-url",
        b"x-rewrite-url",
        b"true-client-ip",
        b"cf-connecting-ip",
    }
)
_PROXIED_PREFIXES: Final = (b"x-forwarded", b"proxy-", b"x-envoy-")


def origin_form(head: Head, authority: bytes) -> Refusal | None:
    """Only `/path`: absolute form, `//host/path`, `*` and CONNECT name another authority."""
    target = head.target
    if not target.startswith("/") or target.startswith("//"):
        return Refusal("target", 400)
    # "!".."~" is every character RFC 9112 lets a target hold; "\" and "#" start a new meaning in
    # some parsers.
    if any(not "!" <= char <= "~" or char in "\\#" for char in target):
        return Refusal("target", 400)
    return None


def one_exact_host(head: Head, authority: bytes) -> Refusal | None:
    """The very `ip:port` that was handed out: a rebound page cannot make its browser send it.

    The AWS Common Runtime (aws-c-auth) leaves the port out. Where a bearer is needed, that is
    taken too: a browser sends the bare address to port 80 only, and a rebound page its own name.
    """
    hosts = head.values(b"host")
    if len(hosts) > 1 or (not hosts and head.version >= (1, 1)):
        return Refusal("host", 400)
    bare = head.target.startswith(BEARER_PATH) and hosts == [authority.partition(b":")[0]]
    return None if bare or hosts == [authority] else Refusal("host", 403)


def http_1_1(head: Head, authority: bytes) -> Refusal | None:
    """Holding a call needs chunks, and every SDK speaks 1.1."""
    return None if head.version == (1, 1) else Refusal("version", 403)


def no_browser(head: Head, authority: bytes) -> Refusal | None:
    """A page on the same machine may reach the port; its browser cannot hide that it is one."""
    return Refusal("browser", 403) if _carries(head, _BROWSER, _BROWSER_PREFIXES) else None


def no_proxy(head: Head, authority: bytes) -> Refusal | None:
    """Presence counts, not the value: some proxies forward the header empty."""
    return Refusal("proxied", 403) if _carries(head, _PROXIED, _PROXIED_PREFIXES) else None


def known_method(head: Head, authority: bytes) -> Refusal | None:
    return None if head.method in ALLOWED_METHODS else Refusal("method", 405)


RULES: Final[tuple[Rule, ...]] = (
    origin_form,
    one_exact_host,
    http_1_1,
    no_browser,
    no_proxy,
    known_method,
)


def inspect(head: Head, authority: bytes, rules: Iterable[Rule] = RULES) -> Refusal | None:
    """The first rule that says no, or None. An empty rule list is a mistake, never a yes."""
    asked = False
    for rule in rules:
        asked = True
        if refusal := rule(head, authority):
            return refusal
    if not asked:
        raise RuntimeError("a guard without rules")
    return None


def authority_of(port: int) -> bytes:
    """The one Host that is accepted: what `borrow` puts into the SDK's environment."""
    return b"127.0.0.1:%d" % port


def _carries(head: Head, names: frozenset[bytes], prefixes: tuple[bytes, ...]) -> bool:
    return any(name in names or name.startswith(prefixes) for name, _ in head.headers)


# -- the aiohttp side ----------------------------------------------------------------------------

# The words for what aiohttp's router refuses.
_WORDS: Final = {404: "not_found", 405: "method"}


def guard_middleware(
    port: int,
    *,
    rules: tuple[Rule, ...] = RULES,
    on_reject: Callable[[str], None] | None = None,
) -> Middleware:
    """The guard for every route of an app, the missing ones included. Put it first.

    What aiohttp itself refuses (no such route) leaves as the same small JSON.
    """
    from aiohttp import web  # late: the daemon listens before it has imported aiohttp

    authority = authority_of(port)

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        refusal = inspect(head_of(request), authority, rules)
        if refusal is None:
            missing = request.match_info.http_exception
            if missing is None:
                return await handler(request)
            if on_reject is not None:
                on_reject(_WORDS.get(missing.status, "invalid_request"))
            return _plain(missing)
        if on_reject is not None:
            on_reject(refusal.reason)
        headers = {"Allow": ", ".join(ALLOWED_METHODS)} if refusal.status == 405 else None
        response = refused(refusal.reason, refusal.status, headers=headers)
        response.force_close()
        return response

    return guard


def head_of(request: web.Request) -> Head:
    """The head as the parser read it, before aiohttp interprets any of it."""
    return Head(
        method=request.method,
        target=request.raw_path,
        version=(request.version.major, request.version.minor),
        headers=tuple((name.lower(), value) for name, value in request.raw_headers),
    )


def refused(reason: str, status: int, headers: dict[str, str] | None = None) -> web.Response:
    """The one shape of a refusal at the edge. `reason` is ours, never text of the request."""
    from aiohttp import web

    return web.json_response(
        {"error": reason}, status=status, headers={"Cache-Control": "no-store"} | (headers or {})
    )


def install_guard(
    app: web.Application,
    middleware: Middleware,
    on_reject: Callable[[str], None] | None = None,
) -> None:
    """Make `middleware` the app's outermost one, and close the gap in front of it.

    The gap: aiohttp answers an odd `Expect` before any middleware runs, and its text repeats the
    header. What refuses there leaves with a body of ours.
    """
    from aiohttp import web

    async def silence(request: web.Request, response: web.StreamResponse) -> None:
        if not isinstance(response, web.HTTPExpectationFailed):
            return
        response.body = b'{"error": "expect"}'
        response.content_type = "application/json"
        # The length was taken before this hook ran.
        response.headers["Content-Length"] = str(len(response.body))
        response.headers["Cache-Control"] = "no-store"
        if on_reject is not None:
            on_reject("expect")

    app.middlewares.insert(0, middleware)
    app.on_response_prepare.append(silence)


def _plain(missing: web.HTTPException) -> web.Response:
    keep = {key: value for key, value in missing.headers.items() if key == "Allow"}
    return refused(_WORDS.get(missing.status, "invalid_request"), missing.status, headers=keep)
