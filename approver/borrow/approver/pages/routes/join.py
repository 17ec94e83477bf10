"""Where an invitation's link leads. Its key stands in the fragment: the page posts it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver.bodies import json_object
from borrow.approver.pages.ceremony import need_passkeys
from borrow.approver.pages.routes.signin import MAX_ANSWER
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from borrow.approver.pages.door import Visit

MAX_NAME = 64  # characters of what a person calls their passkey


async def show(visit: Visit) -> web.Response:
    """`GET /join`"""
    return visit.page("join.html", issuer=visit.desk.settings.issuer)


async def begin(visit: Visit) -> web.Response:
    """`POST /join/begin`: whom it is for, and the options for `navigator.credentials.create`."""
    body = Members(await json_object(visit.request), "invitation")
    invitation = body.text("invitation", limit=128)
    body.end()
    need_passkeys(visit)
    options = await visit.desk.minter.passkey_begin(invitation)
    return web.json_response(
        {
            "person": options.person,
            "user_handle": options.user_handle,
            "challenge": options.challenge,
            "rp_id": options.rp_id,
            "algorithms": list(options.algorithms),
            "exclude": list(options.exclude),
            "expires_at": int(options.expires_at),
        }
    )


async def finish(visit: Visit) -> web.Response:
    """`POST /join`: the new passkey. Whoever made it is signed in: it verified them just now.

    One that has to wait signs nobody in: whoever invited them may be no friend.
    """
    body = Members(await json_object(visit.request), "registration")
    invitation = body.text("invitation", limit=128)
    attestation = body.text("attestation", limit=MAX_ANSWER)
    name = body.text_or("name", limit=4 * MAX_NAME)[:MAX_NAME]
    body.end()
    passkey, changes = await visit.desk.minter.passkey_add(invitation, attestation, name)
    await visit.desk.notices.publish(changes)
    waits = max(0, int(passkey.counts_from - visit.desk.clock()))
    answer = web.json_response({"person": passkey.person, "waits": waits})
    if passkey.state != "active" or waits:
        return answer
    return await visit.sign_in(answer, passkey.person, passkey.credential_id)
