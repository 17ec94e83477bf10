"""Who owns the daemon's background work: one task group, whose members can be cancelled.

`spawn` gives back only the way to cancel, so that nobody waits for a task by accident: what a task
achieves it tells through the thing it works on.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

Spawn = Callable[[Coroutine[Any, Any, None]], Callable[[], object]]


class Tasks:
    """The tasks of one `asyncio.TaskGroup`, all of which end with `cancel_all`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._running: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> Callable[[], object]:
        task = self._group.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task.cancel

    def cancel_all(self) -> None:
        for task in tuple(self._running):
            task.cancel()
