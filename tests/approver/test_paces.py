"""A device that runs wild is slowed down, and nobody else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.approver.paces import Paces
from borrow.protocol.errors import Unavailable
from borrow_fakes.front_desk import ANN, BEA, FrontDesk

if TYPE_CHECKING:
    from pathlib import Path

    from borrow_fakes.clock import Clock


class Ticks:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_device_may_call_as_often_as_its_bucket_holds_and_then_at_the_rate() -> None:
    ticks = Ticks()
    paces = Paces(burst=3, rate=2.0, ticks=ticks)
    for _ in range(3):
        paces.take("d-one")
    with pytest.raises(Unavailable) as refused:
        paces.take("d-one")
    assert refused.value.retry_after == 0.5
    paces.take("d-other")
    ticks.now = 0.5
    paces.take("d-one")
    ticks.now = 1_000.0
    for _ in range(3):  # no more than the bucket holds, however long it was quiet
        paces.take("d-one")
    with pytest.raises(Unavailable):
        paces.take("d-one")


async def test_a_device_that_calls_too_often_is_told_when_to_come_back_and_others_go_on(
    tmp_path: Path, clock: Clock
) -> None:
    desk = FrontDesk(tmp_path, clock, calls=(12, 0.01))
    await desk.open()
    try:
        ann, bea = await desk.join(ANN), await desk.join(BEA)
        answers = [await ann.form("/bc-authorize", request="x") for _ in range(14)]
        assert (answers[0].status, answers[-1].status) == (400, 429)
        assert answers[-1].state == "too_often"
        assert int(answers[-1].headers["Retry-After"]) > 1
        assert (await bea.ask("dev-read")).status == 200
    finally:
        await desk.close()


async def test_a_stranger_cannot_use_up_the_calls_of_a_device(tmp_path: Path, clock: Clock) -> None:
    desk = FrontDesk(tmp_path, clock, calls=(6, 0.01))
    await desk.open()
    try:
        ann = await desk.join(ANN)
        for _ in range(10):
            forged = ann.auth() | {
                "client_assertion": ann.device.assertion(clock())[:-8] + "AAAAAAAA"
            }
            assert (await ann.send("POST", "/bc-authorize", data=forged)).status == 401
        assert (await ann.ask("dev-read")).status == 200
    finally:
        await desk.close()
