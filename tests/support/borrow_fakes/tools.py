"""What a test does when a program it drives is not on this machine.

Locally the test is skipped with the reason and the line that installs the tool. In CI, where
`BORROW_REQUIRE_ALL=1` is set, a missing tool fails instead: a suite that skips is not green.
"""

from __future__ import annotations

import os
import shutil

import pytest

REQUIRE_ALL = "BORROW_REQUIRE_ALL"


def need(missing: str | None, install: str) -> None:
    """Go on if nothing is `missing`; else skip (or fail, see above) with `install` as the cure.

    `missing` says what is not there ("radosgw is not installed"); None and "" mean all is there.
    """
    if not missing:
        return
    told = f"{missing}; install with: {install}"
    if os.environ.get(REQUIRE_ALL) == "1":
        pytest.fail(told, pytrace=False)
    pytest.skip(told)


def lacking(*programs: str) -> str | None:
    """Which of `programs` are not on PATH, as a sentence for `need`; None if all are."""
    absent = [name for name in programs if shutil.which(name) is None]
    return f"not on PATH: {', '.join(absent)}" if absent else None
