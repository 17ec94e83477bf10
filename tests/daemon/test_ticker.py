"""The rhythm of held calls."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from borrow.daemon.ticker import DRIBBLE, EVERY, EVERY_OF_MANY, MANY, Ticker
from borrow_fakes.edge import until

if TYPE_CHECKING:
    from typing_extensions import override
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


BEAT = 0.02


class Held:
    """A transport that keeps what was written to it, and can be full or closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unsent = 0
        self.closing = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.closing

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)


def test_a_beat_is_one_space_in_one_chunk_four_times_a_second() -> None:
    assert (DRIBBLE, EVERY) == (b"1\r\n \r\n", 0.25)


class Clockwork:
    """An event loop's timers, in virtual time: whoever works moves the clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: tuple[float, Callable[..., object], tuple[Any, ...]] | None = None

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        self.due = (when, callback, args)
        return cast("asyncio.Handle", self)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any
    ) -> asyncio.Handle:
        return self.call_at(self.now + delay, callback, *args)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> asyncio.Handle:
        return self.call_at(self.now, callback, *args)

    def cancel(self) -> None:
        """We are our own handle."""
        self.due = None

    def run_for(self, seconds: float) -> None:
        """All that falls due within them."""
        end = self.now + seconds
        while self.due is not None and self.due[0] <= end:
            self.run_one()
        self.now = end

    def run_one(self) -> float:
        """Jump to what is due and do it; when that was."""
        assert self.due is not None
        (when, callback, args), self.due = self.due, None
        self.now = max(self.now, when)
        began = self.now
        callback(*args)
        return began


def ticking() -> tuple[Ticker, Clockwork]:
    clockwork = Clockwork()
    return Ticker(every=BEAT, loop=lambda: clockwork), clockwork


def test_every_held_call_gets_the_same_beats() -> None:
    ticker, clockwork = ticking()
    calls = [Held() for _ in range(150)]
    for call in calls:
        ticker.add(call.transport)
    clockwork.run_for(BEAT * 3.5)
    assert {tuple(call.written) for call in calls} == {(DRIBBLE,) * 3}


def test_at_a_stop_only_those_who_would_not_notice_hear_of_it() -> None:
    ticker, _ = ticking()
    deaf, other, gone = Held(), Held(), Held()
    ticker.add(deaf.transport, b"bye")
    ticker.add(other.transport)
    ticker.add(gone.transport, b"bye")
    gone.closing = True
    ticker.say_farewell()
    assert [call.written for call in (deaf, other, gone)] == [[b"bye"], [], []]


def test_many_calls_get_a_slower_beat_and_the_quick_one_once_they_are_few_again() -> None:
    clockwork = Clockwork()
    ticker, calls = Ticker(loop=lambda: clockwork), [Held() for _ in range(MANY + 1)]
    for call in calls:
        ticker.add(call.transport)
    clockwork.run_for(EVERY + EVERY_OF_MANY * 9.5)
    assert {len(call.written) for call in calls} == {10}
    ticker.remove(calls.pop().transport)
    clockwork.run_for(EVERY_OF_MANY + EVERY * 3)
    assert {len(call.written) for call in calls} == {14}
    assert EVERY_OF_MANY <= 0.5  # two beats in the second that IMDS clients wait


def test_it_does_not_exist_while_nothing_is_held() -> None:
    ticker, clockwork = ticking()
    call = Held()
    states = [ticker.running]
    ticker.add(call.transport)
    states.append(ticker.running)
    ticker.remove(call.transport)
    states.append(ticker.running)
    assert states == [False, True, False]
    assert clockwork.due is None
    assert call.written == []


def test_it_starts_again_for_the_next_call() -> None:
    ticker, clockwork = ticking()
    first, second = Held(), Held()
    ticker.add(first.transport)
    ticker.remove(first.transport)
    ticker.add(second.transport)
    clockwork.run_for(BEAT * 1.5)
    assert (first.written, second.written) == ([], [DRIBBLE])


def test_a_client_that_does_not_read_gets_no_more() -> None:
    ticker, clockwork = ticking()
    full, reading = Held(), Held()
    full.unsent = 5
    ticker.add(full.transport)
    ticker.add(reading.transport)
    clockwork.run_for(BEAT * 1.5)
    assert (full.written, reading.written) == ([], [DRIBBLE])
    full.unsent = 0
    clockwork.run_for(BEAT)
    assert full.written == [DRIBBLE]


def test_a_client_that_left_is_forgotten() -> None:
    ticker, clockwork = ticking()
    gone = Held()
    ticker.add(gone.transport)
    gone.closing = True
    clockwork.run_for(BEAT * 1.5)
    assert (gone.written, len(ticker), ticker.running) == ([], 0, False)


def test_no_beat_follows_a_removal_within_the_same_round() -> None:
    """The body may be under way: a stray chunk in it would break the answer."""

    class Removing(Held):
        @override
        def write(self, data: bytes) -> None:
            ticker.remove(last.transport)

    ticker, clockwork = ticking()
    last = Held()
    for _ in range(64):
        ticker.add(Removing().transport)
    ticker.add(last.transport)
    clockwork.run_for(BEAT * 1.5)
    assert last.written == []


def test_removing_a_stranger_is_fine() -> None:
    ticker, _ = ticking()
    call = Held()
    ticker.add(call.transport)
    ticker.remove(Held().transport)
    assert ticker.running


async def test_a_real_loop_beats_too() -> None:
    ticker, call = Ticker(every=BEAT), Held()
    ticker.add(call.transport)
    await until(lambda: len(call.written) > 2)
    ticker.close()
    assert set(call.written) == {DRIBBLE}


class Slow(Held):
    """A transport whose every write takes a while."""

    def __init__(self, clockwork: Clockwork) -> None:
        super().__init__()
        self.clockwork = clockwork

    @override
    def write(self, data: bytes) -> None:
        super().write(data)
        self.clockwork.now += BEAT / 4


def test_the_rhythm_does_not_drift_with_the_work() -> None:
    clockwork = Clockwork()
    ticker, call = Ticker(every=BEAT, loop=lambda: clockwork), Slow(clockwork)
    ticker.add(call.transport)
    ticker.add(call.transport)  # twice is once
    beats = [clockwork.run_one() for _ in range(10)]
    assert [round(at - 100.0, 6) for at in beats] == [round(BEAT * n, 6) for n in range(1, 11)]
    assert len(call.written) == 10
