"""Read `[[deny]]` and `[[rule]]`: whom they cover, what they ask for, what they refuse to promise.

What belongs to a later version is refused by name, because a key that is accepted and not enforced
is a hole that its author believes closed.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from borrow.policy.globs import compile_glob, is_glob
from borrow.policy.model import (
    CONSENT,
    DEVICE,
    FACTORS,
    PASSKEY,
    TOTP,
    Approve,
    Budget,
    Defaults,
    Deny,
    Mode,
    Require,
    Role,
    Rule,
    Scope,
    Session,
    Tier,
)
from borrow.policy.people import GROUP, LOCAL, ONCALL, canonical, expand, is_person
from borrow.policy.roles import NAME, NAME_RULE
from borrow.policy.table import Table, names, show
from borrow.policy.whole import never_whole
from borrow.protocol.durations import parse_duration, show_duration
from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY = 86_400
LONGEST_GRANT = 7 * DAY
LONGEST_MINT = 12 * 3_600  # what STS gives at most
LONGEST_WAIT = DAY
MAX_REASON = 500  # the wire's limit of a justification (PROTOCOL "Messages")
MAX_TICKET = 100  # bounds the work of a ticket pattern as well
MAX_CHOICES = 10  # repeats and alternatives in a ticket pattern
MAX_EXTENSIONS = 24

_DENY_KEYS = ("id", "who", "roles", "except")
_RULE_KEYS = (
    "id", "who", "roles", "max", "mint", "extensions", "require", "approve", "session",
)  # fmt: skip
_RULE_LATER = {
    "emergency": "break-glass comes with mode emergency",
    "waves": "waves come with mode quorum",
    "notify": "channels for notices come later",
    "slo": "targets for waiting times come later",
}
_APPROVE_KEYS = ("mode", "factor", "match", "budget", "from", "k")
_APPROVE_LATER = {
    "stages": "stages come with mode quorum",
    "order": "the order of stages comes with mode quorum",
    "fallback": "a fallback group comes with mode quorum",
}
_MODES_LATER = {
    "quorum": "several approvers or groups; mode peer asks one of `from`",
    "oncall": "schedules; name people or a group for now",
    "emergency": "break-glass",
}
_BY_MODE = {"factor": (Mode.SELF, Mode.PEER), "match": (Mode.SELF, Mode.PEER),
            "budget": (Mode.AUTO,), "from": (Mode.PEER,), "k": (Mode.PEER,)}  # fmt: skip
_DEFAULT_FACTORS = {Mode.AUTO: (), Mode.SELF: (PASSKEY, TOTP), Mode.PEER: (PASSKEY, DEVICE)}
_BUDGET = re.compile(r"([0-9]{1,4})/([0-9a-z]{2,12})")
_ROLE_ENTRY = re.compile(r"[a-z0-9._*?-]{1,64}")


@dataclass(frozen=True, slots=True)
class Known:
    """What the stanzas before the rules have defined."""

    groups: Mapping[str, tuple[str, ...]]
    roles: Mapping[str, Role]
    defaults: Defaults


def read_denies(table: Table, known: Known) -> tuple[Deny, ...]:
    denies = []
    for stanza in table.tables("deny"):
        stanza.only(_DENY_KEYS)
        who = read_who(stanza, "who", known.groups) if "who" in stanza else ()
        roles = _read_role_globs(stanza)
        deny = Deny(
            id=_read_id(stanza),
            who=who,
            roles=roles,
            unless=stanza.choice("except", ("emergency",)) if "except" in stanza else "",
            scope=_scope(who, roles, known, everybody="who" not in stanza),
            line=stanza.line,
        )
        denies.append(deny)
    return tuple(denies)


def read_rules(table: Table, known: Known) -> tuple[Rule, ...]:
    return tuple(_rule(stanza, known) for stanza in table.tables("rule"))


def refuse_double_ids(table: Table, denies: tuple[Deny, ...], rules: tuple[Rule, ...]) -> None:
    """An id is the name in logs, budgets and notices: two stanzas with one name share a budget."""
    seen: set[str] = set()
    ids = [deny.id for deny in denies] + [rule.id for rule in rules]
    for stanza, name in zip([*table.tables("deny"), *table.tables("rule")], ids, strict=True):
        if name in seen:
            raise stanza.bad("id", f"{{}} {name!r} is taken", "ids are unique in the file")
        seen.add(name)


def read_who(
    table: Table, key: str, groups: Mapping[str, tuple[str, ...]], *, globs: bool = True
) -> tuple[str, ...]:
    """People, groups of `groups` and, where `globs`, patterns of people."""
    entries = table.texts(key)
    for entry in entries:
        if entry.startswith(ONCALL):
            raise table.not_yet(key, f"{show(entry)}: schedules come with mode oncall")
        if entry.startswith(GROUP):
            if entry.removeprefix(GROUP) not in groups:
                allowed = names([GROUP + group for group in groups]) or "none, [groups] is empty"
                raise table.bad(
                    key, f"{{}} names {show(entry)}, which is not a group", f"allowed: {allowed}"
                )
        elif is_glob(entry):
            if not globs:
                raise table.bad(
                    key, f"{{}} cannot be {show(entry)}", "name people or groups: no globs here"
                )
            _refuse_dead_glob(table, key, entry)
        elif not is_person(entry):
            near = f"did you mean {GROUP + entry!r}? " if entry in groups else ""
            raise table.wrong(
                key,
                entry,
                f"{near}group:NAME, a mail address in small letters, local:USER"
                + (", or a glob of these" if globs else ""),
            )
    return entries


def _refuse_dead_glob(table: Table, key: str, entry: str) -> None:
    """A glob that no person's name can match would make a deny that denies nobody."""
    prefixed = ":" in entry and not entry.startswith(LOCAL)
    if entry != canonical(entry) or prefixed or not entry.isprintable():
        raise table.wrong(key, entry, f"globs in small letters, such as *@example.com, {LOCAL}*")


