"""Globs of two signs, compiled once: `*` is any text, `?` is any one character, the rest is itself.

No classes, no braces: a policy is read by people in a hurry, and `[a-z]` in a name is a typo more
often than a wish.
"""

from __future__ import annotations

import re

_SIGNS = re.compile(r"\*+|\?|[^*?]+")


def is_glob(text: str) -> bool:
    return "*" in text or "?" in text


def compile_glob(text: str) -> re.Pattern[str]:
    """A pattern for `fullmatch`. A run of `*` counts as one, so it cannot multiply the work."""
    parts = (_translate(part) for part in _SIGNS.findall(text))
    return re.compile("".join(parts), re.DOTALL)


def _translate(part: str) -> str:
    if part.startswith("*"):
        return ".*"
    return "." if part == "?" else re.escape(part)
