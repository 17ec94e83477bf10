"""Tier critical over real HTTP: a passkey on the phone and the person's own workstation, both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.protocol.strict import from_b64url
from borrow_fakes.front_desk import BEA, Client, FrontDesk
from borrow_fakes.team_policy import PAGES_POLICY
from borrow_fakes.visits import Visitor, visitor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from borrow_fakes.clock import Clock

CRITICAL = PAGES_POLICY.replace('tier = "sensitive"', 'tier = "critical"').replace(
    'from = ["bea@example.com", "ann@example.com"]', 'from = ["group:team"]'
)
assert CRITICAL.count("critical") == 1
NUMBER = "417"


@pytest.fixture
async def desk(tmp_path: Path, clock: Clock) -> AsyncIterator[FrontDesk]:
    front = FrontDesk(tmp_path, clock, policy=CRITICAL, long_poll=0.2)
    await front.open()
    yield front
    await front.close()


@pytest.fixture
async def tray(desk: FrontDesk) -> Client:
    """Bea's workstation."""
    return await desk.join(BEA)


async def asked(ann: Client) -> dict[str, str]:
    answer: dict[str, str] = (await ann.ask("prod-admin", number=NUMBER)).ok()
    return answer


async def test_the_phone_first_then_the_workstation(
    ann: Client, bea: Visitor, tray: Client
) -> None:
    answer = await asked(ann)
    request = answer["borrow_request"]
    before = (await bea.get(f"/r/{request}")).text
    assert "a passkey and a workstation, both of the same person" in before
    assert "This is one half of your yes" in before

    assert (await bea.approve(request)).json == {"state": "pending"}
    page = (await bea.get(f"/r/{request}")).text
    assert "Half of your yes is here. Now say it at your own workstation too" in page
    assert f"borrow approve {request}" in page
    assert 'id="approve"' not in page
    assert 'value="deny"' in page
    assert "your workstation&#39;s is missing" in (await bea.get("/")).text
    assert (await ann.poll(answer["auth_req_id"])).error == "authorization_pending"
    status = (await ann.get(f"/requests/{request}")).ok()
    assert status["halves"] == [{"person": BEA, "given": ["passkey"], "missing": ["device"]}]
    assert status["decided_by"] == []
    (one,) = (await tray.get("/decisions", "decide")).ok()["decisions"]
    assert (one["every"], one["given"], one["halves"]) == (True, ["passkey"], [])

    told = (await tray.approve(request, number=NUMBER)).ok()
    assert told["state"] == "approved"
    assert "missing" not in told
    grant = (await ann.poll(answer["auth_req_id"])).ok()
    assert grant["grant_id"]
    assert "Approved by you, and collected." in (await bea.get(f"/r/{request}")).text


async def test_the_workstation_first_then_the_phone(
    ann: Client, bea: Visitor, tray: Client
) -> None:
    answer = await asked(ann)
    request = answer["borrow_request"]
    told = (await tray.approve(request, number=NUMBER)).ok()
    assert (told["state"], told["missing"]) == ("pending", ["passkey"])
    again = await tray.approve(request, number=NUMBER)
    assert (again.status, again.state) == (403, "half_given")
    page = (await bea.get(f"/r/{request}")).text
    assert "Your workstation's half of this yes is here. Your passkey's is missing." in page
    assert "your passkey&#39;s is missing" in (await bea.get("/")).text
    assert (await bea.approve(request)).json == {"state": "approved"}
    assert (await ann.poll(answer["auth_req_id"])).ok()["grant_id"]


async def test_halves_of_two_people_let_nobody_collect_and_everybody_is_told(
    ann: Client, bea: Visitor, cat: Visitor, desk: FrontDesk
) -> None:
    cats = await desk.join("cat@example.com")
    answer = await asked(ann)
    request = answer["borrow_request"]
    await bea.approve(request)
    assert (await cats.approve(request, number=NUMBER)).ok()["state"] == "pending"
    assert (await ann.poll(answer["auth_req_id"])).error == "authorization_pending"
    page = (await bea.get(f"/r/{request}")).text
    assert (
        "cat@example.com said yes at their workstation; their passkey&#39;s yes is missing" in page
    )
    assert {each["person"] for each in (await ann.get(f"/requests/{request}")).ok()["halves"]} == {
        BEA,
        "cat@example.com",
    }


