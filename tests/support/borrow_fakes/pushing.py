"""An approver and the push service that its browsers have, together for a module's tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from borrow_fakes.front_desk import FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from borrow_fakes.push_service import PushService


@contextlib.asynccontextmanager
async def desk_that_pushes(service: PushService, folder: Path) -> AsyncIterator[FrontDesk]:
    """By the service's own clock, and allowed to send to it: it is on the loopback."""
    front = FrontDesk(folder, service.clock, push_allow_hosts=(f"127.0.0.1:{service.port}",))
    await front.open()
    try:
        yield front
    finally:
        await front.close()
