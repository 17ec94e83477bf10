"""Calls that no client of ours makes, as bytes on a socket: the refusals say nothing of them."""

from __future__ import annotations

import asyncio
import json
import socket
import zlib
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from borrow.approver import ledger
from borrow.approver.channels.addresses import read_url
from borrow.approver.logchecks import LogChecks
from borrow.approver.serve import port_of, serving
from borrow.minter.port import LogCheck, LogEntry
from borrow.protocol.errors import Refused

if TYPE_CHECKING:
    from borrow_fakes.front_desk import Client, FrontDesk

FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
SECRET = "canary-7f3a"


async def heard(desk: FrontDesk, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what comes back for these bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", desk.port)
    writer.write(data)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


@pytest.mark.parametrize("path", ["/token", "/signin", "/none"])
async def test_an_expectation_that_nobody_knows_is_not_repeated(desk: FrontDesk, path: str) -> None:
    """aiohttp answers this one before any middleware, with the header's text and its version."""
    call = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: {SECRET}\r\nConnection: close\r\n"
    status, headers, body = await heard(desk, f"{call}Content-Length: 0\r\n\r\n".encode())
    assert status == 417
    assert SECRET.encode() not in body
    assert headers["Server"] == "borrow"
    assert json.loads(body)["error"] == "invalid_request"


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "x"])
async def test_a_compressed_body_is_refused_unopened(desk: FrontDesk, coding: str) -> None:
    """A broken one was a failure of ours; a good one may be a thousand times what was sent."""
    for body in (b"abcde", zlib.compress(bytes(5_000_000))):
        call = f"POST /token HTTP/1.1\r\nHost: x\r\n{FORM}Content-Encoding: {coding}\r\n"
        call += f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        status, _, answer = await heard(desk, call.encode() + body)
        assert (status, json.loads(answer)["borrow_state"]) == (415, "media_type")


async def test_no_answer_can_be_made_a_page_of(desk: FrontDesk) -> None:
    for path in ("/jwks", "/none", "/token"):
        call = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        _, headers, _ = await heard(desk, call.encode())
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("url", ["https://[]a@", "https://][b@?a", "https://a[]b@c/"])
def test_an_address_that_its_parser_chokes_on_is_refused(url: str) -> None:
    with pytest.raises(Refused, match="public https address"):
        read_url(url, ())


async def test_those_who_check_the_log_at_once_share_a_check_that_began_after_they_asked() -> None:
    class Slow:
        """A minter whose checks end when they are told to."""

        begun = 0

        def __init__(self) -> None:
            self.go = asyncio.Event()

        async def check_log(self) -> LogCheck:
            self.begun += 1
            number = self.begun
            await self.go.wait()
            return LogCheck(number, "", None, "")

    minter = Slow()
    checks = LogChecks(minter)  # type: ignore[arg-type]  # one method of the port is asked
    first = asyncio.ensure_future(checks.check())
    await asyncio.sleep(0)
    later = [asyncio.ensure_future(checks.check()) for _ in range(50)]
    await asyncio.sleep(0)
    assert minter.begun == 1
    minter.go.set()
    assert (await first).size == 1
    assert {check.size for check in await asyncio.gather(*later)} == {2}


async def test_many_checks_of_the_log_at_once_are_few(ann: Client) -> None:
    answers = await asyncio.gather(*(ann.get("/log/check", "audit") for _ in range(20)))
    assert {answer.ok()["bad_seq"] for answer in answers} == {None}


async def test_an_answer_that_nobody_reads_is_not_kept_for_ever() -> None:
    """A device may ask for many large ones and take none of them."""

    async def large(_: web.Request) -> web.Response:
        return web.Response(body=bytes(64 << 20))

    app = web.Application()
    app.router.add_get("/", large)
    async with serving(app, taken_within=0.2) as runner:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, ("127.0.0.1", port_of(runner)))
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert runner.server is not None
            async with asyncio.timeout(10):
                while not runner.server.connections:  # noqa: ASYNC110  nothing to wait for
                    await asyncio.sleep(0.01)
                while runner.server.connections:  # noqa: ASYNC110  the same
                    await asyncio.sleep(0.01)


def test_a_page_of_the_log_holds_what_a_reader_takes_and_never_nothing() -> None:
    small = [LogEntry(number, "x" * 1_000, "") for number in range(500)]
    large = [LogEntry(number, "x" * 60_000, "") for number in range(500)]
    huge = [LogEntry(number, "x" * 900_000, "") for number in range(3)]
    assert len(list(ledger._page(small))) == 500
    assert len(list(ledger._page(large))) == 8
    assert len(list(ledger._page(huge))) == 1
    assert list(ledger._page([])) == []


async def test_a_log_of_large_entries_is_read_page_by_page(desk: FrontDesk, ann: Client) -> None:
    with desk.minter._step() as step:
        for _ in range(100):
            step.leaf("request.accept", ann.device.owner, justification="y" * 9_000)
    pages: list[list[int]] = []
    while not pages or pages[-1]:
        start = pages[-1][-1] + 1 if pages else 0
        page = (await ann.get(f"/log/entries?start={start}&count=500", "audit")).ok()["entries"]
        assert sum(len(each["entry"]) for each in page) <= ledger.MOST_CHARACTERS
        pages.append([each["seq"] for each in page])
    seen = [seq for page in pages for seq in page]
    assert seen == sorted(set(seen))
    assert len(seen) > 100
    assert len(pages) == 3  # two, and the empty one
