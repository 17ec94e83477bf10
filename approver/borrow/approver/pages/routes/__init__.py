"""Every page, and what may be posted to it. A GET changes nothing (but `seen`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver.pages.door import door
from borrow.approver.pages.routes import (
    inbox,
    join,
    keys,
    mine,
    people,
    push,
    request,
    signin,
    static,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from borrow.approver.pages.door import Visit

    Page = Callable[[Visit], Awaitable[web.StreamResponse]]


def routes() -> list[web.RouteDef]:
    return [*_for_strangers(), *_for_the_signed_in()]


def _for_strangers() -> list[web.RouteDef]:
    looks: dict[str, Page] = {
        "/signin": signin.show,
        "/join": join.show,
        "/static/{name}": static.show,
        "/sw.js": push.worker,
        "/manifest.webmanifest": push.manifest,
    }
    asked_by_modules: dict[str, Page] = {
        "/signin/begin": signin.begin,
        "/signin": signin.finish,
        "/join/begin": join.begin,
        "/join": join.finish,
    }
    return [
        *(_get(path, door(page, strangers=True)) for path, page in looks.items()),
        *(
            web.post(path, door(page, strangers=True, data=True))
            for path, page in asked_by_modules.items()
        ),
        web.post("/signout", door(signin.leave, strangers=True)),
    ]


def _for_the_signed_in() -> list[web.RouteDef]:
    looks: dict[str, Page] = {
        "/": inbox.show,
        "/r/{id}": request.show,
        "/mine": mine.show,
        "/keys": keys.show,
        "/people": people.show,
        "/push/open/{id}": push.opened,
    }
    forms: dict[str, Page] = {
        "/r/{id}/decide": request.decide,
        "/mine/report": mine.report,
        "/keys/remove": keys.remove,
        "/keys/freeze": keys.freeze,
        "/people/freeze": people.freeze,
        "/people/unfreeze": people.unfreeze,
    }
    read_by_modules: dict[str, Page] = {
        "/pending": inbox.pending,
        "/r/{id}/state": request.state,
        "/push/key": push.key,
    }
    asked_by_modules: dict[str, Page] = {
        "/r/{id}/statement": request.statement,
        "/r/{id}/approve": request.approve,
        "/keys/invite/begin": keys.begin_invite,
        "/keys/invite": keys.invite,
        "/push/subscribe": push.subscribe,
        "/push/unsubscribe": push.unsubscribe,
        "/push/test": push.test,
        "/push/deny/{id}": push.deny,
        "/push/report/{id}": push.report,
    }
    return [
        *(_get(path, door(page)) for path, page in looks.items()),
        *(web.post(path, door(page)) for path, page in forms.items()),
        *(_get(path, door(page, data=True)) for path, page in read_by_modules.items()),
        *(web.post(path, door(page, data=True)) for path, page in asked_by_modules.items()),
    ]


def _get(path: str, handler: object) -> web.RouteDef:
    return web.get(path, handler, allow_head=False)  # type: ignore[arg-type]  # of `door`
