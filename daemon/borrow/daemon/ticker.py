"""One heartbeat for every held call.

A held call has its `200` and its chunked body open; a space every quarter second keeps the SDK's
read timeout from firing (the IMDS clients give up after a second of silence) and is legal JSON
padding. One timer serves all of them: a timer per call costs three times the processor time, and
the ticker does not exist while nothing is held, so an idle daemon sleeps (PERF.md §4).

It owns the rhythm only. Opening the answer, ending it and forgetting a client that left belong to
the route that holds the call.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

# A chunk of one byte, a space (RFC 9112 §7.1).
DRIBBLE: Final = b"1\r\n \r\n"

# Seconds. Four beats fit into the one second that IMDS clients wait.
EVERY: Final = 0.25

# More held calls than this get a beat each 0.4 s, still two within that second: nearly all that a
# beat costs is the kernel's, 2.8 % of a core for a thousand calls four times a second.
MANY: Final = 400
EVERY_OF_MANY: Final = 0.4

# Transports written to before the event loop gets a turn; a thousand at once would take 10 ms.
_BATCH: Final = 64


class Timers(Protocol):
    """What an event loop does for us."""

    def time(self) -> float: ...
    def call_soon(self, callback: Callable[..., object], *args: Any) -> asyncio.Handle: ...
    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.Handle: ...
    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.Handle: ...


class Ticker:
    """Writes `chunk` to each held transport every `every` seconds, while there are any; every
    `every_of_many` while there are more than `many`."""

    def __init__(
        self,
        *,
        every: float = EVERY,
        every_of_many: float = EVERY_OF_MANY,
        many: int = MANY,
        chunk: bytes = DRIBBLE,
        loop: Callable[[], Timers] = asyncio.get_running_loop,
    ) -> None:
        self._loop = loop
        self._every = every
        self._every_of_many = every_of_many
        self._many = many
        self._chunk = chunk
        self._held: dict[asyncio.Transport, bytes] = {}  # in order of arrival, with its last chunks
        self._timer: asyncio.Handle | None = None

    def __len__(self) -> int:
        return len(self._held)

    @property
    def running(self) -> bool:
        return self._timer is not None

    def add(self, transport: asyncio.Transport, farewell: bytes = b"") -> None:
        """Start dribbling to `transport`, whose chunked answer has been opened."""
        self._held[transport] = farewell
        if self._timer is None:
            loop = self._loop()
            self._timer = loop.call_later(self._every, self._beat, loop)

    def remove(self, transport: asyncio.Transport) -> None:
        """Stop at once, so that the caller may write the body; unknown transports are fine."""
        self._held.pop(transport, None)
        if not self._held:
            self.close()

    def say_farewell(self) -> None:
        """To those who would not notice that the daemon went."""
        for transport, last in self._held.items():
            if last and not transport.is_closing():
                transport.write(last)

    def close(self) -> None:
        """Stop for all. The held transports are not closed; they belong to their routes."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, loop: Timers) -> None:
        every = self._every if len(self._held) <= self._many else self._every_of_many
        self._write_batch(loop, list(self._held), loop.time() + every)

    def _write_batch(self, loop: Timers, due: list[asyncio.Transport], next_at: float) -> None:
        for transport in due[:_BATCH]:
            if transport not in self._held:
                continue  # removed between two batches: its body may be under way
            if transport.is_closing():
                self._held.pop(transport)
            elif transport.get_write_buffer_size() == 0:
                # A client that reads nothing gets no more: its buffer would only grow.
                transport.write(self._chunk)
        rest = due[_BATCH:]
        if not self._held:
            self._timer = None
        elif rest:
            self._timer = loop.call_soon(self._write_batch, loop, rest, next_at)
        else:
            self._timer = loop.call_at(next_at, self._beat, loop)
