"""The life of a grant: opened once by its request, ended once by time, its device or somebody.

Opening again is a resume: same grant, same end. A grant never widens: an extension is another
grant, and opening it releases the one it extends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from borrow.minter import requests, schema
from borrow.minter.port import Change
from borrow.minter.records import (
    Grant,
    Request,
    active_device,
    grant_from,
    load_grant,
    load_request,
    not_this,
    request_from,
    yes_methods,
    yeses,
)
from borrow.minter.requests import MINTER
from borrow.minter.store import Keep
from borrow.minter.verdicts import still_allowed
from borrow.protocol.errors import Refused, Unavailable
from borrow.protocol.ids import ENTROPY_BYTES, new_grant_id
from borrow.protocol.lifecycle import (
    GrantEvent,
    GrantState,
    RequestEvent,
    RequestState,
    advance_grant,
)

if TYPE_CHECKING:
    from borrow.minter.store import Step
    from borrow.policy.model import Policy
    from borrow.protocol.errors import BorrowError

PENDING_PAUSE = 1.0  # seconds; the approver holds its caller much longer than that
_OPEN = (RequestState.PENDING, RequestState.APPROVED)


def open_grant(step: Step, policy: Policy, request_id: str, client_id: str) -> tuple[Grant, bool]:
    """The grant that `request_id` opens, and whether it was open before (a resume).

    1. the asking device alone may collect, and only while it is active
    2. an open grant of this request is the answer to every repetition
    3. only an approved request opens one, within its claim time
    4. the policy of this moment must allow it too
    """
    request = requests.due(step, load_request(step, request_id))
    device = active_device(step, client_id)
    if request.client_id != device.client_id:
        raise not_this("request", request_id)
    if request.state is RequestState.REDEEMED:
        return _resumed(step, request), True
    if request.state is not RequestState.APPROVED:
        raise Keep(_not_approved(request))
    if refusal := still_allowed(policy, request, yes_methods(step, request)):
        requests.move(step, request, RequestEvent.REVOKE, by=MINTER, why=refusal.message)
        raise Keep(refusal)
    return _opened(step, request), False


def _resumed(step: Step, request: Request) -> Grant:
    grant = due(step, load_grant(step, request.grant_id))
    if grant.state is not GrantState.ACTIVE:
        raise Keep(over(grant))
    step.leaf("grant.resume", grant.person, grant=grant.grant_id, request=request.request_id)
    step.change(changed("grant_resumed", grant, request))
    return grant


def _opened(step: Step, request: Request) -> Grant:
    yes = yeses(step, request)
    if len(yes) < request.k:
        raise RuntimeError("an approved request lacks its approvals")
    old = due(step, load_grant(step, request.extends)) if request.extends else None
    seconds = min(request.seconds, *(d.seconds for d in yes))
    grant_id = new_grant_id(step.now, step.entropy(ENTROPY_BYTES))
    values = {
        "grant_id": grant_id,
        "request_id": request.request_id,
        "client_id": request.client_id,
        "person": request.person,
        "seconds": seconds,
        "extension": old.extension + 1 if old else 0,
        "opened_at": step.now,
        "expires_at": step.now + seconds,
    }
    requests.move(step, request, RequestEvent.REDEEM, by=request.person, grant_id=grant_id)
    step.leaf(
        "grant.open",
        request.person,
        *(d.approver for d in yes),
        grant=grant_id,
        request=request.request_id,
        person=request.person,
        device=request.client_id,
        role=request.role,
        arn=request.arn,
        expires_at=values["expires_at"],
        extends=request.extends,
    )
    empty = {"ended_at": 0.0, "ended_by": "", "reason": ""}
    step.run(insert(schema.grants).values(state=GrantState.ACTIVE, **values, **empty))
    grant = load_grant(step, grant_id)
    step.change(changed("grant_opened", grant, request))
    if old is not None and old.state is GrantState.ACTIVE:
        move(step, old, GrantEvent.RELEASE, by=MINTER, why=f"replaced by {grant_id}")
    return grant


def due(step: Step, grant: Grant) -> Grant:
    """`grant`, moved to expired if its end is over."""
    if grant.state is GrantState.ACTIVE and grant.state_at(step.now) is GrantState.EXPIRED:
        return move(step, grant, GrantEvent.END, by=MINTER)
    return grant


def move(step: Step, grant: Grant, event: GrantEvent, *, by: str, why: str = "") -> Grant:
    """Write the leaf, then the new state; requests that would extend it end with it."""
    state = advance_grant(grant.state, event)
    request = load_request(step, grant.request_id)
    step.leaf(
        f"grant.{state}",
        grant.person,
        by,
        grant=grant.grant_id,
        person=grant.person,
        role=request.role,
        by=by,
        why=why,
    )
    table = schema.grants
    where = (table.c.grant_id == grant.grant_id) & (table.c.state == grant.state)
    values = {"state": state, "ended_at": step.now, "ended_by": by, "reason": why}
    if step.run(update(table).where(where).values(**values)) != 1:
        raise RuntimeError("the grant's state moved within the step")
    step.change(changed(f"grant_{state}", grant, request, by=by, why=why))
    if state is not GrantState.EXPIRED:  # an extension that outlives a revocation would undo it
        _end_extensions(step, grant, by=by)
    return load_grant(step, grant.grant_id)


def _end_extensions(step: Step, grant: Grant, *, by: str) -> None:
    table = schema.requests
    where = (table.c.extends == grant.grant_id) & table.c.state.in_(_OPEN)
    for row in step.all(select(table).where(where)):
        request = requests.due(step, request_from(row))
        if request.state in _OPEN:
            requests.move(step, request, RequestEvent.REVOKE, by=by, why="its grant ended")


def release(step: Step, grant_id: str, client_id: str) -> None:
    """Its device gives it back; twice is once, and one that is over stays as it is."""
    grant = due(step, load_grant(step, grant_id))
    if grant.client_id != client_id:
        raise not_this("grant", grant_id)
    if grant.state is GrantState.ACTIVE:
        move(step, grant, GrantEvent.RELEASE, by=grant.person)


def revoke(step: Step, grant_id: str, *, by: str, reason: str) -> None:
    """Somebody ends it; one that is over stays as it is."""
    grant = due(step, load_grant(step, grant_id))
    if grant.state is GrantState.ACTIVE:
        move(step, grant, GrantEvent.REVOKE, by=by, why=reason)


def end_forbidden(step: Step, policy: Policy) -> None:
    """End live grants that `policy` does not allow: of somebody who left, of a role that went.

    Nothing more is minted for them in any case; this ends what devices hold of them already.
    """
    table = schema.grants
    for row in step.all(select(table).where(table.c.state == GrantState.ACTIVE)):
        grant = grant_from(row)
        request = load_request(step, grant.request_id)
        if refusal := still_allowed(policy, request, yes_methods(step, request)):
            move(step, grant, GrantEvent.REVOKE, by=MINTER, why=refusal.message)


def over(grant: Grant) -> Refused:
    state = "over" if grant.state is GrantState.ACTIVE else grant.state  # its last broken second
    return Refused(
        f"the grant {grant.grant_id} is {state}",
        hint="ask again",
        state="grant_exhausted",
        request=grant.request_id,
    )


def _not_approved(request: Request) -> BorrowError:
    if request.state is RequestState.PENDING:
        return Unavailable(
            "nobody has answered yet", state="authorization_pending", retry_after=PENDING_PAUSE
        )
    why = f": {request.reason}" if request.reason else ""
    return Refused(
        f"the request was {request.state}{why}"
        if request.state is not RequestState.EXPIRED
        else "nobody answered the request in time",
        state=str(request.state),
        request=request.request_id,
    )


def changed(kind: str, grant: Grant, request: Request, *, by: str = "", why: str = "") -> Change:
    details = {
        "grant": grant.grant_id,
        "request": request.request_id,
        "rule": request.rule,
        "mode": request.mode,
        "expires_at": grant.expires_at,
    }
    details |= {name: value for name, value in (("by", by), ("reason", why)) if value}
    subject = f"grant:{grant.grant_id}"
    return Change(kind, grant.person, grant.client_id, subject, request.role, details)
