"""Bells: no change falls between looking and waiting, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from borrow.approver.waiting import Waiting
from borrow.protocol.errors import Unavailable


def waiting(most: int = 10, each: int = 5) -> Waiting:
    return Waiting(most=most, each=each)


async def quick(bell_wait: object) -> bool:
    """Whether a wait of five seconds ends at once."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    await bell_wait  # type: ignore[misc]  # a coroutine
    return loop.time() - since < 1


async def test_a_ring_before_the_wait_is_not_lost() -> None:
    w = waiting()
    with w.hold("slot", ["request:1"], owner="d") as bell:
        w.ring(["request:1"])
        assert await quick(bell.wait(5))


async def test_a_ring_counts_once() -> None:
    w = waiting()
    with w.hold("slot", ["request:1"], owner="d") as bell:
        w.ring(["request:1"])
        await bell.wait(5)
        assert await quick(bell.wait(0.01))
        assert not bell.must_end


async def test_other_subjects_do_not_wake() -> None:
    w = waiting()
    with w.hold("slot", ["request:1"], owner="d") as bell:
        w.ring(["request:2"])
        loop = asyncio.get_running_loop()
        since = loop.time()
        await bell.wait(0.05)
        assert loop.time() - since >= 0.04


async def test_a_newer_call_supersedes_and_keeps_the_slot() -> None:
    w = waiting()
    with w.hold("slot", ["s"], owner="d") as older:
        with w.hold("slot", ["s"], owner="d") as newer:
            assert older.superseded
            assert await quick(older.wait(5))
            assert not newer.superseded
        with w.hold("slot", ["s"], owner="d"):
            pass
    assert w.count == 0


async def test_closing_ends_the_waiting_and_those_to_come() -> None:
    w = waiting()
    with w.hold("a", ["s"], owner="d") as bell:
        w.close()
        assert bell.closing
        assert await quick(bell.wait(5))
    with w.hold("b", ["s"], owner="d") as late:
        assert late.closing
        assert await quick(late.wait(5))


async def test_one_device_cannot_take_every_place() -> None:
    w = waiting(most=3, each=2)
    with w.hold("a", [], owner="d"), w.hold("b", [], owner="d"):
        with pytest.raises(Unavailable), w.hold("c", [], owner="d"):
            pass
        with w.hold("c", [], owner="e"):
            with pytest.raises(Unavailable), w.hold("d", [], owner="f"):
                pass
            with w.hold("a", [], owner="d"):  # in place of an older one
                pass
    assert w.count == 0
