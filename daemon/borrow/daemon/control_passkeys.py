"""The control API about a person's passkeys: list, remove, and a link for another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.daemon.control import Parts, Route, refuse_agents, route
from borrow.protocol.strict import Members, b64url, from_b64url

if TYPE_CHECKING:
    from borrow.daemon.unixhttp import Answer, Call


def passkey_routes(parts: Parts) -> list[Route]:
    async def listed(call: Call, _: str) -> Answer:
        parts.config.require_enrolled()
        return await parts.upstream.transport.get("/passkeys", "manage")

    async def invite(call: Call, _: str) -> Answer:
        """By a fresh code, which only the minter can read and which is good for this alone."""
        from borrow.protocol.decision import seal_totp  # late: it imports cryptography

        await refuse_agents(call.pid, "add a passkey")
        parts.config.require_enrolled()
        body = Members(call.body, "request")
        code = body.text("code", limit=16)
        body.end()
        transport = parts.upstream.transport
        told = Members(await transport.post("/passkeys", "manage", {}), "answer")
        data = from_b64url(told.text("ceremony", limit=4_096), "ceremony")
        trust = await transport.trust()
        token = seal_totp(data, code, transport.device().sig, trust.minter_enc.first())
        evidence = {"kind": "totp", "token": token}
        sent = {"ceremony": b64url(data), "evidence": evidence}
        return await transport.post("/passkeys/invitation", "manage", sent)

    async def remove(call: Call, _: str) -> Answer:
        await refuse_agents(call.pid, "remove a passkey")
        body = Members(call.body, "request")
        credential_id = body.text("id", limit=2_048)
        body.end()
        transport = parts.upstream.transport
        return await transport.post("/passkeys/removal", "manage", {"id": credential_id})

    return [
        route("GET", r"/v1/passkeys", listed),
        route("POST", r"/v1/passkeys/invitation", invite),
        route("POST", r"/v1/passkeys/removal", remove),
    ]
