"""Half a yes in words, the same for everybody who is told of it. Pure.

For tier `critical` a yes takes a passkey and the signature of a workstation, both of one person
(`borrow.policy.whole`). What is said here is what the approver says: the minter alone counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST: Final = 20  # people of one request whose halves are told
_BY: Final = {"passkey": "with a passkey", "device": "at {} workstation"}
_LACKS: Final = {"passkey": "{} passkey's yes", "device": "{} workstation's yes"}


@dataclass(frozen=True, slots=True)
class Half:
    """Kinds of evidence that `person` gave, and those that are missing. Nothing is escaped."""

    person: str
    given: tuple[str, ...]
    missing: tuple[str, ...]


def read_halves(listed: object) -> tuple[Half, ...]:
    """From an approver's or a daemon's answer; what is no half is left out."""
    if not isinstance(listed, list):
        return ()
    return tuple(
        Half(each["person"], _kinds(each.get("given")), _kinds(each.get("missing")))
        for each in listed[:MOST]
        if isinstance(each, dict) and isinstance(each.get("person"), str)
    )


def to_json(half: Half) -> dict[str, Any]:
    return {"person": half.person, "given": list(half.given), "missing": list(half.missing)}


def sentence(half: Half, *, mine: bool = False) -> str:
    """`bo@example.com said yes with a passkey; their workstation's yes is missing`, escaped."""
    who, whose = ("you", "your") if mine else (shown(half.person, 80), "their")
    by = " and ".join(_BY.get(kind, "otherwise").format(whose) for kind in half.given)
    return f"{who} said yes {by}; {lacking(half.missing, whose)}"


def lacking(missing: tuple[str, ...], whose: str) -> str:
    """`your passkey's yes is missing`."""
    rest = " and ".join(_LACKS.get(kind, "{} other yes").format(whose) for kind in missing)
    return f"{rest or 'the rest'} {'are' if len(missing) > 1 else 'is'} missing"


def given_by_me(one: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a request in somebody's inbox: what they gave of their yes."""
    return _kinds(one.get("given"))


def so_far(one: Mapping[str, Any]) -> str:
    """The same as a sentence, "" if they gave nothing."""
    given = given_by_me(one)
    lacks = tuple(kind for kind in _kinds(one.get("factors")) if kind not in given)
    return sentence(Half("", given, lacks), mine=True) if given else ""


def still_missing(answer: Mapping[str, Any]) -> str:
    """Of the answer to a yes: what else it takes, "" if it was whole."""
    lacks = _kinds(answer.get("missing"))
    return lacking(lacks, "your") if lacks else ""


def _kinds(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return tuple(each[:16] for each in value[:8] if isinstance(each, str))
