"""Telling the approver that grants were given back, and letting the next question wait for that.

An equal question that overtakes the release would join the grant that is on its way out: it would
be answered with what its person has just given back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from borrow.protocol.errors import BorrowError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Grant
    from borrow.daemon.moments import Moment
    from borrow.daemon.tasks import Spawn

logger = logging.getLogger(__name__)

# Seconds a question waits for a release: an approver that is slower than this is in trouble, and
# then the question, which tells its waiters of it, goes its own way.
_PATIENCE: Final = 2.0


class Releases(Protocol):
    async def release(self, grant_id: str) -> None: ...


class GivingBack:
    """One daemon's releases that are under way."""

    def __init__(self, approver: Releases, now: Callable[[], Moment], spawn: Spawn) -> None:
        self._approver = approver
        self._now = now
        self._spawn = spawn
        self._under_way: dict[str, tuple[str, asyncio.Event]] = {}

    def release(self, grant: Grant) -> None:
        """In the background, until the approver knows or the grant is over by itself."""
        told = asyncio.Event()
        self._under_way[grant.grant_id] = (grant.role, told)
        self._spawn(self._release(grant, told))

    async def settled(self, role: str) -> None:
        """Until the approver knows which grants of `role` were given back, or after two seconds."""
        waits = [told.wait() for name, told in self._under_way.values() if name == role]
        if waits:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await asyncio.gather(*waits)
            except TimeoutError:
                logger.info("asking before a release is known", extra={"role": role})

    async def _release(self, grant: Grant, told: asyncio.Event) -> None:
        try:
            await self._until_told(grant)
        finally:
            told.set()
            self._under_way.pop(grant.grant_id, None)

    async def _until_told(self, grant: Grant) -> None:
        pause = 1.0
        while not grant.ends.passed(self._now()):
            try:
                await self._approver.release(grant.grant_id)
            except Unavailable:
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60.0)
            except BorrowError as exc:
                logger.info("not released", extra={"grant": grant.grant_id, "why": exc.state})
                return
            else:
                return
