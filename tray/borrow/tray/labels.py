"""Members of a daemon's answer as label and escaped value, and what a device claims of its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

Pairs: TypeAlias = tuple[tuple[str, str], ...]

LINE: Final = 160  # characters of one value: hostile text must not push the buttons off the screen
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


def text(value: object) -> str:
    return shown(value, LINE) if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def whole(value: object) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0
