"""From a question to sealed credentials, over the wire, and every way it ends before."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from borrow.protocol.credentials import open_credentials
from borrow.protocol.jose import signing_input_hash, verify
from borrow.protocol.keys import PublicKeys, load_key
from borrow_fakes.front_desk import ROLES, Client, FrontDesk

if TYPE_CHECKING:
    from borrow_fakes.clock import Clock


def opened(desk: FrontDesk, client: Client, sealed: str) -> tuple[str, str]:
    """(role, access key id) in sealed credentials, verified as the daemon does."""
    found = open_credentials(
        sealed,
        key=client.device.enc,
        minter=PublicKeys([load_key(desk.minter.keys().sig, private=False)]),
        issuer=desk.issuer,
        client_id=client.client_id,
        now=desk.clock(),
    )
    return found.role, found.credentials.access_key_id


# -- walks -----------------------------------------------------------------------------------------


async def test_what_policy_gives_is_collected_at_once(desk: FrontDesk, ann: Client) -> None:
    asked = (await ann.ask("dev-read")).ok()
    assert (asked["borrow_state"], asked["borrow_mode"], asked["borrow_asked"]) == (
        "approved",
        "auto",
        [],
    )
    answer = await ann.poll(asked["auth_req_id"])
    granted = answer.ok()
    assert answer.headers["Cache-Control"] == "no-store"
    assert granted["token_type"] == "Bearer"
    assert granted["expires_in"] == 1800
    assert granted["interval"] >= 1
    minted = await ann.exchange(granted["access_token"], "dev-read")
    body = minted.ok()
    assert minted.headers["Cache-Control"] == "no-store"
    assert (body["token_type"], body["issued_token_type"]) == (
        "N_A",
        "urn:borrow:token-type:credentials",
    )
    role, key = opened(desk, ann, body["access_token"])
    assert role == "dev-read"
    assert key.startswith("ASIA")


async def test_ones_own_code_and_number_open_a_grant(
    desk: FrontDesk, ann: Client, clock: Clock
) -> None:
    secret = await ann.enrol_codes()
    clock.advance(30)
    asked = (await ann.ask("dev-write")).ok()
    assert asked["borrow_asked"] == ["ann@example.com"]
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    said = await ann.approve_by_code(asked["borrow_request"], secret, number=asked["borrow_number"])
    assert said.ok()["state"] == "approved"
    granted = (await waiting).ok()
    assert (await ann.exchange(granted["access_token"], "dev-write")).status == 200


async def test_another_persons_device_opens_a_grant(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    assert (asked["borrow_mode"], asked["borrow_asked"]) == ("peer", ["bea@example.com"])
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    loop = asyncio.get_running_loop()
    said = await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    since = loop.time()
    granted = (await waiting).ok()
    assert loop.time() - since < 1
    assert said.ok()["record"].count(".") == 2
    assert granted["authorization_details"][0]["identifier"] == "prod-admin"
    assert granted["authorization_details"][0]["arn"] == ROLES["prod-admin"]


async def test_the_id_token_says_how_and_for_what(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    signed = ann.signed("prod-admin")
    asked = (await ann.form("/bc-authorize", request=signed)).ok()
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    granted = (await ann.poll(asked["auth_req_id"])).ok()
    claims = verify(granted["id_token"], PublicKeys([desk.a]), "JWT").claims
    now = int(desk.clock())
    assert claims == {
        "iss": desk.issuer,
        "sub": "ann@example.com",
        "aud": ann.client_id,
        "iat": now,
        "exp": now + 1800,
        "auth_time": now,
        "acr": "urn:borrow:acr:peer",
        "amr": ["device"],
        "urn:openid:params:jwt:claim:auth_req_id": asked["auth_req_id"],
        "borrow_request_hash": signing_input_hash(signed),
        "authorization_details": granted["authorization_details"],
    }


# -- ends ------------------------------------------------------------------------------------------


async def test_a_denied_request_is_never_granted_later(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    assert (await bea.say(asked["borrow_request"], "deny", reason="not \x1b[1mtoday")).ok()
    answer = await waiting
    assert (answer.status, answer.error) == (400, "access_denied")
    text = answer.body["error_description"]
    assert "bea@example.com" in text
    assert "not \\u{1b}[1mtoday" in text
    assert (await ann.poll(asked["auth_req_id"])).error == "access_denied"
    assert (await bea.approve_late(asked["borrow_request"])).state == "wrong_state"


async def test_silence_ends_a_request_and_wakes_its_waiter(
    desk: FrontDesk, ann: Client, bea: Client, clock: Clock
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    clock.advance(asked["expires_in"] + 1)
    answer = await waiting
    assert (answer.status, answer.error) == (400, "expired_token")


async def test_a_cancelled_request_wakes_its_waiter_and_leaves_the_inbox(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    for _ in range(2):  # twice is once
        await ann.cancel(asked["auth_req_id"])
    answer = await waiting
    assert (answer.status, answer.state) == (400, "cancelled")
    assert (await bea.get("/decisions", "decide")).ok()["decisions"] == []


async def test_nobody_answering_is_pending_and_not_an_error_of_the_wire(
    ann: Client, desk: FrontDesk
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    desk.waiting.close()
    answer = await waiting
    assert (answer.status, answer.error) == (400, "authorization_pending")


async def test_of_two_polls_of_one_request_the_older_must_slow_down(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    older = await desk.held_poll(ann, asked["auth_req_id"])
    newer = asyncio.ensure_future(ann.poll(asked["auth_req_id"]))
    answer = await older
    assert (answer.status, answer.error) == (400, "slow_down")
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    assert (await newer).status == 200


async def test_a_yes_is_kept_for_a_caller_that_left_while_it_waited(
    desk: FrontDesk, ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    waiting = await desk.held_poll(ann, asked["auth_req_id"])
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    await asyncio.sleep(0.1)
    assert (await ann.poll(asked["auth_req_id"])).status == 200


# -- resume and extension --------------------------------------------------------------------------


async def test_a_collected_request_is_collected_once_and_a_fresh_one_resumes(
    ann: Client, bea: Client
) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    first = (await ann.poll(asked["auth_req_id"])).ok()
    again = await ann.poll(asked["auth_req_id"])
    assert (again.status, again.error) == (400, "invalid_grant")
    fresh = (await ann.ask("prod-admin")).ok()
    assert fresh["borrow_joined"]
    assert fresh["borrow_request"] == asked["borrow_request"]
    second = (await ann.poll(fresh["auth_req_id"])).ok()
    assert second["borrow_resumed"]
    assert second["grant_id"] == first["grant_id"]


async def test_a_resumed_grant_kills_the_older_token(ann: Client) -> None:
    first, second = await ann.borrow("dev-read"), await ann.borrow("dev-read")
    assert second["grant_id"] == first["grant_id"]
    assert (await ann.exchange(first["access_token"], "dev-read")).error == "invalid_grant"
    assert (await ann.exchange(second["access_token"], "dev-read")).status == 200


async def test_an_extension_replaces_its_grant(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    await bea.approve(asked["borrow_request"], number=asked["borrow_number"])
    old = (await ann.poll(asked["auth_req_id"])).ok()
    more = (await ann.ask("prod-admin", extends=old["grant_id"])).ok()
    assert not more["borrow_joined"]
    await bea.approve(more["borrow_request"], number=more["borrow_number"])
    new = (await ann.poll(more["auth_req_id"])).ok()
    assert new["grant_id"] != old["grant_id"]
    assert (await ann.exchange(old["access_token"], "prod-admin")).error == "invalid_grant"
    assert (await ann.exchange(new["access_token"], "prod-admin")).status == 200


# -- refusals --------------------------------------------------------------------------------------


async def test_another_clients_auth_req_id_is_not_there(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("dev-read")).ok()
    stolen = await bea.poll(asked["auth_req_id"])
    assert (stolen.status, stolen.error) == (400, "invalid_grant")
    assert (await ann.poll(asked["auth_req_id"])).status == 200


async def test_another_clients_grant_token_is_refused_and_lives_on(
    ann: Client, bea: Client
) -> None:
    granted = await ann.borrow("dev-read")
    stolen = await bea.exchange(granted["access_token"], "dev-read")
    assert (stolen.status, stolen.error) == (400, "invalid_grant")
    assert (await bea.form("/revoke", token=granted["access_token"])).status == 400
    assert (await ann.exchange(granted["access_token"], "dev-read")).status == 200


async def test_another_clients_request_cannot_be_cancelled(ann: Client, bea: Client) -> None:
    asked = (await ann.ask("prod-admin")).ok()
    stolen = await bea.cancel(asked["auth_req_id"])
    assert (stolen.status, stolen.error) == (400, "invalid_grant")
    assert (await ann.get(f"/requests/{asked['borrow_request']}")).ok()["state"] == "pending"


async def test_a_grant_token_mints_its_own_role_only(ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    other = await ann.exchange(granted["access_token"], "prod-admin")
    assert (other.status, other.error) == (400, "invalid_target")


async def test_nothing_is_minted_at_the_end_of_a_grant(ann: Client, clock: Clock) -> None:
    granted = await ann.borrow("dev-read")
    clock.advance(granted["expires_in"])
    answer = await ann.exchange(granted["access_token"], "dev-read")
    assert answer.status == 400
    assert answer.error in ("invalid_grant", "grant_exhausted")


async def test_a_grant_given_back_mints_no_more(ann: Client) -> None:
    for by_token in (True, False):
        granted = await ann.borrow("dev-read")
        if by_token:
            answer = await ann.form("/revoke", token=granted["access_token"])
        else:
            hint = "urn:borrow:grant_id"
            answer = await ann.form("/revoke", token=granted["grant_id"], token_type_hint=hint)
        assert (answer.status, answer.body) == (200, {})
        assert (await ann.exchange(granted["access_token"], "dev-read")).error == "invalid_grant"
        assert (await ann.get("/grants")).ok()["grants"] == []


async def test_another_clients_grant_cannot_be_given_back(ann: Client, bea: Client) -> None:
    granted = await ann.borrow("dev-read")
    hint = "urn:borrow:grant_id"
    answer = await bea.form("/revoke", token=granted["grant_id"], token_type_hint=hint)
    assert answer.status == 400
    assert (await ann.exchange(granted["access_token"], "dev-read")).status == 200


async def test_an_access_token_is_for_its_scopes_and_ends(ann: Client, clock: Clock) -> None:
    head = await ann.bearer("catalogue")
    assert (await ann.send("GET", "/decisions", headers=head)).state == "insufficient_scope"
    assert (await ann.send("GET", "/catalogue", headers=head)).status == 200
    clock.advance(301)
    late = await ann.send("GET", "/catalogue", headers=head)
    assert (late.status, late.state) == (401, "invalid_token")
