"""How often one device may call: a daemon that runs wild must not cost the others their answers.

Counted after its signature or token was found good, so that nobody can use up another's calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.protocol.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable


class Paces:
    """A bucket of `burst` calls per device, refilled with `rate` calls a second.

    `ticks` is a monotonic time in seconds. Devices that were quiet long enough are forgotten.
    """

    def __init__(self, *, burst: int, rate: float, ticks: Callable[[], float]) -> None:
        self._burst = burst
        self._rate = rate
        self._ticks = ticks
        self._left: dict[str, tuple[float, float]] = {}  # calls left, and when that was true
        self._tidied = float("-inf")

    def take(self, client_id: str) -> None:
        """One call; raises Unavailable (429) with the seconds until the next one is taken."""
        now = self._ticks()
        left, since = self._left.get(client_id, (float(self._burst), now))
        left = min(float(self._burst), left + (now - since) * self._rate)
        if left < 1:
            raise Unavailable(
                "this device calls too often",
                hint="it goes on by itself; if it does not, restart its daemon",
                state="too_often",
                retry_after=(1 - left) / self._rate,
            )
        self._left[client_id] = (left - 1, now)
        if now - self._tidied > self._burst / self._rate:
            self._tidy(now)

    def _tidy(self, now: float) -> None:
        full = self._burst / self._rate
        self._left = {who: had for who, had in self._left.items() if now - had[1] < full}
        self._tidied = now
