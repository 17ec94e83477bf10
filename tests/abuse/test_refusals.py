"""Every way in which the edge says no: a small JSON body of one word, or nothing; counted, logged.

The walk goes over the real daemon with a live grant, and each attempt carries words of its own in
every place where a client can put some. None of them may come back, nor be in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from borrow.daemon.front import Limits
from borrow.daemon.logs import log_to, stop_logging
from borrow_fakes.approver import role_entry
from borrow_fakes.edge import OTHER, need_two_users, run_as
from borrow_fakes.workstation import Fetched, Workstation, read_answer, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CANARY = "canary-of-a-client"
SMALLEST, LARGEST = len(b'{"error": "x"}'), 64  # bytes of a body
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
ROLES = "/latest/meta-data/iam/security-credentials"


@dataclass(frozen=True, slots=True)
class No:
    """A request, and how it is refused. Of a `head`, {port} and {bearer} are filled in."""

    reason: str  # in the counters and the log
    status: int
    word: str  # in the body
    head: tuple[str, ...]


def get(
    path: str, *lines: str, host: str = "127.0.0.1:{port}", version: str = "1.1"
) -> tuple[str, ...]:
    return (f"GET {path} HTTP/{version}", f"Host: {host}", f"X-Note: {CANARY}", *lines)


CREDENTIALS = "/v1/credentials/prod-admin"
SHOWN = "Authorization: {bearer}"
TOKEN = "X-aws-ec2-metadata-token: {token}"
PUT = "PUT /latest/api/token HTTP/1.1"
HOST = "Host: 127.0.0.1:{port}"

WALK = (
    No("target", 400, "target", get(f"http://{CANARY}/v1/credentials/prod-admin", SHOWN)),
    No("target", 400, "target", get(f"//{CANARY}{CREDENTIALS}", SHOWN)),
    No("host", 403, "host", get(CREDENTIALS, SHOWN, host=f"{CANARY}:{{port}}")),
    No("malformed", 400, "invalid_request", get(CREDENTIALS, SHOWN, f"Host: {CANARY}")),
    No("version", 403, "version", get(CREDENTIALS, SHOWN, version="1.0")),
    No("browser", 403, "browser", get(CREDENTIALS, SHOWN, f"Origin: https://{CANARY}")),
    No("browser", 403, "browser", get(CREDENTIALS, SHOWN, f"Cookie: {CANARY}=1")),
    No("browser", 403, "browser", get(CREDENTIALS, SHOWN, "Sec-Fetch-Site: none")),
    No("proxied", 403, "proxied", get(CREDENTIALS, SHOWN, f"X-Forwarded-For: {CANARY}")),
    No("method", 405, "method", (f"POST {CREDENTIALS}?{CANARY} HTTP/1.1", HOST, SHOWN)),
    No("method", 405, "method", (f"PUT {CREDENTIALS}?{CANARY} HTTP/1.1", HOST, SHOWN)),
    No("method", 405, "method", (f"OPTIONS {CREDENTIALS}?{CANARY} HTTP/1.1", HOST)),
    No("not_found", 404, "not_found", get(f"/{CANARY}", SHOWN)),
    No("not_found", 404, "not_found", get(f"/v1/credentials/../{CANARY}", SHOWN)),
    No("bearer", 401, "unauthorized", get(CREDENTIALS)),
    No("bearer", 401, "unauthorized", get(CREDENTIALS, f"Authorization: Bearer {CANARY}")),
    No("bearer", 401, "unauthorized", get(f"/v1/credentials/{CANARY}", SHOWN)),
    No("expect", 417, "expect", get(CREDENTIALS, SHOWN, f"Expect: {CANARY}")),
    No("malformed", 400, "invalid_request", get(CREDENTIALS, f"Bad Name: {CANARY}")),
    No("malformed", 400, "invalid_request",
       get(CREDENTIALS, "Content-Length: 1", "Content-Length: 2", CANARY)),
    No("imds_ttl", 400, "invalid_request", (PUT, HOST, f"{TTL}: {CANARY}")),
    No("imds_token", 401, "unauthorized", get(f"{ROLES}/work")),
    No("imds_token", 401, "unauthorized", get("/latest/", f"X-aws-ec2-metadata-token: {CANARY}")),
    No("not_found", 404, "not_found", get(f"{ROLES}/{CANARY}", TOKEN)),
    No("not_found", 404, "not_found", get(f"/latest/{CANARY}", TOKEN)),
)  # fmt: skip

# What a person refused, or something of ours could not do, is no refusal of the edge.
DOOR = frozenset({"remote", "unknown", "uid", "limit", "slow", "big"})
OFF = No("imds_off", 404, "not_found", (PUT, HOST, f"{TTL}: 60"))


@contextlib.asynccontextmanager
async def refusing(**world: Any) -> AsyncIterator[tuple[Workstation, dict[str, str]]]:
    """A daemon that writes its log, with something to take: a live grant and a role for IMDS."""
    async with workstation(**world) as machine:
        handler = log_to(machine.state / "daemon.log")
        try:
            machine.fake.auto = True
            machine.fake.roles["work"] = role_entry("work", imds=True)
            bearer = await machine.bearer()
            assert (await machine.fetch("prod-admin", bearer)).status == 200
            machine.fake.auto = False
            yield machine, {"port": str(machine.port), "bearer": bearer}
        finally:
            stop_logging(handler)


async def imds_on(machine: Workstation, known: dict[str, str]) -> None:
    await machine.control("POST", "/v1/imds", {"role": "work"})
    head = f"{PUT}\r\n{HOST}\r\n{TTL}: 60\r\n\r\n".replace("{port}", known["port"])
    known["token"] = (await machine.raw(head.encode())).body.decode()


def head_of(no: No, known: dict[str, str]) -> bytes:
    text = "\r\n".join(no.head)
    for name, value in known.items():
        text = text.replace(f"{{{name}}}", value)
    return text.encode() + b"\r\n\r\n"


async def counts(machine: Workstation) -> dict[str, int]:
    refused: dict[str, int] = (await machine.control("GET", "/v1/status"))["refused"]
    return refused


def logged(machine: Workstation) -> list[dict[str, Any]]:
    text = (machine.state / "daemon.log").read_text()
    return [
        line for line in map(json.loads, text.splitlines()) if line["message"] == "local.reject"
    ]


async def is_refused(machine: Workstation, no: No, known: dict[str, str]) -> None:
    before, asked = await counts(machine), machine.fake.calls["/bc-authorize"]
    answer = await machine.raw(head_of(no, known))
    assert (answer.status, json.loads(answer.body)) == (no.status, {"error": no.word}), no
    assert SMALLEST <= len(answer.body) <= LARGEST
    after = await counts(machine)
    assert after == before | {no.reason: before.get(no.reason, 0) + 1}, no
    assert machine.fake.calls["/bc-authorize"] == asked


async def test_each_refusal_is_one_small_word_is_counted_and_is_logged() -> None:
    async with refusing() as (machine, known):
        await is_refused(machine, OFF, known)
        await imds_on(machine, known)
        for no in WALK:
            await is_refused(machine, no, known)
        reasons = {line["reason"] for line in logged(machine)}
        assert reasons == {no.reason for no in WALK} | {OFF.reason}
        for secret in (CANARY, *known.values()):
            assert secret not in (machine.state / "daemon.log").read_text() or secret.isdecimal()


async def test_no_header_of_a_refusal_says_more_than_its_body() -> None:
    async with refusing() as (machine, known):
        await imds_on(machine, known)
        for no in WALK:
            async with machine.connection() as (reader, writer):
                writer.write(head_of(no, known))
                top = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            assert CANARY not in top
            assert "access-control" not in top
            assert "cache-control: no-store" in top
            assert "content-type: application/json" in top


async def test_a_flood_of_refusals_is_counted_whole_and_logged_in_a_few_lines() -> None:
    async with refusing() as (machine, known):
        stray = WALK[15]
        assert stray.reason == "bearer"
        for _ in range(100):
            assert (await machine.raw(head_of(stray, known))).status == 401
        assert (await counts(machine))["bearer"] == 100
        lines = [line["n"] for line in logged(machine) if line["reason"] == "bearer"]
        assert lines == [1, 2, 4, 8, 16, 32, 64]


async def test_a_stranger_before_anything_else_was_loaded_gets_the_same_answer() -> None:
    """The kitchen's own 401, while aiohttp is not imported yet."""
    async with workstation() as machine:
        known = {"port": str(machine.port), "bearer": "none"}
        await is_refused(machine, WALK[15], known)


