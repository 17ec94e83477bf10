"""The offer to extend, made before a grant ends: one line in its session's terminal.

A watcher follows each grant by the daemon's clocks and sleeps in short pieces, because a sleep
counts neither a suspend nor a clock that was set.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Cache, Grant
    from borrow.daemon.caller import Session
    from borrow.daemon.flights import Flight
    from borrow.daemon.moments import Moment

LEAD: Final = 600.0  # seconds before the end, or a quarter of the life of a shorter grant
LOOK_EVERY: Final = 15.0  # seconds


class Endings:
    """`tell` writes a line to a session's terminal."""

    def __init__(
        self,
        cache: Cache,
        now: Callable[[], Moment],
        tell: Callable[[Session, str], None],
        look_every: float = LOOK_EVERY,
    ) -> None:
        self._cache = cache
        self._now = now
        self._tell = tell
        self._look_every = look_every
        self._offered: dict[str, str] = {}  # grant id -> the command that extends it

    def offers(self) -> dict[str, str]:
        """By grant id, of grants that live: an extension has ended the grant it replaces."""
        live = {grant.grant_id for grant in self._cache.live(self._now())}
        self._offered = {each: line for each, line in self._offered.items() if each in live}
        return self._offered

    async def follow(self, flight: Flight) -> None:
        """Until the flight's grant is offered for extension, or over."""
        try:
            grant = await flight.result()
        except BorrowError:
            return
        lead = min(LEAD, grant.ends.left(self._now()) / 4)
        while self._lives(grant):
            left = grant.ends.left(self._now())
            if left <= lead:
                self._offer(grant, flight, left)
                return
            await asyncio.sleep(min(left - lead, self._look_every))

    def _lives(self, grant: Grant) -> bool:
        return any(each.grant_id == grant.grant_id for each in self._cache.live(self._now()))

    def _offer(self, grant: Grant, flight: Flight, left: float) -> None:
        how = f"borrow extend {grant.role} 30m"
        self._offered[grant.grant_id] = how
        command = command_of(flight.context)
        using = f" · used by {command}" if command else ""
        ends = show_duration(max(60, round(left / 60) * 60))
        self._tell(flight.group.session, f"borrow: {grant.role} ends in {ends}: {how}{using}")


def command_of(context: dict[str, Any]) -> str:
    """The masked command line of the process that asked, cut; "" if it is not known."""
    process = context.get("process")
    argv = process.get("argv") if isinstance(process, dict) else None
    if isinstance(argv, list):
        return " ".join(str(each) for each in argv)[:80]
    return argv[:80] if isinstance(argv, str) else ""
