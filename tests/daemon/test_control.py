"""The control socket: what it answers, in which shape, and to whom."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import Any

import pytest

from borrow.daemon.unixhttp import Call, ControlServer
from borrow.protocol.errors import Unavailable
from borrow.protocol.oauth import NOT_RECORDED
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import Workstation, read_answer, workstation


async def raw(machine: Workstation, data: bytes) -> Any:
    assert machine.started is not None
    reader, writer = await asyncio.open_unix_connection(str(machine.started.control))
    writer.write(data)
    try:
        async with asyncio.timeout(5):
            return await read_answer(reader)
    finally:
        writer.close()


async def test_status_names_everything_a_person_wants_to_know() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch("prod-admin", bearer)
        machine.fake.auto = False
        await machine.ask({"role": "prod-logs", "wait": False})
        status = await machine.control("GET", "/v1/status")
        assert status["status"] == 200
        assert (status["mode"], status["person"]) == ("team", "ann@example.com")
        assert (status["port"], status["pid"]) == (machine.port, os.getpid())
        assert status["client_id"] == machine.fake.client_id
        (grant,) = status["grants"]
        assert (grant["role"], grant["tier"], grant["mode"]) == ("prod-admin", "normal", "peer")
        (ask,) = status["asks"]
        assert (ask["role"], ask["state"]) == ("prod-logs", "pending")
        assert ask["number"] == machine.fake.last.request.number
        assert ask["asked"] == ["bea@example.com"]
        assert ask["caller"]["pid"] == os.getpid()


async def test_a_bearer_comes_with_the_address_that_clients_accept() -> None:
    async with workstation() as machine:
        told = await machine.control("POST", "/v1/bearers", {"role": "prod-admin"})
        assert told["url"] == f"http://127.0.0.1:{machine.port}/v1/credentials/prod-admin"
        assert told["region"] == "eu-central-1"


async def test_a_bearer_comes_with_what_the_rule_wants_first() -> None:
    async with workstation() as machine:
        needs = {"reason": "at least 10 characters"}
        machine.fake.roles["prod-admin"] = role_entry("prod-admin", needs=needs | {"odd": 7})
        told = await machine.control("POST", "/v1/bearers", {"role": "prod-admin"})
        assert told["needs"] == needs
        assert (await machine.control("POST", "/v1/bearers", {"role": "prod-logs"}))["needs"] == {}


async def test_an_ask_says_whether_the_number_is_typed_and_what_counts_as_a_yes() -> None:
    async with workstation() as machine:
        entry = role_entry("prod-admin", match=True, factors=["passkey", "device"])
        machine.fake.roles["prod-admin"] = entry
        (told,) = await machine.ask({"role": "prod-admin", "wait": False})
        assert (told["match"], told["factors"]) == (True, ["passkey", "device"])


async def test_an_open_request_is_taken_back_without_counting_as_a_no() -> None:
    async with workstation() as machine:
        bearer = await machine.bearer()
        held = asyncio.get_running_loop().create_task(machine.fetch("prod-admin", bearer))
        asked = await machine.fake.asked_for()
        await asyncio.sleep(0.1)
        told = await machine.control("POST", "/v1/return", {"request": asked.id})
        assert told == {"status": 200, "returned": [asked.id]}
        assert (asked.state, machine.fake.decided) == ("cancelled", [])
        answer = await held
        assert (answer.status, answer.json["request"]) == (403, asked.id)
        # The retries of the program that waited do not ask anew.
        assert (await machine.fetch("prod-admin", bearer)).status == 403
        assert machine.fake.calls["/bc-authorize"] == 1
        again = await machine.control("POST", "/v1/return", {"request": asked.id})
        assert (again["status"], again["error"]["state"]) == (404, "not_found")


async def test_a_request_that_cannot_be_cancelled_now_stays_open_here_too() -> None:
    async with workstation() as machine:
        (told,) = await machine.ask({"role": "prod-admin", "wait": False})
        machine.fake.down = True
        answer = await machine.control("POST", "/v1/return", {"request": told["request"]})
        assert answer["status"] == 503
        assert (await machine.control("GET", "/v1/status"))["asks"]


async def test_an_unknown_member_is_never_ignored() -> None:
    async with workstation() as machine:
        for path, body in (
            ("/v1/return", {"all": True, "x": 1}),
            ("/v1/return", {"request": "r-1", "role": "prod-admin"}),
            ("/v1/imds", {"role": None, "x": 1}),
            ("/v1/imds", {"role": "prod-admin", "x": 1}),
            ("/v1/totp", {"x": 1}),
            ("/v1/totp/t-1", {"code": "123456", "x": 1}),
        ):
            answer = await machine.control("POST", path, body)
            assert answer["status"] in (400, 409), (path, body)
        assert machine.fake.calls["/totp"] == 0


async def test_an_unknown_role_is_refused_with_a_hint() -> None:
    async with workstation() as machine:
        told = await machine.control("POST", "/v1/bearers", {"role": "no-such"})
        assert told["status"] == 403
        assert told["error"]["hint"] == "`borrow roles` lists what you may borrow"


MALFORMED: list[dict[str, Any]] = [
    {"role": "prod-admin", "extra": 1},
    {"role": 7},
    {},
    {"role": "../x"},
    {"role": "prod-admin", "seconds": -1},
    {"role": "prod-admin", "seconds": True},
    {"role": "prod-admin", "wait": "yes"},
]


async def test_a_malformed_ask_is_one_of_our_errors() -> None:
    async with workstation() as machine:
        for body in MALFORMED:
            told = await machine.control("POST", "/v1/ask", body)
            assert told["status"] in (400, 409), body
            assert set(told["error"]) >= {"state", "message", "hint"}
        assert machine.fake.calls["/bc-authorize"] == 0


NO_REQUESTS = [
    b"nonsense\r\n\r\n",
    b"GET /v1/status HTTP/2\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\nno colon\r\n\r\n",
    b"POST /v1/ask HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"POST /v1/ask HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
    b"POST /v1/ask HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/ask HTTP/1.1\r\nContent-Length: 1\r\n\r\n{",
    b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\n\r\n",
    b"GET //[x HTTP/1.1\r\n\r\n",  # the start of a host, to a parser of addresses
    b"GET /v1/status HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
    b"POST /v1/ask HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
]


async def test_what_is_no_request_of_ours_is_answered_400() -> None:
    async with workstation() as machine:
        for data in NO_REQUESTS:
            answer = await raw(machine, data)
            assert answer.status == 400, data[:60]
            assert "error" in json.loads(answer.body)


async def test_an_unknown_call_is_404() -> None:
    async with workstation() as machine:
        assert (await machine.control("GET", "/v1/nothing"))["status"] == 404
        assert (await machine.control("PUT", "/v1/status"))["status"] == 404


async def test_another_user_is_cut_off_without_an_answer(tmp_path: Any) -> None:
    async def handle(call: Call) -> dict[str, Any]:
        raise AssertionError("a stranger got through")

    server = ControlServer(handle, uid=os.getuid() + 1)
    path = tmp_path / "s"
    await server.start(path)
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        try:
            writer.write(b"GET /v1/status HTTP/1.1\r\n\r\n")
            received = await reader.read()
        except ConnectionError:
            received = b""
        writer.close()
        assert received == b""
    finally:
        await server.close()


async def test_the_socket_is_closed_to_others() -> None:
    async with workstation() as machine:
        assert machine.started is not None
        path = machine.started.control
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_asking_and_waiting_tells_the_story_to_its_end() -> None:
    async with workstation() as machine:
        story: list[dict[str, Any]] = []

        async def ask() -> None:
            story.extend(await machine.ask({"role": "prod-admin", "reason": "r", "wait": True}))

        task = asyncio.get_running_loop().create_task(ask())
        asked = await machine.fake.asked_for()
        await asyncio.sleep(0.1)
        await machine.fake.approve()
        await task
        assert [event["event"] for event in story] == ["waiting", "granted"]
        assert story[0]["request"] == asked.id
        assert story[0]["words"] == asked.request.words
        assert story[1]["grant"] == asked.grant


async def test_a_refused_ask_ends_with_the_reason() -> None:
    async with workstation() as machine:
        story: list[dict[str, Any]] = []

        async def ask() -> None:
            story.extend(await machine.ask({"role": "prod-admin", "wait": True}))

        task = asyncio.get_running_loop().create_task(ask())
        await machine.fake.asked_for()
        await machine.fake.deny(reason="no change window")
        await task
        assert story[-1]["event"] == "refused"
        assert "no change window" in story[-1]["message"]


async def test_an_ask_that_nobody_refused_ends_as_one_that_cannot_be_served_now() -> None:
    """The approver's disk is full: a script that told it from a no would ask again later."""
    async with workstation() as machine:
        machine.fake.refusal = Unavailable("it cannot be written", state=NOT_RECORDED)
        story = await machine.ask({"role": "prod-admin", "wait": True})
        assert (story[-1]["event"], story[-1]["state"]) == ("refused", NOT_RECORDED)
        assert story[-1]["unavailable"] is True


