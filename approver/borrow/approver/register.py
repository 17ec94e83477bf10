"""A device joins (RFC 7591): its keys, vouched for by the invitation in a `software_statement`.

Only the minter can verify the statement, because it alone keeps the invitation's public key; here
it is bounded, passed on, and answered.
"""

from __future__ import annotations

from aiohttp import web

from borrow.approver.bodies import json_object
from borrow.approver.desk import DESK
from borrow.approver.discovery import GRANT_TYPES
from borrow.protocol.strict import Members


async def register(request: web.Request) -> web.Response:
    """`POST /register`. Metadata other than the statement is ignored, as the standard says."""
    desk = request.app[DESK]
    statement = Members(await json_object(request), "registration").text(
        "software_statement", limit=16_384
    )
    try:
        device, changes = await desk.minter.register(statement)
    finally:  # also after a refusal: a second use removes the first device
        desk.devices.forget()
    await desk.notices.publish(changes)
    answer = {
        "client_id": device.client_id,
        "client_id_issued_at": int(desk.clock()),
        "client_name": device.name,
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "id_token_signed_response_alg": "ES256",
        "backchannel_token_delivery_mode": "poll",
        "backchannel_authentication_request_signing_alg": "ES256",
        "jwks": device.jwks,
        "grant_types": GRANT_TYPES,
        "response_types": [],
        "borrow_owner": device.owner,
        "borrow_issuer": desk.settings.issuer,
    }
    return web.json_response(answer, status=201)
