"""The decision: one ask, one policy, one verdict. Nothing matched means no.

In this order, and the order is the meaning of the file:

1. the role exists;
2. no `[[deny]]` covers person and role: a deny wins over every rule;
3. the way of asking is allowed at all (`imds` only where the role says so);
4. the first `[[rule]]` that covers person and role decides. It is passed over only if it cannot
   count for this ask: its budget is spent, an agent asks, or what it takes is no yes here;
5. a rule that decides refuses what is too long or what nobody could answer, then asks for what it
   requires, then says who must say yes.

No clock and no state: the caller counts budgets and passes them in. `decide` never raises.
"""

from __future__ import annotations

from dataclasses import dataclass

from borrow.policy.model import (
    CONSENT,
    Ask,
    AskPeers,
    AskSelf,
    Auto,
    Mode,
    NeedsMore,
    Policy,
    Refuse,
    Require,
    Role,
    Rule,
    Tier,
    Verdict,
)
from borrow.policy.people import canonical
from borrow.policy.rules import MAX_TICKET
from borrow.policy.whole import never_whole, takes_every
from borrow.protocol.durations import show_duration
from borrow.protocol.text import shown

CENTURY = 100 * 365 * 86_400  # seconds; longer asks are shown as this, whatever their digits
CATALOGUE = "`borrow roles` lists what you may ask for"


@dataclass(frozen=True, slots=True)
class RoleView:
    """One line of a person's catalogue."""

    role: Role
    rule: str  # id of the rule that decides, with budgets unspent
    mode: Mode
    max_seconds: int
    needs: dict[str, str]  # as in NeedsMore.fields, for an ask that says nothing


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Why a rule that covers person and role does not decide this ask."""

    state: str
    why: str
    hint: str


def decide(policy: Policy, ask: Ask) -> Verdict:
    """What the policy says to `ask`."""
    role = policy.roles.get(ask.role)
    if role is None:
        return Refuse(f"no role is called {_quote(ask.role)}", state="unknown_role", hint=CATALOGUE)
    person = canonical(ask.user)
    for deny in policy.denies:
        if deny.scope.covers(person, role.name):
            return Refuse(
                f"deny rule {deny.id!r} forbids {role.name!r} for {_quote(ask.user)}",
                rule=deny.id,
                state="denied_by_rule",
                hint="no rule can allow it; the people who keep the policy can",
            )
    if refusal := _refuse_shape(role, ask):
        return refusal
    first: tuple[Rule, PassedOver] | None = None
    for rule in policy.rules:
        if not rule.scope.covers(person, role.name):
            continue
        passed = pass_over(policy, rule, role, ask)
        if passed is None:
            return _judge(rule, role, ask, person)
        first = first or (rule, passed)
    if first is not None:
        rule, passed = first
        return Refuse(passed.why, rule=rule.id, state=passed.state, hint=passed.hint)
    return Refuse(
        f"no rule lets {_quote(ask.user)} borrow {role.name!r}", state="no_rule", hint=CATALOGUE
    )


def budget_window(rule: Rule) -> tuple[int, int] | None:
    """How many grants in how many seconds `rule` gives by itself; None = not counted."""
    budget = rule.approve.budget
    return None if budget is None else (budget.count, budget.seconds)


def roles_for(policy: Policy, user: str) -> tuple[RoleView, ...]:
    """What `user` may ask for, in the file's order. Roles that would be refused are left out."""
    views = []
    for role in policy.roles.values():
        match decide(policy, Ask(user, role.name, 0)):
            case Refuse():
                continue
            case verdict:
                rule = verdict.rule
        views.append(
            RoleView(
                role=role,
                rule=rule.id,
                mode=rule.approve.mode,
                max_seconds=rule.max_seconds,
                needs=unmet(rule.require),
            )
        )
    return tuple(views)


