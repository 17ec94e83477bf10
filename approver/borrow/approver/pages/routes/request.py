"""One request: everything that a yes would sign, in words; and the yes or the no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver import tickets
from borrow.approver.bodies import form, json_object, need, path_id
from borrow.approver.decisions import check, digits, note_seen, settle, visible
from borrow.approver.pages import words
from borrow.approver.pages.ceremony import asked, need_passkeys
from borrow.approver.pages.guard import is_prefetch
from borrow.approver.pages.routes.signin import MAX_ANSWER
from borrow.protocol.decision import Choice, Evidence
from borrow.protocol.errors import BorrowError, Untrusted
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.request import MAX_JUSTIFICATION, MAX_SECONDS
from borrow.protocol.strict import Members, from_b64url

if TYPE_CHECKING:
    from borrow.approver.pages.door import Visit
    from borrow.minter.port import RequestView


async def show(visit: Visit) -> web.Response:
    """`GET /r/{id}`"""
    view = await visible(visit.desk, path_id(visit.request, "r"), visit.person)
    if view.state is RequestState.PENDING and not is_prefetch(visit.request.headers):
        await _note_seen(visit, view)
    return await _page(visit, view)


async def state(visit: Visit) -> web.Response:
    """`GET /r/{id}/state`, for a page that is open meanwhile."""
    view = await visible(visit.desk, path_id(visit.request, "r"), visit.person)
    return web.json_response({"state": view.state.value, "answers": words.answers(view)})


async def decide(visit: Visit) -> web.Response:
    """`POST /r/{id}/decide`: a no, or a report. Neither needs more than being signed in."""
    view = await visible(visit.desk, path_id(visit.request, "r"), visit.person)
    members = await form(visit.request, ("decision", "reason"))
    said = need(members, "decision")
    if said not in ("deny", "report"):
        raise Untrusted("that is no answer to give here", state="invalid_request")
    reason = members.get("reason", "").strip()[:MAX_JUSTIFICATION]
    choice: Choice = "report" if said == "report" else "deny"
    try:
        await settle(visit.desk, view, visit.person, None, choice, reason=reason)
    except BorrowError as exc:
        if exc.state != "wrong_state":
            raise
        # Somebody was faster, or the time was over: the page says how it stands now.
        view = await visit.desk.minter.request(view.request_id)
        return await _page(visit, view, late=True)
    if choice == "report":
        return visit.go("/mine?reported=1")
    return visit.go(f"/r/{view.request_id}")


async def statement(visit: Visit) -> web.Response:
    """`POST /r/{id}/statement`: the exact bytes of a yes, for a passkey to sign."""
    view = await visible(visit.desk, path_id(visit.request, "r"), visit.person)
    body = Members(await json_object(visit.request), "answer")
    number = digits(body.text_or("number", limit=8))
    seconds = body.whole("seconds")
    body.end()
    need_passkeys(visit)
    check(view, visit.person, "approve")
    if not 0 <= seconds <= MAX_SECONDS:
        raise Untrusted("seconds is not a number in range", state="invalid_request")
    # Between two people both sides see the number and compare it with their own eyes.
    number = view.number if view.mode == "peer" else number
    data = await visit.desk.minter.new_statement(
        view.request_id, visit.person, "approve", number=number, seconds=seconds
    )
    now = visit.desk.clock()
    mine = [
        each.credential_id
        for each in await visit.desk.minter.passkeys(visit.person)
        if each.state == "active" and each.counts_from <= now
    ]
    return web.json_response(asked(visit, data, "statement", allow=mine))


async def approve(visit: Visit) -> web.Response:
    """`POST /r/{id}/approve`: the statement as it was given out, and the passkey's signature."""
    view = await visible(visit.desk, path_id(visit.request, "r"), visit.person)
    body = Members(await json_object(visit.request), "answer")
    data = from_b64url(body.text("statement", limit=32_768), "statement")
    assertion = body.text("assertion", limit=MAX_ANSWER)
    body.end()
    after, _ = await settle(
        visit.desk,
        view,
        visit.person,
        None,
        "approve",
        statement=data,
        evidence=Evidence("passkey", assertion),
    )
    return web.json_response({"state": after.state.value})


async def _note_seen(visit: Visit, view: RequestView) -> None:
    if visit.person in view.deciders and visit.person != view.person:
        await note_seen(visit.desk, view, visit.person)


async def _page(visit: Visit, view: RequestView, *, late: bool = False) -> web.Response:
    me, now = visit.person, visit.desk.clock()
    async with visit.desk.store.reading() as db:
        eyes = await tickets.eyes(db, view.request_id, now=now)
    before = await visit.desk.minter.previous(view.request_id)
    is_open = view.state is RequestState.PENDING and now < view.pending_until
    is_own = view.person == me
    others_only = is_own and view.mode == "peer"
    return visit.page(
        "request.html",
        status=409 if late else 200,
        view=view,
        late=late,
        is_open=is_open,
        is_own=is_own,
        may_report=is_own or visit.is_admin,
        may_answer=is_open and me in view.deciders and not others_only,
        has_answered=me in view.decided_by,
        takes_passkey="passkey" in view.factors,
        answers=words.answers(view),
        half=words.own_half(view, me),
        halves=words.other_halves(view, me),
        # In mode `self` the digits are on the asking screen only, or the match proves nothing.
        number=view.number if view.match and view.mode == "peer" else "",
        asks_number=view.match and view.mode == "self",
        words=view.words if view.mode == "peer" else "",
        claims=words.claims(view),
        outcome=words.outcome(view, me),
        before=before,
        before_outcome="" if before is None else words.outcome(before, me),
        durations=words.durations(view.role.seconds),
        seen=eyes.seen,
        looking=[each for each in eyes.looking if each != me],
    )