async def test_leaving_the_stream_leaves_the_request() -> None:
    async with workstation(grace=0.1) as machine:
        async with machine.control_stream("POST", "/v1/ask", {"role": "prod-admin"}) as reader:
            await reader.readuntil(b"\n")
            await machine.fake.asked_for()
        await asyncio.sleep(0.4)
        assert machine.fake.last.state == "pending"


async def test_a_notice_is_kept_for_the_status() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        await machine.fetch("prod-admin", await machine.bearer())
        jti = await machine.fake.notice("granted \x1b[31mprod-admin", "prod-admin")
        await machine.fake.acknowledged(jti)
        (notice,) = (await machine.control("GET", "/v1/status"))["notices"]
        assert notice["text"] == "granted \\u{1b}[31mprod-admin"


async def test_events_under_another_key_change_nothing_and_are_not_acknowledged() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch("prod-admin", bearer)
        (grant,) = machine.fake.grants.values()
        honest, machine.fake.a = machine.fake.a, machine.fake.m
        jti = await machine.fake.revoke(grant)
        machine.fake.a = honest
        await asyncio.sleep(0.5)
        assert (await machine.fetch("prod-admin", bearer)).status == 200
        assert jti not in machine.fake.acked


async def test_after_a_restart_a_grant_can_still_be_given_back() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        await machine.fetch("prod-admin", await machine.bearer())
        await machine.end()
        await machine.start()
        told = await machine.control("POST", "/v1/return", {"role": "prod-admin"})
        (grant,) = machine.fake.grants.values()
        assert told["returned"] == [grant.id]
        assert grant.state == "released"


