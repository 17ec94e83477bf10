"""Whether its person is at this desktop: one word, told to the daemon once a minute. Pure.

The word orders whom a question calls first, and nothing else. It says no more than it can know:
where the desktop does not tell how long nobody touched it, it is never `active`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["active", "idle", "locked", "absent"]

SWITCH: Final = "BORROW_PRESENCE"  # "off": nothing is told
IDLE_AFTER: Final = 300.0  # seconds without key or mouse
EVERY: Final = 60.0  # seconds; the daemon forgets what is older than a few of these


@dataclass(frozen=True, slots=True)
class Heard:
    """What was told last, and when by a clock that does not jump."""

    state: State | None = None
    at: float = 0.0

    def due(self, state: State, now: float) -> bool:
        return state != self.state or now - self.at >= EVERY


def judge(*, paused: bool, locked: bool, idle: float | None) -> State:
    """`idle` in seconds, None if nobody tells. Who paused prompts does not want to be asked."""
    if paused:
        return "absent"
    if locked:
        return "locked"
    return "active" if idle is not None and idle < IDLE_AFTER else "idle"


def is_off(environ: Mapping[str, str]) -> bool:
    return environ.get(SWITCH, "") == "off"
