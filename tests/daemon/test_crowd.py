"""Calls that the lane holds: each is told what aiohttp would tell it, and none more than is so."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any, cast

import pytest

from borrow.daemon.broker import Served
from borrow.daemon.cache import Grant, Held
from borrow.daemon.crowd import Crowds
from borrow.daemon.flights import Asked
from borrow.daemon.front import Limits
from borrow.daemon.groups import Bearer, Group
from borrow.daemon.moments import Deadline, Moment
from borrow.daemon.peer import Peer
from borrow.daemon.techniques import DRIBBLE, NODE, PLAIN, Technique
from borrow.daemon.ticker import Ticker
from borrow.daemon.tower import Caller
from borrow.protocol.credentials import AwsCredentials
from borrow_fakes.workstation import BOTO, GO, Fetched, Workstation, read_answer, workstation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

ROLE = "prod-admin"
PATH = f"GET /v1/credentials/{ROLE} HTTP/1.1\r\n"
CLIENTS = {
    "dribbled to": PATH + "Host: {host}\r\nAuthorization: {bearer}\r\n" + BOTO + "\r\n\r\n",
    "without a byte": PATH + "Host: {host}\r\nAuthorization: {bearer}\r\n" + GO + "\r\n\r\n",
    "Rust": PATH + "host: {host}\r\nauthorization: {bearer}\r\naccept: application/json\r\n\r\n",
}


# -- the same as aiohttp's -----------------------------------------------------------------------


async def told(machine: Workstation, request: str, bearer: str) -> object:
    """Everything that comes, the beats apart, in a form that can be compared."""
    async with machine.connection() as (reader, writer):
        sent = request.format(host=f"127.0.0.1:{machine.port}", bearer=bearer)
        writer.write(sent.encode())
        data = b""
        with contextlib.suppress(ConnectionError):
            while not data.endswith((b"0\r\n\r\n", b"}")):
                piece = await asyncio.wait_for(reader.read(65_536), 10)
                if not piece:
                    break
                data += piece
        cut = not data.endswith((b"0\r\n\r\n", b"}"))
    data = re.sub(rb"(1\r\n \r\n)+", b"<beats>", data)
    data = re.sub(
        rb"Date: [^\r]*|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|ASIA\d{16}|canary[-\w]*|r-[0-9a-z]+",
        b"*",
        data,
    )
    head, _, body = data.partition(b"\r\n\r\n")
    return sorted(head.split(b"\r\n")), body, cut


async def all_told(lane: bool, decide: Callable[[Workstation], Awaitable[object]]) -> list[object]:
    """What each client is told of one question that was decided after a while, and of the next."""
    async with workstation(lane=lane) as machine:
        bearer = await machine.bearer()
        calls = asyncio.gather(*(told(machine, each, bearer) for each in CLIENTS.values()))
        await machine.fake.asked_for()
        await asyncio.sleep(0.9)
        await decide(machine)
        first = await calls
        again = [await told(machine, each, bearer) for each in CLIENTS.values()]
        assert len(machine.fake.asked) == 1
        return [*first, *again]


@pytest.mark.parametrize("yes", [True, False])
async def test_every_client_is_told_the_same_with_the_lane_and_without(yes: bool) -> None:
    async def decide(machine: Workstation) -> None:
        await (machine.fake.approve() if yes else machine.fake.deny())

    on, off = await asyncio.gather(all_told(True, decide), all_told(False, decide))
    for which, one, other in zip([*CLIENTS, *CLIENTS], on, off, strict=True):
        assert one == other, which
    assert b"<beats>" in str(on[0]).encode()
    assert b"<beats>" not in str(on[1]).encode()


# -- connections ---------------------------------------------------------------------------------


def fetching(machine: Workstation, bearer: str) -> asyncio.Task[Fetched]:
    return asyncio.get_running_loop().create_task(machine.fetch(ROLE, bearer))


async def waiters(machine: Workstation, count: int) -> None:
    """Until so many calls are shown to wait."""
    async with asyncio.timeout(5):
        while True:
            shown = (await machine.control("GET", "/v1/status"))["asks"]
            if shown and shown[0]["waiters"] == count:
                return
            await asyncio.sleep(0.02)


async def test_those_who_wait_are_counted_and_the_last_to_leave_takes_the_question_along() -> None:
    async with workstation(lane=True, grace=0.1) as machine:
        bearer = await machine.bearer()
        async with machine.connection() as (_, one):
            async with machine.connection() as (_, other):
                one.write(machine.head(ROLE, bearer))
                other.write(machine.head(ROLE, bearer, GO))
                asked = await machine.fake.asked_for()
                await waiters(machine, 2)
            await waiters(machine, 1)
            await asyncio.sleep(0.3)
            assert asked.state != "cancelled"
        await machine.fake.until_cancelled(asked)


async def test_who_comes_back_within_the_grace_finds_the_question_it_left() -> None:
    async with workstation(lane=True) as machine:
        bearer = await machine.bearer()
        async with machine.connection() as (_, writer):
            writer.write(machine.head(ROLE, bearer))
            await machine.fake.asked_for()
            await waiters(machine, 1)
        await waiters(machine, 0)
        fetch = fetching(machine, bearer)
        await waiters(machine, 1)
        await machine.fake.approve()
        assert (await fetch).status == 200
        assert len(machine.fake.asked) == 1


async def test_what_is_sent_on_while_a_call_is_held_is_answered_after_it() -> None:
    async with workstation(lane=True) as machine:
        bearer = await machine.bearer()
        async with machine.connection() as (reader, writer):
            writer.write(machine.head(ROLE, bearer))
            await machine.fake.asked_for()
            writer.write(machine.head(ROLE, bearer))
            await asyncio.sleep(0.5)
            writer.write(machine.head("no..role", bearer))
            await machine.fake.approve()
            answers = [await read_answer(reader) for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 401]


async def test_who_floods_a_held_call_is_cut_and_nobody_else() -> None:
    async with workstation(lane=True) as machine:
        bearer = await machine.bearer()
        other = fetching(machine, bearer)
        async with machine.connection() as (reader, writer):
            writer.write(machine.head(ROLE, bearer))
            await waiters(machine, 2)
            with contextlib.suppress(ConnectionError):
                writer.write(machine.head(ROLE, bearer) * 200)
                async with asyncio.timeout(5):
                    while await reader.read(65_536):
                        pass
        await waiters(machine, 1)
        await machine.fake.approve(await machine.fake.asked_for())
        assert (await other).status == 200
        refused = (await machine.control("GET", "/v1/status"))["refused"]
    assert refused["big"] == 1


async def test_a_kept_connection_that_was_held_is_dribbled_to_again() -> None:
    """And its next call waits its own 0.4 s for the true status."""
    async with workstation(lane=True) as machine:
        bearer = await machine.bearer()
        async with machine.connection() as (reader, writer):
            for count in (1, 2):
                writer.write(machine.head(ROLE, bearer))
                await machine.fake.asked_for(count)
                await asyncio.sleep(0.6)
                await machine.fake.approve()
                answer = await read_answer(reader)
                assert (answer.status, answer.spaces > 0) == (200, True)
                await machine.control("POST", "/v1/return", {"role": ROLE})


async def test_many_programs_connections_are_held_and_served_by_one_question() -> None:
    """More than one process may have: they wait for the count first, and are looked at by it."""
    async with workstation(lane=True, limits=Limits(per_process=400)) as machine:
        bearer = await machine.bearer()
        fetches = [fetching(machine, bearer) for _ in range(300)]
        await machine.fake.asked_for()
        await waiters(machine, 300)
        await machine.fake.approve()
        assert {each.status for each in await asyncio.gather(*fetches)} == {200}
        assert machine.fake.calls["/bc-authorize"] == machine.fake.calls["exchange"] == 1


async def test_a_bearer_whose_session_ended_is_not_held_for() -> None:
    lives = True
    async with workstation(lane=True, alive=lambda sid, start: lives) as machine:
        bearer = await machine.bearer()
        lives = False
        assert (await machine.fetch(ROLE, bearer)).status == 401
        assert not machine.fake.asked


async def test_a_daemon_that_stops_lets_go_of_held_calls_at_once() -> None:
    async with workstation(lane=True) as machine:
        fetch = fetching(machine, await machine.bearer())
        await machine.fake.asked_for()
        await machine.end()
        assert (await fetch).status == -1


# -- one crowd, step by step ---------------------------------------------------------------------

NOW = Moment(1_000_000.0, 500.0)
GROUP = Group("r", 1, 1)


def served(key: str = "ASIA1") -> Served:
    ends = Deadline.at(NOW.wall + 3600, NOW)
    grant = Grant("g-1", "r-1", "r", "arn:a:b:c:1:d", "r:1:1", "normal", "session", "peer", ends)
    return Served(grant, Held(AwsCredentials(key, "s", "t", int(NOW.wall + 3600)), NOW, ends))


class Memory:
    """A broker: `fetch` waits for `answers` to hold something, `look` says what it holds."""

    def __init__(self) -> None:
        self.answers: list[Served] = []
        self.looks = 0
        self.left = 1_000_000  # looks until there is nothing any more
        self.callers: list[Caller] = []
        self.come = asyncio.Event()

    def now(self) -> Moment:
        return NOW

    def look(self, caller: Caller) -> Served | None:
        self.looks += 1
        return self.answers[0] if self.answers and self.looks <= self.left else None

    async def fetch(self, caller: Caller) -> Served:
        self.callers.append(caller)
        await self.come.wait()
        return self.answers[0]

    def keep(self, caller: Caller) -> None:
        self.callers.append(caller)


class Line:
    """A connection that keeps what was written to it."""

    def __init__(self, inode: int = 1) -> None:
        self.written = b""
        self.freed = False
        self.aborted = False
        self.peer: Peer | None = Peer(1, inode)

    @property
    def transport(self) -> asyncio.Transport:
        return cast("asyncio.Transport", self)

    def write(self, data: bytes) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def free(self) -> None:
        self.freed = True


def spawn(work: Coroutine[Any, Any, None]) -> Callable[[], object]:
    return asyncio.ensure_future(work).cancel


async def nobody() -> dict[str, Any]:
    return {}


async def beats(count: int = 30) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def held_by(crowds: Crowds, lines: list[Line], technique: Technique = PLAIN) -> None:
    bearer, caller = Bearer("d", GROUP), Caller(GROUP, "container", Asked(), nobody)
    for line in lines:
        crowds.join(bearer, caller, technique, line, asyncio.get_running_loop().time())


async def test_each_batch_is_asked_for_anew_and_nobody_gets_what_is_over() -> None:
    memory, lines = Memory(), [Line() for _ in range(600)]
    crowds = Crowds(memory, Ticker(), spawn)
    held_by(crowds, lines)
    await beats(3)
    memory.answers, memory.left = [served()], 1
    memory.come.set()
    await beats()
    given = [line for line in lines if line.written]
    assert 0 < len(given) < len(lines)
    memory.left = 1_000_000
    memory.answers = [served("ASIA2")]
    async with asyncio.timeout(5):
        while not all(line.written for line in lines):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert all(b"ASIA2" in line.written for line in lines if line not in given)
    crowds.close()


async def test_the_process_that_is_told_of_is_one_that_still_waits() -> None:
    memory, lines = Memory(), [Line(1), Line(2)]
    looked: list[int] = []
    may_go_on = asyncio.Event()

    async def describe(peer: Peer | None) -> dict[str, Any]:
        assert peer is not None
        looked.append(peer.inode)
        await may_go_on.wait()
        return {"pid": peer.inode}

    crowds = Crowds(memory, Ticker(), spawn, describe=describe)
    bearer, caller = Bearer("d", GROUP), Caller(GROUP, "container", Asked(), nobody)
    calls = [crowds.join(bearer, caller, PLAIN, line, 0.0) for line in lines]
    await beats(3)
    telling = asyncio.ensure_future(memory.callers[0].describe())
    await beats(3)
    calls[0].leave()
    may_go_on.set()
    assert await telling == {"pid": 2}
    assert looked == [1, 2]
    assert memory.callers[0].more() == 0


async def test_an_opened_answer_is_never_ended_with_an_error() -> None:
    memory, lines = Memory(), [Line(), Line()]
    crowds = Crowds(memory, Ticker(), spawn)
    bearer, caller = Bearer("d", GROUP), Caller(GROUP, "container", Asked(), nobody)
    now = asyncio.get_running_loop().time()
    crowds.join(bearer, caller, DRIBBLE, lines[0], now - 1)  # due at once
    crowds.join(bearer, caller, DRIBBLE, lines[1], now + 60)
    async with asyncio.timeout(5):
        while not lines[0].written:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    memory.come.set()  # an answer that is over each time it is looked at
    memory.left = 0
    memory.answers = [served()]
    async with asyncio.timeout(5):
        while not lines[1].freed:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert lines[0].aborted
    assert lines[0].written.count(b"HTTP/1.1") == 1
    assert lines[1].written.startswith(b"HTTP/1.1 503 ")
    crowds.close()


async def test_an_opened_answer_of_one_who_would_not_notice_a_cut_ends_in_words() -> None:
    memory, lines = Memory(), [Line(), Line()]
    crowds = Crowds(memory, Ticker(), spawn)
    bearer, caller = Bearer("d", GROUP), Caller(GROUP, "container", Asked(), nobody)
    now = asyncio.get_running_loop().time()
    crowds.join(bearer, caller, NODE, lines[0], now - 1)  # due at once
    crowds.join(bearer, caller, NODE, lines[1], now + 60)
    async with asyncio.timeout(5):
        while not lines[0].written:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    memory.come.set()
    memory.left = 0
    memory.answers = [served()]
    async with asyncio.timeout(5):
        while not lines[1].freed:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert lines[0].freed
    assert not lines[0].aborted
    assert lines[0].written.endswith(b'"Expiration": "never"}\r\n0\r\n\r\n')
    assert lines[1].written.startswith(b"HTTP/1.1 503 ")
    crowds.close()


async def test_who_hears_the_true_status_for_a_while_gets_spaces_then() -> None:
    memory, line = Memory(), Line()
    crowds = Crowds(memory, Ticker(), spawn)
    technique = Technique(dribble=True, opens=0.2)
    held_by(crowds, [line], technique)
    await asyncio.sleep(0)
    assert line.written == b""
    async with asyncio.timeout(5):
        while not line.written:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert line.written.startswith(b"HTTP/1.1 200 OK\r\n")
    crowds.close()


async def test_who_cannot_wait_longer_is_cut_and_the_question_kept() -> None:
    memory, line = Memory(), Line()
    crowds = Crowds(memory, Ticker(), spawn)
    held_by(crowds, [line], Technique(dribble=True, limit=0.05, explain=True))
    async with asyncio.timeout(5):
        while not line.aborted:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert len(memory.callers) == 2  # the fetch, and the word that its question stays
    crowds.close()
