"""In which order those who may answer are called, and how long one who looks holds the rest. Pure.

Whose tray says that they are there is called at once, everybody else half a minute later, and later
still who asked not to be asked. A wave that nobody is in is no wave: where no tray says anything,
all are called at once. Calls are pushes, ntfy and webhooks; inbox and trays show a question always
at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from borrow.approver.presence import State

WAVE: Final = 30.0  # seconds between two
LOOK: Final = 60.0  # seconds for which one who opened it holds the others' calls
LONGEST: Final = 150.0  # seconds after the asking, past which nobody is held any more

_LATER: Final[dict[State | None, int]] = {"active": 0, "idle": 1, "locked": 1, None: 1, "absent": 2}


def delays(people: Iterable[str], presence: Callable[[str], State | None]) -> dict[str, float]:
    """Seconds after the asking at which each is called; somebody is at 0."""
    ranks = {person: _LATER[presence(person)] for person in people}
    waves = sorted(set(ranks.values()))
    return {person: waves.index(rank) * WAVE for person, rank in ranks.items()}


def held_until(asked_at: float, now: float) -> float:
    """Until when calls not yet made wait, when somebody opens the question at `now`.

    Nobody holds twice, and nobody for ever: who opens it and says nothing costs the others at most
    `LONGEST`.
    """
    return min(now + LOOK, asked_at + LONGEST)
