"""Real Web Push, end to end: Firefox subscribes, a request is pushed, its bubble is pressed.

Firefox speaks to the push service by itself, opens the seal by itself, and its bubbles are the
desktop's: what is pressed is a button of a notification service on a bus of the test's own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from borrow.approver.desk import DESK
from borrow.cli.assembly import clock  # what fails once is tried again, in real time
from borrow.protocol.lifecycle import RequestState
from borrow_fakes import bubbles as bus
from borrow_fakes.bubbles import Bubbles
from borrow_fakes.firefox import INSTALL, Firefox, missing, push_preferences
from borrow_fakes.front_desk import ANN, BEA, FrontDesk
from borrow_fakes.push_service import PushService
from borrow_fakes.pushing import desk_that_pushes
from borrow_fakes.tools import lacking, need
from borrow_fakes.visits import Caller, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

pytestmark = pytest.mark.asyncio(loop_scope="module")
shared = pytest_asyncio.fixture(scope="module", loop_scope="module")


@shared
async def service() -> AsyncIterator[PushService]:
    async with PushService(clock) as service:
        yield service


@shared
async def desk(
    service: PushService, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FrontDesk]:
    async with desk_that_pushes(service, tmp_path_factory.mktemp("desk")) as front:
        yield front


@shared
async def bubbles(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bubbles]:
    need(lacking("dbus-daemon"), bus.INSTALL)
    async with Bubbles(tmp_path_factory.mktemp("bus")) as bubbles:
        yield bubbles


@shared
async def fox(desk: FrontDesk, service: PushService, bubbles: Bubbles) -> AsyncIterator[Firefox]:
    """Bea's, subscribed by the button of the page."""
    need(missing(), INSTALL)
    preferences = push_preferences(f"ws://127.0.0.1:{service.port}/")
    async with Firefox(preferences=preferences, environment=bubbles.environment) as fox:
        async with visitor(desk) as one:
            token = (await Caller(BEA, one).joined()).token
        await fox.go(desk.origin + "/signin")
        await fox.run(f"document.cookie = '__Host-borrow={token}; Path=/; Secure'")
        await fox.go(desk.origin + "/keys")
        await until(lambda: fox.run("document.querySelector('#push button') !== null"))
        await fox.run("document.querySelector('#push button').click()")
        await until(lambda: fox.run("document.querySelector('#push').dataset.state === 'on'"))
        yield fox


@pytest.fixture(autouse=True)
def _nothing_shown(bubbles: Bubbles) -> None:
    bubbles.shown.clear()


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110  a browser has no event for us
            await asyncio.sleep(0.05)


async def ask(desk: FrontDesk) -> str:
    ann = await desk.join(ANN)
    return str((await ann.ask("prod-admin")).ok()["borrow_request"])


async def state(desk: FrontDesk, request_id: str) -> RequestState:
    return (await desk.app[DESK].minter.request(request_id)).state


async def test_deny_on_the_bubble_denies(
    desk: FrontDesk, fox: Firefox, bubbles: Bubbles, service: PushService
) -> None:
    request_id = await ask(desk)
    bubble = await bubbles.wait_for("Somebody asks for your yes")
    assert {"Review", "Deny"} <= set(bubble.actions.values())
    assert ANN not in str(bubble)
    await bubbles.press(bubble, "Deny")

    async def denied() -> bool:
        return await state(desk, request_id) is RequestState.DENIED

    await until(denied)
    await bubbles.wait_for("Denied")
    assert 100 in service.acknowledged
    assert service.refused == []


async def test_review_on_the_bubble_opens_the_request(
    desk: FrontDesk, fox: Firefox, bubbles: Bubbles
) -> None:
    request_id = await ask(desk)
    bubble = await bubbles.wait_for("Somebody asks for your yes")
    await bubbles.press(bubble, "Review")

    async def open_now() -> bool:
        return f"{desk.origin}/r/{request_id}" in await fox.addresses()

    await until(open_now)
    assert await state(desk, request_id) is RequestState.PENDING


async def test_what_is_answered_elsewhere_replaces_its_bubble(
    desk: FrontDesk, fox: Firefox, bubbles: Bubbles
) -> None:
    bea = await desk.join(BEA)
    request_id = await ask(desk)
    asked = await bubbles.wait_for("Somebody asks for your yes")
    (await bea.say(request_id, "deny")).ok()
    await bubbles.wait_for("Nothing to do any more")

    async def replaced() -> bool:
        return asked not in bubbles.shown.values()

    await until(replaced)


async def test_a_browser_that_stops_gets_nothing_more(
    desk: FrontDesk, fox: Firefox, service: PushService
) -> None:
    """The page's button; last in this file would be nicest, so it subscribes again."""
    count = "document.querySelectorAll('#push button').length"
    await fox.go(desk.origin + "/keys")
    await until(lambda: fox.run(f"{count} === 2"))
    await fox.run("document.querySelectorAll('#push button')[1].click()")
    await until(lambda: fox.run("document.querySelector('#push').dataset.state === 'off'"))
    before = service.tries
    await ask(desk)
    await asyncio.sleep(0.5)
    assert service.tries == before
    await fox.run("document.querySelector('#push button').click()")
    await until(lambda: fox.run("document.querySelector('#push').dataset.state === 'on'"))
