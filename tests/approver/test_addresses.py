"""The approver sends nothing to private addresses, however they are spelled or come about."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from borrow.approver.channels.addresses import is_public, read_url
from borrow.approver.channels.outbound import Outbound
from borrow.approver.serve import port_of, start
from borrow.protocol.errors import BorrowError, Refused
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PRIVATE = [
    "127.0.0.1",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:0a00:0001::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
]
# What the C library, a browser, or nobody takes for an address.
ODD = [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "127.0.0.01",
    "1",
    "localhost",
    "",
    "１.1.1.1",
]
PUBLIC = ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "64:ff9b::909:909", "2002:0909:0909::1"]


@pytest.mark.parametrize("address", PRIVATE + ODD)
def test_private_and_odd_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=6) | st.ip_addresses(v=4))
def test_nothing_the_library_calls_private_is_public(address: object) -> None:
    import ipaddress

    known = ipaddress.ip_address(str(address))
    if not known.is_global and not getattr(known, "ipv4_mapped", None):
        in_nat64 = known in ipaddress.ip_network("64:ff9b::/96")
        assert in_nat64 or not is_public(str(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://push.example.com/x",
        "ftp://push.example.com/x",
        "https://push.example.com:8443/x",
        "https://ann@push.example.com/x",
        "https://ann:pw@push.example.com/x",
        "https://push.example.com/x#fragment",
        "https://push.example.com\\@127.0.0.1/",
        "https://push.example.com /x",
        "https://push.example.com\t/x",
        "https://push.example.com\r\nHost: x/",
        "https://[::1/x",
        "https://:443/x",
        "https://push.example.com:99999/x",
        "https://пуш.example/x",
        "https://" + "a" * 2_100,
        *(f"https://{a}/x" for a in PRIVATE if ":" not in a),
        *(f"https://[{a}]/x" for a in PRIVATE if ":" in a),
        "https://2130706433/x",
        "https://127.1/x",
        "https://0177.0.0.1/x",
    ],
    ids=repr,
)
def test_such_a_url_is_refused_before_anything_is_resolved(url: str) -> None:
    with pytest.raises(Refused) as refused:
        read_url(url, ())
    assert refused.value.state == "not_public"
    assert url not in str(refused.value)


@given(st.text(max_size=60))
def test_whatever_is_no_url_is_refused_and_nothing_else_happens(text: str) -> None:
    try:
        read_url(text, ())
    except BorrowError as exc:
        assert exc.state == "not_public"


def test_named_hosts_are_let_through_by_host_and_by_port() -> None:
    read_url("https://10.0.0.1:8443/x", ("10.0.0.1:8443",))
    read_url("https://ntfy.internal:8443/x", ("ntfy.internal",))
    read_url("http://127.0.0.1:5/x", ("127.0.0.1",))
    with pytest.raises(Refused):
        read_url("https://10.0.0.1:8444/x", ("10.0.0.1:8443",))
    with pytest.raises(Refused):  # plain http is for the loopback
        read_url("http://ntfy.internal/x", ("ntfy.internal",))


class Names(AbstractResolver):
    """Names that mean what a test says: the next of a list each time they are asked."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): list(each) for name, each in names.items()}
        self.asked: list[str] = []

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        answers = self.names[host]
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=each,
                port=port,
                family=socket.AF_INET6 if ":" in each else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for each in address.split()
        ]

    @override
    async def close(self) -> None:
        """Nothing is held."""


class Victim:
    """Something on this machine that nobody outside may reach."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.connections = 0
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        self.calls.append(request.path)
        return web.Response(status=204)

    def send_on(self, to: str) -> web.Response:
        return web.Response(status=307, headers={"Location": to})


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    victim = Victim()
    app = web.Application()
    app.router.add_route("*", "/secret", victim.take)
    runner = await start(app)
    victim.port = port_of(runner)
    yield victim
    await runner.cleanup()


@contextlib.asynccontextmanager
async def opened(outbound: Outbound) -> AsyncIterator[Outbound]:
    await outbound.open()
    try:
        yield outbound
    finally:
        await outbound.close()


async def sent(outbound: Outbound, url: str) -> str:
    """ "" if something answered, else the state of what was raised."""
    try:
        await outbound.post(url, b"x", {})
    except BorrowError as exc:
        return exc.state
    return ""


@pytest.fixture
def at_443() -> Iterator[Callable[[], int]]:
    """How many have connected to this machine's port 443, the one that the public is asked at."""
    listeners: list[socket.socket] = []
    for _ in range(400):  # another worker may have it just now
        with contextlib.suppress(OSError):
            listeners.append(socket.create_server(("127.0.0.1", 443)))
            listeners.append(socket.create_server(("::1", 443), family=socket.AF_INET6))
        if len(listeners) == 2:
            break
        for each in listeners:
            each.close()
        listeners.clear()
        time.sleep(0.05)
    if not listeners:
        need("port 443 cannot be had", "sysctl net.ipv4.ip_unprivileged_port_start=443")

    def count() -> int:
        came = 0
        for each in listeners:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    each.accept()[0].close()
                    came += 1
        return came

    yield count
    for each in listeners:
        each.close()


