"""ntfy and a person's own webhook; whom to call, how loudly, and who cannot be reached."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from borrow.approver.channels import calling
from borrow.approver.channels.calling import Call, calls_for_changes, manner_of
from borrow.approver.channels.handles import Handle
from borrow.approver.channels.ways import Ways, read_ways
from borrow.approver.serve import port_of, start
from borrow.minter.port import Change
from borrow.protocol.errors import Misconfigured
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, Client, FrontDesk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = b"k" * 32
SECRET = "whsec_" + base64.b64encode(KEY).decode()
STATIC = Path(calling.__file__).parents[1] / "pages/static"


@dataclass
class Receiver:
    """A topic, or a webhook: takes everything, or answers with the statuses it was told first."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    calls: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def take(self, request: web.Request) -> web.Response:
        async with self.came:
            self.calls.append((dict(request.headers), await request.read()))
            self.came.notify_all()
        return web.Response(status=self.answers.pop(0) if self.answers else 200)

    async def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: len(self.calls) >= count)
        return self.calls


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def topic() -> AsyncIterator[Receiver]:
    async for each in _receiver("/topic"):
        yield each


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async for each in _receiver("/hook"):
        yield each


async def _receiver(path: str) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post(path, receiver.take)
    runner = await start(app)
    receiver.url = f"http://127.0.0.1:{port_of(runner)}{path}"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def desk(
    tmp_path: Path, clock: Clock, topic: Receiver, hook: Receiver
) -> AsyncIterator[FrontDesk]:
    ways = Ways(topic.url, "tk_abc", hook.url, KEY)
    front = FrontDesk(
        tmp_path, clock, channels={BEA: ways, ANN: ways}, push_allow_hosts=("127.0.0.1",)
    )
    await front.open()
    yield front
    await front.close()


async def test_ntfy_gets_fixed_words_and_a_link_and_is_replaced_when_it_is_answered(
    desk: FrontDesk, ann: Client, bea: Client, topic: Receiver
) -> None:
    await topic.wait_for(2)  # that their devices joined
    topic.calls.clear()
    asked = (await ann.ask("prod-admin", reason="SECRET-REASON")).ok()
    ((headers, body),) = await topic.wait_for(1)
    handle = headers["X-Sequence-ID"]
    assert (headers["Title"], body.decode()) == calling.WORDS["ask"]
    assert headers["Click"] == f"{desk.origin}/push/open/{handle}"
    assert headers["Authorization"] == "Bearer tk_abc"
    assert headers["Priority"] == "high"
    for secret in (ANN, "prod-admin", "SECRET", asked["borrow_request"], asked["borrow_number"]):
        assert secret not in f"{headers} {body!r}"
    (await bea.say(asked["borrow_request"], "deny")).ok()
    headers, body = (await topic.wait_for(2))[1]
    assert headers["X-Sequence-ID"] == handle
    assert headers["Priority"] == "min"


async def test_a_webhook_is_signed_over_id_time_and_body(
    desk: FrontDesk, ann: Client, hook: Receiver, clock: Clock
) -> None:
    await hook.wait_for(1)
    hook.calls.clear()
    hook.answers = [500]
    (await ann.ask("prod-admin")).ok()
    await hook.wait_for(1)
    await asyncio.sleep(0.1)
    clock.advance(5)
    (first, body), (second, again) = await hook.wait_for(2)
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    assert int(second["webhook-timestamp"]) == int(first["webhook-timestamp"]) + 5
    for headers in (first, second):
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        wanted = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{wanted}"
    said = json.loads(body)
    assert said["type"] == "borrow.ask"
    assert said["data"] == {
        "id": said["data"]["id"],
        "link": f"{desk.origin}/push/open/{said['data']['id']}",
    }


async def test_a_way_that_was_taken_out_of_the_settings_gets_nothing_more(
    desk: FrontDesk, ann: Client, hook: Receiver, topic: Receiver, clock: Clock
) -> None:
    await hook.wait_for(1)
    hook.answers = [500]
    (await ann.ask("prod-admin")).ok()
    await hook.wait_for(2)
    await desk.close()
    desk.channels = {}
    clock.advance(60)
    await desk.open()
    await asyncio.sleep(0.3)
    assert len(hook.calls) == 2


async def test_the_status_names_those_who_must_answer_and_cannot_be_told(
    tmp_path: Path, clock: Clock, topic: Receiver
) -> None:
    front = FrontDesk(tmp_path, clock, push_allow_hosts=("127.0.0.1",))
    await front.open()
    assert (await front.admin("GET", "/admin/status")).ok()["unreachable"] == [BEA, ANN]
    bea = await front.join(BEA)
    await bea.events()  # as a tray does it
    assert (await front.admin("GET", "/admin/status")).ok()["unreachable"] == [ANN]
    clock.advance(86_400)
    assert (await front.admin("GET", "/admin/status")).ok()["unreachable"] == [BEA, ANN]
    await front.close()
    front.channels = {ANN: Ways(ntfy=topic.url)}
    await front.open()
    assert (await front.admin("GET", "/admin/status")).ok()["unreachable"] == [BEA]
    await front.close()


