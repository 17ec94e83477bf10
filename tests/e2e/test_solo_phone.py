"""A phone without a server: a boto3 call waits, one of three numbers is pressed, and it goes on."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.lab import Home, finish
from borrow_fakes.ntfy import Ntfy, press

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
ROLE = """
[roles.quick]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "low"
[roles.wrong]
aws = "arn:aws:iam::123456789012:role/Admin"
tier = "low"
[[rule]]
id = "quick"
who = ["local:{me}"]
roles = ["quick", "wrong"]
approve = {{ mode = "self", factor = ["consent"], match = true }}
"""


@pytest.fixture(scope="module")
def ntfy() -> Iterator[Ntfy]:
    with Ntfy() as running:
        yield running


@pytest.fixture(scope="module")
def at_work(lasting_solo: Home, ntfy: Ntfy) -> Home:
    solo = lasting_solo
    with (solo.state / "policy.toml").open("a") as policy:
        policy.write(ROLE.format(me=getpass.getuser()))
    file = solo.state / "phone.toml"
    file.write_text(f'ntfy = "{ntfy.url}/mine"\nallow_hosts = ["127.0.0.1:{ntfy.port}"]\n')
    file.chmod(0o600)
    solo.borrow("daemon", "stop", ok=False)
    return solo.start()


def test_a_waiting_boto3_call_goes_through_on_the_right_button(at_work: Home, ntfy: Ntfy) -> None:
    child = at_work.spawn(*BOTO3, env=at_work.bearer("quick"))
    number = at_work.pending("quick")["number"]
    shown = ntfy.wait_for("mine", "Is this you?")
    assert child.poll() is None
    assert [each for each in shown.actions if each["label"] == number]
    press(next(each for each in shown.actions if each["label"] == number))
    code, out, err = finish(child)
    assert (code, out) == (0, "got 5 bytes\n"), err
    ntfy.wait_for("mine", "Answered")
    (decided,) = at_work.log("decision")[-1:]
    assert (decided["decision"], decided["method"]) == ("approve", "consent")


def test_a_wrong_button_counts_ends_the_call_and_says_so_on_the_phone(
    at_work: Home, ntfy: Ntfy
) -> None:
    child = at_work.spawn(*BOTO3, env=at_work.bearer("wrong"))
    number = at_work.pending("wrong")["number"]
    shown = ntfy.wait_for("mine", "Is this you?")
    press(next(each for each in shown.actions if each["label"] != number))
    code, out, err = finish(child)
    assert code != 0
    assert "a wrong number was pressed on the phone" in out + err
    told = ntfy.wait_for("mine", "A wrong number was pressed")
    assert (told.priority, told.actions) == ("high", [])
    assert at_work.log("number.mismatch")[-1]["wrong"] == 1
    press(next(each for each in shown.actions if each["label"] == number))  # too late
    assert at_work.asks() == []
    assert at_work.log("decision")[-1]["decision"] == "deny"
