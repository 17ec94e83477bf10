"""One connection at the door: until its head is whole, and for as long as the fast lane serves it.

What the lane does not take is aiohttp's for good (`set_protocol`). While a call is held here, what
its client sends on waits, up to the size of a head.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, cast

if TYPE_CHECKING:
    from typing_extensions import override

    from borrow.daemon.front import Door
    from borrow.daemon.peer import Peer
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


# Seconds an idle or half-sent later request may keep a connection: aiohttp's only header deadline.
KEEPALIVE: Final = 15.0

# What the lane says of a connection that has to be looked at first; then it is asked once more.
LATER: Final = b""

# And of a call that has to wait, which it does in the lane's care.
HOLD: Final = b"hold"


class Said(Protocol):
    """The lane's word on one request."""

    @property
    def answer(self) -> bytes: ...


class Held(Protocol):
    """A call that waits for its answer."""

    def leave(self) -> None:
        """Its client is gone."""


class Visitor(asyncio.Protocol):
    """See the module; the head's time and size are step 4 of the door's checks."""

    __slots__ = (
        *(
            "_answered",
            "_buffer",
            "_deadline",
            "_door",
            "_entered",
            "_held",
            "_last",
            "_loop",
            "_looking",
            "_since",
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
        self._last: Said | None = None  # what the lane said latest
        self._held: Held | None = None  # the request before `_buffer`, which waits
        self._since = 0.0  # when the first byte of `_buffer`, or of what is held, came
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
        if not self._buffer:
            self._since = self._loop.time()
        if self._entered and not self._buffer and self._held is None:
            done = self._answer(data)
            if done is not False:
                self._buffer = b"" if done else data
                return
        self._buffer += data
        most = self._door.limits.max_head
        if len(self._buffer) > most and (
            self._held is not None or not _is_complete(self._buffer[:most])
        ):
            if self._answered and self._held is None:
                self._hand_over()  # a later request: aiohttp's limit, and its answer
            else:
                self._door.refuse(self.transport, "big")
            return
        self._pass_on()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        if self._held is not None:
            self._held.leave()
            self._held = None
        self._door.forget(self)

    def _pass_on(self) -> None:
        if not self._entered or not (self._buffer and _is_complete(self._buffer)):
            return
        if self._looking or self._held is not None:
            return
        done = self._answer(self._buffer)
        if done:
            self._buffer = b""
        elif done is False:
            self._hand_over()

    def free(self) -> None:
        """What was held has its answer; the next request may be here already."""
        self._held = None
        self._answered = self._loop.time()
        self._deadline = self._loop.call_later(KEEPALIVE, self._on_deadline)
        if self._buffer:
            self._loop.call_soon(self._pass_on)

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
        said = lane(data, self.peer, self._last)
        if said is None:
            return False
        answer = said.answer
        if answer is LATER:
            if looked or self.peer is None or self._door.look is None:
                return False
            self._looking = True
            self._door.look(data, self.peer, self._on_look)
            return None
        if answer is HOLD:
            if self._door.hold is not None:
                self._held = self._door.hold(data, self, self._since)
            if self._held is not None:
                self._stop_deadline()
            return self._held is not None
        self._last = said
        self._answered = self._loop.time()
        self.transport.write(answer)
        return True

    def _on_deadline(self) -> None:
        """The head's, or after an answer the next request's: then idle, and closed as such."""
        if self._looking:  # its head is here; we are who is slow
            self._deadline = self._loop.call_later(KEEPALIVE, self._on_deadline)
            return
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


def _is_complete(data: bytes) -> bool:
    """True if aiohttp has all it needs to judge the head, be it only to say that it is none.

    A first byte that starts no method (a TLS hello) is refused at once, not at the deadline. Blank
    lines in front are skipped by aiohttp, so they do not count: they would buy its longer deadline.
    """
    head = data.lstrip(b"\r\n")
    return b"\r\n\r\n" in head or b"\n\n" in head or (head != b"" and not head[:1].isupper())
