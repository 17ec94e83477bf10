"""A clock that moves when told."""

from __future__ import annotations

import threading

START = 1_764_000_000.0  # a day in November 2025; any late enough would do


class Clock:
    """Call it for unix seconds. Safe from any thread."""

    def __init__(self, now: float = START) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> float:
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Forward, or back for a clock that was set."""
        with self._lock:
            self._now += seconds

    def set(self, now: float) -> None:
        with self._lock:
            self._now = now
