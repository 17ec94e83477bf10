"""Whether an agent is behind a bearer that was given to a person.

A bearer is inherited: an agent that is started in a shell with one has it too, and must make its
own requests all the same. So before a person's bearer is served, the process behind the connection
is looked up. That takes a scan of /proc, in a thread; a process that was seen to be no agent's is
recognised by one descriptor for a few seconds, and its connection for as long.

Where the process is not found (no /proc, or hidden from us), the bearer says who it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from borrow.daemon import procfs
from borrow.daemon.caller import holders_of_inodes, who_of
from borrow.daemon.peer import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from borrow.daemon.groups import Group
    from borrow.daemon.tasks import Spawn

BELIEVED: Final = 5.0  # seconds; a process may become another program by exec
_PEOPLE: Final = 4  # processes recognised at once: each costs a look at its descriptors
_CONNECTIONS: Final = 4096
_LOOKS: Final = 3  # for a socket that is not found


class _Person:
    """A process that is no agent's. Its folder in /proc is held open, so that another process with
    its number is never taken for it."""

    def __init__(self, pid: int) -> None:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self._folder = os.open(f"{procfs.PROC}/{pid}/fd", flags)
        self._last = ""  # the descriptor of the latest connection: the next one's, as a rule

    def holds(self, link: str, *, at_once: bool = False) -> bool:
        if self._is(self._last, link):
            return True
        return not at_once and any(self._is(each, link) for each in self._numbers())

    def links(self) -> set[str]:
        """What its descriptors point at now."""
        found = set()
        for number in self._numbers():
            with contextlib.suppress(OSError):
                found.add(os.readlink(number, dir_fd=self._folder))
        return found

    def _is(self, number: str, link: str) -> bool:
        try:
            found = bool(number) and os.readlink(number, dir_fd=self._folder) == link
        except OSError:
            return False
        if found:
            self._last = number
        return found

    def _numbers(self) -> list[str]:
        try:
            return sorted(os.listdir(self._folder), key=int, reverse=True)  # noqa: PTH208
        except (OSError, ValueError):
            return []

    def close(self) -> None:
        os.close(self._folder)


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
    """What is known of the connections of now. `spawn` owns the looks."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._people: list[_Person] = []  # the latest last
        self._clear: set[int] = set()  # inodes
        self._waiting: dict[Peer, asyncio.Future[Agent | None]] = {}
        self._looking = False

    def cleared(self, peer: Peer | None) -> bool:
        """Whether `peer` is known to be no agent's. No thread and no scan: the hot path asks."""
        if peer is None or peer.inode in self._clear:
            return True  # without a peer the system does not tell
        link = f"socket:[{peer.inode}]"
        # While somebody looks anyhow, what is not found at once is left to them.
        if any(person.holds(link, at_once=self._looking) for person in reversed(self._people)):
            self._clears(peer.inode)
            return True
        return False

    def count(self, inodes: Collection[int], uid: int) -> dict[int, int]:
        """Which process holds each socket, for the door: it passes over all descriptors as well,
        so whoever waits at the door need not be looked for again. Blocks."""
        held = holders_of_inodes(inodes, uid)
        found = _look_at_holders(
            {Peer(uid, inode): pids for inode, pids in held.items() if inode not in self._clear}
        )
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._take_in, {}, found)
        return {inode: pids[0] for inode, pids in held.items()}

    async def behind(self, peer: Peer | None) -> Agent | None:
        """The agent behind a connection; None for a person's program, or if nobody knows."""
        if peer is None:
            return None
        if self.cleared(peer):
            return None
        return await asyncio.shield(self._ask(peer))

    def _ask(self, peer: Peer) -> asyncio.Future[Agent | None]:
        told = self._waiting.get(peer)
        if told is None:
            told = self._waiting[peer] = asyncio.get_running_loop().create_future()
        if not self._looking:
            self._spawn(self._look_at_all())
            self._looking = True
        return told

    async def _look_at_all(self) -> None:
        """One look for all who came meanwhile: each costs a pass over all descriptors."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, {}
                try:
                    found = await asyncio.to_thread(_look, tuple(batch))
                    self._take_in(batch, found)
                finally:
                    for told in batch.values():
                        if not told.done():
                            told.set_result(None)  # not found: the bearer says who it is
        finally:
            self._looking = False

    def _take_in(
        self, batch: dict[Peer, asyncio.Future[Agent | None]], found: dict[Peer, Agent | _Person]
    ) -> None:
        for peer, who in found.items():
            if isinstance(who, Agent):
                if peer in batch and not batch[peer].done():
                    batch[peer].set_result(who)
            else:
                self._clears(peer.inode)
        for person in {who: None for who in found.values() if isinstance(who, _Person)}:
            while len(self._people) >= _PEOPLE:
                self._people.pop(0).close()
            self._people.append(person)

    def look(self, peer: Peer, then: Callable[[], None]) -> None:
        """Look at `peer` in the background, and call `then`: `cleared` may say more by then."""

        if self.cleared(peer):
            asyncio.get_running_loop().call_soon(then)
        else:
            self._ask(peer).add_done_callback(lambda told: then())

    def close(self) -> None:
        self._forget()

    def _clears(self, inode: int) -> None:
        if not self._clear:
            asyncio.get_running_loop().call_later(BELIEVED, self._forget)
        if len(self._clear) >= _CONNECTIONS:
            self._clear.clear()
        self._clear.add(inode)

    def _forget(self) -> None:
        """A process may become another program by exec: it is looked at again."""
        self._clear.clear()
        people, self._people = self._people, []
        for person in people:
            person.close()


def _look(peers: Collection[Peer]) -> dict[Peer, Agent | _Person]:
    """Whose `peers` are; those of whom it cannot be told are missing. Blocks.

    A socket that changed hands while it was looked for is looked for again.
    """
    found: dict[Peer, Agent | _Person] = {}
    for _ in range(_LOOKS):
        if missing := [peer for peer in peers if peer not in found]:
            found |= _look_once(missing)
    return found


def _look_once(peers: Collection[Peer]) -> dict[Peer, Agent | _Person]:
    holders: dict[Peer, list[int]] = {}
    for uid in {peer.uid for peer in peers}:
        theirs = {peer.inode: peer for peer in peers if peer.uid == uid}
        held = holders_of_inodes(theirs, uid)
        holders |= {theirs[inode]: pids for inode, pids in held.items()}
    return _look_at_holders(holders)


def _look_at_holders(holders: dict[Peer, list[int]]) -> dict[Peer, Agent | _Person]:
    found: dict[Peer, Agent | _Person] = {}
    people: set[_Person] = set()
    held: dict[int, list[Peer]] = {}
    for peer, pids in holders.items():
        for pid in pids:
            held.setdefault(pid, []).append(peer)
    for pid, theirs in held.items():
        for peer, who in _look_at(pid, theirs).items():
            people |= {who} if isinstance(who, _Person) else set()
            # Of several holders an agent counts: it may lend its socket to a child without
            # its marks, and a person's program loses nothing but this connection's ease.
            if peer not in found or isinstance(who, Agent):
                found[peer] = who
    for unused in people.difference(found.values()):
        unused.close()
    return found


def _look_at(pid: int, peers: list[Peer]) -> dict[Peer, Agent | _Person]:
    try:
        person = _Person(pid)
    except OSError:
        return {}
    session, name = who_of(pid)
    links = person.links()  # after the rest: what has gone meanwhile is another's by now
    held = [peer for peer in peers if f"socket:[{peer.inode}]" in links]
    if held and not name:
        return dict.fromkeys(held, person)
    person.close()
    where = (0, 0, "") if session is None else (session.sid, session.leader_start, session.tty)
    return dict.fromkeys(held, Agent(name, *where))