async def test_explain_knows_roles_requests_and_grants() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        await machine.fetch("prod-admin", await machine.bearer())
        (grant,) = machine.fake.grants.values()
        role = await machine.control("GET", "/v1/explain/prod-admin")
        assert role["role"]["arn"].endswith("role/prod-admin")
        request = await machine.control("GET", f"/v1/explain/{grant.asked.id}")
        assert request["request"]["state"] == "approved"
        told = await machine.control("GET", f"/v1/explain/{grant.id}")
        assert told["grant"]["grant"] == grant.id


async def test_stop_stops() -> None:
    async with workstation() as machine:
        assert (await machine.control("POST", "/v1/stop"))["stopping"] is True
        assert machine.task is not None
        async with asyncio.timeout(3):
            await machine.task
        with pytest.raises(OSError, match=r"refused|No such file"), socket.socket() as client:
            client.connect(("127.0.0.1", machine.port))
        await machine.start()


async def test_the_imds_switch_takes_only_roles_that_allow_it() -> None:
    async with workstation() as machine:
        machine.fake.roles["work"] = role_entry("work", imds=True)
        machine.fake.roles["danger"] = role_entry("danger", imds=True, tier="sensitive")
        for role, status in (("prod-admin", 403), ("danger", 403), ("work", 200)):
            told = await machine.control("POST", "/v1/imds", {"role": role})
            assert told["status"] == status
        assert (await machine.control("GET", "/v1/status"))["imds_role"] == "work"
        await machine.control("POST", "/v1/imds", {"role": None})
        assert (await machine.control("GET", "/v1/status"))["imds_role"] is None
