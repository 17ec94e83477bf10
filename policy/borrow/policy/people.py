"""Who is meant: people, groups of people, and the one spelling under which both are compared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

GROUP = "group:"
ONCALL = "oncall:"
LOCAL = "local:"
MAX_PERSON = 254  # characters; the longest mail address

_ADDRESS = re.compile(r"[^\s@*?:,;]+@[^\s@*?:,;]+")
_LOCAL = re.compile(r"local:[^\s*?]([^*?]*[^\s*?])?")


def canonical(person: str) -> str:
    """The spelling under which people are compared.

    Mail addresses ignore case: without this `Ann@example.com` would be somebody else than the
    ann@example.com whom a deny names, and could answer her own request. Names of a local system
    do not ignore it.
    """
    return person if person.startswith(LOCAL) else person.lower()


def is_person(text: str) -> bool:
    """Is this one person's name, in its canonical spelling?"""
    shaped = _ADDRESS.fullmatch(text) or _LOCAL.fullmatch(text)
    well_sized = len(text) <= MAX_PERSON and text.isprintable()
    return bool(shaped) and well_sized and text == canonical(text)


def expand(entries: tuple[str, ...], groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The people behind `entries`, in order, each once. Globs are left out: who could list them?"""
    found: dict[str, None] = {}
    for entry in entries:
        if entry.startswith(GROUP):
            found.update(dict.fromkeys(groups[entry.removeprefix(GROUP)]))
        elif is_person(entry):
            found[entry] = None
    return tuple(found)
