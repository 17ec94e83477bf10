"""The short memory of which devices there are: shared, never empty by accident, dropped in time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from borrow.approver.devices import FRESH, Devices
from borrow.minter.port import Device
from borrow.protocol.ids import ClientId
from borrow_fakes.clock import Clock

if TYPE_CHECKING:
    from borrow.approver.ports import MinterPort


class SlowMinter:
    """Answers with the devices it has when it answers, as often as it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.state = "active"
        self.let = asyncio.Semaphore(0)

    async def devices(self) -> tuple[Device, ...]:
        self.asked += 1
        found = (Device(ClientId("d-1"), "ann@example.com", "", {}, self.state),)  # type: ignore[arg-type]  # a str
        await self.let.acquire()
        return found


def over(minter: SlowMinter, ticks: Clock) -> Devices:
    port: MinterPort = minter  # type: ignore[assignment]  # what this test needs of one
    return Devices(port, ticks)


async def test_all_who_ask_at_once_share_one_answer() -> None:
    minter = SlowMinter()
    devices = over(minter, Clock())
    asking = [asyncio.ensure_future(devices.find("d-1")) for _ in range(5)]
    await asyncio.sleep(0)
    minter.let.release()
    found = await asyncio.gather(*asking)
    assert [device.client_id for device in found if device] == ["d-1"] * 5
    assert minter.asked == 1


async def test_an_answer_from_before_a_change_does_not_count() -> None:
    minter = SlowMinter()
    devices = over(minter, Clock())
    asking = asyncio.ensure_future(devices.find("d-1"))
    await asyncio.sleep(0)
    minter.state = "frozen"
    devices.forget()
    minter.let.release()
    minter.let.release()
    found = await asking
    assert found is not None
    assert found.state == "frozen"


async def test_unknown_names_ask_the_minter_once_a_second() -> None:
    minter, ticks = SlowMinter(), Clock()
    devices = over(minter, ticks)
    for _ in range(4):
        minter.let.release()
    assert [await devices.find("d-2") for _ in range(3)] == [None] * 3
    assert minter.asked == 1
    ticks.advance(FRESH)
    assert await devices.find("d-2") is None
    assert minter.asked == 2
