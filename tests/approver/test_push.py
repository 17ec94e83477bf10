"""A person is called by Web Push: real sockets, and a push service that is strict and opens all."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select

from borrow.approver.channels import deliver
from borrow.approver.channels.outbound import SEND_SECONDS
from borrow.approver.desk import DESK
from borrow.approver.schema import outbox, push_subscriptions
from borrow.protocol.lifecycle import RequestState
from borrow_fakes.clock import Clock
from borrow_fakes.front_desk import ANN, BEA, CAT, Client, FrontDesk
from borrow_fakes.push_service import FakeBrowser, PushService
from borrow_fakes.visits import Caller, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    Visit = Callable[[str], Caller]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def service(clock: Clock) -> AsyncIterator[PushService]:
    async with PushService(clock) as service:
        yield service


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock, service: PushService) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock, push_allow_hosts=(f"127.0.0.1:{service.port}",))
    await front.open()
    yield front
    await front.close()


@pytest.fixture
async def visit(desk: FrontDesk) -> AsyncIterator[Visit]:
    async with contextlib.AsyncExitStack() as stack:
        known = {
            person: Caller(person, await stack.enter_async_context(visitor(desk)))
            for person in (ANN, BEA, CAT)
        }
        yield known.__getitem__


async def subscribed(who: Caller, service: PushService) -> FakeBrowser:
    _, told, _ = await who.get("/push/key")
    browser = service.subscribe(told["key"])
    assert await who.post("/push/subscribe", browser.to_json()) == (201, {"subscribed": True})
    return browser


async def rows(desk: FrontDesk) -> list[tuple[str, int, float | None]]:
    """(person, failures, last_ok) of what is subscribed."""
    async with desk.app[DESK].store.reading() as db:
        query = select(
            push_subscriptions.c.person,
            push_subscriptions.c.failures,
            push_subscriptions.c.last_ok,
        )
        return [(each[0], each[1], each[2]) for each in await db.execute(query)]


async def letters(desk: FrontDesk) -> int:
    async with desk.app[DESK].store.reading() as db:
        return len((await db.execute(select(outbox.c.jti).where(outbox.c.kind == "call"))).all())


async def settled(desk: FrontDesk) -> None:
    async with asyncio.timeout(10):
        while await letters(desk):  # noqa: ASYNC110  rows have no event to wait for
            await asyncio.sleep(0.01)


async def test_a_peer_is_called_and_the_call_names_nobody(
    desk: FrontDesk, ann: Client, bea: Client, visit: Visit, service: PushService
) -> None:
    browser = await subscribed(visit(BEA), service)
    asked = (await ann.ask("prod-admin", reason="SECRET-REASON")).ok()
    (pushed,) = await service.wait_for(1)
    assert set(pushed.said) == {"id", "kind"}
    assert pushed.said["kind"] == "ask"
    plain = browser.open(pushed.body)
    assert len(plain) <= 64
    for secret in (ANN, "prod-admin", asked["borrow_request"], "SECRET"):
        assert secret.encode() not in plain
        assert secret not in json.dumps(pushed.headers)
    assert pushed.headers["Urgency"] == "high"
    assert pushed.headers["Topic"] == pushed.said["id"]
    assert 0 < int(pushed.headers["TTL"]) <= 15 * 60
    assert pushed.claims["sub"] == "mailto:ops@example.com"
    assert service.refused == []


async def test_a_tap_leads_its_person_to_the_request_and_nobody_else(
    desk: FrontDesk, ann: Client, bea: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(BEA), service)
    asked = (await ann.ask("prod-admin")).ok()
    handle = (await service.wait_for(1))[0].said["id"]
    assert (await visit(BEA).get(f"/push/open/{handle}"))[::2] == (
        303,
        f"/r/{asked['borrow_request']}",
    )
    assert (await visit(CAT).get(f"/push/open/{handle}"))[0] == 404
    assert (await visit(CAT).post(f"/push/deny/{handle}"))[0] == 404
    assert (await visit(BEA).get("/push/open/AAAAAAAAAAAAAAAAAAAAAA"))[0] == 404
    view = await desk.app[DESK].minter.request(asked["borrow_request"])
    assert view.state is RequestState.PENDING


async def test_deny_on_the_notification_ends_the_request_and_withdraws_it(
    desk: FrontDesk, ann: Client, bea: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(BEA), service)
    asked = (await ann.ask("prod-admin")).ok()
    handle = (await service.wait_for(1))[0].said["id"]
    assert await visit(BEA).post(f"/push/deny/{handle}") == (200, {"decision": "deny"})
    assert (await ann.poll(asked["auth_req_id"])).state == "denied"
    _, withdrawn = await service.wait_for(2)
    assert withdrawn.said == {"id": handle, "kind": "withdraw", "q": 1}
    assert withdrawn.headers["Topic"] == handle
    assert (await visit(BEA).post(f"/push/deny/{handle}"))[0] == 409


async def test_a_yes_elsewhere_withdraws_it(
    desk: FrontDesk, ann: Client, bea: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(BEA), service)
    asked = (await ann.ask("prod-admin")).ok()
    await service.wait_for(1)
    (await bea.approve(asked["borrow_request"], number=asked["borrow_number"])).ok()
    assert (await service.wait_for(2))[1].said["kind"] == "withdraw"


async def test_what_was_answered_before_it_could_be_sent_is_not_sent(
    desk: FrontDesk,
    ann: Client,
    bea: Client,
    cat: Client,
    visit: Visit,
    service: PushService,
) -> None:
    browser = await subscribed(visit(BEA), service)
    service.slow[browser.channel] = asyncio.Event()
    (await ann.ask("prod-admin")).ok()  # is under way, and held by its service
    second = (await cat.ask("prod-admin")).ok()
    (await bea.say(second["borrow_request"], "deny")).ok()
    await asyncio.sleep(0.3)
    service.slow[browser.channel].set()
    await settled(desk)
    assert [each.said["kind"] for each in service.pushed] == ["ask"]


async def test_in_mode_self_the_person_is_called(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(ANN), service)
    (await ann.ask("dev-click")).ok()
    assert (await service.wait_for(1))[0].said["kind"] == "own"


async def test_an_auto_grant_is_a_quiet_notice_with_that_was_not_me(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(ANN), service)
    granted = await ann.borrow("dev-read")
    (pushed,) = await service.wait_for(1)
    handle = pushed.said["id"]
    assert pushed.said == {"id": handle, "kind": "grant", "q": 1}
    assert (await visit(ANN).get(f"/push/open/{handle}"))[2] == f"/mine#{granted['grant_id']}"
    assert (await visit(ANN).post(f"/push/deny/{handle}"))[0] == 404
    assert (await visit(ANN).post(f"/push/report/{handle}"))[0] == 200
    states = {device.state for device in await desk.app[DESK].minter.devices()}
    assert states == {"frozen"}
    grant = await desk.app[DESK].minter.grant(granted["grant_id"])
    assert grant.state.value == "revoked"


async def test_a_browser_that_is_gone_is_forgotten(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    gone, other = [await subscribed(visit(BEA), service) for _ in range(2)]
    service.drop(gone)
    (await ann.ask("prod-admin")).ok()
    await service.wait_for_tries(2)
    await settled(desk)
    assert [each.channel for each in service.pushed] == [other.channel]
    assert [(person, failures) for person, failures, _ in await rows(desk)] == [(BEA, 0)]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_service_that_is_busy_is_asked_again_after_a_pause(
    desk: FrontDesk,
    ann: Client,
    visit: Visit,
    service: PushService,
    clock: Clock,
    status: int,
) -> None:
    await subscribed(visit(BEA), service)
    service.answers.extend([(status, {"Retry-After": "30"}), (status, {})])
    (await ann.ask("prod-admin")).ok()
    await service.wait_for_tries(1)
    await asyncio.sleep(0.3)
    clock.advance(29)
    await asyncio.sleep(0.3)
    assert service.tries == 1
    clock.advance(1)
    await service.wait_for_tries(2)
    await asyncio.sleep(0.1)
    clock.advance(deliver.PAUSES[1])
    assert (await service.wait_for(1))[0].said["kind"] == "ask"
    await settled(desk)
    assert await rows(desk) == [(BEA, 0, clock())]


async def test_nobody_is_called_for_what_is_over_by_then(
    desk: FrontDesk,
    ann: Client,
    visit: Visit,
    service: PushService,
    clock: Clock,
) -> None:
    await subscribed(visit(BEA), service)
    service.answers.append((503, {}))
    (await ann.ask("prod-admin")).ok()
    await service.wait_for_tries(1)
    clock.advance(3_600)
    # It may have been shown, answer lost: so it is withdrawn, and not asked again.
    assert [each.said["kind"] for each in await service.wait_for(1)] == ["withdraw"]
    await settled(desk)


@pytest.mark.parametrize("status", [400, 403, 413, 302])
async def test_what_a_service_refuses_for_good_is_not_tried_again(
    desk: FrontDesk,
    ann: Client,
    visit: Visit,
    service: PushService,
    clock: Clock,
    status: int,
) -> None:
    await subscribed(visit(BEA), service)
    service.answers.append((status, {"Location": f"{service.origin}/wpush/elsewhere"}))
    (await ann.ask("prod-admin")).ok()
    await settled(desk)
    assert service.tries == 1
    assert await rows(desk) == [(BEA, 1, None)]


async def test_a_restart_loses_no_call(
    desk: FrontDesk,
    ann: Client,
    visit: Visit,
    service: PushService,
    clock: Clock,
) -> None:
    await subscribed(visit(BEA), service)
    service.answers.append((503, {}))
    (await ann.ask("prod-admin")).ok()
    await service.wait_for_tries(1)
    await asyncio.sleep(0.1)
    await desk.close()
    clock.advance(5)
    await desk.open()
    assert (await service.wait_for(1))[0].said["kind"] == "ask"


async def test_a_decision_that_a_crash_cut_off_is_still_withdrawn(
    desk: FrontDesk,
    ann: Client,
    bea: Client,
    visit: Visit,
    service: PushService,
) -> None:
    """The minter decided, and the approver died before it heard of it."""
    await subscribed(visit(BEA), service)
    asked = (await ann.ask("prod-admin")).ok()
    await service.wait_for(1)
    await desk.app[DESK].minter.accept_decision(
        asked["borrow_request"], BEA, bea.client_id, "deny", statement=None, evidence=None
    )
    await desk.close()
    await desk.open()
    assert (await service.wait_for(2))[1].said["kind"] == "withdraw"


async def test_a_slow_service_holds_up_nobody_else(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    tarpit = await subscribed(visit(BEA), service)
    service.slow[tarpit.channel] = asyncio.Event()
    (await ann.ask("prod-admin")).ok()
    quick = await subscribed(visit(ANN), service)
    (await ann.ask("dev-click")).ok()
    # Before the slow one could have been given up (`SEND_SECONDS`).
    (pushed,) = await service.wait_for(1, seconds=SEND_SECONDS - 2)
    assert pushed.channel == quick.channel


async def test_one_row_for_each_endpoint_and_the_last_who_signed_in_has_it(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    browser = await subscribed(visit(BEA), service)
    assert (await visit(ANN).post("/push/subscribe", browser.to_json()))[0] == 201
    assert [each[0] for each in await rows(desk)] == [ANN]
    body = {"endpoint": browser.endpoint}
    assert await visit(BEA).post("/push/unsubscribe", body) == (200, {"subscribed": False})
    assert [each[0] for each in await rows(desk)] == [ANN]  # not hers any more
    await visit(ANN).post("/push/unsubscribe", body)
    assert await rows(desk) == []


async def test_of_one_person_the_last_ten_browsers_are_kept(
    desk: FrontDesk, visit: Visit, service: PushService, clock: Clock
) -> None:
    for _ in range(12):
        await subscribed(visit(BEA), service)
        clock.advance(1)
    assert len(await rows(desk)) == 10


async def test_a_test_says_whether_it_was_taken(
    desk: FrontDesk, visit: Visit, service: PushService
) -> None:
    browser = await subscribed(visit(BEA), service)
    body = {"endpoint": browser.endpoint}
    assert await visit(BEA).post("/push/test", body) == (200, {"sent": True})
    assert service.pushed[0].said["kind"] == "test"
    assert (await visit(ANN).post("/push/test", body))[0] == 404
    service.drop(browser)
    assert await visit(BEA).post("/push/test", body) == (200, {"sent": False})
    assert await rows(desk) == []


@pytest.mark.parametrize(
    "change",
    [
        {"keys": {"p256dh": "AA", "auth": "AA"}},
        {"keys": {}},
        {"keys": "x"},
        {"endpoint": 5},
        {"more": 1},
    ],
)
async def test_a_malformed_subscription_is_refused(
    desk: FrontDesk,
    visit: Visit,
    service: PushService,
    change: dict[str, object],
) -> None:
    body = service.subscribe().to_json() | change
    assert (await visit(BEA).post("/push/subscribe", body))[0] == 400
    assert await rows(desk) == []


async def test_past_six_calls_one_quiet_one_stands_for_the_rest(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(ANN), service)
    for _ in range(9):
        granted = await ann.borrow("dev-read")
        (await ann.form("/revoke", token=granted["access_token"])).ok()
    await service.wait_for(7)
    await settled(desk)
    kinds = [each.said["kind"] for each in service.pushed]
    assert kinds == ["grant"] * 6 + ["more"]


async def test_after_two_unanswered_ones_the_next_makes_no_noise(
    desk: FrontDesk,
    ann: Client,
    visit: Visit,
    service: PushService,
    clock: Clock,
) -> None:
    await subscribed(visit(BEA), service)
    for number in range(3):
        (await ann.ask("prod-admin", reason=f"try number {number}")).ok()
        await service.wait_for(2 * number + 1)
        if number < 2:
            clock.advance(16 * 60)  # past the deadline, unanswered
            await service.wait_for(2 * number + 2)
    asks = [each for each in service.pushed if each.said["kind"] == "ask"]
    assert [each.said.get("q", 0) for each in asks] == [0, 0, 1]
    assert asks[2].headers["Urgency"] == "low"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest",
        "https://localhost/x",
        "https://2130706433/x",
        "https://10.1.2.3/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://push.example.com:22/x",
    ],
)
async def test_a_subscription_at_a_private_address_is_refused(
    desk: FrontDesk, visit: Visit, service: PushService, endpoint: str
) -> None:
    body = service.subscribe().to_json() | {"endpoint": endpoint}
    status, said = await visit(BEA).post("/push/subscribe", body)
    assert (status, said["borrow_state"]) == (403, "not_public")
    assert endpoint not in str(said)
    assert await rows(desk) == []


async def test_with_a_passkey_go_the_browsers_it_signed_in(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    await subscribed(visit(BEA), service)
    bea = await visit(BEA).joined()
    (key,) = await desk.app[DESK].minter.passkeys(BEA)
    async with visitor(desk) as another:  # a person keeps one passkey at least
        await another.join(BEA)
        assert (await service.wait_for(1))[0].said["kind"] == "alarm"  # the old one hears of it
        page = await bea.form("/keys/remove", credential=key.credential_id)
    assert page.to == "/keys", page.text
    (await ann.ask("prod-admin")).ok()
    await settled(desk)
    assert service.tries == 1
    assert await rows(desk) == []


POSTS = ("/push/subscribe", "/push/unsubscribe", "/push/test", f"/push/deny/{'A' * 22}",
         f"/push/report/{'A' * 22}")  # fmt: skip


@pytest.mark.parametrize("path", POSTS)
async def test_what_another_site_or_a_stranger_sends_changes_nothing(
    desk: FrontDesk, visit: Visit, service: PushService, path: str
) -> None:
    bea = await visit(BEA).joined()
    for headers in (
        {"Origin": "https://evil.example.com"},
        {"Origin": desk.origin, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {},
    ):
        page = await bea.post(path, service.subscribe().to_json(), headers=headers)
        assert page.status == 403, headers
    bea.token = ""
    page = await bea.post(path, service.subscribe().to_json())
    assert page.state == "signed_out"
    assert (await bea.get("/push/key")).state == "signed_out"
    assert await rows(desk) == []


async def test_what_a_link_preview_fetches_decides_nothing(
    desk: FrontDesk, ann: Client, visit: Visit, service: PushService
) -> None:
    """A51: a chat that unfurls the link of a message, or a browser that fetches ahead."""
    await subscribed(visit(BEA), service)
    asked = (await ann.ask("prod-admin")).ok()
    handle = (await service.wait_for(1))[0].said["id"]
    bea = await visit(BEA).joined()
    for path in (f"/push/open/{handle}", f"/push/deny/{handle}", f"/push/report/{handle}"):
        await bea.get(path, **{"Sec-Purpose": "prefetch"})
    view = await desk.app[DESK].minter.request(asked["borrow_request"])
    assert view.state is RequestState.PENDING