def _rule(stanza: Table, known: Known) -> Rule:
    stanza.only(_RULE_KEYS, _RULE_LATER)
    defaults = known.defaults
    who = read_who(stanza, "who", known.groups)
    roles = _read_role_globs(stanza)
    longest = stanza.seconds("max", 60, LONGEST_GRANT, defaults.max_seconds)
    mint = stanza.seconds("mint", 60, LONGEST_MINT, min(defaults.mint_seconds, longest))
    if mint > longest:
        raise stanza.bad(
            "mint",
            f"{{}} is longer than the grant itself ({show_duration(longest)})",
            "a credential never outlives its grant: lower mint or raise max",
        )
    scope = _scope(who, roles, known)
    return Rule(
        id=_read_id(stanza),
        who=who,
        roles=roles,
        max_seconds=longest,
        mint_seconds=mint,
        pending_seconds=defaults.pending_seconds,
        claim_by_seconds=defaults.claim_by_seconds,
        extensions=stanza.integer("extensions", 0, MAX_EXTENSIONS, 0),
        approve=_read_approve(stanza, scope, known),
        require=_read_require(stanza.table("require")),
        session=_read_session(stanza.table("session")),
        scope=scope,
        line=stanza.line,
    )


def _read_id(stanza: Table) -> str:
    name = stanza.text("id")
    if not NAME.fullmatch(name):
        raise stanza.wrong("id", name, NAME_RULE)
    return name


def _read_role_globs(stanza: Table) -> tuple[str, ...]:
    entries = stanza.texts("roles")
    for entry in entries:
        if not _ROLE_ENTRY.fullmatch(entry):
            raise stanza.wrong("roles", entry, "role names, or globs with * and ?")
    return entries


def _scope(
    who: tuple[str, ...], roles: tuple[str, ...], known: Known, *, everybody: bool = False
) -> Scope:
    globs = [compile_glob(entry) for entry in roles]
    return Scope(
        people=frozenset(expand(who, known.groups)),
        patterns=tuple(
            compile_glob(entry) for entry in who if is_glob(entry) and not entry.startswith(GROUP)
        ),
        everybody=everybody or "*" in who,
        roles=frozenset(
            name for name in known.roles if any(glob.fullmatch(name) for glob in globs)
        ),
    )


def _read_approve(stanza: Table, scope: Scope, known: Known) -> Approve:
    if "approve" not in stanza:
        raise stanza.bad(
            "",
            f"{stanza.label} lacks 'approve'",
            f"add: approve = {{ mode = … }}; {names(tuple(Mode))}",
        )
    table = stanza.table("approve")
    table.only(_APPROVE_KEYS, _APPROVE_LATER)
    written = table.text("mode")
    if written in _MODES_LATER:
        raise table.not_yet("mode", f"{written}: {_MODES_LATER[written]}")
    mode = table.member("mode", Mode)
    for key, modes in _BY_MODE.items():
        if key in table and mode not in modes:
            raise table.bad(
                key, f"{{}} says nothing in mode {mode.value}", f"it is for mode {names(modes)}"
            )
    approvers = read_who(table, "from", known.groups, globs=False) if mode is Mode.PEER else ()
    factors = _read_factors(table, mode)
    if factors == (CONSENT,):
        _refuse_consent(table, scope, known)
    if "k" in table and table.integer("k", 1, MAX_REASON) != 1:
        raise table.not_yet("k", "more than one approver comes with mode quorum")
    approve = Approve(
        mode=mode,
        factors=frozenset(factors),
        match=table.flag("match", default=False),
        budget=read_budget(table, "budget", "grants") if "budget" in table else None,
        approvers=approvers,
        pool=expand(approvers, known.groups),
    )
    _refuse_half(table, approve, scope, known)
    return approve


