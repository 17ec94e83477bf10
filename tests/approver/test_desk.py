"""The rest of the doors: discovery, joining, the catalogue, the log, the administrator's socket."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from typing import TYPE_CHECKING

import aiohttp
import pytest

from borrow.approver.app import build_app
from borrow.approver.errors import STATUS_OF_CLASS, status_of
from borrow.approver.serve import port_of, serving, start
from borrow.approver.settings import ApproverSettings
from borrow.protocol.enrolment import read_invitation, sign_software_statement
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable
from borrow.protocol.keys import new_key, pinned_pair, thumbprint, thumbprint_words
from borrow_fakes.front_desk import ANN, BEA
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from pathlib import Path

    from borrow.approver.ports import MinterPort
    from borrow_fakes.clock import Clock
    from borrow_fakes.front_desk import Client, FrontDesk


async def test_discovery_names_every_door_and_both_key_sets(desk: FrontDesk, ann: Client) -> None:
    found = (await ann.send("GET", "/.well-known/openid-configuration")).ok()
    assert found["issuer"] == desk.issuer
    for name in (
        "token_endpoint",
        "registration_endpoint",
        "revocation_endpoint",
        "backchannel_authentication_endpoint",
        "jwks_uri",
    ):
        assert found[name].startswith(desk.issuer + "/")
    assert found["borrow_profile_versions_supported"] == ["1"]
    assert [key["use"] for key in found["borrow_minter_jwks"]["keys"]] == ["sig", "enc"]
    pinned_pair(found["borrow_minter_jwks"], desk.minter.keys().pin)
    (key,) = (await ann.send("GET", "/jwks")).ok()["keys"]
    assert key["kid"] == thumbprint(desk.a)
    assert "d" not in key


async def test_an_invitation_pins_both_keys_and_says_their_words(desk: FrontDesk) -> None:
    answer = (await desk.admin("POST", "/admin/invite", {"person": ANN})).ok()
    invited = read_invitation(answer["url"])
    assert invited.approver_pin == thumbprint(desk.a)
    assert invited.minter_pin == desk.minter.keys().pin
    assert answer["words_a"] == thumbprint_words(invited.approver_pin)
    assert answer["words_m"] == thumbprint_words(invited.minter_pin)
    assert answer["expires_at"] - desk.clock() == 600


async def test_an_invitation_for_a_stranger_is_refused(desk: FrontDesk) -> None:
    answer = await desk.admin("POST", "/admin/invite", {"person": "eve@elsewhere.example.com"})
    assert (answer.status, answer.state) == (400, "misconfigured")


async def test_a_second_use_of_an_invitation_stops_the_first_device(desk: FrontDesk) -> None:
    url = (await desk.admin("POST", "/admin/invite", {"person": ANN})).ok()["url"]
    clients = []
    for number in range(2):
        device = FakeDevice(owner=ANN, issuer=desk.issuer)
        statement = sign_software_statement(
            read_invitation(url),
            device.jwks,
            device_name="laptop",
            now=desk.clock(),
            jti=f"a-jti-of-twenty-two-letters-{number}",
        )
        client = desk.client(device)
        answer = await client.send(
            "POST", "/register", json={"software_statement": statement, "client_name": "x"}
        )
        if number == 0:
            assert answer.status == 201
            assert answer.body["borrow_owner"] == ANN
            assert answer.body["jwks"] == device.jwks
            device.client_id = answer.body["client_id"]
        else:
            assert answer.status in (400, 403)
        clients.append(client)
    await asyncio.sleep(0.3)
    assert (await clients[0].ask("dev-read")).state == "frozen"


async def test_a_forged_invitation_is_refused(desk: FrontDesk, ann: Client) -> None:
    forged = ann.signed()
    answer = await ann.send("POST", "/register", json={"software_statement": forged})
    assert answer.status in (400, 403)


async def test_the_catalogue_is_ones_own(ann: Client) -> None:
    found = (await ann.get("/catalogue")).ok()
    assert found["person"] == ANN
    roles = {role["name"]: role for role in found["roles"]}
    assert roles.keys() == {"dev-read", "dev-write", "dev-click", "prod-admin"}
    assert roles["dev-write"]["needs"].keys() == {"reason"}


async def test_grants_are_listed_with_their_device(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    phone = await desk.join(ANN)
    for device, here in ((ann, True), (phone, False)):
        (grant,) = (await device.get("/grants", "manage")).ok()["grants"]
        assert grant["grant"] == granted["grant_id"]
        assert grant["this_device"] is here


async def test_people_see_log_entries_that_name_them_and_admins_all(
    ann: Client, bea: Client, cat: Client
) -> None:
    await ann.borrow("dev-read")
    mine = (await ann.get("/log/entries?count=500", "audit")).ok()["entries"]
    hers = (await bea.get("/log/entries?count=500", "audit")).ok()["entries"]
    every = (await cat.get("/log/entries?count=500", "audit")).ok()["entries"]
    assert len(every) > len(mine) > len(hers) > 0
    assert not any(BEA in entry["entry"] for entry in mine)
    head = (await ann.get("/log/sth", "audit")).ok()
    check = (await ann.get("/log/check", "audit")).ok()
    assert head["tree_size"] == check["size"]
    assert check["bad_seq"] is None
    for bad in ("?start=-1", "?count=x", "?start=1&start=2", "?all=1"):
        assert (await ann.get(f"/log/entries{bad}", "audit")).status == 400


async def test_a_used_code_generator_is_replaced_with_its_own_code_only(
    ann: Client, clock: Clock
) -> None:
    secret = await ann.enrol_codes()
    bare = await ann.post("/totp", {}, scope="manage")
    assert (bare.status, bare.state) == (403, "otp_required")
    clock.advance(30)
    sealed = ann.seal_code(ann.client_id.encode(), secret)
    assert (await ann.post("/totp", {"sealed_code": sealed}, scope="manage")).status == 200
    assert (await ann.post("/totp/..%2f", {"code": "x"}, scope="manage")).status == 404


async def test_the_administrators_socket_is_private(desk: FrontDesk, ann: Client) -> None:
    assert stat.S_IMODE(desk.admin_socket.stat().st_mode) == 0o600
    status = (await desk.admin("GET", "/admin/status")).ok()
    assert [d["client_id"] for d in status["devices"]] == [ann.client_id]
    assert (await ann.send("GET", "/admin/status")).status == 404


async def test_a_device_is_unfrozen_by_somebody_else(desk: FrontDesk, ann: Client) -> None:
    order = {"client_id": ann.client_id, "by": "cat@example.com"}
    await desk.admin("POST", "/admin/freeze", order)
    own = await desk.admin("POST", "/admin/unfreeze", order | {"by": ANN})
    assert (own.status, own.state) == (403, "self_approval")
    assert (await desk.admin("POST", "/admin/unfreeze", order)).status == 200
    assert (await ann.ask("dev-read")).status == 200


async def test_what_nobody_foresaw_is_constant_json_and_no_text_is_logged(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        async def keys(self) -> None:
            raise ZeroDivisionError("CANARY in the text")

        async def sweep(self) -> tuple[()]:
            return ()

    settings = ApproverSettings("http://127.0.0.1:1", tmp_path / "a.db")
    broken: MinterPort = Broken()  # type: ignore[assignment]  # what this test needs of one
    app = build_app(settings, minter=broken, signer=new_key(), clock=clock)
    caplog.set_level(logging.DEBUG)
    async with serving(app) as runner, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{port_of(runner)}/.well-known/openid-configuration?CANARY"
        async with session.get(url) as answer:
            assert answer.status == 500
            assert await answer.json() == {
                "error": "server_error",
                "error_description": "something went wrong here",
                "borrow_state": "internal",
            }
    assert "unexpected failure" in caplog.messages
    assert "CANARY" not in caplog.text
    assert "ZeroDivisionError" in {getattr(r, "kind", "") for r in caplog.records}


async def test_a_minter_that_does_not_answer_is_503_with_a_pause(
    tmp_path: Path, clock: Clock
) -> None:
    class Away:
        async def keys(self) -> None:
            raise Unavailable("the minter does not answer", retry_after=2.5)

        async def sweep(self) -> None:
            raise Unavailable("the minter does not answer")

    away: MinterPort = Away()  # type: ignore[assignment]  # what this test needs of one
    settings = ApproverSettings("http://127.0.0.1:1", tmp_path / "a.db", sweep_every=0.01)
    app = build_app(settings, minter=away, signer=new_key(), clock=clock)
    async with serving(app) as runner, aiohttp.ClientSession() as session:
        await asyncio.sleep(0.05)  # sweeps fail and go on
        url = f"http://127.0.0.1:{port_of(runner)}/.well-known/openid-configuration"
        async with session.get(url) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
            assert (await answer.json())["error"] == "temporarily_unavailable"


async def test_background_work_that_fails_unforeseen_begins_anew(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    class Stumbling:
        swept, upright = 0, asyncio.Event()

        async def sweep(self) -> tuple[()]:
            self.swept += 1
            if self.swept < 3:
                raise ZeroDivisionError("CANARY in the text")
            self.upright.set()
            return ()

    stumbling = Stumbling()
    minter: MinterPort = stumbling  # type: ignore[assignment]  # what this test needs of one
    settings = ApproverSettings("http://127.0.0.1:1", tmp_path / "a.db", sweep_every=0.01)
    app = build_app(settings, minter=minter, signer=new_key(), clock=clock)
    async with serving(app), asyncio.timeout(10):
        await stumbling.upright.wait()
    assert [r.levelname for r in caplog.records].count("CRITICAL") >= 2
    assert "CANARY" not in caplog.text


async def test_a_malformed_head_is_answered_and_logged_without_its_text(
    desk: FrontDesk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for line in (b"CANARY head without colon", b"Content-Length: CANARY", b"\x00: CANARY"):
        reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
        writer.write(b"GET /jwks HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
        async with asyncio.timeout(5):
            raw = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert b" 400 " in raw.splitlines()[0]
        assert b"CANARY" not in raw
        assert json.loads(raw.partition(b"\r\n\r\n")[2])["error"] == "invalid_request"
    assert "CANARY" not in caplog.text


async def test_stopping_does_not_wait_for_long_polls(desk: FrontDesk, ann: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    await ann.events(*(await ann.events()))
    poll = await desk.held_poll(ann, asked["auth_req_id"])
    await ann.bearer("events")
    events = await desk.hold(ann.post("/events", {}, scope="events"))
    loop = asyncio.get_running_loop()
    since = loop.time()
    await desk.close()
    assert loop.time() - since < 1
    assert (await poll).error == "authorization_pending"
    assert (await events).ok()["sets"] == {}


async def test_a_socket_somebody_listens_on_is_not_taken(tmp_path: Path, desk: FrontDesk) -> None:
    from aiohttp import web

    with pytest.raises(Misconfigured, match="listens"):
        await start(web.Application(), unix=desk.admin_socket)
    with pytest.raises(Misconfigured, match="cannot listen"):
        await start(web.Application(), port=desk.port)
    plain = tmp_path / "plain"
    plain.write_text("mine")
    with pytest.raises(Misconfigured, match="no socket"):
        await start(web.Application(), unix=plain)
    assert plain.read_text() == "mine"


@pytest.mark.parametrize(
    "issuer", ["http://borrow.example.com", "https://x.example.com/", "ftp://localhost", "https://"]
)
def test_an_issuer_that_is_not_safe_is_refused(tmp_path: Path, issuer: str) -> None:
    with pytest.raises(Misconfigured):
        ApproverSettings(issuer, tmp_path / "a.db")


def test_every_class_of_error_has_a_status_and_tokens_are_plain() -> None:
    for kind in BorrowError.__subclasses__():
        assert kind in dict(STATUS_OF_CLASS)
    assert status_of(Refused("no", state="denied"), "/bc-authorize") == 403
    assert status_of(Refused("no", state="denied"), "/token") == 400
    assert status_of(Unavailable("later"), "/token") == 503
