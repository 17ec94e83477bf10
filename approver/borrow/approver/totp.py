"""Enrolment of a one-time-code generator. The approver sees neither the secret nor a code."""

from __future__ import annotations

import re

from aiohttp import web

from borrow.approver.auth import bearer
from borrow.approver.bodies import json_object
from borrow.approver.desk import DESK
from borrow.protocol.errors import Refused
from borrow.protocol.strict import Members

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


async def begin(request: web.Request) -> web.Response:
    """`POST /totp`: a new secret, sealed to this device; the old code allows replacing one."""
    desk = request.app[DESK]
    caller = await bearer(request, "manage")
    body = Members(await json_object(request), "enrolment")
    sealed_code = body.text_or("sealed_code", limit=32_768)
    body.end()
    enrolment = await desk.minter.totp_begin(
        caller.person, caller.client_id, sealed_code=sealed_code
    )
    answer = {
        "enrolment": enrolment.enrolment_id,
        "sealed": enrolment.sealed,
        "expires_at": int(enrolment.expires_at),
    }
    return web.json_response(answer)


async def confirm(request: web.Request) -> web.Response:
    """`POST /totp/{id}`: one code, sealed to the minter, makes it active."""
    desk = request.app[DESK]
    caller = await bearer(request, "manage")
    enrolment_id = request.match_info["id"]
    if not _ID.fullmatch(enrolment_id):
        raise Refused("there is nothing here", state="not_found")
    body = Members(await json_object(request), "enrolment")
    code = body.text("code", limit=32_768)
    body.end()
    await desk.minter.totp_confirm(enrolment_id, caller.client_id, code)
    return web.json_response({})
