"""The control API's borrowing half: ask, wait, extend, return, and `credential_process`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.cache import Grant
from borrow.daemon.control import (
    ID,
    Parts,
    Route,
    ask_of,
    caller_group,
    caller_process,
    role_in,
    role_named,
    route,
    seconds_in,
    take_agent,
)
from borrow.daemon.control_held import GrantLine
from borrow.daemon.documents import process_document
from borrow.daemon.flights import Asked, Flight, FlightState
from borrow.daemon.groups import Group
from borrow.daemon.telling import QUIET, waiting_line
from borrow.daemon.tower import Caller
from borrow.daemon.unixhttp import Answer, Call, Stream
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable
from borrow.protocol.strict import Members
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from borrow.daemon.broker import Served
    from borrow.daemon.unixhttp import Send

_LINES_EVERY: Final = 15.0  # seconds between two `L` lines when nothing changes


def borrow_routes(parts: Parts) -> list[Route]:
    broker = parts.broker

    async def ask(call: Call, _: str) -> Answer:
        rest, wait = take_flag(call.body, "wait", default=True)
        rest, agent = take_agent(rest)
        body = Members(rest, "request")
        role, asked = role_in(body), _asked(body)
        body.end()
        caller = await _caller(call.pid, role, "cli", asked, agent)

        async def run(send: Send) -> None:
            await follow(parts, await broker.ask(caller), send, wait=wait)

        return Stream(run)

    async def extend(call: Call, _: str) -> Answer:
        rest, wait = take_flag(call.body, "wait", default=True)
        body = Members(rest, "request")
        role, grant_id, asked = role_in(body), body.text_or("grant", limit=64), _asked(body)
        body.end()
        caller = await _caller(call.pid, role, "cli", asked)
        grant = broker.own_grant(role, caller.group, grant_id)
        # In the name of those who hold it: the terminal of a running job is not free to type in.
        holders = Group.named(grant.role, grant.group)
        caller = replace(caller, group=holders if holders.sid else caller.group)

        async def run(send: Send) -> None:
            flight = await broker.ask(caller, extends=grant)
            await follow(parts, flight, send, wait=wait)

        return Stream(run)

    async def process(call: Call, role: str) -> Answer:
        asked = Asked(call.query.get("reason", "")[:500], call.query.get("ticket", "")[:128])
        caller = await _caller(call.pid, role_named(role), "process", asked)

        async def run(send: Send) -> None:
            await credential_process(parts, caller, send)

        return Stream(run, "text/plain; charset=utf-8")

    async def give_back(call: Call, _: str) -> Answer:
        return {"returned": await _give_back(parts, call)}

    return [
        route("POST", r"/v1/ask", ask),
        route("POST", r"/v1/extend", extend),
        route("POST", r"/v1/return", give_back),
        route("GET", rf"/v1/process/{ID}", process),
    ]


async def follow(parts: Parts, found: Flight | Grant, send: Send, *, wait: bool) -> None:
    """Tell a stream what happens to a flight: one JSON object a line, the last one ends it."""
    if isinstance(found, Grant):
        await send(_line(_granted(parts, found)))
        return
    found.watchers += 1
    found.touch()
    try:
        last: dict[str, Any] = {}
        while True:
            event = _event(parts, found)
            if not wait and _comes_at_once(found):
                pass  # who does not wait for people has the answer all the same
            elif event and event != last:
                await send(_line(event))
                last = event
                if not wait:
                    return
            if found.over:
                return
            await found.changed()
    finally:
        found.watchers -= 1
        found.touch()


def _comes_at_once(flight: Flight) -> bool:
    """Granted by policy, and about to be fetched: nobody is asked."""
    return flight.state is FlightState.PENDING and flight.mode == "auto" and not flight.trouble


def _event(parts: Parts, flight: Flight) -> dict[str, Any]:
    """What the flight's state is worth telling; {} for nothing yet."""
    match flight.state:
        case FlightState.GRANTED if flight.grant is not None:
            return _granted(parts, flight.grant)
        case FlightState.GRANTED | FlightState.REFUSED:
            error = flight.error or Refused("the request was withdrawn", state="cancelled")
            told = {
                "event": "refused",
                "kind": error.code,  # not every end is somebody's no
                "role": flight.facts.name,
                "state": error.state,
                "message": error.message,
                "hint": error.hint,
                "request": flight.request,
            }
            # Nobody said no: a full disk, say. Scripts tell the two apart by the exit code.
            return told | ({"unavailable": True} if isinstance(error, Unavailable) else {})
        case FlightState.NEEDS:
            told = ask_of(flight, parts)
            return {"event": "needs", "fields": flight.needs, **_steady(told)}
        case FlightState.ASKING:
            trouble = {"event": "unavailable", "role": flight.facts.name}
            return trouble | {"message": flight.trouble} if flight.trouble else {}
        case FlightState.PENDING:
            told = _steady(ask_of(flight, parts))
            return {"event": "seen" if flight.seen else "waiting", **told}


