"""Two monitors, small ones, large text: a window comes up whole where the pointer is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.desktop import presence, screen
from borrow.tray.idling import idle
from borrow.tray.looks import Looks
from borrow.tray.screens import FRAME, Monitor, look, monitor_at, place
from borrow_fakes.desk import Desk
from borrow_fakes.prompts import ask, prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow_fakes.lab import Home

LEFT, RIGHT = Monitor(0, 0, 800, 600), Monitor(800, 0, 1280, 700)


@pytest.mark.parametrize(
    ("point", "found"),
    [((0, 0), LEFT), ((799, 599), LEFT), ((800, 0), RIGHT), ((2079, 699), RIGHT)],
)
def test_a_point_is_on_one_monitor(point: tuple[int, int], found: Monitor) -> None:
    assert monitor_at([LEFT, RIGHT], *point) == found


def test_a_point_in_the_dead_corner_is_on_the_nearest_one() -> None:
    assert monitor_at([LEFT, RIGHT], 100, 690) == LEFT
    assert monitor_at([LEFT, RIGHT], -5000, -1) == LEFT


@given(
    left=st.integers(-5000, 5000),
    top=st.integers(-5000, 5000),
    size=st.tuples(st.integers(640, 7680), st.integers(480, 4320)),
    share=st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0)),
)
def test_a_window_that_fits_is_placed_whole_on_its_monitor(
    left: int, top: int, size: tuple[int, int], share: tuple[float, float]
) -> None:
    monitor = Monitor(left, top, *size)
    wide, high = round(monitor.width * share[0]), round(monitor.most_high * share[1])
    x, y = place(monitor, wide, high)
    assert monitor.left <= x <= x + wide <= monitor.left + monitor.width
    assert monitor.top <= y <= y + high + FRAME // 2 <= monitor.bottom  # its title bar included


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Desk(monitors=("800x600", "1280x700")) as one:
        yield one


@pytest.mark.parametrize(("monitor", "scale"), [(LEFT, "2"), (RIGHT, "1")])
def test_a_window_is_whole_on_the_monitor_with_the_pointer(
    desk: Desk, solo: Home, monitor: Monitor, scale: str
) -> None:
    request = ask(solo, f"secret-{scale}", "-m", "a reason of some length " * 4)["request"]
    x, y = monitor.left + 60, monitor.top + 500
    desk.tool("xdotool", "mousemove", str(x), str(y))
    with prompt(desk, solo, request, env={"BORROW_TEXT_SCALE": scale}) as window:
        window.wait_armed()
        left, top, right, bottom = desk.place(window.xid)
        assert monitor.left <= left < right <= monitor.left + monitor.width
        assert monitor.top <= top < bottom <= monitor.bottom
        window.shot(f"monitor-{monitor.size}-text-{scale}")
        seen = window.patch("yes", below=0.5)
        assert seen is not None
        assert seen[2] < right - left
        assert seen[3] < bottom - top
        window.key("alt+a")  # no code was typed: it is said in red, and the window grows
        window.wait_red()
        left, top, right, bottom = desk.place(window.xid)
        assert monitor.top <= top < bottom <= monitor.bottom
        window.key("Escape")
        assert window.ended()[0] == 130
    solo.borrow("return", f"secret-{scale}", ok=False)


def test_doctor_says_where_windows_come_up_and_how_large(desk: Desk) -> None:
    variables = desk.env | {"BORROW_TEXT_SCALE": "2"}
    said = {each.what: each.told for each in presence(variables)}
    assert said["monitors"] == "2 monitors (800x600, 1280x700): a window comes up on the pointer's"
    assert said["text"].startswith("text is drawn 2 times as large")
    assert look(":nonsense").closed
    gone = {each.what: each.level for each in presence(variables | {"DISPLAY": ":64999"})}
    assert "monitors" not in gone
    assert gone["display"] == "warning"


def test_the_display_says_that_somebody_just_moved_the_mouse(desk: Desk) -> None:
    desk.tool("xdotool", "mousemove", "11", "12")
    seconds = asyncio.run(idle(None, {"DISPLAY": desk.env["DISPLAY"]}))
    assert seconds is not None
    assert 0 <= seconds < 60


def test_doctor_is_silent_about_one_monitor_and_plain_text_and_says_what_it_cannot_tell() -> None:
    assert list(screen(Looks(monitors=(LEFT,)))) == []
    (said,) = screen(Looks())
    assert said.what == "monitors"
    assert "libxinerama1" in said.hint


def test_the_display_says_how_large_its_text_is(desk: Desk) -> None:
    desk.tool("sh", "-c", "echo 'Xft.dpi: 192' | xrdb -merge -")
    try:
        assert look(desk.env["DISPLAY"]).dpi == "192"
    finally:
        desk.tool("xrdb", "-remove")
