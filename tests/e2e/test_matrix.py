"""The SDK matrix: every client that can be had, at default settings, in each of its scenarios.

Expectations are the data in `borrow_fakes.sdks`; the table at the end of the run is drawn from what
these tests and those of `test_matrix_profiles` recorded. That a client cannot do something is shown
too: then the test asserts that it fails by itself, asks nobody and calls nobody.
"""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Final

import pytest

from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.matrix import REGION, Caller, Cell, failed, succeeded
from borrow_fakes.sdks import BOTO3, JAVA_V2, JS_V3, RCLONE, Sdk, here, here_too, not_obtainable
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow_fakes.matrix import Bench

    Table = Callable[..., Cell]

REASON: Final = "not during the freeze"

sdks = pytest.mark.parametrize("sdk", here(), ids=[one.name.replace(" ", "-") for one in here()])

more_sdks = pytest.mark.parametrize(
    "sdk", here_too(), ids=[one.name.replace(" ", "-") for one in here_too()]
)


def unsupported(cell: Cell, why: str, env: dict[str, str] | None = None) -> bool:
    """Whether there is a `why` that it cannot be done. Then it is shown to fail by itself."""
    if not why:
        return False
    failed(cell.start(env=env))
    assert cell.questions() == []
    # Of this role: what another cell's client gave up stays open for its re-run.
    assert cell.role not in {ask["role"] for ask in cell.home.asks()}
    cell.ok(f"not supported: {why}")
    return True


@sdks
def test_a_role_that_is_granted_at_once(table: Table, sdk: Sdk) -> None:
    """As a person types it."""
    cell = table(sdk, "at once")
    if unsupported(cell, sdk.no_container):
        return
    child = cell.home.spawn(BORROW, "run", "reader", "--", *sdk.command, session=True, env=REGION)
    assert "assumed-role/Reader/" in succeeded(child)
    cell.ok()


@more_sdks
def test_a_held_call_goes_through_after_the_yes_however_many_wait_for_it(
    table: Table, sdk: Sdk
) -> None:
    """One is killed while it waits; it comes back with others, and all of them are one question."""
    columns = ("held 3 s", "killed, re-run joins", "several at once")
    cell = table(sdk, *columns)
    if unsupported(cell, sdk.no_container):
        return
    env = cell.env()
    first = cell.start(env=env)
    request = cell.pending()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    cell.left()
    herd = [cell.start(env=env) for _ in range(sdk.herd)]
    cell.waiters(1)
    time.sleep(3)
    assert [child.poll() for child in herd] == [None] * sdk.herd
    cell.waiters(sdk.herd - 1)  # Rust's may be between two of its tries
    cell.yes(request)
    for child in herd:
        assert "assumed-role/Admin/" in succeeded(child)
    assert cell.questions() == [request]
    assert len(cell.entries("mint.begin")) == 1
    cell.ok("ok", *columns[:2])
    cell.ok(f"ok, {sdk.herd}", columns[2])


@sdks
@pytest.mark.slow
@pytest.mark.parametrize("seconds", [60, 300])
@pytest.mark.timeout(420)
def test_a_long_hold(table: Table, sdk: Sdk, seconds: int) -> None:
    cell = table(sdk, f"held {seconds} s")
    if unsupported(cell, sdk.no_container):
        return
    child = cell.start()
    request = cell.pending()
    if 0 < sdk.gives_up < seconds:
        failed(child)
        assert cell.questions() == [request]
        cell.ok(f"no: gives up after {sdk.gives_up:g} s")
        return
    time.sleep(seconds)
    assert child.poll() is None
    cell.yes(request)
    assert "assumed-role/Admin/" in succeeded(child)
    assert cell.questions() == [request]
    cell.ok()


@pytest.mark.slow
def test_rust_gives_up_and_its_next_run_joins(table: Table) -> None:
    (rust,) = (one for one in here() if one.gives_up)
    cell = table(rust, "gave up, re-run joins")
    env = cell.env()
    child = cell.start(env=env)
    request = cell.pending()
    failed(child)
    again = cell.start(env=env)
    cell.waiters(1)
    cell.yes(request)
    succeeded(again)
    assert cell.questions() == [request]
    cell.ok()


@more_sdks
def test_a_no_ends_the_call_and_asks_nobody_again(table: Table, sdk: Sdk) -> None:
    """After 3 s, when a `200` may be open; and what is refused from memory: a true 403 at once."""
    columns = ("no after 3 s", "no at once")
    cell = table(sdk, *columns)
    if unsupported(cell, sdk.no_container):
        return
    env = cell.env()
    child = cell.start(env=env)
    request = cell.pending()
    time.sleep(3)
    cell.no(request, REASON)
    for column, told in zip(columns, map(failed, (child, cell.start(env=env))), strict=True):
        assert (REASON in told) == sdk.shows_reason, told
        assert (request in told) == sdk.shows_reason, told
        cell.ok("ok, reason shown" if sdk.shows_reason else "ok, no reason shown", column)
    assert cell.questions() == [request]  # whatever the client retried
    assert cell.trail() == []


