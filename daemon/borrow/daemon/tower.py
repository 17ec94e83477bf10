"""The tower: every open question of this daemon, one for each caller group and role.

Who joins whom, what a leaving client means and what a no is worth afterwards are its rules. What a
question goes through on its way is `asking`'s, and who has to ask at all the broker's.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from borrow.daemon.flights import Asked, Flight, unique_number
from borrow.protocol.errors import BorrowError, Refused, Unavailable
from borrow.protocol.ids import words

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from borrow.daemon.asking import Pilot
    from borrow.daemon.cache import Cache, Grant
    from borrow.daemon.catalogue import Catalogue
    from borrow.daemon.denials import Denials
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment
    from borrow.daemon.tasks import Spawn

logger = logging.getLogger(__name__)


class Cancels(Protocol):
    async def cancel(self, auth_req_id: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Caller:
    """Who fetches. `describe` looks the process up, only if a question has to be asked."""

    group: Group
    via: str
    asked: Asked
    describe: Callable[[], Awaitable[dict[str, Any]]]
    terminal: bool = False  # lines about the wait go to the group's tty
    more: Callable[[], int] = lambda: 0  # calls that wait behind this one


class Tower:
    """`wake` starts the events poll, `where` is the machine and its user in each request; `grace`
    is how many seconds a question stays whose last client left by itself."""

    def __init__(
        self,
        pilot: Pilot,
        approver: Cancels,
        catalogue: Catalogue,
        cache: Cache,
        denials: Denials,
        *,
        now: Callable[[], Moment],
        entropy: Callable[[int], bytes],
        spawn: Spawn,
        where: dict[str, str],
        grace: float,
        wake: Callable[[], None],
        on_flight: Callable[[Flight], None],
    ) -> None:
        self._pilot = pilot
        self._approver = approver
        self._catalogue = catalogue
        self._cache = cache
        self._denials = denials
        self._now = now
        self._entropy = entropy
        self._spawn = spawn
        self._where = where
        self._grace = grace
        self._wake = wake
        self._on_flight = on_flight
        self._flights: dict[str, Flight] = {}

    @property
    def flights(self) -> tuple[Flight, ...]:
        return tuple(self._flights.values())

    def of(self, group: Group) -> Flight | None:
        return self._flights.get(group.key)

    async def join(self, caller: Caller, group: Group, *, chosen: int = 0) -> None:
        """Wait for the answer to the group's question, asking it if nobody has; raises a no."""
        flight = self._flights.get(group.key) or await self.start(caller, group, deliberate=False)
        flight.chosen = max(flight.chosen, chosen)
        flight.waiters += 1
        flight.listeners += caller.terminal
        flight.crowds.append(caller.more)
        flight.touch()
        try:
            await flight.result()
        finally:
            flight.waiters -= 1
            flight.listeners -= caller.terminal
            flight.crowds.remove(caller.more)
            self._after_leaving(flight)

    async def start(
        self, caller: Caller, group: Group, *, deliberate: bool, extends: Grant | None = None
    ) -> Flight:
        """Ask; the flight that is there if another caller was faster. Raises a recent no again."""
        if not deliberate and (denied := self._denials.recall(group.key, self._now())):
            raise denied.with_traceback(None)
        facts = await self._catalogue.role(group.role)
        context = await self._context(caller, group)
        # The awaits above let others in: whoever was first has started it.
        if existing := self._flights.get(group.key):
            return existing
        taken = frozenset(flight.number for flight in self.flights)
        flight = Flight(
            group,
            facts,
            caller.asked,
            number=unique_number(int.from_bytes(self._entropy(4)) % 1000, taken),
            words=words(self._entropy(4)),
            since=self._now(),
            context=context,
            extends=extends.grant_id if extends else "",
            deliberate=deliberate,
        )
        self._flights[group.key] = flight
        flight.stop = self._spawn(self._fly(flight))
        self._on_flight(flight)
        self._wake()
        return flight

    async def _context(self, caller: Caller, group: Group) -> dict[str, Any]:
        process = await caller.describe()
        agent = group.agent or str(process.pop("agent", ""))
        process.pop("agent", None)
        context: dict[str, Any] = {
            **self._where,
            "via": caller.via,
            "group": group.id,
            "process": process,
        }
        return context | ({"agent": agent[:64]} if agent else {})

    async def _fly(self, flight: Flight) -> None:
        """A flight's task: whatever happens, its waiters get an answer."""
        stop_looking = self._spawn(self._pilot.look(flight))
        error: BorrowError = Unavailable("the request ended without an answer", state="internal")
        try:
            grant = await self._pilot.fly(flight)
            error = self._land(flight, grant) or error
        except BorrowError as exc:
            error = exc
        except asyncio.CancelledError:
            if not flight.over:  # withdrawn, or we stop: no answer worth remembering
                flight.refuse(Refused("the request was withdrawn", state="cancelled"))
            raise
        except Exception:
            logger.exception("a flight failed", extra={"request": flight.request})
        finally:
            stop_looking()
            if self._flights.get(flight.group.key) is flight:
                del self._flights[flight.group.key]
            if not flight.over:
                self._refuse(flight, error)

    def _land(self, flight: Flight, grant: Grant) -> BorrowError | None:
        """Take the grant in. What was revoked while the answer travelled is not taken in."""
        now = self._now()
        if flight.extends:
            self._cache.end(flight.extends, now)  # replaced; the minter has released it
        if not self._cache.open(grant, now):
            return Refused("the grant is over already", state="revoked", request=flight.request)
        self._denials.forget(flight.group.key)
        logger.info("granted", extra={"request": flight.request, "grant": grant.grant_id})
        self._flights.pop(flight.group.key, None)
        flight.grant_it(grant)
        return None

    def _refuse(self, flight: Flight, error: BorrowError) -> None:
        if isinstance(error, Refused):
            if not error.request:
                error.request = flight.request
            self._denials.remember(flight.group.key, error, self._now(), reason=flight.asked.reason)
        else:
            self._denials.remember_failure(flight.group.key, error, self._now())
        logger.info("refused", extra={"request": flight.request, "why": error.state})
        flight.refuse(error)

    def _after_leaving(self, flight: Flight) -> None:
        flight.touch()
        if not flight.wanted and not flight.over:
            asyncio.get_running_loop().call_later(self._grace, self._withdraw_unless_wanted, flight)

    def _withdraw_unless_wanted(self, flight: Flight) -> None:
        if flight.wanted or flight.over or self._flights.get(flight.group.key) is not flight:
            return
        self._withdraw(flight)

    async def take_back(self, request: str) -> None:
        """End an open question because its person says so; the approver counts no denial.

        First at the approver: while it cannot be reached the question stays, here and there.
        """
        flight = next((each for each in self.flights if each.request == request != ""), None)
        if flight is None:
            raise Refused(
                f"no open request {request} of this daemon",
                hint=f"`borrow deny {request}` ends one that was asked before it started",
                state="not_found",
            )
        await self._approver.cancel(flight.auth_req_id)
        if not flight.over:
            # Remembered like a refusal: the retries of the programs that waited must not ask anew.
            self._refuse(flight, Refused("the request was withdrawn", state="cancelled"))
            self._flights.pop(flight.group.key, None)
            flight.stop()

    def _withdraw(self, flight: Flight) -> None:
        """Nobody waits any more: forget the question here, and cancel it at the approver."""
        self._flights.pop(flight.group.key, None)
        flight.stop()
        if flight.auth_req_id:
            self._spawn(self._cancel(flight.auth_req_id))

    async def _cancel(self, auth_req_id: str) -> None:
        try:
            await self._approver.cancel(auth_req_id)
        except BorrowError as exc:
            logger.info("a request could not be cancelled", extra={"why": exc.state})
