"""What a device's owner may ask for, what they asked, and what they hold."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from borrow.approver import tickets
from borrow.approver.auth import bearer
from borrow.approver.bodies import path_id
from borrow.approver.desk import DESK
from borrow.approver.summaries import grant_summary, halves_of
from borrow.protocol.errors import Refused
from borrow.protocol.text import shown


async def catalogue(request: web.Request) -> web.Response:
    """`GET /catalogue`"""
    desk = request.app[DESK]
    caller = await bearer(request, "catalogue")
    roles = await desk.minter.catalogue(caller.person)
    async with desk.store.reading() as db:
        waits = await tickets.usual_waits(db)
    listed = [{**role, "usual_wait": waits.get(str(role.get("name")))} for role in roles]
    return web.json_response({"person": caller.person, "roles": listed})


async def asked(request: web.Request) -> web.Response:
    """`GET /requests/{id}`: how it stands, for the device that asked."""
    desk = request.app[DESK]
    caller = await bearer(request)
    view = await desk.minter.request(path_id(request, "r"))
    if view.client_id != caller.client_id:
        raise Refused("there is nothing here", state="not_found")
    async with desk.store.reading() as db:
        eyes = await tickets.eyes(db, view.request_id, now=desk.clock())
        usual = await tickets.usual_wait(db, view.role.identifier)
    answer: dict[str, Any] = {
        "request": view.request_id,
        "role": view.role.identifier,
        "account": view.account,
        "state": view.state.value,
        "rule": view.rule,
        "mode": view.mode,
        "justification": view.role.justification,
        "ticket": view.role.ticket,
        "seconds": view.role.seconds,
        "asked_at": int(view.asked_at),
        "asked": list(view.deciders),
        "seen": list(eyes.seen),
        "looking": list(eyes.looking),
        "expires_at": int(view.pending_until),
        "usual_wait": usual,
        "decided_by": list(view.decided_by),
        "reason": shown(view.reason) if view.reason else "",
        "grant": view.grant_id,
    }
    if view.halves:
        answer["halves"] = halves_of(view)
    return web.json_response(answer)


async def grants(request: web.Request) -> web.Response:
    """`GET /grants`: all live grants of this person, on all their devices."""
    desk = request.app[DESK]
    caller = await bearer(request)
    views = await desk.minter.grants_for(None, caller.person)
    listed = [
        grant_summary(view) | {"this_device": view.client_id == caller.client_id} for view in views
    ]
    return web.json_response({"grants": listed})
