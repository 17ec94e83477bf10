"""The life of a request after it was accepted: every move is a leaf, a row and a change.

`lifecycle.REQUEST` says which moves exist. How a request comes in is `acceptance.py`'s, what a
person says about it `decisions.py`'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from borrow.minter import schema
from borrow.minter.port import Change
from borrow.minter.records import load_request, not_this
from borrow.minter.store import Keep, people_of
from borrow.protocol.errors import Refused
from borrow.protocol.lifecycle import RequestEvent, RequestState, advance_request, is_final

if TYPE_CHECKING:
    from borrow.minter.records import Request
    from borrow.minter.store import Step

MINTER = "minter"  # who moved it, where nobody did: a deadline, a policy


def move(
    step: Step, request: Request, event: RequestEvent, *, by: str, why: str = "", **values: Any
) -> Request:
    """Write the leaf, then the new state (compare-and-set). `values` are further columns.

    Raises Refused (state `wrong_state`) if the table of lives has no such move.
    """
    state = advance_request(request.state, event)
    step.leaf(
        f"request.{state}",
        *people_of((request.person, by), request.deciders),
        request=request.request_id,
        person=request.person,
        role=request.role,
        by=by,
        why=why,
    )
    values |= {"state": state, "ended_at": step.now if is_final(state) else 0.0}
    if why and is_final(state):
        values["reason"] = why
    table = schema.requests
    where = (table.c.request_id == request.request_id) & (table.c.state == request.state)
    if step.run(update(table).where(where).values(**values)) != 1:
        raise RuntimeError("the request's state moved within the step")
    if is_final(state) and state is not RequestState.REDEEMED:
        step.change(changed(f"request_{state}", request, by=by, why=why))
    return replace(load_request(step, request.request_id))


def changed(kind: str, request: Request, *, by: str, why: str = "") -> Change:
    details = {"request": request.request_id, "rule": request.rule, "mode": request.mode, "by": by}
    return Change(
        kind,
        request.person,
        request.client_id,
        f"request:{request.request_id}",
        request.role,
        details | ({"reason": why} if why else {}),
    )


def due(step: Step, request: Request) -> Request:
    """`request`, moved on if one of its deadlines is over."""
    match request.state_at(step.now):
        case RequestState.EXPIRED if request.state is RequestState.PENDING:
            return move(step, request, RequestEvent.DEADLINE, by=MINTER)
        case RequestState.LAPSED if request.state is RequestState.APPROVED:
            return move(step, request, RequestEvent.CLAIM_OVER, by=MINTER)
        case _:
            return request


def cancel(step: Step, request_id: str, client_id: str) -> None:
    """The asking device takes it back; twice is once."""
    request = due(step, load_request(step, request_id))
    if request.client_id != client_id:
        raise not_this("request", request_id)
    if request.state is RequestState.CANCELLED:
        return
    if is_final(request.state):
        raise Keep(already(request))
    move(step, request, RequestEvent.CANCEL, by=request.person)


def already(request: Request) -> Refused:
    """The refusal of a move that is too late."""
    return Refused(
        f"the request is {request.state} already",
        state="wrong_state",
        request=request.request_id,
    )