def _read_factors(table: Table, mode: Mode) -> tuple[str, ...]:
    factors = table.texts("factor", default=_DEFAULT_FACTORS[mode])
    for factor in factors:
        if factor not in FACTORS[mode]:
            allowed = f"{names(FACTORS[mode])} (for mode {mode.value})"
            raise table.wrong("factor", factor, allowed)
    return factors


def _refuse_consent(table: Table, scope: Scope, known: Known) -> None:
    """A click is consent, not proof: any program of the same user can press it."""
    for name in sorted(scope.roles):
        tier = known.roles[name].tier
        if tier.at_least(Tier.SENSITIVE):
            raise table.bad(
                "factor",
                f"{{}} takes a click only, and the rule covers {name!r} of tier {tier.value}",
                "add totp, which alone will count for that role, or give the role another rule",
            )


def _refuse_half(table: Table, approve: Approve, scope: Scope, known: Known) -> None:
    """Of a rule whose yes could never be whole nobody would hear before the day it is needed."""
    for name in sorted(scope.roles):
        if not never_whole(approve, known.roles[name].tier):
            continue
        if approve.mode is Mode.PEER:
            raise table.bad(
                "factor",
                f"{{}} takes one of two, and the rule covers {name!r} of tier critical",
                "leave factor out: a yes for that role takes passkey and device, both",
            )
        raise table.bad(
            "mode",
            f"{{}} {approve.mode.value} asks nobody else, "
            f"and the rule covers {name!r} of tier critical",
            "give that role a rule of mode peer (another person's passkey and device), "
            "or the tier sensitive",
        )


def read_budget(table: Table, key: str, what: str) -> Budget:
    """`key` as so many of `what` in any window of a length."""
    text = table.text(key)
    allowed = f"{what} per time, such as 3/24h"
    matched = _BUDGET.fullmatch(text)
    if matched is None:
        raise table.wrong(key, text, allowed)
    try:
        budget = Budget(int(matched[1]), parse_duration(matched[2]))
    except Misconfigured as exc:
        raise table.wrong(key, text, allowed) from exc
    if budget.count < 1 or not 60 <= budget.seconds <= 31 * DAY:
        raise table.wrong(key, text, f"{allowed}; at least 1, in 1m to 31d")
    return budget


def _read_require(table: Table) -> Require:
    table.only(("reason", "ticket"))
    reason = table.integer("reason", 1, MAX_REASON) if "reason" in table else 0
    return Require(reason, _read_ticket(table) if "ticket" in table else None)


def _read_ticket(table: Table) -> re.Pattern[str]:
    text = table.text("ticket")
    allowed = "a regular expression for the whole ticket, such as ^INC-[0-9]+$"
    if len(text) > 200 or _could_explode(text):
        raise table.bad(
            "ticket",
            f"{{}} is too clever: {show(text)}",
            "no repeated groups, back-references, look-around, nor more than ten repeats and "
            "alternatives: some texts would take for ever",
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.compile(text, re.ASCII)
    except (re.error, Warning, OverflowError, RecursionError) as exc:
        raise table.wrong("ticket", text, allowed) from exc


def _could_explode(pattern: str) -> bool:
    """Could some ticket keep Python's backtracking matcher busy?

    Without repeated groups, look-around and back-references, the work is bounded by the number of
    choices and the length of a ticket. `(…)?` and `(?:` are harmless and common.
    """
    refers_back = re.search(r"\\[1-9]", pattern.replace(r"\\", ""))
    bare = re.sub(r"\\.", "x", pattern, flags=re.DOTALL)
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", bare).replace("(?:", "(")
    choices = re.findall(r"[*+?{|]", plain)
    return bool(refers_back or re.search(r"\)[*+{]|\(\?", plain)) or len(choices) > MAX_CHOICES


def _read_session(table: Table) -> Session:
    table.only(("deny_iam",), {"pin_ip": "pinning a session to an address"})
    return Session(deny_iam=table.flag("deny_iam", default=False))
