"""Who waits for what: a bell per held call, rung when one of its subjects changes.

A held call listens first and looks second, so no change falls between; what it looks at is the
minter's state, never the bell. One slot holds one call: a newer poll of the same thing makes the
older one answer (CIBA: no two overlapping polls of one `auth_req_id`). Closing rings everything.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Bell:
    """`superseded`: a newer call took this slot. `closing`: the approver stops."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.superseded = False
        self.closing = False

    @property
    def must_end(self) -> bool:
        return self.superseded or self.closing

    def ring(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> None:
        """Until it rings, at most `seconds`. A ring counts for the next look only."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            pass
        else:
            self._event.clear()


class Waiting:
    """All held calls of one approver, at most `most`, and `each` of one device."""

    def __init__(self, *, most: int, each: int) -> None:
        self._most = most
        self._each = each
        self._closing = False
        self._slots: dict[str, Bell] = {}
        self._listening: defaultdict[str, set[Bell]] = defaultdict(set)
        self._held: Counter[str] = Counter()
        self.count = 0

    @contextmanager
    def hold(self, slot: str, subjects: Iterable[str], *, owner: str) -> Iterator[Bell]:
        """A bell for the one call in `slot`; an older call there is superseded."""
        older = self._slots.get(slot)
        if older is not None:
            older.superseded = True
            older.ring()
        elif self._held[owner] >= self._each or self.count >= self._most:
            raise Unavailable("too many calls wait here already", state="slow_down", retry_after=5)
        with self.watch(subjects) as bell:
            self._slots[slot] = bell
            self._held[owner] += 1
            self.count += 1
            try:
                yield bell
            finally:
                self._leave(bell, slot, owner)

    @contextmanager
    def watch(self, subjects: Iterable[str]) -> Iterator[Bell]:
        """A bell for a task of our own: no slot, and not counted among the held calls."""
        wanted = tuple(subjects)
        bell = Bell()
        bell.closing = self._closing
        if self._closing:
            bell.ring()
        for subject in wanted:
            self._listening[subject].add(bell)
        try:
            yield bell
        finally:
            for subject in wanted:
                self._listening[subject].discard(bell)
                if not self._listening[subject]:
                    del self._listening[subject]

    def ring(self, subjects: Iterable[str]) -> None:
        for subject in subjects:
            for bell in self._listening.get(subject, ()):
                bell.ring()

    def close(self) -> None:
        """Every held call answers now, and later ones do not wait."""
        self._closing = True
        for bells in tuple(self._listening.values()):
            for bell in bells:
                bell.closing = True
                bell.ring()

    def _leave(self, bell: Bell, slot: str, owner: str) -> None:
        if self._slots.get(slot) is bell:
            del self._slots[slot]
        self._held[owner] -= 1
        self.count -= 1
        if self._held[owner] <= 0:
            del self._held[owner]
