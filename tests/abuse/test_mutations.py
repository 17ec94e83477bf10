"""The proof that the edge's tests can fail: with one guard away, its attack gets the credential.

A known tool's Host check never ran in production while its unit test passed. So each row takes
one guard away, by handing the real door or the real middleware a smaller set of rules (there is no
switch for it in the product), plays the attack, and wants it to *succeed*; with the guard in place
the very same attack must fail. An attack that something else stops would make its row fail here.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from borrow.daemon import guard
from borrow.daemon.front import Door, Limits
from borrow.daemon.peer import Peer, SockDiag
from borrow_fakes.edge import (
    OTHER,
    SECRET,
    SYSTEM_PYTHON,
    Edge,
    escaped,
    need_two_users,
    run_as,
    run_program,
    running_edge,
    until,
)

if TYPE_CHECKING:
    from typing_extensions import override

    from borrow.daemon.guard import Rule
    from borrow.daemon.peer import Address
else:

    def override(method):  # `typing` has its own from Python 3.12
        return method


SEND = """
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
s.sendall(sys.argv[2].encode().decode("unicode_escape").encode("latin-1"))
try:
    if sys.argv[3] == "read":
        print(s.recv(65536))
except OSError as exc:
    print(type(exc).__name__)
s.close()
"""


# -- the guards, taken away ----------------------------------------------------------------------


def without(*rules: Rule) -> tuple[Rule, ...]:
    assert set(rules) <= set(guard.RULES)
    return tuple(rule for rule in guard.RULES if rule not in rules)


class AnyUser(Door):
    """A door that does not care whose socket it is."""

    @override
    def is_stranger(self, uid: int) -> bool:
        return False


class HalfDeadIsRoot(SockDiag):
    """What taking the kernel's uid 0, inode 0 at its word would mean."""

    @override
    def lookup(self, client: Address, server: Address) -> Peer | None:
        return super().lookup(client, server) or Peer(0, 1)


# -- the attacks: each says whether it got what it came for ----------------------------------------


async def other_user(edge: Edge) -> bool:
    need_two_users()
    _, output = await run_as(OTHER, SEND, str(edge.port), escaped(edge.head()), "read")
    return SECRET in output


async def gone_sender(edge: Edge) -> bool:
    need_two_users()
    command = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", SYSTEM_PYTHON]
    command += ["-I", "-c", SEND, str(edge.port), escaped(edge.head()), "leave"]
    _run_while_the_door_waits(command)
    await until(lambda: bool(edge.served or edge.refused))
    return bool(edge.served)


def _run_while_the_door_waits(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=10, cwd="/")


def request(*lines: str, host: str = "127.0.0.1:{port}", target: str = "") -> Attack:
    """An attack by one request, given by what is odd about it."""

    async def send(edge: Edge) -> bool:
        path = target or "/v1/credentials/warm"
        all_lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "", ""]
        raw = await edge.ask("\r\n".join(all_lines).replace("{port}", str(edge.port)).encode())
        return SECRET.encode() in raw

    return send


async def dawdler(edge: Edge) -> bool:
    """A head that takes longer than the deadline; success is to be heard in the end."""
    head = edge.head()
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        writer.write(head[:10])
        await asyncio.sleep(0.6)
        writer.write(head[10:])
        async with asyncio.timeout(5):
            return b"200 OK" in await reader.read(100)
    except ConnectionError:
        return False
    finally:
        writer.close()


async def hoarder(edge: Edge) -> bool:
    """One process takes every connection there is, so that nobody else is served."""
    pairs = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(30)]
    command = (SYSTEM_PYTHON, "-I", "-c", SEND, str(edge.port), escaped(edge.head()), "read")
    try:
        _, output = await run_program(*command)
        return SECRET not in output
    finally:
        for _, writer in pairs:
            writer.close()


