"""Client-side monitoring: SDKs started by `borrow run` say here which of their calls were denied.

Anybody on the machine can send a datagram, so one is a hint at most: it can lead to an *offer* in
the terminal of the callers it names, never to a question and never to a grant. Its socket has to be
one of our own user, says the kernel, and it has to name a program of ours (the random client id
that `borrow run` put into its environment) together with an access key that was handed to those
very callers. The session token that SDKs put into each datagram is dropped when it is parsed;
nothing of a datagram is logged.

Work is bounded by buckets: what comes faster is counted and thrown away unread.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from borrow.daemon.csm_clients import Clients, bind
from borrow.daemon.ports import LOOPBACK
from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import parse_object

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from typing_extensions import override

    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment
    from borrow.daemon.peer import PeerSource
    from borrow.daemon.vends import Vend
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


LIMIT: Final = 8192  # bytes; botocore sends no more

# Datagrams a second: of one sending socket, that the kernel is asked about, and that are read. SDKs
# send two for each call.
EACH: Final = 100.0
ASKED: Final = 1_000.0
RATE: Final = 200.0
_MOST_SENDERS: Final = 512  # sockets counted apart; the oldest goes first

_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnauthorizedOperation",
        "Client.UnauthorizedOperation",
    }
)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
_KEY: Final = re.compile(r"[A-Z0-9]{16,64}")
_CLIENT: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_ACTION: Final = re.compile(r"not authorized to perform: ([a-z0-9-]{1,63}:[A-Za-z0-9]{1,64})(?!\w)")


@dataclass(frozen=True, slots=True)
class Denied:
    """One denied call. `actions` are what it may be called in a policy, the likeliest first."""

    client: str
    access_key: str
    actions: tuple[str, ...]


def read_datagram(data: bytes) -> Denied | None:
    """What a datagram says of a denied call, None for any other call; raises Untrusted."""
    if len(data) > LIMIT:
        raise Untrusted("a datagram is too long")
    told = parse_object(data, "datagram", limit=LIMIT)
    told.pop("SessionToken", None)
    exception = told.get("AwsException")
    if told.get("Type") != "ApiCallAttempt" or exception not in _DENIED:
        return None
    service, api = _text(told, "Service", _NAME), _text(told, "Api", _NAME)
    named = f"{service.lower().replace(' ', '')}:{api}"
    message = told.get("AwsExceptionMessage")
    said = _ACTION.search(message[:2048]) if isinstance(message, str) else None
    actions = (said[1], named) if said else (named,)
    return Denied(
        client=_text(told, "ClientId", _CLIENT),
        access_key=_text(told, "AccessKey", _KEY),
        actions=tuple(dict.fromkeys(actions)),
    )


def _text(told: dict[str, object], name: str, form: re.Pattern[str]) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise Untrusted(f"a datagram's {name} is not of its form")
    return value


class Bucket:
    """`rate` a second, after a burst of as many."""

    __slots__ = ("_filled", "_left", "_rate")

    def __init__(self, rate: float, boot: float) -> None:
        self._rate = self._left = rate
        self._filled = boot

    def take(self, boot: float) -> bool:
        self._left = min(self._rate, self._left + max(0.0, boot - self._filled) * self._rate)
        self._filled = boot
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Listener(asyncio.DatagramProtocol):
    """The port, once a `borrow run` needs it. `counts` says what became of the datagrams.

    `vended(group, key)` is the vend log's word; `on_denied` is told of a denied call of callers
    that were handed its key. `held` is the port of programs that ran before the daemon's start.
    What is refused goes to `on_reject(reason, uid)` as well.
    """

    def __init__(
        self,
        path: Path,
        held: socket.socket | None,
        *,
        now: Callable[[], Moment],
        entropy: Callable[[int], bytes],
        uid: int,
        peers: PeerSource,
        alive: Callable[[int, int], bool],
        vended: Callable[[Group, str], Vend | None],
        on_denied: Callable[[Vend, Denied], None],
        on_reject: Callable[[str, int | None], None] = lambda reason, uid: None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._path = path
        self._held = held
        self._now = now
        self._entropy = entropy
        self._uid = uid
        self._peers = peers
        self._alive = alive
        self._vended = vended
        self._on_denied = on_denied
        self._on_reject = on_reject
        self._clients = Clients(path, held.getsockname()[1] if held is not None else 0)
        self._transport: asyncio.BaseTransport | None = None
        self._opening = asyncio.Lock()
        boot = now().boot
        self._asked, self._read = Bucket(ASKED, boot), Bucket(RATE, boot)
        self._senders: dict[int, Bucket] = {}  # by port

    @property
    def port(self) -> int:
        return self._clients.port

    async def resume(self) -> None:
        """Listen again to the programs that outlived the last daemon, if any did."""
        async with self._opening:
            await asyncio.to_thread(self._clients.prune, self._alive)
            if self._clients:
                await self._open()
            elif self._held is not None and self._transport is None:
                self._held.close()
                self._held = None

    async def client(self, group: Group) -> dict[str, str]:
        """The environment that makes a program of `group` report here; the port is held first."""
        async with self._opening:
            await self._open()
        client = self._entropy(16).hex()
        self._clients.add(client, group)
        return {
            "AWS_CSM_ENABLED": "true",
            "AWS_CSM_HOST": LOOPBACK,
            "AWS_CSM_PORT": str(self.port),
            "AWS_CSM_CLIENT_ID": client,
        }

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._held is not None:
            self._held.close()

    async def _open(self) -> None:
        if self._transport is not None:
            return
        if self._held is None:
            self._held = bind(0)
            self._clients = Clients(self._path, self._held.getsockname()[1])
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=self._held)

    @override
    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        """In this order: the sender's rate, the kernel's word on the sender, then what is said."""
        boot = self._now().boot
        if not self._sender(addr[1], boot).take(boot) or not self._asked.take(boot):
            self._refuse("flood")
            return
        if not self._is_ours(addr):
            return
        if not self._read.take(boot):
            self._refuse("flood")
            return
        try:
            denied = read_datagram(data)
        except Untrusted:
            self._refuse("malformed", self._uid)
            return
        if denied is None:
            self.counts["other"] += 1
            return
        group = self._clients.find(denied.client)
        vend = self._vended(group, denied.access_key) if group is not None else None
        if group is None or vend is None:
            self._refuse("unknown", self._uid)
        else:
            self.counts["denied"] += 1
            self._on_denied(vend._replace(group=group), denied)

    @override
    def error_received(self, exc: Exception) -> None:
        self.counts["error"] += 1

    def _is_ours(self, addr: tuple[str, int]) -> bool:
        """Whether our own user sent it, where the kernel can tell. Who has gone is nobody (A22)."""
        if not self._peers.gives_uid:
            return True
        peer = self._peers.sender((addr[0], addr[1]), (LOOPBACK, self.port))
        if peer is None:
            self._refuse("gone")
        elif peer.uid != self._uid:
            self._refuse("uid", peer.uid)
        return peer is not None and peer.uid == self._uid

    def _refuse(self, reason: str, uid: int | None = None) -> None:
        self.counts[reason] += 1
        self._on_reject(f"csm_{reason}", uid)

    def _sender(self, port: int, boot: float) -> Bucket:
        bucket = self._senders.get(port)
        if bucket is None:
            while len(self._senders) >= _MOST_SENDERS:
                self._senders.pop(next(iter(self._senders)))
            bucket = self._senders[port] = Bucket(EACH, boot)
        return bucket
