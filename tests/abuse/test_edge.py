"""The abuse catalogue (SECURITY.md) against the real door, guard and kernel, over real sockets.

Each test carries the id of its case. That each of these tests *can* fail is shown by
`test_mutations.py`, which takes the guards away one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from borrow.daemon.front import Limits
from borrow.daemon.visitor import KEEPALIVE
from borrow_fakes.edge import (
    OTHER,
    SECRET,
    SYSTEM_PYTHON,
    THIRD,
    Answer,
    Edge,
    escaped,
    need_two_users,
    run_as,
    run_program,
    running_edge,
    until,
)
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator

# Connects, sends argv[2] if any, and prints what came back or why nothing did.
CLIENT = """
import socket, sys
with socket.socket() as s:
    s.settimeout(5)
    try:
        s.connect(("127.0.0.1", int(sys.argv[1])))
        s.sendall(sys.argv[2].encode("latin-1").decode("unicode_escape").encode("latin-1"))
        print(s.recv(65536))
    except OSError as exc:
        print(type(exc).__name__)
"""


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Both ends of 500 connections live in this process; some systems give 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def assert_refused(answer: Answer, status: int, reason: str) -> None:
    assert (answer.status, answer.error) == (status, reason)
    assert answer.headers["cache-control"] == "no-store"
    assert not [name for name in answer.headers if name.startswith("access-control")]


# -- what the request says -----------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example.com", "evil.example.com:{port}"])
async def test_a01_a_rebound_page_gets_no_credentials(host: str) -> None:
    async with running_edge() as edge:
        line = f"Host: {host.format(port=edge.port)}\r\n"
        raw = f"GET /v1/credentials/warm HTTP/1.1\r\n{line}User-Agent: aws-sdk-go/1\r\n\r\n"
        assert_refused(Answer.parse(await edge.ask(raw.encode())), 403, "host")
        assert edge.served == []


async def test_a02_a_rebound_page_gets_no_imds_token() -> None:
    async with running_edge() as edge:
        raw = (
            b"PUT /latest/api/token HTTP/1.1\r\nHost: evil.example.com\r\n"
            b"X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n"
        )
        assert_refused(Answer.parse(await edge.ask(raw)), 403, "host")
        assert edge.served == []


@pytest.mark.parametrize(
    "lines",
    [
        ("Sec-Fetch-Mode: no-cors", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"),
        ("Origin: https://evil.example.com",),
        ("Origin: null",),
        ("Referer: http://127.0.0.1/",),
        ("Cookie: a=b",),
        ("Cookie:",),
        ("Upgrade: websocket", "Connection: Upgrade"),
    ],
    ids=lambda lines: lines[0],
)
async def test_a04_a_request_that_a_browser_made_is_refused(lines: tuple[str, ...]) -> None:
    async with running_edge() as edge:
        assert_refused(await edge.get(*lines), 403, "browser")
        assert edge.served == []


@pytest.mark.parametrize("private_network", [True, False])
async def test_a08_a_preflight_is_refused_without_cors_headers(private_network: bool) -> None:
    async with running_edge() as edge:
        lines = ["Origin: https://evil.example.com", "Access-Control-Request-Method: GET"]
        if private_network:
            lines.append("Access-Control-Request-Private-Network: true")
        for target in ("/v1/credentials/warm", "/no/such/route"):
            head = edge.head(target, *lines, method="OPTIONS")
            assert_refused(Answer.parse(await edge.ask(head)), 403, "browser")


@pytest.mark.parametrize(
    "host",
    [
        "localhost:{port}",
        "0.0.0.0:{port}",
        "127.0.0.2:{port}",
        "[::ffff:7f00:1]:{port}",
        "[::1]:{port}",
        "127.0.0.1:1",
        "127.0.0.1:",
        "127.0.0.1, 127.0.0.1",
        "evil.example.com",
        "127.0.0.1.:{port}",
        "127.0.0.1:{port}.",
        "user@127.0.0.1:{port}",
        "127.1:{port}",
        "2130706433:{port}",
        "127.0.0.1:0{port}",
        "",
    ],
)
async def test_a10_only_the_exact_address_that_was_handed_out_is_a_host(host: str) -> None:
    async with running_edge() as edge:
        host = host.format(port=edge.port)
        raw = f"GET /v1/credentials/warm HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        assert_refused(Answer.parse(await edge.ask(raw)), 403, "host")
        assert edge.served == []


async def test_a10_without_a_port_the_address_is_a_host_only_where_a_bearer_is_asked_for() -> None:
    async with running_edge() as edge:
        for target in ("/latest/api/token", "/v1/credentials", "/v1/status", "/"):
            raw = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
            assert_refused(Answer.parse(await edge.ask(raw)), 403, "host")
        assert edge.served == []


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/v1/credentials/warm", "//evil/v1"])
async def test_a10_a_target_that_names_its_own_host_is_refused(target: str) -> None:
    async with running_edge() as edge:
        answer = Answer.parse(await edge.ask(edge.head(target.format(port=edge.port))))
        assert_refused(answer, 400, "target")
        assert edge.served == []


@pytest.mark.parametrize(
    ("version", "hosts", "status"), [("1.1", 2, 400), ("1.1", 0, 400), ("1.0", 0, 403)]
)
async def test_a11_exactly_one_host_is_needed(version: str, hosts: int, status: int) -> None:
    async with running_edge() as edge:
        host = f"Host: 127.0.0.1:{edge.port}\r\n" * hosts
        raw = f"GET /v1/credentials/warm HTTP/{version}\r\n{host}\r\n".encode()
        assert Answer.parse(await edge.ask(raw)).status == status
        assert edge.served == []


@pytest.mark.parametrize(
    "line",
    [
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-For:",
        "Forwarded: for=x",
        "Via: 1.1 x",
        "X-Real-IP:",
        "x-forwarded-host: 127.0.0.1",
        "Proxy-Connection: keep-alive",
    ],
)
async def test_a13_a_forwarded_request_is_refused(line: str) -> None:
    async with running_edge() as edge:
        assert_refused(await edge.get(line), 403, "proxied")
        assert edge.served == []


MALFORMED = {
    "length-and-chunks": b"{h}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n{x}\r\n0\r\n\r\n",
    "two-lengths": b"{h}Content-Length: 3\r\nContent-Length: 4\r\n{x}\r\nabc",
    "same-length-twice": b"{h}Content-Length: 3\r\nContent-Length: 3\r\n{x}\r\nabc",
    "length-list": b"{h}Content-Length: 3, 3\r\n{x}\r\nabc",
    "folded-line": b"{h}{x} folded\r\n\r\n",
    "bare-line-feed": b"{h}A: b\n{x}\r\n",
    "bare-carriage-return": b"{h}A: b\rC: d\r\n{x}\r\n",
    "nul": b"{h}A: \0\r\n{x}\r\n",
    "space-before-colon": b"{h}Authorization : {s}\r\n\r\n",
    "tls-hello": b"\x16\x03\x01\x02\x00\x01{s}",
    "control-in-target": b"GET /\x01{s} HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
async def test_a14_malformed_bytes_get_a_constant_400_and_are_not_logged(
    kind: str, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running_edge() as edge:
        start = b"PUT /latest/api/token HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % edge.port
        raw = MALFORMED[kind].replace(b"{h}", start).replace(b"{x}", b"X: {s}\r\n")
        raw = raw.replace(b"{s}", SECRET.encode())
        if later:
            raw = await _after_a_good_request(edge, raw)
        else:
            raw = await edge.ask(raw)
        answer = Answer.parse(raw)
        assert (answer.status, answer.body) == (400, b'{"error": "invalid_request"}')
        assert SECRET.encode() not in raw
    assert SECRET not in caplog.text
    assert not [r for r in caplog.records if SECRET in repr(r.__dict__)]


async def _after_a_good_request(edge: Edge, raw: bytes) -> bytes:
    """The answer to `raw` as the second request of a connection, read until it is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(edge.head("/no/such/route"))
        await reader.readuntil(b'"not_found"}')
        writer.write(raw)
        async with asyncio.timeout(5):
            return await reader.read()
    finally:
        writer.close()


