"""Voices: what each person has said yes with, whose yes is whole, and what the others still lack.

A yes may come in halves (tier `critical`: a passkey and a device). Only whole ones count, for the
request, for the length of its grant and in every look at the policy afterwards. A half whose key is
taken away while the request waits is withdrawn: what somebody else may have said with it proves
nothing. Its record stays in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from borrow.minter import schema
from borrow.policy.whole import is_whole, missing
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from borrow.minter.port import Half
    from borrow.minter.records import Decision, Request
    from borrow.minter.store import Step


@dataclass(frozen=True, slots=True)
class Voice:
    """One person's yes so far. `seconds` is the shortest that they agreed to."""

    approver: str
    methods: tuple[str, ...]
    seconds: int


def voices_of(decisions: Iterable[Decision]) -> tuple[Voice, ...]:
    """In the order in which people were first heard."""
    heard: dict[str, Voice] = {}
    for said in decisions:
        if said.decision != "approve":
            continue
        before = heard.get(said.approver, Voice(said.approver, (), said.seconds))
        methods = tuple(dict.fromkeys((*before.methods, said.method)))
        heard[said.approver] = Voice(said.approver, methods, min(before.seconds, said.seconds))
    return tuple(heard.values())


def counts(request: Request, given: Collection[str]) -> bool:
    """Whether one person's `given` is a yes to `request`, as it was accepted."""
    if request.mode == "auto":  # the policy's own
        return bool(given)
    return is_whole(request.factors, given, every=request.every)


def whole(request: Request, decisions: Iterable[Decision]) -> tuple[Voice, ...]:
    return tuple(each for each in voices_of(decisions) if counts(request, each.methods))


def halves(request: Request, decisions: Iterable[Decision]) -> tuple[Half, ...]:
    """Those who said a part of a yes, and what is missing of it."""
    from borrow.minter.port import Half

    return tuple(
        Half(each.approver, each.methods, missing(request.factors, each.methods, every=True))
        for each in voices_of(decisions)
        if not counts(request, each.methods)
    )


def withdraw(step: Step, credentials: Collection[str], *, by: str, why: str) -> None:
    """Drop the halves given with `credentials` to requests that still wait."""
    said, asked = schema.decisions, schema.requests
    waits = select(asked.c.request_id).where(
        asked.c.every & (asked.c.state == RequestState.PENDING)
    )
    where = (
        said.c.credential_id.in_(credentials)
        & (said.c.decision == "approve")
        & said.c.request_id.in_(waits)
    )
    for row in step.all(select(said).where(where).order_by(said.c.id)):
        step.leaf(
            "decision.withdrawn",
            row.approver,
            by,
            request=row.request_id,
            approver=row.approver,
            method=row.method,
            by=by,
            why=why,
        )
        step.run(delete(said).where(said.c.id == row.id))