@sdks
def test_a_role_given_back_is_missed_at_the_next_call(table: Table, sdk: Sdk) -> None:
    """Granted, given back, held again; the visible expiry of 90 s makes a process notice."""
    cell = table(sdk, "given back")
    if unsupported(cell, sdk.no_container):
        return
    caller = Caller(cell, cell.env())
    caller.ask()
    cell.yes(cell.pending())
    assert "assumed-role/Admin/" in caller.answer()
    cell.home.control("POST", "/v1/return", {"role": cell.role})
    caller.ask()
    if sdk.keeps:
        caller.answer()
        assert len(cell.questions()) == 1
        cell.ok(f"later: it keeps credentials for {sdk.keeps:g} s")
    else:
        cell.yes(cell.pending())
        caller.answer()
        assert len(cell.questions()) == 2
        cell.ok("ok, held again")
    caller.end()


@more_sdks
def test_base_then_elevated_then_base_in_one_process(table: Table, sdk: Sdk) -> None:
    cell = table(sdk, "base, higher, base")
    if unsupported(cell, sdk.no_container):
        return
    caller = elastic(cell)
    if sdk.keeps:
        assert "assumed-role/Reader/" in caller.call()
        assert len(set(keys(cell))) == 1
        cell.ok(f"later: it keeps credentials for {sdk.keeps:g} s")
        lower(cell)
        caller.end()
        return
    after(cell, caller, "assumed-role/Admin/")
    higher = keys(cell)[-1]
    lower(cell)
    after(cell, caller, "assumed-role/Reader/")
    base, *_, last = keys(cell)
    assert base == last != higher
    caller.end()
    lagging = "ok, one call later" if sdk.lag else "ok, next call"
    cell.ok(lagging if sdk.each else "ok, each run")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_rust_sees_an_elevation_before_its_credentials_end(table: Table) -> None:
    (rust,) = (one for one in here() if one.keeps)
    cell = table(rust, "base, higher, later")
    caller = elastic(cell)
    begun = time.monotonic()
    while "assumed-role/Admin/" not in caller.call():
        assert time.monotonic() - begun < rust.keeps + 20
        time.sleep(5)
    lower(cell)
    caller.end()
    cell.ok()


def elastic(cell: Cell) -> Caller:
    """A client that called with the base role; since then its session was lifted."""
    # What other cells of this session still hold would lift it too.
    cell.home.control("POST", "/v1/return", {"all": True})
    caller = Caller(cell, cell.env("elastic"))
    assert "assumed-role/Reader/" in caller.call()
    cell.home.control("POST", "/v1/ask", {"role": cell.role, "wait": False})
    cell.yes(cell.pending())
    wait_for(
        lambda: cell.role in {grant["role"] for grant in cell.home.status()["grants"]},
        why="the grant",
    )
    return caller


def lower(cell: Cell) -> None:
    cell.home.control("POST", "/v1/return", {"role": cell.role})


def after(cell: Cell, caller: Caller, role: str) -> None:
    """The next call is `role`'s; with a lag, the one after those that still use the old."""
    for _ in range(cell.sdk.lag):
        caller.call()
        time.sleep(0.5)  # it fetches behind that call
    assert role in caller.call()


def keys(cell: Cell) -> list[str]:
    """The access key of each call that the cloud saw."""
    return [str(line["userIdentity"]["accessKeyId"]) for line in cell.trail("GetCallerIdentity")]


@sdks
def test_instance_credentials_are_held_too_and_then_there_at_once(table: Table, sdk: Sdk) -> None:
    cell = table(sdk, "IMDS, held 3 s", "IMDS, at once")
    where = f"http://127.0.0.1:{cell.home.status()['port']}/"
    env = REGION | {
        "AWS_EC2_METADATA_DISABLED": "false",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": where,
    }
    cell.home.control("POST", "/v1/imds", {"role": cell.role})
    if not unsupported(cell, sdk.no_imds, env):
        child = cell.start(env=env)
        request = cell.pending()
        time.sleep(3)
        cell.yes(request)
        assert "assumed-role/Admin/" in succeeded(child)
        assert "assumed-role/Admin/" in succeeded(cell.start(env=env))
        assert cell.questions() == [request]
        cell.ok()
    cell.home.control("POST", "/v1/imds", {})


def test_rclone_waits_and_takes_a_no(table: Table) -> None:
    cell = table(RCLONE, "held 3 s")
    child = cell.start()
    request = cell.pending()
    time.sleep(3)
    assert child.poll() is None
    cell.yes(request)
    assert finish(child)[:2] == (0, "hello")
    cell.ok()
    cell = table(RCLONE, "no after 3 s", "no at once")
    env = cell.env()
    child = cell.start(env=env)
    request = cell.pending()
    time.sleep(3)
    cell.no(request, REASON)
    for one in (child, cell.start(env=env)):
        code, out, _ = finish(one)
        assert (code != 0, out) == (True, "")
    assert cell.questions() == [request]
    assert cell.trail() == []
    cell.ok("ok, no reason shown")


@pytest.mark.parametrize("sdk", [BOTO3, JS_V3, JAVA_V2], ids=["boto3", "JS-v3", "Java-v2"])
def test_a_token_file_without_a_line_break_works(bench: Bench, sdk: Sdk) -> None:
    """What `borrow run` never does; a container that mounts the secret as a file does."""
    need(sdk.missing(), sdk.install)
    made = bench.home.bearer("reader")
    path = bench.home.root / "token"
    path.write_text(made.pop("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
    made["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(path)
    succeeded(bench.home.spawn(*sdk.command, env=REGION | made))


def test_what_cannot_be_had_here_is_listed(record_property: Callable[[str, object], None]) -> None:
    for name, why in not_obtainable().items():
        record_property("matrix", [name, "", f"not obtainable: {why}"])
