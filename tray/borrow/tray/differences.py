"""How a request differs from the same person's last one for the same role. Pure.

`last` comes from the approver with the request: `null` if none was decided yet. How that one ended
is fact; what was claimed then is as little verified as what is claimed now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.tray.labels import claims, mapping, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST: Final = "never decided before for this person and role"
SAME: Final = "nothing else was claimed then"
BRIEF: Final = 60  # characters of what was otherwise
_COMPARED: Final = (
    *("reason", "ticket", "agent", "program", "started by", "directory", "container", "host"),
)
_COARSE: Final = ((86_400, "d"), (3600, "h"), (60, "m"))


def last_time(one: Mapping[str, Any], now: float) -> str:
    """How their last request ended, and when; "" if the approver does not say."""
    if "last" not in one:
        return ""
    if one["last"] is None:
        return FIRST
    last = mapping(one["last"])
    length = show_duration(whole(last.get("seconds")))
    return (
        f"{text(last.get('state'))} {_ago(now - whole(last.get('asked_at')))}, asked for {length}"
    )


def claimed_then(one: Mapping[str, Any]) -> str:
    """What the device claimed otherwise the last time; "" if there was none."""
    if not isinstance(one.get("last"), dict):
        return ""
    then, today = dict(claims(one["last"])), dict(claims(one))
    changed = [
        f"{label}: {_brief(then.get(label, 'none'))}"
        for label in _COMPARED
        if then.get(label) != today.get(label)
    ]
    return " · ".join(changed) or SAME


def _brief(value: str) -> str:
    return value if len(value) <= BRIEF else value[: BRIEF - 1] + "…"


def _ago(seconds: float) -> str:
    for size, unit in _COARSE:
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return "just now"
