"""The SDK matrix, for what a profile or a denied call sets off: `credential_process`,
`credential_source`, and client-side monitoring."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from borrow_fakes.lab import BORROW, finish, wait_for
from borrow_fakes.matrix import REGION, Cell, failed, go_on, helper, profile, succeeded
from borrow_fakes.sdks import BOTO3, CLI_V1, CLI_V2, JAVA_V2, JS_V3, SOURCES, Sdk, here

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Table = Callable[..., Cell]

REASON: Final = "not during the freeze"
NEXT: Final = "arn:aws:iam::123456789012:role/Next"
PUT: Final = ("s3api", "put-object", "--bucket", "lab", "--key", "x")


def some(*sdks: Sdk) -> pytest.MarkDecorator:
    names = [one.name.replace(" ", "-") for one in sdks]
    return pytest.mark.parametrize("sdk", sdks, ids=names)


@some(*here())
def test_a_credential_process_is_waited_for(table: Table, sdk: Sdk) -> None:
    cell = table(sdk, "process, held 3 s")
    child = cell.start(env=helper(cell))
    request = cell.pending()
    time.sleep(3)
    assert child.poll() is None
    cell.yes(request)
    assert "assumed-role/Admin/" in succeeded(child)
    assert cell.questions() == [request]  # Ruby runs the helper more than once
    cell.ok()


@some(*here())
def test_a_credential_process_that_is_denied(table: Table, sdk: Sdk) -> None:
    cell = table(sdk, "process, no")
    child = cell.start(env=helper(cell))
    request = cell.pending()
    cell.no(request, REASON)
    told = failed(child)
    assert (REASON in told) == sdk.process_shows, told
    assert cell.questions() == [request]
    cell.ok("ok, reason shown" if sdk.process_shows else "ok, no reason shown")


# Go and Debian's AWS CLI v2 take no setting that leads this AssumeRole to the stand-in; Rust's
# client and Ruby's are not tried.
@some(*(one for one in (BOTO3, CLI_V1, JS_V3, JAVA_V2) if one in here()))
def test_a_profile_may_assume_a_role_with_what_the_endpoint_gives(table: Table, sdk: Sdk) -> None:
    """`credential_source = EcsContainer`: the SDK assumes `role_arn` itself, with our answer."""
    cell = table(sdk, "EcsContainer profile")
    env = profile(cell, f"role_arn = {NEXT}", "credential_source = EcsContainer") | cell.env()
    child = cell.start(env=env)
    request = cell.pending()
    cell.yes(request)
    assert "assumed-role/Next/" in succeeded(child)
    assert cell.questions() == [request]
    by = [str(line["userIdentity"].get("arn")) for line in cell.trail("AssumeRole")]
    assert "assumed-role/Admin/" in by[-1]  # not the person's own key, which made ours
    cell.ok()


def put_line(sdk: Sdk) -> str:
    if sdk is BOTO3:
        return shlex.join([sys.executable, str(SOURCES / "s3_put.py")])
    return shlex.join([*sdk.command[:-2], *PUT])


@some(BOTO3, CLI_V1, CLI_V2)
def test_a_denied_call_is_offered_and_its_next_one_is_held_after_the_ask(
    table: Table, sdk: Sdk
) -> None:
    """Client-side monitoring: the report of a stranger is nothing, the client's own an offer."""
    cell = table(sdk, "denied call, offer")
    home, put = cell.home, put_line(sdk)
    script = f"read a; {put}; read b; {shlex.quote(BORROW)} ask lift; {put}"
    child = home.spawn(
        BORROW, "run", "elastic", "--", "/bin/sh", "-c", script,
        session=True, env=REGION, typed=True,
    )  # fmt: skip
    forge(cell, child)
    go_on(child)
    (offer,) = wait_for(lambda: home.status()["offers"], why="an offer")
    assert (offer["role"], offer["action"]) == ("lift", "s3:PutObject")
    assert home.asks() == []  # an offer asks nobody
    go_on(child)
    request = cell.pending("lift")
    cell.yes(request)
    code, _, err = finish(child, seconds=60)
    assert code == 0, err
    puts = cell.trail("PutObject")
    assert [line.get("errorCode") for line in puts] == ["AccessDenied", None]
    roles = [str(line["userIdentity"]["arn"]).split("/")[1] for line in puts]
    assert roles == ["Reader", "Admin"]
    assert cell.questions()[-1] == request
    cell.ok()


def forge(cell: Cell, child: subprocess.Popen[str]) -> None:
    """Say in the program's name that a call with some other key was denied: it is not believed."""

    def reported() -> dict[str, str]:
        pairs = Path(f"/proc/{child.pid}/environ").read_text().split("\0")
        found = dict(pair.partition("=")[::2] for pair in pairs)
        return found if "AWS_CSM_PORT" in found else {}

    env = wait_for(reported, why="the program to be started")  # `borrow run` becomes it
    told = {
        "Type": "ApiCallAttempt",
        "ClientId": env["AWS_CSM_CLIENT_ID"],
        "Service": "S3",
        "Api": "PutObject",
        "AccessKey": "ASIAFORGED0000000000",
        "AwsException": "AccessDenied",
    }
    before = cell.home.status()["csm"].get("unknown", 0)
    # The socket stays: the daemon asks the kernel whose it is.
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as line:
        line.sendto(json.dumps(told).encode(), ("127.0.0.1", int(env["AWS_CSM_PORT"])))
        wait_for(
            lambda: cell.home.status()["csm"].get("unknown", 0) > before,
            why="the forged report to be judged",
        )
    mine = str(child.pid)
    assert not [one for one in cell.home.status()["offers"] if f":{mine}:" in one["group"]]
