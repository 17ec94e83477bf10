"""What a prompt does with the daemon: the same for the window and for the terminal.

`say_yes`, `say_no` and `look` block and raise BorrowError; whoever draws calls them in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from borrow.protocol.durations import show_duration
from borrow.protocol.errors import Needs, Refused, Unavailable, Untrusted
from borrow.protocol.halves import read_halves, sentence, still_missing
from borrow.protocol.text import shown
from borrow.tray import form as forms
from borrow.tray.labels import mapping, text, texts, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from borrow.tray.ports import Daemon, Stream

TICK: Final = 1.0  # seconds between two looks whether a stream was left
LONGEST: Final = 200  # characters of an answer's message


@dataclass(frozen=True, slots=True)
class Ended:
    """How a prompt ended. `how`: said (here: yes, no or asked), later, elsewhere, late, refused."""

    how: str
    told: str = ""


LATER: Final = Ended("later")


@dataclass(frozen=True, slots=True)
class Answer:
    """What `say_yes` and `say_no` give: how it ended, or a question that waits now."""

    told: str
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """`look` tells why it is over elsewhere, "" while it is open. An own question has no no."""

    form: forms.Form
    say_yes: Callable[[Mapping[str, str], int], Answer]
    say_no: Callable[[str], Answer] | None = None
    look: Callable[[], str] | None = None


def to_answer(daemon: Daemon, request: str, now: float) -> Question:
    """The question whether to say yes to `request`."""
    path = f"/v1/decisions/{quote(request, safe='')}"
    one = daemon.get(path)
    state = str(one.get("state", "pending"))
    if why := forms.over(state):
        raise Refused(f"{shown(request, 40)}: {why}", hint="`borrow inbox`", state=state)
    form = forms.answering(one, now)
    named = f"{text(one.get('role'))} ({text(one.get('request'))})"

    def say_yes(typed: Mapping[str, str], seconds: int) -> Answer:
        lacks = still_missing(daemon.post(path, forms.yes_body(form, one, typed, seconds)))
        return Answer(f"half a yes: {named}; {lacks}" if lacks else f"approved: {named}")

    def say_no(reason: str) -> Answer:
        daemon.post(path, forms.no_body(one, reason))
        return Answer(f"denied: {named}")

    def look() -> str:
        return forms.over(str(daemon.get(path).get("state", "pending")))

    return Question(form, say_yes, say_no, look)


def roles(daemon: Daemon) -> list[dict[str, Any]]:
    listed = daemon.get("/v1/roles").get("roles")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def to_ask(daemon: Daemon, role: str, *, grant: str = "") -> Question:
    """The question for `role`, or for more time of `grant`, which is one of that role."""
    entry = next((each for each in roles(daemon) if each.get("name") == role), None)
    if entry is None:
        raise Refused(
            f"you may borrow no role named {shown(role, 64)!r}",
            hint="`borrow roles` lists what you may borrow",
            state="policy",
        )
    form = forms.asking(entry, extends=grant)

    def say_yes(typed: Mapping[str, str], seconds: int) -> Answer:
        body: dict[str, Any] = {"role": role, "wait": True}
        body |= {name: value.strip() for name, value in typed.items() if value.strip()}
        body |= {"seconds": seconds} if seconds else {}
        body |= {"grant": grant} if grant else {}
        waiting = Waiting(role, daemon.stream("/v1/extend" if grant else "/v1/ask", body))
        return waiting.begin()

    return Question(form, say_yes)


class Waiting:
    """An open question of one's own. Leaving it ends the looking, not the question."""

    def __init__(self, role: str, stream: Stream) -> None:
        self._role = role
        self._stream = stream
        self._events = stream.events(TICK)
        self.last: dict[str, Any] = {}

    def begin(self) -> Answer:
        """The first thing that is told: granted at once, or that somebody is asked."""
        for told in self.told():
            return Answer(told, None if told else self)
        raise Unavailable("the daemon broke off", hint="`borrow daemon logs` may say why")

    def told(self) -> Iterator[str]:
        """ "" for each change while it is open, then how it ended; raises a refusal."""
        for event in self._events:
            if event is None:
                continue
            match event.get("event"):
                case "waiting" | "seen":
                    self.last = event
                    yield ""
                case "granted":
                    yield f"granted: {self._role}"
                    return
                case "needs":
                    fields = {str(k): str(v) for k, v in mapping(event.get("fields")).items()}
                    wanted = " and ".join(f"{name} ({rule})" for name, rule in fields.items())
                    raise Needs(shown(f"it needs {wanted}", LONGEST), fields=fields)
                case "refused":
                    message, hint = text(event.get("message")), text(event.get("hint"))
                    raise Refused(message or "refused", hint=hint, state=text(event.get("state")))
                case "unavailable":
                    raise Unavailable(text(event.get("message")) or "it cannot be asked now")
                case _:
                    raise Untrusted("the daemon told something unknown", hint="update borrow")

    def leave(self) -> None:
        self._stream.close()

    @property
    def head(self) -> str:
        return f"Asked for {shown(self._role, 64)}"

    @property
    def request(self) -> str:
        return text(self.last.get("request"))

    @property
    def number(self) -> str:
        """The digits, if somebody has to compare or type them."""
        match = self.last.get("match") is True or self.last.get("mode") == "peer"
        return text(self.last.get("number")) if match else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """What is known of it, in sentences."""
        last, peer = self.last, self.last.get("mode") == "peer"
        words = text(last.get("words"))
        people = [shown(each, 60) for each in texts(last.get("asked"))]
        watched = mapping(last.get("seen"))
        halves = [sentence(each) for each in read_halves(watched.get("halves"))]
        told = [
            *halves,
            f"{words}: they see the same number and words" if self.number and peer else "",
            "type this number where you say yes" if self.number and not peer else "",
            f"asked: {_few(people)}" if peer and people else "",
            " · ".join(_eyes(watched)) if peer else "",
            self.request,
        ]
        return tuple(each for each in told if each)

    @property
    def expires_at(self) -> float:
        return float(whole(self.last.get("expires_at")))


def _eyes(watched: Mapping[str, Any]) -> Iterator[str]:
    """`seen by 2`, `ann@example.com is looking`, `usually 38s`: what there is of it."""
    seen, looking = texts(watched.get("seen")), texts(watched.get("looking"))
    usual = whole(watched.get("usual_wait"))
    if seen:
        yield f"seen by {len(seen)}"
    if looking:
        yield f"{_few([shown(each, 60) for each in looking])} is looking"
    if usual > 0:
        yield f"usually answered in {show_duration(usual)}"


def _few(people: list[str]) -> str:
    rest = f" and {len(people) - 3} more" if len(people) > 3 else ""
    return ", ".join(people[:3]) + rest
