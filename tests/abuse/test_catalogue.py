"""Every case of the abuse catalogue that applies to what is built has a test that bears its id."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ENDPOINT = (
    *("a01", "a02", "a03", "a04", "a06", "a07", "a08", "a10", "a11", "a13", "a14", "a15", "a16"),
    *("a18", "a19", "a20", "a21", "a22", "a23", "a24", "a26", "a27", "a28", "a29", "a31", "a33"),
    *("a34", "a35", "a37", "a38", "a39", "a40", "a41", "a42", "a43", "a45"),
)
BEHIND_IT = (
    *("a46", "a49", "a50", "a51", "a52", "a53", "a56", "a57", "a58", "a59", "a60", "a61", "a62"),
    *("a63", "a64", "a65"),
    *("a68", "a69", "a70", "a71", "a72", "a74", "a76", "a78", "a80", "a81", "a83", "a84"),
)
DESKTOP = ("a48", "a54", "a55")  # A48 in the prompt; chat is not yet there
# Not yet there, because what they attack is not yet there: A77 (project files), A82 (PostgreSQL),
# A85 (macOS, Windows).


def ids_with_a_test() -> set[str]:
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text()
        for name in re.findall(r"def (test_\w+)", text) + re.findall(r'"(a\d\d) [a-z]', text):
            found.update(re.findall(r"(?:^|_)(a\d\d)(?=_|$)", name))
    return found


@pytest.mark.parametrize("case", [*ENDPOINT, *BEHIND_IT, *DESKTOP])
def test_a_case_of_the_catalogue_has_its_test(case: str) -> None:
    assert case in ids_with_a_test()
