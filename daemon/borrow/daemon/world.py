"""The outside as the daemon sees it: clocks, randomness, terminals, the kernel.

The one place where they are read, and what tests replace by working fakes. Imports little: it is
loaded before the daemon listens.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.daemon.moments import Moment
from borrow.daemon.peer import PeerSource, system_peers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from borrow.daemon.caller import Session
    from borrow.daemon.front import Limits
    from borrow.daemon.telling import Draw, Say
    from borrow.daemon.terminal import Drawn, Live

# Seconds a request stays open after its last client left by itself: long enough for a re-run.
GRACE: Final = 30.0


def system_moment() -> Moment:
    # macOS has no CLOCK_BOOTTIME; its monotonic clock stops in sleep, the wall clock does not.
    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return Moment(time.time(), time.clock_gettime(boot))  # noqa: TID251  the edge that reads it


def say(session: Session, line: str, *, after_live: bool = False, bell: bool = False) -> bool:
    from borrow.daemon import terminal  # late: needed once somebody waits

    return terminal.say(session, line, after_live=after_live, bell=bell)


def draw(session: Session, line: Live, *, after_live: bool = False) -> Drawn:
    from borrow.daemon import terminal

    return terminal.draw(session, line, after_live=after_live)


def alive(sid: int, start: int) -> bool:
    from borrow.daemon.caller import session_alive

    return session_alive(sid, start)


class World(NamedTuple):
    """`entropy(n)` gives n random bytes; `grace` is in seconds."""

    now: Callable[[], Moment] = system_moment
    entropy: Callable[[int], bytes] = os.urandom
    say: Say = say
    draw: Draw = draw
    alive: Callable[[int, int], bool] = alive
    peers: Callable[[], PeerSource] = system_peers
    grace: float = GRACE
    limits: Limits | None = None
    look_every: float = 15.0  # seconds between two looks for a grant that ends soon
    lane: bool = True  # False: aiohttp answers everything
    environ: Mapping[str, str] = os.environ