async def test_a42_an_error_in_a_handler_tells_and_logs_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    async with running_edge() as edge:
        raw = await edge.ask(edge.head("/broken"))
        odd = await edge.ask(edge.head("/v1/credentials/warm", f"Expect: {SECRET}"))
    assert (Answer.parse(raw).status, Answer.parse(raw).error) == (500, "internal")
    assert (Answer.parse(odd).status, Answer.parse(odd).error) == (417, "expect")
    assert SECRET not in caplog.text
    assert SECRET.encode() not in raw + odd


# -- how much and how slowly ---------------------------------------------------------------------


async def test_a15_half_sent_headers_are_cut_and_do_not_slow_others() -> None:
    limits = Limits(header_seconds=1.0, total=1000, per_process=1000)
    assert Limits().header_seconds <= 5
    async with running_edge(limits=limits) as edge:
        await edge.get()  # the first request imports and compiles
        slow = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(500)]
        for _, writer in slow:
            writer.write(b"GET /v1/cred")
        began = time.perf_counter()
        assert (await edge.get()).status == 200
        took = time.perf_counter() - began
        async with asyncio.timeout(5):
            ends = await asyncio.gather(
                *(reader.read() for reader, _ in slow), return_exceptions=True
            )
        for _, writer in slow:
            writer.close()
        assert all(end == b"" or isinstance(end, ConnectionError) for end in ends)
        assert edge.door.refused["slow"] == 500
        assert took < 5.0  # against starvation; the figure itself is measured in bench


