"""The solo process's side of `borrow unfreeze`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver.desk import DESK
from borrow.protocol.strict import Members, parse_object

if TYPE_CHECKING:
    from borrow.cli.assembly import Parts


def unfreeze_routes(parts: Parts, client_id: str, person: str) -> list[web.RouteDef]:
    """`GET /device` and `POST /unfreeze {code?}`, for the solo process's own socket."""
    minter = parts.minter

    def state() -> str:
        return next(each.state for each in minter.devices() if each.client_id == client_id)

    async def device(_: web.Request) -> web.Response:
        found, totp = await asyncio.to_thread(lambda: (state(), minter.totp_active(person)))
        return web.json_response({"client_id": client_id, "state": found, "totp": totp})

    async def unfreeze(request: web.Request) -> web.Response:
        members = Members(parse_object(await request.read() or b"{}", "body"), "body")
        code = members.text_or("code", limit=16)
        members.end()
        await asyncio.to_thread(minter.people.unfreeze_own, client_id, code)
        parts.app[DESK].devices.forget()  # the approver remembers states for a while
        return web.json_response({"client_id": client_id, "state": await asyncio.to_thread(state)})

    return [web.get("/device", device, allow_head=False), web.post("/unfreeze", unfreeze)]
