"""Abuse cases on a real desktop, each named by its id in the abuse catalogue."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pyotp
import pytest

from borrow_fakes.desk import Desk
from borrow_fakes.lab import BORROW, Home, finish, wait_for
from borrow_fakes.seat import FETCH, REVIEW, Seat
from borrow_fakes.solo_mode import set_up

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def seat() -> Iterator[Seat]:
    with contextlib.ExitStack() as stack:
        one = Seat.at(stack.enter_context(Desk()), Home.make())
        stack.callback(one.home.close)
        set_up(one.home)
        enrol(one.home)
        one.start_tray()
        stack.callback(one.end_tray)
        yield one


def enrol(home: Home) -> None:
    begun = home.control("POST", "/v1/totp").body
    code = pyotp.TOTP(begun["secret"]).now()
    assert home.control("POST", f"/v1/totp/{begun['enrolment']}", {"code": code}).status == 200


def test_a54_a_program_that_presses_keys_and_buttons_gets_nothing_sensitive(seat: Seat) -> None:
    """It reads the number from the daemon and owns mouse and keyboard; it has no code."""
    child = seat.home.spawn(BORROW, "run", "prod-admin", "-m", "harmless", "--", *FETCH)
    asked = seat.home.pending("prod-admin")
    seat.press(REVIEW)
    window = seat.desk.window("Borrow")
    seat.desk.focus(window)
    seat.desk.tool("xdotool", "sleep", "1.3")
    for typed in ("", asked["number"], "000000"):
        if typed:
            seat.desk.type(typed)
        seat.desk.key("alt+a")
        seat.desk.key("Tab")
        seat.desk.key("Return")
    seat.desk.tool("xdotool", "sleep", "0.5")
    seat.desk.key("Escape")
    wait_for(lambda: not seat.desk.has_window("Borrow"), why="the window to close")
    seat.click_over_bus("Your request", "Review…")  # the menu's own methods are open to it too
    wait_for(lambda: seat.desk.has_window("Borrow"), why="a window, which is all it gets")
    status = seat.home.status()
    assert status["grants"] == []
    assert [ask["state"] for ask in status["asks"]] == ["pending"]
    assert child.poll() is None
    seat.home.borrow("deny", asked["request"], "-y")
    assert finish(child)[0] != 0