async def giant(edge: Edge) -> bool:
    """A head without end: success is to fill our memory."""
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    try:
        for _ in range(40):
            writer.write(b"A" * 1024)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(0.5):
            await reader.read(1)
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        writer.close()
    return False


Attack = Callable[[Edge], Awaitable[bool]]


@dataclass(frozen=True)
class Row:
    """`away` is what the edge is built with when the guard is missing, `held` when it is not."""

    attack: Attack
    away: dict[str, Any]
    held: dict[str, Any] = field(default_factory=dict)


TABLE: dict[str, Row] = {
    "uid": Row(other_user, {"door": AnyUser}),
    "inode": Row(gone_sender, {"peers": HalfDeadIsRoot}, {"peers": SockDiag}),
    "header deadline": Row(
        dawdler, {"limits": Limits(header_seconds=60)}, {"limits": Limits(header_seconds=0.3)}
    ),
    "head size": Row(giant, {"limits": Limits(max_head=1 << 30)}),
    "connections per process": Row(
        hoarder,
        {"limits": Limits(per_process=20, total=20)},
        {"limits": Limits(per_process=10, total=20)},
    ),
    "host": Row(request(host="evil.example.com:{port}"), {"rules": without(guard.one_exact_host)}),
    "target": Row(
        request(target="http://evil.example.com/v1/credentials/warm"),
        {"rules": without(guard.origin_form)},
    ),
    "browser: fetch": Row(
        request("Sec-Fetch-Site: cross-site"), {"rules": without(guard.no_browser)}
    ),
    "browser: origin": Row(
        request("Origin: https://evil.example.com"), {"rules": without(guard.no_browser)}
    ),
    "browser: cookie": Row(request("Cookie:"), {"rules": without(guard.no_browser)}),
    "proxied": Row(request("X-Forwarded-For:"), {"rules": without(guard.no_proxy)}),
    "proxied: via": Row(request("Via: 1.1 proxy"), {"rules": without(guard.no_proxy)}),
}


@pytest.mark.parametrize("name", TABLE)
async def test_with_its_guard_the_attack_fails(name: str) -> None:
    row = TABLE[name]
    async with running_edge(**_made(row.held)) as edge:
        assert not await row.attack(edge)
        assert edge.served == [] or name == "connections per process"


@pytest.mark.parametrize("name", TABLE)
async def test_without_its_guard_the_attack_succeeds(name: str) -> None:
    row = TABLE[name]
    async with running_edge(**_made(row.away)) as edge:
        assert await row.attack(edge)


@pytest.mark.parametrize("rule", guard.RULES, ids=lambda rule: rule.__name__)
def test_no_rule_covers_for_another(rule: Rule) -> None:
    """Each rule alone refuses its own attack, and an ordinary request passes without it."""
    authority = guard.authority_of(1234)
    good = guard.Head("GET", "/x", (1, 1), ((b"host", authority),))
    heads: dict[Rule, guard.Head] = {
        guard.origin_form: guard.Head("GET", "http://evil/x", (1, 1), good.headers),
        guard.one_exact_host: guard.Head("GET", "/x", (1, 1), ((b"host", b"evil"),)),
        guard.http_1_1: guard.Head("GET", "/x", (1, 0), good.headers),
        guard.no_browser: guard.Head("GET", "/x", (1, 1), (*good.headers, (b"origin", b""))),
        guard.no_proxy: guard.Head("GET", "/x", (1, 1), (*good.headers, (b"via", b""))),
        guard.known_method: guard.Head("POST", "/x", (1, 1), good.headers),
    }
    odd = heads[rule]
    assert guard.inspect(good, authority) is None
    assert guard.inspect(odd, authority) is not None
    assert guard.inspect(odd, authority, without(rule)) is None


def _made(options: dict[str, Any]) -> dict[str, Any]:
    """A class of peer source is made here, within the test that closes it."""
    made = dict(options)
    if "peers" in made:
        made["peers"] = made["peers"]()
    return made
