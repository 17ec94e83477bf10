"""Look at a whole policy before it is put to work: what can never happen, what nobody can answer.

`check` finds mistakes that each stanza alone does not show; `run_tests` asks the file's own
questions. A reload should keep the old policy when `check` finds an error or a test fails.

Roles are a closed set, people are not: a glob in `who` may match anybody. Such a glob is stood for
by one made-up person that no literal name can equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, ClassVar, Literal

from borrow.policy.decide import decide, pool_for, unmet, who_says_yes
from borrow.policy.explain import Explanation, explain
from borrow.policy.globs import is_glob
from borrow.policy.model import (
    Ask,
    AskPeers,
    AskSelf,
    Auto,
    Deny,
    Expect,
    Mode,
    NeedsMore,
    Policy,
    PolicyTest,
    Refuse,
    Role,
    Rule,
    Tier,
    Verdict,
)
from borrow.policy.people import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Explanation", "Finding", "TestResult", "check", "explain", "run_tests"]

_ANYBODY = "\ue000"  # a private-use sign: no person's name has it


@dataclass(frozen=True, slots=True)
class Finding:
    level: Literal["error", "warning"]
    where: str  # 'rule prod-write (line 12)'
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class TestResult:
    __test__: ClassVar[bool] = False  # pytest: this is not a test class

    number: int  # 1 = the first [[test]]
    line: int
    problems: tuple[str, ...]  # empty = passed

    @property
    def passed(self) -> bool:
        return not self.problems


def check(policy: Policy) -> tuple[Finding, ...]:
    """Every finding, errors first, each kind in the file's order."""
    found = [
        *_bases(policy),
        *_pools(policy),
        *_unknown_roles(policy),
        *_reach(policy),
        *_strength(policy),
        *_shared_arns(policy),
        *_unused_groups(policy),
    ]
    return tuple(sorted(found, key=lambda finding: finding.level))


def run_tests(policy: Policy) -> tuple[TestResult, ...]:
    return tuple(
        TestResult(test.number, test.line, tuple(_problems(policy, test))) for test in policy.tests
    )


def _stand_ins(policy: Policy) -> tuple[str, ...]:
    """One person for all whom the same stanzas include, so that the work is independent of how
    many people there are."""
    stanzas: list[Rule | Deny] = [*policy.rules, *policy.denies]
    people = {person for stanza in stanzas for person in stanza.scope.people}
    for stanza in stanzas:
        for entry in filter(is_glob, stanza.who):
            people.add(entry.replace("*", _ANYBODY).replace("?", _ANYBODY))
    alike = {
        tuple(stanza.scope.includes(person) for stanza in stanzas): person
        for person in sorted(people, reverse=True)
    }
    return tuple(alike.values())


def _decides(policy: Policy, rule: Rule, person: str, role: str) -> bool:
    """Can `rule` ever decide this pair: for the person or an agent, all other budgets spent?"""
    others = {other.id: other.approve.budget.count for other in policy.rules
              if other is not rule and other.approve.budget}  # fmt: skip
    return any(
        _decider(decide(policy, Ask(person, role, 0, agent=agent, spent=others))) == rule.id
        for agent in ("", "agent")
    )


def _decider(verdict: Verdict) -> str:
    """Id of the rule that decided; '' where none did."""
    match verdict:
        case Refuse(rule=rule, state="dead_pool"):
            return rule
        case Refuse():
            return ""
        case NeedsMore() | Auto() | AskSelf() | AskPeers():
            return verdict.rule.id


def _bases(policy: Policy) -> Iterator[Finding]:
    for role in policy.roles.values():
        if role.base is None:
            continue
        where = _role_at(role)
        if role.base not in policy.roles:
            hint = "name a role whose rule is auto, or leave base out"
            yield Finding("error", where, f"base {role.base!r} is not a role", hint)
            continue
        for person in _stand_ins(policy):
            if isinstance(decide(policy, Ask(person, role.name, 0)), Refuse):
                continue
            if problem := _base_problem(policy, person, role.base):
                hint = f"give {role.base!r} a rule of mode auto for the same people, before others"
                yield Finding("error", where, problem, hint)
                break


