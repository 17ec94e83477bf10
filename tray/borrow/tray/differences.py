"""How a request differs from the same person's last one for the same role. Pure.

`last` comes from the approver with the request: `null` if none was decided yet. What was claimed
then is as little verified as what is claimed now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from borrow.protocol.durations import show_duration
from borrow.tray.labels import claims, mapping, text, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST: Final = "No request of theirs for this role was decided before."
BRIEF: Final = 48  # characters of what was otherwise
_COMPARED: Final = (
    *("reason", "ticket", "agent", "program", "started by", "directory", "container", "host"),
)
_COARSE: Final = ((86_400, "d"), (3600, "h"), (60, "m"))


def differences(one: Mapping[str, Any], now: float) -> str:
    """What was otherwise the last time, in a few sentences; "" if the approver does not say."""
    if "last" not in one:
        return ""
    if one["last"] is None:
        return FIRST
    last = mapping(one["last"])
    before, today = dict(claims(last)), dict(claims(one))
    changed = [
        f"{label} was {_brief(before.get(label, 'none'))}"
        for label in _COMPARED
        if before.get(label) != today.get(label)
    ]
    then, seconds = whole(last.get("seconds")), whole(one.get("seconds"))
    if then != seconds:
        changed.insert(0, f"for was {show_duration(then)}")
    state, ago = text(last.get("state")), _ago(now - whole(last.get("asked_at")))
    head = f"Their last request was {state} {ago}. "
    return head + (f"Since then: {' · '.join(changed)}" if changed else "Nothing differs.")


def _brief(value: str) -> str:
    return value if len(value) <= BRIEF else value[: BRIEF - 1] + "…"


def _ago(seconds: float) -> str:
    for size, unit in _COARSE:
        if seconds >= size:
            return f"{int(seconds // size)}{unit} ago"
    return "just now"