def _steady(told: dict[str, Any]) -> dict[str, Any]:
    """Without what changes by itself, so that only a real change is a new line."""
    return {key: value for key, value in told.items() if key not in ("waiters", "state")} | {
        "expires_at": None if told["expires_at"] is None else round(told["expires_at"])
    }


def _granted(parts: Parts, grant: Grant) -> dict[str, Any]:
    now = parts.broker.now()
    return {
        "event": "granted",
        "grant": grant.grant_id,
        "request": grant.request_id,
        "role": grant.role,
        "mode": grant.mode,
        "expires_at": round(now.wall + grant.ends.left(now)),
    }


async def credential_process(parts: Parts, caller: Caller, send: Send) -> None:
    """`L` lines while waiting, then `D` with the document or `E` with the reason.

    The lines are for terminals that we cannot find ourselves; the others hear from `telling`.
    """

    async def outcome() -> Served | BorrowError:
        try:
            return await parts.broker.fetch(caller)
        except BorrowError as exc:
            return exc

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(outcome())
        await asyncio.wait({task}, timeout=None if caller.terminal else QUIET)
        last = ""
        while not task.done():
            flight = parts.broker.flight_of(caller)
            line = waiting_line(flight, parts.broker.now()) if flight is not None else ""
            if line and line != last:
                await send(f"L {shown(line, 400)}\n".encode())
                last = line
            await _next_change(task, flight)
        result = task.result()
    if isinstance(result, BorrowError):
        await send(f"E {_in_one_line(result)}\n".encode())
        return
    document = process_document(result, parts.broker.now())
    await send(f"D {document}\n".encode() if document else b"E the credentials have just ended\n")


async def _next_change(task: asyncio.Task[Any], flight: Flight | None) -> None:
    if flight is None:
        await asyncio.wait({task}, timeout=0.1)
        return
    async with asyncio.TaskGroup() as tasks:
        change = tasks.create_task(flight.changed())
        await asyncio.wait(
            {task, change}, timeout=_LINES_EVERY, return_when=asyncio.FIRST_COMPLETED
        )
        change.cancel()


def _in_one_line(error: BorrowError) -> str:
    request = getattr(error, "request", "")
    told = error.message + (f" ({request})" if request and request not in error.message else "")
    return shown(told + (f"; {error.hint}" if error.hint else ""), 600)


async def _give_back(parts: Parts, call: Call) -> list[str]:
    """End what was named (request, role, grant, all; nothing: this session's grants); the ids."""
    rest, everything = take_flag(call.body, "all", default=False)
    body = Members(rest, "request")
    role, grant_id = body.text_or("role", limit=64), body.text_or("grant", limit=64)
    request = body.text_or("request", limit=64)
    body.end()
    if request:
        if everything or role or grant_id:
            raise Misconfigured("a request is given back by itself", hint="name nothing else")
        await parts.broker.take_back(request)
        return [request]
    session = None if everything or role or grant_id else await caller_group(call.pid, "any")

    def named(entry_role: str, entry_grant: str, group: str) -> bool:
        if session is not None:
            return session.same_session(group)
        return everything or (entry_grant == grant_id if grant_id else entry_role == role)

    live = parts.broker.cache.live(parts.broker.now())
    chosen = [grant for grant in live if named(grant.role, grant.grant_id, grant.group)]
    if chosen:
        parts.broker.give_back(chosen)
        return [grant.grant_id for grant in chosen]
    # A daemon that was restarted holds no grant any more; the approver still knows them.
    found = [GrantLine.read(entry) for entry in await parts.upstream.grants()]
    left = [each for each in found if each.here and named(each.role, each.grant_id, each.group)]
    for each in left:
        await parts.upstream.release(each.grant_id)
    if not left and not everything:
        raise Misconfigured(
            "there is nothing to give back", hint="`borrow` shows what you hold", state="not_held"
        )
    return [each.grant_id for each in left]


async def _caller(pid: int, role: str, via: str, asked: Asked, agent: str = "") -> Caller:
    async def describe() -> dict[str, Any]:
        return await caller_process(pid)

    group = await caller_group(pid, role, agent)
    # `borrow ask` shows the wait itself.
    return Caller(group, via, asked, describe, terminal=via == "process" and group.tty != "")


def _asked(body: Members) -> Asked:
    return Asked(body.text_or("reason"), body.text_or("ticket", limit=128), seconds_in(body))


def take_flag(body: dict[str, Any], name: str, *, default: bool) -> tuple[dict[str, Any], bool]:
    """The body without `name`, and its value."""
    rest = dict(body)
    value = rest.pop(name, default)
    if not isinstance(value, bool):
        raise Misconfigured(f"{name} is true or false")
    return rest, value


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode() + b"\n"
