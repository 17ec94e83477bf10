"""Whether an agent is behind a bearer that was given to a person.

A bearer is inherited: an agent that is started in a shell with one has it too, and must make its
own requests all the same. So before a person's bearer is served, the process behind the connection
is looked up. That takes a scan of /proc, in a thread; a process that was seen to be no agent's is
recognised by its descriptors alone for a few seconds, and its connection for as long.

Where the process is not found (no /proc, or hidden from us), the bearer says who it is.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.daemon import procfs
from borrow.daemon.caller import pid_of_inode, who_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.groups import Group
    from borrow.daemon.peer import Peer

BELIEVED: Final = 5.0  # seconds; a process may become another program by exec
_PEOPLE: Final = 4  # processes recognised at once: each costs a look at its descriptors
_CONNECTIONS: Final = 256


class _Known(NamedTuple):
    pid: int
    start: int  # clock ticks since boot: a number may be another process's meanwhile
    until: float


@dataclass(frozen=True, slots=True)
class Agent:
    """Whose the call really is. `sid` and `start` name its session, 0 if unknown."""

    name: str
    sid: int
    start: int
    tty: str = ""

    def of(self, group: Group) -> Group:
        """The agent's own group for the role of `group`."""
        if not group.sid:  # IMDS, which has no sessions
            return replace(group, agent=self.name)
        sid, start = (self.sid, self.start) if self.sid else (group.sid, group.start)
        return replace(group, sid=sid, start=start, tty=self.tty, agent=self.name)


class Agents:
    """`clock` is in monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._people: list[_Known] = []  # the latest last
        self._clear: dict[int, float] = {}  # by inode

    def cleared(self, peer: Peer | None) -> bool:
        """Whether `peer` is known to be no agent's. No thread and no scan: the hot path asks."""
        if peer is None:
            return True  # the system does not tell
        now = self._clock()
        if self._clear.get(peer.inode, 0.0) > now:
            return True
        link = f"socket:[{peer.inode}]"
        for one in reversed(self._people):
            if one.until <= now or not procfs.holds(one.pid, link):
                continue
            seen = procfs.stat_of(one.pid)
            if seen is not None and seen.start == one.start:
                self._clears(peer.inode, one.until)
                return True
        return False

    async def behind(self, peer: Peer | None) -> Agent | None:
        """The agent behind a connection; None for a person's program, or if nobody knows."""
        if peer is None or self.cleared(peer):
            return None
        return await asyncio.to_thread(self._look, peer)

    def _look(self, peer: Peer) -> Agent | None:
        pid = pid_of_inode(peer.inode, peer.uid)
        before = procfs.stat_of(pid) if pid is not None else None
        if pid is None or before is None:
            return None
        session, name = who_of(pid)
        if name:
            return (
                Agent(name, session.sid, session.leader_start, session.tty)
                if session is not None
                else Agent(name, 0, 0)
            )
        until = self._clock() + BELIEVED
        self._people = [one for one in self._people if one.pid != pid][-(_PEOPLE - 1) :]
        self._people.append(_Known(pid, before.start, until))
        self._clears(peer.inode, until)
        return None

    def _clears(self, inode: int, until: float) -> None:
        while len(self._clear) >= _CONNECTIONS:
            self._clear.pop(next(iter(self._clear)))
        self._clear[inode] = until
