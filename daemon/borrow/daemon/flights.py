"""A flight: one question on its way to the approver, and all who wait for its answer.

It is detached from connections: a client that gives up and comes back finds it again. Its life is
one table; `broker` drives it, and whoever shows it (terminal, tray, `borrow ask`) waits for its
changes here. No clock and no IO.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.errors import BorrowError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Grant
    from borrow.daemon.catalogue import RoleFacts
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Deadline, Moment


class FlightState(StrEnum):
    ASKING = "asking"  # not acknowledged yet: signing, or the approver is out of reach
    NEEDS = "needs"  # the rule wants a reason or a ticket first
    PENDING = "pending"
    GRANTED = "granted"
    REFUSED = "refused"


_NEXT: Final[dict[FlightState, frozenset[FlightState]]] = {
    FlightState.ASKING: frozenset(
        {FlightState.NEEDS, FlightState.PENDING, FlightState.GRANTED, FlightState.REFUSED}
    ),
    FlightState.NEEDS: frozenset({FlightState.ASKING, FlightState.REFUSED}),
    # A yes whose answer was lost on the way is asked for again.
    FlightState.PENDING: frozenset({FlightState.ASKING, FlightState.GRANTED, FlightState.REFUSED}),
    FlightState.GRANTED: frozenset(),
    FlightState.REFUSED: frozenset(),
}


@dataclass(slots=True)
class Asked:
    """What the request says besides role and caller. `seconds` 0 is the rule's maximum."""

    reason: str = ""
    ticket: str = ""
    seconds: int = 0


class Flight:
    """See the module. `context` is the caller's `request_context`; `extends` a grant id or ""."""

    def __init__(
        self,
        group: Group,
        facts: RoleFacts,
        asked: Asked,
        *,
        number: str,
        words: str,
        since: Moment,
        context: dict[str, Any],
        extends: str = "",
        deliberate: bool = False,
    ) -> None:
        self.group = group
        self.facts = facts
        self.asked = asked
        self.number = number
        self.words = words
        self.since = since
        self.context = context
        self.extends = extends
        # Asked for by a person, or cut by our own limit: it stays open without waiters.
        self.deliberate = deliberate
        self.accepted = False  # of an offer: the session's fetches wait for it
        self.chosen = 0  # by a person for the session, as in Grant
        self.state = FlightState.ASKING
        self.request = ""
        self.joined = False  # the approver had an equal question; the reason given there stays
        self.auth_req_id = ""
        self.mode = ""
        self.people: tuple[str, ...] = ()
        self.seen: dict[str, Any] = {}
        self.needs: dict[str, str] = {}
        self.trouble = ""  # why the approver is not reached at the moment
        self.ends: Deadline | None = None
        self.waiters = 0
        self.crowds: list[Callable[[], int]] = []  # calls that wait behind one waiter, each
        self.watchers = 0
        self.listeners = 0  # waiters that are told in the group's terminal
        self.grant: Grant | None = None
        self.error: BorrowError | None = None
        self.stop: Callable[[], object] = lambda: None
        self._changed = asyncio.Event()
        self._fed = asyncio.Event()
        self._over = asyncio.Event()

    @property
    def over(self) -> bool:
        return not _NEXT[self.state]

    @property
    def wanted(self) -> bool:
        return self.deliberate or self.waiters > 0

    @property
    def calls(self) -> int:
        """How many wait for the answer, to be told to people."""
        return self.waiters + sum(more() for more in self.crowds)

    def move(self, state: FlightState) -> None:
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"a flight cannot go from {self.state} to {state}")
        self.state = state
        self.touch()
        if self.over:
            self._over.set()

    def touch(self) -> None:
        """Tell everybody who shows this flight that something about it changed."""
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def changed(self) -> None:
        await self._changed.wait()

    def grant_it(self, grant: Grant) -> None:
        self.grant = grant
        self.move(FlightState.GRANTED)

    def refuse(self, error: BorrowError) -> None:
        self.error = error
        self.move(FlightState.REFUSED)

    def feed(self, asked: Asked) -> None:
        """Somebody gives what the rule needs; with anything new, the question goes out again."""
        fuller = Asked(
            asked.reason or self.asked.reason,
            asked.ticket or self.asked.ticket,
            asked.seconds or self.asked.seconds,
        )
        if self.state is FlightState.NEEDS and fuller != self.asked:
            self.asked = fuller
            self.needs = {}
            self.move(FlightState.ASKING)
            self._fed.set()

    async def fed(self) -> None:
        await self._fed.wait()
        self._fed.clear()

    async def result(self) -> Grant:
        """The grant, or the error it ended with. Waiting does not keep the flight in the air."""
        await self._over.wait()  # not for each change: a thousand may wait here
        if self.grant is not None:
            return self.grant
        error = self.error or Refused("the request was withdrawn", state="cancelled")
        raise error.with_traceback(None)  # shared by all waiters: its traceback must not grow


def unique_number(draw: int, taken: frozenset[str]) -> str:
    """Three digits from the random `draw`, different from those of our other pending requests."""
    for step in range(1000):
        number = f"{(draw + step) % 1000:03d}"
        if number not in taken:
            return number
    raise Refused("too many requests are open at once", hint="answer or cancel some")
