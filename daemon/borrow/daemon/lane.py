"""The fast lane: the credential for a plain request, answered or waited for without aiohttp.

It takes one whole, plain, exactly matching `GET /v1/credentials/{role}` of a known bearer. If the
credential is in memory it is the answer, else the call is held (`crowd`) and its question is asked.
Whatever is not of this form or not of a known person goes to aiohttp unread, so every refusal of a
request has one home.

SDKs send the same bytes again and again, so a request that was read and whose bearer was found is
known by its hash. What may be served is asked of the broker (both clocks, lease, ended grants) and
kept for the second that its document shows, by both clocks; any change of grants or bearers ends
that at once. Where a second matters (near an end, under a lease, for an elastic role) nothing is
kept. The clocks are read once for each turn of the event loop.

It keeps no pace: it serves one request per round trip, in turn with all others. Requests sent
ahead of their answers are aiohttp's, and paced there.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from borrow.daemon.cache import LEASES
from borrow.daemon.crowd import Crowds
from borrow.daemon.documents import container_document, container_end
from borrow.daemon.flights import Asked
from borrow.daemon.guard import authority_of
from borrow.daemon.heads import sized
from borrow.daemon.techniques import Technique, technique_for
from borrow.daemon.tower import Caller
from borrow.daemon.visitor import HOLD, LATER
from borrow.protocol.request import is_role_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.agents import Agents
    from borrow.daemon.broker import Broker, Served
    from borrow.daemon.cache import Held
    from borrow.daemon.crowd import Call, Connection
    from borrow.daemon.groups import Bearer, Bearers
    from borrow.daemon.moments import Moment
    from borrow.daemon.peer import Peer
    from borrow.daemon.tasks import Spawn
    from borrow.daemon.ticker import Ticker

logger = logging.getLogger("borrow.daemon.edge")

# Bytes; aiohttp limits one line to 8 KiB, so what is within this it would read as well.
_MOST: Final = 4096

_START: Final = b"GET /v1/credentials/"
_END: Final = b" HTTP/1.1"

# What SDKs send with a plain fetch and no rule of the guard looks at, beside Host, Authorization
# and Connection. A name that is not here makes the request aiohttp's.
_HARMLESS: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"amz-sdk-invocation-id",
        b"amz-sdk-request",
        b"cache-control",
        b"pragma",
        b"user-agent",
        b"x-amz-user-agent",
    }
)
_READ: Final = frozenset({b"host", b"authorization", b"connection"})

# Header and value bytes that are taken: printable ASCII. Anything else is aiohttp's.
_PRINTABLE: Final = bytes(range(0x20, 0x7F))

# Requests known by their hash; SDKs that number theirs must not fill the memory.
_KNOWN: Final = 128

# Seconds an answer is kept at most, and from an end in which none is.
_KEPT: Final = 1.0
_NEAR: Final = 2 * _KEPT

# Seconds between two log lines with the number of credentials served; see `_begin_turn`.
_BATCH: Final = 60.0


class Plain(NamedTuple):
    role: str
    authorization: str


class _Known(NamedTuple):
    role: str
    bearer: Bearer
    caller: Caller
    technique: Technique


class Ready(NamedTuple):
    """An answer for the rest of its second, unless the epoch moves on; or HOLD, or LATER."""

    answer: bytes
    epoch: int = 0
    role: str = ""
    agent: bool = False  # the bearer is an agent's own
    asked: bytes = b""
    key: bytes = b""


_LATER: Final = Ready(LATER)


class _Rendered(NamedTuple):
    held: Held
    second: int
    end: int
    answer: bytes


def read_fetch(data: bytes, authority: bytes) -> Plain | None:
    """The role and Authorization of one whole plain fetch; None for anything else."""
    if len(data) > _MOST or not data.startswith(_START) or not data.endswith(b"\r\n\r\n"):
        return None
    line, *lines = data[:-4].split(b"\r\n")
    if not line.endswith(_END):
        return None
    seen: dict[bytes, bytes] = {}
    for each in lines:  # an empty line is a second request or a body: it has no colon
        name, colon, value = each.partition(b":")
        name = name.lower()
        if not colon or name in seen or not (name in _HARMLESS or name in _READ):
            return None
        if value.translate(None, _PRINTABLE):
            return None
        seen[name] = value.strip(b" ")
    if seen.get(b"host") not in (authority, authority.partition(b":")[0]):
        return None
    if seen.get(b"connection", b"keep-alive") not in _STAYS:
        return None
    role = line[len(_START) : -len(_END)].decode("latin-1")
    if b"authorization" not in seen or not is_role_name(role):
        return None
    return Plain(role, seen[b"authorization"].decode("ascii"))


_STAYS: Final = (b"keep-alive", b"Keep-Alive")


class Lane:
    """`served` counts the answers from memory by role since the start."""

    def __init__(
        self,
        broker: Broker,
        bearers: Bearers,
        agents: Agents,
        ticker: Ticker,
        spawn: Spawn,
        *,
        port: int,
    ) -> None:
        self.served: Counter[str] = Counter()
        self._broker = broker
        self._bearers = bearers
        self._agents = agents
        self._spawn = spawn
        self._crowds = Crowds(broker, ticker, spawn)
        self._renewals: dict[tuple[int, int], list[Callable[[], None]]] = {}  # by session
        self._authority = authority_of(port)
        self._cache = broker.cache
        self._known: dict[bytes, _Known] = {}  # by the hash of the whole request
        self._ready: dict[bytes, Ready] = {}  # as `_known`
        self._second, self._boot = 0, 0.0  # since when `_ready` was filled
        self._in_turn = False
        self._rendered: dict[str, _Rendered] = {}  # by grant
        self._logged: Counter[str] = Counter()
        self._flushed = broker.now()

    def answer(
        self, data: bytes, peer: Peer | None = None, last: Ready | None = None
    ) -> Ready | None:
        """What to send for this request of `peer`, or None: then aiohttp has it.

        `last` is what the same connection was told before: what it asks again needs no look-up.

        LATER: nobody knows yet whose `peer` is, or whether the bearer's session still lives; once
        somebody did `look`, the answer is another. HOLD: it has to wait, and may do it here.
        """
        if not self._in_turn:
            self._begin_turn()
        # By hash: the time a look-up takes says nothing about a bearer within.
        same = last is not None and last.asked == data
        key = last.key if last is not None and same else sha256(data).digest()
        ready = self._ready.get(key)
        if ready is None or ready.epoch != self._epoch():
            ready = self._look(key, data)
            if ready is None or ready is _LATER:
                return ready
        if not (ready.agent or self._agents.cleared(peer)):
            return _LATER  # an agent may have its person's bearer
        if ready.answer is not HOLD:
            self.served[ready.role] += 1
        return ready

    def look(self, data: bytes, peer: Peer, then: Callable[[], None]) -> None:
        """Find out what `answer` said LATER for, and call `then`."""
        known = self._known.get(sha256(data).digest())
        if known is None or self._bearers.stands(known.bearer):
            self._agents.look(peer, then)
            return
        group = known.bearer.group
        waiting = self._renewals.setdefault((group.sid, group.start), [])
        waiting.append(lambda: self._agents.look(peer, then))
        if len(waiting) == 1:
            self._spawn(self._renew_for_all(known.bearer))

    def hold(self, data: bytes, connection: Connection, since: float) -> Call | None:
        """Keep the call that `answer` said HOLD for until there is an answer."""
        key = sha256(data).digest()
        known = self._known.get(key) or self._read(key, data)
        if known is None:
            return None
        return self._crowds.join(known.bearer, known.caller, known.technique, connection, since)

    def _begin_turn(self) -> None:
        self._in_turn = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        now = self._broker.now()
        second = math.floor(now.wall)
        if second != self._second or not 0 <= now.boot - self._boot < _KEPT:
            self._ready.clear()
            self._second, self._boot = second, now.boot
            if now.since(self._flushed) >= _BATCH:
                self._flush(now)

    def _end_turn(self) -> None:
        self._in_turn = False

    def _epoch(self) -> int:
        return self._cache.epoch + self._bearers.epoch

    def _look(self, key: bytes, data: bytes) -> Ready | None:
        """Ask for one request anew, and keep the answer where that is safe."""
        known = self._known.get(key) or self._read(key, data)
        if known is None or not self._bearers.is_issued(known.bearer):
            return None
        if not self._bearers.stands(known.bearer):
            return _LATER
        served = self._broker.look(known.caller)
        if served is None:
            if not self._broker.config.enrolled:
                return None  # and aiohttp is not there yet
            return Ready(HOLD, 0, known.role, bool(known.bearer.group.agent))
        now = self._broker.now()
        answer = self._render(served, now)
        if answer is None:
            return None
        if self._bearers.is_old_belief(known.bearer.group):
            self._spawn(self._renew(known.bearer))
        agent = bool(known.bearer.group.agent)
        ready = Ready(answer, self._epoch(), known.role, agent, data, key)
        if self._is_steady(known, served, now):
            self._ready[key] = ready
        return ready

    def _is_steady(self, known: _Known, served: Served, now: Moment) -> bool:
        """Whether time alone changes nothing within the next second."""
        facts = self._broker.catalogue.known(known.role)
        return (
            facts is not None
            and not facts.base
            and served.grant.tier not in LEASES
            and served.held.ends.left(now) > _NEAR
            and self._bearers.stands(known.bearer, ahead=_KEPT)
        )

    def _read(self, key: bytes, data: bytes) -> _Known | None:
        plain = read_fetch(data, self._authority)
        if plain is None:
            return None
        bearer = self._bearers.issued(plain.authorization)
        if bearer is None or bearer.group.role != plain.role:
            return None
        if len(self._known) >= _KNOWN:
            self._known.clear()
        technique = technique_for(_headers(data))
        known = self._known[key] = _Known(plain.role, bearer, _caller(bearer), technique)
        return known

    def close(self) -> None:
        self._crowds.close()
        self._flush(self._broker.now())

    def _render(self, served: Served, now: Moment) -> bytes | None:
        end, second = math.floor(container_end(served, now)), math.floor(now.wall)
        if end <= now.wall:
            return None
        grant = served.grant.grant_id
        kept = self._rendered.get(grant)
        if (
            kept is not None
            and kept.held is served.held
            and kept.second == second
            and kept.end == end
        ):
            return kept.answer
        body = container_document(served, now)
        if body is None:
            return None
        self._forget_older(second)
        answer = sized(200, body, now)
        self._rendered[grant] = _Rendered(served.held, second, end, answer)
        return answer

    def _forget_older(self, second: int) -> None:
        """What was rendered in another second is of no more use, and a secret."""
        self._rendered = {k: each for k, each in self._rendered.items() if each.second == second}

    def _flush(self, now: Moment) -> None:
        self._flushed = now
        for role, count in (self.served - self._logged).items():
            logger.info("local.serve", extra={"role": role, "n": count})
        self._logged = self.served.copy()

    async def _renew(self, bearer: Bearer) -> None:
        await self._bearers.renew(bearer.group)

    async def _renew_for_all(self, bearer: Bearer) -> None:
        """One look for all who came meanwhile."""
        try:
            await self._bearers.renew(bearer.group)
        finally:
            for then in self._renewals.pop((bearer.group.sid, bearer.group.start), ()):
                then()


def _caller(bearer: Bearer) -> Caller:
    return Caller(
        group=bearer.group,
        via="container",
        asked=Asked(bearer.reason, bearer.ticket, bearer.seconds),
        describe=_nobody,  # who asks matters to a question only, and the crowd asks it
        terminal=True,
    )


async def _nobody() -> dict[str, Any]:
    return {}


def _headers(data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Of a request that `read_fetch` took, with the case of their names."""
    parts = [line.partition(b":") for line in data[:-4].split(b"\r\n")[1:]]
    return tuple((name, value.strip(b" ")) for name, _, value in parts)
