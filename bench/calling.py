"""How soon a person is called: from the request's acceptance to the push service's having it."""

from __future__ import annotations

import asyncio
import gc
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measure import line, percentile

from borrow_fakes.front_desk import ANN, BEA, FrontDesk
from borrow_fakes.push_service import PushService
from borrow_fakes.pushing import desk_that_pushes
from borrow_fakes.visits import Caller, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

clock = time.time  # noqa: TID251  an edge

DESKS, EACH = 5, 6  # the seventh call to one person within minutes is a summary


def pushes() -> None:
    took = asyncio.run(_measured())
    worst = percentile(took, 0.99) * 1000
    figure = f"p50 {statistics.median(took) * 1000:.0f} ms, p99 {worst:.0f} ms ({len(took)} rounds)"
    name = "from the request's acceptance to the push service"
    line(name, figure, "p99 <= 50 ms", met=worst <= 50)


async def _measured() -> list[float]:
    took: list[float] = []
    for _ in range(DESKS):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with PushService(clock) as service, desk_that_pushes(service, folder) as desk:
                gc.freeze()  # as the server does when it is ready
                took += [taken async for taken in _called(desk, service)]
    return took


async def _called(desk: FrontDesk, service: PushService) -> AsyncIterator[float]:
    """Seconds, each from the time of acceptance that the minter wrote down."""
    ann = await desk.join(ANN)
    await desk.join(BEA)
    async with visitor(desk) as visits:
        bea = Caller(BEA, visits)
        _, told, _ = await bea.get("/push/key")
        await bea.post("/push/subscribe", service.subscribe(told["key"]).to_json())
        for each in range(EACH):
            asked = (await ann.ask("prod-admin", reason="to be measured")).ok()
            await service.wait_for(2 * each + 1)
            came = clock()
            yield came - desk.minter.request(asked["borrow_request"]).asked_at
            await ann.cancel(asked["auth_req_id"])
            await service.wait_for(2 * each + 2)  # the notification is withdrawn


if __name__ == "__main__":
    pushes()
