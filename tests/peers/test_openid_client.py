"""A client from npm that knows only the standards walks our approver (panva's openid-client)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from borrow.protocol.keys import private_jwk, thumbprint
from borrow.protocol.request import AwsRole
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, ROLES, FrontDesk
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow_fakes.front_desk import Client

HERE = Path(__file__).parent / "openid_client"
CACHE = HERE / "node_modules"


@pytest.fixture(scope="session")
def peer() -> Path:
    """The script beside its installed libraries; installed once, from the lock file."""
    need(lacking("node", "npm"), "apt-get install nodejs npm")
    marker = CACHE / ".package-lock.json"
    lock = HERE / "package-lock.json"
    if not marker.exists() or marker.stat().st_mtime < lock.stat().st_mtime:
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(
            command, cwd=HERE, capture_output=True, text=True, timeout=110, check=False
        )
        missing = "openid-client could not be installed" if done.returncode else None
        need(missing, "cd tests/peers/openid_client && npm ci")
        os.utime(marker)
    return HERE / "peer.mjs"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FrontDesk]:
    # The peer has the machine's clock, so ours starts there.
    front = FrontDesk(tmp_path, Clock(time.time()), long_poll=1.0)  # noqa: TID251
    await front.open()
    yield front
    await front.close()


@dataclass(slots=True)
class Peer:
    """A running peer: what it says, step by step."""

    child: asyncio.subprocess.Process

    async def step(self, wanted: str) -> dict[str, Any]:
        assert self.child.stdout is not None
        async with asyncio.timeout(30):
            line = await self.child.stdout.readline()
        said: dict[str, Any] = json.loads(line)
        assert said["step"] == wanted, said
        return said

    async def end(self) -> int:
        async with asyncio.timeout(30):
            return await self.child.wait()


async def started(script: Path, client: Client, role: str) -> Peer:
    node = shutil.which("node")
    assert node is not None
    child = await asyncio.create_subprocess_exec(
        node,
        str(script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    asked = client.device.request(client.clock(), role=AwsRole(role, ROLES[role], 900))
    given = {
        "issuer": client.device.issuer,
        "client_id": client.client_id,
        "sig": private_jwk(client.device.sig),
        "enc": private_jwk(client.device.enc),
        "kid": thumbprint(client.device.sig),
        "role": role,
        "request": asked.to_claims(),
    }
    assert child.stdin is not None
    child.stdin.write(json.dumps(given).encode())
    child.stdin.write_eof()
    return Peer(child)


async def test_a_stranger_of_the_standards_borrows_and_gives_back(
    peer: Path, desk: FrontDesk
) -> None:
    ann, bea = await desk.join(ANN), await desk.join(BEA)
    walk = await started(peer, ann, "prod-admin")
    assert (await walk.step("discovered"))["issuer"] == desk.issuer
    asked = (await walk.step("asked"))["asked"]
    await asyncio.sleep(1.2)  # it polls, and is told to poll again
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    granted = await walk.step("granted")
    assert granted["claims"]["sub"] == ANN
    assert granted["claims"]["acr"] == "urn:borrow:acr:peer"
    minted = await walk.step("minted")
    assert minted["role"] == "prod-admin"
    assert minted["access_key_id"].startswith("ASIA")
    assert (await walk.step("own"))["scope"] == "catalogue"
    await walk.step("revoked")
    assert await walk.end() == 0
    assert (await ann.get("/grants")).ok()["grants"] == []


async def test_a_stranger_of_the_standards_understands_a_no(peer: Path, desk: FrontDesk) -> None:
    ann, bea = await desk.join(ANN), await desk.join(BEA)
    walk = await started(peer, ann, "prod-admin")
    await walk.step("discovered")
    asked = (await walk.step("asked"))["asked"]
    await bea.say(asked["borrow_request"], "deny", reason="not today")
    said = await walk.step("error")
    assert (said["word"], said["status"]) == ("access_denied", 400)
    assert await walk.end() == 1
