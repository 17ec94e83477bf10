"""Templates into pages. What is put into one is text: escaped, and made visible, by itself.

Every value passes `protocol.text.shown` before it is escaped, unless it was cut to a length of its
own with the filter `shown` or is markup of ours: a template cannot forget it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from unicodedata import bidirectional

from borrow.protocol.text import shown

if TYPE_CHECKING:
    from jinja2 import Environment

    from borrow.approver.pages.statics import Statics

_FROM_THE_RIGHT: Final = frozenset({"R", "AL", "AN"})
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"  # UAX #9
LONGEST = 2_400  # characters of one value; a session policy has 2,048 at most


class Drawn(str):
    """Text that went through `shown` already."""

    __slots__ = ()


class Renderer:
    def __init__(self, statics: Statics) -> None:
        self._statics = statics
        self._made: Environment | None = None

    def page(self, template: str, **values: Any) -> str:
        return self._environment().get_template(template).render(**values)

    def _environment(self) -> Environment:
        # Made when the first page is asked for: a workstation that shows none does not wait for it.
        if self._made is None:
            self._made = _environment(self._statics)
        return self._made


def _environment(statics: Statics) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("borrow.approver.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters.update(
        shown=drawn, lasts=lasts, iso=iso, clock=clock, left=left, sentence=sentence
    )
    made.globals.update(asset=statics.address, has=statics.has)
    return made


def drawn(text: str, limit: int = 300) -> Drawn:
    """Writing that runs from the right is held together, or it would reorder ours beside it."""
    safe = shown(str(text), limit)
    runs_left = any(bidirectional(char) in _FROM_THE_RIGHT for char in safe)
    return Drawn(f"{_FIRST_STRONG_ISOLATE}{safe}{_POP_ISOLATE}" if runs_left else safe)


def _visible(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Drawn) and not hasattr(value, "__html__"):
        return drawn(value, LONGEST)
    return value


def iso(at: float) -> str:
    """For machines: the browser shows it in its person's own time zone."""
    return datetime.fromtimestamp(int(at), UTC).isoformat().replace("+00:00", "Z")


def clock(at: float) -> str:
    """For people whose browser runs no script."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%-d %b %H:%M UTC")


def sentence(message: str) -> Drawn:
    """One of our error messages, which start lower-case and end without a stop."""
    text = shown(message[:1].upper() + message[1:], LONGEST)
    return Drawn(text if text.endswith((".", "?", "!", "…")) else f"{text}.")


def lasts(seconds: int) -> str:
    """5400 → `1 hour 30 minutes`."""
    parts, rest = [], int(seconds)
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(rest, size)
        parts += [f"{count} {unit}{'s' if count > 1 else ''}"] if count else []
    return " ".join(parts) or "no time"


def left(seconds: float) -> str:
    """About how long that is, in one word and a number."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"
