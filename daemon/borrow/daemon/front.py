"""The door of the endpoint: who may connect, how many, and how long a request may take to arrive.

One small `asyncio.Protocol` stands in front of aiohttp. In the order of its checks:

1. the peer is on the loopback (a routed or aliased address is not),
2. its socket was made by our own user, says the kernel, and still exists,
3. there is room: so many connections in all, and of one process,
4. a whole head arrives in time and within its size.

Then the fast lane may answer (`lane`), or the connection is handed to aiohttp for good
(`set_protocol`), whose `guard` middleware judges the request itself. The door refuses by closing,
says nothing and keeps no byte of what it read; every *answer* that refuses is aiohttp's.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from borrow.daemon.census import Census, Count, holders

if TYPE_CHECKING:
    from typing_extensions import override

    from borrow.daemon.peer import Peer, PeerSource
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


logger = logging.getLogger(__name__)

OnReject = Callable[[str, int | None], None]

# Bytes. SDKs send 300 to 900; bearers and tokens stay below 1 KiB.
MAX_HEAD: Final = 16 * 1024

# Seconds an idle or half-sent later request may keep a connection: aiohttp's only header deadline.
KEEPALIVE: Final = 15.0


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


# What the lane says of a connection that has to be looked at first; then it is asked once more.
LATER: Final = b""


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
        lane: Callable[[bytes, Peer | None], bytes | None] | None = None,
    ) -> None:
        self.refused: Counter[str] = Counter()
        self.admitted = 0
        self.limits = limits or Limits()
        self.hand_over = hand_over
        self.lane = lane
        self.look: Callable[[Peer, Callable[[], None]], None] | None = None
        self._peers = peers
        self._uid = uid
        self._allow_root = allow_root
        self._on_reject = on_reject
        self._open: dict[asyncio.Transport, Peer | None] = {}  # admitted, oldest first
        self._census: Census[Visitor] = Census(census, uid, self._present, self._judge)

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
        self._forget_closed()
        if not self._census.running and len(self._open) < self.limits.per_process:
            self._admit(visitor)
        elif len(self._open) >= self.limits.total or len(self._census) >= self.limits.waiting:
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


class Visitor(asyncio.Protocol):
    """One connection until its first head is complete (step 4); then aiohttp's.

    While the door's lane answers its requests it stays here.
    """

    __slots__ = (
        *(
            "_answered",
            "_buffer",
            "_deadline",
            "_door",
            "_entered",
            "_loop",
            "_looking",
            "peer",
            "transport",
        ),
    )

    transport: asyncio.Transport

    def __init__(self, door: Door) -> None:
        self._door = door
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._entered = False
        self._looking = False  # at its process; what comes meanwhile waits
        self._answered = 0.0  # when the lane last did, by the loop's clock
        self._deadline: asyncio.TimerHandle | None = None
        self.peer: Peer | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # TCP is
        self._door.receive(self)
        if not self.transport.is_closing():
            self._deadline = self._loop.call_later(
                self._door.limits.header_seconds, self._on_deadline
            )

    def enter(self) -> None:
        """The door has room for us; a head that came in the meantime goes through."""
        self._entered = True
        self._pass_on()

    @override
    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # refused in connection_made; a read may have been queued already
        if self._entered and not self._buffer:
            done = self._answer(data)
            if done is not False:
                self._buffer = b"" if done else data
                return
        self._buffer += data
        most = self._door.limits.max_head
        if len(self._buffer) > most and not _is_complete(self._buffer[:most]):
            if self._answered:
                self._hand_over()  # a later request: aiohttp's limit, and its answer
            else:
                self._door.refuse(self.transport, "big")
            return
        self._pass_on()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        self._door.forget(self)

    def _pass_on(self) -> None:
        if not self._entered or not (self._buffer and _is_complete(self._buffer)):
            return
        if self._looking:
            return
        done = self._answer(self._buffer)
        if done:
            self._buffer = b""
        elif done is False:
            self._hand_over()

    def _on_look(self) -> None:
        self._looking = False
        if self.transport.is_closing():
            return
        if self._answer(self._buffer, looked=True):
            self._buffer = b""
        else:
            self._hand_over()

    def _answer(self, data: bytes, *, looked: bool = False) -> bool | None:
        """Whether the lane did; None if it will say once our process was looked at.

        It knows a whole head by itself, and takes nothing else.
        """
        # A client that does not read its answers is aiohttp's, which waits for it.
        if (lane := self._door.lane) is None or self.transport.get_write_buffer_size():
            return False
        answer = lane(data, self.peer)
        if answer is None:
            return False
        if answer is LATER:
            if looked or self.peer is None or self._door.look is None:
                return False
            self._looking = True
            self._door.look(self.peer, self._on_look)
            return None
        self._answered = self._loop.time()
        self.transport.write(answer)
        return True

    def _on_deadline(self) -> None:
        """The head's, or after an answer the next request's: then idle, and closed as such."""
        if not self._answered:
            self._door.refuse(self.transport, "slow")
            return
        left = self._answered + KEEPALIVE - self._loop.time()
        if left > 0:
            self._deadline = self._loop.call_later(left, self._on_deadline)
        else:
            self.transport.close()

    def _hand_over(self) -> None:
        self._stop_deadline()
        data, self._buffer = self._buffer, b""
        handler = self._door.hand_over()
        self.transport.set_protocol(handler)
        handler.connection_made(self.transport)
        handler.data_received(data)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def is_loopback(host: str) -> bool:
    if host == "127.0.0.1":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_complete(data: bytes) -> bool:
    """True if aiohttp has all it needs to judge the head, be it only to say that it is none.

    A first byte that starts no method (a TLS hello) is refused at once, not at the deadline. Blank
    lines in front are skipped by aiohttp, so they do not count: they would buy its longer deadline.
    """
    head = data.lstrip(b"\r\n")
    return b"\r\n\r\n" in head or b"\n\n" in head or (head != b"" and not head[:1].isupper())


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
