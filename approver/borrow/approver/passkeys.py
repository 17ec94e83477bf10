"""A person's passkeys, as their own device asks: list, remove, an invitation for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.approver.auth import bearer
from borrow.approver.bodies import json_object
from borrow.approver.desk import DESK
from borrow.protocol.decision import read_evidence
from borrow.protocol.enrolment import Invitation
from borrow.protocol.keys import thumbprint
from borrow.protocol.strict import Members, b64url, from_b64url

if TYPE_CHECKING:
    from borrow.minter.port import Passkey


async def listed(request: web.Request) -> web.Response:
    """`GET /passkeys`: this person's."""
    caller = await bearer(request, "manage")
    found = await request.app[DESK].minter.passkeys(caller.person)
    return web.json_response({"passkeys": [_shown(each) for each in found]})


async def ceremony(request: web.Request) -> web.Response:
    """`POST /passkeys`: the bytes that a one-time code is tied to."""
    desk = request.app[DESK]
    caller = await bearer(request, "manage")
    data = await desk.minter.new_ceremony("invite", caller.person)
    return web.json_response({"ceremony": b64url(data)})


async def invite(request: web.Request) -> web.Response:
    """`POST /passkeys/invitation`: the link under which a phone or browser registers one."""
    desk = request.app[DESK]
    caller = await bearer(request, "manage")
    body = Members(await json_object(request), "invitation")
    data = from_b64url(body.text("ceremony", limit=4_096), "ceremony")
    evidence = read_evidence(body.object("evidence"))
    body.end()
    invited = await desk.minter.invite_with(data, evidence, caller.client_id)
    minter = await desk.minter.keys()
    pins = thumbprint(desk.signer), minter.pin
    link = Invitation(desk.settings.pages, invited.person, *pins, invited.key)
    return web.json_response({"url": link.to_url(), "expires_at": int(invited.expires_at)})


async def remove(request: web.Request) -> web.Response:
    """`POST /passkeys/removal`: take one away; that harms nobody for long and needs no evidence."""
    desk = request.app[DESK]
    caller = await bearer(request, "manage")
    body = Members(await json_object(request), "removal")
    credential_id = body.text("id", limit=2_048)
    body.end()
    await desk.notices.publish(await desk.minter.passkey_remove(credential_id, caller.person))
    return web.json_response({"removed": credential_id})


def _shown(passkey: Passkey) -> dict[str, Any]:
    return {
        "id": passkey.credential_id,
        "name": passkey.name,
        "added_at": int(passkey.added_at),
        "counts_from": int(passkey.counts_from),
        "last_used_at": int(passkey.last_used_at),
        "backed_up": passkey.backed_up,
    }