async def test_an_open_page_hears_of_a_half(ann: Client, bea: Visitor, tray: Client) -> None:
    request = (await asked(ann))["borrow_request"]
    first = (await bea.get(f"/r/{request}/state")).json
    await tray.approve(request, number=NUMBER)
    second = (await bea.get(f"/r/{request}/state")).json
    assert (first["answers"], second["answers"]) == (0, 1)
    assert f'data-answers="{second["answers"]}"' in (await bea.get(f"/r/{request}")).text


async def test_a_half_is_told_on_the_devices_of_whoever_said_it(
    ann: Client, bea: Visitor, tray: Client
) -> None:
    """So that a thief of the phone is seen at the workstation."""
    request = (await asked(ann))["borrow_request"]
    await tray.events()
    await bea.approve(request)
    told = [event.details for event in (await tray.events()).values()]
    [half] = [each for each in told if each["kind"] == "request_half"]
    assert half["text"] == (
        "half a yes to prod-admin: bea@example.com said yes with a passkey; "
        "their workstation's yes is missing"
    )
    assert f"borrow approve {request}" in half["hint"]
    assert f"borrow deny {request}" in half["hint"]


@pytest.mark.parametrize("by", ["phone", "workstation"])
async def test_a_no_after_a_half_ends_it(ann: Client, bea: Visitor, tray: Client, by: str) -> None:
    answer = await asked(ann)
    request = answer["borrow_request"]
    await bea.approve(request)
    if by == "phone":
        await bea.deny(request, "a second thought")
    else:
        (await tray.say(request, "deny", reason="a second thought")).ok()
    assert (await ann.poll(answer["auth_req_id"])).error == "access_denied"
    late = await tray.approve_late(request)
    assert (late.status, late.state) == (409, "wrong_state")


async def test_the_shorter_half_decides(ann: Client, bea: Visitor, tray: Client) -> None:
    answer = await asked(ann)
    request = answer["borrow_request"]
    told = (await bea.statement(request, seconds=900)).json
    body = {
        "statement": told["statement"],
        "assertion": bea.key.get(from_b64url(told["challenge"])),
    }
    await bea.post(f"/r/{request}/approve", body)
    await tray.approve(request, number=NUMBER)
    assert (await ann.poll(answer["auth_req_id"])).ok()["expires_in"] == 900


async def test_the_asker_gives_no_half_of_their_own(ann: Client, own: Visitor) -> None:
    request = (await asked(ann))["borrow_request"]
    assert (await own.statement(request)).state == "self_approval"
    assert "May answer" in (await own.get(f"/r/{request}")).text


async def test_a_removed_passkey_takes_its_half_with_it(
    ann: Client, bea: Visitor, tray: Client, desk: FrontDesk
) -> None:
    answer = await asked(ann)
    request = answer["borrow_request"]
    await bea.approve(request)
    (key,) = desk.minter.people.passkeys(BEA)
    gone = {"id": key.credential_id}
    (await tray.post("/passkeys/removal", gone, scope="manage")).ok()
    assert (await tray.approve(request, number=NUMBER)).ok()["missing"] == ["passkey"]
    assert (await ann.poll(answer["auth_req_id"])).error == "authorization_pending"


async def test_the_catalogue_says_that_both_are_needed(ann: Client) -> None:
    roles = {each["name"]: each for each in (await ann.get("/catalogue")).ok()["roles"]}
    assert (roles["prod-admin"]["every"], roles["prod-admin"]["factors"]) == (
        True,
        ["device", "passkey"],
    )
    assert "every" not in roles["dev-write"]


async def test_a_second_browser_sees_the_half_of_its_person(
    ann: Client, bea: Visitor, desk: FrontDesk
) -> None:
    request = (await asked(ann))["borrow_request"]
    await bea.approve(request)
    async with visitor(desk) as other:
        other.key = bea.key
        await other.sign_in()
        assert "Half of your yes is here" in (await other.get(f"/r/{request}")).text
