"""The tray on a real desktop: real X, panel, notifications, mouse and keys; only the cloud is fake.

One desk serves the module. Pictures are kept where BORROW_TEST_ARTEFACTS says, and looked at here
for what has to be in them.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow.cli.desktop import presence
from borrow.tray.drawing import COLOURS, MOON
from borrow.tray.picture import Look
from borrow_fakes import countdown, screensaver
from borrow_fakes.desk import PANEL, Desk
from borrow_fakes.lab import BORROW, Home, finish, wait_for
from borrow_fakes.seat import DENY, FETCH, REVIEW, Seat, keep
from borrow_fakes.solo_mode import ME, set_up
from borrow_fakes.solo_mode import POLICY as SOLO

if TYPE_CHECKING:
    from collections.abc import Iterator

# One role a test: what was denied is refused for a while.
ROLES = ("reviewed", "denied", "elsewhere", "chosen", "clicked", "locked", "paused")
POLICY = SOLO + "".join(
    f"""
[roles.{role}]
aws = "arn:aws:iam::111122223333:role/Click"
[[rule]]
id = "{role}"
who = ["{ME}"]
roles = ["{role}"]
approve = {{ mode = "self", factor = ["consent"] }}
"""
    for role in ROLES
)
ICON = (0, 0, 31, PANEL)
TEXT = "#2e3436"  # of the desktop's theme


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Desk() as one:
        yield one


@pytest.fixture(scope="module")
def shared(desk: Desk) -> Iterator[Seat]:
    with contextlib.ExitStack() as stack:
        one = Seat.at(desk, Home.make())
        stack.callback(one.home.close)
        set_up(one.home, policy=POLICY)
        one.start_tray()
        stack.callback(one.end_tray)
        yield one


@pytest.fixture
def seat(shared: Seat) -> Iterator[Seat]:
    """One person in solo mode, whose tray is in the panel; they hold nothing."""
    yield shared
    shared.home.borrow("return", "--all")
    wait_for(lambda: shows(shared, Look.IDLE), why="the icon to be idle again")


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
    child = seat.home.spawn(BORROW, "run", "reviewed", "-m", "fix <b>it</b>", "--", *FETCH)
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
    child = seat.home.spawn(BORROW, "run", "denied", "--", *FETCH)
    wait_for(seat.questions, why="the notification")
    seat.press(DENY)
    code, out, _ = finish(child)
    assert code != 0
    assert "AccessKeyId" not in out
    wait_for(lambda: not seat.questions(), why="the notification to go")
    assert not seat.desk.has_window("Borrow")


def test_what_is_decided_elsewhere_is_withdrawn(seat: Seat) -> None:
    child = seat.home.spawn(BORROW, "run", "elsewhere", "--", *FETCH)
    asked = seat.home.pending("elsewhere")["request"]
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


def test_a_role_is_borrowed_from_the_menu(seat: Seat, tmp_path: Path) -> None:
    seat.pick("Borrow…", "chosen")
    window = seat.desk.window("chosen")
    keep(seat.desk.shot(), "ask-window", tmp_path)
    say_yes(seat, window)
    asked = seat.home.pending("chosen")
    wait_for(seat.questions, why="the question that it became")
    seat.home.borrow("approve", asked["request"], "-y")
    wait_for(lambda: shows(seat, Look.LENT), why="what is lent")
    wait_for(lambda: not seat.desk.has_window("chosen"), why="the window to say so and close")


def test_a_click_on_the_icon_opens_what_waits_and_only_once(seat: Seat) -> None:
    child = seat.home.spawn(BORROW, "run", "clicked", "--", *FETCH)
    wait_for(lambda: shows(seat, Look.ASKED), why="the colour of a question")
    seat.click_icon()
    window = seat.desk.window("Borrow:")
    seat.click_icon()
    seat.desk.tool("xdotool", "sleep", "0.7")
    assert seat.desk.tool("xdotool", "search", "--onlyvisible", "--name", "Borrow:").split() == [
        window
    ]
    seat.desk.focus(window)
    seat.desk.key("Escape")  # not now
    wait_for(lambda: not seat.desk.has_window("Borrow:"), why="the window to close")
    assert child.poll() is None
    seat.pick("Your request: clicked", "Deny")
    assert finish(child)[0] != 0


def test_nothing_is_shown_on_a_locked_screen_until_it_is_unlocked(seat: Seat) -> None:
    address = seat.desk.env["DBUS_SESSION_BUS_ADDRESS"]
    saver = seat.home.spawn(sys.executable, screensaver.__file__, address, typed=True)
    assert saver.stdout is not None
    assert saver.stdin is not None
    assert saver.stdout.readline() == "locked\n"
    child = seat.home.spawn(BORROW, "run", "locked", "--", *FETCH)
    wait_for(lambda: shows(seat, Look.ASKED), why="the icon, which tells nobody who and why")
    assert not seat.questions()
    saver.stdin.write("\n")
    saver.stdin.flush()
    wait_for(seat.questions, why="the notification after the unlocking")
    seat.press(DENY)
    assert finish(child)[0] != 0


def test_the_icon_says_that_the_daemon_is_gone_and_starts_it_again(
    seat: Seat, tmp_path: Path
) -> None:
    seat.home.borrow("daemon", "stop")
    wait_for(lambda: "does not run" in seat.title(), why="the icon to say so")
    keep(seat.desk.shot(), "away", tmp_path)
    seat.click_icon()
    wait_for(lambda: shows(seat, Look.IDLE) and "nothing" in seat.title(), why="the new daemon")


def test_while_prompts_are_paused_the_badge_alone_tells(seat: Seat, tmp_path: Path) -> None:
    seat.pick("Pause prompts")
    wait_for(lambda: seat.desk.has_colour(MOON, ICON, least=8), why="the moon")
    child = seat.home.spawn(BORROW, "run", "paused", "--", *FETCH)
    wait_for(lambda: shows(seat, Look.ASKED), why="the colour of a question")
    keep(seat.desk.shot(), "paused", tmp_path)
    assert not seat.questions()
    seat.pick("Pause prompts")
    wait_for(seat.questions, why="the notification after the pause")
    seat.press(DENY)
    assert finish(child)[0] != 0


def test_there_is_one_tray_and_stop_ends_it(seat: Seat) -> None:
    assert seat.home.borrow("tray").stdout == "the tray is already there\n"
    said = {each.what: each.told for each in presence(seat.desk.env)}
    assert said["notify"] == "this desktop has notifications"
    assert said["tray"] == "this desktop has a tray for icons"
    assert seat.home.borrow("tray", "--stop").stdout == "the tray has ended\n"
    assert seat.tray is not None
    assert seat.tray.wait(5) == 0
    wait_for(lambda: seat.desk.icon() is None, why="the icon to go")
    assert seat.home.borrow("tray", "--stop").stdout == "no tray runs\n"
    seat.start_tray()


def test_the_tray_starts_with_the_daemon_and_is_nobodys_child(seat: Seat) -> None:
    """An agent that needed the daemon is not behind the windows of the person's tray."""
    seat.end_tray()
    seat.home.borrow("daemon", "stop")
    seat.home.borrow("daemon", "start", env={"BORROW_TRAY": "", "CLAUDECODE": "1"})

    def pid() -> str:
        """Once it is there and has its lock."""
        known = (seat.home.state / "tray.lock").read_text()
        return known if seat.desk.owns(f"org.kde.StatusNotifierItem-{known}-1") else ""

    started = wait_for(pid, why="the tray")
    assert "CLAUDECODE" not in Path(f"/proc/{started}/environ").read_text()
    parent, _, session = Path(f"/proc/{started}/stat").read_text().rpartition(")")[2].split()[1:4]
    assert session != str(os.getsid(0))
    assert parent != session  # the shell that started it is gone, and nobody's child is adopted
    seat.home.borrow("tray", "--stop")
    seat.start_tray()


@pytest.mark.slow
def test_six_hundred_countdown_updates_leak_nothing(desk: Desk) -> None:
    command = [sys.executable, countdown.__file__, "600"]
    done = subprocess.run(command, env=desk.env, capture_output=True, check=True, timeout=100)
    told = json.loads(done.stdout)
    assert told["late"] - told["early"] < 2048  # KiB
