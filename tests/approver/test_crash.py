"""kill -9 after every acknowledged step, and the next process on the same files (A61, A80, A83)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from borrow.minter.secret_files import load_or_create
from borrow.protocol.enrolment import read_invitation, sign_software_statement
from borrow.protocol.events import SESSION_REVOKED
from borrow_fakes.clock import START, Clock
from borrow_fakes.front_desk import ANN, BEA, Client, free_port
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@dataclass(slots=True)
class Killable:
    """The approver as a child process. `crash` is kill -9 and the next one."""

    folder: Path
    session: aiohttp.ClientSession
    port: int = field(default_factory=free_port)
    clock: Clock = field(default_factory=Clock)
    nest: asyncio.subprocess.Process = field(init=False)
    pid: int = 0

    async def open(self) -> None:
        self.nest = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "borrow_fakes.front_desk_process",
            str(self.folder),
            str(self.port),
            str(START),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )

    async def close(self) -> None:
        await self.kill()
        assert self.nest.stdin is not None
        self.nest.stdin.close()
        await self.nest.communicate()

    async def start(self) -> None:
        word, _, pid = (await self.told("start")).partition(" ")
        assert word == "ready"
        self.pid = int(pid)

    async def kill(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self.pid = 0
            assert await self.told("reap") == "reaped"

    async def told(self, order: str) -> str:
        assert self.nest.stdin is not None
        assert self.nest.stdout is not None
        self.nest.stdin.write(f"{order}\n".encode())
        async with asyncio.timeout(30):
            return (await self.nest.stdout.readline()).decode().strip()

    async def crash(self) -> None:
        await self.kill()
        for name in ("approver.db", "minter.db"):
            with contextlib.closing(sqlite3.connect(self.folder / name)) as db:
                assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        await self.start()

    async def admin(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        connector = aiohttp.UnixConnector(str(self.folder / "admin.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post(f"http://localhost{path}", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def join(self, person: str) -> Client:
        invited = await self.admin("/admin/invite", {"person": person})
        await self.crash()  # an invitation outlives it
        issuer = f"http://127.0.0.1:{self.port}"
        device = FakeDevice(owner=person, issuer=issuer)
        statement = sign_software_statement(
            read_invitation(invited["url"]),
            device.jwks,
            device_name="laptop",
            now=START,
            jti="a-jti-of-twenty-two-letters",
        )
        client = Client(device, self.session, self.clock)
        body = {"software_statement": statement}
        device.client_id = (await client.send("POST", "/register", json=body)).ok()["client_id"]
        return client


@pytest.fixture
async def killable(tmp_path: Path) -> AsyncIterator[Killable]:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        approver = Killable(tmp_path, session)
        await approver.open()
        await approver.start()
        yield approver
        await approver.close()


async def test_a80_each_acknowledged_step_outlives_kill_minus_nine(killable: Killable) -> None:
    ann, bea = await killable.join(ANN), await killable.join(BEA)
    await killable.crash()  # both are still registered
    signed = ann.signed("prod-admin")
    asked = (await ann.form("/bc-authorize", request=signed)).ok()
    await killable.crash()  # the request waits, its name can be polled, and it counts once
    assert (await ann.form("/bc-authorize", request=signed)).state == "replayed"
    assert (await ann.poll(asked["auth_req_id"])).error == "authorization_pending"
    name = asked["borrow_request"]
    assert (await bea.get(f"/decisions/{name}", "decide")).status == 200
    await killable.crash()  # who looked is known
    assert (await ann.get(f"/requests/{name}")).ok()["seen"] == [BEA]
    assert (await bea.approve(name, number=asked["borrow_number"])).status == 200
    await killable.crash()  # the yes counts
    granted = (await ann.poll(asked["auth_req_id"])).ok()
    await killable.crash()  # the token opens, and is given out once
    assert (await ann.poll(asked["auth_req_id"])).error == "invalid_grant"
    assert (await ann.exchange(granted["access_token"], "prod-admin")).status == 200
    fresh = (await ann.ask("prod-admin")).ok()
    await killable.crash()  # a lost answer is a resume
    resumed = (await ann.poll(fresh["auth_req_id"])).ok()
    assert resumed["grant_id"] == granted["grant_id"]
    assert (await ann.exchange(granted["access_token"], "prod-admin")).error == "invalid_grant"
    order = {"grant": granted["grant_id"], "by": "cat@example.com", "reason": "enough"}
    await killable.admin("/admin/revoke", order)
    await killable.crash()  # the revocation holds, and its device is told
    assert (await ann.exchange(resumed["access_token"], "prod-admin")).error == "invalid_grant"
    told = await ann.events()
    assert f"grant:{granted['grant_id']}" in {
        event.subject for event in told.values() if event.kind == SESSION_REVOKED
    }
    await ann.events(*told)
    await killable.crash()  # acknowledged is acknowledged
    assert await ann.events() == {}


async def test_a_grant_that_ended_behind_our_back_is_told_after_a_restart(
    killable: Killable,
) -> None:
    """The minter revoked it, and the approver died before it could write that down."""
    ann = await killable.join(ANN)
    granted = await ann.borrow("dev-read")
    await ann.events(*(await ann.events()))
    await killable.kill()
    with contextlib.closing(_minter(killable)) as minter:
        minter.revoke(granted["grant_id"], "cat@example.com", "enough")
    await killable.start()
    told = await ann.events(wait=True)
    assert {e.subject for e in told.values()} == {f"grant:{granted['grant_id']}"}


def _minter(killable: Killable) -> Any:
    from borrow.minter.authority import Minter
    from borrow.policy.load import load_policy
    from borrow_fakes.cloud import CountingDriver
    from borrow_fakes.front_desk import POLICY

    policy = load_policy(POLICY)
    return Minter(
        killable.folder / "minter.db",
        issuer=f"http://127.0.0.1:{killable.port}",
        keys=load_or_create(killable.folder),
        policy=lambda: policy,
        driver=CountingDriver(killable.clock),
        clock=killable.clock,
    )
