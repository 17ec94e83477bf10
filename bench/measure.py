"""Small tools for honest figures: interleaved rounds, medians, ratios of pairs."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile; `share` in 0..1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


def seconds_of(command: Sequence[str], env: Mapping[str, str]) -> float:
    """Wall time of one whole process."""
    begun = time.perf_counter()
    subprocess.run(command, env=dict(env), check=True, capture_output=True)
    return time.perf_counter() - begun


def paired(
    one: Callable[[], float], other: Callable[[], float], *, rounds: int
) -> tuple[float, float, float]:
    """(median of one, median of other, median ratio), the two taken in turn, one warm-up each."""
    one(), other()
    pairs = [(one(), other()) for _ in range(rounds)]
    return (
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
        statistics.median(a / b for a, b in pairs),
    )


def line(name: str, figure: str, wanted: str, *, met: bool) -> None:
    print(f"{'ok  ' if met else 'MISS'}  {name:<58} {figure:<34} wanted {wanted}", flush=True)
