"""Two people, two daemons, one server: the second one's yes lets the first one's call through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest
from aiohttp import web

from borrow.protocol.events import NOTICE, verify_event
from borrow.protocol.keys import PublicKeys
from borrow_fakes.lab import BORROW, Home, finish, home, wait_for
from borrow_fakes.solo_mode import refused_with
from borrow_fakes.team import ANN, BO, Server, join

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from borrow.cli.demo.standin_process import StandInProcess

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
# A program that has its credentials and lives on; at its terminal it is told what becomes of them.
HOLD = (
    "import boto3, time\n"
    "boto3.Session().get_credentials().get_frozen_credentials()\n"
    "print('held', flush=True)\n"
    "time.sleep(60)\n"
)
HOSTILE = "urgent \x1b[2J\x1b]0;owned\x07 \u202etxt.exe fix the queue"


@pytest.fixture
def server(cloud: StandInProcess, receiver: Receiver) -> Iterator[Server]:
    settings = {
        "driver": "assume-role",
        "endpoint_url": cloud.endpoint,
        "region": "us-east-1",
    }
    made = Server.make(cloud=settings, base_key=cloud.base_key, webhooks=(receiver.url,))
    with made as running:
        yield running


@pytest.fixture
def ann(server: Server, cloud: StandInProcess) -> Iterator[Home]:
    with home(AWS_ENDPOINT_URL=cloud.endpoint, AWS_DEFAULT_REGION="us-east-1") as one:
        yield join(server, one, ANN)


@pytest.fixture
def bo(server: Server) -> Iterator[Home]:
    with home() as one:
        yield join(server, one, BO)


class Receiver:
    """Somebody's webhook: keeps what is pushed to it (RFC 8935)."""

    def __init__(self) -> None:
        self.pushed: list[tuple[str, str]] = []  # (media type, body)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._port = 0
        self._thread = threading.Thread(target=self._run)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/hook"

    def __enter__(self) -> Receiver:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _start(self) -> web.AppRunner:
        async def take(request: web.Request) -> web.Response:
            self.pushed.append((request.content_type, await request.text()))
            return web.Response(status=202)

        app = web.Application()
        app.router.add_post("/hook", take)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return runner


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def run(one: Home, role: str, *options: str) -> subprocess.Popen[str]:
    return one.spawn(BORROW, "run", *options, role, "--", *BOTO3)


def test_the_second_persons_yes_lets_the_call_through(ann: Home, bo: Home) -> None:
    child = run(ann, "change", "-m", HOSTILE)
    asked = ann.pending("change")
    own = ann.borrow("approve", asked["request"], "-y", "--json", ok=False)
    error, _ = refused_with(own, 3)
    assert "another person" in error
    assert json.loads(own.stdout)["error"]["state"] == "self_approval"
    assert child.poll() is None

    listed = bo.borrow("inbox").stdout
    assert asked["request"] in listed
    assert "\\u{1b}[2J" in listed
    assert not {"\x1b", "\x07", "\u202e"} & set(listed)
    with pexpect.spawn(
        BORROW, ["approve", asked["request"]], env=bo.env, encoding="utf-8", timeout=30
    ) as person:
        person.expect("approve it")
        shown = str(person.before)
        person.sendline("y")
        person.expect("approved: change")
        person.expect(pexpect.EOF)
    assert "asked by   " + ANN in shown
    facts, _, claims = shown.partition("not verified")
    assert asked["number"] in facts
    assert "fix the queue" in claims
    assert "fix the queue" not in facts
    assert "\x1b[2J" not in shown
    assert "\\u{1b}" in claims
    assert "\\u{202e}" in claims

    code, out, err = finish(child)
    assert code == 0, err
    assert "got 5 bytes" in out


def test_a_no_reaches_the_client_with_reason_and_request(ann: Home, bo: Home) -> None:
    child = run(ann, "change")
    asked = ann.pending("change")["request"]
    time.sleep(1)
    bo.borrow("deny", asked, "-y", "-m", "not during the freeze")
    code, out, err = finish(child)
    assert code != 0
    assert "not during the freeze" in out + err
    assert asked in out + err


def grant(ann: Home, bo: Home, role: str = "change") -> str:
    child = run(ann, role)
    asked = ann.pending(role)
    bo.borrow("approve", asked["request"], "-y")
    assert finish(child)[0] == 0
    return str(ann.status()["grants"][0]["grant"])


