"""Tasks with an owner: what a callback starts ends with the group it was started in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    Spawn = Callable[[Coroutine[Any, Any, Any]], object]

logger = logging.getLogger(__name__)


def spawner(group: asyncio.TaskGroup) -> Spawn:
    """Start a task whose expected failures are logged and end nobody else."""

    async def guarded(work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except BorrowError as exc:
            logger.info("did not work: %s", exc.state)

    def spawn(work: Coroutine[Any, Any, Any]) -> object:
        task = group.create_task(guarded(work))
        # Cancelled before its first step, it has not begun `work`, which would warn of that.
        task.add_done_callback(lambda _: work.close())
        return task

    return spawn
