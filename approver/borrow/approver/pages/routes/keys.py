"""My passkeys and devices; and an invitation for another one, by a fresh use of a passkey."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver.bodies import form, json_object, need
from borrow.approver.pages import session
from borrow.approver.pages.ceremony import asked, need_passkeys
from borrow.approver.pages.qr import drawing
from borrow.approver.pages.routes.signin import MAX_ANSWER
from borrow.protocol.decision import Evidence
from borrow.protocol.enrolment import Invitation
from borrow.protocol.errors import Refused
from borrow.protocol.keys import thumbprint, thumbprint_words
from borrow.protocol.strict import Members, from_b64url

if TYPE_CHECKING:
    from borrow.approver.pages.door import Visit


async def show(visit: Visit) -> web.Response:
    """`GET /keys`"""
    devices = [d for d in await visit.desk.devices.all() if d.owner == visit.person]
    passkeys = await visit.desk.minter.passkeys(visit.person)
    here = visit.session.credential_id if visit.session else ""
    return visit.page("keys.html", devices=devices, passkeys=passkeys, here=here)


async def remove(visit: Visit) -> web.Response:
    """`POST /keys/remove`: one of this person's own passkeys, and all that it had signed in."""
    credential_id = need(await form(visit.request, ("credential",)), "credential")
    changes = await visit.desk.minter.passkey_remove(credential_id, visit.person)
    async with visit.desk.store.writing() as db:
        await session.end_with(db, credential_id)
    await visit.desk.notices.publish(changes)
    return visit.go("/keys")


async def freeze(visit: Visit) -> web.Response:
    """`POST /keys/freeze`: a device of one's own that is lost; somebody else lets it work again."""
    client_id = need(await form(visit.request, ("device",)), "device")
    device = await visit.desk.devices.find(client_id)
    if device is None or device.owner != visit.person:
        raise Refused("there is nothing of that name", state="not_found")
    await visit.desk.notices.publish(await visit.desk.minter.freeze(client_id, visit.person))
    visit.desk.devices.forget()
    return visit.go("/keys")


async def begin_invite(visit: Visit) -> web.Response:
    """`POST /keys/invite/begin`: `person` is oneself, or anybody if an admin asks."""
    body = Members(await json_object(visit.request), "invitation")
    person = body.text_or("person", limit=255) or visit.person
    body.end()
    need_passkeys(visit)
    data = await visit.desk.minter.new_ceremony("invite", person)
    mine = [each.credential_id for each in await visit.desk.minter.passkeys(visit.person)]
    return web.json_response(asked(visit, data, "ceremony", allow=mine))


async def invite(visit: Visit) -> web.Response:
    """`POST /keys/invite`: the link, once, and its drawing."""
    body = Members(await json_object(visit.request), "invitation")
    ceremony = from_b64url(body.text("ceremony", limit=4_096), "ceremony")
    assertion = body.text("assertion", limit=MAX_ANSWER)
    body.end()
    desk = visit.desk
    invited = await desk.minter.invite_with(ceremony, Evidence("passkey", assertion))
    keys = await desk.minter.keys()
    pin = thumbprint(desk.signer)
    link = Invitation(desk.settings.issuer, invited.person, pin, keys.pin, invited.key).to_url()
    page = desk.settings.at_pages(link)
    return web.json_response(
        {
            "person": invited.person,
            "join": link,
            "url": page,
            "drawing": drawing(page),
            "words_a": thumbprint_words(pin),
            "words_m": thumbprint_words(keys.pin),
            "expires_at": int(invited.expires_at),
        }
    )
