"""What the daemon told last, as small values whose texts are fit to be shown. Pure.

The daemon is ours, but what stands in its answers was typed by people and programs: every text is
escaped here, once, and odd types become nothing instead of an error. Ids are kept as they came,
because they go back into calls; they are checked to be plain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from borrow.protocol.halves import so_far
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FROZEN: Final = "frozen"
ASKED: Final = "request_asked"  # the kind of a notice that asks; the list says it better

_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Grant:
    """`expires_at` in unix seconds; `ends_soon`: the daemon offers an extension."""

    grant: str
    request: str
    role: str
    tier: str
    expires_at: float
    ends_soon: bool


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of mine. `needs`: what has to be given before it can be asked."""

    request: str
    role: str
    number: str
    mode: str
    program: str
    people: tuple[str, ...]
    needs: tuple[str, ...]
    expires_at: float
    typed: bool  # the number has to be typed where the yes is said


@dataclass(frozen=True, slots=True)
class Waiting:
    """A question for me; `mine` if I asked it myself. `half` says what is missing of my yes."""

    request: str
    role: str
    person: str
    reason: str
    program: str
    agent: str
    tier: str
    seconds: int
    expires_at: float
    mine: bool
    half: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    kind: str
    role: str
    text: str
    subject: str
    at: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`trouble`: why the approver or the daemon is out of reach; "" if they are not."""

    grants: tuple[Grant, ...] = ()
    asks: tuple[Ask, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    notices: tuple[Notice, ...] = ()
    trouble: str = ""
    frozen: bool = False
    connected: bool = False  # the daemon answers
    enrolled: bool = True


def read(told: dict[str, Any]) -> Snapshot:
    """From one line of `/v1/watch`."""
    trouble = told.get("trouble")
    problem: dict[str, Any] = trouble if isinstance(trouble, dict) else {}
    state = problem.get("state")
    return Snapshot(
        grants=_each(told, "grants", _grant),
        asks=tuple(_once(_each(told, "asks", _ask))),
        waiting=_each(told, "decisions", _waiting),
        notices=_each(told, "notices", _notice),
        trouble=_text(problem.get("message"), 160) or ("out of reach" if problem else ""),
        frozen=state == FROZEN,
        connected=True,
        enrolled=told.get("enrolled") is not False,
    )


def _each(
    told: dict[str, Any], name: str, make: Callable[[dict[str, Any]], _T | None]
) -> tuple[_T, ...]:
    listed = told.get(name)
    if not isinstance(listed, list):
        return ()
    made = (make(entry) for entry in listed[:200] if isinstance(entry, dict))
    return tuple(one for one in made if one is not None)


def _grant(entry: dict[str, Any]) -> Grant | None:
    name = plain_id(entry.get("grant"))
    if not name:
        return None
    return Grant(
        grant=name,
        request=plain_id(entry.get("request")),
        role=_text(entry.get("role"), 64),
        tier=_text(entry.get("tier"), 16),
        expires_at=_number(entry.get("expires_at")),
        ends_soon=bool(entry.get("extend")),
    )


def _ask(entry: dict[str, Any]) -> Ask | None:
    needs, people = entry.get("needs"), entry.get("asked")
    return Ask(
        request=plain_id(entry.get("request")),
        role=_text(entry.get("role"), 64),
        number=_text(entry.get("number"), 8),
        mode=_text(entry.get("mode"), 16),
        program=program_of(entry.get("caller")),
        people=tuple(_text(each, 80) for each in people) if isinstance(people, list) else (),
        needs=tuple(_text(each, 20) for each in needs) if isinstance(needs, dict) else (),
        expires_at=_number(entry.get("expires_at")),
        typed=entry.get("match") is not False,
    )


def _once(asks: tuple[Ask, ...]) -> Iterator[Ask]:
    """One question that several terminals joined is shown once."""
    seen: set[str] = set()
    for ask in asks:
        if ask.request not in seen:
            yield ask
        seen |= {ask.request} - {""}


def _waiting(entry: dict[str, Any]) -> Waiting | None:
    name = plain_id(entry.get("request"))
    if not name or entry.get("state", "pending") != "pending":
        return None
    found = entry.get("context")
    context: dict[str, Any] = found if isinstance(found, dict) else {}
    return Waiting(
        request=name,
        role=_text(entry.get("role"), 64),
        person=_text(entry.get("person"), 80),
        reason=_text(entry.get("justification"), 120),
        program=program_of(context.get("process")),
        agent=_text(context.get("agent"), 40),
        tier=_text(entry.get("tier"), 16),
        seconds=int(_number(entry.get("seconds"))),
        expires_at=_number(entry.get("expires_at")),
        mine=entry.get("mine") is True,
        half=so_far(entry),
    )


def _notice(entry: dict[str, Any]) -> Notice | None:
    _, _, subject = str(entry.get("subject", "")).rpartition(":")
    kind = _text(entry.get("kind"), 40)
    role, text = _text(entry.get("role"), 64), _text(entry.get("text"), 200)
    return Notice(kind, role, text, plain_id(subject), _number(entry.get("at")))


def program_of(process: object) -> str:
    """The asking program: the path of what really runs, never the name it gives itself (A45)."""
    if not isinstance(process, dict):
        return ""
    exe = process.get("exe")
    name = exe.rpartition("/")[2] if isinstance(exe, str) else ""
    argv = process.get("argv")
    words = argv if isinstance(argv, list) else str(argv or "").split()
    script = words[1] if len(words) > 1 and name.startswith("python") else ""
    if isinstance(script, str) and script and not script.startswith("-"):
        name += f" {script.rpartition('/')[2]}"
    return _text(name, 40)


def plain_id(value: object) -> str:
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def _text(value: object, limit: int) -> str:
    return shown(value, limit) if isinstance(value, str) else ""


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        return 0.0
    return float(value)
