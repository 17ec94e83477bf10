"""One check of the whole log at a time, however many ask for one.

It reads every entry, seconds of work for a log of years: devices that ask at once must not take
the minter's threads from those who ask for a role. Who comes while one runs shares the next one,
so that nobody is told of a time before they asked.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from borrow.approver.ports import MinterPort
    from borrow.minter.port import LogCheck


class LogChecks:
    def __init__(self, minter: MinterPort) -> None:
        self._minter = minter
        self._turn = asyncio.Lock()
        self._begun = 0  # checks so far
        self._last: LogCheck | None = None  # what the newest of them found; None while it runs

    async def check(self) -> LogCheck:
        """What a check found that began after this call did."""
        before = self._begun
        async with self._turn:
            if self._begun == before or self._last is None:
                self._begun, self._last = self._begun + 1, None
                self._last = await self._minter.check_log()
            return self._last
