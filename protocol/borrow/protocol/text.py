"""Hostile text made fit for a terminal, a page or a chat line.

Everything a client typed (reasons, argv, paths, branches) is shown through `shown`: controls, C1,
bidi marks and invisible characters become `\\u{1b}`, long text is cut, and text that mixes
scripts inside one word is marked (Unicode UTS #39 calls it a mixed-script confusable).
"""

from __future__ import annotations

import re
import unicodedata

MIXED_MARK = "⚠ mixed scripts: "
_WORD = re.compile(r"\w+")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "FULLWIDTH")
_HIDDEN = frozenset(
    "\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800"
)  # letters and signs that draw nothing


def shown(text: str, limit: int = 300) -> str:
    """`text` on one line of at most about `limit` characters, with nothing that acts."""
    cut = text[:limit]
    out = "".join(char if _is_plain(char) else f"\\u{{{ord(char):x}}}" for char in cut)
    if len(text) > limit:
        out += "…"
    return MIXED_MARK + out if has_mixed_scripts(cut) else out


def has_mixed_scripts(text: str) -> bool:
    """True if one word mixes scripts that look alike, such as Latin with Cyrillic."""
    return any(len(_scripts_of(word)) > 1 for word in _WORD.findall(text))


def _scripts_of(word: str) -> set[str]:
    names = (unicodedata.name(char, "") for char in word if char.isalpha())
    return {script for name in names for script in _SCRIPTS if name.startswith(script)}


def _is_plain(char: str) -> bool:
    if char == " ":
        return True
    # Cc, Cf (bidi, zero width), Cs, Co, Cn, Zl, Zp, Zs and stray marks act on a terminal or hide.
    category = unicodedata.category(char)
    return not category.startswith(("C", "Z")) and char not in _HIDDEN and category != "Me"
