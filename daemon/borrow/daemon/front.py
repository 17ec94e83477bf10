"""The door of the endpoint: who may connect, how many, and how long a request may take to arrive.

One small `asyncio.Protocol` (`visitor`) stands in front of aiohttp. In the order of its checks:

1. the peer is on the loopback (a routed or aliased address is not),
2. its socket was made by our own user, says the kernel, and still exists,
3. there is room: so many connections in all, and of one process,
4. a whole head arrives in time and within its size.

Then the fast lane may answer or hold the call (`lane`, `crowd`), or the connection is handed to
aiohttp for good (`set_protocol`), whose `guard` middleware judges the request itself and whose
routes (`container`, `imds`) hold it (`holding`). Both ways end in `Broker.fetch`. The door refuses
by closing, says nothing and keeps no byte of what it read; every *answer* that refuses a request is
aiohttp's, and the lane says only what became of a question.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from borrow.daemon.census import Census, Count, holders
from borrow.daemon.visitor import Visitor

if TYPE_CHECKING:
    import asyncio

    from borrow.daemon.peer import Peer, PeerSource
    from borrow.daemon.visitor import Held, Said

logger = logging.getLogger(__name__)

OnReject = Callable[[str, int | None], None]

# Bytes. SDKs send 300 to 900; bearers and tokens stay below 1 KiB.
MAX_HEAD: Final = 16 * 1024


class Limits(NamedTuple):
    """What one door grants. Only our own user gets in, so `total` is also the cap per user."""

    header_seconds: float = 3.0
    max_head: int = MAX_HEAD
    total: int = 1_536  # a thousand held calls of many programs, and room for others
    per_process: int = 64
    # Connections that may wait for the census while `per_process` is in question. With `total`
    # they stay below the open files that `hardening.raise_open_files` asks for.
    waiting: int = 1_024
    per_second: int = 2_000  # requests of one connection; a busy SDK makes a few hundred


class _No(NamedTuple):
    reason: str
    uid: int | None = None


class Door:
    """The protocol factory for `create_server`, and what all its connections share.

    `on_reject(reason, uid)` is called for each refusal; the caller limits its rate. Reasons:
    `remote`, `unknown`, `uid`, `limit`, `slow`, `big`. `hand_over` makes aiohttp's protocol for
    an admitted connection, unless `lane` has the bytes that answer its request. `uid` is the only
    user served; root is another user unless `allow_root` (a socket that root made and gave away
    is still root's, A23).
    """

    def __init__(
        self,
        peers: PeerSource,
        hand_over: Callable[[], asyncio.Protocol],
        *,
        uid: int,
        limits: Limits | None = None,
        allow_root: bool = False,
        on_reject: OnReject | None = None,
        census: Count = holders,
        lane: Callable[[bytes, Peer | None, Any], Said | None] | None = None,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.admitted = 0
        self.limits = limits or Limits()
        self.hand_over = hand_over
        self.lane = lane
        self.look: Callable[[bytes, Peer, Callable[[], None]], None] | None = None
        self.hold: Callable[[bytes, Visitor, float], Held | None] | None = None
        self._peers = peers
        self._uid = uid
        self._allow_root = allow_root
        self._on_reject = on_reject
        self._open: dict[asyncio.Transport, Peer | None] = {}  # admitted, oldest first
        self.count = census
        self._census: Census[Visitor] = Census(
            lambda inodes, uid: self.count(inodes, uid), uid, self._present, self._judge
        )

    def __call__(self) -> Visitor:
        return Visitor(self)

    @property
    def open_connections(self) -> int:
        self._forget_closed()
        return len(self._open)

    def abort_all(self) -> None:
        """At shutdown, before aiohttp's clean-up, which would wait for every held call."""
        for transport in list(self._open):
            transport.abort()
        self._open.clear()
        self._census.abort_all()

    def whois(self, transport: asyncio.Transport) -> Peer | None:
        """The peer of a connection that is open now, without asking the kernel again."""
        return self._open.get(transport)

    # -- called by Visitor ----------------------------------------------------------------------

    def receive(self, visitor: Visitor) -> None:
        """Steps 1 to 3 for a new connection: refuse it, admit it, or let it wait for a count."""
        verdict = self._examine(visitor.transport)
        if isinstance(verdict, _No):
            self.refuse(visitor.transport, verdict.reason, verdict.uid)
            return
        visitor.peer = verdict
        if not self._census.running and self._has_room(self.limits.per_process):
            self._admit(visitor)
        elif not self._has_room(self.limits.total) or len(self._census) >= self.limits.waiting:
            self.refuse(visitor.transport, "limit", self._uid)
        else:
            self._census.wait(visitor)

    def _examine(self, transport: asyncio.Transport) -> _No | Peer | None:
        """Who may come in (None where the system does not tell), or why not."""
        client, server = _ends(transport)
        if client is None or server is None or not is_loopback(client[0]):
            return _No("remote")
        if not self._peers.gives_uid:
            return None
        peer = self._peers.lookup(client, server)
        if peer is None or peer.inode == 0:
            return _No("unknown")
        return _No("uid", peer.uid) if self.is_stranger(peer.uid) else peer

    def is_stranger(self, uid: int) -> bool:
        return uid != self._uid and not (self._allow_root and uid == 0)

    def refuse(self, transport: asyncio.Transport, reason: str, uid: int | None = None) -> None:
        self._open.pop(transport, None)
        transport.abort()
        self.refused[reason] += 1
        if self._on_reject is not None:
            self._on_reject(reason, uid)

    def forget(self, visitor: Visitor) -> None:
        self._census.forget(visitor)
        self._open.pop(visitor.transport, None)

    # -- room ------------------------------------------------------------------------------------

    def _admit(self, visitor: Visitor) -> None:
        self.admitted += 1
        self._open[visitor.transport] = visitor.peer
        visitor.enter()

    def _has_room(self, most: int) -> bool:
        if len(self._open) >= most:
            self._forget_closed()
        return len(self._open) < most

    def _forget_closed(self) -> None:
        # After the hand-over nobody tells the door that a connection ended; looking costs
        # microseconds, as there are at most `total`.
        for transport in [each for each in self._open if each.is_closing()]:
            del self._open[transport]

    def _present(self) -> list[Peer | None]:
        self._forget_closed()
        return list(self._open.values())

    def _judge(self, visitor: Visitor, held: int) -> bool:
        """Whether one more of a process that holds `held` comes in; it is refused if not."""
        if held >= self.limits.per_process or len(self._open) >= self.limits.total:
            self.refuse(visitor.transport, "limit", self._uid)
            return False
        self._admit(visitor)
        return True


def is_loopback(host: str) -> bool:
    if host == "127.0.0.1":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _ends(
    transport: asyncio.Transport,
) -> tuple[tuple[str, int] | None, tuple[str, int] | None]:
    client = transport.get_extra_info("peername")
    server = transport.get_extra_info("sockname")
    if not client or not server:
        return None, None  # gone before it was accepted
    return (client[0], client[1]), (server[0], server[1])


def our_uid() -> int:
    """The uid to serve; -1 where the system has none, and then no peer source gives one either."""
    return os.getuid() if hasattr(os, "getuid") else -1
