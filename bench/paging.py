"""The pages' figures: first paint, and the way from the yes on the phone to the SDK's answer."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

from machine import request
from measure import line, percentile

from borrow_fakes.lab import home
from borrow_fakes.phone import chromium, missing, phone
from borrow_fakes.team import ANN, BO, Server, join

if TYPE_CHECKING:
    from borrow_fakes.lab import Home
    from borrow_fakes.phone import Phone

PAINT = (
    "() => performance.getEntriesByType('paint')"
    ".find(each => each.name === 'first-contentful-paint')?.startTime ?? 0"
)


def pages() -> None:
    if told := missing():
        print(f"      pages: {told}")
        return
    with Server.make() as server, home() as one:
        join(server, one, ANN)
        asyncio.run(_measured(server, one))


async def _measured(server: Server, one: Home) -> None:
    async with chromium() as browser, phone(browser) as own:
        await own.join(server.page_invitation(BO))
        await _painted(server, own)
        await _answered(server, one, own)


async def _painted(server: Server, own: Phone, rounds: int = 15) -> None:
    took: list[float] = []
    for path in ("/", "/mine", "/keys"):
        for _ in range(rounds):
            await own.page.goto(server.pages + path, wait_until="networkidle")
            took.append(float(await own.page.evaluate(PAINT)))
    worst = percentile(took, 0.95)
    figure = f"p50 {statistics.median(took):.0f} ms, p95 {worst:.0f} ms"
    line("a page of the approver, first paint", figure, "p95 <= 300 ms", met=worst <= 300)


async def _answered(server: Server, one: Home, own: Phone, rounds: int = 25) -> None:
    """From the press on *Approve*, with an authenticator that says yes at once."""
    took: list[float] = []
    place, sent = request(one.bearer("change"))
    for _ in range(rounds):
        call = await asyncio.open_connection(*place)
        call[1].write(sent)
        asked = await asyncio.to_thread(one.pending, "change")
        await own.page.goto(f"{server.pages}/r/{asked['request']}")
        button = own.page.get_by_role("button", name="Approve with a passkey")
        await button.wait_for()
        posted = own.page.expect_request("**/approve")
        async with posted as yes:
            await button.click()
        await yes.value
        begun = time.perf_counter()
        data = b""
        while not data.endswith(b"0\r\n\r\n") and b'"Expiration"' not in data:
            data += await call[0].read(65_536)
        took.append(time.perf_counter() - begun)
        call[1].close()
        await own.page.get_by_role("status").wait_for()
        await asyncio.to_thread(one.control, "POST", "/v1/return", {"role": "change"})
    worst = percentile(took, 0.99) * 1000
    figure = f"p50 {statistics.median(took) * 1000:.0f} ms, p99 {worst:.0f} ms ({rounds} rounds)"
    line("from the yes on the page to the SDK's answer", figure, "p99 <= 150 ms", met=worst <= 150)


if __name__ == "__main__":
    pages()
