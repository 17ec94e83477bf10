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
        ("é 日本 ok", "é 日本 ok"),
    ],
)
def test_what_acts_is_shown_as_its_code(hostile: str, safe: str) -> None:
    assert shown(hostile) == safe


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
