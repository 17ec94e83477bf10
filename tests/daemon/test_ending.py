"""Extend is offered before a grant ends, by the daemon's clocks, and withdrawn when taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from borrow_fakes.workstation import Workstation, workstation


async def offer(machine: Workstation, *, within: float = 5.0) -> dict[str, Any]:
    async with asyncio.timeout(within):
        while True:
            for grant in (await machine.control("GET", "/v1/status"))["grants"]:
                if "extend" in grant:
                    found: dict[str, Any] = grant
                    return found
            await asyncio.sleep(0.02)


async def granted(machine: Workstation) -> str:
    machine.fake.auto = True
    bearer = await machine.bearer()
    assert (await machine.fetch("prod-admin", bearer)).status == 200
    return bearer


@pytest.mark.parametrize("clock", ["wall", "boot", "both"])
async def test_ten_minutes_before_the_end_by_either_clock_extend_is_offered(clock: str) -> None:
    async with workstation(look_every=0.05) as machine:
        await granted(machine)
        await asyncio.sleep(0.2)
        assert "extend" not in (await machine.control("GET", "/v1/status"))["grants"][0]
        if clock in ("wall", "both"):
            machine.shift.wall += 3100
        if clock in ("boot", "both"):
            machine.shift.boot += 3100
        assert (await offer(machine))["extend"] == "borrow extend prod-admin 30m"


async def test_a_wall_clock_put_back_does_not_put_the_offer_off() -> None:
    async with workstation(look_every=0.05) as machine:
        await granted(machine)
        machine.shift.wall -= 7200
        machine.shift.boot += 3100
        await offer(machine)


async def test_an_extension_withdraws_the_offer() -> None:
    async with workstation(look_every=0.05) as machine:
        await granted(machine)
        machine.shift.both(3100)
        old = await offer(machine)
        [event] = [
            each
            async for each in machine.events("/v1/extend", {"role": "prod-admin", "seconds": 3600})
            if each["event"] == "granted"
        ]
        assert event["grant"] != old["grant"]
        grants = (await machine.control("GET", "/v1/status"))["grants"]
        assert [("extend" in grant) for grant in grants] == [False]


async def test_a74_after_a_suspend_past_the_end_nothing_old_is_served_and_the_fetch_is_held() -> (
    None
):
    async with workstation(look_every=0.05) as machine:
        bearer = await granted(machine)
        machine.fake.auto = False
        machine.shift.both(8 * 3600)
        for grant in machine.fake.grants.values():
            grant.state = "expired"
        held = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        await machine.fake.asked_for(2)
        await asyncio.sleep(0.2)
        assert not held.done()
        await machine.fake.approve()
        assert (await held).status == 200
