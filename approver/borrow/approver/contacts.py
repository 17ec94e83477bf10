"""When each person's devices last listened: who listens hears of a request without any push.

Kept in memory only, and good for saying who may not be reachable; nothing is decided by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Contacts:
    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives unix seconds."""
        self._clock = clock
        self._last: dict[str, float] = {}

    def note(self, person: str) -> None:
        self._last[person] = self._clock()

    def within(self, seconds: float) -> frozenset[str]:
        """Those whose devices listened within the last `seconds`."""
        since = self._clock() - seconds
        return frozenset(person for person, last in self._last.items() if last > since)
