"""`borrow` alone: what I hold, what I asked for, what I am asked, what was done in my name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from borrow.cli import errors, say

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTICES: Final = 5  # shown, the latest; the daemon keeps more for --json


def overview(*, as_json: bool) -> int:
    from borrow.cli.answering import decisions
    from borrow.cli.home import open_home
    from borrow.cli.launch import running
    from borrow.protocol.errors import BorrowError

    client = running(open_home())
    status = client.get("/v1/status")
    # Also what outlived the daemon that was given it; without the approver, what this one holds.
    held = client.get("/v1/held")
    status |= {"grants": held.get("grants"), "whole": held.get("whole") is True}
    problem: BorrowError | None = None
    waiting: list[dict[str, Any]] = []
    try:
        waiting = decisions(client)
    except BorrowError as exc:  # what is held is known without the approver
        problem = exc
    if as_json:
        say.document(status | {"decisions": waiting, "reachable": problem is None})
        return errors.OK
    _grants(_objects(status.get("grants")), whole=status["whole"])
    _asks(_objects(status.get("asks")))
    _inbox(waiting)
    _notices(_objects(status.get("notices")))
    if problem is not None:
        errors.tell(problem)
        return errors.exit_code(problem)
    return errors.OK


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _grants(grants: Sequence[dict[str, Any]], *, whole: bool) -> None:
    if not grants:
        say.line("you hold nothing" if whole else "this daemon holds nothing yet")
        return
    say.line("you hold")
    now = time.time()  # noqa: TID251  the edge: a countdown for eyes only
    for grant in grants:
        ends = say.left(say.number_of(grant.get("expires_at")) - now)
        role, tier, name = (say.text_of(grant.get(key)) for key in ("role", "tier", "grant"))
        say.line(f"  {role}  {ends} left  {tier}  {name}")
        if grant.get("resumes"):
            say.line("    from before the daemon's start; its program's next call resumes it")
        if extend := say.text_of(grant.get("extend")):
            say.line(f"    ends soon: {extend}")


def _asks(asks: Sequence[dict[str, Any]]) -> None:
    if asks:
        say.line("you asked for")
    from borrow.cli.options import needed_options

    listed = set()
    for ask in asks:
        if (known := ask.get("request")) and known in listed:
            continue  # one question, joined from several terminals
        listed.add(known)
        role, request, number = (say.text_of(ask.get(key)) for key in ("role", "request", "number"))
        whom = say.people(ask.get("asked"))
        waits = f"waits for a yes{f' of {whom}' if whom else ''}"
        if ask.get("state") == "needs":
            needs = ask.get("needs")
            names = [say.text_of(name) for name in needs] if isinstance(needs, dict) else []
            wanted = " and ".join(f"a {name}" for name in names) or "more"
            say.line(f"  {role}  needs {wanted} first: borrow ask {role} {needed_options(names)}")
            continue
        typed = bool(number) and (ask.get("mode") != "self" or ask.get("match") is not False)
        say.line(f"  {role}  {waits}{f'  number {number}' if typed else ''}  {request}")


def _inbox(waiting: Sequence[dict[str, Any]]) -> None:
    if waiting:
        say.line("you are asked")
    for one in waiting:
        role, request, reason = (
            say.text_of(one.get(key)) for key in ("role", "request", "justification")
        )
        by = "you" if one.get("mine") else say.text_of(one.get("person"))
        said = f"  “{reason}”" if reason else ""
        say.line(f"  {role}  for {by}{said}  borrow approve {request}")


def _notices(notices: Sequence[dict[str, Any]]) -> None:
    """What was done in the person's name, the latest last: a grant by policy is told only here."""
    if notices:
        say.line("lately")
    for notice in notices[-NOTICES:]:
        text, hint = (say.text_of(notice.get(key)) for key in ("text", "hint"))
        say.line(f"  {text}{f'  not you? {hint}' if hint else ''}")
