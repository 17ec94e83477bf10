"""An ordinary boto3 call waits, a window asks, a person presses the keys, the call goes through."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.desk import Desk
from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.prompts import prompt
from borrow_fakes.team import ANN, BO, Server, join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with Desk() as one:
        yield one


def test_a_waiting_boto3_call_goes_through_on_a_yes_by_keyboard(desk: Desk, solo: Home) -> None:
    child = solo.spawn(*BOTO3, env=solo.bearer("click"))
    request = solo.pending("click")["request"]
    assert child.poll() is None
    with prompt(desk, solo, request) as window:
        window.wait_armed()
        window.shot("boto3")
        window.press_yes()
        assert window.ended()[:2] == (0, f"approved: click ({request})\n")
    code, out, err = finish(child)
    assert (code, out) == (0, "got 5 bytes\n"), err


@pytest.mark.slow
def test_a_no_in_the_window_reaches_the_call_with_its_reason(desk: Desk, solo: Home) -> None:
    child = solo.spawn(*BOTO3, env=solo.bearer("short"))
    request = solo.pending("short")["request"]
    with prompt(desk, solo, request, dark=True) as window:
        window.wait_armed()
        window.click_field(0)
        window.type("not during the freeze")
        window.key("alt+d")
        assert window.ended()[0] == 0
    code, out, err = finish(child)
    assert code != 0
    assert "not during the freeze" in out + err
    assert request in out + err


@pytest.fixture
def server(cloud: StandInProcess) -> Iterator[Server]:
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    with Server.make(cloud=settings, base_key=cloud.base_key) as running:
        yield running


def test_the_second_person_approves_in_their_window_for_less_time(
    desk: Desk, server: Server, cloud: StandInProcess
) -> None:
    """No code and no passkey: the yes is signed by the second person's own device."""
    lab = {"AWS_ENDPOINT_URL": cloud.endpoint, "AWS_DEFAULT_REGION": "us-east-1"}
    with home(**lab) as ann, home() as bo:
        join(server, ann, ANN)
        join(server, bo, BO)
        words = (BORROW, "run", "change", "-m", "Überweisungen prüfen", "--", *BOTO3)
        child = ann.spawn(*words)
        request = ann.pending("change")["request"]
        with prompt(desk, ann, request) as own:
            own.wait_for_no()
            own.shot("peer-own")
            own.key("alt+a")
            assert own.patch("yes") is None
            assert child.poll() is None
            own.key("Escape")
            assert own.ended()[0] == 130
        with prompt(desk, bo, request) as window:
            window.wait_armed()
            window.shot("peer")
            window.key("Tab", "space")
            window.press_yes()
            assert window.ended()[:2] == (0, f"approved: change ({request})\n")
        code, out, err = finish(child)
        assert code == 0, err
        assert "got 5 bytes" in out
        (decided,) = [each for each in ann.log("decision") if each["request"] == request]
        assert decided["approver"] == BO
        assert decided["method"] == "device"
        # The next one is compared with it.
        ann.borrow("return", "change")
        ann.borrow("ask", "change", "-m", "something else")
        again = wait_for(lambda: ann.pending("change"), why="the next question")["request"]
        shown = bo.control("GET", f"/v1/decisions/{again}").body
        assert shown["last"]["justification"] == "Überweisungen prüfen"
        assert shown["last"]["decided_by"] == [BO]
        with prompt(desk, bo, again, dark=True) as window:
            window.wait_armed()
            window.shot("peer-again")
