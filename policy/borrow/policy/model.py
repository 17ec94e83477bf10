"""The nouns of a policy and the verdicts it can give: values only.

Everything here is frozen and already resolved: groups are expanded into people, globs into the
roles they match, durations into seconds. What stays as text (`who`, `roles`, `approvers`) stays
because people read it back in `borrow policy explain`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping


class Tier(StrEnum):
    """How much harm a role can do. The order is the order of definition."""

    LOW = "low"
    NORMAL = "normal"
    SENSITIVE = "sensitive"
    CRITICAL = "critical"

    def at_least(self, other: Tier) -> bool:
        return _RANK[self] >= _RANK[other]


_RANK = {tier: rank for rank, tier in enumerate(Tier)}


class Mode(StrEnum):
    """Who has to say yes: nobody, the requester on another path, somebody else."""

    AUTO = "auto"
    SELF = "self"
    PEER = "peer"


TOTP = "totp"
CONSENT = "consent"
DEVICE = "device"
PASSKEY = "passkey"

# Evidence is a set of kinds, never a ladder (PROTOCOL "Evidence"): a kind that is missing here
# cannot be named by a rule of that mode. A click of the requester must never count as a peer's yes.
FACTORS: Mapping[Mode, tuple[str, ...]] = {
    Mode.AUTO: (),
    Mode.SELF: (PASSKEY, TOTP, CONSENT),
    Mode.PEER: (PASSKEY, DEVICE),
}

# The stable words of `Refuse.state`; they travel as `borrow_state` and are never reused.
REFUSALS = (
    "unknown_role",
    "denied_by_rule",
    "imds",
    "bad_duration",
    "no_rule",
    "agent",
    "budget_spent",
    "too_long",
    "dead_pool",
)


@dataclass(frozen=True, slots=True)
class Role:
    name: str  # what people borrow and read
    arn: str
    account: str  # label from the ARN: its name in [accounts], else the twelve digits
    tier: Tier
    share: str  # 'session' | 'device': who else on the device may use a live grant
    allows: tuple[str, ...]  # used only to offer this role after a denied call
    chain: str  # 'identity' | 'name' | 'none'
    region: str  # '' = the caller's own
    base: str | None  # baseline role of an elastic role
    imds: bool
    line: int = field(default=0, compare=False, repr=False)  # in the file; 0 = unknown


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom and what a stanza covers, compiled. Roles are a closed set: their globs are resolved."""

    people: frozenset[str]
    patterns: tuple[re.Pattern[str], ...]  # globs in `who`; people outside the groups may match
    everybody: bool
    roles: frozenset[str]

    def covers(self, person: str, role: str) -> bool:
        """`person` in its canonical spelling (see `people.canonical`)."""
        return role in self.roles and self.includes(person)

    def includes(self, person: str) -> bool:
        return (
            self.everybody
            or person in self.people
            or any(pattern.fullmatch(person) for pattern in self.patterns)
        )


@dataclass(frozen=True, slots=True)
class Budget:
    count: int  # grants …
    seconds: int  # … in any window of this length


@dataclass(frozen=True, slots=True)
class Approve:
    mode: Mode
    factors: frozenset[str]  # kinds of evidence; empty for auto only
    match: bool  # number match on top of the evidence
    budget: Budget | None  # auto only
    approvers: tuple[str, ...]  # peer only: `from` as written …
    pool: tuple[str, ...]  # … and the people it names, in that order, each once
    k: int = 1


@dataclass(frozen=True, slots=True)
class Require:
    reason: int = 0  # characters at least; 0 = not required
    ticket: re.Pattern[str] | None = None  # the whole ticket must match


@dataclass(frozen=True, slots=True)
class Session:
    deny_iam: bool = False  # the minter adds a Deny on IAM and role chaining to the session policy


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    who: tuple[str, ...]
    roles: tuple[str, ...]
    max_seconds: int  # longest grant
    mint_seconds: int  # life of one credential, never above max_seconds
    pending_seconds: int  # a request waits this long for an answer
    claim_by_seconds: int  # an approval waits this long for its first use
    extensions: int  # how many times a grant may be extended
    approve: Approve
    require: Require
    session: Session
    scope: Scope = field(compare=False, repr=False)
    line: int = field(default=0, compare=False, repr=False)

    def seconds_for(self, asked: int) -> int:
        """Length of a grant for which `asked` seconds were asked; 0 means the rule's max."""
        return self.max_seconds if asked == 0 else min(asked, self.max_seconds)


