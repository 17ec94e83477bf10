"""The door's own behaviour; what it keeps out is in tests/abuse."""

import asyncio
import os

import pytest

from borrow.daemon.front import Limits, is_loopback
from borrow.daemon.peer import Address, Peer, Unknown
from borrow_fakes.edge import running_edge, until


class Says:
    """A peer source that answers with what the test says."""

    gives_uid = True

    def __init__(self, answer: Peer | None) -> None:
        self.answer = answer

    def lookup(self, client: Address, server: Address) -> Peer | None:
        return self.answer

    def sender(self, client: Address, server: Address) -> Peer | None:
        return self.answer

    def close(self) -> None: ...


async def test_one_connection_serves_many_requests() -> None:
    async with running_edge() as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        for _ in range(3):
            writer.write(edge.head())
            assert b"200 OK" in await reader.readuntil(b"}")
        writer.close()
        assert edge.door.admitted == 1
        assert len(edge.served) == 3


async def test_a_head_may_come_in_pieces() -> None:
    async with running_edge() as edge:
        head = edge.head()
        assert b"200 OK" in await edge.ask(*(head[n : n + 7] for n in range(0, len(head), 7)))


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running_edge() as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(edge.head() + edge.head("/no/such/route"))
        first = await reader.readuntil(b"}")
        second = await reader.readuntil(b"}")
        writer.close()
        assert (b"200 OK" in first, b"404" in second) == (True, True)


async def test_a_head_beyond_its_limit_is_cut_however_it_arrives() -> None:
    async with running_edge(limits=Limits(max_head=1024)) as edge:
        assert await edge.ask(edge.head("/x", "A: " + "a" * 2000)) == b""
        assert await edge.ask(b"GET / HTTP/1.1\r\n", b"A: " + b"a" * 2000) == b""
        assert edge.door.refused == {"big": 2}


async def test_a_short_head_with_much_behind_it_is_not_too_big() -> None:
    async with running_edge(limits=Limits(max_head=1024)) as edge:
        assert b"200 OK" in await edge.ask(edge.head() * 40)


@pytest.mark.parametrize(
    ("answer", "reason", "uid"),
    [(None, "unknown", None), (Peer(0, 0), "unknown", None), (Peer(4321, 7), "uid", 4321)],
)
async def test_a_peer_that_is_not_ours_is_closed_and_counted(
    answer: Peer | None, reason: str, uid: int | None
) -> None:
    async with running_edge(peers=Says(answer), uid=1234) as edge:
        assert await edge.ask(edge.head()) == b""
        assert edge.refused == [(reason, uid)]
        assert edge.door.refused == {reason: 1}
        assert edge.door.admitted == 0


async def test_without_a_source_of_uids_the_door_still_guards_the_rest() -> None:
    async with running_edge(peers=Unknown(), limits=Limits(header_seconds=0.1)) as edge:
        assert (await edge.get()).status == 200
        assert await edge.ask(b"GET") == b""
        assert edge.door.refused == {"slow": 1}


async def test_a_failing_census_counts_all_together_instead_of_letting_all_in() -> None:
    def broken(*_: object) -> dict[int, int]:
        raise OSError("no /proc")

    limits = Limits(per_process=2, total=10)
    async with running_edge(limits=limits, census=broken) as edge:
        pairs = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(5)]
        await until(lambda: edge.door.refused["limit"] == 3)
        assert edge.door.open_connections == 2
        for _, writer in pairs:
            writer.close()


async def test_closed_connections_make_room() -> None:
    async with running_edge(limits=Limits(per_process=2, total=2)) as edge:
        for _ in range(6):
            assert (await edge.get()).status == 200
        await until(lambda: edge.door.open_connections == 0)


async def test_waiting_for_a_count_loses_no_byte() -> None:
    """The head arrives while the census runs; the answer must come all the same."""
    limits = Limits(per_process=1, total=10)
    everyone = lambda inodes, _uid: {inode: inode for inode in inodes}  # noqa: E731
    async with running_edge(limits=limits, census=everyone) as edge:
        _, idle = await asyncio.open_connection("127.0.0.1", edge.port)
        await until(lambda: edge.door.open_connections == 1)
        assert (await edge.get()).status == 200
        idle.close()


async def test_a_route_can_ask_who_is_calling() -> None:
    async with running_edge() as edge:
        await edge.get()
        [caller] = edge.callers
        assert caller is not None
        assert caller.uid == os.getuid()
        assert caller.inode > 0


async def test_leading_blank_lines_are_no_request_and_no_harm() -> None:
    async with running_edge() as edge:
        assert b"200 OK" in await edge.ask(b"\r\n", edge.head())


def test_the_door_works_under_uvloop() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def walk() -> None:
        async with running_edge(limits=Limits(header_seconds=0.2, per_process=2)) as edge:
            assert (await edge.get()).status == 200
            assert (await edge.get("Via: x")).error == "proxied"
            assert await edge.ask(b"GET /") == b""
            pairs = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(6)]
            await until(lambda: edge.door.refused["limit"] == 4)
            for _, writer in pairs:
                writer.close()
            assert edge.door.refused["slow"] >= 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(walk())


async def test_abort_ends_what_is_held_at_once() -> None:
    async with running_edge() as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        await until(lambda: edge.door.open_connections == 1)
        edge.door.abort_all()
        async with asyncio.timeout(1):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    ("host", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("169.254.169.254", False),
        ("0.0.0.0", False),
        ("", False),
        ("localhost", False),
    ],
)
def test_only_the_loopback_is_loopback(host: str, is_it: bool) -> None:
    assert is_loopback(host) is is_it