NAMES = {
    "a_test": "127.0.0.1",
    "b_test": "::1",
    "c_test": "::ffff:127.0.0.1",
    "d_test": "10.0.0.1 127.0.0.1",
    "e_test": "0.0.0.0",
    "f_test": "2130706433",
}


async def test_a_name_that_means_a_private_address_is_not_connected_to(
    at_443: Callable[[], int],
) -> None:
    """Not even one of several: the socket is never made."""
    async with opened(
        Outbound((), resolver=Names(**{name: [means] for name, means in NAMES.items()}))
    ) as outbound:
        for name in NAMES:
            url = f"https://{name.replace('_', '.')}/secret"
            assert await sent(outbound, url) == "unavailable"
            with pytest.raises(Refused):
                await outbound.require_public(url)
    assert at_443() == 0


async def test_a_name_that_changes_its_mind_is_not_followed(at_443: Callable[[], int]) -> None:
    """DNS rebinding: public when it is looked at, private when it is connected to."""
    names = Names(rebind_test=["9.9.9.9", "127.0.0.1"])
    async with opened(Outbound((), resolver=names)) as outbound:
        await outbound.require_public("https://rebind.test/secret")
        assert await sent(outbound, "https://rebind.test/secret") == "unavailable"
        assert names.asked == ["rebind.test"] * 2
    assert at_443() == 0


async def test_a_machine_that_is_allowed_by_name_may_be_private(at_443: Callable[[], int]) -> None:
    """So the tests above would notice a connection."""
    async with opened(
        Outbound(("ntfy.test",), resolver=Names(ntfy_test=["127.0.0.1"]), within=0.3)
    ) as outbound:
        assert await sent(outbound, "https://ntfy.test/topic") == "unavailable"  # it speaks no TLS
    assert at_443() == 1


async def test_a_redirect_is_not_followed(victim: Victim) -> None:
    app = web.Application()
    secret = f"http://127.0.0.1:{victim.port}/secret"

    async def away(_: web.Request) -> web.Response:
        return victim.send_on(secret)

    app.router.add_post("/go", away)
    runner = await start(app)
    allowed = f"127.0.0.1:{port_of(runner)}"
    async with opened(Outbound((allowed,))) as outbound:
        reply = await outbound.post(f"http://{allowed}/go", b"x", {})
    await runner.cleanup()
    assert reply.status == 307
    assert victim.calls == []


async def heard(outbound: Outbound, url: str) -> str:
    """ "" if something was read to its end, else the state of what was raised."""
    try:
        async for _ in outbound.lines(url, {}, quiet=5):
            pass
    except BorrowError as exc:
        return exc.state
    return ""


async def test_a_stream_follows_no_redirect_either(victim: Victim) -> None:
    app = web.Application()

    async def away(_: web.Request) -> web.Response:
        return victim.send_on(f"http://127.0.0.1:{victim.port}/secret")

    app.router.add_get("/go", away)
    runner = await start(app)
    allowed = f"127.0.0.1:{port_of(runner)}"
    async with opened(Outbound((allowed,))) as outbound:
        assert await heard(outbound, f"http://{allowed}/go") == "unavailable"
        assert await heard(outbound, f"http://127.0.0.1:{victim.port}/secret") == "not_public"
    await runner.cleanup()
    assert victim.calls == []


async def test_a_stream_is_not_read_from_a_private_address(at_443: Callable[[], int]) -> None:
    names = Names(rebind_test=["127.0.0.1"])
    async with opened(Outbound((), resolver=names)) as outbound:
        assert await heard(outbound, "https://rebind.test/secret") == "unavailable"
    assert names.asked == ["rebind.test"]
    assert at_443() == 0


@pytest.mark.parametrize("sent", [b"x" * 1_000_000, b"a\n" * 3 + b"b" * 1_000_000 + b"\n"])
async def test_a_line_without_end_ends_the_stream_and_fills_no_memory(sent: bytes) -> None:
    app = web.Application()

    async def flood(_: web.Request) -> web.Response:
        return web.Response(body=sent)

    app.router.add_get("/flood", flood)
    runner = await start(app)
    allowed = f"127.0.0.1:{port_of(runner)}"
    async with opened(Outbound((allowed,))) as outbound:
        assert await heard(outbound, f"http://{allowed}/flood") == "unavailable"
    await runner.cleanup()
    await asyncio.sleep(0.05)  # its half-sent answer is dropped by the loop


async def test_no_proxy_of_the_environment_is_taken(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1/")
    async with opened(Outbound((f"127.0.0.1:{victim.port}",))) as outbound:
        assert await sent(outbound, f"http://127.0.0.1:{victim.port}/secret") == ""


async def test_one_that_never_answers_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with opened(Outbound((f"127.0.0.1:{port}",), within=0.2)) as outbound:
            assert await sent(outbound, f"http://127.0.0.1:{port}/x") == "unavailable"
