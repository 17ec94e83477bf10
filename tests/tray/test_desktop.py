"""The tray on a real desktop: real X, panel, notifications, mouse and keys; only the cloud is fake.

One desk serves the module. Pictures are kept where BORROW_TEST_ARTEFACTS says, and looked at here
for what has to be in them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from borrow.tray.drawing import COLOURS
from borrow.tray.picture import Look
from borrow_fakes.desk import PANEL, Desk
from borrow_fakes.lab import BORROW, Home, finish, wait_for
from borrow_fakes.seat import DENY, FETCH, REVIEW, Seat, keep
from borrow_fakes.solo_mode import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ICON = (0, 0, 31, PANEL)
TEXT = "#2e3436"  # of the desktop's theme


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Desk() as one:
        yield one


@pytest.fixture
def seat(desk: Desk) -> Iterator[Seat]:
    """One person in solo mode, whose tray is in the panel."""
    with contextlib.ExitStack() as stack:
        one = Seat.at(desk, Home.make())
        stack.callback(one.home.close)
        set_up(one.home)
        one.start_tray()
        stack.callback(one.end_tray)
        yield one


def shows(seat: Seat, look: Look) -> bool:
    return seat.desk.has_colour(COLOURS[look], ICON, least=40)


def test_the_icon_says_what_is_held_and_the_menu_gives_it_back(seat: Seat, tmp_path: Path) -> None:
    assert shows(seat, Look.IDLE)
    keep(seat.desk.shot(), "idle", tmp_path)
    seat.home.borrow("ask", "dev-read", "--wait")
    wait_for(lambda: shows(seat, Look.LENT), why="the colour of what is lent")
    assert seat.title().startswith("Borrow: dev-read for 59m")
    assert seat.desk.has_colour("#ffffff", (8, 6, 24, 24), least=20)  # the minutes
    seat.open_menu()
    keep(seat.desk.shot(), "lent-menu", tmp_path)
    left, top, right, bottom = seat.desk.menus()[0]
    assert right - left > 150
    assert seat.desk.has_colour(TEXT, (left, top, right, bottom), least=200)
    seat.desk.key("Escape")
    seat.pick("dev-read · 59m left", "Done")
    wait_for(lambda: shows(seat, Look.IDLE), why="the icon to be idle again")
    assert seat.home.status()["grants"] == []


def test_a_call_waits_the_person_reviews_says_yes_and_it_succeeds(
    seat: Seat, tmp_path: Path
) -> None:
    child = seat.home.spawn(BORROW, "run", "click", "-m", "fix <b>it</b>", "--", *FETCH)
    wait_for(seat.questions, why="the notification")
    wait_for(lambda: shows(seat, Look.ASKED), why="the colour of a question")
    keep(seat.desk.shot(), "asked", tmp_path)
    assert child.poll() is None
    seat.press(REVIEW)
    window = seat.desk.window("Borrow")
    keep(seat.desk.shot(), "window", tmp_path)
    assert child.poll() is None  # the button opened a window and granted nothing
    say_yes(seat, window)
    code, out, err = finish(child)
    assert code == 0, err
    assert "AccessKeyId" in out
    wait_for(lambda: not seat.desk.has_window("Borrow"), why="the window to close")
    wait_for(lambda: shows(seat, Look.LENT), why="what is lent")


def say_yes(seat: Seat, window: str) -> None:
    """With the keyboard alone; the buttons are dead for a second."""
    seat.desk.focus(window)
    seat.desk.tool("xdotool", "sleep", "1.3")
    seat.desk.key("alt+a")


def test_deny_on_the_notification_refuses_the_call_at_once(seat: Seat) -> None:
    child = seat.home.spawn(BORROW, "run", "click", "--", *FETCH)
    wait_for(seat.questions, why="the notification")
    seat.press(DENY)
    code, out, _ = finish(child)
    assert code != 0
    assert "AccessKeyId" not in out
    wait_for(lambda: not seat.questions(), why="the notification to go")
    assert not seat.desk.has_window("Borrow")


def test_what_is_decided_elsewhere_is_withdrawn(seat: Seat) -> None:
    child = seat.home.spawn(BORROW, "run", "click", "--", *FETCH)
    asked = seat.home.pending("click")["request"]
    wait_for(seat.questions, why="the notification")
    seat.home.borrow("deny", asked, "-y")
    wait_for(lambda: not seat.questions(), why="the notification to go")
    wait_for(lambda: shows(seat, Look.IDLE), why="the icon to be idle again")
    assert finish(child)[0] != 0


def test_the_icon_comes_back_when_the_panel_does(seat: Seat) -> None:
    seat.desk.end("xfce4-panel")
    wait_for(lambda: seat.desk.icon() is None, why="the panel to be gone")
    seat.desk.start_panel()
    wait_for(lambda: shows(seat, Look.IDLE), why="the icon in the new panel")
    seat.open_menu()
    seat.desk.key("Escape")