async def test_a15_a_trickle_does_not_buy_more_time() -> None:
    async with running_edge(limits=Limits(header_seconds=0.4)) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                for _ in range(20):
                    writer.write(b"A")
                    await asyncio.sleep(0.05)
                    if reader.at_eof() or reader.exception():
                        break
        writer.close()
        assert edge.door.refused["slow"] == 1


@pytest.mark.parametrize("start", [b"\r\n", b"\r\n\r\n", b"\n" * 100, b"\r\n" * 50 + b"GET /"])
async def test_a15_blank_lines_do_not_buy_more_time(start: bytes) -> None:
    """aiohttp skips them, and would wait for its own, longer deadline."""
    async with running_edge(limits=Limits(header_seconds=0.2)) as edge:
        assert await edge.ask(start, seconds=3) == b""
        assert edge.door.refused == {"slow": 1}


async def test_a15_a_later_half_sent_header_is_cut_too() -> None:
    assert KEEPALIVE <= 15
    async with running_edge(keepalive=0.3) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(edge.head())
        await reader.readuntil(b"}")
        writer.write(b"GET /v1/cred")
        async with asyncio.timeout(3):
            assert await reader.read() == b""
        writer.close()


FLOOD = """
import resource, socket, sys, time
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
socks = []
for _ in range(2000):
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect(("127.0.0.1", int(sys.argv[1])))
    except OSError:
        s.close()
        continue
    s.setblocking(False)
    socks.append(s)
    time.sleep(0.0003)  # a full backlog would only slow the attack down, by seconds
print("tried", flush=True)
sys.stdin.readline()
alive = 0
for s in socks:
    try:
        s.recv(1)
    except BlockingIOError:
        alive += 1
    except OSError:
        pass
print(alive, flush=True)
"""


