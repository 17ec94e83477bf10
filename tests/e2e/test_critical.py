"""A critical role: the call goes through on a colleague's passkey and workstation, on both only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.phone import INSTALL, chromium, missing, phone
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.team import ANN, BO, POLICY, Server, join
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
CRITICAL = POLICY.replace('tier = "sensitive"', 'tier = "critical"')


@pytest.fixture
def server(cloud: StandInProcess) -> Iterator[Server]:
    need(missing(), INSTALL)
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    with Server.make(cloud=settings, base_key=cloud.base_key) as running:
        (running.home.root / "server/policy.toml").write_text(CRITICAL)
        yield running


@pytest.fixture
def ann(server: Server, cloud: StandInProcess) -> Iterator[Home]:
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        yield join(server, one, ANN)


@pytest.fixture
def bo(server: Server) -> Iterator[Home]:
    with home() as one:
        yield join(server, one, BO)


async def test_a_passkey_first_and_the_workstation_after_it_grant_what_was_asked(
    server: Server, ann: Home, bo: Home
) -> None:
    async with chromium() as browser, phone(browser) as theirs:
        await theirs.join(server.page_invitation(BO))
        child = ann.spawn(BORROW, "ask", "change", "--wait")
        request = ann.pending("change")["request"]
        await theirs.page.goto(f"{server.pages}/r/{request}")
        await expect(theirs.page.locator(".answer")).to_contain_text("one half of your yes")
        await theirs.approve()
        said = theirs.page.get_by_role("status")
        await expect(said).to_contain_text("Now say it at your own workstation too")

        wait_for(lambda: ann.asks()[0]["seen"].get("halves"), why="the half at the asker's")
        assert child.poll() is None
        told = ann.borrow("explain", request).stdout
        assert f"{BO} said yes with a passkey; their workstation's yes is missing" in told
        listed = bo.borrow("inbox")
        assert "you said yes with a passkey; your workstation's yes is missing" in listed.stderr
        done = bo.borrow("approve", request, "-y")
        assert done.stdout.startswith("approved: change")
        code, out, err = finish(child)
        assert code == 0, out + err
        assert f"{BO} said yes with a passkey; their workstation's yes is missing" in err
        await expect(said).to_contain_text("Approved by you")  # the page looked by itself


async def test_the_workstation_first_and_a_passkey_after_it_let_the_call_through(
    server: Server, ann: Home, bo: Home
) -> None:
    async with chromium() as browser, phone(browser) as theirs:
        await theirs.join(server.page_invitation(BO))
        child = ann.spawn(BORROW, "run", "change", "--", *BOTO3)
        request = ann.pending("change")["request"]
        done = bo.borrow("approve", request, "-y")
        assert done.stdout.startswith("half a yes: change")
        page = f"open {server.pages}/r/{request}"
        assert f"your passkey's yes is missing: {page}" in done.stderr
        again = bo.borrow("approve", request, "-y", ok=False)
        error, hint = refused_with(again, again.returncode)
        assert again.returncode
        assert error == "you said yes at your workstation; your passkey's yes is missing"
        assert hint == page
        assert child.poll() is None
        await theirs.page.goto(f"{server.pages}/r/{request}")
        await expect(theirs.page.locator(".answer")).to_contain_text("Your passkey's is missing")
        await theirs.approve()
        code, out, err = finish(child)
        assert (code, "got 5 bytes" in out) == (0, True), err


def test_what_a_critical_role_takes_is_said_before_anybody_is_asked(
    server: Server, ann: Home
) -> None:
    assert "others (device and passkey, number)" in ann.borrow("roles").stdout
    folder = server.home.root / "server"
    status = server.home.borrow("server", "status").stdout
    assert f"{BO} has no passkey and no device: no yes of theirs" in status
    assert f"{ANN} has no passkey: no yes of theirs" in status
    told = server.home.borrow(
        "policy", "explain", ANN, "change", "--file", str(folder / "policy.toml")
    )
    assert "both device and passkey" in told.stdout
    lone = folder / "lone.toml"
    for approve in ('mode = "auto"', 'mode = "self"', 'mode = "peer", from = ["group:team"], '
                    'factor = ["passkey"]'):  # fmt: skip
        lone.write_text(
            CRITICAL.replace('mode = "peer", from = ["group:team"], match = true', approve)
        )
        refused = server.home.borrow("policy", "check", "--file", str(lone), ok=False)
        assert refused.returncode != 0
        assert "'change' of tier critical" in refused.stderr
