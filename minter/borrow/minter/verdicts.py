"""Asking the policy: at acceptance, and again before a yes counts, a grant opens or a key is made.

Rule and evidence are fixed when a request is accepted. Later the policy of the moment can only take
away: a deny, a role that went or points elsewhere. Length and budget were judged already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from borrow.minter import schema
from borrow.policy.decide import budget_window, decide
from borrow.policy.model import Ask, Policy, Refuse, Verdict
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from borrow.minter.records import Request
    from borrow.minter.store import Reader
    from borrow.policy.model import Role
    from borrow.protocol.request import AwsRole, RequestObject

_GIVEN = (RequestState.APPROVED, RequestState.REDEEMED)


def role_of(policy: Policy, asked: AwsRole) -> Role:
    """The policy's role if it maps exactly this name to this ARN; else it refuses."""
    role = policy.roles.get(asked.identifier)
    if role is None:
        raise Refused(
            f"no role is called {asked.identifier!r}",
            hint="`borrow roles` lists what you may ask for",
            state="unknown_role",
        )
    if role.arn != asked.arn:
        raise Untrusted(
            f"the role {role.name!r} has another ARN here",
            hint="the list of roles is out of date; try again",
            state="invalid_authorization_details",
        )
    return role


def judge(reader: Reader, policy: Policy, person: str, asked: RequestObject) -> Verdict:
    """The policy's verdict on a fresh request, budgets counted."""
    return decide(
        policy,
        Ask(
            user=person,
            role=asked.role.identifier,
            seconds=asked.role.seconds,
            reason=asked.role.justification,
            ticket=asked.role.ticket,
            via=asked.via,
            agent=asked.agent,
            spent=_spent(reader, policy, person),
        ),
    )


def refused(verdict: Refuse) -> Refused:
    return Refused(verdict.why, hint=verdict.hint, state=verdict.state)


def still_allowed(policy: Policy, request: Request) -> Refused | None:
    """Why the policy of this moment forbids what `request` was given, or None."""
    role = policy.roles.get(request.role)
    if role is None or role.arn != request.arn:
        return Refused(
            f"the role {request.role!r} is not in the policy any more",
            state="unknown_role",
            request=request.request_id,
        )
    verdict = decide(
        policy,
        Ask(
            user=request.person,
            role=request.role,
            seconds=0,
            reason=request.justification,
            ticket=request.ticket,
            via=request.via,
            agent=request.agent,
        ),
    )
    if isinstance(verdict, Refuse):
        return Refused(
            verdict.why, hint=verdict.hint, state=verdict.state, request=request.request_id
        )
    return None


def _spent(reader: Reader, policy: Policy, person: str) -> dict[str, int]:
    """How many grants each counted rule gave `person` by itself within its window."""
    table = schema.requests
    spent: dict[str, int] = {}
    for rule in policy.rules:
        window = budget_window(rule)
        if window is None:
            continue
        where = (
            (table.c.person == person)
            & (table.c.rule == rule.id)
            & (table.c.mode == "auto")
            & (table.c.asked_at > reader.now - window[1])
            & table.c.state.in_(_GIVEN)
        )
        spent[rule.id] = reader.count(select(func.count()).select_from(table).where(where))
    return spent
