"""Say why: which rule decides an ask, why each earlier one does not, and what is asked of whom.

The verdict itself comes from `decide`; this module only retells it and never decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from borrow.policy.decide import decide, pass_over
from borrow.policy.model import (
    Ask,
    AskPeers,
    AskSelf,
    Auto,
    Deny,
    NeedsMore,
    Policy,
    Refuse,
    Rule,
    Verdict,
)
from borrow.policy.people import canonical
from borrow.protocol.durations import show_duration
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE_RULES = ("imds", "bad_duration")  # refusals that no rule was asked about


@dataclass(frozen=True, slots=True)
class Step:
    """One stanza that was looked at."""

    stanza: str  # 'deny no-org-admin (line 12)'
    decides: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    ask: Ask
    verdict: Verdict
    steps: tuple[Step, ...]  # in the order of the file, up to the one that decides
    outcome: str  # stable word: auto | self | peer | needs | refused
    answer: str  # one line for people
    hint: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """For people; every name that came from outside is escaped."""
        head = f"{shown(self.ask.user, 64)} asks for {shown(self.ask.role, 64)}: {self.answer}"
        body = [
            f"  {'→' if step.decides else '·'} {step.stanza}: {step.why}" for step in self.steps
        ]
        return (head, *body, *([f"  hint: {self.hint}"] if self.hint else []))

    def as_dict(self) -> dict[str, object]:
        """For `--json`; keys are stable."""
        told: dict[str, object] = {
            "user": self.ask.user,
            "role": self.ask.role,
            "outcome": self.outcome,
            "answer": self.answer,
            "steps": [
                {"stanza": step.stanza, "decides": step.decides, "why": step.why}
                for step in self.steps
            ],
        }
        match self.verdict:
            case Refuse() as no:
                return told | {"rule": no.rule, "state": no.state, "hint": no.hint}
            case NeedsMore() as more:
                return told | {"rule": more.rule.id, "needs": dict(more.fields)}
            case Auto() as auto:
                return told | {"rule": auto.rule.id}
            case AskSelf() as own:
                return told | {
                    "rule": own.rule.id,
                    "factors": sorted(own.factors),
                    "match": own.match,
                }
            case AskPeers() as peers:
                return told | {
                    "rule": peers.rule.id,
                    "factors": sorted(peers.factors),
                    "match": peers.match,
                    "pool": list(peers.pool),
                    "k": peers.k,
                    **({"every": True} if peers.every else {}),
                }


def explain(policy: Policy, ask: Ask) -> Explanation:
    """Retell `decide(policy, ask)`. Like it, never raises."""
    verdict = decide(policy, ask)
    steps = tuple(_steps(policy, ask, verdict)) if ask.role in policy.roles else ()
    outcome, answer, hint = _answer(verdict, ask)
    return Explanation(ask, verdict, steps, outcome, answer, hint)


def _steps(policy: Policy, ask: Ask, verdict: Verdict) -> Iterator[Step]:
    person, role = canonical(ask.user), policy.roles[ask.role]
    for deny in policy.denies:
        if deny.scope.covers(person, role.name):
            yield _step("deny", deny, decides=True, why="forbids it")
            return
    if isinstance(verdict, Refuse) and verdict.state in BEFORE_RULES:
        return
    for rule in policy.rules:
        if role.name not in rule.scope.roles:
            why = f"covers {_list(rule.roles)}, not this role"
        elif not rule.scope.includes(person):
            why = f"is for {_list(rule.who)}, not for this person"
        elif passed := pass_over(policy, rule, role, ask):
            why = f"passed over: {passed.why}"
        else:
            yield _step("rule", rule, decides=True, why="covers this person and this role")
            return
        yield _step("rule", rule, decides=False, why=why)


def _step(kind: str, stanza: Rule | Deny, *, decides: bool, why: str) -> Step:
    place = f" (line {stanza.line})" if stanza.line else ""
    return Step(f"{kind} {stanza.id}{place}", decides, why)


def _answer(verdict: Verdict, ask: Ask) -> tuple[str, str, str]:
    """Outcome, one line for people, hint."""
    match verdict:
        case Refuse(why=why, hint=hint):
            return "refused", f"refused: {why}", hint
        case NeedsMore(fields=fields):
            wanted = "; ".join(f"{field} ({what})" for field, what in fields.items())
            return "needs", f"needs more first: {wanted}", "add -m REASON or --ticket TICKET"
        case Auto(rule=rule):
            return "auto", f"granted at once, for {_length(rule, ask)}{_budget(rule)}", ""
        case AskSelf(rule=rule, factors=factors, match=match):
            how = f"{_list(sorted(factors), ' or ')}{', number to match' if match else ''}"
            return "self", f"{shown(ask.user, 64)} confirms ({how}), for {_length(rule, ask)}", ""
        case AskPeers(rule=rule, pool=pool, match=match, factors=factors, k=k, every=every):
            kinds = _list(sorted(factors), " and " if every else " or ")
            how = f"{'both ' * every}{kinds}{', number to match' if match else ''}"
            people = f"{k} of {_list(pool)} says yes ({how}), for {_length(rule, ask)}"
            return "peer", people, ""


def _length(rule: Rule, ask: Ask) -> str:
    return show_duration(rule.seconds_for(ask.seconds))


def _budget(rule: Rule) -> str:
    budget = rule.approve.budget
    return f" ({budget.count} times in {show_duration(budget.seconds)})" if budget else ""


def _list(entries: tuple[str, ...] | list[str], joint: str = ", ") -> str:
    first = joint.join(entries[:5])
    return f"{first} and {len(entries) - 5} more" if len(entries) > 5 else first
