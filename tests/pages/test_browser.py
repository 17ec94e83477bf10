"""The pages in a real browser: Debian's Chromium, phone-sized, with its own passkeys."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import expect

from borrow.approver.serve import port_of, serving
from borrow.cli.assembly import clock  # the browser keeps real time
from borrow.protocol.strict import b64url, from_b64url
from borrow_fakes.front_desk import ANN, BEA, CAT, FrontDesk
from borrow_fakes.phone import INSTALL, chromium, missing, phone
from borrow_fakes.team_policy import DAN, ELI, PAGES_POLICY, PHONE
from borrow_fakes.tools import need
from borrow_fakes.visits import visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser

    from borrow_fakes.front_desk import Client
    from borrow_fakes.phone import Phone

DENIED = "Denied by you."
pytestmark = pytest.mark.asyncio(loop_scope="module")
HOSTILE = (
    "</q></script><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">"
    "<a href=javascript:alert(1)>{{7*7}}</a>\u202e\x1b[2J"
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    need(missing(), INSTALL)
    async with chromium() as one:
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path_factory.mktemp("desk"), clock, policy=PAGES_POLICY, long_poll=0.2)
    await front.open()
    yield front
    await front.close()


@pytest_asyncio.fixture(loop_scope="module")
async def ann(desk: FrontDesk) -> Client:
    """A workstation that was denied nothing yet."""
    return await desk.join(ANN)


@contextlib.asynccontextmanager
async def joined(
    browser: Browser, desk: FrontDesk, person: str, **how: Any
) -> AsyncIterator[Phone]:
    async with phone(browser, **how) as one:
        await one.join(await invitation(desk, person))
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bea(browser: Browser, desk: FrontDesk) -> AsyncIterator[Phone]:
    async with joined(browser, desk, BEA) as one:
        yield one


async def invitation(desk: FrontDesk, person: str) -> str:
    url: str = (await desk.admin("POST", "/admin/invite", {"person": person})).ok()["url"]
    return url.replace(desk.issuer, desk.origin)


async def asked(ann: Client, role: str = "prod-admin", **changes: Any) -> dict[str, Any]:
    more = PHONE | changes if role == "dev-phone" else changes
    context = {"via": "container", "group": ann.client_id} | more.pop("context", {})
    again = f"for the invoice job, try {ann.client_id}"  # a denial is kept with its reason
    return (await ann.ask(role, context=context, **({"reason": again} | more))).ok()


async def test_an_invitation_becomes_a_passkey_and_leaves_the_address_bar(
    browser: Browser, desk: FrontDesk
) -> None:
    url = await invitation(desk, CAT)
    async with phone(browser) as one:
        seen: list[str] = []
        one.page.on("request", lambda request: seen.append(request.url))
        await one.page.goto(url)
        await expect(one.page.locator(".person")).to_have_text(CAT)
        assert one.page.url == f"{desk.origin}/join"
        words = (await desk.admin("GET", "/admin/status")).ok()
        await expect(one.page.get_by_text(words["words_a"])).to_be_visible()
        await expect(one.page.get_by_text(words["words_m"])).to_be_visible()
        command = await one.page.locator("pre").inner_text()
        assert command == f"borrow join '{url.replace(desk.origin, desk.issuer)}'"
        await one.page.get_by_role("button", name="Make a passkey here").click()
        await expect(one.page.locator(".good[data-when=now]")).to_be_visible()
        assert not [each for each in seen if "k=" in each]
        await one.page.goto(url)
        await expect(one.page.get_by_text("was used before")).to_be_visible()


async def test_what_a_link_adds_to_an_invitation_is_not_in_the_line_for_a_shell(
    browser: Browser, desk: FrontDesk
) -> None:
    """A good invitation, sent on with a quote and a command behind it: the line is for pasting."""
    url = await invitation(desk, CAT)
    async with phone(browser) as one:
        await one.page.goto(f"{url}';touch${{IFS}}/tmp/x;'&x=';id;'")
        await expect(one.page.locator(".person")).to_have_text(CAT)
        command = await one.page.locator("pre").inner_text()
    good = f"borrow join '{url.replace(desk.origin, desk.issuer)}"
    assert command == f"{good}%27%3Btouch%24%7BIFS%7D%2Ftmp%2Fx%3B%27'"
    assert shlex.split(command)[2].startswith(good.partition("'")[2])


async def test_sign_out_and_in_again_and_on_to_the_page_that_was_wanted(
    desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    path = f"/r/{(await asked(ann))['borrow_request']}"
    await bea.page.goto(desk.origin + "/")
    await bea.sign_out()
    await expect(bea.page).to_have_url(f"{desk.origin}/signin")
    await bea.page.goto(desk.origin + path)
    await bea.page.get_by_role("button", name="Sign in with a passkey").click()
    await expect(bea.page).to_have_url(desk.origin + path)


async def test_a_yes_lets_the_asker_collect(desk: FrontDesk, ann: Client, bea: Phone) -> None:
    answer = await asked(ann)
    await bea.page.goto(desk.origin)
    await bea.page.locator(f'a[href="/r/{answer["borrow_request"]}"]').click()
    await expect(bea.page.locator(".compare .digits")).to_have_text(re.compile("[0-9]{3}"))
    await bea.page.get_by_label("For how long").select_option("900")
    await bea.approve()
    await expect(bea.page.get_by_role("status")).to_contain_text("Approved by you")
    assert (await ann.poll(answer["auth_req_id"])).ok()["expires_in"] <= 900


async def test_a_no_with_its_reason_without_any_script(
    browser: Browser, desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    answer = await asked(ann)
    cookies: Any = await bea.context.cookies()
    async with phone(browser, java_script_enabled=False) as plain:
        await plain.context.add_cookies(cookies)
        await plain.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
        assert not await plain.page.get_by_role("button", name="Approve").is_visible()
        await expect(plain.page.get_by_text("A no works here without")).to_be_visible()
        await expect(plain.page.get_by_text("when this page was made")).to_be_visible()
        await plain.deny("not today")
        await expect(plain.page.get_by_role("status")).to_have_text(DENIED)
        for path in ("/", "/mine", "/keys", "/signin", "/join"):
            assert (await plain.page.goto(desk.origin + path)) is not None
            await expect(plain.page.locator("h1").first).to_be_visible()
    assert (await ann.poll(answer["auth_req_id"])).error == "access_denied"


async def test_a60_a_finger_that_is_not_its_persons_makes_no_yes(
    desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    answer = await asked(ann)
    await bea.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
    await bea.verifies(user=False)
    try:
        await bea.approve()
        assert "was not used" in await bea.told()
    finally:
        await bea.verifies(user=True)
    assert (await ann.poll(answer["auth_req_id"])).error == "authorization_pending"
    await bea.deny()


async def test_a56_what_was_swapped_under_a_yes_is_refused(
    desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    """Somebody on the way changes the statement that the page sends back."""
    answer = await asked(ann, seconds=1800)

    async def swap(route: Any) -> None:
        body = route.request.post_data_json
        data = from_b64url(body["statement"]).replace(b'"duration": 900', b'"duration": 1800')
        await route.continue_(post_data=json.dumps(body | {"statement": b64url(data)}))

    await bea.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
    await bea.page.get_by_label("For how long").select_option("900")
    await bea.page.route("**/approve", swap)
    try:
        await bea.approve()
        assert "not issued here" in await bea.told()
    finally:
        await bea.page.unroute("**/approve")
    assert (await ann.poll(answer["auth_req_id"])).error == "authorization_pending"
    await bea.deny()


async def test_a_yes_that_found_no_network_is_sent_again(
    desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    answer = await asked(ann)
    tries: list[int] = []

    async def away(route: Any) -> None:
        tries.append(1)
        await (route.abort() if len(tries) == 1 else route.continue_())

    await bea.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
    await bea.page.route("**/approve", away)
    try:
        await bea.approve()
        await expect(bea.page.get_by_text("Not sent yet")).to_be_visible()
        await expect(bea.page.get_by_role("status")).to_contain_text("Approved by you")
    finally:
        await bea.page.unroute("**/approve")
    assert len(tries) == 2


async def test_a57_in_mode_self_the_phone_asks_for_the_number_and_three_wrong_ones_end_it(
    browser: Browser, desk: FrontDesk, ann: Client
) -> None:
    async with joined(browser, desk, ANN) as own:
        answer = await asked(ann, "dev-phone", number="417")
        await own.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
        assert not re.search(r"\b417\b", await own.page.content())
        field = own.page.get_by_label("The number that the asking workstation shows")
        for number, said in (("000", "2 tries left"), ("001", "1 tries left")):
            await field.fill(number)
            await own.approve()
            await expect(own.page.locator(".told")).to_contain_text(said)
        await field.fill("002")
        await own.approve()
        await expect(own.page.get_by_text("the number was wrong 3 times")).to_be_visible()
        assert (await ann.poll(answer["auth_req_id"])).status == 400
        answer = await asked(ann, "dev-phone", number="417")
        await own.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
        await field.fill("417")
        await own.approve()
        await expect(own.page.get_by_role("status")).to_contain_text("Approved by you")
        assert (await ann.poll(answer["auth_req_id"])).ok()["grant_id"]


async def test_a60_a_copied_passkey_is_noticed_by_its_counter(
    browser: Browser, desk: FrontDesk, ann: Client
) -> None:
    async with joined(browser, desk, DAN) as one:
        await one.page.goto(desk.origin)
        for _ in range(2):
            await one.sign_out()
            await one.page.get_by_role("button", name="Sign in with a passkey").click()
            await expect(one.page).to_have_url(f"{desk.origin}/")
        await one.sign_out()
        await one.set_counter(0)
        await one.page.get_by_role("button", name="Sign in with a passkey").click()
        assert "counter went back" in await one.told()


@contextlib.asynccontextmanager
async def elsewhere(page: str) -> AsyncIterator[str]:
    """Another site, on another port of localhost; its address."""

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", show)
    async with serving(app) as runner:
        yield f"http://localhost:{port_of(runner)}/"


async def test_a60_a_passkey_that_was_used_on_another_port_is_refused(
    browser: Browser, desk: FrontDesk
) -> None:
    """rpId is `localhost` for every port, so a browser signs there; the origin gives it away."""
    async with (
        joined(browser, desk, ELI) as one,
        visitor(desk) as own,
        elsewhere("<p>hello") as url,
    ):
        begun = (await own.post("/signin/begin", {})).json
        await one.page.goto(url)
        module = f"{desk.origin}/static/passkeys.js"
        text = await (await one.context.request.get(module)).text()
        script = text.replace("export ", "") + ";return use"
        assertion = await one.page.evaluate(
            "async ([script, asked]) => await (new Function(script))()(asked)", [script, begun]
        )
        body = {"ceremony": begun["ceremony"], "assertion": assertion}
        page = await own.post("/signin", body)
        assert (page.status, page.state) == (401, "passkey_origin")
        # Ports of one host are one site: cookies travel, and the origin alone tells them apart.
        await one.page.evaluate(
            """url => {
                const form = document.createElement("form");
                form.method = "post";
                form.action = url;
                document.body.append(form);
                form.submit();
            }""",
            f"{desk.origin}/signout",
        )
        await expect(one.page.get_by_text("This was sent from another site.")).to_be_visible()
        await one.page.goto(desk.origin)
        await expect(one.page.get_by_text(ELI)).to_be_visible()


async def test_a50_no_page_stands_in_a_frame(desk: FrontDesk, ann: Client, bea: Phone) -> None:
    request = (await asked(ann))["borrow_request"]
    frame = f'<iframe src="{desk.origin}/r/{request}" width="300" height="600"></iframe>'
    async with elsewhere(frame) as url:
        page = await bea.context.new_page()
        await page.goto(url)
        inner = page.frames[-1]
        await inner.wait_for_load_state()
        assert inner.url.startswith("chrome-error:")
        assert await inner.locator("button").count() == 0
        await page.close()
    await bea.page.goto(f"{desk.origin}/r/{request}")
    await bea.deny()


async def test_a49_hostile_text_runs_nothing_on_any_page(
    browser: Browser, desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    process = dict.fromkeys(("exe", "argv", "cwd", "git_branch", "container"), HOSTILE)
    context = {
        "host": HOSTILE,
        "os_user": HOSTILE,
        "agent": HOSTILE[:60],
        "process": process | {"parents": [HOSTILE]},
        "where": {"branch": HOSTILE, "repo": HOSTILE},
    }
    request = (await asked(ann, reason=HOSTILE, context=context))["borrow_request"]
    for path in ("/", f"/r/{request}", "/mine", "/keys"):
        await bea.page.goto(desk.origin + path)
        await expect(bea.page.locator("h1").first).to_be_visible()
        assert "owned" not in await bea.page.title()
        assert await bea.page.locator('[onerror], a[href^="javascript"]').count() == 0
        assert await bea.page.locator("script:not([src])").count() == 0
    await bea.page.goto(f"{desk.origin}/r/{request}")
    await expect(bea.page.locator("blockquote")).to_contain_text("<script>document.title")
    await expect(bea.page.locator("blockquote")).to_contain_text("\\u{202e}\\u{1b}[2J")
    await bea.deny(HOSTILE)
    await expect(bea.page.get_by_role("status")).to_have_text(DENIED)
    assert "owned" not in await bea.page.title()


async def test_a_script_put_into_a_page_does_not_run(desk: FrontDesk, bea: Phone) -> None:
    """What the policy is for, should a template ever forget itself."""

    async def inject(route: Any) -> None:
        answer = await route.fetch()
        text = (await answer.text()).replace("<main", f"{HOSTILE}<main")
        await route.fulfill(response=answer, body=text)

    page = await bea.context.new_page()
    await page.route("**/mine", inject)
    await page.goto(f"{desk.origin}/mine")
    await expect(page.locator("h1").first).to_be_visible()
    assert await page.locator("[onerror]").count() == 1  # it is there …
    assert "owned" not in await page.title()  # … and does nothing
    await page.close()


async def test_an_answer_from_elsewhere_shows_without_a_reload(
    desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    answer = await asked(ann)
    await bea.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
    await expect(bea.page.get_by_role("button", name="Deny")).to_be_visible()
    await ann.cancel(answer["auth_req_id"])
    await expect(bea.page.get_by_text("Taken back")).to_be_visible()


async def test_another_device_of_mine_is_invited_by_a_passkey_and_drawn_as_a_code(
    browser: Browser, desk: FrontDesk, bea: Phone
) -> None:
    await bea.page.goto(f"{desk.origin}/keys")
    await bea.page.get_by_role("button", name="Invite another device of mine").click()
    await expect(bea.page.get_by_role("img", name="QR code of the link")).to_be_visible()
    url = await bea.page.locator('[data-put="url"]').inner_text()
    assert url.startswith(f"{desk.origin}/join#v=1&k=")
    async with phone(browser) as second:
        await second.join(url, "second phone")
        await second.page.goto(f"{desk.origin}/keys")
        await expect(second.page.get_by_text("second phone").first).to_be_visible()


async def test_everything_can_be_done_from_the_keyboard(
    desk: FrontDesk, ann: Client, bea: Phone
) -> None:
    answer = await asked(ann)
    await bea.page.goto(f"{desk.origin}/r/{answer['borrow_request']}")
    await bea.page.keyboard.press("Tab")
    assert await bea.page.evaluate("document.activeElement.className") == "skip"
    for _ in range(40):
        await bea.page.keyboard.press("Tab")
        if await bea.page.evaluate("document.activeElement.classList.contains('yes')"):
            break
    await bea.page.keyboard.press("Enter")
    await expect(bea.page.get_by_role("status")).to_contain_text("Approved by you")
