"""Two people, two desks, one server: the second one answers in their own tray."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow.tray.drawing import COLOURS
from borrow.tray.picture import Look
from borrow_fakes.desk import PANEL, Desk
from borrow_fakes.lab import BORROW, finish, home, wait_for
from borrow_fakes.seat import REVIEW, Seat, keep
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.team import ANN, BO, Server, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
ICON = (0, 0, 31, PANEL)


@pytest.fixture
def two(cloud: StandInProcess) -> Iterator[tuple[Seat, Seat]]:
    """Ann and Bo, each with a desk, a daemon and a tray."""
    driver = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server.make(cloud=driver, base_key=cloud.base_key))
        seats = []
        for person in (ANN, BO):
            where = {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
            one = stack.enter_context(home(**where))
            desk = stack.enter_context(Desk())
            seat = Seat.at(desk, join(server, one, person))
            seat.start_tray()
            stack.callback(seat.end_tray)
            seats.append(seat)
        yield seats[0], seats[1]


def test_the_second_person_says_yes_from_their_tray(two: tuple[Seat, Seat], tmp_path: Path) -> None:
    ann, bo = two
    child = ann.home.spawn(BORROW, "run", "change", "-m", "fix the queue", "--", *BOTO3)
    asked = ann.home.pending("change")
    wait_for(bo.questions, why="Bo's notification")
    wait_for(lambda: bo.desk.has_colour(COLOURS[Look.ASKED], ICON), why="Bo's icon")
    keep(bo.desk.shot(), "two-asked", tmp_path)
    assert not ann.questions()
    assert any(asked["number"] in label for label, _ in ann.menu())

    bo.press(REVIEW)
    window = bo.desk.window("Borrow")
    bo.desk.focus(window)
    bo.desk.type(asked["number"])
    bo.desk.tool("xdotool", "sleep", "1.3")
    keep(bo.desk.shot(), "two-window", tmp_path)
    assert child.poll() is None
    bo.desk.key("alt+a")
    code, out, err = finish(child)
    assert code == 0, err
    assert "got 5 bytes" in out
    wait_for(lambda: not bo.questions(), why="Bo's notification to go")
    wait_for(lambda: ann.desk.has_colour(COLOURS[Look.LENT], ICON), why="Ann's icon")
    keep(ann.desk.shot(), "two-lent", tmp_path)

    that_was_not_me(ann, tmp_path)


def that_was_not_me(ann: Seat, folder: Path) -> None:
    ann.pick("change · ", "That was not me")
    wait_for(lambda: ann.desk.has_colour(COLOURS[Look.FROZEN], ICON), why="the frozen icon")
    keep(ann.desk.shot(), "two-frozen", folder)
    assert ann.home.status()["grants"] == []
    error, _ = refused_with(ann.home.borrow("ask", "reader", "--wait", ok=False), 3)
    assert "frozen" in error
