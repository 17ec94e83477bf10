"""The fast lane: what it answers is what aiohttp would have said, and all else it leaves alone."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from borrow.daemon.lane import Plain, read_fetch
from borrow_fakes.approver import role_entry
from borrow_fakes.workstation import BOTO, Workstation, workstation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROLE = "prod-admin"
AUTHORITY = b"127.0.0.1:1"
LINE = b"GET /v1/credentials/prod-admin HTTP/1.1\r\n"


# -- reading -------------------------------------------------------------------------------------


def test_the_requests_that_sdks_send_are_read() -> None:
    boto = (
        LINE + b"Host: 127.0.0.1:1\r\nAccept-Encoding: identity\r\nAuthorization: abc\r\n"
        b"User-Agent: Botocore/1.40\r\nAccept: application/json\r\n\r\n"
    )
    assert read_fetch(boto, AUTHORITY) == Plain("prod-admin", "abc")


@pytest.mark.parametrize(
    "lines",
    [
        b"Host: 127.0.0.1:1\r\n",
        b"Authorization: a\r\n",
        b"Host: localhost:1\r\nAuthorization: a\r\n",
        b"Host: 127.0.0.1:1\r\nHost: 127.0.0.1:1\r\nAuthorization: a\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nAuthorization: a\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nOrigin: x\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nX-Unknown: x\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nContent-Length: 0\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nConnection: close\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nAccept: \x00\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\nAccept : x\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\n folded\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\nAccept: x\r\n",
        b"Host: 127.0.0.1:1\r\nAuthorization: a\r\n\r\nGET / HTTP/1.1\r\n",
    ],
)
def test_whatever_is_not_exactly_plain_is_not_read(lines: bytes) -> None:
    assert read_fetch(LINE + lines + b"\r\n", AUTHORITY) is None


@given(st.binary(max_size=400))
def test_garbage_is_not_read(data: bytes) -> None:
    assert read_fetch(data, AUTHORITY) is None


# -- the same answer -----------------------------------------------------------------------------


@dataclass
class Pair:
    """The same request to a daemon with the lane and to one without."""

    on: Workstation
    off: Workstation
    bearers: tuple[str, str]

    async def answers(self, request: str) -> tuple[object, object]:
        one, other = await asyncio.gather(
            talk(self.on, request, self.bearers[0]), talk(self.off, request, self.bearers[1])
        )
        if one != other:  # one of them may have been slow on a busy machine: wait longer
            one, other = await asyncio.gather(
                talk(self.on, request, self.bearers[0], patience=2.0),
                talk(self.off, request, self.bearers[1], patience=2.0),
            )
        return one, other


async def count_served(machine: Workstation) -> int:
    return sum((await machine.control("GET", "/v1/status"))["served"].values())


async def talk(machine: Workstation, request: str, bearer: str, patience: float = 0.4) -> object:
    """Every byte of what the daemon says to `request`, in a form that can be compared."""
    sent = request.replace("{port}", str(machine.port)).replace("{bearer}", bearer)
    async with machine.connection() as (reader, writer):
        writer.write(sent.encode("latin-1"))
        data = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(5):
                while True:
                    piece = await asyncio.wait_for(
                        reader.read(65_536), patience / 3 if data else patience
                    )
                    if not piece:
                        data += b"<end>"
                        break
                    data += piece
    return comparable(data)


_VARYING = re.compile(
    rb"Date: [^\r]*|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|ASIA\d{16}|canary[-\w]*|127\.0\.0\.1:\d+"
    rb"|r-[0-9a-z]{20,}"
)


def comparable(data: bytes) -> object:
    """Answers in order; the headers of each without order."""
    parts = _VARYING.sub(b"*", data).split(b"\r\n\r\n")
    return [sorted(part.split(b"\r\n")) if b"HTTP/1.1" in part else part for part in parts]


@contextlib.asynccontextmanager
async def pair(*, denied: bool = False) -> AsyncIterator[Pair]:
    """`denied`: a no is remembered for both; else both have a credential."""
    async with workstation(lane=True) as on, workstation(lane=False) as off:
        for machine in (on, off):
            machine.fake.auto = not denied
        bearers = (await on.bearer(), await off.bearer())
        for machine, bearer in zip((on, off), bearers, strict=True):
            fetch = asyncio.get_running_loop().create_task(machine.fetch(ROLE, bearer))
            if denied:
                await machine.fake.asked_for()
                await machine.fake.deny()
            assert (await fetch).status == (403 if denied else 200)
        yield Pair(on, off, bearers)


GOOD = (
    f"GET /v1/credentials/{ROLE} HTTP/1.1\r\nHost: 127.0.0.1:{{port}}\r\n"
    f"{BOTO}\r\nAuthorization: {{bearer}}\r\n"
)
ODD = [
    GOOD + "\r\n",
    GOOD.replace(BOTO, "user-AGENT:   x") + "\r\n",
    GOOD.replace("Authorization: {bearer}", "authorization:\t{bearer}") + "\r\n",
    GOOD.replace("{bearer}", "Bearer {bearer}") + "\r\n",
    GOOD.replace("{bearer}", "{bearer}x") + "\r\n",
    GOOD.replace("{bearer}", "") + "\r\n",
    GOOD.replace("{bearer}", "{bearer} ") + "\r\n",
    GOOD.replace(ROLE, "reader") + "\r\n",
    GOOD.replace(ROLE, ROLE + "?a") + "\r\n",
    GOOD.replace(ROLE, ROLE + "/") + "\r\n",
    GOOD.replace(ROLE, "prod%2dadmin") + "\r\n",
    GOOD.replace("GET", "get") + "\r\n",
    GOOD.replace("GET", "PUT") + "\r\n",
    GOOD.replace("GET", "HEAD") + "\r\n",
    GOOD.replace("HTTP/1.1", "HTTP/1.0") + "\r\n",
    GOOD.replace("HTTP/1.1", "HTTP/2.0") + "\r\n",
    GOOD.replace("GET /", "GET  /") + "\r\n",
    GOOD.replace("GET /", "GET //") + "\r\n",
    "\r\n" + GOOD + "\r\n",
    GOOD + "Connection: close\r\n\r\n",
    GOOD + "Connection: keep-alive\r\n\r\n",
    GOOD + "Connection: Keep-Alive, Upgrade\r\n\r\n",
    GOOD + "Content-Length: 0\r\n\r\n",
    GOOD + "Content-Length: 3\r\n\r\nabc",
    GOOD + "Content-Length: 0\r\nContent-Length: 1\r\n\r\n",
    GOOD + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    GOOD + "Expect: 100-continue\r\n\r\n",
    GOOD + "Accept: a\r\nAccept: b\r\n\r\n",
    GOOD + "Accept:\r\n\r\n",
    GOOD + "Accept: \xe4\r\n\r\n",
    GOOD + "Accept: \x01\r\n\r\n",
    GOOD + "Accept : a\r\n\r\n",
    GOOD + "Accept\r\n\r\n",
    GOOD + ": a\r\n\r\n",
    GOOD + " folded\r\n\r\n",
    GOOD + "Host: 127.0.0.1:{port}\r\n\r\n",
    GOOD + "Origin: http://evil.example.com\r\n\r\n",
    GOOD + "Sec-Fetch-Mode: cors\r\n\r\n",
    GOOD + "Cookie: a\r\n\r\n",
    GOOD + "Via: \r\n\r\n",
    GOOD + "X-Forwarded-For: \r\n\r\n",
    GOOD.replace("127.0.0.1:", "localhost:") + "\r\n",
    GOOD.replace("127.0.0.1:", "[::1]:") + "\r\n",
    GOOD.replace("127.0.0.1:{port}", "127.0.0.1") + "\r\n",
    GOOD.replace("127.0.0.1:{port}", "127.0.0.1:") + "\r\n",
    GOOD.replace("127.0.0.1:{port}", "127.0.0.1:80") + "\r\n",
    GOOD.replace("127.0.0.1:{port}", "localhost") + "\r\n",
    GOOD.replace("GET", "OPTIONS") + "\r\n",
    GOOD.replace("GET", "TRACE") + "\r\n",
    GOOD.replace("HTTP/1.1", "HTTP/0.9") + "\r\n",
    GOOD.replace(" HTTP/1.1", "") + "\r\n",
    GOOD.upper().replace("{PORT}", "{port}").replace("{BEARER}", "{bearer}") + "\r\n",
    GOOD + "Expect: 200-maybe\r\n\r\n",
    GOOD + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    GOOD + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    GOOD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    GOOD + "Content-Length: -1\r\n\r\n",
    GOOD + "Content-Length: 5000\r\n\r\n" + "a" * 5000,
    GOOD + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
    GOOD + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    GOOD + "Proxy-Connection: keep-alive\r\n\r\n",
    GOOD + "TE: trailers\r\n\r\n",
    GOOD + "Range: bytes=0-1\r\n\r\n",
    GOOD + "If-None-Match: *\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    GOOD.replace(f"/v1/credentials/{ROLE}", "*") + "\r\n",
    GOOD.replace(f"GET /v1/credentials/{ROLE}", "CONNECT 127.0.0.1:{port}") + "\r\n",
    GOOD.replace("/v1/credentials", "https://127.0.0.1:{port}/v1/credentials") + "\r\n",
    GOOD.replace("127.0.0.1:", "127.0.0.1.:") + "\r\n",
    GOOD + "\r\n" + GOOD + "\r\n",
    GOOD + "\r\n" + GOOD.replace("GET", "POST") + "\r\n",
    GOOD.replace("\r\n", "\n") + "\n",
    GOOD + "Accept: " + "a" * 5000 + "\r\n\r\n",
    GOOD + "Accept: " + "a" * 9000 + "\r\n\r\n",
    GOOD + "".join(f"X-{n}: 1\r\n" for n in range(70)) + "\r\n",
    GOOD.replace(f"/v1/credentials/{ROLE}", "http://127.0.0.1:{port}/v1/credentials/x") + "\r\n",
]


async def test_odd_requests_get_the_same_answer_with_the_lane_and_without() -> None:
    async with pair() as both:
        for at in range(0, len(ODD), 10):
            answers = await asyncio.gather(*(both.answers(each) for each in ODD[at : at + 10]))
            for request, (one, other) in zip(ODD[at : at + 10], answers, strict=True):
                assert one == other, request
        assert await count_served(both.on) >= 3
        assert await count_served(both.off) == 0


_PIECES = st.sampled_from(
    [
        "Accept: */*\r\n",
        "ACCEPT-encoding:gzip\r\n",
        "Connection: keep-alive\r\n",
        "Connection: close\r\n",
        "Host: 127.0.0.1:{port}\r\n",
        "Authorization: {bearer}\r\n",
        "amz-sdk-request: attempt=1; max=3\r\n",
        "Via: x\r\n",
        "Content-Length: 0\r\n",
        "\r\n",
        "\n",
        " ",
        "\t",
        ":",
        "\x00",
        "\xff",
        "GET / HTTP/1.1\r\n",
        "User-Agent: a b\r\n",
    ]
)
_EDITS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), _PIECES), max_size=3)


def edited(edits: list[tuple[int, int, str]]) -> str:
    """The good request with pieces put in (at line starts mostly) and characters cut out."""
    text = GOOD
    for place, cut, piece in edits:
        starts = [0, *(found.end() for found in re.finditer("\r\n", text))]
        at = starts[place % len(starts)] if place % 3 else min(place, len(text))
        text = text[:at] + piece + text[at + (cut if place % 5 == 0 else 0) :]
    return text + "\r\n"


async def test_after_a_no_odd_requests_are_told_the_same_with_the_lane_and_without() -> None:
    async with pair(denied=True) as both:
        for at in range(0, len(ODD), 10):
            answers = await asyncio.gather(*(both.answers(each) for each in ODD[at : at + 10]))
            for request, (one, other) in zip(ODD[at : at + 10], answers, strict=True):
                assert one == other, request
        for machine in (both.on, both.off):
            assert len(machine.fake.asked) == 1


async def test_edited_requests_get_the_same_answer_with_the_lane_and_without() -> None:
    requests: list[str] = []

    @settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_EDITS)
    def collect(edits: list[tuple[int, int, str]]) -> None:
        requests.append(edited(edits))

    collect()
    for denied in (False, True):
        async with pair(denied=denied) as both:
            for at in range(0, len(requests), 20):
                batch = requests[at : at + 20]
                answers = await asyncio.gather(*(both.answers(each) for each in batch))
                for request, (one, other) in zip(batch, answers, strict=True):
                    assert one == other, request


# -- what may be served is looked at each time ---------------------------------------------------


async def test_a_connection_that_stays_open_is_answered_by_the_lane_again_and_again() -> None:
    async with workstation(lane=True) as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch(ROLE, bearer)
        async with machine.connection() as (reader, writer):
            for _ in range(5):
                writer.write(machine.head(ROLE, bearer))
                data = await reader.readuntil(b"}")
                assert b"200 OK" in data
        assert await count_served(machine) == 5


async def test_the_lane_serves_nothing_after_the_grant_was_given_back() -> None:
    async with workstation(lane=True) as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch(ROLE, bearer)
        await machine.fetch(ROLE, bearer)
        before, asked = await count_served(machine), len(machine.fake.asked)
        await machine.control("POST", "/v1/return", {"role": ROLE})
        assert (await machine.fetch(ROLE, bearer)).status == 200
        assert await count_served(machine) == before
        assert len(machine.fake.asked) == asked + 1


@pytest.mark.parametrize("clock", ["wall", "boot"])
async def test_the_lane_serves_nothing_past_the_end_by_either_clock(clock: str) -> None:
    async with workstation(lane=True) as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch(ROLE, bearer)
        await machine.fetch(ROLE, bearer)
        before = await count_served(machine)
        assert before > 0
        setattr(machine.shift, clock, 8 * 86_400.0)
        machine.fake.auto = False
        with contextlib.suppress(TimeoutError):
            await machine.fetch(ROLE, bearer, within=0.5)
        assert await count_served(machine) == before


def at_the_start_of_a_second(machine: Workstation) -> None:
    """Answers are kept for the second they show: what follows happens within one."""
    machine.shift.wall -= machine.shift.now().wall % 1 - 0.02


async def test_an_answer_kept_for_its_second_ends_with_its_grant() -> None:
    async with workstation(lane=True) as machine:
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch(ROLE, bearer)
        at_the_start_of_a_second(machine)
        before = await count_served(machine)
        first = await machine.fetch(ROLE, bearer)
        assert await count_served(machine) == before + 1
        await machine.control("POST", "/v1/return", {"role": ROLE})
        after = await machine.fetch(ROLE, bearer)
        assert after.json["AccessKeyId"] != first.json["AccessKeyId"]
        assert await count_served(machine) == before + 1


async def test_an_answer_under_a_lease_is_not_kept_for_its_second() -> None:
    async with workstation(lane=True) as machine:
        machine.fake.roles[ROLE] = role_entry(ROLE, tier="sensitive")
        machine.fake.auto = True
        bearer = await machine.bearer()
        await machine.fetch(ROLE, bearer)
        machine.fake.down = True
        age = (await machine.control("GET", "/v1/status"))["contact_age"]
        machine.shift.both(59.6 - age)
        at_the_start_of_a_second(machine)
        before = await count_served(machine)
        for _ in range(2):  # the first renews the belief in the session
            assert (await machine.fetch(ROLE, bearer)).status == 200
        assert await count_served(machine) > before
        machine.shift.boot += 0.6  # the lease is over, the second is not
        held = asyncio.get_running_loop().create_task(machine.fetch(ROLE, bearer))
        await asyncio.sleep(0.5)
        assert not held.done()
        machine.fake.down = False
        assert (await held).status == 200
