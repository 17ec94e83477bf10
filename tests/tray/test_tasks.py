"""What the tray started ends with it, also what had not begun."""

from __future__ import annotations

import asyncio
import gc

from borrow.tray.tasks import spawner


async def test_what_is_cancelled_before_it_began_is_closed_and_warns_of_nothing() -> None:
    """Warnings are errors here."""

    async def work() -> None:
        raise AssertionError("it began")

    async with asyncio.TaskGroup() as group:
        spawner(group)(work())
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
    gc.collect()
