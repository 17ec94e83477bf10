"""The waiting line in the caller's own terminal, while its SDK call is held.

A call that is answered soon is told in one line if it was granted: every grant is noticed, with the
way to say "that was not me". For one that waits longer a line stands there and counts down in
place; it is ended when what it says changes, and the outcome follows at once, so that the program's
next output comes after it. What others write meanwhile begins below it. Where no line can be
redrawn (a full-screen program, a second question in the same terminal) each change is one plain
line. `terminal` decides whether the terminal is really the caller's, escapes what people and
servers wrote, and cuts to its width.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from borrow.daemon.flights import Flight, FlightState
from borrow.daemon.terminal import Drawn, Live
from borrow.protocol.durations import show_duration
from borrow.protocol.halves import read_halves, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Grant
    from borrow.daemon.caller import Session
    from borrow.daemon.events import Notice
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment

QUIET: Final = 0.7  # seconds in which an answer needs no line: a grant by policy, a quick yes
TICK: Final = 1.0  # seconds between two looks at the countdown

_REMEMBERED: Final = 64  # ended questions whose late notices are recognised

# Kinds of notice that say what the line said already, or what nobody had to wait for.
_OUTCOMES: Final = frozenset(
    {"grant_opened", "grant_resumed", "request_denied", "request_expired", "request_cancelled"}
)


class Say(Protocol):
    """Write one whole line; `after_live` ends the line that is being redrawn first."""

    def __call__(
        self, session: Session, line: str, *, after_live: bool = False, bell: bool = False
    ) -> bool: ...


class Draw(Protocol):
    """Redraw the open line; `after_live` ends it first and starts another."""

    def __call__(self, session: Session, line: Live, *, after_live: bool = False) -> Drawn: ...


# -- what is said ----------------------------------------------------------------------------------


def waiting_line(flight: Flight, now: Moment) -> str:
    """What the flight waits for, in one line without line end."""
    role = flight.facts.name
    if flight.state is FlightState.NEEDS:
        want = " and ".join(f"a {name}" for name in flight.needs) or "a reason"
        options = "".join(_OPTIONS.get(name, "") for name in flight.needs) or _OPTIONS["reason"]
        return f"borrow: {role} needs {want} first: borrow ask {role}{options}"
    if flight.trouble:
        return f"borrow: {role} waits · {flight.trouble}, trying again"
    if flight.state is FlightState.ASKING:
        return f"borrow: {role} waits for the approver"
    return live_line(flight, now).whole()


def live_line(flight: Flight, now: Moment) -> Live:
    """The countdown of a question that people have before them."""
    left = () if flight.ends is None else (f"{_clock(flight.ends.left(now))} left",)
    more = [flight.request, *_seen(flight)]
    if flight.mode == "self":
        more.append(_where(flight))
    return Live(
        head=f"borrow: {flight.facts.name} {_half(flight) or 'waits for ' + _whom(flight)}",
        needed=(f"number {flight.number}", *left),
        more=tuple(more),
    )


def outcome_line(flight: Flight, now: Moment) -> str:
    role = flight.facts.name
    if flight.grant is not None:
        lasts = _lasts(flight.grant.ends.left(now))
        how = "granted by policy" if flight.mode == "auto" else "granted"
        return f"borrow: {role} {how} for {lasts} · not you? borrow not-me {flight.grant.grant_id}"
    error = flight.error
    why = error.message if error is not None else "the request was withdrawn"
    named = f" · {flight.request}" if flight.request not in why else ""
    hint = f" · {error.hint}" if error is not None and error.hint else ""
    return f"borrow: {role} refused: {why}{named}{hint}"


def shared_line(group: Group, grant: Grant) -> str:
    return (
        f"borrow: {group.role} is lent from another session of this machine · {grant.grant_id}"
        f" · not you? borrow not-me {grant.grant_id}"
    )


_OPTIONS: Final = {"reason": ' -m "…"', "ticket": " --ticket …"}


def _whom(flight: Flight) -> str:
    if flight.mode == "self":
        return "you"
    people = flight.people
    if not people:
        return "the approvers"
    more = f" and {len(people) - 2} more" if len(people) > 2 else ""
    return ", ".join(people[:2]) + more


def _half(flight: Flight) -> str:
    """What the first of those said who gave a part of a yes, "" if nobody did."""
    halves = read_halves(flight.seen.get("halves"))
    return f"waits · {sentence(halves[0])}" if halves else ""


def _where(flight: Flight) -> str:
    """Where one's own yes can be said: a code or a click here, a key on the device that has it."""
    here = _HERE.intersection(flight.facts.factors)
    return f"borrow approve {flight.request}" if here else "answer on your other device"


_HERE: Final = frozenset({"consent", "totp"})