# -- rules -----------------------------------------------------------------------------------------


def past(kind: str, ago: float, *, outcome: str = "", source: str = "ann r") -> Handle:
    return Handle("h", BEA, f"request:{ago}", kind, source, 10_000 - ago, 0.0, None, outcome)


ASK = Call(BEA, "request:r", "ask", "ann r", 11_000.0)


@pytest.mark.parametrize(
    ("call", "before", "manner"),
    [
        (ASK, [], "loud"),
        (ASK, [past("ask", 60)] * 5, "loud"),
        (ASK, [past("ask", 60)] * 6, "more"),
        (ASK, [past("grant", 60)] * 6, "more"),
        (ASK, [past("ask", 601)] * 6, "loud"),
        (ASK, [past("more", 60)] * 9, "loud"),
        (ASK, [past("ask", 60, outcome="unanswered")], "loud"),
        (ASK, [past("ask", 60, outcome="unanswered")] * 2, "quiet"),
        (ASK, [past("ask", 60, outcome="unanswered", source="cat r")] * 2, "loud"),
        (ASK, [past("ask", 60, outcome="answered"), *[past("ask", 61, outcome="unanswered")] * 2],
         "loud"),
        (replace(ASK, kind="grant"), [], "quiet"),
        (replace(ASK, kind="alarm"), [past("ask", 60)] * 9, "loud"),
    ],
)  # fmt: skip
def test_how_loudly_somebody_is_called(call: Call, before: list[Handle], manner: str) -> None:
    assert manner_of(call, before, 10_000.0) == manner


def test_more_is_said_once_a_minute() -> None:
    standing = replace(past("more", 59), subject=calling.INBOX)
    asks = [past("ask", 60)] * 6
    assert manner_of(ASK, [standing, *asks], 10_000.0) == "none"
    assert manner_of(ASK, [replace(standing, called_at=9_940.0), *asks], 10_000.0) == "more"


@pytest.mark.parametrize(
    ("kind", "details", "called"),
    [
        ("grant_opened", {"mode": "auto"}, "grant"),
        ("grant_opened", {"mode": "self"}, "grant"),
        ("grant_opened", {"mode": "peer"}, ""),
        ("grant_resumed", {"mode": "auto"}, ""),
        ("grant_revoked", {"by": BEA}, "alarm"),
        ("grant_revoked", {"by": ANN}, ""),
        ("device_added", {"by": ANN}, "alarm"),
        ("device_unfrozen", {"by": BEA}, "alarm"),
        ("device_unfrozen", {"by": ANN}, ""),
        ("passkey_added", {"by": ANN}, "alarm"),
        ("grant_expired", {}, ""),
        ("request_denied", {}, ""),
    ],
)
def test_which_changes_call_their_person(kind: str, details: dict[str, Any], called: str) -> None:
    change = Change(kind, ANN, "d-1", "grant:g-1", "role", details)
    assert [call.kind for call in calls_for_changes([change], 5.0)] == ([called] if called else [])


def test_the_service_worker_and_the_approver_say_the_same_words() -> None:
    script = (STATIC / "sw.js").read_text()
    for kind, (title, body) in calling.WORDS.items():
        assert f'  {kind}: ["{title}", "{body}"],' in script


# -- settings --------------------------------------------------------------------------------------

GOOD = {
    "ntfy": "https://ntfy.example.com/topic",
    "ntfy_token": "tk_1",
    "webhook": "https://hooks.example.com/x",
    "webhook_secret": SECRET,
}


def test_ways_are_read_and_keep_their_secrets() -> None:
    ways = read_ways({"Bea@Example.com": GOOD}, "[channels]", ())
    assert ways == {BEA: Ways(GOOD["ntfy"], "tk_1", GOOD["webhook"], KEY)}
    for secret in ("tk_1", "topic", "hooks", "kkk"):
        assert secret not in repr(ways)


@pytest.mark.parametrize(
    "entry",
    [
        "https://ntfy.example.com/topic",
        {"ntfy": "http://ntfy.example.com/topic"},
        {"ntfy": "https://10.0.0.1/topic"},
        {"ntfy": "https://[::1]/topic"},
        {"ntfy": 5},
        {"ntfy": ""},
        {"mail": "bea@example.com"},
        {"ntfy_token": "tk_1"},
        {"ntfy": GOOD["ntfy"], "ntfy_token": "a\r\nb"},
        {"webhook": GOOD["webhook"]},
        {"webhook_secret": SECRET},
        {"webhook": GOOD["webhook"], "webhook_secret": "hunter2"},
        {"webhook": GOOD["webhook"], "webhook_secret": "whsec_c2hvcnQ="},
        {"webhook": GOOD["webhook"], "webhook_secret": SECRET + "\u00e9"},
    ],
    ids=repr,
)
def test_ways_that_cannot_work_are_refused_by_name_and_without_their_value(entry: Any) -> None:
    with pytest.raises(Misconfigured) as refused:
        read_ways({BEA: entry}, "server.toml [channels]", ())
    assert "bea@example.com" in refused.value.message
    for secret in ("hunter2", "c2hvcnQ", "/topic"):
        assert secret not in refused.value.message + refused.value.hint
