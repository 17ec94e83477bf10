"""Lists for people: what waits for them, what they hold, what they may ask for. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from borrow.minter import schema
from borrow.minter.records import grant_from, grant_view, request_from, request_view
from borrow.policy.decide import factors_for, roles_for
from borrow.policy.model import Ask
from borrow.protocol.lifecycle import GrantState, RequestState

if TYPE_CHECKING:
    from borrow.minter.port import GrantView, RequestView
    from borrow.minter.records import Grant, Request
    from borrow.minter.store import Reader
    from borrow.policy.model import Policy

MOST_PAST = 50  # requests of a person's history that are listed; the log has all


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


def catalogue(policy: Policy, person: str) -> tuple[dict[str, Any], ...]:
    """What `person` may ask for, in the policy's order, as JSON."""
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
                "match": rule.approve.match,
                "needs": dict(view.needs),
            }
        )
    return tuple(out)
