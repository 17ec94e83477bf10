"""Which process holds how many connections, counted when the door has reason to ask.

Below the cap of one process nobody can be over it, so in ordinary use nothing is counted. One pass
over /proc answers for all who wait, and the next one waits a moment for more of them: a flood buys
a pass now and then. What the answer means is the door's to say.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from borrow.daemon.peer import Peer

logger = logging.getLogger(__name__)

# Seconds between two passes.
_PAUSE: Final = 0.025

# Which process holds each of these sockets of that user; called in a thread.
Count = Callable[[Collection[int], int], Mapping[int, int]]


def holders(inodes: Collection[int], uid: int) -> Mapping[int, int]:
    from borrow.daemon.caller import pids_of_inodes  # late: ordinary use never counts

    return pids_of_inodes(inodes, uid)


class Waits(Protocol):
    """A connection that may have to wait for a count."""

    peer: Peer | None
    transport: asyncio.Transport


_V = TypeVar("_V", bound=Waits)


class Census(Generic[_V]):
    """`present` gives the peers that are in; `judge` hears of each one that waited how many
    connections its process holds, and says whether it came in."""

    def __init__(
        self,
        count: Count,
        uid: int,
        present: Callable[[], list[Peer | None]],
        judge: Callable[[_V, int], bool],
    ) -> None:
        self._count = count
        self._uid = uid
        self._present = present
        self._judge = judge
        self._waiting: dict[_V, None] = {}  # in order of arrival
        self._running: asyncio.Future[Mapping[int, int]] | asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> bool:
        return self._running is not None

    def wait(self, visitor: _V) -> None:
        self._waiting[visitor] = None
        if self._running is None:
            self._start()

    def forget(self, visitor: _V) -> None:
        self._waiting.pop(visitor, None)

    def abort_all(self) -> None:
        waiting, self._waiting = list(self._waiting), {}
        for visitor in waiting:
            visitor.transport.abort()

    def _start(self) -> None:
        self._running = None
        if not self._waiting:
            return
        asked = list(self._waiting)
        peers = [*self._present(), *(visitor.peer for visitor in asked)]
        inodes = {peer.inode for peer in peers if peer is not None}
        loop = asyncio.get_running_loop()
        counted = loop.run_in_executor(None, self._count, inodes, self._uid)
        counted.add_done_callback(lambda done: self._after(done, asked))
        self._running = counted

    def _after(self, done: asyncio.Future[Mapping[int, int]], asked: list[_V]) -> None:
        self._running = None
        if done.cancelled():
            return
        if (failure := done.exception()) is not None:
            logger.warning("connections could not be counted", extra={"cause": repr(failure)})
        found: Mapping[int, int] = {} if failure else done.result()
        # Sockets whose holder is not found are counted together: hiding buys no more room.
        held = Counter(_holder(found, peer) for peer in self._present())
        for visitor in asked:
            if self._waiting.pop(visitor, visitor) is visitor or visitor.transport.is_closing():
                continue  # gone, or cut at its deadline, meanwhile
            pid = _holder(found, visitor.peer)
            held[pid] += self._judge(visitor, held[pid])
        if self._waiting:
            self._running = asyncio.get_running_loop().call_later(_PAUSE, self._start)


def _holder(found: Mapping[int, int], peer: Peer | None) -> int:
    return found.get(peer.inode, 0) if peer is not None else 0
