"""Members of a daemon's answer as escaped text, and what a device claims of its caller. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from borrow.protocol.durations import show_duration
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Pairs: TypeAlias = tuple[tuple[str, str], ...]

LINE: Final = 160  # characters of one value: hostile text must not push the buttons off the screen
_MOST: Final = 1 << 53  # what JSON's numbers hold exactly
PARENTS: Final = 6  # of the chain that started the program


def claims(one: Mapping[str, Any]) -> Pairs:
    """The program first, as the file that runs: its command line is what it calls itself."""
    context = mapping(one.get("context"))
    process = mapping(context.get("process"))
    chain = [shown(each, 40) for each in texts(process.get("parents"))[:PARENTS]]
    branch, user = text(process.get("git_branch")), text(context.get("os_user"))
    told = [
        ("reason", text(one.get("justification"))),
        ("ticket", text(one.get("ticket"))),
        ("agent", text(context.get("agent"))),
        ("program", text(process.get("exe"))),
        ("command", text(process.get("argv"))),
        ("started by", " ← ".join(each for each in chain if each)),
        ("directory", text(process.get("cwd")) + (f", branch {branch}" if branch else "")),
        ("container", text(process.get("container"))),
        ("host", text(context.get("host")) + (f", user {user}" if user else "")),
    ]
    return tuple((label, value) for label, value in told if value)


def role_table(roles: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[str, ...]]:
    """A heading and a line for each: `prod-admin  sensitive  another person  1h`."""
    who = {"auto": "at once", "self": "you", "peer": "another person"}
    rows = [("role", "tier", "answered by", "at most")]
    for role in roles:
        longest = whole(role.get("max"))
        by, last = who.get(str(role.get("mode")), ""), show_duration(longest) if longest else ""
        rows.append((text(role.get("name")), text(role.get("tier")), by, last))
    wide = [max(len(row[column]) for row in rows) for column in range(3)]
    told = ["  ".join([*map(str.ljust, row, wide), row[3]]).rstrip() for row in rows]
    return told[0], tuple(told[1:])


def text(value: object) -> str:
    return shown(value, LINE) if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def whole(value: object) -> int:
    """A number of seconds or a time; 0 for anything that cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if -_MOST < value < _MOST else 0
