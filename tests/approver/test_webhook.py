"""Notices to other systems: a receiver that verifies what it is sent (RFC 8935)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from borrow.approver import webhook
from borrow.approver.serve import port_of, start
from borrow.protocol.errors import Untrusted
from borrow.protocol.events import NOTICE, SecurityEvent, verify_event
from borrow.protocol.keys import PublicKeys
from borrow_fakes.front_desk import ANN, FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from borrow_fakes.clock import Clock


@dataclass(slots=True)
class Receiver:
    """Takes events, or answers with the statuses it was told first."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    calls: list[tuple[str, str]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.calls.append((request.content_type, (await request.read()).decode()))
        self.came.set()
        status = self.answers.pop(0) if self.answers else 202
        headers = {"Location": self.url} if status == 302 else {}
        return web.Response(status=status, headers=headers)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.calls) < count:
                self.came.clear()
                await self.came.wait()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/hook", receiver.take)
    runner = await start(app)
    receiver.url = f"http://127.0.0.1:{port_of(runner)}/hook"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def front(tmp_path: Path, clock: Clock, receiver: Receiver) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock, webhooks=(receiver.url,))
    await front.open()
    yield front
    await front.close()


def event_in(front: FrontDesk, receiver: Receiver, number: int) -> SecurityEvent:
    kind, token = receiver.calls[number]
    assert kind == "application/secevent+jwt"
    who = {"issuer": front.issuer, "audience": receiver.url, "now": front.clock()}
    return verify_event(token, PublicKeys([front.a]), **who)  # type: ignore[arg-type]  # mixed


async def test_a_webhook_gets_the_signed_event_addressed_to_it(
    front: FrontDesk, receiver: Receiver
) -> None:
    ann = await front.join(ANN)
    granted = await ann.borrow("dev-read")
    await receiver.wait_for(2)
    events = [event_in(front, receiver, number) for number in range(2)]
    assert {e.details["kind"] for e in events} == {"device_added", "grant_opened"}
    assert {e.kind for e in events} == {NOTICE}
    opened = next(e for e in events if e.details["kind"] == "grant_opened")
    assert opened.details["grant"] == granted["grant_id"]
    elsewhere = receiver.calls[0][1]
    with pytest.raises(Untrusted):
        verify_event(
            elsewhere,
            PublicKeys([front.a]),
            issuer=front.issuer,
            audience="https://other.example.com/hook",
            now=front.clock(),
        )


async def test_a_failing_webhook_is_tried_three_times_and_no_more(
    front: FrontDesk, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers = [500, 302, 503]
    await front.join(ANN)
    for _ in range(30):  # the pauses between the tries are of the fake clock
        await asyncio.sleep(0.02)
        clock.advance(60)
    assert len(receiver.calls) == webhook.TRIES
    tokens = {event_in(front, receiver, number).jti for number in range(webhook.TRIES)}
    assert len(tokens) == 1


async def test_what_was_not_taken_is_sent_after_a_restart(
    front: FrontDesk, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers = [500]
    await front.join(ANN)
    await receiver.wait_for(1)
    await asyncio.sleep(0.1)
    await front.close()
    clock.advance(60)
    await front.open()
    await receiver.wait_for(2)
    assert event_in(front, receiver, 0).jti == event_in(front, receiver, 1).jti
