"""`borrow prompt` on a real desktop: the real command, keys and mouse, and what is seen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.lab import wait_for
from borrow_fakes.prompts import PromptWindow, ask, code_of, enrol_app, hasten, prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow_fakes.desk import Desk
    from borrow_fakes.lab import Home


def state(one: Home, request: str) -> str:
    return str(one.control("GET", f"/v1/decisions/{request}").body.get("state"))


def wrong(number: str) -> str:
    return f"{(int(number) + 1) % 1000:03d}"


def in_the_first_second(window: PromptWindow, act: Callable[[], None]) -> None:
    """Do `act` for certain after the window came back and before its yes woke."""
    for _ in range(10):
        window.come_back()
        if window.armed():
            continue  # a busy machine: the second was over before we looked
        act()
        if not window.armed():
            return
    raise AssertionError("the machine is too busy")


def test_keys_alone_say_yes_for_less_time_than_was_asked(desk: Desk, solo: Home) -> None:
    request = ask(solo, "click-0", "-m", "for the keyboard")["request"]
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        window.key("Tab", "space")  # the first choice: 15 m
        window.press_yes()
        code, out, _ = window.ended()
    assert (code, out) == (0, f"approved: click-0 ({request})\n")
    (grant,) = wait_for(lambda: solo.status()["grants"], why="the grant")
    assert grant["expires_at"] - time.time() <= 900  # noqa: TID251  the daemon's own clock
    solo.borrow("return", "click-0")


def test_enter_presses_only_the_button_that_has_the_focus(desk: Desk, solo: Home) -> None:
    request = ask(solo, "click-1", "-m", "no default button")["request"]
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        window.key("Return", "Return", "KP_Enter", "space")
        assert (state(solo, request), window.process.poll()) == ("pending", None)
        window.key("shift+Tab", "Return")  # backwards from the start is the last: the yes
        code, out, _ = window.ended()
    assert (code, "approved" in out) == (0, True)
    solo.borrow("return", "click-1")


def test_a_click_on_deny_says_no_with_the_reason(desk: Desk, solo: Home) -> None:
    request = ask(solo, "click-2", "-m", "to be refused")["request"]
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        window.click_field(0)
        window.type("not during the freeze")
        window.click_no()
        code, out, _ = window.ended()
    assert (code, out) == (0, f"denied: click-2 ({request})\n")
    assert state(solo, request) == "denied"
    assert "not during the freeze" in solo.borrow("explain", request).stdout


def test_in_its_first_second_neither_mouse_nor_keys_decide(desk: Desk, solo: Home) -> None:
    """They were meant for another window; the same after it got the focus back."""
    request = ask(solo, "click-3", "-m", "too early")["request"]
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        yes = window.patch("yes")

        def act() -> None:
            window.click(yes)
            window.key("alt+a", "alt+d")

        in_the_first_second(window, act)
        assert (state(solo, request), window.process.poll()) == ("pending", None)
        window.wait_armed()
        window.click_yes()
        assert window.ended()[0] == 0
    solo.borrow("return", "click-3")


def test_coming_back_from_another_window_is_a_first_second_again(desk: Desk, solo: Home) -> None:
    request = ask(solo, "match-1", "-m", "come back")["request"]
    desk.spawn("xmessage", "-geometry", "+20+640", "-name", "another", "another window")
    other = desk.window("another")
    try:
        with prompt(desk, solo, request) as window:
            for _ in range(10):
                window.wait_armed()
                desk.focus(other)
                window.focus()
                if not window.armed():
                    break
            else:
                raise AssertionError("its yes was awake at once")
    finally:
        desk.end("xmessage")


@pytest.mark.parametrize("leave", ["Escape", "alt+n", "alt+F4"])
def test_leaving_is_not_now_and_decides_nothing(desk: Desk, solo: Home, leave: str) -> None:
    request = ask(solo, "click-4", "-m", "later perhaps")["request"]
    with prompt(desk, solo, request) as window:
        window.key(leave)
        code, out, err = window.ended()
    assert (code, out, err) == (130, "", "")
    assert state(solo, request) == "pending"


def test_a_wrong_number_and_a_wrong_code_are_told_in_red(desk: Desk, solo: Home) -> None:
    secret = enrol_app(solo)
    asked = ask(solo, "totp-0", "-m", "with everything")
    request, number = asked["request"], asked["number"]
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        assert not window.says_in("bad")
        window.type("12")  # the number has the focus from the start
        window.press_yes()
        window.wait_red()
        assert state(solo, request) == "pending"
        window.key("ctrl+a", "Delete")
        window.type(number)
        window.key("Return")  # the next field
        window.type("000000")
        window.press_yes()
        wait_for(lambda: solo.log("totp.wrong"), why="the code to be refused")
        window.wait_red()
        window.shot("wrong-code")
        assert state(solo, request) == "pending"
        window.type(code_of(secret))  # the field is empty again and has the focus
        window.press_yes()
        code, out, _ = window.ended()
    assert (code, out) == (0, f"approved: totp-0 ({request})\n")
    solo.borrow("return", "totp-0")


def test_the_third_wrong_number_ends_the_question_in_the_window(desk: Desk, solo: Home) -> None:
    asked = ask(solo, "match-0", "-m", "guessing")
    request = asked["request"]
    with prompt(desk, solo, request) as window:
        for count in range(3):
            window.wait_armed()
            window.type(wrong(asked["number"]))
            window.press_yes()
            wait_for(lambda n=count: len(solo.log("number.mismatch")) > n, why="a wrong number")  # type: ignore[misc]
        code, out, err = window.ended()
    assert (code, out) == (0, "")
    assert "it was withdrawn" in err
    assert state(solo, request) == "cancelled"


def test_what_is_answered_elsewhere_closes_the_window(desk: Desk, solo: Home) -> None:
    request = ask(solo, "click-5", "-m", "elsewhere")["request"]
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        solo.borrow("deny", request, "-y")
        window.wait_red()
        window.shot("elsewhere")
        assert not window.armed()
        window.key("alt+a", "Escape")  # it would close by itself a little later
        code, out, err = window.ended()
    assert (code, out, err) == (0, "", "it was denied elsewhere\n")


def test_when_time_is_up_the_window_says_so_and_decides_nothing(desk: Desk, solo: Home) -> None:
    request = ask(solo, "click-6", "-m", "nobody comes")["request"]
    hasten(solo, request, 4)
    with prompt(desk, solo, request) as window:
        window.wait_red()
        assert not window.armed()
        window.key("Escape")
        code, out, err = window.ended()
    assert (code, out, err) == (130, "", "nobody answered in time\n")
    wait_for(lambda: state(solo, request) == "expired", why="the end at the approver too")


def test_a_second_window_for_what_is_decided_says_so(desk: Desk, solo: Home) -> None:
    env = {"DISPLAY": desk.env["DISPLAY"]}
    request = ask(solo, "click-7", "-m", "decided by now")["request"]
    solo.borrow("deny", request, "-y")
    done = solo.borrow("prompt", request, ok=False, env=env)
    assert done.returncode == 3
    assert "denied elsewhere" in done.stderr


def test_asking_takes_a_reason_and_a_ticket_and_shows_the_number_until_the_answer(
    desk: Desk, solo: Home
) -> None:
    with prompt(desk, solo, "--ask", "ticketed-0") as window:
        window.wait_armed()
        window.type("too short")
        window.press_yes()
        window.wait_red()
        window.type(" but now long enough")
        window.key("Return")
        window.type("INC-7")
        window.press_yes()
        asked = solo.pending("ticketed-0")
        told = solo.control("GET", f"/v1/decisions/{asked['request']}").body
        assert (told["justification"], told["ticket"]) == (
            "too short but now long enough",
            "INC-7",
        )
        solo.borrow("approve", asked["request"], "-y")
        code, out, _ = window.ended()
    assert (code, out) == (0, "granted: ticketed-0\n")
    solo.borrow("return", "ticketed-0")


def test_the_number_stands_large_where_it_was_asked(desk: Desk, solo: Home) -> None:
    with prompt(desk, solo, "--ask", "match-2", dark=True) as window:
        window.wait_armed()
        window.type("to read a number")
        window.press_yes()
        asked = solo.pending("match-2")
        wait_for(lambda: window.patch("yes") is None, why="the next page")
        wait_for(lambda: window.tallest("text") > 25, why="the number")
        window.shot("number")
        window.key("Escape")  # leaves it open
        code, out, _ = window.ended()
    assert (code, out) == (0, "asked: match-2\n")
    assert state(solo, asked["request"]) == "pending"
    with prompt(desk, solo, "--ask", "match-2") as window:
        window.wait_armed()
        window.key("Down", "Down", "Return")  # the list of what was said before
        window.shot("recent")
        window.key("Escape")
        window.ended()
    entries = {each["name"]: each for each in solo.control("GET", "/v1/roles").body["roles"]}
    assert entries["match-2"]["reasons"] == ["to read a number"]


def test_the_role_is_found_by_typing(desk: Desk, solo: Home) -> None:
    with prompt(desk, solo, "--ask") as window:
        window.type("match 7")
        window.key("Return")
        again = wait_for(lambda: desk.window("Ask for match-7"), why="the second window")
        assert again
        window.key("Escape")
        assert window.ended()[0] == 130
    assert not [each for each in solo.asks() if each["role"] == "match-7"]
