"""The control API on the Unix socket: what the command line, the tray and the demo talk to.

Here are the table of routes and the calls about the daemon itself; borrowing is in
`control_borrow`, answering in `control_answer`. Bodies are read strictly: an unknown member is an
error, because it is a mistake of ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.caller import agent_name, agent_of, as_context, describe, who_of
from borrow.daemon.container_claim import take_container
from borrow.daemon.flights import FlightState
from borrow.daemon.groups import Group
from borrow.daemon.ports import LOOPBACK
from borrow.protocol.errors import Misconfigured, Refused, Unavailable, Untrusted
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from borrow.daemon.broker import Broker
    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.csm import Listener
    from borrow.daemon.ending import Endings
    from borrow.daemon.events import Poll
    from borrow.daemon.flights import Flight
    from borrow.daemon.groups import Bearers
    from borrow.daemon.imds_role import ImdsRole
    from borrow.daemon.unixhttp import Answer, Call
    from borrow.daemon.upstream import Upstream

Handle = Callable[["Call", str], Awaitable["Answer"]]
Route = tuple[str, re.Pattern[str], Handle]

LONGEST: Final = 7 * 86_400  # seconds, as in borrow.protocol.request
HEARTBEAT: Final = "/v1/presence"  # changes nothing that anybody watches
ID: Final = r"([A-Za-z0-9._-]{1,64})"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with. `inbox` remembers how many questions wait for this person."""

    config: DaemonConfig
    port: int
    version: str
    broker: Broker
    bearers: Bearers
    upstream: Upstream
    poll: Poll
    imds: ImdsRole
    stop: Callable[[], None]
    inbox: Inbox
    rejections: Mapping[str, int]  # by reason, since the start
    csm: Listener
    endings: Endings
    served: Mapping[str, int]  # by role, from memory and without aiohttp


@dataclass(slots=True)
class Inbox:
    """The last known count; `borrow inbox` and notices keep it fresh."""

    count: int = 0


def route(method: str, pattern: str, handle: Handle) -> Route:
    return method, re.compile(pattern), handle


class Control:
    """Finds the route for a call; `on_change` hears of each that may have changed something."""

    def __init__(self, routes: list[Route], on_change: Callable[[], None] = lambda: None) -> None:
        self._routes = routes
        self._on_change = on_change

    async def __call__(self, call: Call) -> Answer:
        for method, pattern, handle in self._routes:
            if method == call.method and (match := pattern.fullmatch(call.path)):
                try:
                    return await handle(call, match[1] if pattern.groups else "")
                finally:
                    if method != "GET" and call.path != HEARTBEAT:
                        self._on_change()
        raise Refused("the daemon knows no such call", state="not_found")


def daemon_routes(parts: Parts) -> list[Route]:
    """Status, bearers, the IMDS switch, stop."""

    async def status(call: Call, _: str) -> Answer:
        return status_of(parts)

    async def bearers(call: Call, _: str) -> Answer:
        rest, agent = take_agent(call.body)
        rest, container = take_container(rest)
        body = Members(rest, "request")
        role = role_in(body)
        run, elevate, listed = flag(body, "run"), flag(body, "elevate"), flag(body, "roles")
        reason, ticket = body.text_or("reason"), body.text_or("ticket", limit=128)
        seconds = seconds_in(body)
        body.end()
        parts.config.require_enrolled()
        region, needs = "", dict[str, str]()
        with contextlib.suppress(Unavailable):
            # Without it the bearer is good all the same; the first fetch waits for the approver.
            facts = await parts.broker.catalogue.role(role)
            region, needs = facts.region, facts.needs
        group = await caller_group(call.pid, role, agent)
        group = replace(group, container=container.name)
        bearer = parts.bearers.issue(
            group, reason=reason, ticket=ticket, seconds=seconds, container=container.told
        )
        if elevate:
            parts.broker.elevations.agree(group)
        monitor = await parts.csm.client(group) if run else {}
        url = f"http://{LOOPBACK}:{parts.port}/v1/credentials/{role}"
        known = [{"name": each.name, "arn": each.arn} for each in parts.broker.catalogue.all()]
        return (
            {"url": url, "bearer": bearer, "role": role, "region": region, "needs": needs}
            | ({"csm": monitor} if run else {})
            | ({"roles": known} if listed else {})  # which of the caller's profiles are roles
        )

    async def imds(call: Call, _: str) -> Answer:
        await refuse_agents(call.pid, "offer a role as instance credentials")
        if call.body in ({}, {"role": None}):
            parts.imds.off()
        else:
            body = Members(call.body, "request")
            role = role_in(body)
            body.end()
            parts.imds.use(await parts.broker.catalogue.role(role))
        return {
            "imds_role": parts.imds(),
            "url": f"http://{LOOPBACK}:{parts.port}/",
        }

    async def roles(call: Call, _: str) -> Answer:
        parts.config.require_enrolled()
        found = await parts.broker.catalogue.refresh()
        return {"roles": [facts.entry for facts in found], "person": parts.config.person}

    async def stop(call: Call, _: str) -> Answer:
        asyncio.get_running_loop().call_later(0.05, parts.stop)  # after the answer went out
        return {"stopping": True}

    return [
        route("GET", r"/v1/status", status),
        route("POST", r"/v1/bearers", bearers),
        route("POST", r"/v1/imds", imds),
        route("GET", r"/v1/roles", roles),
        route("POST", r"/v1/stop", stop),
    ]


