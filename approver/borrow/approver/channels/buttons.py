"""A question on an ntfy topic with three numbers to press, one of them right. Pure.

For a person alone whose phone cannot reach the pages. Whoever reads the topic can press, and one
press in three is right by chance: so this is for roles of tier `low` only, never for an agent, and
one press ends it either way. The minter compares the number, not this module.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import Untrusted
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.strict import parse_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

    from borrow.minter.port import RequestView

BUTTONS: Final = 3  # ntfy shows no more
MAX_LINE: Final = 16_384  # bytes of one event; an answer of ours has about 250
ASK: Final = (
    "Is this you?",
    "Press the number that your workstation shows. To deny it, do that at the workstation.",
)
TAKEN: Final = ("Answered", "Your yes was taken.")
WRONG: Final = ("A wrong number was pressed", "The request was ended. Not you? Change the topic.")
FAILED: Final = ("Not taken", "Look at your workstation.")
_NUMBER: Final = re.compile(r"[0-9]{3}", re.ASCII)
_ANSWER: Final = re.compile(r"([A-Za-z0-9_-]{16,64}) ([0-9]{3})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """`token` is good for one answer to this request. `numbers` are in the order of the buttons."""

    request: str
    request_hash: str
    numbers: tuple[str, ...] = field(repr=False)
    token: str = field(repr=False)
    until: float


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a topic's stream. `time` is in seconds of the server's own clock."""

    kind: str
    time: int
    text: str = field(repr=False)


def may_press(view: RequestView, person: str) -> bool:
    """Whether a press may answer `view`. Without `match` the minter would take any number."""
    return (
        view.state is RequestState.PENDING
        and (view.mode, view.person, view.tier) == ("self", person, "low")
        and view.match
        and "consent" in view.factors
        and not view.context.get("agent")
        and _NUMBER.fullmatch(view.number) is not None
    )


def question(view: RequestView, token: str, random: Random) -> Question:
    others = [number for number in map("{:03d}".format, range(1000)) if number != view.number]
    numbers = [view.number, *random.sample(others, BUTTONS - 1)]
    random.shuffle(numbers)
    return Question(view.request_id, view.request_hash, tuple(numbers), token, view.pending_until)


def handle_of(request: str, secret: str) -> str:
    """The message's opaque id: the same after a restart, so that it replaces the older one."""
    return hmac.digest(secret.encode(), request.encode(), hashlib.sha256).hex()[:24]


def message(
    words: tuple[str, str], handle: str, *, loud: bool, actions: str = ""
) -> tuple[bytes, dict[str, str]]:
    """(body, headers). A later message of the same handle replaces the earlier one."""
    title, text = words
    headers = {
        "Title": title,
        "Priority": "high" if loud else "min",
        "X-Sequence-ID": handle,
        "Content-Type": "text/plain; charset=utf-8",
    }
    return text.encode(), headers | ({"Actions": actions} if actions else {})


def actions(asked: Question, reply: str) -> str:
    """The three buttons: each posts the token and its number to the topic `reply`."""
    return json.dumps(
        [
            {
                "action": "http",
                "label": number,
                "url": reply,
                "method": "POST",
                "body": f"{asked.token} {number}",
                "clear": True,
            }
            for number in asked.numbers
        ]
    )


def read_event(line: bytes) -> Event | None:
    """None for what is no event of a topic: anybody may write there, and it is not ours to mend."""
    if len(line) > MAX_LINE:
        return None
    try:
        told: Mapping[str, Any] = parse_object(line.strip(), "event")
    except Untrusted:
        return None
    kind, time, text = told.get("event"), told.get("time"), told.get("message", "")
    if not isinstance(kind, str) or type(time) is not int or not 0 <= time < 1 << 40:
        return None
    return Event(kind, time, text if isinstance(text, str) else "")


def answered(text: str, waiting: Iterable[Question]) -> tuple[Question, str] | None:
    """The question that `text` answers, and the number; None for anything but a button of ours."""
    found = _ANSWER.fullmatch(text)
    if found is None:
        return None
    token, number = found.groups()
    for asked in waiting:
        if hmac.compare_digest(asked.token, token) and number in asked.numbers:
            return asked, number
    return None
