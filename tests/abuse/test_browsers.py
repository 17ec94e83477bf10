"""A real browser on the same machine, a live grant in the daemon, and pages that want it.

After DNS rebinding a page *is* same-origin with the daemon's port: the browser then sends whatever
the page likes, except the name in `Host`. The resolver rules put it there at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from borrow_fakes import firefox
from borrow_fakes.chromium import INSTALL, Chromium, missing
from borrow_fakes.firefox import Firefox
from borrow_fakes.lab import Home, home
from borrow_fakes.solo_mode import set_up
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

ROLE = "dev-read"
SECRETS = ("SecretAccessKey", "AccessKeyId", "ASIA")


class Page(BaseHTTPRequestHandler):
    """The attacker's own site: one empty page."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>nice</title><body></body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture(scope="module")
def site() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Victim:
    """A workstation with a live grant of a role, and the bearer that a page could have stolen."""

    def __init__(self, one: Home) -> None:
        self.one = one
        self.secret = one.bearer(ROLE)["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        self.port = int(one.status()["port"])
        assert "SecretAccessKey" in self.fetch()

    def fetch(self) -> str:
        """As an SDK does it: the prize is real."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(line):
            line.request("GET", f"/v1/credentials/{ROLE}", headers={"Authorization": self.secret})
            return line.getresponse().read().decode()

    def refused(self) -> dict[str, int]:
        return dict(self.one.status()["refused"])

    def more(self, before: dict[str, int], reason: str) -> int:
        return self.refused().get(reason, 0) - before.get(reason, 0)

    def unharmed(self, seen: Any) -> None:
        assert not any(secret in str(seen) for secret in SECRETS)
        assert self.one.asks() == []


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    need(missing(), INSTALL)
    with home() as one:
        yield Victim(set_up(one))


async def test_a01_a03_a_rebound_page_gets_no_credentials(victim: Victim) -> None:
    port = victim.port
    before = victim.refused()
    async with Chromium({"evil.test": "127.0.0.1"}) as browser:
        shown = await browser.go(f"http://evil.test:{port}/v1/credentials/{ROLE}")
        stolen = await browser.run(
            f"fetch('/v1/credentials/{ROLE}', {{headers: {{Authorization: '{victim.secret}'}}}})"
            ".then(r => r.text())"
        )
        forged = await browser.run(
            f"fetch('/v1/credentials/{ROLE}', {{headers: {{'User-Agent': 'aws-sdk-go/1', "
            f"Authorization: '{victim.secret}'}}}}).then(r => r.status)"
        )
    victim.unharmed((shown, stolen))
    assert forged == 403
    assert victim.more(before, "host") >= 3


async def test_a02_a_rebound_page_gets_no_imds_token(victim: Victim) -> None:
    port = victim.port
    before = victim.refused()
    async with Chromium({"evil.test": "127.0.0.1"}) as browser:
        await browser.go(f"http://evil.test:{port}/")
        status = await browser.run(
            "fetch('/latest/api/token', {method: 'PUT', "
            "headers: {'X-aws-ec2-metadata-token-ttl-seconds': '60'}}).then(r => r.status)"
        )
    assert status == 403
    assert victim.more(before, "host") >= 1
    assert victim.one.asks() == []


CROSS_SITE = {
    "a04 fetch no-cors": "fetch(D + '/v1/credentials/dev-read', {mode: 'no-cors'})"
    ".then(r => r.type)",
    "a04 fetch cors": "fetch(D + '/v1/credentials/dev-read').then(r => r.text())",
    "a04 img": "new Promise(a => {let i = new Image(); i.onload = () => a('load');"
    " i.onerror = () => a('error'); i.src = D + '/v1/credentials/dev-read'})",
    "a04 script": "new Promise(a => {let s = document.createElement('script');"
    " s.onload = () => a('load'); s.onerror = () => a('error');"
    " s.src = D + '/v1/credentials/dev-read'; document.body.append(s)})",
    "a04 eventsource": "new Promise(a => {let e = new EventSource(D + '/v1/credentials/dev-read');"
    " e.onopen = () => a('open'); e.onerror = () => {e.close(); a('error')}})",
    "a04 websocket": "new Promise(a => {let w = new WebSocket(D.replace('http', 'ws') + '/x');"
    " w.onopen = () => a('open'); w.onerror = () => a('error')})",
    "a07 form": "new Promise(a => {let f = document.createElement('iframe'); f.name = 'z';"
    " document.body.append(f); let o = document.createElement('form'); o.method = 'POST';"
    " o.enctype = 'text/plain'; o.target = 'z'; o.action = D + '/v1/credentials/dev-read';"
    " document.body.append(o); o.submit(); setTimeout(() => a('sent'), 700)})",
    "a07 beacon": "new Promise(a => {navigator.sendBeacon(D + '/v1/credentials/dev-read', 'x');"
    " setTimeout(() => a('sent'), 700)})",
    "a08 preflight": "fetch(D + '/latest/api/token', {method: 'PUT',"
    " headers: {'X-aws-ec2-metadata-token-ttl-seconds': '60'}}).then(r => r.text())",
}


@pytest.mark.parametrize("script", CROSS_SITE.values(), ids=list(CROSS_SITE))
async def test_a_foreign_page_gets_nothing(victim: Victim, site: int, script: str) -> None:
    port = victim.port
    async with Chromium({"nice.test": "127.0.0.1"}) as browser:
        await browser.go(f"http://nice.test:{site}/")
        seen = await browser.run(
            f"(async () => {{const D = 'http://127.0.0.1:{port}';"
            f" try {{return await {script}}} catch (e) {{return 'failed: ' + e}}}})()"
        )
    victim.unharmed(seen)
    assert seen in ("opaque", "error", "sent") or str(seen).startswith("failed"), seen


async def test_a06_a_link_to_the_credentials_shows_a_refusal(victim: Victim, site: int) -> None:
    port = victim.port
    before = victim.refused()
    async with Chromium({"nice.test": "127.0.0.1"}) as browser:
        await browser.go(f"http://nice.test:{site}/")
        await browser.run(f"location.href = 'http://127.0.0.1:{port}/v1/credentials/{ROLE}'")
        await asyncio.sleep(1)
        shown = await browser.run("document.documentElement.innerText")
    victim.unharmed(shown)
    assert victim.more(before, "browser") >= 1


@pytest.mark.parametrize("name", ["localhost", "0.0.0.0", "127.0.0.2", "[::ffff:7f00:1]"])
async def test_a10_no_other_name_of_this_machine_will_do(victim: Victim, name: str) -> None:
    port = victim.port
    async with Chromium({"evil.test": "127.0.0.1"}) as browser:
        shown = await browser.go(f"http://{name}:{port}/v1/credentials/{ROLE}")
        status = await browser.run(
            f"fetch('/v1/credentials/{ROLE}', {{headers: {{Authorization: '{victim.secret}'}}}})"
            ".then(r => r.status).catch(e => 'failed')"
        )
    victim.unharmed(shown)
    assert status in (403, "failed")


# -- the same of Firefox ---------------------------------------------------------------------------


@pytest.fixture
def fox() -> None:
    need(firefox.missing(), firefox.INSTALL)


async def test_a01_a02_a10_firefox_on_a_rebound_page_gets_nothing(
    victim: Victim, fox: None
) -> None:
    port, before = victim.port, victim.refused()
    stolen = f"{{headers: {{Authorization: '{victim.secret}', 'User-Agent': 'aws-sdk-go/1'}}}}"
    put = "{method: 'PUT', headers: {'X-aws-ec2-metadata-token-ttl-seconds': '60'}}"
    async with Firefox("evil.test") as browser:
        seen = [await browser.go(f"http://evil.test:{port}/v1/credentials/{ROLE}")]
        fetch = f"fetch('/v1/credentials/{ROLE}', {stolen}).then(r => r.text())"
        seen.append(await browser.run(fetch))
        status = await browser.run(f"fetch('/latest/api/token', {put}).then(r => r.status)")
        seen.append(await browser.go(f"http://localhost:{port}/v1/credentials/{ROLE}"))
    victim.unharmed(seen)
    assert status == 403
    assert victim.more(before, "host") >= 3


async def test_a04_a06_a07_a08_firefox_on_a_foreign_page_gets_nothing(
    victim: Victim, site: int, fox: None
) -> None:
    before = victim.refused()
    async with Firefox("nice.test") as browser:
        for name, script in CROSS_SITE.items():
            await browser.go(f"http://nice.test:{site}/")
            seen = await browser.run(
                f"(async () => {{const D = 'http://127.0.0.1:{victim.port}';"
                f" try {{return await {script}}} catch (e) {{return 'failed: ' + e}}}})()"
            )
            victim.unharmed(seen)
            said = seen in ("opaque", "error", "sent") or str(seen).startswith("failed")
            assert said, (name, seen)
        link = f"location.href = 'http://127.0.0.1:{victim.port}/v1/credentials/{ROLE}'"
        await browser.run(link)
        await asyncio.sleep(1)
        victim.unharmed(await browser.run("document.documentElement.innerText"))
    assert victim.more(before, "browser") >= 5
