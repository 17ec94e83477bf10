"""The roles a person may borrow: `borrow roles`, suggestions, and completion."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from borrow.cli import say
from borrow.cli.options import json_option
from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from borrow.cli.client import Control

UNKNOWN = ("unknown_role", "no_rule", "policy")


@click.command()
@click.argument("pattern", metavar="[FILTER]", default="")
@json_option
def roles(pattern: str, *, as_json: bool) -> None:
    """Which roles you may borrow; FILTER needs a few of a role's letters only."""
    from borrow.cli.home import open_home
    from borrow.cli.launch import running

    home = open_home()
    listed = entries(running(home))
    found = matching(listed, pattern)
    if as_json:
        say.document({"roles": found})
    elif found:
        say.table(("role", "account", "tier", "yes by", "longest", "needs"), map(_row, found))
    elif listed:
        say.note(f"no role matches {say.text_of(pattern)}; without a filter all are listed")
    else:
        who = (
            "the team's policy says who may"
            if home.mode() == "team"
            else f"name some in {home.policy}"
        )
        say.note(f"there is no role you may borrow; {say.text_of(who)}")


def entries(client: Control) -> list[dict[str, Any]]:
    listed = client.get("/v1/roles").get("roles")
    return [entry for entry in listed if _is_role(entry)] if isinstance(listed, list) else []


def _is_role(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("name"), str)


def names(*, start: bool) -> list[str]:
    """Role names, or none if that is not possible now; for hints and completion, never raises."""
    from borrow.cli.home import open_home
    from borrow.cli.launch import control, running

    try:
        home = open_home()
        client = running(home) if start else control(home)
        return [entry["name"] for entry in entries(client)]
    except (BorrowError, OSError):
        return []


def matching(listed: Sequence[dict[str, Any]], pattern: str) -> list[dict[str, Any]]:
    """Roles whose name holds the letters of `pattern` in their order, the tightest first."""
    ranked = [
        (rank, entry) for entry in listed if (rank := _rank(entry["name"], pattern)) is not None
    ]
    return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]


def _rank(name: str, pattern: str) -> tuple[int, int] | None:
    """(span of the letters, where they begin), smaller is better; None = no match.

    Nothing typed matches all alike, so that the file's order stays.
    """
    wanted, text = pattern.lower(), name.lower()
    if not wanted:
        return (0, 0)
    best: tuple[int, int] | None = None
    for start, letter in enumerate(text):
        if letter != wanted[0]:
            continue
        at = start
        for later in wanted[1:]:
            at = text.find(later, at + 1)
            if at < 0:
                break
        else:
            rank = (at - start, start)
            best = rank if best is None else min(best, rank)
    return best


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    longest = say.number_of(entry.get("max"))
    needs = entry.get("needs")
    return (
        entry["name"],
        str(entry.get("account") or ""),
        str(entry.get("tier") or ""),
        yes_by(entry),
        show_duration(longest) if longest else "",
        ", ".join(map(str, needs)) if isinstance(needs, dict) else "",
    )


def yes_by(entry: dict[str, Any]) -> str:
    """Who says yes, in words: `nobody`, `you (totp, number)`, `others`."""
    factors = entry.get("factors")
    kinds = [str(kind) for kind in factors] if isinstance(factors, list) else []
    if entry.get("every") is True:
        kinds = [" and ".join(kinds)]
    if entry.get("match"):
        kinds.append("number")
    how = f" ({', '.join(kinds)})" if kinds else ""
    match entry.get("mode"):
        case "auto":
            return "nobody"
        case "self":
            return f"you{how}"
        case "peer":
            return f"others{how}"
        case other:
            return str(other or "")


def with_suggestions(error: BorrowError, role: str, client: Control, line: str) -> BorrowError:
    """`error`, and if it is about an unknown role, the one that was probably meant.

    `line` is the command with `{}` for the role.
    """
    if not isinstance(error, Refused) or error.state not in UNKNOWN:
        return error
    try:
        known = [entry["name"] for entry in entries(client)]
    except BorrowError:
        return error
    if role in known:
        return error
    near = get_close_matches(role, known, n=1, cutoff=0.5) or [
        entry["name"] for entry in matching([{"name": name} for name in known], role)
    ]
    hint = line.format(near[0]) if near else "`borrow roles` lists what you may borrow"
    return Refused(error.message, hint=hint, state="unknown_role", request=error.request)