def pass_over(policy: Policy, rule: Rule, role: Role, ask: Ask) -> PassedOver | None:
    """Why `rule`, which covers person and role, leaves `ask` to the next one; None = it decides."""
    approve = rule.approve
    if never_whole(approve, role.tier):  # `load` refuses such a rule; this holds without it
        return PassedOver(
            "no_rule",
            f"rule {rule.id!r} takes less than {role.name!r} of tier {role.tier.value} needs",
            "it needs another person's passkey and device: mode peer",
        )
    if approve.mode is Mode.AUTO:
        if ask.agent and role.name not in policy.bases:
            return PassedOver(
                "agent",
                f"an agent is not granted {role.name!r} without a person's yes",
                f"ask for it yourself: borrow ask {role.name}",
            )
        budget = approve.budget
        if budget is not None and ask.spent.get(rule.id, 0) >= budget.count:
            window = show_duration(budget.seconds)
            return PassedOver(
                "budget_spent",
                f"rule {rule.id!r} grants {role.name!r} {budget.count} times in {window}, "
                "and that is spent",
                f"try again later: the oldest of these grants counts for {window}",
            )
    elif approve.mode is Mode.SELF and not factors_for(rule, role, ask):
        return PassedOver(
            "agent" if ask.agent else "no_rule",
            f"rule {rule.id!r} takes a click only, which does not count here",
            "ask for a rule that takes totp",
        )
    return None


def factors_for(rule: Rule, role: Role, ask: Ask) -> frozenset[str]:
    """The kinds of evidence that count: a click never does for an agent or from tier sensitive up.

    An agent runs as the person and can press what the person can press.
    """
    if ask.agent or role.tier.at_least(Tier.SENSITIVE):
        return rule.approve.factors - {CONSENT}
    return rule.approve.factors


def unmet(require: Require, reason: str = "", ticket: str = "") -> dict[str, str]:
    """What `require` still wants, by field, each with what it must look like."""
    fields: dict[str, str] = {}
    # runs of blanks count once: ten spaces are not a reason
    if require.reason and len(" ".join(reason.split())) < require.reason:
        fields["reason"] = f"at least {require.reason} characters"
    # The exact text, not a trimmed one: it is what people and the log will read.
    pattern = require.ticket
    if pattern and (len(ticket) > MAX_TICKET or not pattern.fullmatch(ticket)):
        fields["ticket"] = f"must match {pattern.pattern}"
    return fields


def _refuse_shape(role: Role, ask: Ask) -> Refuse | None:
    """Refuse what no rule could allow, whoever asks."""
    if ask.via == "imds" and (not role.imds or role.tier.at_least(Tier.SENSITIVE)):
        return Refuse(
            f"role {role.name!r} is not served as instance credentials",
            state="imds",
            hint=f"use `borrow run {role.name} -- COMMAND`, or set imds = true for the role",
        )
    if ask.seconds < 0:
        return Refuse("a grant cannot end before it starts", state="bad_duration")
    return None


def _judge(rule: Rule, role: Role, ask: Ask, person: str) -> Verdict:
    """The verdict of the rule that decides."""
    if ask.seconds > rule.max_seconds:
        return Refuse(
            f"{show_duration(min(ask.seconds, CENTURY))} is too long: rule {rule.id!r} allows "
            f"{show_duration(rule.max_seconds)} at most",
            rule=rule.id,
            state="too_long",
            hint=f"ask with --for {show_duration(rule.max_seconds)} or less",
        )
    approve = rule.approve
    if approve.mode is Mode.PEER and len(pool_for(rule, person)) < approve.k:
        return Refuse(
            f"rule {rule.id!r} has nobody but {_quote(ask.user)} to ask for {role.name!r}",
            rule=rule.id,
            state="dead_pool",
            hint="the rule's `from` needs another person",
        )
    if fields := unmet(rule.require, ask.reason, ask.ticket):
        return NeedsMore(rule, fields)
    return who_says_yes(rule, role, ask)


def who_says_yes(rule: Rule, role: Role, ask: Ask) -> Auto | AskSelf | AskPeers:
    """What `rule`, which decides, asks of whom once its requirements are met."""
    approve = rule.approve
    match approve.mode:
        case Mode.AUTO:
            return Auto(rule)
        case Mode.SELF:
            return AskSelf(rule, factors_for(rule, role, ask), approve.match)
        case Mode.PEER:
            pool = pool_for(rule, canonical(ask.user))
            every = takes_every(role.tier)
            return AskPeers(rule, approve.factors, approve.match, pool, approve.k, every)


def pool_for(rule: Rule, person: str) -> tuple[str, ...]:
    """Who may answer `person`, who is never among them."""
    return tuple(other for other in rule.approve.pool if other != person)


def _quote(text: str) -> str:
    """A name from outside: cut, and with every sign escaped that a terminal would obey."""
    return f"'{shown(text, 64)}'"