def test_a_report_empties_the_cache_of_the_device_that_holds(ann: Home, server: Server) -> None:
    """From another device of hers: the end has to reach the daemon that holds the grant."""
    bearer = ann.bearer("reader")
    words = ["run", "reader", "--", sys.executable, "-c", HOLD]
    with (
        home() as other,
        pexpect.spawn(BORROW, words, env=ann.env, encoding="utf-8", timeout=30) as person,
    ):
        join(server, other, ANN)
        person.expect("held")
        granted = ann.status()["grants"][0]["grant"]
        other.borrow("not-me", granted)
        wait_for(lambda: not ann.status()["grants"], why="the cache to empty")
        person.expect(f"borrow: reader was taken back · {granted}")
        person.close(force=True)
    for again in (ann.spawn(*BOTO3, env=bearer), run(ann, "reader")):
        code, out, err = finish(again)
        assert code != 0
        assert "frozen" in out + err
        assert "got" not in out


def test_what_is_given_back_is_asked_for_anew(ann: Home, bo: Home) -> None:
    granted = grant(ann, bo)
    ann.borrow("return", "change")
    assert ann.status()["grants"] == []
    child = run(ann, "change")
    asked = ann.pending("change")["request"]
    assert child.poll() is None
    bo.borrow("approve", asked, "-y")
    assert finish(child)[0] == 0
    assert ann.status()["grants"][0]["grant"] != granted


def test_an_auto_grant_is_noticed_at_a_signed_webhook(
    ann: Home, server: Server, receiver: Receiver
) -> None:
    assert finish(run(ann, "reader"))[0] == 0
    granted = ann.status()["grants"][0]["grant"]

    now = datetime.now(UTC).timestamp()  # noqa: TID251  a test's own clock

    def pushed() -> dict[str, object] | None:
        for media, body in list(receiver.pushed):
            assert media == "application/secevent+jwt"
            event = verify_event(body, keys, issuer=issuer, audience=receiver.url, now=now)
            if event.kind == NOTICE and event.details.get("grant") == granted:
                return event.details
        return None

    told = json.loads(server.home.borrow("server", "status", "--json").stdout)
    issuer = told["issuer"]
    keys = PublicKeys.from_jwks(jwks(issuer), "sig")
    details = wait_for(pushed, why="the notice to be pushed")
    assert f"borrow not-me {granted}" in json.dumps(details)


def jwks(issuer: str) -> dict[str, object]:
    import urllib.request

    with urllib.request.urlopen(f"{issuer}/jwks", timeout=10) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def test_the_notice_of_a_grant_by_policy_is_shown_by_borrow(ann: Home) -> None:
    """Not in the terminal that asked: it had nothing to wait for, and is the asking channel."""
    with pexpect.spawn(
        BORROW, ["run", "reader", "--", *BOTO3], env=ann.env, encoding="utf-8", timeout=30
    ) as person:
        person.expect("got 5 bytes")
        person.expect(pexpect.EOF)
    granted = ann.status()["grants"][0]["grant"]
    line = f"not you? borrow not-me {granted}"
    wait_for(lambda: line in ann.borrow().stdout, why="the notice")


def test_an_invitation_used_twice_takes_the_first_device_too(server: Server) -> None:
    url = server.invitation(ANN)
    with home() as first, home() as second:
        first.borrow("join", url, "--yes")
        first.borrow("ask", "reader", "--wait")
        error, hint = refused_with(second.borrow("join", url, "--yes", ok=False), 3)
        assert "used before" in error
        assert "borrow server invite" in hint
        assert list(second.state.iterdir()) == []
        wait_for(lambda: not first.status()["grants"], why="the first one's grant to end")
        error, _ = refused_with(first.borrow("ask", "reader", "--wait", ok=False), 3)
        assert "removed" in error


def test_an_old_invitation_lets_nobody_in(server: Server) -> None:
    url = server.invitation(BO)
    database = sqlite3.connect(server.home.root / "server/minter.db", timeout=10)
    with contextlib.closing(database), database:  # a day goes by
        database.execute("UPDATE invitations SET expires_at = 1")
    with home() as late:
        error, hint = refused_with(late.borrow("join", url, "--yes", ok=False), 3)
        assert "expired" in error
        assert "borrow server invite" in hint
        assert list(late.state.iterdir()) == []
        told = json.loads(server.home.borrow("server", "status", "--json").stdout)
        assert told["devices"] == []
        join(server, late, BO)  # a fresh one works on the same machine


def test_a_person_whom_the_policy_names_no_more_gets_nothing(server: Server, bo: Home) -> None:
    policy = server.home.root / "server/policy.toml"
    policy.write_text(policy.read_text().replace(BO, "cy@example.com"))
    refused_with(server.home.borrow("server", "invite", BO, "--json", ok=False), 1)
    refused_with(bo.borrow("ask", "reader", "--wait", ok=False), 3)
    code, out, _ = finish(run(bo, "reader"))
    assert (code, out) == (3, "")
    assert bo.status()["grants"] == []
