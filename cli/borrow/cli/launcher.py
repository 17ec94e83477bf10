"""The line that a profile's `credential_process` is: the fast helper, with whole paths. Pure.

SDKs split it as a shell would or hand it to one, and some cut a value at ` #` or ` ;`, so what
cannot stand in it unharmed is refused.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from borrow.protocol.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path

UNSERVED: Final = "--unserved"
_BARE: Final = re.compile(r"[\w@%+=:,./-]+", re.ASCII)


def _helper() -> list[str]:
    from borrow.daemon import credential

    return [sys.executable, "-I", "-S", "-E", credential.__file__ or ""]


def serving(socket: Path, role: str, *more: str) -> str:
    """Gives credentials for `role`. `more`: the `borrow` that starts a daemon, and its state."""
    return _line([*_helper(), str(socket), role, *more])


def refusing(profile: str, role: str) -> str:
    """Says that `profile` is not served inside a run as `role`, and how it would be."""
    named = profile if _BARE.fullmatch(profile) else "?"
    return _line([*_helper(), UNSERVED, named, role])


def _line(words: list[str]) -> str:
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if _BARE.fullmatch(word):
        return word
    if not word.isprintable() or any(mark in word for mark in "'\"\\#;%$`"):
        raise Misconfigured(
            "a path of borrow has characters that a profile cannot hold",
            hint="install it, and set BORROW_STATE_DIR, where paths have plain letters",
        )
    return f'"{word}"'
