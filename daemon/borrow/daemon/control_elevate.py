"""The control API's call of `borrow.boto`: lift an elastic role's callers for a denied call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.daemon.control import Parts, Route, caller_group, caller_process, role_in, route
from borrow.daemon.control_borrow import follow
from borrow.daemon.elevation import lifting_role
from borrow.daemon.flights import Asked
from borrow.daemon.tower import Caller
from borrow.daemon.unixhttp import Answer, Call, Stream
from borrow.protocol.errors import Misconfigured, Refused
from borrow.protocol.strict import Members
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from typing import Any

    from borrow.daemon.unixhttp import Send


def elevate_routes(parts: Parts) -> list[Route]:
    async def elevate(call: Call, _: str) -> Answer:
        body = Members(call.body, "request")
        role, actions = role_in(body), body.array("actions", limit=8)
        asked = Asked(body.text_or("reason"), body.text_or("ticket", limit=128))
        body.end()
        if not all(isinstance(each, str) and len(each) <= 130 for each in actions):
            raise Misconfigured("actions are texts such as s3:PutObject")
        facts = await parts.broker.catalogue.role(role)
        wanted = lifting_role(facts, actions, parts.broker.catalogue.all())
        if not wanted:
            named = shown(actions[0], 80) if actions else "it"
            raise Refused(
                f"no role that {role} can be lifted to allows {named}",
                hint="`borrow roles` lists what you may borrow",
                state="policy",
            )
        group = await caller_group(call.pid, wanted)

        async def describe() -> dict[str, Any]:
            return await caller_process(call.pid)

        caller = Caller(group, "cli", asked, describe, terminal=True)

        async def run(send: Send) -> None:
            flight = await parts.broker.ask(caller)
            await follow(parts, flight, send, wait=True)

        return Stream(run)

    return [route("POST", r"/v1/elevate", elevate)]
