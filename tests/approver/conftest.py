"""One approver per test, over a real minter, on a loopback socket; and people with devices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, CAT, Client, FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock)
    await front.open()
    yield front
    await front.close()


@pytest.fixture
async def ann(desk: FrontDesk) -> Client:
    return await desk.join(ANN)


@pytest.fixture
async def bea(desk: FrontDesk) -> Client:
    return await desk.join(BEA)


@pytest.fixture
async def cat(desk: FrontDesk) -> Client:
    """An administrator."""
    return await desk.join(CAT)
