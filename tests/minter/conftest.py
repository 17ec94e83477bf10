"""One minter in a folder of its own, and two people with a device each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, settings

from borrow_fakes.minting import ANN, BO, MinterHouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from borrow_fakes.people import FakeDevice

# For `test_seeded_bugs.py`: a bug that is found need not be made small.
settings.register_profile("found-is-enough", phases=(Phase.explicit, Phase.generate))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[MinterHouse]:
    house = MinterHouse(tmp_path)
    yield house
    house.minter.close()


@pytest.fixture
def ann(house: MinterHouse) -> FakeDevice:
    return house.join(ANN)


@pytest.fixture
def bo(house: MinterHouse) -> FakeDevice:
    return house.join(BO)
