"""Events reach their device: soon, until acknowledged, and nobody else's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from borrow.protocol.events import NOTICE, SESSION_REVOKED

if TYPE_CHECKING:
    from borrow_fakes.clock import Clock
    from borrow_fakes.front_desk import Client, FrontDesk


async def emptied(*clients: Client) -> None:
    """Acknowledge all there is."""
    for client in clients:
        await client.events(*(await client.events()))


async def test_a_revocation_reaches_a_waiting_device_within_a_second(
    desk: FrontDesk, ann: Client
) -> None:
    granted = await ann.borrow("dev-read")
    await emptied(ann)
    waiting = await desk.held_events(ann)
    loop = asyncio.get_running_loop()
    since = loop.time()
    order = {"grant": granted["grant_id"], "by": "cat@example.com", "reason": "enough"}
    assert (await desk.admin("POST", "/admin/revoke", order)).status == 200
    events = list((await waiting).values())
    assert loop.time() - since < 1
    revoked = [e for e in events if e.kind == SESSION_REVOKED]
    assert [e.subject for e in revoked] == [f"grant:{granted['grant_id']}"]
    assert (await ann.exchange(granted["access_token"], "dev-read")).error == "invalid_grant"


async def test_an_event_comes_until_it_is_acknowledged(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    await emptied(ann)
    order = {"grant": granted["grant_id"], "by": "cat@example.com"}
    await desk.admin("POST", "/admin/revoke", order)
    first, second = await ann.events(), await ann.events()
    assert first.keys() == second.keys() != set()
    await desk.close()
    await desk.open()
    desk.reconnect(ann)
    ann.tokens.clear()
    assert (await ann.events()).keys() == first.keys()
    assert await ann.events(*first) == {}


async def test_nobody_acknowledges_for_another(ann: Client, bea: Client) -> None:
    await ann.borrow("dev-read")
    mine = await ann.events()
    await bea.events(*mine)
    assert (await ann.events()).keys() == mine.keys()


async def test_an_unusable_event_is_not_sent_again(ann: Client) -> None:
    await ann.borrow("dev-read")
    errors = {jti: {"err": "invalid_key"} for jti in await ann.events()}
    body = {"setErrs": errors, "returnImmediately": True}
    assert (await ann.post("/events", body, scope="events")).ok()["sets"] == {}


async def test_a_poll_takes_no_more_than_it_wants(ann: Client, desk: FrontDesk) -> None:
    for role in ("dev-read", "dev-click"):
        asked = (await ann.ask(role)).ok()
        if role == "dev-click":
            await ann.cancel(asked["auth_req_id"])
        else:
            await ann.poll(asked["auth_req_id"])
    body = {"maxEvents": 1, "returnImmediately": True}
    answer = (await ann.post("/events", body, scope="events")).ok()
    assert (len(answer["sets"]), answer["moreAvailable"]) == (1, True)
    answer = (await ann.post("/events", {"maxEvents": 0}, scope="events")).ok()
    assert answer["sets"] == {}


async def test_revocations_go_before_notices(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    order = {"grant": granted["grant_id"], "by": "cat@example.com"}
    await desk.admin("POST", "/admin/revoke", order)
    body = {"maxEvents": 1, "returnImmediately": True}
    (jti,) = (await ann.post("/events", body, scope="events")).ok()["sets"]
    assert (await ann.events())[jti].kind == SESSION_REVOKED


async def test_a_newer_poll_ends_the_older(desk: FrontDesk, ann: Client) -> None:
    await emptied(ann)
    older = await desk.held_events(ann)
    newer = asyncio.ensure_future(ann.events(wait=True))
    assert await older == {}
    await ann.borrow("dev-read")
    assert len(await newer) == 1


async def test_a_quiet_poll_is_answered_empty(desk: FrontDesk, ann: Client) -> None:
    await emptied(ann)
    waiting = await desk.held_events(ann)
    desk.waiting.close()
    assert await waiting == {}


async def test_a_frozen_device_hears_of_that_and_no_notices(desk: FrontDesk, ann: Client) -> None:
    await emptied(ann)
    granted = await ann.borrow("dev-read")
    (notice,) = (await ann.events()).values()  # it stays, unacknowledged
    assert notice.kind == NOTICE
    order = {"client_id": ann.client_id, "by": "cat@example.com"}
    await desk.admin("POST", "/admin/freeze", order)
    every = await ann.events(wait=True)
    assert {e.kind for e in every.values()} == {SESSION_REVOKED}
    assert {e.subject for e in every.values()} == {
        f"device:{ann.client_id}",
        f"grant:{granted['grant_id']}",
    }


# -- notices ---------------------------------------------------------------------------------------


async def test_the_owner_hears_on_every_device_what_is_done_in_their_name(
    desk: FrontDesk, ann: Client
) -> None:
    phone = await desk.join("ann@example.com")
    await emptied(ann, phone)
    granted = await ann.borrow("dev-read")
    for device in (ann, phone):
        (event,) = (await device.events()).values()
        assert event.kind == NOTICE
        assert event.details["kind"] == "grant_opened"
        assert event.details["grant"] == granted["grant_id"]
        assert event.details["hint"] == f"borrow not-me {granted['grant_id']}"
        assert "dev-read" in event.details["text"]


async def test_those_who_are_asked_hear_it_and_never_the_number(ann: Client, bea: Client) -> None:
    await emptied(ann, bea)
    asked = (await ann.ask("prod-admin")).ok()
    (event,) = (await bea.events()).values()
    assert event.details["kind"] == "request_asked"
    assert event.details["request"] == asked["borrow_request"]
    text = {k: v for k, v in event.details.items() if k in ("text", "role", "person", "hint")}
    assert asked["borrow_number"] not in str(text)
    assert await ann.events() == {}


async def test_those_who_are_asked_hear_it_though_the_approver_died_over_it(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    """The minter has the request, nobody was told; its device asks again and joins it."""
    await emptied(ann, bea)
    lost = desk.minter.accept_request(ann.signed("prod-admin"), ann.client_id)
    joined = (await ann.ask("prod-admin")).ok()
    assert (joined["borrow_request"], joined["borrow_joined"]) == (lost.view.request_id, True)
    await ann.ask("prod-admin")  # a third time tells nobody anything
    (event,) = (await bea.events()).values()
    assert event.details["request"] == lost.view.request_id


async def test_nobody_is_asked_for_what_is_answered(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    lost = desk.minter.accept_request(ann.signed("prod-admin"), ann.client_id)
    name = lost.view.request_id
    assert (await bea.approve(name, number=lost.view.number)).status == 200
    await emptied(ann, bea)
    assert (await ann.ask("prod-admin")).ok()["borrow_request"] == name
    assert await bea.events() == {}


async def test_administrators_hear_of_a_report(desk: FrontDesk, ann: Client, cat: Client) -> None:
    phone = await desk.join("ann@example.com")
    granted = await ann.borrow("dev-read")
    await emptied(cat)
    await phone.say(granted["grant_id"], "report")
    kinds = {e.details["kind"] for e in (await cat.events()).values()}
    assert {"grant_revoked", "device_frozen"} <= kinds


async def test_time_alone_tells_its_owner(desk: FrontDesk, ann: Client, clock: Clock) -> None:
    await ann.borrow("dev-read")
    await emptied(ann)
    waiting = await desk.held_events(ann)
    clock.advance(1800)
    (event,) = (await waiting).values()
    assert event.details["kind"] == "grant_expired"
