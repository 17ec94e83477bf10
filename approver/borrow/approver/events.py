"""`POST /events`: events to a device by long poll (RFC 8936 of RFC 8417 tokens).

An event comes again with every poll until it is acknowledged, so a device acknowledges after it
acted. An empty answer is contact. A frozen device hears its revocations and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.approver import outbox
from borrow.approver.auth import HEARS, Caller, bearer
from borrow.approver.bodies import json_object
from borrow.approver.desk import DESK, Desk
from borrow.approver.presence import MEMBER, State, read_presence
from borrow.protocol.errors import Untrusted
from borrow.protocol.events import sign_event

if TYPE_CHECKING:
    from borrow.approver.waiting import Bell
    from borrow.protocol.events import SecurityEvent

MOST_EVENTS = 64  # in one answer
MOST_ACKS = 1_000
USUAL = 32


@dataclass(frozen=True, slots=True)
class Poll:
    """One body of RFC 8936 §2.4, read strictly."""

    acks: tuple[str, ...]
    at_once: bool
    most: int
    presence: State | None = None


async def events(request: web.Request) -> web.Response:
    desk = request.app[DESK]
    caller = await bearer(request, HEARS)
    desk.contacts.note(caller.person)
    poll = read_poll(await json_object(request))
    there = poll.presence if caller.device.state == "active" else None
    desk.presences.note(caller.person, caller.client_id, there)
    if poll.acks:
        async with desk.store.writing() as db:
            await outbox.acknowledge(db, caller.client_id, poll.acks)
    found: list[SecurityEvent] = []
    more = False
    if poll.most:
        found, more = await _collect(desk, caller, poll)
    sets = {event.jti: sign_event(event, desk.signer) for event in found}
    return web.json_response({"sets": sets, "moreAvailable": more})


async def _collect(desk: Desk, caller: Caller, poll: Poll) -> tuple[list[SecurityEvent], bool]:
    slot, subject = f"events:{caller.client_id}", f"device:{caller.client_id}"
    with desk.waiting.hold(slot, [subject], owner=caller.client_id) as bell:
        loop = asyncio.get_running_loop()
        end = loop.time() + desk.settings.long_poll
        while True:
            found, more = await _look(desk, caller.client_id, poll.most, bell)
            left = end - loop.time()
            if found or poll.at_once or bell.must_end or left <= 0:
                return found, more
            await bell.wait(left)


async def _look(
    desk: Desk, client_id: str, most: int, bell: Bell
) -> tuple[list[SecurityEvent], bool]:
    if bell.superseded:  # the newer poll gets them
        return [], False
    device = await desk.devices.find(client_id)
    active = device is not None and device.state == "active"
    async with desk.store.reading() as db:
        return await outbox.take(
            db, client_id, most, issuer=desk.settings.issuer, revocations_only=not active
        )


def read_poll(body: dict[str, Any]) -> Poll:
    """Raises Untrusted. A SET that the device could not use (`setErrs`) is not sent again."""
    acks, errors = body.get("ack", []), body.get("setErrs", {})
    at_once, most = body.get("returnImmediately", False), body.get("maxEvents", USUAL)
    if not isinstance(acks, list) or not isinstance(errors, dict):
        raise _malformed()
    every = [*acks, *errors]
    if len(every) > MOST_ACKS or not all(_is_jti(jti) for jti in every):
        raise _malformed()
    if not isinstance(at_once, bool) or not isinstance(most, int) or isinstance(most, bool):
        raise _malformed()
    if most < 0:
        raise _malformed()
    presence = read_presence(body.get(MEMBER))
    return Poll(tuple(every), at_once, min(most, MOST_EVENTS), presence)


def _is_jti(jti: object) -> bool:
    """Whether it can be one of ours."""
    return isinstance(jti, str) and len(jti) <= 128 and jti.isascii()


def _malformed() -> Untrusted:
    return Untrusted("the poll is malformed", state="invalid_request")
