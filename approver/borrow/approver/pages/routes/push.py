"""`/push/…`: a browser subscribes, and what a press on a notification does.

A session looks, denies and reports, and never approves. Notifications know opaque handles only;
they are resolved here, for the person they were made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from borrow.approver.bodies import json_object
from borrow.approver.channels import handles, subscriptions, webpush
from borrow.approver.channels.calls import Spoken
from borrow.approver.channels.deliver import Outcome, outcome_of, push
from borrow.approver.channels.handles import HANDLE_BYTES
from borrow.approver.channels.subscriptions import Subscription, read_subscription
from borrow.approver.decisions import settle, visible
from borrow.protocol.errors import Refused, Unavailable
from borrow.protocol.strict import Members, b64url

if TYPE_CHECKING:
    from borrow.approver.channels.handles import Handle
    from borrow.approver.pages.door import Visit

_ID_BYTES: Final = 12
_TEST_SECONDS: Final = 60.0


async def worker(visit: Visit) -> web.Response:
    """`GET /sw.js`, at the root: a worker's place bounds what it may act for."""
    return _file(visit, "sw.js")


async def manifest(visit: Visit) -> web.Response:
    """`GET /manifest.webmanifest`"""
    return _file(visit, "manifest.webmanifest")


async def key(visit: Visit) -> web.Response:
    """`GET /push/key`: what `pushManager.subscribe` takes as `applicationServerKey`."""
    if visit.desk.vapid is None:
        raise Unavailable(
            "this approver sends no pushes",
            hint="whoever runs the server can name an ntfy topic for you",
            state="no_push",
        )
    return web.json_response({"key": webpush.public_point(visit.desk.vapid)})


async def subscribe(visit: Visit) -> web.Response:
    desk = visit.desk
    endpoint, keys = read_subscription(await json_object(visit.request))
    await desk.outbound.require_public(endpoint)
    given = Subscription(
        id=b64url(desk.entropy(_ID_BYTES)),
        person=visit.person,
        endpoint=endpoint,
        keys=keys,
        credential=visit.session.credential_id if visit.session else "",
        added_at=desk.clock(),
        last_ok=None,
        failures=0,
    )
    async with desk.store.writing() as db:
        await subscriptions.add(db, given)
    return web.json_response({"subscribed": True}, status=201)


async def unsubscribe(visit: Visit) -> web.Response:
    """Of one's own; of one that is gone, too."""
    endpoint = await _endpoint(visit)
    async with visit.desk.store.writing() as db:
        found = await subscriptions.find_endpoint(db, endpoint, visit.person)
        if found is not None:
            await subscriptions.remove(db, found.id)
    return web.json_response({"subscribed": False})


async def test(visit: Visit) -> web.Response:
    """One push to this very browser, at once; `sent` says whether its service took it."""
    desk, endpoint = visit.desk, await _endpoint(visit)
    async with desk.store.reading() as db:
        found = await subscriptions.find_endpoint(db, endpoint, visit.person)
    if found is None:
        raise Refused(
            "this browser is not subscribed", hint="press *Notify me here* again", state="not_found"
        )
    handle = b64url(desk.entropy(HANDLE_BYTES))
    spoken = Spoken(handle, "test", quiet=False, until=desk.clock() + _TEST_SECONDS)
    try:
        outcome = outcome_of(await push(desk, found, spoken))
    except (Refused, Unavailable):
        outcome = Outcome.LATER
    async with desk.store.writing() as db:
        if outcome is Outcome.TAKEN:
            await subscriptions.worked(db, found.id, now=desk.clock())
        elif outcome is Outcome.GONE:
            await subscriptions.remove(db, found.id)
        else:
            await subscriptions.failed(db, found.id)
    return web.json_response({"sent": outcome is Outcome.TAKEN})


async def opened(visit: Visit) -> web.Response:
    """`GET /push/open/{id}`: on to what it means. Changes nothing (A51)."""
    sort, name = _subject(await _handle(visit))
    places = {"request": f"/r/{name}", "grant": f"/mine#{name}", "inbox": "/"}
    return visit.go(places.get(sort, "/keys"))


async def deny(visit: Visit) -> web.Response:
    """A no needs no evidence. It is recorded as one of a session."""
    desk, (sort, name) = visit.desk, _subject(await _handle(visit))
    if sort != "request":
        raise _nothing()
    await settle(desk, await visible(desk, name, visit.person), visit.person, None, "deny")
    return web.json_response({"decision": "deny"})


async def report(visit: Visit) -> web.Response:
    """*That was not me*, of a grant or of a request in one's own name."""
    desk, (sort, name) = visit.desk, _subject(await _handle(visit))
    if sort not in ("request", "grant"):
        raise _nothing()
    await desk.notices.publish(await desk.minter.report(name, visit.person, None))
    desk.devices.forget()
    return web.json_response({"decision": "report"})


async def _endpoint(visit: Visit) -> str:
    body = Members(await json_object(visit.request), "body")
    endpoint = body.text("endpoint")
    body.end()
    return endpoint


async def _handle(visit: Visit) -> Handle:
    async with visit.desk.store.reading() as db:
        found = await handles.find(db, visit.request.match_info["id"], visit.person)
    if found is None:
        raise _nothing()
    return found


def _subject(handle: Handle) -> tuple[str, str]:
    sort, _, name = handle.subject.partition(":")
    return sort, name


def _nothing() -> Refused:
    return Refused("there is nothing here", state="not_found")


def _file(visit: Visit, name: str) -> web.Response:
    wanted = visit.request.headers.get("If-None-Match", "")
    answer = visit.room.statics.answer(name, "", wanted)
    if answer is None:
        raise _nothing()
    return answer
