"""An approver that lies, stalls or talks nonsense: every answer becomes one of our errors."""

from __future__ import annotations

import asyncio
import json
import secrets
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from borrow.daemon.config import load_config
from borrow.daemon.device import require_device
from borrow.daemon.places import StateDir
from borrow.daemon.transport import Transport
from borrow.daemon.upstream import Upstream
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable, Untrusted
from borrow.protocol.keys import new_key
from borrow.protocol.request import AwsRole
from borrow_fakes.approver import FakeApprover, running_approver
from borrow_fakes.people import FakeDevice
from borrow_fakes.workstation import enrol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

ROLE = AwsRole("prod-admin", "arn:aws:iam::111122223333:role/prod-admin", 0)


def clock() -> float:
    return time.time()  # noqa: TID251  both ends run in real time


@asynccontextmanager
async def connected(fake: FakeApprover) -> AsyncIterator[Upstream]:
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        state = StateDir.open(Path(folder, "s"))
        enrol(state, fake)
        keys, config = require_device(state), load_config(state)
        upstream = Upstream(
            lambda: Transport(config, lambda: keys, clock=clock, entropy=secrets.token_bytes)
        )
        try:
            yield upstream
        finally:
            await upstream.close()


@asynccontextmanager
async def talking(body: bytes, status: int = 200, **headers: str) -> AsyncIterator[Upstream]:
    """An upstream whose approver answers everything with `body`."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake = FakeApprover()
    fake.issuer = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with connected(fake) as upstream:
            yield upstream
    finally:
        await runner.cleanup()


CALLS: list[Callable[[Upstream], Awaitable[Any]]] = [
    lambda upstream: upstream.catalogue(),
    lambda upstream: upstream.redeem("x", ROLE),
    lambda upstream: upstream.exchange("x", "g-x", ROLE),
    lambda upstream: upstream.events([], at_once=True),
    lambda upstream: upstream.decisions(),
    lambda upstream: upstream.ask(FakeDevice().request(clock())),
]
NONSENSE = [
    b"",
    b"null",
    b"[]",
    b"{",
    b'{"a": 1, "a": 2}',
    b'{"access_token": 7, "expires_in": "x"}',
    b'{"access_token": "t", "expires_in": 300, "roles": {}, "sets": [], "decisions": 1}',
    b'{"access_token": "t", "expires_in": 300, "authorization_details": [{}], "grant_id": "x"}',
    b'{"error": 7}',
    b"\xff\xfe",
    b"[" * 100_000,
    json.dumps({"auth_req_id": "x", "borrow_request": "../x", "expires_in": 1}).encode(),
]


@pytest.mark.parametrize("status", [200, 302, 400, 401, 500])
async def test_nonsense_becomes_one_of_our_errors(status: int) -> None:
    for body in NONSENSE:
        async with talking(body, status) as upstream:
            for call in CALLS:
                with pytest.raises(BorrowError):
                    await call(upstream)


async def test_an_approver_that_is_not_there_is_unavailable() -> None:
    fake = FakeApprover()
    fake.issuer = "http://127.0.0.1:9"
    async with connected(fake) as upstream:
        with pytest.raises(Unavailable):
            await upstream.catalogue()


async def test_what_still_asks_while_the_daemon_stops_gets_one_of_our_errors() -> None:
    async with running_approver() as fake, connected(fake) as upstream:
        await upstream.transport.plain("GET", "/jwks")
        closing = asyncio.get_running_loop().create_task(upstream.close())
        for _ in range(5):  # while it closes, and after it
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="is stopping"):
                await upstream.transport.plain("GET", "/jwks")
        await closing


async def test_a_clock_that_is_off_is_said_with_both_times() -> None:
    async with talking(b"{}", Date="Thu, 01 Jan 2026 00:00:00 GMT") as upstream:
        with pytest.raises(Misconfigured, match="1767225600") as caught:
            await upstream.catalogue()
    assert caught.value.state == "clock_skew"


@pytest.mark.parametrize(
    "date", ["x", "Tue, 24 Nov 99999999999999999999 10:00:00 GMT", "Tue, 24 Nov 2026 10:00:00"]
)
async def test_a_date_that_is_none_stops_nothing(date: str) -> None:
    async with talking(b'{"keys": []}', Date=date) as upstream:
        assert await upstream.transport.plain("GET", "/jwks") == {"keys": []}


async def test_a78_an_approver_with_other_keys_than_pinned_is_refused() -> None:
    async with running_approver() as fake, connected(fake) as upstream:
        fake.m = new_key()
        with pytest.raises(Untrusted) as caught:
            await upstream.transport.trust()
        assert caught.value.state == "wrong_keys"


async def test_credentials_signed_by_anybody_else_are_refused() -> None:
    async with running_approver() as fake, connected(fake) as upstream:
        await upstream.transport.trust()
        device = FakeDevice(client_id=fake.client_id, issuer=fake.issuer)
        fake.auto = True
        request = device.request(clock(), role=ROLE)
        acknowledged = await upstream.ask(request)
        redeemed = await upstream.redeem(acknowledged.auth_req_id, ROLE)
        assert redeemed is not None
        fake.m = fake.a  # whoever stands in between
        with pytest.raises(Untrusted):
            await upstream.exchange(redeemed.token, redeemed.grant_id, ROLE)


async def test_a_grant_of_another_role_than_was_asked_is_refused() -> None:
    async with running_approver() as fake, connected(fake) as upstream:
        fake.auto = True
        device = FakeDevice(client_id=fake.client_id, issuer=fake.issuer)
        acknowledged = await upstream.ask(device.request(clock(), role=ROLE))
        other = AwsRole("prod-logs", "arn:aws:iam::111122223333:role/prod-logs", 0)
        with pytest.raises(Untrusted):
            await upstream.redeem(acknowledged.auth_req_id, other)
