"""Asking the policy: at acceptance, and again before a yes counts, a grant opens or a key is made.

Rule and evidence are fixed when a request is accepted. Later the policy of the moment can only take
away: a deny, a role that went or points elsewhere, a rule that wants more than was given. Length
and budget were judged already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import func, select

from borrow.minter import schema
from borrow.policy.decide import budget_window, decide, who_says_yes
from borrow.policy.model import Ask, AskPeers, AskSelf, Auto, Policy, Refuse, Verdict
from borrow.policy.whole import is_whole
from borrow.protocol.errors import Refused, Untrusted
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from collections.abc import Collection

    from borrow.minter.records import Request
    from borrow.minter.store import Reader
    from borrow.policy.model import Role, Rule
    from borrow.protocol.request import AwsRole, RequestObject

Kinds: TypeAlias = "Collection[str]"  # of evidence, given by one person

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


def still_allowed(policy: Policy, request: Request, given: Collection[Kinds]) -> Refused | None:
    """Why the policy of this moment forbids what `request` was given, or None.

    `given` is how each yes was proven (`policy` for its own): the kinds of evidence of one voice.
    """
    role = policy.roles.get(request.role)
    if role is None or role.arn != request.arn:
        return Refused(
            f"the role {request.role!r} is not in the policy any more",
            state="unknown_role",
            request=request.request_id,
        )
    said = _said_now(policy, request)
    if isinstance(said, Refuse):
        return Refused(said.why, hint=said.hint, state=said.state, request=request.request_id)
    if not _is_enough(said, request, given):
        return Refused(
            f"the policy now wants more for {request.role!r} than was given",
            hint="ask again",
            state="policy",
            request=request.request_id,
        )
    return None


def still_decides(policy: Policy, request: Request, approver: str) -> bool:
    """Whether a yes of `approver`, who was asked, counts by the policy of this moment."""
    said = _said_now(policy, request)
    return not isinstance(said, AskPeers) or approver in said.pool


def ways_of(request: Request) -> tuple[Kinds, ...]:
    """Every way in which one person's yes to `request` may be proven."""
    if request.every:
        return (request.factors,)
    return tuple((kind,) for kind in request.factors)


def may_join(
    policy: Policy, asked: RequestObject, found: Request, given: Collection[Kinds]
) -> bool:
    """Whether `asked`, by the way it comes now, would be given what `found` was given or waits for.

    A join never widens: an agent does not get what its person clicked for, nor IMDS a role that is
    not for it.
    """
    role = policy.roles.get(found.role)
    if role is None or role.arn != found.arn:
        return False
    said = _said_now(policy, found, via=asked.via, agent=asked.agent)
    return not isinstance(said, Refuse) and _is_enough(said, found, given)


def rule_now(policy: Policy, request: Request) -> Rule | None:
    """The rule of `request` as it is now; if it went, the one that decides in its place."""
    for rule in policy.rules:
        if rule.id == request.rule:
            return rule
    said = _said_now(policy, request)
    return None if isinstance(said, Refuse) else said.rule


def _said_now(
    policy: Policy, request: Request, *, via: str = "", agent: str | None = None
) -> Auto | AskSelf | AskPeers | Refuse:
    """What the policy says to `request` again; what it required was given at acceptance."""
    ask = Ask(
        user=request.person,
        role=request.role,
        seconds=0,
        reason=request.justification,
        ticket=request.ticket,
        via=via or request.via,
        agent=request.agent if agent is None else agent,
    )
    verdict = decide(policy, ask)
    if isinstance(verdict, Auto | AskSelf | AskPeers | Refuse):
        return verdict
    return who_says_yes(verdict.rule, policy.roles[request.role], ask)


def _is_enough(said: Auto | AskSelf | AskPeers, request: Request, given: Collection[Kinds]) -> bool:
    """Whether what was given would do now. Another person's yes also does where one's own would.

    Who gave it follows from the request's mode: in `peer` never its own person.
    """
    by_others = request.mode == "peer"
    match said:
        case Auto():
            return True
        case AskSelf():
            return by_others or all(is_whole(said.factors, one, every=False) for one in given)
        case AskPeers():
            whole = (is_whole(said.factors, one, every=said.every) for one in given)
            return by_others and all(whole)


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
