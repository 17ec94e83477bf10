"""Pushes that leave by a proxy only: the operator's, named for it, and nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from borrow.approver.channels.outbound import Outbound
from borrow.approver.channels.ways import read_reach
from borrow.protocol.errors import Misconfigured, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AWAY = "https://push.example.com/a-browser"


@dataclass
class Proxy:
    """Takes CONNECT, and keeps the first bytes that come through."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    through: list[bytes] = field(default_factory=list)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.decode("ascii").partition("\r\n")[0])
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self.through.append(await reader.read(1))
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    one = Proxy()
    server = await asyncio.start_server(one.take, "127.0.0.1", 0)
    one.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield one
    server.close()
    await server.wait_closed()


@contextlib.asynccontextmanager
async def outbound(proxy: str = "", *allowed: str) -> AsyncIterator[Outbound]:
    one = Outbound(allowed, proxy=proxy, within=5)
    await one.open()
    yield one
    await one.close()


async def test_a_push_leaves_by_the_proxy_and_stays_sealed_in_tls(proxy: Proxy) -> None:
    async with outbound(proxy.url) as out:
        with pytest.raises(Unavailable):  # nothing behind it speaks TLS
            await out.post(AWAY, b"x", {})
    assert proxy.asked == ["CONNECT push.example.com:443 HTTP/1.1"]
    assert proxy.through == [b"\x16"]  # a TLS handshake


async def test_a_browser_subscribes_where_no_name_of_the_outside_is_found(proxy: Proxy) -> None:
    async with outbound(proxy.url) as out:
        await out.require_public("https://no-such-name.invalid/x")
    async with outbound() as out:
        with pytest.raises(Refused):
            await out.require_public("https://no-such-name.invalid/x")


async def test_what_is_private_as_written_is_refused_with_a_proxy_too(proxy: Proxy) -> None:
    async with outbound(proxy.url) as out:
        for url in ("https://127.0.0.1/", "https://[::1]/", "https://2130706433/", "http://a.b/"):
            with pytest.raises(Refused):
                await out.post(url, b"", {})
    assert proxy.asked == []


async def test_a_private_host_that_was_allowed_is_not_sent_by_the_proxy(proxy: Proxy) -> None:
    near = proxy.url.removeprefix("http://")
    async with outbound(proxy.url, near) as out:
        assert (await out.post(f"{proxy.url}/topic", b"", {})).status == 200
    assert proxy.asked == ["POST /topic HTTP/1.1"]


async def test_a_shells_proxy_gets_nothing(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would find the names, and with them what is private, without anybody's word for it."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    async with outbound() as out:
        with pytest.raises(Unavailable):
            await out.post("https://no-such-name.invalid/x", b"", {})
    assert proxy.asked == []


@pytest.mark.parametrize(
    "text", ["proxy.example.com", "socks5://a:1", "http://a b", "http://a/path", "http://", 3128]
)
def test_what_is_no_proxy_is_refused_at_the_start(text: object) -> None:
    with pytest.raises(Misconfigured, match="push_proxy"):
        read_reach({"push_proxy": text}, "server.toml")


def test_a_proxys_password_is_not_shown() -> None:
    reach = read_reach({"push_proxy": "http://ann:hunter2@proxy.example.com:3128"}, "server.toml")
    assert reach.proxy.startswith("http://ann")
    assert "hunter2" not in repr(reach)