def _seen(flight: Flight) -> list[str]:
    """How far it has got with people, and how long that usually takes."""
    looking, seen = flight.seen.get("looking"), flight.seen.get("seen")
    usual = flight.seen.get("usual_wait")
    told = []
    if isinstance(seen, list) and seen and flight.mode != "self":
        told.append(f"seen by {len(seen)}")
    if isinstance(looking, list) and looking:
        told.append(f"{looking[0]} is looking")
    if isinstance(usual, int) and usual > 0 and flight.mode != "self":
        told.append(f"usually {show_duration(usual)}")
    return told


def _lasts(seconds: float) -> str:
    """To the minute, where that is near enough."""
    return show_duration(round(seconds / 60) * 60 if seconds >= 120 else max(1, round(seconds)))


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


# -- when it is said -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Told:
    """What one flight's terminal was told. `heard`: somebody waits there, or did to the end."""

    heard: bool = False
    called: bool = False  # by a program's own fetch: nobody else tells its person of the grant
    live: bool = False  # our line is the open one
    line: str = ""
    steady: tuple[object, ...] = ()  # of the line, without what changes by itself


@dataclass(frozen=True, slots=True)
class _Ended:
    session: Session
    request: str
    grant: str


class Teller:
    """One daemon's waiting lines. `quiet` and `tick` are seconds."""

    def __init__(
        self,
        say: Say,
        draw: Draw,
        now: Callable[[], Moment],
        *,
        quiet: float = QUIET,
        tick: float = TICK,
    ) -> None:
        self._say = say
        self._draw = draw
        self._now = now
        self._quiet = quiet
        self._tick = tick
        self._followed: dict[Flight, _Told] = {}
        self._live: dict[str, Flight] = {}  # whose line is redrawn, by terminal
        self._ended: deque[_Ended] = deque(maxlen=_REMEMBERED)

    async def follow(self, flight: Flight) -> None:
        """Until the flight ends: its line, and then its outcome, in the terminal of its group."""
        told = self._followed[flight] = _Told()
        loop = asyncio.get_running_loop()
        loud = loop.time() + self._quiet
        try:
            while not flight.over:
                told.heard = flight.listeners > 0 or flight.watchers > 0
                told.called = flight.listeners > 0
                if loop.time() >= loud and flight.listeners:
                    self._show(flight, told)
                await self._change(flight, max(loud - loop.time(), 0.0) or self._tick)
            granted = flight.grant is not None
            if (told.line and (told.heard or granted)) or (told.called and granted):
                self._say(
                    flight.group.session,
                    outcome_line(flight, self._now()),
                    after_live=told.live,
                    bell=granted and told.line != "",
                )
        finally:
            self._forget(flight, told)

    def has_told(self, session: Session, notice: Notice) -> bool:
        """Whether `notice` only repeats what a program or a command in `session` hears anyhow."""
        if notice.kind not in _OUTCOMES:
            return False
        for flight, told in self._followed.items():
            # Before its acknowledgement a flight has no id to know it by: the role must do.
            same = flight.request in (notice.request, "") and flight.facts.name == notice.role
            if same and told.heard and flight.group.session == session:
                return True
        return any(
            each.session == session
            and (each.request == notice.request or each.grant == notice.grant != "")
            for each in self._ended
        )

    async def _change(self, flight: Flight, within: float) -> None:
        try:
            # Without listeners nothing is drawn, so no clock need tick.
            async with asyncio.timeout(within if flight.listeners else None):
                await flight.changed()
        except TimeoutError:
            return

    def _show(self, flight: Flight, told: _Told) -> None:
        session, now = flight.group.session, self._now()
        line = waiting_line(flight, now)
        if line == told.line:
            return
        who = (_half(flight), _whom(flight), *_seen(flight))
        steady = (flight.state, flight.trouble, flight.request, *who)
        changed = steady != told.steady
        counts = flight.state is FlightState.PENDING and not flight.trouble
        if counts and self._live.setdefault(session.tty, flight) is flight:
            after = told.live and changed
            drawn = self._draw(session, live_line(flight, now), after_live=after)
            told.live = drawn is Drawn.YES or (told.live and not after)
            if drawn is not Drawn.NOT_HERE:
                told.line, told.steady = line, steady
                return
        if changed:
            self._say(session, line, after_live=told.live)
            told.live = False
            told.line, told.steady = line, steady

    def _forget(self, flight: Flight, told: _Told) -> None:
        session = flight.group.session
        del self._followed[flight]
        if self._live.get(session.tty) is flight:
            del self._live[session.tty]
        if told.heard:
            grant = flight.grant.grant_id if flight.grant is not None else ""
            self._ended.append(_Ended(session, flight.request, grant))
