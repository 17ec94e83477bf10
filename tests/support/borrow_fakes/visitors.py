"""People at the pages without a passkey: behind a door that believes a header."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from borrow.approver.channels.routes import routes
from borrow.approver.desk import DESK, Desk
from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp
    from aiohttp import web
    from aiohttp.typedefs import Handler

NAME = "X-Test-Person"


@dataclass(frozen=True)
class Session:
    person: str
    credential_id: str


@dataclass(frozen=True)
class Visit:
    request: web.Request
    desk: Desk
    session: Session | None

    @property
    def person(self) -> str:
        assert self.session is not None
        return self.session.person


def open_door(
    handler: Callable[[Any], Awaitable[web.StreamResponse]],
    *,
    strangers: bool = False,
    data: bool = False,
) -> Handler:
    """A real browser sends no such header: it is who its cookie says."""

    async def opened(request: web.Request) -> web.StreamResponse:
        name = request.headers.get(NAME, request.cookies.get("person", ""))
        if not name and not strangers:
            raise Refused("you are signed out", state="signed_out")
        session = Session(name, f"passkey of {name}") if name else None
        return await handler(Visit(request, request.app[DESK], session))

    return opened


def push_routes() -> list[web.RouteDef]:
    return routes(open_door)


@dataclass(frozen=True)
class Visitor:
    """`person` in a browser that keeps nothing. Each call gives (status, body)."""

    person: str
    base: str
    http: aiohttp.ClientSession

    async def post(self, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        async with self.http.post(
            self.base + path, json=body, headers={NAME: self.person}
        ) as answer:
            return answer.status, json.loads(await answer.text() or "{}")

    async def get(self, path: str) -> tuple[int, dict[str, Any], str]:
        async with self.http.get(
            self.base + path, headers={NAME: self.person}, allow_redirects=False
        ) as answer:
            text = await answer.text()
            body = json.loads(text) if answer.content_type == "application/json" else {}
            return answer.status, body, answer.headers.get("Location", "")
