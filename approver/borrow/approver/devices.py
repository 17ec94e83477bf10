"""Which devices there are, as the minter said within the last second.

The approver asks for keys and owners on every call; the minter stays the authority and checks
again, so a second of age costs nothing but a refusal that comes a step later.
"""

from __future__ import annotations

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

    async def find(self, client_id: str) -> Device | None:
        return (await self._all()).get(client_id)

    async def of(self, people: Collection[str]) -> tuple[Device, ...]:
        """Their devices that may still be told things."""
        every = (await self._all()).values()
        return tuple(d for d in every if d.owner in people and d.state == "active")

    async def all(self) -> tuple[Device, ...]:
        return tuple((await self._all()).values())

    def forget(self) -> None:
        """A device was added, frozen or removed: the next look asks the minter."""
        self._until = float("-inf")

    async def _all(self) -> dict[str, Device]:
        now = self._ticks()
        if now >= self._until:
            self._until = now + FRESH  # before asking: a `forget` meanwhile must count
            try:
                listed = await self._minter.devices()
            except BaseException:
                self.forget()
                raise
            self._by_id = {device.client_id: device for device in listed}
        return self._by_id
