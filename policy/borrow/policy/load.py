"""Turn the text of a policy file into a compiled `Policy`, or say where it is wrong.

The order matters only for references: groups and roles first, then what names them. The text is
all there is: whoever reads the file decides which file, when, and what a failed reload means.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from types import MappingProxyType
from typing import Final

from borrow.policy.cases import read_tests
from borrow.policy.lines import Lines
from borrow.policy.model import Defaults, Policy
from borrow.policy.people import is_person
from borrow.policy.roles import NAME, NAME_RULE, read_accounts, read_roles
from borrow.policy.rules import (
    LONGEST_GRANT,
    LONGEST_MINT,
    LONGEST_WAIT,
    Known,
    read_budget,
    read_denies,
    read_rules,
    refuse_double_ids,
)
from borrow.policy.table import Source, Table
from borrow.protocol.errors import Misconfigured

MAX_TEXT: Final = 1 << 20  # bytes; the largest policy we know of is a hundredth of it
VERSION: Final = 1

_KEYS = ("version", "groups", "admins", "accounts", "roles", "defaults", "deny", "rule", "test")
_LATER = {"oncall": "schedules come with mode oncall"}
_DEFAULT_KEYS = ("pending", "claim_by", "mint", "max", "agents")
_DEFAULT_LATER = {
    "waves": "waves come with mode quorum",
    "notify": "channels for notices come later",
    "slo": "targets for waiting times come later",
}
_AT_LINE = re.compile(r"(.*?) \(at line (\d+), column \d+\)", re.DOTALL)


def load_policy(text: str, *, source: str = "policy.toml") -> Policy:
    """Compile `text`. `source` is the file's name for messages.

    `text` must be the file's exact content, line ends untouched: its hash is what a request is
    judged under. Raises `Misconfigured` with file, line, dotted path and allowed values, for any
    text whatever.
    """
    data = _parse(text, source)
    file = Table(data, (), Source(source, Lines(text)))
    file.only(_KEYS, _LATER)
    if "version" in file and file.integer("version", 0, 1 << 31) != VERSION:
        raise file.bad("version", "{} is not known here", f"allowed: {VERSION}")
    groups = _read_groups(file.table("groups"))
    roles = read_roles(file.table("roles"), read_accounts(file.table("accounts")))
    defaults = _read_defaults(file.table("defaults"))
    known = Known(groups, roles, defaults)
    denies, rules = read_denies(file, known), read_rules(file, known)
    refuse_double_ids(file, denies, rules)
    return Policy(
        hash=hashlib.sha256(text.encode()).hexdigest(),
        roles=MappingProxyType(roles),
        rules=rules,
        denies=denies,
        groups=MappingProxyType(groups),
        admins=_read_admins(file.table("admins")) if "admins" in file else (),
        tests=read_tests(file),
        defaults=defaults,
        bases=frozenset(role.base for role in roles.values() if role.base in roles),
    )


def _parse(text: str, source: str) -> dict[str, object]:
    try:
        if len(text.encode()) > MAX_TEXT:
            raise Misconfigured(
                f"{source}: larger than {MAX_TEXT >> 20} MiB", hint="this is not a policy file"
            )
        return tomllib.loads(text)
    except RecursionError as exc:
        raise Misconfigured(f"{source}: nested too deeply", hint="a policy is flat") from exc
    except UnicodeEncodeError as exc:
        raise Misconfigured(f"{source}: not valid UTF-8", hint="save the file as UTF-8") from exc
    except ValueError as exc:  # TOMLDecodeError, and int() on a number of thousands of digits
        place, reason = source, str(exc).splitlines()[0]
        if matched := _AT_LINE.fullmatch(str(exc)):
            place, reason = f"{source}:{matched[2]}", matched[1]
        raise Misconfigured(
            f"{place}: not valid TOML: {reason[:1].lower()}{reason[1:]}",
            hint="https://toml.io shows the notation",
        ) from exc


def _read_groups(table: Table) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    for name in table:
        if not NAME.fullmatch(name):
            raise table.bad(name, "{} is not a good name for a group", f"allowed: {NAME_RULE}")
        groups[name] = table.texts(name)
        _refuse_strangers(table, name, groups[name])
    return groups


def _read_admins(table: Table) -> tuple[str, ...]:
    table.only(("people",))
    people = table.texts("people")
    _refuse_strangers(table, "people", people)
    return people


def _refuse_strangers(table: Table, key: str, people: tuple[str, ...]) -> None:
    for person in people:
        if not is_person(person):
            allowed = "people one by one, as a mail address in small letters or local:USER"
            raise table.wrong(key, person, allowed)


def _read_defaults(table: Table) -> Defaults:
    table.only(_DEFAULT_KEYS, _DEFAULT_LATER)
    return Defaults(
        pending_seconds=table.seconds("pending", 1, LONGEST_WAIT, Defaults().pending_seconds),
        claim_by_seconds=table.seconds("claim_by", 1, LONGEST_WAIT, Defaults().claim_by_seconds),
        mint_seconds=table.seconds("mint", 60, LONGEST_MINT, Defaults().mint_seconds),
        max_seconds=table.seconds("max", 60, LONGEST_GRANT, Defaults().max_seconds),
        agents=read_budget(table, "agents", "questions")
        if "agents" in table
        else Defaults().agents,
    )
