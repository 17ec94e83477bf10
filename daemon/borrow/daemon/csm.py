"""Client-side monitoring: SDKs started by `borrow run` say here which of their calls were denied.

Anybody on the machine can send a datagram, so one is a hint at most: it can lead to an *offer* in
the terminal of the callers it names, never to a question and never to a grant. It has to name a
program of ours (the random client id that `borrow run` put into its environment) together with the
access key that those callers hold at this moment. The session token that SDKs put into each
datagram is dropped when it is parsed; nothing of a datagram is logged.

Work is bounded by a bucket: what comes faster is counted and thrown away unread.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from borrow.daemon.ports import LOOPBACK
from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import parse_object

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import override

    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


LIMIT: Final = 8192  # bytes; botocore sends no more
RATE: Final = 100.0  # datagrams read a second, after a burst of as many
_MOST_CLIENTS: Final = 512  # programs remembered; the oldest goes first

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


class Listener(asyncio.DatagramProtocol):
    """The port, once a `borrow run` needs it. `counts` says what became of the datagrams.

    `holds(group)` is the access key that the group would be served now; `on_denied` is told of a
    denied call of callers whose key it is.
    """

    def __init__(
        self,
        *,
        now: Callable[[], Moment],
        entropy: Callable[[int], bytes],
        uid: int | None,
        holds: Callable[[Group], str],
        on_denied: Callable[[Group, Denied], None],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._now = now
        self._entropy = entropy
        self._uid = uid
        self._holds = holds
        self._on_denied = on_denied
        self._clients: dict[str, Group] = {}
        self._transport: asyncio.BaseTransport | None = None
        self._opening = asyncio.Lock()
        self._left = RATE
        self._filled = now().boot
        self.port = 0

    async def client(self, group: Group) -> dict[str, str]:
        """The environment that makes a program of `group` report here; the port is held first."""
        async with self._opening:
            if self._transport is None:
                loop = asyncio.get_running_loop()
                self._transport, _ = await loop.create_datagram_endpoint(
                    lambda: self, local_addr=(LOOPBACK, 0), family=socket.AF_INET
                )
                self.port = self._transport.get_extra_info("sockname")[1]
        client = self._entropy(16).hex()
        while len(self._clients) >= _MOST_CLIENTS:
            self._clients.pop(next(iter(self._clients)))
        self._clients[client] = group
        return {
            "AWS_CSM_ENABLED": "true",
            "AWS_CSM_HOST": LOOPBACK,
            "AWS_CSM_PORT": str(self.port),
            "AWS_CSM_CLIENT_ID": client,
        }

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    @override
    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        if not self._has_room():
            self.counts["flood"] += 1
            return
        try:
            denied = read_datagram(data)
        except Untrusted:
            self.counts["malformed"] += 1
            return
        if denied is None:
            self.counts["other"] += 1
            return
        group = self._clients.get(denied.client)
        if group is None or self._holds(group) != denied.access_key:
            self.counts["unknown"] += 1
        elif self._uid is not None and sender_uid(addr[1]) not in (None, self._uid):
            self.counts["uid"] += 1
        else:
            self.counts["denied"] += 1
            self._on_denied(group, denied)

    @override
    def error_received(self, exc: Exception) -> None:
        self.counts["error"] += 1

    def _has_room(self) -> bool:
        now = self._now().boot
        self._left = min(RATE, self._left + max(0.0, now - self._filled) * RATE)
        self._filled = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def sender_uid(port: int, table: Path = Path("/proc/net/udp")) -> int | None:
    """The user whose UDP socket has `port`, None where that is not told or it is closed already."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return None
    for line in lines:
        parts = line.split()
        if len(parts) > 7 and parts[1].endswith(f":{port:04X}"):
            return int(parts[7])
    return None
