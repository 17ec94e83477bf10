"""The waiting line: what is asked, the number, who was asked, who looks, and how long it may take.

`Waiting` is pure: events and the time go in, text comes out. `Line` draws it, redrawn in place on
a terminal and once per change elsewhere (a log should not grow by the second).
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, replace
from typing import Any

from borrow.cli import say
from borrow.protocol.durations import show_duration
from borrow.protocol.halves import read_halves, sentence
from borrow.protocol.text import shown

BELL = "\a"
SAVE_TITLE, RESTORE_TITLE = "\x1b[22;0t", "\x1b[23;0t"


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is known of one open request. Times are unix seconds."""

    role: str
    request: str = ""
    number: str = ""
    words: str = ""
    mode: str = ""
    caller: str = ""
    asked: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    looking: tuple[str, ...] = ()
    usual: float = 0.0  # seconds
    expires_at: float = 0.0
    trouble: str = ""
    match: bool = True  # the number has to be typed; a daemon that does not say gets the safe words
    factors: tuple[str, ...] = ()
    halves: tuple[str, ...] = ()  # sentences about those who said a part of a yes

    def told(self, event: dict[str, Any]) -> Waiting:
        """With what an event says; members it lacks stay as they were."""
        watched = event.get("seen")
        eyes: dict[str, Any] = watched if isinstance(watched, dict) else {}

        def text(name: str, before: str) -> str:
            return say.text_of(event.get(name), before)

        return replace(
            self,
            role=text("role", self.role),
            request=text("request", self.request),
            number=text("number", self.number),
            words=text("words", self.words),
            mode=text("mode", self.mode),
            caller=_program(event.get("caller")) or self.caller,
            asked=_names(event["asked"]) if "asked" in event else self.asked,
            seen=_names(eyes["seen"]) if "seen" in eyes else self.seen,
            looking=_names(eyes["looking"]) if "looking" in eyes else self.looking,
            usual=say.number_of(eyes.get("usual_wait")) or self.usual,
            expires_at=say.number_of(event.get("expires_at")) or self.expires_at,
            trouble=self._trouble(event),
            match=event["match"] is True if "match" in event else self.match,
            factors=_names(event["factors"]) if "factors" in event else self.factors,
            halves=tuple(map(sentence, read_halves(eyes.get("halves")))) if eyes else self.halves,
        )

    def _trouble(self, event: dict[str, Any]) -> str:
        """What keeps the question from being asked just now, '' if it is asked."""
        if event.get("event") == "unavailable":
            return say.text_of(event.get("message"), "the approver cannot be reached")
        return say.text_of(event.get("trouble"))

    def head(self) -> str:
        """What is asked and by which program; printed once."""
        by = f" by {self.caller}" if self.caller else ""
        known = f" ({self.request})" if self.request else ""
        return f"asking for {self.role}{by}{known}"

    def what_to_do(self) -> str:
        """The number and where it goes, if there is one."""
        if not self.number:
            return ""
        if self.mode == "self":
            # Without a match it is typed nowhere, and shown nowhere else in this mode.
            return f"number {self.number}: for you to type where you say yes" if self.match else ""
        words = f", words {self.words}" if self.words else ""
        return f"number {self.number}{words}: they see the same"

    def line(self, now: float, width: int = 0) -> str:
        """The line as it stands at `now`; on a terminal of `width` columns it fits into one row."""
        told = f"{self.trouble}, trying again" if self.trouble else ""
        left = f"{say.left(self.expires_at - now)} left" if self.expires_at else ""
        usual = f"usually {show_duration(round(self.usual) or 1)}" if self.usual else ""
        text = ", ".join(part for part in (told or self._who(), usual, left) if part)
        if not width or len(text) < width:
            return text
        # The row is short: half a command helps nobody, and the request's id stands above.
        text, end = told or self._who(brief=True), f", {left}" if left else ""
        room = max(1, width - 1 - len(end))
        return (text if len(text) <= room else text[: room - 1] + "…") + end

    def can_be_given_here(self) -> bool:
        """One's own yes, by this machine's command line."""
        return not self.factors or bool(_HERE.intersection(self.factors))

    def _who(self, *, brief: bool = False) -> str:
        if self.mode == "self":
            asked = "waiting for your yes"
            here = self.can_be_given_here()
            if brief and here:
                return asked
            hint = f": borrow approve {self.request}" if self.request and not self.seen else ""
            return asked + (hint if here else " on your other device")
        if self.halves:
            return self.halves[0]
        whom = _listed(self.asked)
        text = f"waiting for {whom}" if whom else "waiting"
        if self.looking:
            seen = f", seen by {len(self.seen)}" if len(self.seen) > 1 else ""
            return f"{text}{seen}, {_listed(self.looking)} is looking"
        return f"{text}, seen by {_listed(self.seen)}" if self.seen else text


# Factors that this machine's command line can give; the others need another device.
_HERE = frozenset({"consent", "totp"})


def _program(value: object) -> str:
    """The asking program in a few words; '' for this very command, which knows what it asks."""
    if not isinstance(value, dict) or value.get("pid") == os.getpid():
        return ""
    words = str(value.get("argv") or value.get("exe") or "").split()
    name = words[0].rpartition("/")[2] if words else ""
    if name.startswith("python") and len(words) > 1 and not words[1].startswith("-"):
        words = words[1:]  # a script: its name says more than its interpreter's
        name = words[0].rpartition("/")[2]
    return shown(" ".join([name, *words[1:]]).strip(), 60)


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (shown(value, 80),)
    if not isinstance(value, list):
        return ()
    return tuple(shown(name, 80) for name in value if isinstance(name, str))


def _listed(names: tuple[str, ...]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return " or ".join(names[:3]) + rest


class Line:
    """The place on stderr where the waiting line stands."""

    def __init__(self) -> None:
        self._moves = say.can_move()
        self._last = ""
        self._titled = False

    def show(self, waiting: Waiting, now: float) -> None:
        if self._moves:
            self._draw(waiting.line(now, shutil.get_terminal_size().columns))
            self._title(f"… {waiting.role}")
        elif (stable := waiting.line(0).split(", ")[0]) != self._last:
            self._last = stable
            say.note(stable)

    def _draw(self, text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{say.dim(text)}")
        sys.stderr.flush()

    def _title(self, text: str) -> None:
        if not self._titled:
            sys.stderr.write(SAVE_TITLE)
            self._titled = True
        sys.stderr.write(f"\x1b]0;borrow {text}\x07")

    def end(self, *, yes: bool) -> None:
        """Leave the terminal as it was; a yes is announced to somebody who looks elsewhere."""
        if self._moves:
            sys.stderr.write("\r\x1b[2K" + (BELL if yes else ""))
        if self._titled:
            sys.stderr.write(RESTORE_TITLE)
            self._titled = False
        sys.stderr.flush()
