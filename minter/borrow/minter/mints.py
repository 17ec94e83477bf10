"""Making a credential: two steps with the cloud between them, each in the log before it counts.

`begin` says who may and writes `mint.begin`; the driver is called outside of any transaction; `end`
looks at the grant again and writes `mint.end`. What was open when the minter died is `mint.lost`: a
session may exist that nobody was given.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from sqlalchemy import insert, select, update

from borrow.minter import grants, schema
from borrow.minter.drivers.base import GrantFacts, Target
from borrow.minter.records import (
    Grant,
    Request,
    active_device,
    load_grant,
    load_request,
    not_this,
    yes_methods,
    yeses,
)
from borrow.minter.store import Keep
from borrow.minter.verdicts import rule_now, still_allowed
from borrow.protocol.credentials import AwsCredentials, SealedFor
from borrow.protocol.errors import Refused, Unavailable
from borrow.protocol.lifecycle import GrantState

if TYPE_CHECKING:
    from borrow.minter.drivers.base import Chain
    from borrow.minter.port import Device
    from borrow.minter.store import Step
    from borrow.policy.model import Policy

OPEN, ENDED, LOST = "open", "ended", "lost"


@dataclass(frozen=True, slots=True)
class Begun:
    """A mint on its way: what the driver is given, and for whom the answer is sealed."""

    mint_id: int
    grant_id: str
    device: Device
    target: Target
    facts: GrantFacts


def begin(step: Step, policy: Policy, grant_id: str, client_id: str) -> Begun:
    """Say that this device may have a credential of this grant now, and log that one is made.

    1. the grant is active at this moment, and this device's
    2. the device is active
    3. the policy of this moment still allows it
    """
    grant = grants.due(step, load_grant(step, grant_id))
    if grant.client_id != client_id:
        raise not_this("grant", grant_id)
    device = active_device(step, client_id)
    if grant.state is not GrantState.ACTIVE or int(grant.expires_at) <= step.now:
        raise Keep(grants.over(grant))
    request = load_request(step, grant.request_id)
    if refusal := still_allowed(policy, request, yes_methods(step, request)):
        step.leaf("mint.refused", grant.person, grant=grant_id, state=refusal.state)
        raise Keep(refusal)
    _leaf(step, "mint.begin", grant, arn=request.arn)
    row = insert(schema.mints).values(grant_id=grant_id, state=OPEN, begun_at=step.now)
    result = step.conn.execute(row)
    mint_id = int(result.inserted_primary_key[0]) if result.inserted_primary_key else 0
    target, facts = _order(step, policy, grant, request)
    return Begun(mint_id, grant_id, device, target, facts)


def _order(step: Step, policy: Policy, grant: Grant, request: Request) -> tuple[Target, GrantFacts]:
    role = policy.roles[request.role]
    now_ruled = rule_now(policy, request)
    mint_seconds, deny_iam = request.mint_seconds, request.deny_iam
    if now_ruled is not None:  # as with everything after acceptance, a policy can only tighten
        mint_seconds = min(mint_seconds, now_ruled.mint_seconds)
        deny_iam = deny_iam or now_ruled.session.deny_iam
    target = Target(
        name=role.name,
        arn=role.arn,
        account=role.account,
        region=role.region,
        chain=cast("Chain", role.chain),
        tier=str(role.tier),
        mint_seconds=mint_seconds,
    )
    facts = GrantFacts(
        grant_id=grant.grant_id,
        request_id=request.request_id,
        person=grant.person,
        mode=request.mode,
        rule=request.rule,
        approvers=tuple(each.approver for each in yeses(step, request)),
        expires_at=grant.expires_at,
        session_policy=request.session_policy,
        deny_iam=deny_iam,
        agent=request.agent,
    )
    return target, facts


def fail(step: Step, begun: Begun, state: str) -> None:
    """The cloud gave nothing; `state` says why."""
    if _is_open(step, begun):
        grant = load_grant(step, begun.grant_id)
        _leaf(step, "mint.end", grant, outcome=state, arn=begun.target.arn)
        _close(step, begun)


def end(step: Step, begun: Begun, made: AwsCredentials) -> SealedFor:
    """What may be sealed and sent now; else the credential is dropped, and that is logged.

    1. the credential is whole and ends in the future, at the grant's end at the latest
    2. the mint is still ours: a minter that started meanwhile has written it off
    3. the grant is still active and its device too: a revocation during the call wins
    """
    if not _is_open(step, begun):
        raise Unavailable("the minter was restarted meanwhile", hint="try again")
    grant = grants.due(step, load_grant(step, begun.grant_id))
    expires_at = min(made.expires_at, int(grant.expires_at))
    refusal: Refused | None = None
    if grant.state is not GrantState.ACTIVE or int(grant.expires_at) <= step.now:
        refusal = grants.over(grant)
    elif not made.is_whole() or expires_at <= step.now:
        refusal = Refused("the cloud gave nothing that can be used", state="cloud_refused")
    outcome = "dropped" if refusal else "sealed"
    _leaf(
        step,
        "mint.end",
        grant,
        outcome=outcome,
        arn=begun.target.arn,
        access_key_id=made.access_key_id,
        expires_at=expires_at,
    )
    _close(step, begun)
    if refusal is not None:
        raise Keep(refusal)
    credentials = replace(made, expires_at=expires_at)
    return SealedFor(grant.grant_id, begun.target.name, begun.target.arn, credentials)


def write_off(step: Step) -> None:
    """At start: whatever was open when the minter stopped has no known end."""
    table = schema.mints
    for row in step.all(select(table).where(table.c.state == OPEN).order_by(table.c.id)):
        grant = load_grant(step, row.grant_id)
        _leaf(step, "mint.lost", grant)
        step.run(update(table).where(table.c.id == row.id).values(state=LOST))


def _leaf(step: Step, kind: str, grant: Grant, **facts: str | int | float) -> None:
    step.leaf(
        kind,
        grant.person,
        grant=grant.grant_id,
        request=grant.request_id,
        person=grant.person,
        **facts,
    )


def _is_open(step: Step, begun: Begun) -> bool:
    table = schema.mints
    row = step.one(select(table).where(table.c.id == begun.mint_id))
    return row is not None and row.state == OPEN


def _close(step: Step, begun: Begun) -> None:
    table = schema.mints
    step.run(update(table).where(table.c.id == begun.mint_id).values(state=ENDED))
