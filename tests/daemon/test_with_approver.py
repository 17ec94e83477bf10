"""The daemon and the real approver and minter, over sockets: the wire fits at both ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pyotp
import pytest

from borrow.daemon.config import DaemonConfig, save_config
from borrow.daemon.device import create_device
from borrow.daemon.places import StateDir
from borrow.daemon.world import World
from borrow.protocol.enrolment import Invitation, sign_software_statement
from borrow.protocol.keys import thumbprint
from borrow_fakes.front_desk import ANN, BEA, FrontDesk
from borrow_fakes.workstation import Shift, Workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from borrow_fakes.approver import FakeApprover


@contextlib.asynccontextmanager
async def joined(desk: FrontDesk, folder: Path, person: str) -> AsyncIterator[Workstation]:
    """A started daemon of `person`, enrolled by an invitation as `borrow join` does it."""
    state = StateDir.open(folder)
    keys = create_device(state)
    minter_pin = desk.minter.keys().pin
    invited = desk.minter.invite(person)
    invitation = Invitation(desk.issuer, person, thumbprint(desk.a), minter_pin, invited.key)
    statement = sign_software_statement(
        invitation,
        keys.jwks(),
        device_name="lab",
        now=time.time(),  # noqa: TID251  both ends run in real time here
        jti=secrets.token_urlsafe(16),
    )
    async with aiohttp.ClientSession() as session:
        body = {"software_statement": statement}
        async with session.post(f"{desk.issuer}/register", json=body) as answer:
            client_id = (await answer.json())["client_id"]
    config = DaemonConfig(
        mode="team",
        issuer=desk.issuer,
        client_id=client_id,
        person=person,
        approver_pin=thumbprint(desk.a),
        minter_pin=minter_pin,
    )
    save_config(state, config)
    fake: Any = None  # nothing of it is used: the approver is real
    nobody: FakeApprover = fake
    world = World()._replace(environ={}, say=lambda session, line, **how: True)
    machine = Workstation(nobody, state, world, Shift(), [])
    await machine.start()
    try:
        yield machine
    finally:
        await machine.end()


@pytest.fixture
async def desk() -> AsyncIterator[FrontDesk]:
    with tempfile.TemporaryDirectory(prefix="b-") as folder:
        desk = FrontDesk(Path(folder), time.time)  # noqa: TID251  both ends run in real time
        await desk.open()
        try:
            yield desk
        finally:
            await desk.close()


@pytest.fixture
async def ann(desk: FrontDesk) -> AsyncIterator[Workstation]:
    async with joined(desk, desk.folder / "ann", ANN) as machine:
        yield machine


@pytest.fixture
async def bea(desk: FrontDesk) -> AsyncIterator[Workstation]:
    async with joined(desk, desk.folder / "bea", BEA) as machine:
        yield machine


async def waiting_for(machine: Workstation) -> dict[str, Any]:
    async with asyncio.timeout(5):
        while True:
            for one in (await machine.control("GET", "/v1/inbox"))["decisions"]:
                found: dict[str, Any] = one
                return found
            await asyncio.sleep(0.05)


async def test_an_auto_rule_serves_at_once(ann: Workstation) -> None:
    answer = await ann.fetch("dev-read", await ann.bearer("dev-read"))
    assert answer.status == 200
    assert answer.json["RoleArn"].endswith("role/Read")


async def test_a_colleagues_yes_releases_the_held_call(ann: Workstation, bea: Workstation) -> None:
    bearer = await ann.bearer("prod-admin")
    fetch = asyncio.get_running_loop().create_task(ann.fetch("prod-admin", bearer))
    one = await waiting_for(bea)
    number = (await ann.control("GET", "/v1/status"))["asks"][0]["number"]
    assert one["number"] == number
    told = await bea.control(
        "POST",
        f"/v1/decisions/{one['request']}",
        {"decision": "approve", "request_hash": one["request_hash"], "number": number},
    )
    assert told["state"] == "approved"
    assert (await fetch).status == 200
    (grant,) = (await ann.control("GET", "/v1/status"))["grants"]
    assert (grant["tier"], grant["mode"]) == ("sensitive", "peer")


async def test_a_colleagues_no_reaches_the_program_with_its_reason(
    ann: Workstation, bea: Workstation
) -> None:
    bearer = await ann.bearer("prod-admin")
    fetch = asyncio.get_running_loop().create_task(ann.fetch("prod-admin", bearer))
    one = await waiting_for(bea)
    body = {"decision": "deny", "reason": "wait for the change window"}
    await bea.control("POST", f"/v1/decisions/{one['request']}", body)
    await fetch
    retry = await ann.fetch("prod-admin", bearer)
    assert retry.status == 403
    assert "wait for the change window" in retry.json["Message"]
    assert retry.json["request"] == one["request"]


async def test_after_three_noes_the_next_question_is_refused_and_reaches_nobody(
    ann: Workstation, bea: Workstation
) -> None:
    for reason in ("first", "second", "third"):
        body = {"role": "prod-admin", "reason": reason, "wait": True}
        asking = asyncio.get_running_loop().create_task(ann.ask(body))
        one = await waiting_for(bea)
        no = {"decision": "deny", "reason": "no"}
        await bea.control("POST", f"/v1/decisions/{one['request']}", no)
        assert (await asking)[-1]["state"] == "denied"
    (last,) = await ann.ask({"role": "prod-admin", "reason": "fourth", "wait": True})
    assert (last["event"], last["state"]) == ("refused", "throttled")
    assert last["hint"].startswith("wait ten minutes")


async def test_after_a_restart_the_grant_is_resumed(ann: Workstation) -> None:
    bearer = await ann.bearer("dev-read")
    assert (await ann.fetch("dev-read", bearer)).status == 200
    (before,) = (await ann.control("GET", "/v1/status"))["grants"]
    await ann.end()
    await ann.start()
    assert (await ann.fetch("dev-read", bearer)).status == 200
    (after,) = (await ann.control("GET", "/v1/status"))["grants"]
    assert after["grant"] == before["grant"]


async def test_a_report_from_the_owner_empties_the_cache(ann: Workstation) -> None:
    bearer = await ann.bearer("dev-read")
    await ann.fetch("dev-read", bearer)
    (grant,) = (await ann.control("GET", "/v1/status"))["grants"]
    told = await ann.control("POST", "/v1/report", {"id": grant["grant"]})
    assert told["status"] == 200
    assert (await ann.control("GET", "/v1/status"))["grants"] == []
    answer = await ann.fetch("dev-read", bearer)
    assert answer.status == 403
    assert "frozen" in json.dumps(answer.json)


async def test_a_code_of_ones_own_app_is_a_yes(ann: Workstation) -> None:
    begun = await ann.control("POST", "/v1/totp", {})
    code = pyotp.TOTP(begun["secret"])
    at = int(time.time())  # noqa: TID251  codes are of real time
    confirmed = await ann.control("POST", f"/v1/totp/{begun['enrolment']}", {"code": code.at(at)})
    assert confirmed["status"] == 200
    bearer = await ann.bearer("dev-write", reason="fixing the index")
    fetch = asyncio.get_running_loop().create_task(ann.fetch("dev-write", bearer))
    one = await waiting_for(ann)
    number = (await ann.control("GET", "/v1/status"))["asks"][0]["number"]
    told = await ann.control(
        "POST",
        f"/v1/decisions/{one['request']}",
        {
            "decision": "approve",
            "request_hash": one["request_hash"],
            "number": number,
            "code": code.at(at + 30),
        },
    )
    assert told["state"] == "approved"
    assert (await fetch).status == 200


async def test_the_reports_and_lists_of_the_approver_come_through(ann: Workstation) -> None:
    await ann.fetch("dev-read", await ann.bearer("dev-read"))
    (grant,) = (await ann.control("GET", "/v1/status"))["grants"]
    explained = await ann.control("GET", f"/v1/explain/{grant['grant']}")
    assert explained["grant"]["role"] == "dev-read"
    request = await ann.control("GET", f"/v1/explain/{grant['request']}")
    assert request["request"]["state"] == "redeemed"
    roles = await ann.control("GET", "/v1/roles")
    assert {role["name"] for role in roles["roles"]} >= {"dev-read", "prod-admin"}
    entries = await ann.control("GET", "/v1/audit/entries")
    assert entries["status"] == 200
    checked = await ann.control("GET", "/v1/audit/check")
    assert checked["bad_seq"] is None
    returned = await ann.control("POST", "/v1/return", {"role": "dev-read"})
    assert returned["returned"] == [grant["grant"]]