# -- what the door refuses, by closing -------------------------------------------------------------


async def closed(machine: Workstation, data: bytes) -> Fetched:
    async with machine.connection() as (reader, writer):
        writer.write(data)
        try:
            async with asyncio.timeout(5):
                return await read_answer(reader)
        except ConnectionError:
            return Fetched(-1, b"")


async def test_the_door_refuses_without_a_byte_counts_and_logs() -> None:
    limits = Limits(header_seconds=0.3, max_head=2_000, total=4, per_process=3)
    async with refusing(limits=limits) as (machine, _):
        start = f"GET /{CANARY}".encode()
        assert (await closed(machine, start)).status == -1  # never ends: slow
        assert (await closed(machine, start + b"x" * 4_000)).status == -1  # big
        lines = [socket.create_connection(("127.0.0.1", machine.port)) for _ in range(4)]
        async with asyncio.timeout(5):
            while not (await counts(machine)).get("limit"):  # noqa: ASYNC110  of another process
                await asyncio.sleep(0.02)
        for line in lines:
            line.close()
        after = await counts(machine)
        assert after["slow"] >= 1
        assert after["big"] == 1
        reasons = {line["reason"] for line in logged(machine)}
        assert {"slow", "big", "limit"} <= reasons <= DOOR
        assert CANARY not in (machine.state / "daemon.log").read_text()


async def test_a21_another_user_is_counted_and_logged_with_the_kernels_word_on_it() -> None:
    need_two_users()
    async with refusing() as (machine, known):
        code = (
            "import socket, sys\n"
            "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
            "s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n')\n"
            "try:\n    print(s.recv(100))\nexcept OSError:\n    print('cut')\n"
        )
        _, said = await run_as(OTHER, code, known["port"])
        assert said.strip() in ("cut", "b''")
        assert (await counts(machine))["uid"] == 1
        assert [line["uid"] for line in logged(machine) if line["reason"] == "uid"] == [OTHER]


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\x00" * 200, b"GET\r\n\r\n"])
async def test_what_is_no_http_gets_a_constant_400_and_is_counted(data: bytes) -> None:
    async with refusing() as (machine, _):
        answer = await closed(machine, data)
        assert (answer.status, answer.json) == (400, {"error": "invalid_request"})
        assert (await counts(machine)) == {"malformed": 1}
