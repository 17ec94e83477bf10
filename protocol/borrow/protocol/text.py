"""Hostile text made fit for a terminal, a page or a chat line.

Everything a client typed (reasons, argv, paths, branches) is shown through `shown`: controls, C1,
bidi marks, variation selectors, tags and all else that draws nothing become `\\u{1b}`, and so do
marks that strike a letter out, have none to sit on or pile up. Long text is cut, and text that
mixes scripts inside one word is marked (Unicode UTS #39 calls it a mixed-script confusable).
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MIXED_MARK = "⚠ mixed scripts: "
_WORD = re.compile(r"\w+")
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "FULLWIDTH")
# Letters, signs and marks that draw nothing: Unicode's Default_Ignorable_Code_Point, as far as
# their category does not tell, and blanks.
# The two ranges of variation selectors can carry any bytes.
_HIDDEN = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U00016fe4\U0001d159"
).union(map(chr, range(0xFE00, 0xFE10)), map(chr, range(0xE0100, 0xE01F0)))

# Marks on one letter. Vietnamese and Hebrew put two, Tibetan three; more cover the lines around.
_MOST_MARKS = 3
_OVERLAY = 1  # the combining class of what is drawn across its letter


def shown(text: str, limit: int = 300) -> str:
    """`text` on one line of at most about `limit` characters, with nothing that acts."""
    cut = text[:limit]
    out = "".join(_drawn(cut))
    if len(text) > limit:
        out += "…"
    return MIXED_MARK + out if has_mixed_scripts(cut) else out


def _drawn(text: str) -> Iterator[str]:
    """Each character, or its code."""
    room = 0  # for marks: none at the start, where they would sit on a character of ours
    for char in text:
        is_mark = unicodedata.category(char) == "Mn"
        plain = _is_plain(char) and (room > 0 or not is_mark)
        room = (room - 1 if is_mark else _MOST_MARKS if char != " " else 0) if plain else 0
        yield char if plain else f"\\u{{{ord(char):x}}}"


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
    if category.startswith(("C", "Z")) or category == "Me" or char in _HIDDEN:
        return False
    return unicodedata.combining(char) != _OVERLAY