@dataclass(frozen=True, slots=True)
class Deny:
    id: str
    who: tuple[str, ...]  # () = everybody
    roles: tuple[str, ...]
    unless: str  # `except`: '' or 'emergency'. Nothing is an emergency yet, so a deny always holds
    scope: Scope = field(compare=False, repr=False)
    line: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Defaults:
    pending_seconds: int = 15 * 60
    claim_by_seconds: int = 30 * 60
    mint_seconds: int = 30 * 60
    max_seconds: int = 60 * 60
    agents: Budget = Budget(6, 60 * 60)  # what the agents of one device may ask of people


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to the policy. The caller counts `spent`; the policy keeps no state."""

    user: str
    role: str
    seconds: int  # 0 = the rule's max
    reason: str = ""
    ticket: str = ""
    via: str = "cli"  # container | imds | process | cli | tray
    agent: str = ""  # name of the agent that asks; any text tightens, nothing loosens
    spent: Mapping[str, int] = field(default_factory=dict)  # rule id -> auto grants in its window


@dataclass(frozen=True, slots=True)
class Expect:
    """What a [[test]] expects. None and () mean that the test does not look at it."""

    rule: str | None
    mode: Mode | None
    refused: bool | str | None  # a word of REFUSALS says which refusal
    fields: tuple[str, ...] | None  # `needs` as names: reason, ticket
    stages: tuple[tuple[tuple[str, ...], int], ...] | None  # `needs` as [who …, how many]
    not_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyTest:
    number: int  # 1 = the first [[test]] in the file
    ask: Ask
    expect: Expect
    line: int = field(default=0, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Policy:
    hash: str  # hex SHA-256 of the exact bytes of the text
    roles: Mapping[str, Role]
    rules: tuple[Rule, ...]
    denies: tuple[Deny, ...]
    groups: Mapping[str, tuple[str, ...]]
    admins: tuple[str, ...]
    tests: tuple[PolicyTest, ...]
    defaults: Defaults
    bases: frozenset[str] = frozenset()  # roles that are some role's base

    def deciders(self) -> tuple[str, ...]:
        """Without whom some request stays open: peers, and those who need their own passkey."""
        found: dict[str, None] = {}
        for rule in self.rules:
            found.update(dict.fromkeys(rule.approve.pool))
            if rule.approve.mode is Mode.SELF and rule.approve.factors == {PASSKEY}:
                found.update(dict.fromkeys(sorted(rule.scope.people)))
        return tuple(found)

    def critical_deciders(self) -> tuple[str, ...]:
        """Who may be asked about a critical role, and so needs a passkey and a device."""
        critical = {role.name for role in self.roles.values() if role.tier is Tier.CRITICAL}
        rules = (rule for rule in self.rules if rule.scope.roles & critical)
        return tuple(dict.fromkeys(person for rule in rules for person in rule.approve.pool))


@dataclass(frozen=True, slots=True)
class Auto:
    rule: Rule


@dataclass(frozen=True, slots=True)
class AskSelf:
    rule: Rule
    factors: frozenset[str]  # the kinds that count for *this* ask; never empty
    match: bool


@dataclass(frozen=True, slots=True)
class AskPeers:
    rule: Rule
    factors: frozenset[str]
    match: bool
    pool: tuple[str, ...]  # people who may answer; the requester is never among them
    k: int = 1
    every: bool = False  # a yes takes each of `factors` from the same person, not one of them


@dataclass(frozen=True, slots=True)
class NeedsMore:
    rule: Rule
    fields: dict[str, str]  # 'reason' | 'ticket' -> what it must look like


@dataclass(frozen=True, slots=True)
class Refuse:
    why: str
    rule: str = ""  # id of the rule or deny that said so, if one did
    state: str = "policy"  # one of REFUSALS
    hint: str = ""


Verdict: TypeAlias = Auto | AskSelf | AskPeers | NeedsMore | Refuse
