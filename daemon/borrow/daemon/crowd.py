"""Calls that wait for the same answer, held by the fast lane: one fetch for all, no task for each.

A crowd are the calls of one bearer which are told in one way. It asks the broker once, by the
process behind one of its calls, and lives while it has any: with the last call that leaves, its
fetch ends like that of any client which left. When there is an answer, the broker is asked for it
anew for each batch that is handed out, so nobody gets what was over meanwhile.

What a held call costs here is its connection and a few words; what it is told is what `holding`
tells (the differential tests compare the two).
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

from borrow.daemon.behind import describe_peer
from borrow.daemon.documents import container_document
from borrow.daemon.heads import chunk, chunked_head, sized
from borrow.daemon.techniques import (
    AGAIN,
    PAUSE,
    Technique,
    farewell,
    last_words,
    told,
)
from borrow.protocol.errors import BorrowError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from borrow.daemon.broker import Served
    from borrow.daemon.groups import Bearer
    from borrow.daemon.moments import Moment
    from borrow.daemon.peer import Peer
    from borrow.daemon.tasks import Spawn
    from borrow.daemon.ticker import Ticker
    from borrow.daemon.tower import Caller

logger = logging.getLogger(__name__)

# Calls written to before the event loop gets a turn: a few milliseconds.
_BATCH: Final = 256


class Broker(Protocol):
    """What a crowd needs of the broker."""

    @property
    def now(self) -> Callable[[], Moment]: ...
    def look(self, caller: Caller) -> Served | None: ...
    async def fetch(self, caller: Caller) -> Served: ...
    def keep(self, caller: Caller) -> None: ...


class Connection(Protocol):
    """Whose the call is; `free` says that it was answered and may send the next request."""

    @property
    def transport(self) -> asyncio.Transport: ...
    @property
    def peer(self) -> Peer | None: ...
    def free(self) -> None: ...


class Call:
    """One held call. `opened`: its `200` is out, and the ticker writes to it."""

    __slots__ = ("connection", "crowd", "opened")

    def __init__(self, connection: Connection, crowd: Crowd) -> None:
        self.connection = connection
        self.crowd = crowd
        self.opened = False

    def leave(self) -> None:
        """The client is gone, or was cut."""
        self.crowd.leave(self)


class Crowds:
    """All held calls of the lane. `describe` tells of the process behind a connection."""

    def __init__(
        self,
        broker: Broker,
        ticker: Ticker,
        spawn: Spawn,
        *,
        describe: Callable[[Peer | None], Awaitable[dict[str, Any]]] = describe_peer,
    ) -> None:
        self.describe = describe
        self.broker = broker
        self.ticker = ticker
        self.spawn = spawn
        self._standing: dict[tuple[str, Technique], Crowd] = {}
        self._due: list[tuple[float, int, Call]] = []  # when to open it, or to cut it
        self._numbers = 0
        self._timer: asyncio.TimerHandle | None = None

    def join(
        self,
        bearer: Bearer,
        caller: Caller,
        technique: Technique,
        connection: Connection,
        since: float,
    ) -> Call:
        """Hold a call that came at `since`, by the loop's clock."""
        key = (bearer.digest, technique)
        crowd = self._standing.get(key)
        if crowd is None:
            crowd = self._standing[key] = Crowd(self, key, bearer, caller)
        call = Call(connection, crowd)
        crowd.join(call)
        if technique.dribble:
            self._at(since + technique.opens, call)
        if technique.limit is not None:
            self._at(since + technique.limit, call)
        return call

    def forget(self, crowd: Crowd) -> None:
        """It takes in no more."""
        if self._standing.get(crowd.key) is crowd:
            del self._standing[crowd.key]

    def close(self) -> None:
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()

    # -- what time does to a call ----------------------------------------------------------------

    def _at(self, when: float, call: Call) -> None:
        self._numbers += 1
        heapq.heappush(self._due, (when, self._numbers, call))
        if self._due[0][2] is call:
            self._wind()

    def _wind(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(self._due[0][0], self._on_due) if self._due else None

    def _on_due(self) -> None:
        head, now = b"", asyncio.get_running_loop().time()
        for _ in range(_BATCH):
            if not self._due or self._due[0][0] > now:
                break
            call = heapq.heappop(self._due)[2]
            if call not in call.crowd.calls:
                continue
            if call.opened:
                call.crowd.cut(call)
            else:
                head = head or chunked_head(self.broker.now()) + chunk(b" ")
                self._open(call, head)
        self._wind()

    def _open(self, call: Call, head: bytes) -> None:
        transport = call.connection.transport
        if transport.is_closing():
            return
        call.opened = True
        transport.write(head)
        self.ticker.add(transport, farewell(call.crowd.key[1]))


class Crowd:
    """See the module. Its calls wait in the order in which they came."""

    def __init__(
        self, crowds: Crowds, key: tuple[str, Technique], bearer: Bearer, caller: Caller
    ) -> None:
        self.key = key
        self.calls: dict[Call, None] = {}
        self._technique = key[1]
        self._crowds = crowds
        self._broker = crowds.broker
        self._bearer = bearer
        self._caller = replace(caller, describe=self._describe, more=lambda: len(self.calls) - 1)
        self._stop = crowds.spawn(self._work())

    def join(self, call: Call) -> None:
        self.calls[call] = None

    def leave(self, call: Call) -> None:
        """One less; the last one takes the fetch with it, and so its place in the question."""
        self._crowds.ticker.remove(call.connection.transport)
        if self.calls.pop(call, call) is None and not self.calls:
            self._crowds.forget(self)
            self._stop()

    def cut(self, call: Call) -> None:
        """Our own limit, not the client's will: the question stays open."""
        self._broker.keep(self._caller)
        self.leave(call)
        call.connection.transport.abort()

    async def _work(self) -> None:
        try:
            await self._answer_all()
        except BorrowError as exc:
            await self._refuse_all(exc)
        except Exception:
            logger.exception("held calls failed")
            for call in tuple(self.calls):
                call.connection.transport.abort()
        finally:
            self._crowds.forget(self)

    async def _answer_all(self) -> None:
        # A credential may end between being found and being written: then the next one is fetched.
        for _ in range(AGAIN):
            await self._broker.fetch(self._caller)
            while (body := self._found()) is not None:
                self._give(body)
                if not self.calls:
                    return
                await asyncio.sleep(0)
            await asyncio.sleep(PAUSE)
        raise Unavailable("the credentials end as fast as they come")

    def _found(self) -> bytes | None:
        served = self._broker.look(self._caller)
        return None if served is None else container_document(served, self._broker.now())

    async def _refuse_all(self, error: BorrowError) -> None:
        self._crowds.forget(self)  # who comes now asks anew, or hears it from memory
        while self.calls:
            self._give(error)
            await asyncio.sleep(0)

    def _give(self, result: bytes | BorrowError) -> None:
        """The end of a batch of calls, in one write each."""
        whole = sized(*told(result, self._technique), self._broker.now())
        last = last_words(result, self._technique)
        for call in tuple(islice(self.calls, _BATCH)):
            del self.calls[call]
            transport = call.connection.transport
            self._crowds.ticker.remove(transport)
            if transport.is_closing():
                continue
            if not call.opened:
                transport.write(whole)
            elif last is not None:
                transport.write(chunk(last) + chunk(b""))
            else:
                transport.abort()
                continue
            call.connection.free()

    async def _describe(self) -> dict[str, Any]:
        """The process behind one of the calls; another one's if that left meanwhile."""
        while self.calls:
            call = next(iter(self.calls))
            found = await self._crowds.describe(call.connection.peer)
            if call in self.calls:
                box = self._bearer.container  # as `container` tells it
                return found | ({"container": box} if box else {})
        return {}
