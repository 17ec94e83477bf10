"""What this person holds and held, each with *That was not me*."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.approver.bodies import form, need
from borrow.approver.pages import words
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.ids import kind_of

if TYPE_CHECKING:
    from aiohttp import web

    from borrow.approver.pages.door import Visit


async def show(visit: Visit) -> web.Response:
    """`GET /mine`"""
    minter = visit.desk.minter
    grants = await minter.grants_for(None, visit.person)
    past = await minter.history(visit.person)
    names = {device.client_id: device.name for device in await visit.desk.devices.all()}
    return visit.page(
        "mine.html",
        grants=grants,
        past=[(view, words.outcome(view, visit.person)) for view in past],
        names=names,
        reported=visit.request.query.get("reported") == "1",
    )


async def report(visit: Visit) -> web.Response:
    """`POST /mine/report`: ends what the device has and asks for, and freezes it."""
    subject = need(await form(visit.request, ("subject",)), "subject")
    try:
        known = kind_of(subject) in "rg"
    except Untrusted:
        known = False
    if not known:
        raise Refused("there is nothing here", state="not_found")
    changes = await visit.desk.minter.report(subject, visit.person, None)
    await visit.desk.notices.publish(changes)
    visit.desk.devices.forget()
    return visit.go("/mine?reported=1")
