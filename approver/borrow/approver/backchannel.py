"""A device asks (CIBA §7): one signed request object, and nothing beside it.

The request is verified here, and again by the minter, which alone accepts it (once) and judges
policy. What is kept is the hash of the `auth_req_id` and which request it means.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.approver import tickets
from borrow.approver.auth import CLIENT_MEMBERS, authenticate, require_active
from borrow.approver.bodies import form, need
from borrow.approver.desk import DESK, Desk
from borrow.approver.skew import both_times
from borrow.protocol.errors import Untrusted
from borrow.protocol.keys import PublicKeys
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.request import verify_request
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from borrow.minter.port import Accepted, Device, RequestView

logger = logging.getLogger(__name__)

COLLECT_SECONDS = 300
AUTH_REQ_ID_BYTES = 20  # 160 bit, as CIBA §7.3 recommends


async def backchannel(request: web.Request) -> web.Response:
    """`POST /bc-authorize`"""
    desk = request.app[DESK]
    members = await form(request, allowed=CLIENT_MEMBERS | {"request"})
    device = await authenticate(desk, members)
    require_active(device)
    jws = need(members, "request")
    _verify(desk, jws, device)
    accepted = await desk.minter.accept_request(jws, device.client_id)
    token = b64url(desk.entropy(AUTH_REQ_ID_BYTES))
    await _remember(desk, token, accepted)
    logger.info("asked", extra={"request": accepted.view.request_id, "joined": accepted.joined})
    return web.json_response(_acknowledgement(desk, token, accepted))


def _verify(desk: Desk, jws: str, device: Device) -> None:
    now = desk.clock()
    try:
        verify_request(
            jws,
            PublicKeys.from_jwks(device.jwks, "sig"),
            client_id=device.client_id,
            owner=device.owner,
            issuer=desk.settings.issuer,
            now=now,
        )
    except Untrusted as exc:
        raise both_times(exc, jws, now) from None


async def _remember(desk: Desk, token: str, accepted: Accepted) -> None:
    """In one transaction with the letters to those who are asked: all of it, or nothing."""
    view = accepted.view
    is_news = await _is_news(desk, accepted)
    letters = await desk.notices.asked(view) if is_news else []
    async with desk.store.writing() as db:
        await tickets.add_auth_request(
            db,
            token,
            request_id=view.request_id,
            client_id=view.client_id,
            now=desk.clock(),
        )
        await desk.notices.post(db, letters)
        if is_news:
            await desk.notices.call(db, view)
    desk.notices.ring_for(letters)


async def _is_news(desk: Desk, accepted: Accepted) -> bool:
    """Whether people are to be told: once, but also at a second try, if the first one was cut off
    between the minter's yes and ours (an open question of which nobody was told)."""
    if not accepted.joined:
        return True
    async with desk.store.reading() as db:
        told = await tickets.was_asked(db, accepted.view.request_id)
    return not told and accepted.view.state is RequestState.PENDING


def _acknowledgement(desk: Desk, token: str, accepted: Accepted) -> dict[str, Any]:
    view = accepted.view
    return {
        "auth_req_id": token,
        "expires_in": _expires_in(view, desk.clock()),
        "interval": desk.settings.interval,
        "borrow_request": view.request_id,
        "borrow_number": view.number,
        "borrow_words": view.words,
        "borrow_mode": view.mode,
        "borrow_asked": list(view.deciders),
        "borrow_joined": accepted.joined,
        "borrow_state": view.state.value,
    }


def _expires_in(view: RequestView, now: float) -> int:
    """Until nobody can answer any more; once it is approved, until it must be collected."""
    if view.state is RequestState.REDEEMED:  # joined: a grant is open, take a token for it
        return COLLECT_SECONDS
    end = view.pending_until if view.state is RequestState.PENDING else view.claim_until
    return max(1, int(end - now))
