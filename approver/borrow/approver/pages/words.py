"""A request in words: what is signed or judged, and what the asking device merely claims. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.halves import Half, sentence
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from borrow.minter.port import RequestView

# Shorter than asked, if somebody wants to give less.
_STEPS: Final = (900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 3 * 86_400)
_MOST_PARENTS: Final = 8


def durations(asked: int) -> tuple[int, ...]:
    """What a yes may be for, in seconds: what was asked, and shorter ones, longest first."""
    return (asked, *(each for each in reversed(_STEPS) if each < asked))


def claims(view: RequestView) -> list[tuple[str, str]]:
    """What the asking device says, beside the reason: label and raw text. None of it is checked."""
    return [(label, value) for label, value in _claims(view.context) if value]


def _claims(context: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Coding agent", _text(context.get("agent"))
    process = context.get("process")
    if isinstance(process, dict):
        argv = process.get("argv")
        yield "Program", _text(process.get("exe"))
        yield "Command", " ".join(map(str, argv)) if isinstance(argv, list) else _text(argv)
        yield "Folder", _text(process.get("cwd"))
        yield "Branch", _text(process.get("git_branch"))
        yield "Container", _text(process.get("container"))
        parents = process.get("parents")
        if isinstance(parents, list):
            yield "Started by", " ← ".join(_parent(each) for each in parents[:_MOST_PARENTS])
    where = context.get("where")
    yield from (
        ((_label(name), _text(value)) for name, value in sorted(where.items()))
        if isinstance(where, dict)
        else [("Place", _text(where))]
    )
    yield "Came by", _text(context.get("via"))
    yield "Computer", _text(context.get("host"))
    yield "Its user", _text(context.get("os_user"))


def _label(name: object) -> str:
    known = {"branch": "Branch", "repo": "Repository", "cwd": "Folder"}
    return known.get(str(name), "Place")


def _parent(entry: object) -> str:
    if isinstance(entry, dict):
        return str(entry.get("name") or entry.get("exe") or "")
    return str(entry)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def outcome(view: RequestView, me: str) -> str:
    """How a request that does not wait any more ended."""
    by = " and ".join(
        "you" if each == me else each.replace("policy:", "the rule ") for each in view.decided_by
    )
    said = f" by {by}" if by else ""
    match view.state:
        case RequestState.PENDING:
            return "It waits for an answer."
        case RequestState.APPROVED:
            return f"Approved{said}. The workstation has not collected it yet."
        case RequestState.REDEEMED:
            return f"Approved{said}, and collected."
        case RequestState.DENIED:
            return f"Denied{said}."
        case RequestState.EXPIRED:
            return "Nobody answered in time."
        case RequestState.LAPSED:
            return f"Approved{said}, and not collected in time."
        case RequestState.CANCELLED:
            return "Taken back before it was decided."
        case RequestState.REVOKED:
            return "Revoked."


def answers(view: RequestView) -> int:
    """How much was said so far: an open page looks again when it changes."""
    return len(view.decided_by) + sum(len(each.given) for each in view.halves)


def own_half(view: RequestView, me: str) -> Half | None:
    """What I said of a yes that takes more."""
    for each in view.halves:
        if each.approver == me:
            return Half(each.approver, each.given, each.missing)
    return None


def other_halves(view: RequestView, me: str) -> list[str]:
    """Sentences, escaped."""
    return [
        sentence(Half(each.approver, each.given, each.missing))
        for each in view.halves
        if each.approver != me
    ]


def waiting_of(
    views: Iterable[RequestView], me: str
) -> tuple[list[RequestView], list[RequestView]]:
    """(those that I am to answer, those that only others can), both in their order."""
    mine: list[RequestView] = []
    theirs: list[RequestView] = []
    for view in views:
        answerable = me in view.deciders and not (view.mode == "peer" and view.person == me)
        if answerable and me not in view.decided_by:
            mine.append(view)
        else:
            theirs.append(view)
    return mine, theirs
