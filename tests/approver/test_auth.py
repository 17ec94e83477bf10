"""Who is believed to be whom: every way in which a client's signature or token is no good."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from borrow.protocol.assertion import TYPE_URN
from borrow.protocol.jose import sign
from borrow.protocol.keys import new_key, thumbprint

if TYPE_CHECKING:
    from borrow_fakes.clock import Clock
    from borrow_fakes.front_desk import Answer, Client, FrontDesk

TYP = "client-authentication+jwt"


def claims_of(client: Client, **changes: Any) -> dict[str, Any]:
    now = int(client.clock())
    claims = {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.device.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(18),
    }
    return claims | changes


async def with_assertion(client: Client, token: str, **members: str) -> Answer:
    form = {
        "client_assertion_type": TYPE_URN,
        "client_assertion": token,
        "grant_type": "client_credentials",
        "scope": "catalogue",
    }
    return await client.send("POST", "/token", data=form | members)


@pytest.mark.parametrize("typ", [TYP, "JWT"])
async def test_an_assertion_of_either_type_is_good(ann: Client, typ: str) -> None:
    token = sign(claims_of(ann), ann.device.sig, typ)
    assert (await with_assertion(ann, token)).status == 200


async def test_an_assertion_without_type_is_good(ann: Client) -> None:
    header = {"alg": "ES256", "kid": thumbprint(ann.device.sig)}
    token = jws.serialize_compact(header, _json(claims_of(ann)), ann.device.sig, ["ES256"])
    assert (await with_assertion(ann, token)).status == 200


async def test_an_assertion_counts_once(ann: Client) -> None:
    token = sign(claims_of(ann), ann.device.sig, TYP)
    assert (await with_assertion(ann, token)).status == 200
    again = await with_assertion(ann, token)
    assert (again.status, again.error) == (401, "invalid_client")


async def test_an_assertion_counts_once_over_a_restart(desk: FrontDesk, ann: Client) -> None:
    token = sign(claims_of(ann), ann.device.sig, TYP)
    assert (await with_assertion(ann, token)).status == 200
    await desk.close()
    await desk.open()
    desk.reconnect(ann)
    assert (await with_assertion(ann, token)).error == "invalid_client"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("aud", "https://other.example.com"),
        ("aud", ["{issuer}"]),
        ("aud", "{issuer}/token"),
        ("iss", "d-01jv0000000000000000000000"),
        ("sub", "d-01jv0000000000000000000000"),
        ("jti", ""),
        ("jti", 7),
        ("exp", None),
        ("exp", 1e300),
        ("iat", "now"),
    ],
)
async def test_a_wrong_claim_is_refused(ann: Client, member: str, value: Any) -> None:
    if isinstance(value, str):
        value = value.replace("{issuer}", ann.device.issuer)
    if isinstance(value, list):
        value = [ann.device.issuer]
    token = sign(claims_of(ann, **{member: value}), ann.device.sig, TYP)
    answer = await with_assertion(ann, token)
    assert (answer.status, answer.error) == (401, "invalid_client")


@pytest.mark.parametrize("typ", ["oauth-authz-req+jwt", "secevent+jwt", "borrow-statement+jwt"])
async def test_a_token_of_another_purpose_is_refused(ann: Client, typ: str) -> None:
    token = sign(claims_of(ann), ann.device.sig, typ)
    assert (await with_assertion(ann, token)).error == "invalid_client"


async def test_another_algorithm_is_refused(ann: Client) -> None:
    secret = OctKey.import_key(secrets.token_bytes(32))
    header = {"alg": "HS256", "typ": TYP, "kid": thumbprint(ann.device.sig)}
    token = jws.serialize_compact(header, _json(claims_of(ann)), secret, ["HS256"])
    assert (await with_assertion(ann, token)).error == "invalid_client"


async def test_another_key_is_refused(ann: Client) -> None:
    token = sign(claims_of(ann), new_key(), TYP)
    assert (await with_assertion(ann, token)).error == "invalid_client"


async def test_one_client_cannot_speak_as_another(ann: Client, bea: Client) -> None:
    mine = sign(claims_of(bea), bea.device.sig, TYP)
    answer = await with_assertion(ann, mine, client_id=ann.client_id)
    assert (answer.status, answer.error) == (401, "invalid_client")
    forged = sign(claims_of(ann), bea.device.sig, TYP)
    assert (await with_assertion(ann, forged)).error == "invalid_client"


async def test_another_way_of_authentication_is_refused(ann: Client) -> None:
    form = {"grant_type": "client_credentials", "client_id": ann.client_id, "client_secret": "x"}
    answer = await ann.send("POST", "/token", data=form)
    assert answer.status == 400
    assert answer.error == "invalid_request"


@pytest.mark.parametrize("off", [-400.0, 61.0, 3600.0, -3600.0])
async def test_a_wrong_clock_is_told_both_times(ann: Client, clock: Clock, off: float) -> None:
    clock.advance(off)
    token = sign(claims_of(ann), ann.device.sig, TYP)
    clock.advance(-off)
    answer = await with_assertion(ann, token)
    assert (answer.status, answer.state) == (401, "clock_skew")
    assert answer.body["error_description"].count("Z") == 2
    assert "Date" in answer.headers


async def test_a_clock_within_a_minute_will_do(ann: Client, clock: Clock) -> None:
    clock.advance(59)
    token = sign(claims_of(ann), ann.device.sig, TYP)
    clock.advance(-59)
    assert (await with_assertion(ann, token)).status == 200


@pytest.mark.parametrize(
    "head", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer x" + "y" * 300, "Bearer é"]
)
async def test_what_is_no_token_opens_nothing(ann: Client, head: str) -> None:
    answer = await ann.send("GET", "/catalogue", headers={"Authorization": head})
    assert (answer.status, answer.state) == (401, "invalid_token")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_a_frozen_device_may_listen_and_nothing_else(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    every = await ann.bearer("catalogue decide events manage audit")
    order = {"client_id": ann.client_id, "by": "cat@example.com"}
    assert (await desk.admin("POST", "/admin/freeze", order)).status == 200
    for path in ("/catalogue", "/decisions", "/grants", "/log/entries"):
        assert (await ann.send("GET", path, headers=every)).state == "frozen"
    assert (await ann.ask("dev-read")).state == "frozen"
    assert (await ann.exchange(granted["access_token"], "dev-read")).state == "frozen"
    fresh = await ann.form("/token", grant_type="client_credentials", scope="catalogue")
    assert (fresh.status, fresh.error) == (400, "unauthorized_client")
    poll = {"returnImmediately": True}
    assert (await ann.send("POST", "/events", headers=every, json=poll)).status == 200
    narrowed = await ann.form("/token", grant_type="client_credentials", scope="events decide")
    assert narrowed.ok()["scope"] == "events"


async def test_tokens_from_before_a_freeze_stay_dead_after_it(desk: FrontDesk, ann: Client) -> None:
    granted = await ann.borrow("dev-read")
    old = await ann.bearer("catalogue")
    order = {"client_id": ann.client_id, "by": "cat@example.com"}
    await desk.admin("POST", "/admin/freeze", order)
    assert (await desk.admin("POST", "/admin/unfreeze", order)).status == 200
    assert (await ann.send("GET", "/catalogue", headers=old)).state == "invalid_token"
    assert (await ann.exchange(granted["access_token"], "dev-read")).error == "invalid_grant"
    ann.tokens.clear()
    assert (await ann.get("/catalogue")).status == 200


def _json(claims: dict[str, Any]) -> bytes:
    import json

    return json.dumps(claims).encode()
