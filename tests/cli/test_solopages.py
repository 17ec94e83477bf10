"""Solo mode's pages: on this machine, at a port that stays, and nothing else behind it."""

from __future__ import annotations

import contextlib
import json
import socket
import stat
from typing import TYPE_CHECKING

import aiohttp
import pytest
from playwright.async_api import expect

from borrow_fakes.at_terminal import ended, enrolled, next_code, terminal
from borrow_fakes.lab import BORROW, Home, finish, home
from borrow_fakes.phone import INSTALL, chromium, missing, phone
from borrow_fakes.solo_mode import ME, POLICY, set_up
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        await expect(one.page.get_by_text("Approved by you")).to_be_visible()
        assert finish(waits)[0] == 0


def test_setup_says_what_a_phone_needs() -> None:
    with home() as one:
        told = one.borrow("setup", "--yes", "--no-totp").stderr
        assert "A phone needs a server at a name that it can reach" in told
