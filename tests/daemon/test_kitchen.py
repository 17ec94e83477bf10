"""The lane in front of aiohttp: it only says no, and says it as aiohttp would."""

from __future__ import annotations

import asyncio

import pytest

from borrow.daemon.kitchen import read_plain
from borrow_fakes.workstation import BOTO, Fetched, Workstation, workstation

ROLE = "/v1/credentials/prod-admin"


def head(machine: Workstation, target: str, *lines: str, method: str = "GET") -> bytes:
    wanted = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{machine.port}", BOTO, *lines]
    return "".join(f"{line}\r\n" for line in wanted).encode("latin-1") + b"\r\n"


CASES: list[tuple[str, str, tuple[str, ...]]] = [
    ("GET", ROLE, ()),
    ("GET", ROLE, ("Authorization: wrong",)),
    ("GET", ROLE, ("Authorization: ",)),
    ("GET", ROLE, ("Authorization: a", "Authorization: b")),
    ("GET", ROLE + "?x=1", ()),
    ("GET", ROLE + "/", ()),
    ("GET", "/v1/credentials/..", ()),
    ("GET", "/", ()),
    ("GET", ROLE, ("Origin: http://evil.example.com",)),
    ("GET", ROLE, ("X-Forwarded-For: 10.0.0.1",)),
    ("GET", ROLE, ("Host: evil.example.com",)),
    ("GET", ROLE, ("Content-Length: 0",)),
    ("PUT", ROLE, ()),
    ("POST", ROLE, ()),
    ("GET", "http://evil.example.com" + ROLE, ()),
    ("GET", ROLE, ("Odd : header",)),
    ("GET", ROLE, ("Authorization: \xe4",)),
    ("PUT", "/latest/api/token", ("X-aws-ec2-metadata-token-ttl-seconds: 60",)),
]


@pytest.mark.parametrize(("method", "target", "lines"), CASES)
async def test_the_first_answer_is_the_one_that_aiohttp_gives_later(
    method: str, target: str, lines: tuple[str, ...]
) -> None:
    async with workstation() as machine:
        request = head(machine, target, *lines, method=method)
        first = await _only_status(machine, request)
        await _load_aiohttp(machine)
        later = await _only_status(machine, request)
        assert first == later
        assert first[0] in (400, 401, 403, 404, 405)


async def _only_status(machine: Workstation, request: bytes) -> tuple[int, bytes]:
    answer = await machine.raw(request)
    return answer.status, answer.body


async def _load_aiohttp(machine: Workstation) -> None:
    machine.fake.auto = True
    assert (await machine.fetch("prod-admin", await machine.bearer())).status == 200
    machine.fake.auto = False


async def test_a_request_that_comes_while_aiohttp_is_imported_is_answered() -> None:
    async with workstation() as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        answers: list[Fetched] = await asyncio.gather(
            *(machine.fetch("prod-admin", bearer) for _ in range(20))
        )
        assert {answer.status for answer in answers} == {200}
        assert len(machine.fake.asked) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"GET / HTTP/1.1\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \r\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n",
    ],
)
def test_what_is_not_plain_is_left_to_aiohttp(data: bytes) -> None:
    assert read_plain(data) is None


def test_a_plain_head_is_read_as_it_is() -> None:
    read = read_plain(b"GET /x HTTP/1.1\r\nHost:  a \r\nX: y\r\n\r\n")
    assert read is not None
    assert (read.method, read.target) == ("GET", "/x")
    assert read.headers == ((b"host", b"a"), (b"x", b"y"))
