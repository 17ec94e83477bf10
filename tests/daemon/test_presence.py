"""What the tray says of its person goes with the events poll, and ages out."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.moments import Moment
from borrow.daemon.presence import GOOD_FOR, Presence
from borrow.protocol.errors import Misconfigured
from borrow_fakes.workstation import workstation

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not what():  # noqa: ASYNC110  another task brings it
            await asyncio.sleep(0.01)


async def test_the_next_poll_says_what_the_tray_said_and_nothing_before() -> None:
    async with workstation() as machine:
        machine.fake.event_poll = 0.1
        async with machine.control_stream("GET", "/v1/watch"):
            await until(lambda: len(machine.fake.presence) > 1)
            assert set(machine.fake.presence) == {None}
            told = await machine.control("POST", "/v1/presence", {"state": "active"})
            assert told["state"] == "active"
            await until(lambda: machine.fake.presence[-1] == "active")
            await machine.control("POST", "/v1/presence", {"state": "locked"})
            await until(lambda: machine.fake.presence[-1] == "locked")


@pytest.mark.parametrize(
    "body", [{}, {"state": "asleep"}, {"state": 1}, {"state": "idle", "where": "home"}]
)
async def test_another_word_is_refused(body: dict[str, object]) -> None:
    async with workstation() as machine:
        assert (await machine.control("POST", "/v1/presence", body))["status"] >= 400


def test_a_word_that_is_not_renewed_ages_out() -> None:
    now = Moment(1000.0, 10.0)
    presence = Presence(lambda: now)
    assert presence() == ""
    presence.tell("active")
    now = Moment(1000.0 + GOOD_FOR - 1, 10.0 + GOOD_FOR - 1)
    assert presence() == "active"
    now = Moment(1000.0, 10.0 + GOOD_FOR)  # slept, with a clock that was set back
    assert presence() == ""
    with pytest.raises(Misconfigured, match="no such presence"):
        presence.tell("")