def _base_problem(policy: Policy, person: str, base: str) -> str:
    """Why `person` would not simply have `base`: it is fetched again and again, asking nobody."""
    match decide(policy, Ask(person, base, 0)):
        case Auto(rule=rule) if rule.approve.budget is None:
            return ""
        case Auto(rule=rule):
            return f"base {base!r} has a budget in rule {rule.id!r}, and a base is never counted"
        case Refuse(why=why):
            return f"base {base!r} is refused to some who may borrow the role: {why}"
        case verdict:
            return f"base {base!r} is not granted at once by rule {verdict.rule.id!r}"


def _pools(policy: Policy) -> Iterator[Finding]:
    stand_ins = _stand_ins(policy)
    for rule in policy.rules:
        pool = rule.approve.pool
        if rule.approve.mode is not Mode.PEER or len(pool) > 2:
            continue
        # With three people in the pool two are always left, whoever asks.
        left = {
            person: len(pool_for(rule, person))
            for person in (*pool, *stand_ins)
            if any(_decides(policy, rule, person, role) for role in rule.scope.roles)
        }
        if not left:
            continue
        asker = min(left, key=lambda person: left[person])
        if left[asker] == 0:
            what = f"nobody can answer {asker!r}: the pool is only {asker!r}"
            yield Finding("error", _at("rule", rule), what, "add other people to `from`")
        elif left[asker] == 1:
            what = "for some requests only one person can answer"
            yield Finding("warning", _at("rule", rule), what, "add other people to `from`")


def _unknown_roles(policy: Policy) -> Iterator[Finding]:
    for kind, stanza in _stanzas(policy):
        for entry in stanza.roles:
            if not is_glob(entry) and entry not in policy.roles:
                near = get_close_matches(entry, list(policy.roles), n=1)
                hint = f"did you mean {near[0]!r}?" if near else "define it under [roles] first"
                yield Finding("error", _at(kind, stanza), f"{entry!r} is not a role", hint)


def _reach(policy: Policy) -> Iterator[Finding]:
    stand_ins = _stand_ins(policy)
    for kind, stanza in _stanzas(policy):
        if not stanza.scope.roles:
            if any(map(is_glob, stanza.roles)):
                what = "dead: none of its globs matches a role yet"
                yield Finding("warning", _at(kind, stanza), what, "fix the globs, or remove it")
        elif isinstance(stanza, Rule):
            pairs = [
                (person, role)
                for person in stand_ins
                if stanza.scope.includes(person)
                for role in stanza.scope.roles
            ]
            if not any(_decides(policy, stanza, *pair) for pair in pairs):
                what, hint = _never_decides(policy, pairs)
                yield Finding("warning", _at(kind, stanza), what, hint)


def _never_decides(policy: Policy, pairs: list[tuple[str, str]]) -> tuple[str, str]:
    """What stands before a rule that decides for none of `pairs`."""
    deciders: dict[str, None] = {}
    for person, role in pairs:
        verdict = decide(policy, Ask(person, role, 0))
        deciders[verdict.rule if isinstance(verdict, Refuse) else verdict.rule.id] = None
    before = ", ".join(sorted(filter(None, deciders)))
    if not before:
        return "dead: its evidence counts for none of its roles", "add totp to factor"
    if all(decider in {deny.id for deny in policy.denies} for decider in deciders):
        return f"dead: everything it covers is denied by {before}", "remove it, or narrow the deny"
    return f"shadowed: {before} decides first, always", "move it up, or remove it"


def _strength(policy: Policy) -> Iterator[Finding]:
    for rule in policy.rules:
        mode = rule.approve.mode
        for name in sorted(rule.scope.roles):
            tier = policy.roles[name].tier
            if tier.at_least(Tier.SENSITIVE) and mode is Mode.AUTO and not rule.approve.budget:
                what = f"{name!r} is {tier.value} and granted at once, without limit"
                yield Finding("warning", _at("rule", rule), what, 'add budget = "3/24h"')


