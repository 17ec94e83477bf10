"""The service worker in a real Chromium: what a push shows, and what a press does.

Chromium's own push service is its maker's, so the message is handed to it over the DevTools
protocol, as if the service had brought it and its seal were opened.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from borrow.approver.desk import DESK
from borrow.cli.assembly import clock  # what fails once is tried again, in real time
from borrow.protocol.lifecycle import RequestState
from borrow_fakes.front_desk import ANN, BEA, FrontDesk
from borrow_fakes.phone import FLAGS, INSTALL, PROGRAM, missing
from borrow_fakes.push_service import PushService
from borrow_fakes.pushing import desk_that_pushes
from borrow_fakes.tools import need
from borrow_fakes.visits import Caller, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright._impl._api_structures import SetCookieParam
    from playwright.async_api import BrowserContext, CDPSession, Page, Worker

pytestmark = pytest.mark.asyncio(loop_scope="module")
shared = pytest_asyncio.fixture(scope="module", loop_scope="module")
NAMES = """async () => {
  const shown = await self.registration.getNotifications();
  return shown.map(n => ({title: n.title, body: n.body, tag: n.tag, silent: n.silent,
                          actions: n.actions.map(a => a.action), data: n.data}));
}"""
PRESS = """async ([tag, action]) => {
  const [one] = await self.registration.getNotifications({tag});
  const event = new NotificationEvent("notificationclick", {notification: one, action});
  const waits = [];
  event.waitUntil = (promise) => waits.push(promise);
  self.dispatchEvent(event);
  await Promise.all(waits.map((one) => one.catch(() => null)));
}"""
# So that a test knows when the worker is done with a push.
COUNT = """() => {
  self.done = 0;
  const plain = ExtendableEvent.prototype.waitUntil;
  ExtendableEvent.prototype.waitUntil = function (promise) {
    plain.call(this, promise);
    Promise.resolve(promise).catch(() => null).then(() => { self.done += 1; });
  };
}"""
DONE = """async (count) => {
  while (self.done < count) await new Promise((go) => setTimeout(go, 10));
}"""
HANDLE = "A" * 22


class Phone:
    """One browser of one person, with the worker registered."""

    def __init__(self, page: Page, cdp: CDPSession, worker: Worker, origin: str) -> None:
        self.page, self.cdp, self.worker, self.origin = page, cdp, worker, origin
        self.registration = ""

    async def push(self, data: str) -> None:
        done = await self.worker.evaluate("() => self.done")
        await self.cdp.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.origin, "registrationId": self.registration, "data": data},
        )
        await self.worker.evaluate(DONE, done + 1)

    async def shown(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await self.worker.evaluate(NAMES)
        return found

    async def press(self, tag: str, action: str = "") -> None:
        await self.worker.evaluate(PRESS, [tag, action])

    async def clear(self) -> None:
        await self.worker.evaluate(
            "async () => (await self.registration.getNotifications()).forEach(n => n.close())"
        )


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
async def cookie(desk: FrontDesk) -> SetCookieParam:
    """Bea is signed in."""
    async with visitor(desk) as one:
        token = (await Caller(BEA, one).joined()).token
    return {
        "name": "__Host-borrow",
        "value": token,
        "url": desk.origin.replace("http:", "https:"),  # or it cannot be a Secure one
        "httpOnly": True,
        "secure": True,
        "sameSite": "Lax",
    }


@shared
async def context(
    desk: FrontDesk, cookie: SetCookieParam, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BrowserContext]:
    need(missing(), INSTALL)
    async with async_playwright() as play:
        context = await play.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"),
            executable_path=PROGRAM,
            args=list(FLAGS),
        )
        await context.grant_permissions(["notifications"], origin=desk.origin)
        await context.add_cookies([cookie])
        yield context
        await context.close()


@shared
async def phone(desk: FrontDesk, context: BrowserContext) -> Phone:
    page = context.pages[0]
    await page.goto(desk.origin + "/keys")
    cdp = await context.new_cdp_session(page)
    found: list[str] = []
    cdp.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda told: found.extend(each["registrationId"] for each in told["registrations"]),
    )
    await cdp.send("ServiceWorker.enable")
    await page.evaluate("navigator.serviceWorker.register('/sw.js').then(() => null)")
    await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
    worker = context.service_workers[0]
    phone = Phone(page, cdp, worker, desk.origin)
    phone.registration = found[-1]
    await worker.evaluate(COUNT)
    return phone


@pytest_asyncio.fixture(loop_scope="module", autouse=True)
async def _nothing_shown(phone: Phone) -> None:
    await phone.clear()


async def asked(desk: FrontDesk, phone: Phone, service: PushService) -> tuple[str, str]:
    """A request of a colleague, pushed to the phone: its id, and the handle it has there."""
    ann = await desk.join(ANN)
    before = {each.said["id"] for each in service.pushed}
    asked = (await ann.ask("prod-admin")).ok()
    while not (new := [p.said for p in service.pushed if p.said["id"] not in before]):
        await service.wait_for(len(service.pushed) + 1)
    (said,) = new
    await phone.push(json.dumps(said))
    return asked["borrow_request"], said["id"]


@shared
async def known(phone: Phone, service: PushService) -> PushService:
    """A subscription of the same person, so that there are handles."""
    body = json.dumps(service.subscribe().to_json())
    status = await phone.page.evaluate(
        "(body) => fetch('/push/subscribe', {method: 'POST', body,"
        " headers: {'Content-Type': 'application/json'}}).then(r => r.status)",
        body,
    )
    assert status == 201
    return service


async def state(desk: FrontDesk, request_id: str) -> RequestState:
    return (await desk.app[DESK].minter.request(request_id)).state


async def test_a_push_shows_fixed_words_and_two_actions(phone: Phone) -> None:
    await phone.push(json.dumps({"id": HANDLE, "kind": "ask"}))
    (one,) = await phone.shown()
    assert (one["title"], one["tag"]) == ("Somebody asks for your yes", HANDLE)
    assert one["actions"] == ["review", "deny"]
    assert not one["silent"]


async def test_a_quiet_push_makes_no_noise(phone: Phone) -> None:
    await phone.push(json.dumps({"id": HANDLE, "kind": "grant", "q": 1}))
    (one,) = await phone.shown()
    assert one["silent"]
    assert one["actions"] == ["review", "report"]


async def test_a_withdrawal_replaces_what_is_shown_and_shows_nothing_of_its_own(
    phone: Phone,
) -> None:
    await phone.push(json.dumps({"id": HANDLE, "kind": "withdraw", "q": 1}))
    assert await phone.shown() == []
    await phone.push(json.dumps({"id": HANDLE, "kind": "ask"}))
    await phone.push(json.dumps({"id": HANDLE, "kind": "withdraw", "q": 1}))
    (one,) = await phone.shown()
    assert (one["title"], one["actions"]) == ("Nothing to do any more", [])
    assert one["silent"]


@pytest.mark.parametrize(
    "data",
    ["", "not json", "[]", "{}", "null", '{"id":"../../keys","kind":"ask"}',
     '{"id":"' + HANDLE + '","kind":"constructor"}', '{"id":5,"kind":"ask"}'],
)  # fmt: skip
async def test_a_push_that_is_none_of_ours_leads_to_the_inbox_only(phone: Phone, data: str) -> None:
    await phone.push(data)
    (one,) = await phone.shown()
    assert (one["title"], one["actions"], one["data"]["id"]) == ("More requests wait", [], "")


async def test_deny_on_the_notification_denies_and_says_so(
    desk: FrontDesk, phone: Phone, known: PushService
) -> None:
    request_id, handle = await asked(desk, phone, known)
    await phone.press(handle, "deny")
    assert await state(desk, request_id) is RequestState.DENIED
    await phone.push(json.dumps({"id": handle, "kind": "withdraw", "q": 1}))
    (one,) = await phone.shown()
    assert (one["title"], one["silent"]) == ("Denied", True)


async def test_deny_that_does_not_work_says_that(
    desk: FrontDesk,
    phone: Phone,
    known: PushService,
    context: BrowserContext,
    cookie: SetCookieParam,
) -> None:
    """Signed out: nothing is denied, and nobody is told that it was."""
    request_id, handle = await asked(desk, phone, known)
    await context.clear_cookies()
    try:
        await phone.press(handle, "deny")
    finally:
        await context.add_cookies([cookie])
    assert await state(desk, request_id) is RequestState.PENDING
    (one,) = await phone.shown()
    assert one["title"] == "That did not work from here"
    assert one["actions"] == ["review", "deny"]


@pytest.mark.parametrize("action", ["", "review"])
async def test_a_tap_opens_the_request_and_decides_nothing(
    desk: FrontDesk, phone: Phone, known: PushService, context: BrowserContext, action: str
) -> None:
    """Chromium opens a window for a real press only (Firefox's test has one): here it is noted."""
    await phone.worker.evaluate(
        "() => { clients.openWindow = async (to) => { self.opened = to; }; }"
    )
    request_id, handle = await asked(desk, phone, known)
    await phone.press(handle, action)
    page = await context.new_page()
    await page.goto(desk.origin + await phone.worker.evaluate("() => self.opened"))
    assert page.url == f"{desk.origin}/r/{request_id}"
    await page.close()
    assert await state(desk, request_id) is RequestState.PENDING


async def test_the_page_gives_up_on_a_push_service_that_does_not_answer(phone: Phone) -> None:
    """Chromium's is its maker's, and not to be reached from here."""
    said = await phone.page.evaluate(
        "import('/static/push.js').then(m => m.subscribe(200)).then(() => '', e => e.message)"
    )
    assert "push service" in said or "denied" in said.lower(), said


async def test_the_page_offers_it_and_names_the_other_channels_when_it_fails(phone: Phone) -> None:
    await phone.page.reload()
    await phone.page.get_by_role("button", name="Notify me here").click()
    told = phone.page.locator("#push [role=status]")
    await told.filter(has_text="borrow inbox").wait_for(timeout=15_000)


async def test_the_manifest_can_be_installed(phone: Phone) -> None:
    found = await phone.cdp.send("Page.getAppManifest")
    assert found["errors"] == []
    assert (await phone.cdp.send("Page.getInstallabilityErrors"))["installabilityErrors"] == []


async def test_an_iphone_is_guided_to_the_home_screen_first(
    desk: FrontDesk, context: BrowserContext
) -> None:
    page = await context.new_page()
    await page.add_init_script(
        "Object.defineProperty(navigator, 'userAgent', {get: () => 'Mozilla/5.0 (iPhone; CPU "
        "iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15'})"
    )
    await page.goto(desk.origin + "/keys")
    await page.locator("#push[data-state=install]").wait_for()
    assert "Add to Home Screen" in await page.locator("#push").inner_text()
    assert await page.locator("#push button").count() == 0
    await page.close()
