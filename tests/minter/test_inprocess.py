"""The port in the same process: every method of the minter, as a coroutine."""

from __future__ import annotations

import asyncio
import inspect
import threading
from typing import TYPE_CHECKING

import pytest

from borrow.minter.authority import Minter
from borrow.minter.inprocess import MINTS, InProcessMinter
from borrow.minter.people import People
from borrow.protocol.errors import Refused
from borrow_fakes.minting import ANN, BO

if TYPE_CHECKING:
    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice


def public(cls: type) -> dict[str, inspect.Signature]:
    members = inspect.getmembers(cls, inspect.isfunction)
    return {name: inspect.signature(f) for name, f in members if not name.startswith("_")}


def test_the_adapter_has_the_methods_of_the_minter_and_their_signatures() -> None:
    expected = public(Minter) | public(People)
    del expected["close"]  # whoever made the minter closes it
    del expected["unfreeze_own"]  # solo mode's own, and no approver's
    offered = public(InProcessMinter)
    del offered["relying_party"]  # a value there
    assert offered == expected
    assert all(inspect.iscoroutinefunction(f) for f in vars(InProcessMinter).values()
               if inspect.isfunction(f) and f.__name__ != "__init__")  # fmt: skip


async def test_a_request_goes_all_the_way(house: MinterHouse, ann: FakeDevice) -> None:
    port = InProcessMinter(house.minter)
    signed = house.signed(ann, "click")
    request = (await port.accept_request(signed, ann.client_id)).view.request_id
    data = await port.new_statement(request, ANN, "approve", number="042", seconds=60)
    await port.accept_decision(
        request,
        ANN,
        ann.client_id,
        "approve",
        statement=data,
        evidence=house.evidence("consent", ann, data),
    )
    grant, _ = await port.open_grant(request, ann.client_id)
    minted = await port.mint(grant.grant_id, ann.client_id)
    assert minted.expires_at == grant.opened_at + 60
    assert (await port.request(request)).state == "redeemed"
    assert (await port.grant(grant.grant_id)).state == "active"
    assert await port.grants_for(None, ANN) == (grant,)
    assert await port.requests_for(ANN) == ()
    assert (await port.check_log()).bad_seq is None
    assert len(await port.log_entries(0, 3, person=None)) == 3
    assert await port.release(grant.grant_id, ann.client_id)
    assert await port.revoke(grant.grant_id, BO, "") == ()
    assert await port.sweep() == ()


async def test_a_cloud_that_hangs_does_not_hold_up_a_revocation(
    house: MinterHouse, ann: FakeDevice
) -> None:
    """More mints than threads wait for the cloud, and the grant they are for still ends at once."""
    port, answers, begun = InProcessMinter(house.minter), threading.Event(), threading.Semaphore(0)

    def hang() -> None:
        begun.release()
        answers.wait(20)

    house.cloud.during = hang
    grant = house.granted(ann)
    mints = [
        asyncio.ensure_future(port.mint(grant.grant_id, ann.client_id)) for _ in range(2 * MINTS)
    ]
    try:
        async with asyncio.timeout(10):
            for _ in range(MINTS):
                await asyncio.to_thread(begun.acquire)
            assert await port.revoke(grant.grant_id, BO, "")
    finally:
        answers.set()
        ends = await asyncio.gather(*mints, return_exceptions=True)
    assert all(isinstance(end, Refused) and end.state == "grant_exhausted" for end in ends)
    assert len(house.cloud.calls) == MINTS


async def test_refusals_come_through(house: MinterHouse, ann: FakeDevice) -> None:
    with pytest.raises(Refused):
        await InProcessMinter(house.minter).cancel("r-00000000000000000000000000", ann.client_id)
