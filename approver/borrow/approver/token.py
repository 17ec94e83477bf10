"""`POST /token`: a yes becomes a grant token, a grant token becomes sealed credentials.

Three grant types: CIBA (a long poll), token exchange (RFC 8693) and client credentials. The minter
opens grants and mints; what is answered here can be lost and asked for again: opening is
idempotent, and a lost answer is a resume (PROTOCOL "Lives").
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn

from aiohttp import web

from borrow.approver import tickets
from borrow.approver.auth import HEARS, authenticate, require_active
from borrow.approver.bodies import form, need
from borrow.approver.desk import DESK, Desk
from borrow.approver.idtoken import id_token
from borrow.protocol.errors import BorrowError, Refused, Unavailable, Untrusted
from borrow.protocol.lifecycle import GrantState, RequestState
from borrow.protocol.oauth import (
    GRANT_CIBA,
    GRANT_CLIENT_CREDENTIALS,
    GRANT_EXCHANGE,
    SCOPES,
    TOKEN_ACCESS,
    TOKEN_CREDENTIALS,
)
from borrow.protocol.strict import b64url
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from borrow.approver.waiting import Bell
    from borrow.minter.port import Device, RequestView

TOKEN_BYTES = 32
_COLLECTABLE = (RequestState.APPROVED, RequestState.REDEEMED)


async def token(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    members = await form(request)
    grant_type = need(members, "grant_type")
    device = await authenticate(desk, members)
    if grant_type == GRANT_CIBA:
        answer = await _ciba(desk, request, members, device)
    elif grant_type == GRANT_EXCHANGE:
        answer = await _exchange(desk, members, device)
    elif grant_type == GRANT_CLIENT_CREDENTIALS:
        answer = await _client_credentials(desk, members, device)
    else:
        raise Refused("no such grant type here", state="unsupported_grant_type")
    return web.json_response(answer, headers={"Pragma": "no-cache"})


# -- CIBA ------------------------------------------------------------------------------------------


async def _ciba(
    desk: Desk, request: web.Request, members: dict[str, str], device: Device
) -> dict[str, Any]:
    require_active(device)
    auth_req_id = need(members, "auth_req_id")
    async with desk.store.reading() as db:
        held = await tickets.auth_request(db, auth_req_id)
    if held is None or held.client_id != device.client_id:
        raise Refused("no such request of this device", state="invalid_grant")
    if held.redeemed:
        raise Refused("the request was collected already; ask again", state="invalid_grant")
    slot, subject = f"token:{tickets.hashed(auth_req_id)}", f"request:{held.request_id}"
    with desk.waiting.hold(slot, [subject], owner=device.client_id) as bell:
        await _until_decided(desk, held.request_id, bell)
        if request.transport is None or request.transport.is_closing():
            # Nobody would get the answer: leave the yes to the next poll.
            raise Unavailable("the caller has left", state="authorization_pending")
        return await _open(desk, auth_req_id, held.request_id, device)


async def _until_decided(desk: Desk, request_id: str, bell: Bell) -> None:
    """Return when the request can be collected; raise what the answer is otherwise."""
    loop = asyncio.get_running_loop()
    end = loop.time() + desk.settings.long_poll
    while True:
        view = await desk.minter.request(request_id)
        if bell.superseded:
            raise Unavailable("another poll of this request came", state="slow_down")
        if view.state in _COLLECTABLE:
            return
        if view.state is not RequestState.PENDING:
            _refuse(view)
        left = end - loop.time()
        if bell.closing or left <= 0:
            raise Unavailable("nobody has answered yet", state="authorization_pending")
        await bell.wait(left)


def _refuse(view: RequestView) -> NoReturn:
    by = ", ".join(shown(name, 80) for name in view.decided_by)
    why = f": {shown(view.reason)}" if view.reason else ""
    name = view.request_id
    endings = {
        RequestState.DENIED: (f"{name} was denied{' by ' + by if by else ''}{why}", "denied"),
        RequestState.EXPIRED: (f"nobody answered {name} in time", "expired"),
        RequestState.LAPSED: (f"{name} was approved but not used in time", "expired"),
        RequestState.CANCELLED: (f"{name} was cancelled{why}", "cancelled"),
        RequestState.REVOKED: (f"{name} was revoked{why}", "revoked"),
    }
    message, state = endings[view.state]
    raise Refused(message, state=state, request=name)


async def _open(desk: Desk, auth_req_id: str, request_id: str, device: Device) -> dict[str, Any]:
    """The grant token. A step that a crash cuts off is done again by the next poll."""
    grant, changes = await desk.minter.open_grant(request_id, device.client_id)
    now = desk.clock()
    if grant.state is not GrantState.ACTIVE or grant.expires_at <= now:
        raise Refused(f"the grant of {request_id} is over", state="invalid_grant")
    access_token = b64url(desk.entropy(TOKEN_BYTES))
    try:
        letters = await desk.notices.letters(changes)
        async with desk.store.writing() as db:
            if not await tickets.redeem(db, auth_req_id, now=now):
                raise Refused("the request was collected already", state="invalid_grant")
            await desk.notices.apply(db, changes)
            await tickets.issue_grant_token(db, access_token, grant)
            await desk.notices.post(db, letters)
    except BorrowError:
        desk.notices.keep(changes)
        raise
    desk.notices.ring(changes, letters)
    signed = id_token(grant, auth_req_id, issuer=desk.settings.issuer, signer=desk.signer, now=now)
    return {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": max(1, int(grant.expires_at - now)),
        "interval": desk.settings.interval,
        "id_token": signed,
        "grant_id": grant.grant_id,
        "authorization_details": [grant.role.to_claims()],
        "borrow_resumed": grant.resumed,
    }


# -- token exchange --------------------------------------------------------------------------------


async def _exchange(desk: Desk, members: dict[str, str], device: Device) -> dict[str, Any]:
    require_active(device)
    subject_token = need(members, "subject_token")
    role = need(members, "resource")
    if need(members, "subject_token_type") != TOKEN_ACCESS:
        raise Untrusted("the subject token is of another type", state="invalid_request")
    if need(members, "requested_token_type") != TOKEN_CREDENTIALS:
        raise Untrusted("only credentials are given here", state="invalid_request")
    async with desk.store.reading() as db:
        held = await tickets.grant_of_token(db, subject_token)
    if held is None or held.client_id != device.client_id:
        raise Refused("the grant token is not valid (any more)", state="invalid_grant")
    if held.role != role:
        raise Refused("the grant is for another role", state="invalid_target")
    minted = await desk.minter.mint(held.grant_id, device.client_id)
    return {
        "access_token": minted.sealed,
        "issued_token_type": TOKEN_CREDENTIALS,
        "token_type": "N_A",
        "expires_in": max(1, int(minted.expires_at - desk.clock())),
    }


# -- client credentials ----------------------------------------------------------------------------


async def _client_credentials(
    desk: Desk, members: dict[str, str], device: Device
) -> dict[str, Any]:
    scopes = frozenset(need(members, "scope").split(" "))
    if not scopes <= SCOPES:
        raise Refused("no such scope here", state="invalid_scope")
    if device.state != "active":
        scopes &= {HEARS}  # it may hear that it is frozen
    if not scopes:
        require_active(device)
    access_token = b64url(desk.entropy(TOKEN_BYTES))
    life = desk.settings.access_token_life
    async with desk.store.writing() as db:
        await tickets.issue_access_token(
            db,
            access_token,
            client_id=device.client_id,
            scopes=scopes,
            expires_at=desk.clock() + life,
        )
    return {
        "access_token": access_token,
        "token_type": "Bearer",
        "expires_in": life,
        "scope": " ".join(sorted(scopes)),
    }