async def test_a16_a_flood_from_one_process_leaves_room_for_others() -> None:
    need(lacking(SYSTEM_PYTHON), "apt-get install python3")
    async with running_edge(limits=Limits(header_seconds=30)) as edge:
        await edge.get()
        flood = await asyncio.create_subprocess_exec(
            *(SYSTEM_PYTHON, "-I", "-c", FLOOD, str(edge.port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert flood.stdin is not None
        assert flood.stdout is not None
        async with asyncio.timeout(30):
            tried = asyncio.ensure_future(flood.stdout.readline())
            meanwhile = 0
            while not tried.done():
                meanwhile += (await edge.get()).status == 200
            await tried
            assert (await edge.get()).status == 200
            await until(lambda: edge.door.open_connections + edge.door.refused["limit"] >= 2000)
            most = edge.door.open_connections
            flood.stdin.write(b"count\n")
            alive = int(await flood.stdout.readline())
            await flood.wait()
        assert meanwhile > 0
        assert alive <= Limits().per_process
        assert most <= Limits().per_process + 2
        assert edge.door.refused["limit"] >= 2000 - Limits().per_process
        assert ("limit", os.getuid()) in edge.refused


async def test_a16_no_more_than_the_total_come_in_however_many_processes_ask() -> None:
    # Every socket seems to belong to another process, so that only the total can stop them.
    limits = Limits(total=20, per_process=4, header_seconds=30)
    holders = lambda inodes, _uid: {inode: n for n, inode in enumerate(inodes, 1)}  # noqa: E731
    async with running_edge(limits=limits, census=holders) as edge:
        pairs = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(40)]
        await until(lambda: edge.door.refused["limit"] == 20)
        assert edge.door.open_connections == 20
        for _, writer in pairs:
            writer.close()


# -- who connects --------------------------------------------------------------------------------


async def test_a21_another_user_is_closed_before_the_first_read() -> None:
    need_two_users()
    async with running_edge() as edge:
        _, output = await run_as(OTHER, CLIENT, str(edge.port), escaped(edge.head()))
        assert output.strip() in ("ConnectionResetError", "BrokenPipeError", "b''")
        assert edge.refused == [("uid", OTHER)]
        assert edge.served == []


async def test_a21_every_other_user_is_foreign_to_an_ordinary_one() -> None:
    need_two_users()
    async with running_edge(uid=OTHER) as edge:
        _, served = await run_as(OTHER, CLIENT, str(edge.port), escaped(edge.head()))
        _, closed = await run_as(THIRD, CLIENT, str(edge.port), escaped(edge.head()))
        assert "200 OK" in served
        assert "200 OK" not in closed
        assert edge.refused == [("uid", THIRD)]


async def test_a22_a_sender_that_is_already_gone_is_unknown() -> None:
    """Its socket reads as uid 0, inode 0: on a daemon that root runs, that must not mean us."""
    need_two_users()
    async with running_edge() as edge:
        _send_and_vanish(edge, OTHER)
        await until(lambda: edge.door.refused.total() > 0)
        assert edge.refused == [("unknown", None)]
        assert edge.served == []


def _send_and_vanish(edge: Edge, uid: int) -> None:
    """Blocks the event loop on purpose: the client is gone before the door can look."""
    code = "import socket,sys\ns=socket.create_connection(('127.0.0.1',int(sys.argv[1])))\n"
    code += "s.sendall(sys.argv[2].encode().decode('unicode_escape').encode('latin-1'));s.close()"
    command = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", SYSTEM_PYTHON]
    command += ["-I", "-c", code, str(edge.port), escaped(edge.head())]
    subprocess.run(command, check=True, timeout=10, cwd="/")


GIVEN_AWAY = f"""
import os, socket, sys
s = socket.socket()
os.setgroups([]), os.setgid({OTHER}), os.setuid({OTHER})
s.settimeout(5)
try:
    s.connect(("127.0.0.1", int(sys.argv[1])))
    s.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin-1"))
    print(s.recv(65536))
except OSError as exc:
    print(type(exc).__name__)
"""


@pytest.mark.parametrize("allow_root", [False, True])
async def test_a23_a_socket_that_root_made_is_roots(allow_root: bool) -> None:
    need_two_users()
    async with running_edge(uid=OTHER, allow_root=allow_root) as edge:
        command = (SYSTEM_PYTHON, "-I", "-c", GIVEN_AWAY, str(edge.port), escaped(edge.head()))
        _, output = await run_program(*command)
        assert ("200 OK" in output) is allow_root
        assert edge.refused == ([] if allow_root else [("uid", 0)])


async def test_a24_another_user_with_a_stolen_bearer_is_refused_on_its_uid() -> None:
    need_two_users()
    async with running_edge() as edge:
        head = edge.head("/v1/credentials/warm", "Authorization: stolen")
        _, output = await run_as(OTHER, CLIENT, str(edge.port), escaped(head))
        assert "200 OK" not in output
        assert edge.refused == [("uid", OTHER)]
