from __future__ import annotations

import pytest

from borrow.policy.globs import compile_glob, is_glob


@pytest.mark.parametrize(
    ("glob", "text", "matches"),
    [
        ("prod-*", "prod-write", True),
        ("prod-*", "prod-", True),
        ("prod-*", "xprod-write", False),
        ("prod-?", "prod-a", True),
        ("prod-?", "prod-ab", False),
        ("prod-?", "prod-", False),
        ("*", "", True),
        ("*a*b*", "xaxbx", True),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("a*", "a\nb", True),
        ("a", "a\n", False),
    ],
)
def test_only_two_signs_mean_anything(glob: str, text: str, matches: bool) -> None:
    assert bool(compile_glob(glob).fullmatch(text)) is matches


def test_a_run_of_stars_is_one_star() -> None:
    assert compile_glob("*****").pattern == ".*"


def test_a_plain_name_is_no_glob() -> None:
    assert [is_glob(text) for text in ("a-b", "a*", "a?")] == [False, True, True]
