"""The tray's last word on whether its person is at this desktop, for the events poll.

A word that is not renewed ages out: a tray that ended, a machine that slept. It is a claim of a
program of this person, and orders only whom a question calls first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from borrow.daemon.control import HEARTBEAT, Route, route
from borrow.protocol.errors import Misconfigured
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.moments import Moment
    from borrow.daemon.unixhttp import Answer, Call

STATES: Final = ("active", "idle", "locked", "absent")
GOOD_FOR: Final = 150.0  # seconds; the tray says it once a minute


class Presence:
    def __init__(self, now: Callable[[], Moment]) -> None:
        self._now = now
        self._last: tuple[str, Moment] | None = None

    def tell(self, state: str) -> None:
        """Raises Misconfigured for a word that is none of `STATES`."""
        if state not in STATES:
            raise Misconfigured("no such presence", hint=f"one of {', '.join(STATES)}")
        self._last = state, self._now()

    def __call__(self) -> str:
        """ "" if nothing was told lately."""
        if self._last is None:
            return ""
        state, at = self._last
        return state if self._now().since(at) < GOOD_FOR else ""


def presence_routes(presence: Presence) -> list[Route]:
    async def tell(call: Call, _: str) -> Answer:
        body = Members(call.body, "request")
        state = body.text("state", limit=16)
        body.end()
        presence.tell(state)
        return {"state": state}

    return [route("POST", HEARTBEAT, tell)]
