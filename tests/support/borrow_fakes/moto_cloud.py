"""The stand-in of a cloud as tests start it: in a process of its own, where moto is there."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from borrow.cli.demo.standin_process import StandInProcess
from borrow.protocol.errors import Misconfigured
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_seed import Seed


@contextlib.contextmanager
def stand_in(seed: Seed) -> Iterator[StandInProcess]:
    """It ends with the block. Without moto the test is skipped (or fails, see `need`)."""
    try:
        running = StandInProcess(seed).start()
    except Misconfigured as missing:
        need(missing.message, missing.hint)
        raise
    try:
        yield running
    finally:
        running.stop()
