"""The waiting line, as text: events and a time in, words out."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.asking import error_of_event
from borrow.cli.waiting import Waiting
from borrow.protocol.errors import Needs, Refused, Unavailable, Untrusted

NOW = 1_000_000.0
EVENT: dict[str, Any] = {
    "event": "waiting",
    "request": "r-1",
    "role": "prod",
    "number": "123",
    "words": "lusab-babad",
    "mode": "peer",
    "asked": ["bo@example.com", "cy@example.com"],
    "expires_at": NOW + 900,
    "caller": {"exe": "/usr/bin/terraform", "argv": "/usr/bin/terraform apply", "pid": -1},
}


def test_the_line_says_what_is_asked_by_whom_of_whom_and_how_long() -> None:
    waiting = Waiting("prod").told(EVENT)
    assert waiting.head() == "asking for prod by terraform apply (r-1)"
    assert waiting.what_to_do() == "number 123, words lusab-babad: they see the same"
    assert waiting.line(NOW) == "waiting for bo@example.com or cy@example.com, 15m left"


def test_ones_own_yes_is_asked_for_where_it_can_be_given() -> None:
    mine = EVENT | {"mode": "self", "asked": []}
    typed = Waiting("prod").told(mine | {"match": True, "factors": ["consent", "totp"]})
    assert typed.what_to_do() == "number 123: for you to type where you say yes"
    assert typed.line(NOW) == "waiting for your yes: borrow approve r-1, 15m left"
    away = Waiting("prod").told(mine | {"match": False, "factors": ["passkey"]})
    assert away.what_to_do() == ""
    assert away.line(NOW) == "waiting for your yes on your other device, 15m left"


@pytest.mark.parametrize("width", [1, 20, 30, 40, 60, 200])
def test_a_short_row_keeps_the_time_and_cuts_no_command_in_half(width: int) -> None:
    mine = Waiting("prod", "r-" + "1" * 26, mode="self", expires_at=NOW + 900)
    others = Waiting("prod").told(EVENT)
    for waiting in (mine, others):
        row = waiting.line(NOW, width)
        assert len(row) < max(width, 12)
        assert row.endswith("15m left")
        assert "borrow approve" not in row or waiting.request in row


def test_seen_looking_and_the_usual_wait_show_as_they_come() -> None:
    waiting = Waiting("prod").told(EVENT)
    seen = waiting.told({"event": "seen", "seen": {"seen": ["bo@example.com"], "usual_wait": 38.2}})
    assert "seen by bo@example.com, usually 38s" in seen.line(NOW)
    both = {"seen": ["bo@example.com", "cy@example.com"], "looking": ["cy@example.com"]}
    looking = seen.told({"event": "seen", "seen": both})
    assert "seen by 2, cy@example.com is looking, usually 38s" in looking.line(NOW)
    assert looking.request == "r-1"


def test_half_a_yes_says_what_is_missing_of_it() -> None:
    half = {"person": "bo@example.com", "given": ["passkey"], "missing": ["device"]}
    waiting = Waiting("prod").told(EVENT)
    told = waiting.told({"event": "seen", "seen": {"halves": [half]}})
    said = "bo@example.com said yes with a passkey; their workstation's yes is missing"
    assert told.line(NOW) == f"{said}, 15m left"
    assert len(told.line(NOW, 60)) < 60
    gone = told.told({"event": "seen", "seen": {"seen": ["bo@example.com"]}})  # it was withdrawn
    assert "seen by bo@example.com" in gone.line(NOW)


def test_trouble_on_the_way_is_said_and_goes_away() -> None:
    away = Waiting("prod").told({"event": "unavailable", "message": "the approver does not answer"})
    assert away.line(NOW) == "the approver does not answer, trying again"
    assert "trying" not in away.told(EVENT).line(NOW)


def test_this_very_command_is_not_named_as_the_asking_program() -> None:
    event = EVENT | {"caller": {"argv": "python borrow ask prod", "pid": os.getpid()}}
    assert Waiting("prod").told(event).head() == "asking for prod (r-1)"


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        ("/usr/bin/python3 /home/ann/report.py --all", "report.py --all"),
        ("/usr/bin/python3 -c pass", "python3 -c pass"),
        ("aws s3 ls", "aws s3 ls"),
    ],
)
def test_a_script_is_named_rather_than_its_interpreter(argv: str, shown: str) -> None:
    event = EVENT | {"caller": {"argv": argv, "pid": -1}}
    assert Waiting("prod").told(event).caller == shown


@given(
    st.dictionaries(
        st.sampled_from([*EVENT, "seen", "trouble", "message"]),
        st.none()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.dictionaries(st.text(), st.text()),
    )
)
def test_no_event_breaks_the_line_or_acts_on_the_terminal(event: dict[str, Any]) -> None:
    waiting = Waiting("prod").told(event)
    text = waiting.head() + waiting.what_to_do() + waiting.line(NOW)
    assert text.isprintable()


def test_the_last_event_decides_the_kind_of_error() -> None:
    def of(event: str, **more: Any) -> Exception:
        return error_of_event({"event": event, "message": "m"} | more)

    assert isinstance(of("needs", fields={"reason": "x"}), Needs)
    assert isinstance(of("needs"), Untrusted)
    assert isinstance(of("unavailable"), Unavailable)
    assert isinstance(of("refused", state="denied", request="r-1"), Refused)
    assert isinstance(of("refused", state="expired"), Unavailable)
    assert isinstance(of("refused", state="not_recorded", unavailable=True), Unavailable)
