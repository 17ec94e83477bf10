"""docs/policy.md is held to the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from borrow.policy.load import load_policy
from borrow.policy.model import REFUSALS
from borrow.policy.review import check, run_tests
from borrow.protocol.errors import Misconfigured

PAGE = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_loads_and_keeps_its_own_promise() -> None:
    (text,) = EXAMPLES
    policy = load_policy(text)
    assert [finding for finding in check(policy) if finding.level == "error"] == []
    assert [result.passed for result in run_tests(policy)] == [True]


def test_the_page_lists_every_refusal() -> None:
    assert set(re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \|$", PAGE)) == set(REFUSALS)


def test_the_error_that_the_page_shows_is_the_one_that_comes() -> None:
    text = "\n" * 9 + (
        '[[rule]]\napprove = { mode = "self", factors = 1 }\nid = "prod-write"\n'
        'who = ["ann@example.com"]\nroles = ["r"]\n'
    )
    with pytest.raises(Misconfigured) as caught:
        load_policy(text)
    assert f"borrow: error: {caught.value.message}\n" in PAGE
    assert f"borrow: hint: {caught.value.hint}\n" in PAGE
