"""People at workstations with the real command, and a cloud that opens nothing (`fake`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow_fakes.lab import Home, home
from borrow_fakes.solo_mode import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def solo() -> Iterator[Home]:
    """One person alone, shared by the tests of a module."""
    with home() as one:
        yield set_up(one)


@pytest.fixture
def fresh() -> Iterator[Home]:
    """A workstation on which nothing of Borrow is set up yet."""
    with home() as one:
        yield one
