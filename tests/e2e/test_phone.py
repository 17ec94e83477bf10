"""A call waits on the workstation, a person says yes on their phone, the call succeeds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from borrow_fakes.lab import BORROW, Home, finish, home, names_number
from borrow_fakes.phone import INSTALL, chromium, missing, phone
from borrow_fakes.team import ANN, BO, WITH_PHONES, Server, join
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))


@pytest.fixture
def server(cloud: StandInProcess) -> Iterator[Server]:
    need(missing(), INSTALL)
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    with Server.make(cloud=settings, base_key=cloud.base_key) as running:
        (running.home.root / "server/policy.toml").write_text(WITH_PHONES)
        yield running


@pytest.fixture
def ann(server: Server, cloud: StandInProcess) -> Iterator[Home]:
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        yield join(server, one, ANN)


async def test_in_mode_self_the_number_of_the_workstation_and_a_passkey_let_the_call_through(
    server: Server, ann: Home
) -> None:
    async with chromium() as browser, phone(browser) as own:
        await own.join(server.page_invitation(ANN))
        child = ann.spawn(BORROW, "run", "phone", "--", *BOTO3)
        asked = ann.pending("phone")
        await own.page.goto(server.pages)
        await own.page.locator(f'a[href="/r/{asked["request"]}"]').click()
        shown = await own.page.locator("main").inner_text()
        assert not names_number(shown, asked["number"])
        await own.page.get_by_label("The number that the asking").fill(asked["number"])
        await own.approve()
        code, out, err = finish(child)
        assert (code, "got 5 bytes" in out) == (0, True), err
        await expect(own.page.get_by_role("status")).to_contain_text("Approved by you")
        await own.page.goto(f"{server.pages}/mine")
        await expect(own.page.locator("li.card h2").first).to_contain_text("phone")


async def test_in_mode_peer_another_persons_phone_lets_the_call_through(
    server: Server, ann: Home
) -> None:
    async with chromium() as browser, phone(browser) as others:
        await others.join(server.page_invitation(BO))
        child = ann.spawn(BORROW, "run", "change", "--", *BOTO3)
        asked = ann.pending("change")
        await others.page.goto(f"{server.pages}/r/{asked['request']}")
        await expect(others.page.locator(".compare .digits")).to_have_text(asked["number"])
        await expect(others.page.locator(".claims")).to_contain_text("s3_get.py")
        await others.approve()
        code, out, err = finish(child)
        assert (code, "got 5 bytes" in out) == (0, True), err


async def test_a_no_on_the_phone_reaches_the_program_with_its_reason(
    server: Server, ann: Home
) -> None:
    async with chromium() as browser, phone(browser) as others:
        await others.join(server.page_invitation(BO))
        child = ann.spawn(BORROW, "run", "change", "--", *BOTO3)
        asked = ann.pending("change")
        await others.page.goto(f"{server.pages}/r/{asked['request']}")
        await others.deny("not during the freeze")
        code, out, err = finish(child)
        assert code != 0
        assert "not during the freeze" in out + err
