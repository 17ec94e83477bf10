"""The quick reading of `borrow run` and click's mean the same, or the quick one leaves it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli import running
from borrow.cli.errors import WrongUse
from borrow.cli.quickrun import Line, read


def by_click(words: list[str]) -> dict[str, Any] | None:
    import click

    try:
        context = running.run.make_context("run", list(words))
    except (click.ClickException, WrongUse):
        return None
    return context.params | {"command": context.obj}


WORDS = ["dev-read", "-m", "why", "--reason=because", "--ticket", "INC-1", "--for", "30m", "1x"]
WORDS += ["--elevate", "--agent", "bot", "--profile", "prod", "--profile=x", "--here", "--", "-q"]
WORDS += ["--dry-run", "-mx", "", "--for=2h", "--help=no", "--elevate=1"]


@given(st.lists(st.sampled_from(WORDS), max_size=7))
def test_what_is_read_quickly_means_what_click_reads(words: list[str]) -> None:
    words = [*words, "--", "aws", "-m", "--", "x"]
    line = read(words)
    if line is None:
        return
    told = by_click(words)
    assert told is not None, words
    assert not told.pop("dry_run")
    assert line._asdict() == told


def test_the_usual_lines_are_read_quickly() -> None:
    assert read(["prod-admin", "--", "aws", "s3", "ls"]) == Line(("aws", "s3", "ls"), "prod-admin")
    assert read(["--here", "--", "terraform"]) == Line(("terraform",), here=True)


@pytest.mark.parametrize(
    "words", [["aws", "s3", "ls"], ["--help"], ["a", "--"], ["a", "b", "--", "c"]]
)
def test_anything_odd_is_left_to_click(words: list[str]) -> None:
    assert read(words) is None
