"""Which devices there are, as the minter said within the last second.

The approver asks for keys and owners on every call; the minter stays the authority and checks
again, so a second of age costs nothing but a refusal that comes a step later.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from borrow.approver.ports import MinterPort
    from borrow.minter.port import Device

FRESH = 1.0  # seconds; also bounds how often unknown ids can make us ask


class Devices:
    def __init__(self, minter: MinterPort, ticks: Callable[[], float]) -> None:
        """`ticks` is a monotonic clock."""
        self._minter = minter
        self._ticks = ticks
        self._by_id: dict[str, Device] = {}
        self._until = float("-inf")
        self._generation = 0
        self._asking = asyncio.Lock()

    async def find(self, client_id: str) -> Device | None:
        return (await self._all()).get(client_id)

    async def of(self, people: Collection[str]) -> tuple[Device, ...]:
        """Their devices that may still be told things."""
        every = (await self._all()).values()
        return tuple(d for d in every if d.owner in people and d.state == "active")

    async def all(self) -> tuple[Device, ...]:
        return tuple((await self._all()).values())

    def forget(self) -> None:
        """A device was added, frozen or removed: an answer from before counts no more."""
        self._until = float("-inf")
        self._generation += 1

    async def _all(self) -> dict[str, Device]:
        if self._ticks() >= self._until:
            async with self._asking:  # one flight for all who ask meanwhile
                while self._ticks() >= self._until:
                    await self._ask()
        return self._by_id

    async def _ask(self) -> None:
        generation, now = self._generation, self._ticks()
        listed = await self._minter.devices()
        self._by_id = {device.client_id: device for device in listed}
        if generation == self._generation:  # else somebody called `forget` meanwhile: once more
            self._until = now + FRESH
