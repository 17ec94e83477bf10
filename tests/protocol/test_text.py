"""A46: text that would act on a terminal is shown instead; durations mean one thing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.protocol.durations import parse_duration, show_duration
from borrow.protocol.errors import Misconfigured
from borrow.protocol.text import has_mixed_scripts, shown


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
        ("\x9b31m", "\\u{9b}31m"),
        ("\x1b]8;;http://x\x07", "\\u{1b}]8;;http://x\\u{7}"),
        ("a\rb", "a\\u{d}b"),
        ("a\nb", "a\\u{a}b"),
        ("ab\u202ecd", "ab\\u{202e}cd"),
        ("a\u200bb", "a\\u{200b}b"),
        ("a\u2028b", "a\\u{2028}b"),
        ("a\u2066b\u2069", "a\\u{2066}b\\u{2069}"),
        ("a\ufe0fb", "a\\u{fe0f}b"),
        ("a\U000e0100b", "a\\u{e0100}b"),
        ("a\U000e01ef", "a\\u{e01ef}"),
        ("a\U000e0041\U000e007f", "a\\u{e0041}\\u{e007f}"),
        ("a\u034fb", "a\\u{34f}b"),
        ("a\u180bb", "a\\u{180b}b"),
        ("a\u2800b", "a\\u{2800}b"),
        ("p\u0336rod", "p\\u{336}rod"),
        ("=\u0338", "=\\u{338}"),
        ("\u0301x", "\\u{301}x"),
        (" \u0301x", " \\u{301}x"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + "\\u{301}" * 2),
        ("é 日本 ok", "é 日本 ok"),
        ("e\u0302\u0301 \u05e9\u05c1\u05b8 \u0915\u094d\u0937\u093f", None),
    ],
)
def test_what_acts_is_shown_as_its_code(hostile: str, safe: str | None) -> None:
    assert shown(hostile) == (hostile if safe is None else safe)


def test_nothing_that_unicode_lets_a_terminal_ignore_is_left() -> None:
    """Default_Ignorable_Code_Point of Unicode 16, whole: bytes can be hidden in any of them."""
    spans = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5)]
    spans += [(0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F)]
    spans += [(0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0)]
    spans += [(0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)]
    for first, last in spans:
        for code in range(first, last + 1):
            assert shown(f"a{chr(code)}") == f"a\\u{{{code:x}}}"


@given(st.text())
def test_nothing_that_acts_is_left(text: str) -> None:
    out = shown(text, 50)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") for char in out)


def test_long_text_is_cut() -> None:
    assert shown("x" * 400) == "x" * 300 + "…"


def test_a_word_of_two_scripts_is_marked() -> None:
    assert has_mixed_scripts("p\u0430ypal")
    assert not has_mixed_scripts("hello мир")
    assert "mixed scripts" in shown("p\u0430ypal")


@given(st.integers(1, 7 * 86_400))
def test_a_duration_reads_back(seconds: int) -> None:
    assert parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize("bad", ["", "1", "h", "1h 30m", "-5m", "1.5h", "30m1h", "١m"])
def test_what_is_no_duration_says_how_to_write_one(bad: str) -> None:
    with pytest.raises(Misconfigured) as told:
        parse_duration(bad)
    assert told.value.hint
