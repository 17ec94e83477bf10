"""The approver as strangers and registered devices may press it, over real sockets.

Cases of the abuse catalogue bear its ids; the rest are promises of the approver's own edge.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from borrow.protocol.decision import seal_totp, sign_statement
from borrow.protocol.enrolment import read_invitation, sign_software_statement
from borrow.protocol.strict import b64url
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, CAT, FrontDesk
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

    from borrow_fakes.front_desk import Answer, Client

FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock, patience=0.5)
    await front.open()
    yield front
    await front.close()


@pytest.fixture
async def ann(desk: FrontDesk) -> Client:
    return await desk.join(ANN)


@pytest.fixture
async def bea(desk: FrontDesk) -> Client:
    return await desk.join(BEA)


async def at_once(*calls: Awaitable[Answer]) -> Counter[str]:
    """How often each answer came; "ok" is a 2xx."""
    answers = await asyncio.gather(*calls)
    return Counter("ok" if answer.status < 300 else answer.state for answer in answers)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"", b""),
        (b"GET /jwks HTTP/1.1\r\nHost: x\r\nX-Half", b""),
        (b"POST /token HTTP/1.1\r\nHost: x\r\n" + FORM + b"grant", b"HTTP/1.1 408 "),
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_stranger_who_does_not_go_on_is_cut(
    desk: FrontDesk, said: bytes, heard: bytes
) -> None:
    """Connections cost memory and descriptors, and nobody has to say who they are to open one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(said)
    async with asyncio.timeout(5):
        assert (await reader.read(13)) == heard
    writer.close()


async def test_a_quiet_connection_that_was_used_stays(desk: FrontDesk) -> None:
    """The deadline is for a first head: a client may keep its connection, and a poll be held."""
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    for pause in (0.0, 0.8):
        await asyncio.sleep(pause)
        writer.write(b"GET /jwks HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
            await reader.readuntil(b"}]}")
    writer.close()


async def test_a61_a_request_sent_twenty_times_at_once_counts_once(ann: Client) -> None:
    jws = ann.signed()
    calls = [ann.form("/bc-authorize", request=jws) for _ in range(20)]
    assert await at_once(*calls) == {"ok": 1, "replayed": 19}


async def test_an_assertion_used_twenty_times_at_once_counts_once(ann: Client) -> None:
    members = ann.auth() | {"grant_type": "client_credentials", "scope": "events"}
    calls = [ann.send("POST", "/token", data=members) for _ in range(20)]
    assert await at_once(*calls) == {"ok": 1, "invalid_client": 19}


async def test_a64_decisions_at_once_are_one_and_collecting_at_once_is_one_grant(
    ann: Client, bea: Client
) -> None:
    asked = [(await ann.ask()).ok() for _ in range(4)]
    (request,) = {each["borrow_request"] for each in asked}
    data = await bea.statement(request, number=asked[0]["borrow_number"])
    body = {
        "statement": b64url(data),
        "evidence": {"kind": "device", "token": sign_statement(data, bea.device.sig)},
    }
    said = await at_once(*(bea.say(request, "approve", **body) for _ in range(12)))
    assert said == {"ok": 1, "wrong_state": 11}
    polls = await asyncio.gather(*(ann.poll(asked[0]["auth_req_id"]) for _ in range(8)))
    first = [poll for poll in polls if poll.status == 200]
    assert len(first) == 1
    more = await asyncio.gather(*(ann.poll(each["auth_req_id"]) for each in asked[1:]))
    every = [poll.ok() for poll in (*first, *more)]
    assert len({grant["grant_id"] for grant in every}) == 1
    tokens = [grant["access_token"] for grant in every]
    assert await at_once(*(ann.exchange(token, "prod-admin") for token in tokens)) == {
        "ok": 1,
        "invalid_grant": 3,
    }


async def test_nothing_of_one_device_serves_another_not_even_of_the_same_person(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    second = await desk.join(ANN)
    asked = (await ann.ask("dev-read")).ok()
    for other in (second, bea):
        assert (await other.poll(asked["auth_req_id"])).error == "invalid_grant"
        assert (await other.cancel(asked["auth_req_id"])).error == "invalid_grant"
        assert (await other.get(f"/requests/{asked['borrow_request']}")).status == 404
    grant = (await ann.poll(asked["auth_req_id"])).ok()
    enrolment = (await ann.post("/totp", {}, scope="manage")).ok()["enrolment"]
    for other in (second, bea):
        assert (await other.exchange(grant["access_token"], "dev-read")).error == "invalid_grant"
        assert (await other.form("/revoke", token=grant["access_token"])).status == 400
        by_name = {"token": grant["grant_id"], "token_type_hint": "urn:borrow:grant_id"}
        assert (await other.form("/revoke", **by_name)).status == 400
        code = other.seal_code(enrolment.encode(), "A" * 32)
        confirmed = await other.post(f"/totp/{enrolment}", {"code": code}, scope="manage")
        assert confirmed.state == "unknown_enrolment"
    assert (await ann.exchange(grant["access_token"], "dev-read")).status == 200


async def test_a57_wrong_numbers_at_once_are_three_tries(ann: Client, bea: Client) -> None:
    asked = (await ann.ask(number="500")).ok()
    request = asked["borrow_request"]
    said = [await bea.statement(request, number=f"{guess:03}") for guess in range(8)]
    calls = [
        bea.say(
            request,
            "approve",
            statement=b64url(data),
            evidence={"kind": "device", "token": sign_statement(data, bea.device.sig)},
        )
        for data in said
    ]
    assert await at_once(*calls) == {"number_mismatch": 3, "wrong_state": 5}


async def test_a59_wrong_codes_at_once_are_five_tries(ann: Client, clock: Clock) -> None:
    await ann.enrol_codes()
    clock.advance(60)
    asked = (await ann.ask("dev-write")).ok()
    request, number = asked["borrow_request"], asked["borrow_number"]
    said = [await ann.statement(request, number=number) for _ in range(10)]
    assert ann.minter_enc is not None
    calls = [
        ann.say(
            request,
            "approve",
            statement=b64url(data),
            evidence={
                "kind": "totp",
                "token": seal_totp(data, "no", ann.device.sig, ann.minter_enc),
            },
        )
        for data in said
    ]
    assert await at_once(*calls) == {"otp_wrong": 4, "otp_locked": 6}


async def test_an_invitation_used_at_once_by_several_leaves_none_of_them(desk: FrontDesk) -> None:
    invited = (await desk.admin("POST", "/admin/invite", {"person": CAT})).ok()
    invitation = read_invitation(invited["url"])
    stranger = desk.client(FakeDevice(issuer=desk.issuer))
    calls = [
        stranger.send(
            "POST",
            "/register",
            json={
                "software_statement": sign_software_statement(
                    invitation,
                    FakeDevice(owner=CAT, issuer=desk.issuer).jwks,
                    device_name="laptop",
                    now=desk.clock(),
                    jti=secrets.token_urlsafe(18),
                )
            },
        )
        for _ in range(6)
    ]
    assert await at_once(*calls) == {"ok": 1, "invitation_used": 5}
    devices = (await desk.admin("GET", "/admin/status")).ok()["devices"]
    assert [each["state"] for each in devices if each["owner"] == CAT] == ["removed"]
