"""`borrow inbox --watch`: what waits for an answer, as it comes and goes, and a key to answer it.

It stands on the terminal's second screen; the first is as it was when it ends.
"""

from __future__ import annotations

import queue
import shutil
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.cli import errors, say
from borrow.cli.keyboard import Keyboard, columns
from borrow.cli.twin import Twin, note
from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError
from borrow.protocol.halves import so_far
from borrow.tray.labels import text, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from borrow.cli.client import Control

AGAIN: Final = 2.0  # seconds before the daemon is asked again after it broke off
TICK: Final = 0.5  # seconds between two looks at the clock
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_CLEAR: Final = "\x1b[H\x1b[2J"
_HINT: Final = "↑↓ or a number, Enter: look and answer   d: look and deny   q: leave"


@dataclass(frozen=True, slots=True)
class Listed:
    """What is shown. `chosen` is a request's id: rows come and go under it."""

    decisions: tuple[dict[str, Any], ...] = ()
    trouble: str = ""
    chosen: str = ""

    def told(self, state: dict[str, Any]) -> Listed:
        """With the daemon's newest state; the choice stays on its request while it is there."""
        found = state.get("decisions")
        rows = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        problem = state.get("trouble")
        trouble = text(problem.get("message")) if isinstance(problem, dict) else ""
        return Listed(tuple(rows), trouble, self.chosen).moved(0)

    @property
    def ids(self) -> list[str]:
        return [str(each.get("request") or "") for each in self.decisions]

    def moved(self, step: int) -> Listed:
        ids = self.ids
        if not ids:
            return Listed(self.decisions, self.trouble)
        place = ids.index(self.chosen) + step if self.chosen in ids else 0
        return Listed(self.decisions, self.trouble, ids[min(len(ids) - 1, max(0, place))])

    def at(self, number: int) -> Listed:
        ids = self.ids
        return Listed(self.decisions, self.trouble, ids[number - 1]) if number <= len(ids) else self

    def lines(self, now: float, wide: int, high: int) -> list[tuple[str, str]]:
        """(style, line), at most `high` of them, each at most `wide` columns."""
        shown = self.decisions[: max(1, high - 5)]
        more = len(self.decisions) - len(shown)
        out = [("head", f"waits for your answer: {len(self.decisions)}"), ("", "")]
        for number, one in enumerate(shown, 1):
            here = str(one.get("request") or "") == self.chosen
            out.append(("head" if here else "", ("> " if here else "  ") + _row(number, one, now)))
        if more:
            out.append(("faint", f"  and {more} more"))
        out += [("", ""), ("bad", self.trouble) if self.trouble else ("faint", _HINT)]
        return [(style, _cut(line, wide)) for style, line in out]


def _row(number: int, one: dict[str, Any], now: float) -> str:
    who = "you" if one.get("mine") is True else text(one.get("person"))
    seconds, left = whole(one.get("seconds")), say.left(whole(one.get("expires_at")) - now)
    head = f"{number:>2}  {left:>6}  {text(one.get('role')):<20}  {who:<24}"
    length = show_duration(seconds) if seconds else ""
    told = so_far(one)  # of a yes that takes more than one kind
    return f"{head}  {length:<6}  {told}{'; ' * bool(told)}{text(one.get('justification'))}"


def _cut(line: str, wide: int) -> str:
    if columns(line) <= wide:
        return line
    while columns(line) > wide - 1:
        line = line[:-1]
    return line + "…"


class Live:
    def __init__(self, client: Control, clock: Callable[[], float]) -> None:
        self._client, self._clock = client, clock
        self._listed = Listed()
        self._states: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._drawn: Sequence[tuple[str, str]] = ()

    def run(self) -> int:
        threading.Thread(target=self._follow, daemon=True).start()
        while (request := self._list()) is not None:
            self._answer(*request)
        return errors.OK

    def _list(self) -> tuple[str, bool] | None:
        """(request, whether to deny it at once); None to leave."""
        sys.stderr.write(_ENTER)
        try:
            with Keyboard() as keys:
                return self._choose(keys)
        except KeyboardInterrupt:
            return None
        finally:
            self._drawn = ()
            sys.stderr.write(_LEAVE)
            sys.stderr.flush()

    def _choose(self, keys: Keyboard) -> tuple[str, bool] | None:
        while True:
            while not self._states.empty():
                self._listed = self._listed.told(self._states.get())
            self._draw()
            match keys.key(TICK):
                case "q" | "esc" | "eof":
                    return None
                case "up":
                    self._listed = self._listed.moved(-1)
                case "down":
                    self._listed = self._listed.moved(1)
                case "enter" | "d" as key if self._listed.chosen:
                    return self._listed.chosen, key == "d"
                case str(key) if key.isdecimal() and key.isascii() and key != "0":
                    self._listed = self._listed.at(int(key))
                case _:
                    pass

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        lines = self._listed.lines(self._clock(), size.columns - 1, size.lines)
        if lines == self._drawn:
            return
        self._drawn = lines
        sys.stderr.write(_CLEAR)
        for style, line in lines:
            note(line, style)

    def _answer(self, request: str, deny: bool) -> None:
        from borrow.tray.prompt import to_answer

        try:
            ended = Twin(to_answer(self._client, request, self._clock()), self._clock).run(
                first="d" if deny else ""
            )
        except BorrowError as exc:
            note(f"{exc.message}", "bad")
            time.sleep(AGAIN)
            return
        if ended.told:
            say.line(ended.told)

    def _follow(self) -> None:
        while True:
            try:
                for state in self._client.follow("/v1/watch").events(30.0):
                    if state is not None:
                        self._states.put(state)
                trouble = "the daemon broke off"
            except BorrowError as exc:
                trouble = exc.message
            self._states.put({"decisions": [], "trouble": {"message": trouble}})
            time.sleep(AGAIN)