def status_of(parts: Parts) -> dict[str, Any]:
    now = parts.broker.now()
    last = parts.poll.last
    return {
        "version": parts.version,
        "pid": os.getpid(),
        "port": parts.port,
        "mode": parts.config.mode,
        "issuer": parts.config.issuer,
        "person": parts.config.person,
        "client_id": parts.config.client_id,
        "enrolled": parts.config.enrolled,
        "contact_age": None if last is None else round(now.since(last), 1),
        "imds_role": parts.imds() or None,
        "grants": grants_of(parts),
        "asks": [ask_of(flight, parts) for flight in parts.broker.flights],
        "inbox": parts.inbox.count,
        "offers": [
            {"role": each.role, "action": each.action, "group": each.group.id}
            for each in parts.broker.elevations.standing(now)
        ],
        "csm": dict(parts.csm.counts),
        "refused": dict(parts.rejections),
        "served": dict(parts.served),
        "notices": [
            {
                "kind": notice.kind,
                "text": notice.text,
                "hint": notice.hint,
                "role": notice.role,
                "subject": notice.subject,
                "at": notice.at,
            }
            for notice in parts.poll.notices
        ],
    }


def grants_of(parts: Parts) -> list[dict[str, Any]]:
    """The live grants of this daemon."""
    now, ending = parts.broker.now(), parts.endings.offers()
    return [
        {
            "grant": grant.grant_id,
            "request": grant.request_id,
            "role": grant.role,
            "group": grant.group,
            "expires_at": round(now.wall + grant.ends.left(now), 1),
            "tier": grant.tier,
            "mode": grant.mode,
            **({"extend": ending[grant.grant_id]} if grant.grant_id in ending else {}),
        }
        for grant in parts.broker.cache.live(now)
    ]


def ask_of(flight: Flight, parts: Parts) -> dict[str, Any]:
    """One open question, as status and the ask stream show it."""
    now = parts.broker.now()
    needs = flight.state is FlightState.NEEDS
    ends = flight.ends
    return {
        "request": flight.request,
        "role": flight.facts.name,
        "number": flight.number,
        "words": flight.words,
        "joined": flight.joined,
        "reason": "" if flight.joined else flight.asked.reason,
        "state": "needs" if needs else "pending",
        **({"needs": flight.needs} if needs else {}),
        "since": flight.since.wall,
        "expires_at": None if ends is None else round(now.wall + ends.left(now), 1),
        "asked": list(flight.people),
        "mode": flight.mode,
        "match": flight.facts.match,
        "factors": list(flight.facts.factors),
        "seen": flight.seen,
        "trouble": flight.trouble,
        "waiters": flight.calls,
        "caller": flight.context.get("process", {}),
    }


async def caller_group(pid: int, role: str, agent: str = "") -> Group:
    """The caller group of the process at the other end of the control socket.

    `agent` is what it claims to be: it makes an agent of a caller who does not look like one, and
    never the other way round.
    """
    session, found = await asyncio.to_thread(who_of, pid)
    if session is None:
        raise Misconfigured("the calling process cannot be seen", hint="is /proc mounted?")
    return Group(role, session.sid, session.leader_start, session.tty, found or agent)


async def refuse_agents(pid: int, what: str) -> None:
    """What a person does for a person. No boundary: code of the same user can hide what it is."""
    if agent := await asyncio.to_thread(agent_of, pid):
        raise Refused(
            f"{agent} cannot {what}",
            hint="a person does that, in a terminal of their own",
            state="agent",
        )


async def caller_process(pid: int) -> dict[str, Any]:
    facts = await asyncio.to_thread(describe, pid)
    return as_context(facts)


def role_in(body: Members) -> str:
    return role_named(body.text("role", limit=128))


def role_named(role: str) -> str:
    """`role` if it can be one; what a person typed is refused with a hint."""
    from borrow.protocol.request import is_role_name  # late: it imports cryptography

    if not is_role_name(role):
        raise Misconfigured("that cannot be a role's name", hint="`borrow roles` lists them")
    return role


def flag(body: Members, name: str) -> bool:
    """1 or absent."""
    return bool(body.whole(name, high=1)) if body.has(name) else False


def take_agent(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The body without `agent`, and the name of the agent that the caller says it is, or "".

    1 is an agent without a name. A name is cut to what may stand in a group's.
    """
    rest = dict(body)
    match rest.pop("agent", ""):
        case str(name):
            return rest, agent_name(name) if name else ""
        case True | 1:
            return rest, agent_name("")
        case _:
            raise Misconfigured("agent is 1 or a name", hint="leave it out for a person")


def seconds_in(body: Members) -> int:
    try:
        return body.whole("seconds", high=LONGEST) if body.has("seconds") else 0
    except Untrusted as exc:
        raise Misconfigured("that is no duration", hint="at most 7d") from exc
