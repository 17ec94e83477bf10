"""The broker's promises, over real sockets: one question, everybody served, a no remembered."""

from __future__ import annotations

import asyncio

from borrow_fakes.workstation import workstation


async def test_a_call_that_was_held_is_answered_by_the_yes() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        fetch = asyncio.ensure_future(machine.fetch("prod-admin", bearer))
        await machine.fake.asked_for()
        await asyncio.sleep(0.8)
        await machine.fake.approve()
        answer = await fetch
    assert answer.status == 200
    assert answer.json["AccessKeyId"].startswith("ASIA")
    assert answer.spaces >= 2
