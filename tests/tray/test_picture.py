from __future__ import annotations

import pytest

from borrow.tray.picture import Look, Picture, left_of, picture, short
from borrow.tray.snapshot import Snapshot
from borrow_fakes.tray_states import NOW, ask, decision, grant, snapshot

FROZEN = {"state": "frozen", "message": "frozen"}
AWAY = {"state": "x", "message": "the approver does not answer"}


@pytest.mark.parametrize(
    ("members", "look", "badge"),
    [
        ({}, Look.IDLE, ""),
        ({"grants": [grant(left=2525)]}, Look.LENT, "42"),
        ({"grants": [grant(left=0)]}, Look.IDLE, ""),
        ({"grants": [grant()], "decisions": [decision()]}, Look.ASKED, "1"),
        ({"asks": [ask()]}, Look.IDLE, ""),
        ({"asks": [ask(needs={"reason": "why"})]}, Look.ASKED, "1"),
        ({"decisions": [decision(f"r-{n}") for n in range(120)]}, Look.ASKED, "99"),
        ({"grants": [grant()], "trouble": AWAY}, Look.AWAY, ""),
        ({"decisions": [decision()], "trouble": FROZEN}, Look.FROZEN, ""),
        ({"enrolled": False}, Look.AWAY, ""),
    ],
)
def test_the_most_pressing_state_is_shown(
    members: dict[str, object], look: Look, badge: str
) -> None:
    seen = picture(snapshot(**members), NOW)
    assert (seen.look, seen.badge) == (look, badge)


def test_without_a_daemon_the_icon_says_so() -> None:
    assert picture(Snapshot(), NOW) == Picture(
        Look.AWAY, "", "Borrow: the daemon does not run", paused=False
    )


def test_the_title_names_what_ends_first() -> None:
    held = [grant("g-1", "dev", 7200), grant("g-2", "prod", 300)]
    assert picture(snapshot(grants=held), NOW).title == "Borrow: prod for 5m and 1 more"


@pytest.mark.parametrize(
    ("seconds", "badge", "words"),
    [
        (-5, "0", "<1m"),
        (59.9, "0", "<1m"),
        (60, "1", "1m"),
        (3599, "59", "59m"),
        (5999, "99", "1h39m"),
        (6000, "1h", "1h40m"),
        (47 * 3600, "47h", "1d23h"),
        (49 * 3600, "2d", "2d1h"),
    ],
)
def test_time_left_is_never_rounded_up(seconds: float, badge: str, words: str) -> None:
    assert short(seconds) == badge
    assert left_of(seconds) == words
