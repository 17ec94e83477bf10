"""Two clocks at once: the wall's, and one that counts suspend and cannot be set.

A deadline is over as soon as either says so: a wall clock put back does not lengthen a grant, and
a night with a closed lid does not either. No clock is read here; `app` does.
"""

from __future__ import annotations

from typing import NamedTuple


class Moment(NamedTuple):
    """`wall` in unix seconds, `boot` in seconds of CLOCK_BOOTTIME."""

    wall: float
    boot: float

    def since(self, earlier: Moment) -> float:
        """Seconds that passed for whoever is the most careful: the larger of both differences."""
        return max(self.wall - earlier.wall, self.boot - earlier.boot)


class Deadline(NamedTuple):
    """An end, exclusive: at it, it has passed."""

    wall: float
    boot: float

    @classmethod
    def at(cls, wall: float, now: Moment) -> Deadline:
        """The end at unix time `wall`, as known at `now`."""
        return cls(wall, now.boot + (wall - now.wall))

    def earliest(self, other: Deadline) -> Deadline:
        return Deadline(min(self.wall, other.wall), min(self.boot, other.boot))

    def left(self, now: Moment) -> float:
        """Seconds until the end; zero or less once it has passed."""
        return min(self.wall - now.wall, self.boot - now.boot)

    def passed(self, now: Moment) -> bool:
        return self.left(now) <= 0
