"""Which icon, badge and line a snapshot deserves. Pure; `drawing` paints it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from borrow.protocol.durations import show_duration

if TYPE_CHECKING:
    from borrow.tray.snapshot import Snapshot


_UNTIL: Final = re.compile(r" until \S+Z")


class Look(StrEnum):
    """The icon's shape. Several may be true at once: the first that is true is shown."""

    AWAY = "away"  # no daemon, no approver, or not set up
    FROZEN = "frozen"
    ASKED = "asked"  # somebody waits for this person
    LENT = "lent"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Picture:
    """`badge` is at most three characters."""

    look: Look
    badge: str
    title: str
    paused: bool = False


def picture(known: Snapshot, now: float, *, paused: bool = False) -> Picture:
    waiting = len(known.waiting) + sum(1 for ask in known.asks if ask.needs)
    lent = [grant for grant in known.grants if grant.expires_at > now]
    if known.frozen:
        return Picture(Look.FROZEN, "", "Borrow: this device is frozen", paused)
    if not known.connected:
        return Picture(Look.AWAY, "", "Borrow: the daemon does not run", paused)
    if not known.enrolled:
        return Picture(Look.AWAY, "", "Borrow: not set up here", paused)
    if known.trouble:
        return Picture(Look.AWAY, "", f"Borrow: {known.trouble}", paused)
    if waiting:
        what = "a request waits" if waiting == 1 else f"{waiting} requests wait"
        return Picture(Look.ASKED, str(min(waiting, 99)), f"Borrow: {what} for you", paused)
    if lent:
        first = min(lent, key=lambda grant: grant.expires_at)
        more = f" and {len(lent) - 1} more" if len(lent) > 1 else ""
        left = left_of(first.expires_at - now)
        title = f"Borrow: {first.role} for {left}{more}"
        return Picture(Look.LENT, short(first.expires_at - now), title, paused)
    return Picture(Look.IDLE, "", "Borrow: nothing is borrowed", paused)


def left_of(seconds: float) -> str:
    """`1h5m`, `42m`; the last minute is `<1m`: the icon is drawn once a minute."""
    return show_duration(int(seconds) // 60 * 60) if seconds >= 60 else "<1m"


def without_end(text: str) -> str:
    """A notice's text without its ISO time: the icon counts the minutes."""
    return _UNTIL.sub("", text)


def short(seconds: float) -> str:
    """For a badge: `42` minutes, `3h`, `2d`; the end is `0`."""
    minutes = max(0, int(seconds)) // 60
    if minutes < 100:
        return str(minutes)
    return f"{minutes // 60}h" if minutes < 48 * 60 else f"{min(minutes // 1440, 99)}d"
