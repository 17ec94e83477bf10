"""The prompt's twin for a terminal: the same form, the same first second, the same "not now".

1. Until the first second is over keys are thrown away: they were meant for something else.
2. Esc, Ctrl-C, q and the end of input decide nothing. A bare Enter does nothing.
3. A yes is `a`, then Enter, or what has to be proved; a no is `d`, then why or Enter.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from borrow.cli import say
from borrow.cli.dialogue import choices, lines, next_duration, yes
from borrow.cli.keyboard import EOF, ESC, Keyboard, Row, Typing
from borrow.protocol.errors import BorrowError
from borrow.protocol.text import shown
from borrow.tray import form as forms
from borrow.tray.labels import role_table
from borrow.tray.prompt import LATER, Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from borrow.tray.prompt import Answer, Question, Waiting

ARM_AFTER: Final = 1.0  # seconds
LOOK_EVERY: Final = 2.0  # seconds between looks whether it was answered elsewhere
TICK: Final = 0.25  # seconds between two looks at the clock
_LEAVE: Final = (ESC, EOF, "q")
_STYLES: Final = {"head": "1", "faint": "2", "warn": "33", "bad": "31"}


class _Over(Exception):
    """It ended while a key was waited for."""

    def __init__(self, ended: Ended) -> None:
        self.ended = ended


class Twin:
    """Asks one question. `clock` gives unix seconds."""

    def __init__(self, question: Question, clock: Callable[[], float]) -> None:
        self._question, self._form, self._clock = question, question.form, clock
        self._seconds = question.form.chosen
        self._expires_at = question.form.expires_at
        self._row = Row(_wide)
        self._brought: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def run(self, first: str = "") -> Ended:
        """`first` is a key that was pressed already, on the list that led here."""
        for style, line in lines(self._form, self._row.room):
            note(line, style)
        try:
            with Keyboard() as keys:
                self._arm(keys)
                if self._question.look is not None:
                    self._thread(self._watch, self._question.look)
                return self._ask(keys, first)
        except _Over as over:
            return over.ended
        except KeyboardInterrupt:
            return LATER
        finally:
            self._row.end()

    # -- the question ------------------------------------------------------------------------------

    def _arm(self, keys: Keyboard) -> None:
        """What is typed ahead decides nothing; leaving is always possible."""
        self._row.draw(say.dim("one second …"))
        until = time.monotonic() + ARM_AFTER
        while (left := until - time.monotonic()) > 0:
            if keys.key(left) in _LEAVE:
                raise _Over(LATER)
        keys.forget()

    def _ask(self, keys: Keyboard, first: str) -> Ended:
        deny = self._question.say_no is not None
        while True:
            key, first = first or self._key(keys, self._choices(deny=deny)), ""
            match key:
                case "a" if not self._form.cannot:
                    ended = self._yes(keys)
                case "d" if deny:
                    ended = self._no(keys)
                case "t" if self._form.durations and not self._form.cannot:
                    self._seconds = next_duration(self._form, self._seconds)
                    ended = None
                case _ if key in _LEAVE:
                    return LATER
                case _:
                    ended = None
            if ended is not None:
                return ended

    def _yes(self, keys: Keyboard) -> Ended | None:
        typed = {}
        if not self._form.fields:
            wanted = yes(self._form, self._seconds)
            if self._key(keys, f"Enter: {wanted}   any other key: back") != "enter":
                return None
        for field in self._form.fields:
            while True:
                hint = f" ({field.rule})" if field.rule else ""
                hint += " (↑ recent ones)" if field.recent else ""
                line = Typing(secret=field.secret, recent=field.recent)
                if not self._type(keys, f"{field.label}{hint}: ", line):
                    return None
                typed[field.name] = line.text
                name, wrong = forms.problem(self._form, typed)
                if name != field.name:
                    break
                note(wrong, "bad")
        return self._call(lambda: self._question.say_yes(typed, self._seconds), keys)

    def _no(self, keys: Keyboard) -> Ended | None:
        line, say_no = Typing(), self._question.say_no
        if say_no is None or not self._type(keys, "Why not? (Enter: no word) ", line):
            return None
        return self._call(lambda: say_no(line.text.strip()), keys)

    def _call(self, call: Callable[[], Answer], keys: Keyboard) -> Ended | None:
        self._row.draw(say.dim("one moment …"))
        try:
            answer = call()
        except BorrowError as exc:
            self._row.wipe()
            note(wording(exc), "bad")
            return None
        self._row.wipe()
        if answer.waiting is None:
            return Ended("said", answer.told)
        return self._wait(answer.waiting, keys)

    # -- one's own question, asked -----------------------------------------------------------------

    def _wait(self, waiting: Waiting, keys: Keyboard) -> Ended:
        self._expires_at = waiting.expires_at
        note(waiting.head, "head")
        if waiting.number:
            note(f"  {waiting.number}", "head")
        for line in waiting.lines:
            note(f"  {line}")
        self._thread(self._follow, waiting)
        while self._key(keys, "waiting for the answer   Esc leave it open") not in _LEAVE:
            pass
        return Ended("said", f"asked: {waiting.request}")

    def _follow(self, waiting: Waiting) -> None:
        try:
            for told in waiting.told():
                if told:
                    self._end(Ended("said", told))
        except BorrowError as exc:
            self._end(Ended("refused", wording(exc)))

    def _choices(self, *, deny: bool) -> str:
        return choices(self._form, self._seconds, self._row.room, deny=deny)

    # -- keys and clock ----------------------------------------------------------------------------

    def _key(self, keys: Keyboard, text: str) -> str:
        """The next key, with `text` and the time that is left in the row."""
        while True:
            left = self._tick()
            self._row.draw(_cut(f"{text}   {left}", self._row.room), steady=text)
            key = keys.key(TICK)
            if key is not None:
                return key

    def _type(self, keys: Keyboard, label: str, line: Typing) -> bool:
        """Whether a line was typed to its end."""
        while True:
            self._tick()
            room = max(8, self._row.room - len(label))
            self._row.draw(label + line.drawn(room), steady=label)
            key = keys.key(TICK)
            if key in (ESC, EOF):
                return False
            if key is not None and line.take(key):
                self._row.end()
                return True

    def _tick(self) -> str:
        """What is left; raises if it is over."""
        while not self._brought.empty():
            self._brought.get()()
        if forms.ended(self._form, self._clock()):
            raise self._over(Ended("late", forms.over("expired")))
        return forms.time_left(self._expires_at, self._clock())

    def _over(self, ended: Ended) -> _Over:
        self._row.wipe()
        return _Over(ended)

    def _end(self, ended: Ended) -> None:
        def end() -> None:
            raise self._over(ended)

        self._brought.put(end)

    def _watch(self, look: Callable[[], str]) -> None:
        why = ""
        while not why:
            time.sleep(LOOK_EVERY)
            try:
                why = look()
            except BorrowError as exc:
                why = wording(exc) if exc.state == "not_found" else ""
        self._end(Ended("elsewhere", why))

    def _thread(self, run: Callable[..., None], *given: Any) -> None:
        threading.Thread(target=run, args=given, daemon=True).start()


def choose(roles: Sequence[dict[str, Any]]) -> str:
    """One of `roles`, by its number or name; "" for none."""
    names = [str(each.get("name") or "") for each in roles]
    head, lines = role_table(roles)
    note(f"{'':>3}  {head}")
    for number, line in enumerate(lines, 1):
        note(f"{number:>3}  {line}")
    while True:
        try:
            typed = say.ask("which role? its number or name", without="borrow prompt --ask ROLE")
        except KeyboardInterrupt:
            return ""
        if not typed or typed == "\x1b":
            return ""
        if typed.isdecimal() and 1 <= int(typed) <= len(names):
            return names[int(typed) - 1]
        near = [name for name in names if name == typed] or [
            name for name in names if name.startswith(typed)
        ]
        if len(near) == 1:
            return near[0]
        note(f"{shown(typed, 64)} is {'several roles' if near else 'none of them'}", "bad")


def note(text: str, style: str = "") -> None:
    say.note(say.styled(text, _STYLES[style]) if style else text)


def wording(error: BorrowError) -> str:
    return shown(error.message + (f" ({error.hint})" if error.hint else ""), 300)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _wide() -> int:
    return min(100, shutil.get_terminal_size().columns)
