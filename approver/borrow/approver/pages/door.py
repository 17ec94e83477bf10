"""The way into every page: our own posts only, who is signed in, and answers people can read.

A handler gets a `Visit` and may raise any `BorrowError`: it becomes a page, or JSON where a module
of ours asked. Every answer leaves with the headers of `guard`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from aiohttp import web

from borrow.approver.desk import DESK, Desk
from borrow.approver.errors import constant, response_to, status_of
from borrow.approver.pages import guard, session
from borrow.approver.pages.room import ROOM, Room
from borrow.protocol.errors import BorrowError, Refused, Unavailable
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.typedefs import Handler

    from borrow.approver.pages.session import Session

logger = logging.getLogger(__name__)

COOKIE: Final = "__Host-borrow"  # the prefix: Secure, Path=/ and no Domain, or browsers drop it
_MAX_COOKIE: Final = 128  # characters; ours are 43


@dataclass(frozen=True, slots=True)
class Visit:
    """One call of a page. `session` is None for strangers."""

    request: web.Request
    desk: Desk
    room: Room
    session: Session | None

    @property
    def person(self) -> str:
        """Who is signed in; only behind a door that wants somebody."""
        if self.session is None:
            raise RuntimeError("a page for the signed-in was opened to a stranger")
        return self.session.person

    @property
    def is_admin(self) -> bool:
        return self.session is not None and self.desk.is_admin(self.session.person)

    def page(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        me = None if self.session is None else self.session.person
        text = self.room.renderer.page(
            template,
            me=me,
            admin=self.is_admin,
            path=self.request.path,
            now=self.desk.clock(),
            origin=self.room.origin,
            passkeys_work=self.room.passkeys_work,
            **values,
        )
        return web.Response(text=text, content_type="text/html", status=status)

    def go(self, path: str) -> web.Response:
        """On to another page of ours, by GET."""
        return web.Response(status=303, headers={"Location": path})

    async def sign_in(self, answer: web.Response, person: str, credential_id: str) -> web.Response:
        """`answer`, with a new session. An earlier one of this browser ends: nobody brings one."""
        token = b64url(self.desk.entropy(session.TOKEN_BYTES))
        async with self.desk.store.writing() as db:
            if old := cookie_of(self.request):
                await session.end(db, old)
            await session.begin(
                db, token, person=person, credential_id=credential_id, now=self.desk.clock()
            )
        answer.set_cookie(
            COOKIE,
            token,
            max_age=int(session.LONGEST),
            path="/",
            secure=True,
            httponly=True,
            samesite="Lax",
        )
        return answer

    async def sign_out(self, answer: web.Response) -> web.Response:
        if token := cookie_of(self.request):
            async with self.desk.store.writing() as db:
                await session.end(db, token)
        answer.del_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
        return answer


PageHandler = "Callable[[Visit], Awaitable[web.StreamResponse]]"


def door(
    handler: Callable[[Visit], Awaitable[web.StreamResponse]],
    *,
    strangers: bool = False,
    data: bool = False,
) -> Handler:
    """`strangers`: also for those who are not signed in. `data`: called by our own modules.

    1. the host is ours (on the loopback)
    2. a post comes from our own pages
    3. whoever calls does not call too often
    4. somebody is signed in, with a passkey that still counts
    """

    async def opened(request: web.Request) -> web.StreamResponse:
        room = request.app[ROOM]
        visit = Visit(request, request.app[DESK], room, None)
        try:
            answer = await _answer(visit, handler, strangers=strangers, data=data)
        except web.HTTPException as exc:
            answer = constant(exc.status)
        except Exception as exc:  # noqa: BLE001  a template that fails, too, leaves with the headers
            # No traceback: its lines may hold what the request held.
            extra = {"route": _route(request), "kind": type(exc).__name__}
            logger.error("unexpected failure", extra=extra)  # noqa: TRY400
            answer = constant(500) if data else _broken()
        for name, value in guard.headers(room.origin).items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Cache-Control", "no-store")
        return answer

    return opened


async def _answer(
    visit: Visit,
    handler: Callable[[Visit], Awaitable[web.StreamResponse]],
    *,
    strangers: bool,
    data: bool,
) -> web.StreamResponse:
    request, origin = visit.request, visit.room.origin
    try:
        guard.check_host(request.host, origin)
        if request.method == "POST":
            guard.check_post(_all_of(request, "Sec-Fetch-Site", "Origin"), origin)
        visit = await _known(visit, strangers=strangers)
        return await handler(visit)
    except BorrowError as exc:
        return _refusal(visit, exc, data=data)


def _all_of(request: web.Request, *names: str) -> dict[str, str]:
    """These headers; one that came twice is both its values (RFC 9110 §5.3), so none of ours."""
    headers = request.headers
    return {name: ", ".join(headers.getall(name)) for name in names if name in headers}


def _broken() -> web.Response:
    """What a person reads when not even a page can be made."""
    return web.Response(
        status=500,
        text="Something went wrong here. Open the page again, or use `borrow` at a workstation.\n",
    )


async def _known(visit: Visit, *, strangers: bool) -> Visit:
    found = await _session(visit)
    if found is None:
        if visit.request.method == "POST":
            _pace(visit)
        if not strangers:
            raise _signed_out()
        return visit
    visit.desk.paces.take(f"session:{found.token_hash}")
    return Visit(visit.request, visit.desk, visit.room, found)


async def _session(visit: Visit) -> Session | None:
    token = cookie_of(visit.request)
    if not token:
        return None
    now = visit.desk.clock()
    async with visit.desk.store.reading() as db:
        found = await session.find(db, token, now=now)
    if found is None or not await _still_counts(visit, found):
        return None
    if now - found.last_at > session.TOUCH_EVERY:
        async with visit.desk.store.writing() as db:
            await session.touch(db, found, now=now)
    return found


async def _still_counts(visit: Visit, found: Session) -> bool:
    """The minter is asked each time: a removed passkey's sessions end, whoever removed it."""
    return await visit.desk.minter.passkey_is_active(found.credential_id)


def cookie_of(request: web.Request) -> str:
    token = request.cookies.get(COOKIE, "")
    return token if len(token) <= _MAX_COOKIE and token.isascii() else ""


def _pace(visit: Visit) -> None:
    request, room = visit.request, visit.room
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", ()))
    address = guard.client_address(request.remote or "", forwarded, room.trusted)
    try:
        room.strangers.take(f"address:{address}")
    except Unavailable as exc:
        raise Unavailable(
            "there were too many tries from your address",
            hint="wait a moment, then try again",
            state=exc.state,
            retry_after=exc.retry_after,
        ) from None


def _signed_out() -> Refused:
    return Refused("you are signed out", hint="sign in again", state="signed_out")


def _refusal(visit: Visit, error: BorrowError, *, data: bool) -> web.Response:
    request = visit.request
    extra = {"route": _route(request), "state": error.state, "kind": type(error).__name__}
    logger.info("refused", extra=extra)
    if data:
        return response_to(error, request.path)
    if error.state == "signed_out":
        wanted = request.path if request.method == "GET" else "/"
        return visit.go("/signin" + (f"?to={quote(wanted, safe='/')}" if wanted != "/" else ""))
    status = status_of(error, request.path)
    answer = visit.page(
        "error.html", status=status, message=error.message, hint=error.hint, missing=status == 404
    )
    if isinstance(error, Unavailable):
        answer.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return answer


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource else ""
