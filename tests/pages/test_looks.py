"""Every page as people with and without good eyes meet it: axe's findings, sizes, pictures.

Pictures of each page, phone-sized, light and dark, are left in .cache/pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from borrow.cli.assembly import clock  # the browser keeps real time
from borrow_fakes.front_desk import ANN, BEA, CAT, FrontDesk
from borrow_fakes.phone import INSTALL, chromium, missing, phone
from borrow_fakes.team_policy import PAGES_POLICY, PHONE
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow_fakes.phone import Phone

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
AXE = ROOT / ".cache/clients/axe/work/node_modules/axe-core/axe.min.js"
SHOTS = ROOT / ".cache/pages"
MOST = 60 * 1024  # bytes that a page may cost, with all that it needs
LONG = (
    "payments-reconciliation: the nightly export to the ledger failed twice, and the third run must"
    " be started by hand before 06:00"
)
WORDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def desk(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FrontDesk]:
    need(missing(), INSTALL)
    front = FrontDesk(tmp_path_factory.mktemp("desk"), clock, policy=PAGES_POLICY)
    await front.open()
    yield front
    await front.close()


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cat(desk: FrontDesk) -> AsyncIterator[Phone]:
    """An administrator who also answers: Cat sees every page."""
    async with chromium() as browser, phone(browser) as one:
        await one.join(await invitation(desk, CAT))
        yield one


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def places(desk: FrontDesk, cat: Phone) -> dict[str, str]:
    """A name for each page, and its path; all of them have something to show."""
    ann, laptop, other = await desk.join(ANN), await desk.join(CAT), await desk.join(BEA)
    process = {
        "exe": "/usr/bin/python3.12",
        "argv": "python -m ledger.export --since 2026-11-23 --to s3://acme-ledger-prod/exports/",
        "cwd": "/home/ann/src/payments/reconciliation",
        "git_branch": "fix/nightly-export",
        "container": "3f9d2c4b7a11",
        "parents": ["bash", "tmux: server"],
    }
    context = {"via": "container", "group": "g", "host": "ann-laptop", "agent": "claude-code"}
    more = {"context": context | {"process": process, "where": {"repo": "payments"}}}
    own = await laptop.ask("dev-phone", reason=LONG, **PHONE | more)
    await laptop.borrow("dev-read")
    reported = await other.ask("prod-admin", reason=LONG, **more)
    peer = await ann.ask("prod-admin", reason=LONG, seconds=3600, **more)
    frozen = {"client_id": other.client_id, "by": CAT}
    (await desk.admin("POST", "/admin/freeze", frozen)).ok()
    asked = [each.ok()["borrow_request"] for each in (own, peer, reported)]
    return {
        "inbox": "/",
        "request-own": f"/r/{asked[0]}",
        "request-of-another": f"/r/{asked[1]}",
        "request-over": f"/r/{asked[2]}",
        "mine": "/mine",
        "keys": "/keys",
        "people": "/people",
        "nothing": "/r/r-01jv0000000000000000000000",
    }


async def invitation(desk: FrontDesk, person: str) -> str:
    url: str = (await desk.admin("POST", "/admin/invite", {"person": person})).ok()["url"]
    return url.replace(desk.issuer, desk.origin)


def need_axe() -> None:
    reason = AXE.parents[3] / "not-obtainable"
    if reason.exists():
        pytest.skip(f"axe-core is not obtainable here: {reason.read_text().strip()}")
    need(
        None if AXE.exists() else "axe-core is not built", "python3 tests/e2e/clients/build.py axe"
    )


async def judged(one: Phone, name: str) -> list[str]:
    """axe's findings in the light and in the dark, with a picture of each."""
    need_axe()
    SHOTS.mkdir(parents=True, exist_ok=True)
    found: list[str] = []
    for scheme in ("light", "dark"):
        await one.page.emulate_media(color_scheme=scheme)
        await one.page.screenshot(path=SHOTS / f"{name}-{scheme}.png", full_page=True)
        await one.page.evaluate(AXE.read_text())
        told: dict[str, Any] = await one.page.evaluate(
            "words => axe.run(document, {runOnly: {type: 'tag', values: words}})", WORDS
        )
        found += [
            f"{scheme}: {each['id']}: {[node['html'][:120] for node in each['nodes']]}"
            for each in told["violations"]
        ]
        assert told["passes"], "axe looked at nothing"
    wide = await one.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, f"{name} is wider than the phone: {wide}"
    return found


async def test_no_page_has_a_finding_of_axe_in_the_light_or_the_dark(
    desk: FrontDesk, cat: Phone, places: dict[str, str]
) -> None:
    found: dict[str, list[str]] = {}
    for name, path in places.items():
        await cat.page.goto(desk.origin + path)
        await expect(cat.page.locator("h1").first).to_be_visible()
        for one in await cat.page.locator("details").all():
            await one.locator("summary").click()
        if findings := await judged(cat, name):
            found[name] = findings
    assert not found


async def test_axe_would_find_what_is_wrong(desk: FrontDesk, cat: Phone) -> None:
    await cat.page.goto(f"{desk.origin}/keys")
    await cat.page.evaluate(
        "document.querySelector('main').insertAdjacentHTML('beforeend',"
        " '<input type=text><button></button>')"
    )
    found = " ".join(await judged(cat, "spoilt"))
    assert "label" in found
    assert "button-name" in found


async def test_neither_have_the_pages_for_strangers_nor_an_invitation(
    desk: FrontDesk, cat: Phone
) -> None:
    await cat.page.goto(f"{desk.origin}/keys")
    await cat.page.get_by_role("button", name="Invite another device").click()
    await expect(cat.page.get_by_role("img", name="QR code")).to_be_visible()
    assert await judged(cat, "invited") == []
    await cat.page.goto(await invitation(desk, CAT))
    await expect(cat.page.locator(".person")).to_have_text(CAT)
    assert await judged(cat, "join") == []
    await cat.page.goto(f"{desk.origin}/join")
    await expect(cat.page.get_by_text("holds no invitation")).to_be_visible()
    assert await judged(cat, "join-nothing") == []
    assert cat.page.context.browser is not None
    async with phone(cat.page.context.browser) as stranger:
        await stranger.page.goto(f"{desk.origin}/signin")
        await expect(stranger.page.get_by_role("button", name="Sign in")).to_be_visible()
        assert await judged(stranger, "signin") == []


async def test_a_page_with_all_that_it_needs_is_small(
    desk: FrontDesk, cat: Phone, places: dict[str, str]
) -> None:
    await cat.line.send("Network.enable")
    await cat.line.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes: list[float] = []
    cat.line.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
    costs: dict[str, float] = {}
    for name, path in places.items():
        sizes.clear()
        await cat.page.goto(desk.origin + path, wait_until="networkidle")
        costs[name] = sum(sizes)
    await cat.line.send("Network.setCacheDisabled", {"cacheDisabled": False})
    assert min(costs.values()) > 2_000, "nothing was measured"
    assert max(costs.values()) <= MOST, costs
