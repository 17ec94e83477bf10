"""The administrator's door: a Unix socket beside the public one, for the same OS user only.

Who may open the socket is the administrator (its directory is 0700, and the peer's uid is asked of
the kernel). `by` names the person for the log.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver import errors
from borrow.approver.bodies import MAX_BODY, json_object
from borrow.approver.channels import subscriptions
from borrow.approver.channels.reachable import LISTENED, unreachable
from borrow.approver.desk import DESK, Desk
from borrow.approver.pages.guard import passkeys_work
from borrow.protocol.enrolment import Invitation
from borrow.protocol.errors import Refused
from borrow.protocol.ids import kind_of
from borrow.protocol.keys import thumbprint, thumbprint_words
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

_UCRED = struct.Struct("3i")  # pid, uid, gid


def build_admin_app(main: web.Application) -> web.Application:
    """Shares the parts of `main`, which must be running: it owns the database."""
    desk = main[DESK]
    app = web.Application(
        client_max_size=MAX_BODY, middlewares=[errors.middleware(desk.clock), _same_user()]
    )
    app[DESK] = desk
    app.add_routes(
        [
            web.get("/admin/status", status, allow_head=False),
            web.post("/admin/invite", invite),
            web.post("/admin/freeze", freeze),
            web.post("/admin/unfreeze", unfreeze),
            web.post("/admin/revoke", revoke),
        ]
    )
    return app


async def status(request: web.Request) -> web.Response:
    """Who has joined, and how many calls are held."""
    desk = request.app[DESK]
    minter = await desk.minter.keys()
    devices = await desk.devices.all()
    listed = [
        {"client_id": d.client_id, "owner": d.owner, "name": d.name, "state": d.state}
        for d in devices
    ]
    answer = {
        "issuer": desk.settings.issuer,
        "pages": desk.settings.pages,
        "passkeys": passkeys_work(desk.settings.origin),
        "words_a": thumbprint_words(thumbprint(desk.signer)),
        "words_m": thumbprint_words(minter.pin),
        "held": desk.waiting.count,
        "admins": list(desk.settings.admins()),
        "policy_trouble": desk.settings.trouble(),
        "devices": listed,
        "unreachable": await _unreachable(desk),
        "halves": await _halves(desk),
    }
    return web.json_response(answer)


async def _unreachable(desk: Desk) -> list[str]:
    async with desk.store.reading() as db:
        known = await subscriptions.all_of(db)
    settings = desk.settings
    listening = desk.contacts.within(LISTENED)
    return list(unreachable(settings.deciders(), known, settings.channels, listening))


async def _halves(desk: Desk) -> dict[str, list[str]]:
    """Who is asked about critical roles and could say half a yes at most, and what they lack."""
    active = {each.owner for each in await desk.devices.all() if each.state == "active"}
    found: dict[str, list[str]] = {}
    for person in desk.settings.critical():
        keys = await desk.minter.passkeys(person)
        has = {"passkey": any(each.state == "active" for each in keys), "device": person in active}
        if lacks := [kind for kind, there in has.items() if not there]:
            found[person] = lacks
    return found


async def invite(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    body = Members(await json_object(request), "invitation")
    person = body.text("person", limit=255)
    body.end()
    minter = await desk.minter.keys()
    invited = await desk.minter.invite(person)
    pin = thumbprint(desk.signer)
    link = Invitation(desk.settings.issuer, invited.person, pin, minter.pin, invited.key)
    url = link.to_url()
    answer = {
        "url": url,
        "page": desk.settings.at_pages(url),
        "passkeys": passkeys_work(desk.settings.origin),
        "person": invited.person,
        "words_a": thumbprint_words(pin),
        "words_m": thumbprint_words(minter.pin),
        "expires_at": int(invited.expires_at),
    }
    return web.json_response(answer)


async def freeze(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    client_id, by, _ = await _named(request, "client_id", "d")
    await desk.notices.publish(await desk.minter.freeze(client_id, by))
    desk.devices.forget()
    return web.json_response({"client_id": client_id, "state": "frozen"})


async def unfreeze(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    client_id, by, _ = await _named(request, "client_id", "d")
    await desk.notices.publish(await desk.minter.unfreeze(client_id, by))
    desk.devices.forget()
    return web.json_response({"client_id": client_id, "state": "active"})


async def revoke(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    grant_id, by, reason = await _named(request, "grant", "g")
    await desk.notices.publish(await desk.minter.revoke(grant_id, by, reason))
    return web.json_response({"grant": grant_id, "state": "revoked"})


async def _named(request: web.Request, name: str, kind: str) -> tuple[str, str, str]:
    """(id, by, reason) of a body that names one thing of `kind`."""
    body = Members(await json_object(request), "order")
    text, by = body.text(name, limit=64), body.text("by", limit=255)
    reason = body.text_or("reason", limit=500)
    body.end()
    if kind_of(text) != kind:
        raise Refused("there is nothing of that name", state="not_found")
    return text, by, reason


def _same_user() -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        uid = _peer_uid(request)
        if uid is not None and uid not in (os.geteuid(), 0):
            raise Refused("this socket is its owner's", state="wrong_user")
        return await handler(request)

    return check


def _peer_uid(request: web.Request) -> int | None:
    """None where the system has no SO_PEERCRED (macOS): the directory's mode guards there."""
    sock = request.transport.get_extra_info("socket") if request.transport else None
    option = getattr(socket, "SO_PEERCRED", None)
    if sock is None or option is None or sock.family != socket.AF_UNIX:
        return None
    _, uid, _ = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, option, _UCRED.size))
    return int(uid)
