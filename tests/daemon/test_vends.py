"""Which key went to whom: what a datagram is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.daemon.cache import Grant, Held
from borrow.daemon.groups import Group
from borrow.daemon.moments import Deadline, Moment
from borrow.daemon.vends import LATE, MOST, Vends
from borrow.protocol.credentials import AwsCredentials

if TYPE_CHECKING:
    import pytest

NOW = Moment(1_000.0, 50.0)
ENDS = Deadline.at(1_900.0, NOW)
ANN = Group("dev", 10, 20)


def held(key: str, ends: Deadline = ENDS) -> Held:
    return Held(AwsCredentials(key, "canary-secret", "canary-token", 1_900), NOW, ends)


def grant(role: str = "base") -> Grant:
    return Grant("g-1", "r-1", role, "arn", ANN.id, "low", "session", "auto", ENDS)


def test_a_key_is_known_for_the_session_it_was_handed_to_and_for_no_other() -> None:
    vends = Vends()
    vends.note(ANN, grant(), held("ASIA1"), lambda: NOW)
    found = vends.find(ANN.for_role("other"), "ASIA1", NOW)  # the same session
    assert found is not None
    assert (found.role, found.at) == ("base", NOW)
    assert vends.find(Group("dev", 10, 21), "ASIA1", NOW) is None
    assert vends.find(Group("dev", 10, 20, agent="claude-code"), "ASIA1", NOW) is None
    assert vends.find(ANN, "ASIA2", NOW) is None


def test_the_first_time_counts() -> None:
    vends = Vends()
    vends.note(ANN, grant(), held("ASIA1"), lambda: NOW)
    vends.note(ANN, grant(), held("ASIA1"), lambda: Moment(1_005, 55))
    found = vends.find(ANN, "ASIA1", NOW)
    assert found is not None
    assert found.at.wall == 1_000


def test_it_is_forgotten_a_minute_after_its_end_whichever_clock_says_so() -> None:
    vends = Vends()
    vends.note(ANN, grant(), held("ASIA1"), lambda: NOW)
    assert vends.find(ANN, "ASIA1", Moment(1_900 + LATE - 1, 50))
    assert vends.find(ANN, "ASIA1", Moment(1_900 + LATE, 50)) is None
    assert vends.find(ANN, "ASIA1", Moment(1_000, 950 + LATE)) is None


def test_it_is_bounded_and_what_is_over_goes_first() -> None:
    vends = Vends()
    vends.note(ANN, grant(), held("ASIALIVE"), lambda: NOW)
    over = Deadline.at(1_001.0, NOW)
    later = Moment(1_100.0, 150.0)
    for number in range(MOST - 1):
        vends.note(ANN, grant(), held(f"ASIA{number}", over), lambda: NOW)
    vends.note(ANN, grant(), held("ASIANEW"), lambda: later)
    assert len(vends) == 2
    assert vends.find(ANN, "ASIALIVE", later)
    for number in range(2 * MOST):
        vends.note(ANN, grant(), held(f"ASIB{number}"), lambda: later)
    assert len(vends) == MOST


def test_the_log_names_key_and_group_once_and_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    vends = Vends()
    with caplog.at_level("INFO", logger="borrow.daemon.vends"):
        for _ in range(3):
            vends.note(ANN, grant(), held("ASIA1"), lambda: NOW)
    (record,) = caplog.records
    assert (record.key, record.group) == ("ASIA1", "dev:10:20")  # type: ignore[attr-defined]  # extra
    assert "canary" not in str(vars(record)) + repr(vends.find(ANN, "ASIA1", NOW))
