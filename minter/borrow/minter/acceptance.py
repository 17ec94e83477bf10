"""A signed request comes in: once, and never a second prompt for what is asked or given already.

1. the device is active, and one of its registered keys signed exactly this (`protocol.request`)
2. its `jti` was not seen before (replay)
3. an equal request that is pending, approved or has a live grant is joined, if the policy would
   give `asked`, by the way it comes, the same
4. the policy decides; an extension must be judged by the rule of the grant it extends
5. a person who was asked too often, or said no just now, is not asked again

What steps 3 to 5 refuse uses the `jti` up all the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never

from sqlalchemy import insert, select

from borrow.minter import decisions, grants, requests, schema, session_policy
from borrow.minter.fatigue import earlier_denials, refuse_busy_agent, refuse_tiring
from borrow.minter.records import (
    Request,
    grant_from,
    load_grant,
    load_request,
    request_from,
    yes_methods,
)
from borrow.minter.store import Keep
from borrow.minter.verdicts import judge, may_join, refused, role_of, ways_of
from borrow.policy.model import AskPeers, AskSelf, Auto, NeedsMore, Refuse
from borrow.protocol.errors import Needs, Refused, Untrusted
from borrow.protocol.ids import ENTROPY_BYTES, RequestId, new_request_id
from borrow.protocol.jose import SKEW
from borrow.protocol.lifecycle import GrantState, RequestState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.minter.port import Device
    from borrow.minter.records import Grant
    from borrow.minter.secret_files import MinterSecrets
    from borrow.minter.store import Step
    from borrow.policy.model import Policy, Role
    from borrow.protocol.request import RequestObject, SignedRequest

# A `jti` outlives the acceptance of its request object: `exp` plus the skew, plus a day for a
# clock that was set back.
JTI_KEPT = SKEW + 86_400
MAX_POLICY_JSON = 6_200  # bytes of a session policy inside JSON: its record must fit a token
# Seconds before a grant's end in which nothing joins it any more: its device counts whole seconds
# (`expires_in`) and takes it as over already, so what it asks then is for the time after it.
NEARLY_OVER = 2.0
_OPEN = (RequestState.PENDING, RequestState.APPROVED)


def accept(
    step: Step, policy: Policy, signed: SignedRequest, device: Device, keys: MinterSecrets
) -> tuple[Request, bool]:
    """The request that now stands for `signed`, and whether it was there before."""
    asked = signed.request
    _use_once(step, asked)
    equal = _joined(step, policy, asked)
    if equal is not None:
        step.leaf(
            "request.join",
            device.owner,
            request=equal.request_id,
            request_hash=signed.request_hash,
            device=device.client_id,
        )
        return equal, True
    try:
        request = _judged(step, policy, signed, device)
    except Needs as needs:  # nobody was asked and nothing refused: the device comes back with more
        raise Keep(needs) from None
    except (Refused, Untrusted) as refusal:
        # It never becomes a request, but people ask why: the id joins the SDK's error to the log.
        # A refusal from memory names the request that was denied, which says more.
        request_id = new_request_id(step.now, step.entropy(ENTROPY_BYTES))
        if isinstance(refusal, Refused):
            request_id = RequestId(refusal.request or request_id)
            refusal.request = request_id
        step.leaf(
            "request.refused",
            device.owner,
            request=request_id,
            device=device.client_id,
            person=device.owner,
            role=asked.role.identifier,
            request_hash=signed.request_hash,
            state=refusal.state,
        )
        raise Keep(refusal) from None
    if request.mode == "auto":
        request = decisions.approve_by_policy(step, request, asked.issuer, keys)
    return request, False


def _use_once(step: Step, asked: RequestObject) -> None:
    table = schema.jtis
    where = (table.c.client_id == asked.client_id) & (table.c.jti == asked.jti)
    if step.all(select(table).where(where)):
        raise Untrusted("the request was sent before", hint="ask again", state="replayed")
    step.run(
        insert(table).values(client_id=asked.client_id, jti=asked.jti, expires_at=asked.expires_at)
    )


def _joined(step: Step, policy: Policy, asked: RequestObject) -> Request | None:
    """The equal request that `asked` attaches to, if there is one that it may share."""
    role = policy.roles.get(asked.role.identifier)
    if role is None:
        return None
    shared = role.share == "device" and not _is_a_containers(asked.group)
    for found in _equal_requests(step, asked, shared=shared):
        pending = found.state is RequestState.PENDING
        given = ways_of(found) if pending else yes_methods(step, found)
        if may_join(policy, asked, found, given):
            return found
    return None


def _is_a_containers(group: str) -> bool:
    """A container is no neighbour: it shares with nobody. Daemons mark its group so."""
    return "@" in group


def _equal_requests(step: Step, asked: RequestObject, *, shared: bool) -> Iterator[Request]:
    """Those behind live grants, then the open ones, that `asked` asks for once more.

    `shared`: by the policy of now; a grant is shared within the device only if it was so then too.
    """
    table = schema.requests
    mine = table.c.group == asked.group
    same = (
        (table.c.client_id == asked.client_id)
        & (table.c.role == asked.role.identifier)
        & (table.c.arn == asked.role.arn)
        & (table.c.session_policy == asked.role.session_policy)
        & (table.c.agent == asked.agent)  # an agent never rides on what its person was given
        & (((table.c.share == "device") & ~table.c.group.contains("@")) | mine if shared else mine)
    )
    live = schema.grants
    held = select(table).join(live, live.c.request_id == table.c.request_id)
    held = held.where(
        same, live.c.state == GrantState.ACTIVE, live.c.expires_at > step.now + NEARLY_OVER
    )
    if asked.extends:  # a repeated extension finds its own grant, not the one it extends
        held = held.where(table.c.extends == asked.extends)
    waits = select(table).where(same, table.c.extends == asked.extends, table.c.state.in_(_OPEN))
    rows = [
        *step.all(held.order_by(live.c.opened_at.desc())),
        *step.all(waits.order_by(table.c.asked_at)),
    ]
    for row in rows:
        found = requests.due(step, request_from(row))
        if found.state in (*_OPEN, RequestState.REDEEMED):
            yield found


def _judged(step: Step, policy: Policy, signed: SignedRequest, device: Device) -> Request:
    asked = signed.request
    role = role_of(policy, asked.role)
    verdict = judge(step, policy, device.owner, asked)
    deciders: tuple[str, ...] = ()
    every = False
    match verdict:
        case Refuse():
            raise refused(verdict)
        case NeedsMore():
            names = " and a ".join(sorted(verdict.fields))
            raise Needs(
                f"{role.name!r} needs a {names}",
                fields=verdict.fields,
                hint="give them with --reason and --ticket",
            )
        case Auto():
            factors, match, k = frozenset[str](), False, 1
        case AskSelf():
            factors, match, k = verdict.factors, verdict.match, 1
            deciders = (device.owner,)
        case AskPeers():
            factors, match, k = verdict.factors, verdict.match, verdict.k
            deciders, every = verdict.pool, verdict.every
        case _:
            assert_never(verdict)
    rule = verdict.rule
    _refuse_odd_policy(asked.role.session_policy, deny_iam=rule.session.deny_iam)
    if asked.extends:
        _refuse_bad_extension(_extended(step, asked, device), step, rule.id, rule.extensions)
    if not isinstance(verdict, Auto):
        refuse_busy_agent(step, asked, policy.defaults.agents)
        refuse_tiring(step, asked)
    values: dict[str, Any] = {
        "rule": rule.id,
        "policy_hash": policy.hash,
        "mode": str(rule.approve.mode),
        "factors": sorted(factors),
        "every": every,
        "number_match": match,
        "k": k,
        "deciders": list(deciders),
        "seconds": rule.seconds_for(asked.role.seconds),
        "pending_until": step.now + rule.pending_seconds,
        "claim_seconds": rule.claim_by_seconds,
        "mint_seconds": rule.mint_seconds,
        "deny_iam": rule.session.deny_iam,
    }
    return _written(step, signed, device, role, values)


def _written(
    step: Step, signed: SignedRequest, device: Device, role: Role, judged: dict[str, Any]
) -> Request:
    asked = signed.request
    request_id = new_request_id(step.now, step.entropy(ENTROPY_BYTES))
    step.leaf(
        "request.accept",
        device.owner,
        *judged["deciders"],
        request=request_id,
        request_hash=signed.request_hash,
        device=device.client_id,
        person=device.owner,
        role=role.name,
        arn=role.arn,
        seconds=judged["seconds"],
        rule=judged["rule"],
        mode=judged["mode"],
        policy=judged["policy_hash"],
        justification=asked.role.justification,
        ticket=asked.role.ticket,
        via=asked.via,
        agent=asked.agent,
        extends=asked.extends,
    )
    fresh = {"claim_until": 0.0, "ended_at": 0.0, "wrong_numbers": 0, "reason": "", "grant_id": ""}
    step.run(
        insert(schema.requests).values(
            request_id=request_id,
            request_hash=signed.request_hash,
            client_id=device.client_id,
            person=device.owner,
            jws=signed.jws,
            state=RequestState.PENDING,
            role=role.name,
            arn=role.arn,
            session_policy=asked.role.session_policy,
            justification=asked.role.justification,
            ticket=asked.role.ticket,
            account=role.account,
            tier=str(role.tier),
            share=role.share,
            number=asked.number,
            words=asked.words,
            context=asked.context,
            group=asked.group,
            via=asked.via,
            agent=asked.agent,
            extends=asked.extends,
            asked_at=step.now,
            earlier_denials=earlier_denials(step, device.owner, role.name),
            **judged,
            **fresh,
        )
    )
    return load_request(step, request_id)


def _extended(step: Step, asked: RequestObject, device: Device) -> tuple[Grant, Request]:
    """The live grant that `asked` extends, and its request; it must be the same access."""
    row = step.one(select(schema.grants).where(schema.grants.c.grant_id == asked.extends))
    grant = grants.due(step, grant_from(row)) if row is not None else None
    if grant is None or grant.client_id != device.client_id:
        raise Refused(f"there is no grant {asked.extends} to extend", state="unknown_grant")
    if grant.state is not GrantState.ACTIVE:
        raise grants.over(load_grant(step, grant.grant_id))
    first = load_request(step, grant.request_id)
    wanted = (asked.role.identifier, asked.role.arn, asked.role.session_policy)
    shared = first.share == "device" or first.group == asked.group
    shared = shared and first.agent == asked.agent
    if wanted != (first.role, first.arn, first.session_policy) or not shared:
        raise Refused(
            f"{asked.extends} is a grant for something else",
            hint="a grant is extended as it is; ask for the other access by itself",
            state="invalid_grant",
        )
    return grant, first


def _refuse_bad_extension(
    old: tuple[Grant, Request], step: Step, rule: str, extensions: int
) -> None:
    grant, first = old
    if first.rule != rule:
        raise Refused(
            f"the policy now judges {first.role!r} by another rule",
            hint="ask for it afresh",
            state="extension_refused",
        )
    if grant.extension >= extensions:
        raise Refused(
            f"rule {rule!r} lets a grant be extended {extensions} times",
            hint="ask for it afresh",
            state="extension_refused",
        )


def _refuse_odd_policy(text: str, *, deny_iam: bool) -> None:
    """What STS would refuse at the first mint is refused before anybody is asked."""
    if not text:
        return
    session_policy.check(text, deny_iam=deny_iam)
    if len(json.dumps(text)) > MAX_POLICY_JSON:
        raise Untrusted("the session policy is too large once it is signed")
