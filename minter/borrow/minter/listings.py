"""Lists for people: what waits for them, what they hold, what they may ask for. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select

from borrow.minter import schema
from borrow.minter.records import (
    grant_from,
    grant_view,
    load_request,
    request_from,
    request_view,
)
from borrow.policy.decide import factors_for, roles_for
from borrow.policy.model import Ask
from borrow.policy.whole import takes_every
from borrow.protocol.lifecycle import GrantState, RequestState

if TYPE_CHECKING:
    from borrow.minter.port import GrantView, RequestView
    from borrow.minter.records import Grant, Request
    from borrow.minter.store import Reader
    from borrow.policy.model import Policy

MOST_PAST = 50  # requests of a person's history that are listed; the log has all
REASONS: Final = 5  # of one role, offered again
REASONS_KEPT: Final = 30 * 86_400  # seconds


def requests_for(reader: Reader, person: str) -> tuple[RequestView, ...]:
    """Pending requests that `person` may answer and their own ones, oldest first."""
    table = schema.requests
    where = (table.c.state == RequestState.PENDING) & (table.c.pending_until > reader.now)
    rows = reader.all(select(table).where(where).order_by(table.c.asked_at))
    found = (request_from(row) for row in rows)
    return tuple(
        request_view(reader, request)
        for request in found
        if person == request.person or person in request.deciders
    )


def history(reader: Reader, person: str) -> tuple[RequestView, ...]:
    """The latest requests of `person` that do not wait any more, latest first."""
    table = schema.requests
    waits = (table.c.state == RequestState.PENDING) & (table.c.pending_until > reader.now)
    query = select(table).where((table.c.person == person) & ~waits)
    rows = reader.all(query.order_by(table.c.asked_at.desc()).limit(MOST_PAST))
    return tuple(request_view(reader, request_from(row)) for row in rows)


def previous(reader: Reader, request_id: str) -> RequestView | None:
    """The last request of the same person for the same role that somebody decided."""
    request, table = load_request(reader, request_id), schema.requests
    decided = select(schema.decisions.c.request_id)
    where = (
        (table.c.person == request.person)
        & (table.c.role == request.role)
        & (table.c.asked_at < request.asked_at)
        & table.c.request_id.in_(decided)
    )
    row = reader.one(select(table).where(where).order_by(table.c.asked_at.desc()).limit(1))
    return None if row is None else request_view(reader, request_from(row))


def own_reasons(reader: Reader, person: str) -> dict[str, list[str]]:
    """By role the reasons that `person` gave lately, newest first; never an agent's."""
    table = schema.requests
    where = (
        (table.c.person == person)
        & (table.c.agent == "")
        & (table.c.justification != "")
        & (table.c.asked_at > reader.now - REASONS_KEPT)
    )
    latest = func.max(table.c.asked_at)
    query = select(table.c.role, table.c.justification).where(where)
    query = query.group_by(table.c.role, table.c.justification).order_by(latest.desc()).limit(200)
    found: dict[str, list[str]] = {}
    for row in reader.all(query):
        if len(told := found.setdefault(row.role, [])) < REASONS:
            told.append(row.justification)
    return found


def grants_for(reader: Reader, client_id: str | None, person: str) -> tuple[GrantView, ...]:
    """Live grants of `person`, of one device or of all, oldest first."""
    table = schema.grants
    where = (
        (table.c.person == person)
        & (table.c.state == GrantState.ACTIVE)
        & (table.c.expires_at > reader.now)
    )
    if client_id is not None:
        where &= table.c.client_id == client_id
    rows = reader.all(select(table).where(where).order_by(table.c.opened_at))
    return tuple(grant_view(reader, grant_from(row)) for row in rows)


def overdue_requests(reader: Reader) -> list[Request]:
    """Those whose row is behind the clock."""
    table = schema.requests
    unanswered = (table.c.state == RequestState.PENDING) & (table.c.pending_until <= reader.now)
    uncollected = (table.c.state == RequestState.APPROVED) & (table.c.claim_until <= reader.now)
    return [request_from(row) for row in reader.all(select(table).where(unanswered | uncollected))]


def overdue_grants(reader: Reader) -> list[Grant]:
    table = schema.grants
    where = (table.c.state == GrantState.ACTIVE) & (table.c.expires_at <= reader.now)
    return [grant_from(row) for row in reader.all(select(table).where(where))]


def catalogue(reader: Reader, policy: Policy, person: str) -> tuple[dict[str, Any], ...]:
    """What `person` may ask for, in the policy's order, as JSON."""
    reasons = own_reasons(reader, person)
    rules = {rule.id: rule for rule in policy.rules}
    out = []
    for view in roles_for(policy, person):
        role, rule = view.role, rules[view.rule]
        out.append(
            {
                "name": role.name,
                "arn": role.arn,
                "account": role.account,
                "tier": str(role.tier),
                "share": role.share,
                "imds": role.imds,
                "base": role.base or "",
                "allows": list(role.allows),
                "region": role.region,
                "max": view.max_seconds,
                "mode": str(view.mode),
                "rule": view.rule,
                "factors": sorted(factors_for(rule, role, Ask(person, role.name, 0))),
                **({"every": True} if takes_every(role.tier) else {}),
                "match": rule.approve.match,
                "needs": dict(view.needs),
                "reasons": reasons.get(role.name, []),
            }
        )
    return tuple(out)
