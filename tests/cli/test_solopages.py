"""Solo mode's pages: on this machine, at a port that stays, and nothing else behind it."""

from __future__ import annotations

import contextlib
import json
import socket
import stat
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import expect

from borrow.approver.serve import serving
from borrow.cli import solopages
from borrow.daemon.peer import Unknown, system_peers
from borrow_fakes.at_terminal import ended, enrolled, next_code, terminal
from borrow_fakes.edge import need_two_users, run_as
from borrow_fakes.lab import BORROW, Home, finish, home
from borrow_fakes.phone import INSTALL, chromium, missing, phone
from borrow_fakes.solo_mode import ME, POLICY, set_up
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from borrow.daemon.peer import PeerSource

OTHER, THIRD = 65_534, 65_533
WITH_PASSKEY = POLICY.replace(
    'id = "clicks"',
    'id = "fingers"\nwho = ["ME"]\nroles = ["finger"]\napprove = { mode = "self",'
    ' factor = ["passkey"], match = true }\n[[rule]]\nid = "clicks"',
    1,
).replace(
    "[roles.click]", '[roles.finger]\naws = "arn:aws:iam::111122223333:role/F"\n[roles.click]'
)


@pytest.fixture
def solo() -> Iterator[Home]:
    with home() as one:
        yield set_up(one, WITH_PASSKEY.replace('"ME"', f'"{ME}"'))


def pages(one: Home) -> str:
    return str(json.loads(one.borrow("inbox", "--browser", "--json").stdout)["url"])


async def test_the_port_stays_and_is_not_the_one_of_credentials(solo: Home) -> None:
    url = pages(solo)
    port = int(url.rpartition(":")[2])
    assert url == f"http://localhost:{port}"
    assert port != solo.status()["port"]
    file = solo.state / "pages.port"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for host in ("127.0.0.1", "[::1]"):
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"http://{host}:{port}/signin", headers={"Host": f"localhost:{port}"}
            ) as got,
        ):
            assert got.status == 200
    async with aiohttp.ClientSession() as session:
        for path in ("/jwks", "/token", "/v1/credentials/click", "/decisions", "/admin/status"):
            async with session.get(url + path) as got:
                assert got.status == 404, path
    solo.borrow("daemon", "stop")
    assert pages(solo) == url


@contextlib.asynccontextmanager
async def served(peers: PeerSource, uid: int) -> AsyncIterator[int]:
    """A page behind `ours_only` on both addresses of `localhost`; its port."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="the page")

    app = web.Application()
    app.router.add_get("/", page)
    found = solopages._both(0)
    async with serving(app, sockets=found, admit=solopages.ours_only(peers, uid)):
        yield found[0].getsockname()[1]


LOOK = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    s.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    print(s.recv(65536))
except OSError as exc:
    print(type(exc).__name__)
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_another_user_of_the_machine_reads_no_page_whatever_cookie_they_got(
    host: str,
) -> None:
    """Ports of one host share cookies, so another user's program at another port may have ours."""
    need_two_users()
    peers = system_peers()
    async with served(peers, OTHER) as port:
        for uid, reads in ((OTHER, True), (0, True), (THIRD, False)):
            _, output = await run_as(uid, LOOK, host, str(port))
            assert ("200 OK" in output) is reads, (uid, output)
    peers.close()


async def test_where_no_system_tells_whose_a_connection_is_the_pages_are_served() -> None:
    async with (
        served(Unknown(), 1) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as got,
    ):
        assert got.status == 200


async def test_a_port_that_somebody_took_is_changed_for_both_addresses(solo: Home) -> None:
    port = int(pages(solo).rpartition(":")[2])
    solo.borrow("daemon", "stop")
    with contextlib.closing(socket.socket(socket.AF_INET6)) as squatter:
        squatter.bind(("::1", port))
        squatter.listen()
        assert not pages(solo).endswith(f":{port}")


async def test_a_finger_in_this_machines_browser_answers_ones_own_request(solo: Home) -> None:
    need(missing(), INSTALL)
    secret = enrolled(solo)
    with terminal(solo, "passkey", "add") as child:
        child.expect("app: ")
        child.sendline(next_code(secret))
        code, shown = ended(child)
    assert code == 0, shown
    link = next(word for word in shown.split() if "/join#" in word)
    assert link.startswith(pages(solo) + "/join#")
    async with chromium() as browser, phone(browser) as one:
        await one.join(link)
        waits = solo.spawn(BORROW, "ask", "finger")
        asked = solo.pending("finger")
        await one.page.goto(f"{pages(solo)}/r/{asked['request']}")
        await one.page.get_by_label("The number that the asking").fill(asked["number"])
        await one.approve()
        await expect(one.page.get_by_role("status")).to_contain_text("Approved by you")
        assert finish(waits)[0] == 0


def test_setup_says_what_a_phone_needs() -> None:
    with home() as one:
        told = one.borrow("setup", "--yes", "--no-totp").stderr
        assert "A phone needs a server at a name that it can reach" in told
