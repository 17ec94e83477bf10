"""Who is at a desktop now, by the word of their devices' last events poll.

In memory only, never shown to anybody, and gone a minute and a half after it was said: it orders
whom a question calls first (`waves`), and decides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from borrow.protocol.errors import Untrusted

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["active", "idle", "locked", "absent"]

MEMBER: Final = "urn:borrow:presence"  # of a poll's body
GOOD_FOR: Final = 90.0  # seconds; a device polls at least every 25 s while somebody is there
# Of several devices of one person the first of these counts: they sit before one of them.
STATES: Final[tuple[State, ...]] = ("active", "absent", "idle", "locked")


class Presences:
    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives unix seconds."""
        self._clock = clock
        self._said: dict[str, dict[str, tuple[State, float]]] = {}  # by person, by device

    def note(self, person: str, client_id: str, state: State | None) -> None:
        """None takes back what the device said before."""
        devices = self._said.setdefault(person, {})
        devices.pop(client_id, None)
        if state is not None:
            devices[client_id] = state, self._clock()
        if not devices:
            del self._said[person]

    def of(self, person: str) -> State | None:
        """None: nobody tells."""
        since = self._clock() - GOOD_FOR
        said = {state for state, at in self._said.get(person, {}).values() if at > since}
        return next((state for state in STATES if state in said), None)


def read_presence(value: object) -> State | None:
    """A poll's member, None if it has none. Raises Untrusted for what is no such word."""
    if value is None or value == "":
        return None
    found = next((state for state in STATES if state == value), None)
    if found is None:
        raise Untrusted("the poll is malformed", state="invalid_request")
    return found
