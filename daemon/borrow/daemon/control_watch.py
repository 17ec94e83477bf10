"""`GET /v1/watch`: the whole state, once now and again whenever it changes; what the tray follows.

While somebody watches, the events poll stays open, so that an idle machine hears what is asked of
its person. What waits for them is listed anew when an event says so, and every few seconds while
something waits: others may answer it first, and nobody is told of that.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.control import Parts, Route, route, status_of
from borrow.daemon.unixhttp import Answer, Call, Stream
from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from borrow.daemon.flights import Flight
    from borrow.daemon.unixhttp import Send

LOOK_EVERY: Final = 5.0  # seconds between looks at what ends by the clock alone
LIST_EVERY: Final = 3.0  # seconds between two lists while something waits for this person
LIST_IDLE: Final = 120.0  # seconds between two lists while nothing does and no event came
# Members of the status that count up by themselves.
_COUNTERS: Final = ("contact_age", "served", "refused", "csm")


class Watchers:
    """Wakes those who watch. One daemon's; no module state."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = 0  # rises with each event that may change what waits for this person
        self._changed = asyncio.Event()

    def touch(self, *, asked: bool = False) -> None:
        self.asked += asked
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def changed(self, within: float) -> None:
        """Until something changed, `within` seconds at most."""
        try:
            async with asyncio.timeout(within):
                await self._changed.wait()
        except TimeoutError:
            return

    async def follow(self, flight: Flight) -> None:
        while not flight.over:
            await flight.changed()
            self.touch(asked=flight.mode == "self")


def watch_routes(parts: Parts, watchers: Watchers) -> list[Route]:
    async def watch(call: Call, _: str) -> Answer:
        async def run(send: Send) -> None:
            watchers.count += 1
            parts.poll.wake()
            try:
                await _watch(parts, watchers, send)
            finally:
                watchers.count -= 1

        return Stream(run)

    return [route("GET", r"/v1/watch", watch)]


async def _watch(parts: Parts, watchers: Watchers, send: Send) -> None:
    waiting: list[dict[str, Any]] = []
    trouble: BorrowError | None = None
    last: dict[str, Any] = {}
    listed_at, asked = -LIST_IDLE, -1
    loop = asyncio.get_running_loop()
    while True:
        every = LIST_EVERY if waiting or trouble is not None else LIST_IDLE
        due = loop.time() - listed_at >= every
        if parts.config.enrolled and (due or asked != watchers.asked):
            asked, listed_at = watchers.asked, loop.time()
            try:
                waiting, trouble = await _waiting(parts), None
            except BorrowError as exc:
                trouble = exc  # what was known stays: it is better than nothing
        told = _state(parts, waiting, trouble or parts.poll.trouble)
        steady = {key: value for key, value in told.items() if key not in _COUNTERS}
        steady["contact"] = told["contact_age"] is not None
        if steady != last:
            await send(json.dumps(told).encode() + b"\n")
            last = steady
        if asked == watchers.asked:  # else an event came while we listed
            await watchers.changed(min(LOOK_EVERY, every))


async def _waiting(parts: Parts) -> list[dict[str, Any]]:
    found = await parts.upstream.decisions()
    waiting = [each for each in found if each.get("state", "pending") == "pending"]
    parts.inbox.count = sum(1 for each in waiting if each.get("mine") is not True)
    return waiting


def _state(
    parts: Parts, waiting: list[dict[str, Any]], trouble: BorrowError | None
) -> dict[str, Any]:
    told = status_of(parts)
    for each in (*told["grants"], *told["asks"]):
        if each["expires_at"] is not None:
            each["expires_at"] = round(each["expires_at"])
    problem = {"state": trouble.state, "message": trouble.message} if trouble else None
    return told | {"decisions": waiting, "trouble": problem}
