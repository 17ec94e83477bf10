"""`POST /revoke` (RFC 7009): a device gives something back, or takes a request back.

Twice is the same as once. A token that is nothing here is answered 200, as the standard says; one
of another client is refused.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from borrow.approver import tickets
from borrow.approver.auth import authenticate
from borrow.approver.bodies import form, need
from borrow.approver.desk import DESK, Desk
from borrow.protocol.errors import Refused
from borrow.protocol.ids import kind_of
from borrow.protocol.oauth import HINT_AUTH_REQ_ID

HINT_GRANT_ID: Final = "urn:borrow:grant_id"


async def revoke(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    members = await form(request)
    device = await authenticate(desk, members)
    token, hint = need(members, "token"), members.get("token_type_hint", "")
    if hint == HINT_AUTH_REQ_ID:
        await _cancel(desk, token, device.client_id)
    elif hint == HINT_GRANT_ID:
        await _release(desk, token, device.client_id)
    else:
        await _drop(desk, token, device.client_id)
    return web.json_response({})


async def _cancel(desk: Desk, auth_req_id: str, client_id: str) -> None:
    async with desk.store.reading() as db:
        held = await tickets.auth_request(db, auth_req_id)
    if held is None:
        return
    if held.client_id != client_id:
        raise _not_yours()
    try:
        changes = await desk.minter.cancel(held.request_id, client_id)
    except Refused as exc:
        if exc.state != "wrong_state":
            raise
        return  # it is over already, and that was the wish
    desk.waiting.ring([f"request:{held.request_id}"])
    await desk.notices.publish(changes)


async def _release(desk: Desk, grant_id: str, client_id: str) -> None:
    """Also by its public name alone: after a restart the daemon has that and no token."""
    if kind_of(grant_id) != "g":
        raise _not_yours()
    await desk.notices.publish(await desk.minter.release(grant_id, client_id))


async def _drop(desk: Desk, token: str, client_id: str) -> None:
    async with desk.store.reading() as db:
        held = await tickets.grant_of_token(db, token)
    if held is None:
        async with desk.store.writing() as db:
            await tickets.drop_access_token(db, token, client_id)
    elif held.client_id != client_id:
        raise _not_yours()
    else:
        await _release(desk, held.grant_id, client_id)


def _not_yours() -> Refused:
    return Refused("that was given to another client", state="invalid_grant")
