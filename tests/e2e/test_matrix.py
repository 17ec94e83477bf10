"""The SDK matrix: every client that can be had, at default settings, in each of its scenarios.

Expectations are the data in `borrow_fakes.sdks`; the table at the end of the run is drawn from what
these tests recorded. A client that cannot do something is no skip: the reason is its cell.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Final, cast

import pytest

import borrow.daemon.credential
from borrow_fakes.lab import BORROW, Home, finish, wait_for
from borrow_fakes.sdks import ALL, BOTO3, JAVA_V2, JS_V3, NOT_OBTAINABLE, Sdk
from borrow_fakes.tools import need

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

HELPER: Final = str(borrow.daemon.credential.__file__)
# Go, Rust and Java look for a region in AWS_REGION only.
REGION: Final = {"AWS_REGION": "us-east-1", "JAVA_TOOL_OPTIONS": "-Xshare:auto"}
REASON: Final = "not during the freeze"

sdks = pytest.mark.parametrize("sdk", ALL, ids=[one.name.replace(" ", "-") for one in ALL])
slow = pytest.mark.slow
# Its clients take minutes to build: `python tests/e2e/clients/build.py`, then
# `make test PYTEST_ARGS="-m slow tests/e2e/test_matrix.py"`.
pytestmark = slow


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Callable[[], Home]:
    """`solo`, set up by whoever calls it: a cell that is known to be empty needs no home."""
    return lambda: cast("Home", request.getfixturevalue("solo"))


class Cell:
    """One cell of the table. What is never marked `ok` stays a failure there."""

    def __init__(self, record: Callable[[str, object], None], column: str, sdk: Sdk) -> None:
        self._record = record
        self._where = (sdk.name, column)
        self.say("FAILED")
        self.sdk = sdk

    def say(self, text: str) -> None:
        self._record("matrix", [*self._where, text])

    def unsupported(self, why: str) -> bool:
        """Fill the cell with `why`, if there is one; then the test has nothing to show."""
        if why:
            self.say(f"not supported: {why}")
            return True
        need(self.sdk.missing(), self.sdk.install)
        return False


def run(solo: Home, role: str, sdk: Sdk, *words: str) -> subprocess.Popen[str]:
    return solo.spawn(BORROW, "run", role, "--", *sdk.command, *words, session=True, env=REGION)


def questions(solo: Home) -> list[str]:
    return [entry["request"] for entry in solo.log("request.accept")]


def succeeded(child: subprocess.Popen[str]) -> str:
    code, out, err = finish(child, seconds=60)
    assert code == 0, err
    assert "assumed-role/" in out
    return out


def failed(child: subprocess.Popen[str]) -> str:
    code, out, err = finish(child, seconds=60)
    assert code != 0, out
    assert "MissingAuthenticationToken" not in out + err  # it never called without credentials
    return out + err


@sdks
def test_a_role_that_is_granted_at_once(
    lab: Callable[[], Home], sdk: Sdk, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, "at once", sdk)
    if cell.unsupported(sdk.no_container):
        return
    solo = lab()
    assert "assumed-role/Reader/" in succeeded(run(solo, "reader", sdk))
    cell.say("ok")


@sdks
@pytest.mark.parametrize(
    "seconds", [3, pytest.param(60, marks=slow), pytest.param(300, marks=slow)]
)
@pytest.mark.timeout(420)
def test_a_held_call_goes_through_after_the_yes(
    lab: Callable[[], Home], sdk: Sdk, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, f"held {seconds} s", sdk)
    longer = f"gives up after {sdk.gives_up:g} s" if 0 < sdk.gives_up < seconds else ""
    if cell.unsupported(sdk.no_container or longer):
        return
    solo = lab()
    child = run(solo, "click", sdk)
    request = solo.pending("click")["request"]
    time.sleep(seconds)
    assert child.poll() is None
    assert solo.decide(request).status == 200
    succeeded(child)
    assert questions(solo) == [request]
    cell.say("ok")


@sdks
def test_a_client_that_gave_up_joins_its_own_question(
    lab: Callable[[], Home], sdk: Sdk, record_property: Callable[[str, object], None]
) -> None:
    """Killed, or (Rust) out of patience: the next run waits for the same answer."""
    cell = Cell(record_property, "re-run joins", sdk)
    if cell.unsupported(sdk.no_container):
        return
    solo = lab()
    env = REGION | solo.bearer("click")
    child = solo.spawn(*sdk.command, env=env)
    request = solo.pending("click")["request"]
    if sdk.gives_up:
        assert "AWS_CONTAINER" not in failed(child)
    else:
        child.send_signal(signal.SIGKILL)
        child.communicate()
    wait_for(lambda: not solo.pending("click").get("waiters"), why="the daemon to see it gone")
    again = solo.spawn(*sdk.command, env=env)
    wait_for(lambda: solo.pending("click").get("waiters"), why="the re-run to join")
    solo.decide(request)
    succeeded(again)
    assert questions(solo) == [request]
    cell.say("ok")


@sdks
@pytest.mark.parametrize("seconds", [0, 3])
def test_a_no_ends_the_call_and_asks_nobody_again(
    lab: Callable[[], Home], sdk: Sdk, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, f"no after {seconds} s", sdk)
    if cell.unsupported(sdk.no_container):
        return
    solo = lab()
    child = run(solo, "click", sdk)
    request = solo.pending("click")["request"]
    time.sleep(seconds)
    assert solo.decide(request, "deny", reason=REASON).status == 200
    told = failed(child)
    assert (REASON in told) == sdk.shows_reason, told
    assert questions(solo) == [request]  # whatever the client retried
    cell.say("ok, with the reason" if sdk.shows_reason else "ok, no reason shown")


@sdks
def test_five_programs_at_once_are_one_question(
    lab: Callable[[], Home], sdk: Sdk, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, "five at once", sdk)
    if cell.unsupported(sdk.no_container):
        return
    solo = lab()
    env = REGION | solo.bearer("click")
    children = [solo.spawn(*sdk.command, env=env) for _ in range(5)]
    request = solo.pending("click")["request"]
    wait_for(lambda: solo.pending("click").get("waiters", 0) >= 3, why="most of them to wait")
    solo.decide(request)
    for child in children:
        succeeded(child)
    assert questions(solo) == [request]
    assert len(solo.log("mint.begin")) == 1
    cell.say("ok")


@sdks
def test_a_role_given_back_is_missed_at_the_next_call(
    lab: Callable[[], Home], sdk: Sdk, record_property: Callable[[str, object], None]
) -> None:
    """One process: granted, given back, held again; the visible expiry of 90 s makes it notice."""
    cell = Cell(record_property, "change seen", sdk)
    if cell.unsupported(sdk.no_container or sdk.no_loop or sdk.no_switch):
        return
    solo = lab()
    child = run(solo, "click", sdk, "6", "2")
    solo.decide(solo.pending("click")["request"])
    assert child.stdout is not None
    assert "assumed-role/Admin/" in child.stdout.readline()
    solo.borrow("return", "--all")
    second = solo.pending("click", seconds=20)["request"]
    solo.decide(second)
    succeeded(child)
    assert len(questions(solo)) == 2
    cell.say("ok, one call later" if sdk.lag else "ok, next call")


@sdks
@pytest.mark.parametrize("seconds", [0, 3])
def test_instance_credentials_are_held_too(
    lab: Callable[[], Home], sdk: Sdk, seconds: int, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, f"IMDS, held {seconds} s" if seconds else "IMDS", sdk)
    if cell.unsupported(sdk.no_imds):
        return
    solo = lab()
    solo.borrow("imds", "use", "machine")
    where = f"http://127.0.0.1:{solo.status()['port']}/"
    env = {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": where}
    child = solo.spawn(*sdk.command, env=REGION | env)
    request = solo.pending("machine")["request"]
    time.sleep(seconds)
    solo.decide(request)
    assert "assumed-role/Reader/" in succeeded(child)
    assert questions(solo) == [request]
    cell.say("ok")


def profile(solo: Home) -> dict[str, str]:
    helper = f"{sys.executable} -I -S -E {HELPER} {solo.socket} click"
    path = solo.root / "home/config"
    path.write_text(f"[profile borrowed]\ncredential_process = {helper}\nregion = us-east-1\n")
    return REGION | {"AWS_CONFIG_FILE": str(path), "AWS_PROFILE": "borrowed"}


@sdks
def test_a_credential_process_is_waited_for(
    lab: Callable[[], Home], sdk: Sdk, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, "process, held 3 s", sdk)
    if cell.unsupported(sdk.no_process):
        return
    solo = lab()
    child = solo.spawn(*sdk.command, env=profile(solo))
    request = solo.pending("click")["request"]
    time.sleep(3)
    assert child.poll() is None
    solo.decide(request)
    succeeded(child)
    assert questions(solo) == [request]  # Ruby runs the helper more than once
    cell.say("ok")


@sdks
def test_a_credential_process_that_is_denied(
    lab: Callable[[], Home], sdk: Sdk, record_property: Callable[[str, object], None]
) -> None:
    cell = Cell(record_property, "process, no", sdk)
    if cell.unsupported(sdk.no_process):
        return
    solo = lab()
    child = solo.spawn(*sdk.command, env=profile(solo))
    request = solo.pending("click")["request"]
    solo.decide(request, "deny", reason=REASON)
    told = failed(child)
    assert (REASON in told) == sdk.process_shows, told
    assert questions(solo) == [request]
    cell.say("ok, with the reason" if sdk.process_shows else "ok, no reason shown")


def test_what_cannot_be_had_here_is_listed(
    record_property: Callable[[str, object], None],
) -> None:
    for name, why in NOT_OBTAINABLE.items():
        record_property("matrix", [name, "at once", why])


@pytest.mark.parametrize("sdk", [BOTO3, JS_V3, JAVA_V2], ids=["boto3", "JS-v3", "Java-v2"])
def test_a_token_file_without_a_line_break_works(solo: Home, sdk: Sdk) -> None:
    """What `borrow run` never does; a container that mounts the secret as a file does."""
    need(sdk.missing(), sdk.install)
    made = solo.bearer("reader")
    path = solo.root / "token"
    path.write_text(made.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
    made["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(path)
    succeeded(solo.spawn(*sdk.command, env=REGION | made))
