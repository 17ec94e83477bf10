"""Durations as people write them: `90s`, `15m`, `4h`, `7d`, `1h30m`. Always whole seconds."""

from __future__ import annotations

import re

from borrow.protocol.errors import Misconfigured

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_SHAPE = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?", re.ASCII)


def parse_duration(text: str) -> int:
    """Seconds in `text`. Raises Misconfigured unless like `7d`, `4h`, `90s` or a mix."""
    match = _SHAPE.fullmatch(text)
    if not text or match is None:
        raise Misconfigured(
            f"not a duration: {text[:40]!r}", hint="write it like 90s, 15m, 4h, 1h30m or 7d"
        )
    parts = zip(match.groups(), _UNITS.values(), strict=True)
    return sum(int(number) * unit for number, unit in parts if number)


def show_duration(seconds: float) -> str:
    """The shortest exact form of a whole number of seconds: 5400 → `1h30m`; 0 → `0s`."""
    left = int(seconds)
    if left <= 0:
        return "0s"
    out = ""
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        out += f"{count}{unit}" if count else ""
    return out
