"""`borrow not-me` in solo mode, and the way back: a code that no program of the same user has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.at_terminal import ended, enrolled, next_code, terminal
from borrow_fakes.lab import wait_for
from borrow_fakes.solo_mode import refused_with, set_up

if TYPE_CHECKING:
    from borrow_fakes.lab import Home


@pytest.fixture
def solo(fresh: Home) -> Home:
    """One of its own: it will be frozen."""
    return set_up(fresh)


def reported(solo: Home) -> str:
    """Freeze it over a live grant; the grant."""
    solo.borrow("ask", "dev-read", "--wait")
    grant = str(solo.status()["grants"][0]["grant"])
    told = solo.borrow("not-me", grant)
    assert told.stderr.endswith("work again: borrow unfreeze\n")
    assert solo.status()["grants"] == []
    error, hint = refused_with(solo.borrow("ask", "dev-read", ok=False), 3)
    assert "frozen" in error
    assert "unfreeze" in hint
    return grant


def test_a_fresh_code_unfreezes_and_what_ended_does_not_come_back(solo: Home) -> None:
    secret = enrolled(solo)
    grant = reported(solo)
    for code, line in (("000000", "not right"), (next_code(secret), "unfrozen")):
        with terminal(solo, "unfreeze") as child:
            child.expect("authenticator app: ")
            child.sendline(code)
            _, shown = ended(child)
            assert line in shown
    assert solo.status()["grants"] == []
    solo.borrow("ask", "dev-read", "--wait")
    assert solo.status()["grants"][0]["grant"] != grant
    assert "is not frozen" in refused_with(solo.borrow("unfreeze", ok=False), 1)[0]
    whys = [entry["why"] for entry in solo.log("device.active")]
    assert whys == ["by its only person, with a one-time code"]


def test_without_an_app_a_person_says_so_at_a_terminal_and_no_agent_can(solo: Home) -> None:
    reported(solo)
    refused_with(solo.borrow("unfreeze", ok=False), 2)  # no terminal
    error, _ = refused_with(solo.borrow("unfreeze", ok=False, env={"CLAUDECODE": "1"}), 3)
    assert "agent" in error
    for answer, code in (("n", 3), ("y", 0)):
        with terminal(solo, "unfreeze") as child:
            child.expect("borrow again")
            child.sendline(answer)
            assert ended(child)[0] == code
    solo.borrow("ask", "dev-read")

    def told() -> bool:
        notices = json.loads(solo.borrow("--json").stdout)["notices"]
        return "device_unfrozen" in [each["kind"] for each in notices]

    wait_for(told, why="the notice that the machine may work again")
