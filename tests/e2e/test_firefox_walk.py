"""The whole walk in Firefox: a call waits, a real push arrives, its person says yes, it succeeds.

Nothing of it is imagined but the finger: Firefox subscribes to the push service and opens the seal
by itself, its notification is the desktop's, the mouse and the keys are its own, and its passkey is
in the virtual authenticator that it has for automation, which verifies its user.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from borrow.cli.assembly import clock  # a server process lives in real time
from borrow_fakes import bubbles as bus
from borrow_fakes.bubbles import Bubbles
from borrow_fakes.firefox import INSTALL, Firefox, missing, push_preferences
from borrow_fakes.lab import BORROW, Home, finish, home, names_number
from borrow_fakes.push_service import PushService
from borrow_fakes.team import ANN, WITH_PHONES, Server, join
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from borrow.cli.demo.standin_process import StandInProcess
    from borrow_fakes.marionette import Authenticator

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
ASKED = "Is this you?"


@pytest.fixture
async def service() -> AsyncIterator[PushService]:
    async with PushService(clock) as service:
        yield service


@pytest.fixture
def server(cloud: StandInProcess, service: PushService) -> Iterator[Server]:
    need(missing(), INSTALL)
    need(lacking("dbus-daemon"), bus.INSTALL)
    settings = {"driver": "assume-role", "endpoint_url": cloud.endpoint, "region": "us-east-1"}
    hosts = (f"127.0.0.1:{service.port}",)
    with Server.make(cloud=settings, base_key=cloud.base_key, push_allow_hosts=hosts) as running:
        (running.home.root / "server/policy.toml").write_text(WITH_PHONES)
        yield running


@pytest.fixture
def ann(server: Server, cloud: StandInProcess) -> Iterator[Home]:
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        yield join(server, one, ANN)


@pytest.fixture
async def bubbles(tmp_path: Path) -> AsyncIterator[Bubbles]:
    async with Bubbles(tmp_path) as bubbles:
        yield bubbles


@pytest.fixture
async def fox(ann: Home, service: PushService, bubbles: Bubbles) -> AsyncIterator[Firefox]:
    """Started last: what waits for the workstation keeps the push service from answering."""
    preferences = push_preferences(f"ws://127.0.0.1:{service.port}/")
    async with Firefox(preferences=preferences, environment=bubbles.environment) as fox:
        yield fox


async def test_a_push_a_number_and_a_passkey_in_firefox_let_the_call_through(
    fox: Firefox, bubbles: Bubbles, service: PushService, server: Server, ann: Home
) -> None:
    finger = await _joined(fox, server)
    await _signed_in_anew(fox, server)
    await fox.go(f"{server.pages}/keys")
    await fox.press("Notify me here")
    await fox.until("document.querySelector('#push').dataset.state === 'on'")

    child = ann.spawn(BORROW, "run", "phone", "--", *BOTO3)
    asked = await asyncio.to_thread(ann.pending, "phone")
    bubble = await bubbles.wait_for(ASKED)
    assert not names_number(f"{bubble.title} {bubble.body}", asked["number"])
    await bubbles.press(bubble, "Review")
    await fox.turn_to(f"{server.pages}/r/{asked['request']}")
    await fox.until("document.querySelector('h1')?.innerText === 'You ask for phone'")
    shown = await fox.run("document.querySelector('main').innerText")
    assert not names_number(shown, asked["number"])

    await fox.type("#number", asked["number"])
    await finger.verifies(user=False)
    await fox.press("Approve with a passkey")
    told = "document.querySelector('#approve .told').innerText"
    await fox.until(f"{told} !== ''")
    assert "The passkey was not used" in await fox.run(told)
    assert ann.pending("phone")["request"] == asked["request"]
    await finger.verifies(user=True)
    await fox.press("Approve with a passkey")

    code, out, err = await asyncio.to_thread(finish, child)
    assert (code, "got 5 bytes" in out) == (0, True), err
    await fox.until(
        "document.querySelector('[role=status]')?.innerText.includes('Approved by you')"
    )
    assert service.refused == []
    assert 100 in service.acknowledged
    assert int(service.pushed[0].headers["TTL"]) > 0


async def _joined(fox: Firefox, server: Server) -> Authenticator:
    """Ann, with a passkey that Firefox keeps."""
    finger = await fox.passkeys()
    await fox.go(server.page_invitation(ANN))
    await fox.type("input[name=name]", "my fox")
    await fox.press("Make a passkey here")
    await fox.until("document.querySelector('.good[data-when=now]').checkVisibility()")
    [kept] = await finger.credentials()
    assert kept["rpId"] == "localhost"
    return finger


async def _signed_in_anew(fox: Firefox, server: Server) -> None:
    await fox.go(server.pages)
    await fox.press("Sign out")
    await fox.until("location.pathname === '/signin'")
    await fox.go(f"{server.pages}/signin")
    await fox.press("Sign in with a passkey")
    await fox.until("location.pathname === '/'")
