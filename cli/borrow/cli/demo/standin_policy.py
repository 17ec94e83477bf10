"""IAM policy documents as far as the stand-in needs them: does a session policy allow a call?

The rules are AWS's: an explicit Deny wins, an Allow is needed, nothing matched means no. What is
not understood is refused when the session is made, so that no test passes by silence.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Characters of a session policy; AWS's limit for the inline policy of AssumeRole.
MAX_POLICY = 2048

_STATEMENT_KEYS = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip


class Verdict(Enum):
    """What one policy says to one call."""

    ALLOWED = "allowed"
    DENIED = "explicit deny in a session policy"
    SILENT = "no session policy allows the action"


@dataclass(frozen=True)
class Asked:
    """The call a policy judges. `resource` is "" where the stand-in cannot tell it.

    `context` holds the condition keys, lower-cased; a key that is not there is absent for AWS too.
    """

    action: str
    resource: str
    context: Mapping[str, str]


@dataclass(frozen=True)
class Statement:
    allow: bool
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]  # operator, key, values

    def applies(self, asked: Asked) -> bool:
        acts = any(matches(glob.lower(), asked.action.lower()) for glob in self.actions)
        if acts == self.not_actions:
            return False
        return self._covers(asked.resource) and all(
            _holds(operator, asked.context.get(key), values)
            for operator, key, values in self.conditions
        )

    def _covers(self, resource: str) -> bool:
        # An unknown resource counts against the caller: any Deny covers it, only `*` allows it.
        if not resource:
            return not self.allow or (self.resources == ("*",) and not self.not_resources)
        return any(matches(glob, resource) for glob in self.resources) != self.not_resources


@dataclass(frozen=True)
class SessionPolicy:
    statements: tuple[Statement, ...]

    def judge(self, asked: Asked) -> Verdict:
        """Deny first, then Allow, then silence."""
        applying = [each for each in self.statements if each.applies(asked)]
        if any(not each.allow for each in applying):
            return Verdict.DENIED
        return Verdict.ALLOWED if applying else Verdict.SILENT


@lru_cache(maxsize=512)  # a pure function of the pattern: the cache cannot change an answer
def _pattern(glob: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(c, re.escape(c)) for c in glob), re.DOTALL)


def matches(glob: str, text: str) -> bool:
    """IAM's `*` and `?`; case counts, so callers lower both where AWS ignores it."""
    return _pattern(glob).fullmatch(text) is not None


def parse_policy(text: str) -> SessionPolicy:
    """Read a session policy, or raise Untrusted with a message fit for MalformedPolicyDocument."""
    if len(text) > MAX_POLICY:
        raise Untrusted(f"the session policy is longer than {MAX_POLICY} characters")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Untrusted("the session policy is not JSON") from exc
    if not isinstance(document, dict) or document.keys() - {"Version", "Id", "Statement"}:
        raise Untrusted("the session policy has unknown members")
    statements = document.get("Statement")
    listed = statements if isinstance(statements, list) else [statements]
    if not listed:
        raise Untrusted("the session policy has no statement")
    return SessionPolicy(tuple(_statement(each) for each in listed))


def _statement(raw: object) -> Statement:
    if not isinstance(raw, dict) or raw.keys() - _STATEMENT_KEYS:
        raise Untrusted("a statement of the session policy has unknown members")
    if raw.get("Effect") not in ("Allow", "Deny"):
        raise Untrusted("the Effect of a statement is neither Allow nor Deny")
    actions, not_actions = _either(raw, "Action", "NotAction")
    resources, not_resources = _either(raw, "Resource", "NotResource")
    return Statement(
        allow=raw["Effect"] == "Allow",
        actions=actions,
        not_actions=not_actions,
        resources=resources,
        not_resources=not_resources,
        conditions=_conditions(raw.get("Condition", {})),
    )


def _either(raw: Mapping[str, Any], plain: str, negated: str) -> tuple[tuple[str, ...], bool]:
    if (plain in raw) == (negated in raw):
        raise Untrusted(f"a statement needs exactly one of {plain} and {negated}")
    name = plain if plain in raw else negated
    return _texts(raw[name], name), name == negated


def _texts(raw: object, name: str) -> tuple[str, ...]:
    listed = raw if isinstance(raw, list) else [raw]
    if not listed or not all(isinstance(each, str) and each for each in listed):
        raise Untrusted(f"{name} of a statement is neither a string nor a list of strings")
    return tuple(listed)


def _conditions(raw: object) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    if not isinstance(raw, dict):
        raise Untrusted("the Condition of a statement is not an object")
    out = []
    for operator, keys in raw.items():
        if operator.removesuffix("IfExists") not in _OPERATORS:
            raise Untrusted(f"the stand-in does not know the condition operator {operator!r}")
        if not isinstance(keys, dict) or not keys:
            raise Untrusted(f"the condition {operator!r} names no key")
        for key, value in keys.items():
            values = _texts(value, f"condition {operator!r}")
            for each in values:
                _OPERATORS[operator.removesuffix("IfExists")].check(each)
            out.append((operator, key.lower(), values))
    return tuple(out)


def _holds(operator: str, actual: str | None, values: tuple[str, ...]) -> bool:
    test = _OPERATORS[operator.removesuffix("IfExists")]
    if actual is None:  # a negated operator is true of an absent key, as AWS documents
        return operator.endswith("IfExists") or test.negated
    found = any(test.compare(actual, value) for value in values)
    return found != test.negated


def moment(text: str) -> float:
    """A policy's date (ISO 8601 or unix seconds) as unix seconds, or Untrusted."""
    try:
        if re.fullmatch(r"[0-9]{1,12}", text):
            return float(text)
        when = datetime.fromisoformat(text)
    except ValueError as exc:
        raise Untrusted("a date in the session policy is not ISO 8601") from exc
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as exc:
        raise Untrusted("an address in the session policy is not a CIDR block") from exc


def _within(actual: str, block: str) -> bool:
    return ipaddress.ip_address(actual) in _network(block)


def _any_text(_: str) -> None:
    """Every string will do."""


@dataclass(frozen=True)
class _Operator:
    compare: Callable[[str, str], bool]  # actual, value of the policy
    negated: bool = False
    check: Callable[[str], object] = _any_text


_OPERATORS: dict[str, _Operator] = {
    "DateGreaterThan": _Operator(lambda a, v: float(a) > moment(v), check=moment),
    "DateGreaterThanEquals": _Operator(lambda a, v: float(a) >= moment(v), check=moment),
    "DateLessThan": _Operator(lambda a, v: float(a) < moment(v), check=moment),
    "DateLessThanEquals": _Operator(lambda a, v: float(a) <= moment(v), check=moment),
    "StringEquals": _Operator(lambda a, v: a == v),
    "StringNotEquals": _Operator(lambda a, v: a == v, negated=True),
    "StringLike": _Operator(lambda a, v: matches(v, a)),
    "StringNotLike": _Operator(lambda a, v: matches(v, a), negated=True),
    "Bool": _Operator(lambda a, v: a == v.lower()),
    "IpAddress": _Operator(_within, check=_network),
    "NotIpAddress": _Operator(_within, negated=True, check=_network),
}
