"""An approver with pages per test, and people who visit them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, CAT, Client, FrontDesk
from borrow_fakes.team_policy import PAGES_POLICY
from borrow_fakes.visits import Visitor, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock, policy=PAGES_POLICY)
    await front.open()
    yield front
    await front.close()


@pytest.fixture
async def stranger(desk: FrontDesk) -> AsyncIterator[Visitor]:
    async with visitor(desk) as one:
        yield one


@pytest.fixture
async def ann(desk: FrontDesk) -> Client:
    """A workstation of Ann's, who asks."""
    return await desk.join(ANN)


@pytest.fixture
async def own(desk: FrontDesk) -> AsyncIterator[Visitor]:
    """Ann's phone."""
    async with visitor(desk) as one:
        await one.join(ANN)
        yield one


@pytest.fixture
async def bea(desk: FrontDesk) -> AsyncIterator[Visitor]:
    """Bea's phone; she answers for others."""
    async with visitor(desk) as one:
        await one.join(BEA)
        yield one


@pytest.fixture
async def cat(desk: FrontDesk) -> AsyncIterator[Visitor]:
    """An administrator's phone."""
    async with visitor(desk) as one:
        await one.join(CAT)
        yield one