def _shared_arns(policy: Policy) -> Iterator[Finding]:
    """Two names for one AWS role: the lower tier decides how well it is guarded."""
    first: dict[str, Role] = {}
    for role in policy.roles.values():
        other = first.setdefault(role.arn, role)
        if other.tier is not role.tier:
            what = f"the same AWS role as {other.name!r}, which is {other.tier.value}"
            yield Finding("warning", _role_at(role), what, "give both the same tier")


def _unused_groups(policy: Policy) -> Iterator[Finding]:
    used = {entry for _, stanza in _stanzas(policy) for entry in stanza.who}
    used |= {entry for rule in policy.rules for entry in rule.approve.approvers}
    for group in policy.groups:
        if GROUP + group not in used:
            hint = "use it in a rule, or remove it"
            yield Finding("warning", f"groups.{group}", "no rule and no deny uses it", hint)


def _stanzas(policy: Policy) -> Iterator[tuple[str, Rule | Deny]]:
    yield from (("deny", deny) for deny in policy.denies)
    yield from (("rule", rule) for rule in policy.rules)


def _at(kind: str, stanza: Rule | Deny) -> str:
    return f"{kind} {stanza.id}" + (f" (line {stanza.line})" if stanza.line else "")


def _role_at(role: Role) -> str:
    return f"role {role.name}" + (f" (line {role.line})" if role.line else "")


def _problems(policy: Policy, test: PolicyTest) -> Iterator[str]:
    """How the answer differs from what the test expects. What the rule requires counts as given."""
    expect, ask = test.expect, test.ask
    verdict = decide(policy, ask)
    if isinstance(verdict, Refuse):
        yield from _refusal_problems(expect, verdict)
        return
    rule = verdict.rule
    if expect.refused:
        yield f"expected a refusal, rule {rule.id!r} answers ({rule.approve.mode.value})"
    if expect.rule is not None and expect.rule != rule.id:
        yield f"expected rule {expect.rule!r}, rule {rule.id!r} decides"
    if expect.mode is not None and expect.mode is not rule.approve.mode:
        yield f"expected mode {expect.mode.value}, it is {rule.approve.mode.value}"
    if expect.fields is not None and set(expect.fields) != (wanted := set(unmet(rule.require))):
        yield f"expected needs {sorted(expect.fields)}, they are {sorted(wanted)}"
    # What needs nobody else is in the asker's own hands, so an auto grant is "by" the asker.
    stages: list[tuple[frozenset[str], int]] = []
    answerers: tuple[str, ...] = (ask.user,)
    if isinstance(answer := who_says_yes(rule, policy.roles[ask.role], ask), AskPeers):
        stages, answerers = [(frozenset(rule.approve.approvers), answer.k)], answer.pool
    if expect.stages is not None and stages != [(frozenset(who), k) for who, k in expect.stages]:
        shown = [[*sorted(who), k] for who, k in stages]
        yield f"expected needs {[[*who, k] for who, k in expect.stages]}, they are {shown}"
    for person in expect.not_by:
        if person in answerers:
            yield f"expected no yes by {person!r}, who could give it"


def _refusal_problems(expect: Expect, refused: Refuse) -> Iterator[str]:
    if not expect.refused and (expect.refused is not None or _looks_at_a_grant(expect)):
        yield f"expected a grant, it is refused ({refused.state}): {refused.why}"
    elif isinstance(expect.refused, str) and expect.refused != refused.state:
        yield f"expected refusal {expect.refused!r}, it is {refused.state!r}: {refused.why}"
    if expect.rule is not None and expect.rule != refused.rule:
        yield f"expected rule {expect.rule!r}, it is {refused.rule or 'none'!r} that refuses"


def _looks_at_a_grant(expect: Expect) -> bool:
    return any(part is not None for part in (expect.mode, expect.fields, expect.stages))
