"""The inbox: what waits for a person's answer, the statement they sign, and their decision.

Reading changes nothing but `seen` (and the minter's memory of a statement it handed out). A yes is
checked here against what is pending, and judged by the minter, which alone counts evidence.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.approver import tickets
from borrow.approver.auth import Caller, bearer
from borrow.approver.bodies import json_object, path_id, query, whole
from borrow.approver.channels.calls import BELL as CALLS
from borrow.approver.desk import DESK, Desk
from borrow.approver.summaries import last_summary, request_summary
from borrow.protocol.decision import CHOICES, Choice, read_evidence, read_statement
from borrow.protocol.errors import Refused, Unavailable, Untrusted
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.request import MAX_JUSTIFICATION, MAX_SECONDS
from borrow.protocol.strict import Members, b64url, from_b64url

if TYPE_CHECKING:
    from borrow.minter.port import RequestView
    from borrow.protocol.decision import Evidence

logger = logging.getLogger(__name__)

_QUERY = ("decision", "number", "seconds")


async def inbox(request: web.Request) -> web.Response:
    """`GET /decisions`: pending ones this person may answer, and their own."""
    desk = request.app[DESK]
    caller = await bearer(request, "decide")
    views = await desk.minter.requests_for(caller.person)
    return web.json_response({"decisions": [request_summary(v, caller.person) for v in views]})


async def show(request: web.Request) -> web.Response:
    """`GET /decisions/{id}`, with `?decision=` also the statement to sign."""
    desk = request.app[DESK]
    caller = await bearer(request, "decide")
    members = query(request, _QUERY)
    view = await visible(desk, path_id(request, "r"), caller.person)
    answer = request_summary(view, caller.person)
    if view.mode == "peer":  # in mode `self` it would give the number away
        answer["signed"] = view.jws
    if members:
        answer["statement"] = b64url(await _statement(desk, view, caller, members))
    else:
        before = await desk.minter.previous(view.request_id)
        answer["last"] = None if before is None else last_summary(before)
    if caller.person in view.deciders and caller.client_id != view.client_id:
        await note_seen(desk, view, caller.person)
    return web.json_response(answer)


async def note_seen(desk: Desk, view: RequestView, person: str) -> None:
    """One who may answer `view` has it open. The first time it holds the calls to the others.

    For the one who asks to see. Looking goes on where that cannot be written (a full disk).
    """
    try:
        async with desk.store.writing() as db:
            if await tickets.saw(db, view.request_id, person, now=desk.clock()):
                await desk.calls.looked(db, view)
    except Unavailable:
        logger.warning("who looked was not noted", extra={"request": view.request_id})


async def decide(request: web.Request) -> web.Response:
    """`POST /decisions/{id}`: approve, deny or report a request; report a grant."""
    desk = request.app[DESK]
    caller = await bearer(request, "decide")
    subject = path_id(request, "rg")
    body = Members(await json_object(request), "decision")
    choice = _choice(body.text("decision", limit=16))
    statement = from_b64url(body.text_or("statement", limit=32_768), "statement")
    evidence = body.object_or("evidence")
    reason = body.text_or("reason", limit=4 * MAX_JUSTIFICATION)
    body.end()
    if subject.startswith("g-"):
        return await _report_grant(desk, subject, caller, choice)
    view = await visible(desk, subject, caller.person)
    after, record = await settle(
        desk,
        view,
        caller.person,
        caller.client_id,
        choice,
        statement=statement,
        evidence=read_evidence(evidence) if evidence else None,
        reason=reason,
    )
    answer: dict[str, Any] = {"request": subject, "state": after.state.value, "decision": choice}
    mine = [each for each in after.halves if each.approver == caller.person]
    if choice == "approve" and mine:
        answer["missing"] = list(mine[0].missing)
    return web.json_response(answer | ({"record": record} if record else {}))


async def settle(
    desk: Desk,
    view: RequestView,
    person: str,
    client_id: str | None,
    choice: Choice,
    *,
    statement: bytes = b"",
    evidence: Evidence | None = None,
    reason: str = "",
) -> tuple[RequestView, str]:
    """What `person` says of a request they may see; the request after it, and the record.

    `client_id` is the device it was said on, or None for a signed-in page.
    """
    check(view, person, choice, statement)
    try:
        if choice == "report" and (person == view.person or desk.is_admin(person)):
            changes = await desk.minter.report(view.request_id, person, client_id)
            record, after = "", await desk.minter.request(view.request_id)
        else:
            outcome, changes = await desk.minter.accept_decision(
                view.request_id,
                person,
                client_id,
                choice,
                statement=statement or None,
                evidence=evidence,
                reason=reason,
            )
            record, after = outcome.record, outcome.view
    finally:
        # Also after a refusal: the third wrong number cancels the request.
        desk.waiting.ring([f"request:{view.request_id}", CALLS])
    await desk.notices.publish(changes)
    if after.state is not RequestState.PENDING:
        await _note_answer(desk, after)
    return after, record


async def _report_grant(desk: Desk, grant_id: str, caller: Caller, choice: Choice) -> web.Response:
    if choice != "report":
        raise Refused("a grant can be reported, not decided", state="wrong_state")
    await desk.notices.publish(await desk.minter.report(grant_id, caller.person, caller.client_id))
    view = await desk.minter.grant(grant_id)
    answer = {"request": view.request_id, "grant": grant_id, "state": view.state.value}
    return web.json_response(answer | {"decision": choice})


async def visible(desk: Desk, request_id: str, person: str) -> RequestView:
    """A request of others is not there for those who have no part in it."""
    view = await desk.minter.request(request_id)
    part = person in view.deciders or person == view.person
    if not part and not desk.is_admin(person):
        raise Refused("there is nothing here", state="not_found")
    return view


async def _statement(
    desk: Desk, view: RequestView, caller: Caller, members: dict[str, str]
) -> bytes:
    if "decision" not in members:
        raise Untrusted("the query lacks decision", state="invalid_request")
    choice = _choice(members["decision"])
    check(view, caller.person, choice)
    return await desk.minter.new_statement(
        view.request_id,
        caller.person,
        choice,
        number=digits(members.get("number", "")),
        seconds=whole(members.get("seconds", "0"), "seconds", high=MAX_SECONDS),
    )


def digits(number: str) -> str:
    """What was typed as the number, if it can be one; empty if nothing was."""
    if number and (len(number) != 3 or not number.isascii() or not number.isdigit()):
        raise Untrusted("the number is not three digits", state="invalid_request")
    return number


def check(view: RequestView, person: str, choice: Choice, statement: bytes = b"") -> None:
    """What needs no authority to see.

    1. nobody answers yes to their own request where another person must (A63)
    2. only a pending request can be decided; a report also reaches a finished one (A65)
    3. the statement speaks of this request as it is pending, by this person (A56)
    """
    if choice == "approve" and view.mode == "peer" and person == view.person:
        raise Refused(
            "your own request needs another person's yes",
            state="self_approval",
            request=view.request_id,
        )
    if view.state is not RequestState.PENDING and choice != "report":
        raise Refused(
            f"the request is {view.state.value} already",
            state="wrong_state",
            request=view.request_id,
        )
    if not statement:
        return
    said = read_statement(statement)
    expected = (view.request_id, view.request_hash, person, choice)
    if (said.request, said.request_hash, said.approver, said.decision) != expected:
        raise Refused(
            "the statement is about something else than this request",
            hint="look at the request again, then decide",
            state="altered",
            request=view.request_id,
        )


def _choice(text: str) -> Choice:
    choice = next((known for known in CHOICES if known == text), None)
    if choice is None:
        raise Untrusted(
            "no such decision", hint="it is approve, deny or report", state="invalid_request"
        )
    return choice


async def _note_answer(desk: Desk, view: RequestView) -> None:
    """For the usual waiting time only: the decision counts already, so this may fail."""
    now = desk.clock()
    try:
        async with desk.store.writing() as db:
            await tickets.note_answer(
                db, view.request_id, view.role.identifier, seconds=now - view.asked_at, now=now
            )
    except Unavailable:
        logger.warning("the time of an answer was not noted", extra={"request": view.request_id})
