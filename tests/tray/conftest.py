"""One desktop and one workstation for all tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow_fakes import prompts
from borrow_fakes.desk import Desk
from borrow_fakes.lab import Home, home
from borrow_fakes.solo_mode import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Desk() as one:
        yield one


@pytest.fixture(scope="module")
def solo() -> Iterator[Home]:
    """One person alone, with a role for each way to say yes."""
    with home() as one:
        yield set_up(one, prompts.policy())
