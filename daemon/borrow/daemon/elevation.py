"""Elevation of an elastic role: which offers stand, and which were accepted.

An offer is made when a call was denied under the base role; it grants and asks nothing. Accepted is
it by its person (`borrow ask ROLE` in that terminal), or beforehand by `borrow run --elevate`; only
then the next fetch of those callers is held for the elevation. Pure: `now` is an argument.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from borrow.daemon.moments import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from borrow.daemon.catalogue import RoleFacts
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment

_T = TypeVar("_T")

OFFER: Final = 60.0  # seconds an offer stands, and an acceptance beforehand waits for its fetch
_MOST: Final = 256  # sessions remembered; the oldest goes first
_TIERS: Final = ("low", "normal", "sensitive", "critical")


@dataclass(frozen=True, slots=True)
class Offer:
    """`action` was denied to the callers of `group`; `role` would allow it."""

    group: Group
    role: str
    action: str
    ends: Deadline
    chosen: int = 0  # agreed to beforehand: as which choice for the session


class Elevations:
    """The offers and acceptances of one daemon, one of each for a session at most."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        self._agreed: dict[str, Group] = {}  # started with --elevate
        self._next: dict[str, Offer] = {}  # the next fetch asks for it
        self._choices = 0

    def choice(self) -> int:
        """The number of one more choice that a person made; the newest is the highest."""
        self._choices += 1
        return self._choices

    def agree(self, group: Group) -> None:
        """The person started this session's program with `--elevate`."""
        _put(self._agreed, session_key(group), group)

    def offer(self, group: Group, role: str, action: str, now: Moment) -> Offer | None:
        """A new offer; None while one stands, or where the person agreed beforehand."""
        key = session_key(group)
        made = Offer(group, role, action, Deadline.at(now.wall + OFFER, now))
        if key in self._agreed:
            _put(self._next, key, replace(made, chosen=self.choice()))
            return None
        standing = self._offers.get(key)
        if standing is not None and not standing.ends.passed(now):
            return None
        _put(self._offers, key, made)
        return made

    def accept(self, group: Group, now: Moment) -> bool:
        """Whether asking for `group`'s role accepts an offer to this session; it is used up."""
        key = session_key(group)
        standing = self._offers.get(key)
        if standing is None or standing.role != group.role or standing.ends.passed(now):
            return False
        del self._offers[key]
        return True

    def wanted(self, group: Group, now: Moment) -> Offer | None:
        """What this session's next fetch is to be lifted to, if it is."""
        if not self._next:
            return None
        wanted = self._next.get(session_key(group))
        return wanted if wanted is not None and not wanted.ends.passed(now) else None

    def used(self, group: Group) -> None:
        self._next.pop(session_key(group), None)

    def standing(self, now: Moment) -> tuple[Offer, ...]:
        return tuple(each for each in self._offers.values() if not each.ends.passed(now))


def session_key(group: Group) -> str:
    """The session (and agent) of a group, whatever the role."""
    return group.id.partition(":")[2]


def lifting_role(facts: RoleFacts, actions: Iterable[str], known: Iterable[RoleFacts]) -> str:
    """The least role of `known` that allows one of `actions`, for callers of the elastic `facts`.

    "" if there is none, or if `facts` is no elastic role.
    """
    wanted = tuple(actions)
    fitting = [
        each
        for each in known
        if facts.base
        and each.name not in (facts.name, facts.base)
        and not each.base
        and _allows(each.entry.get("allows"), wanted)
    ]
    return min(fitting, key=_tier).name if fitting else ""


def _tier(facts: RoleFacts) -> int:
    return _TIERS.index(facts.tier) if facts.tier in _TIERS else len(_TIERS)


def _allows(globs: object, actions: tuple[str, ...]) -> bool:
    if not isinstance(globs, list):
        return False
    patterns = [_pattern(each) for each in globs[:64] if isinstance(each, str)]
    return any(pattern.fullmatch(action) for pattern in patterns for action in actions)


def _pattern(glob: str) -> re.Pattern[str]:
    """IAM's wildcards; action names do not tell case."""
    # Stars in a row are one: the pattern's work must not grow with them.
    parts = re.split(r"(\*+|\?)", glob[:128])
    text = "".join(
        ".*" if each.startswith("*") else "." if each == "?" else re.escape(each) for each in parts
    )
    return re.compile(text, re.IGNORECASE)


def _put(table: dict[str, _T], key: str, value: _T) -> None:
    table.pop(key, None)
    while len(table) >= _MOST:
        table.pop(next(iter(table)))
    table[key] = value
