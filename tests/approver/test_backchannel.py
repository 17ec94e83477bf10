"""Asking: one signed request, once, by its own device for its own owner, and nothing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from borrow.protocol.jose import sign
from borrow.protocol.request import AwsRole, sign_request

if TYPE_CHECKING:
    from borrow_fakes.clock import Clock
    from borrow_fakes.front_desk import Client, FrontDesk

TYP = "oauth-authz-req+jwt"


async def test_a_request_object_counts_once(ann: Client) -> None:
    signed = ann.signed("dev-read")
    assert (await ann.form("/bc-authorize", request=signed)).status == 200
    again = await ann.form("/bc-authorize", request=signed)
    assert (again.status, again.state) == (409, "replayed")


async def test_a_request_object_counts_once_over_a_restart(desk: FrontDesk, ann: Client) -> None:
    signed = ann.signed("dev-read")
    assert (await ann.form("/bc-authorize", request=signed)).status == 200
    await desk.close()
    await desk.open()
    desk.reconnect(ann)
    assert (await ann.form("/bc-authorize", request=signed)).state == "replayed"


async def test_equal_requests_are_one(ann: Client, bea: Client) -> None:
    first, second = (await ann.ask("prod-admin")).ok(), (await ann.ask("prod-admin")).ok()
    assert second["borrow_joined"]
    assert second["borrow_request"] == first["borrow_request"]
    assert second["borrow_number"] == first["borrow_number"]
    assert second["auth_req_id"] != first["auth_req_id"]
    assert len((await bea.get("/decisions", "decide")).ok()["decisions"]) == 1


async def test_what_a_rule_needs_is_said(ann: Client) -> None:
    answer = await ann.ask("dev-write", reason="")
    assert (answer.status, answer.error, answer.state) == (400, "invalid_request", "needs")
    assert list(answer.body["borrow_needs"]) == ["reason"]


async def test_what_policy_refuses_is_access_denied(desk: FrontDesk) -> None:
    stranger = await desk.join("local:eve")
    answer = await stranger.ask("dev-read")
    assert (answer.status, answer.error) == (403, "access_denied")


async def test_a_role_under_another_arn_is_refused(ann: Client) -> None:
    arn = "arn:aws:iam::444455556666:role/Admin"
    answer = await ann.ask("dev-read", arn=arn)
    assert answer.status >= 400
    assert answer.error in ("invalid_authorization_details", "access_denied")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("aud", "https://other.example.com"),
        ("aud", ["{issuer}"]),
        ("iss", "d-01jv0000000000000000000000"),
        ("login_hint", "bea@example.com"),
        ("scope", "openid email"),
        ("sub", "ann@example.com"),
        ("jti", "short"),
        ("borrow_number", "12"),
        ("binding_message", "<b>hi</b>"),
        ("authorization_details", []),
        ("exp", 2**40),
        ("nbf", None),
    ],
)
async def test_a_wrong_member_is_refused(ann: Client, member: str, value: Any) -> None:
    claims = ann.device.request(ann.clock()).to_claims()
    claims[member] = [ann.device.issuer] if isinstance(value, list) and value else value
    answer = await ann.form("/bc-authorize", request=sign(claims, ann.device.sig, TYP))
    assert answer.status == 400
    if member == "login_hint":
        assert answer.error == "unknown_user_id"


@pytest.mark.parametrize("typ", ["JWT", "client-authentication+jwt", "OAUTH-AUTHZ-REQ+JWT"])
async def test_another_type_of_token_is_no_request(ann: Client, typ: str) -> None:
    claims = ann.device.request(ann.clock()).to_claims()
    answer = await ann.form("/bc-authorize", request=sign(claims, ann.device.sig, typ))
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_another_devices_request_is_refused(ann: Client, bea: Client) -> None:
    assert (await bea.form("/bc-authorize", request=ann.signed())).status == 400
    forged = sign_request(ann.device.request(ann.clock()), bea.device.sig)
    assert (await ann.form("/bc-authorize", request=forged)).status == 400


async def test_a_request_of_another_time_is_told_both_times(ann: Client, clock: Clock) -> None:
    clock.advance(3600)
    signed = ann.signed("dev-read")
    clock.advance(-3600)
    answer = await ann.form("/bc-authorize", request=signed)
    assert (answer.status, answer.state) == (401, "clock_skew")
    assert answer.body["error_description"].count("Z") == 2


@pytest.mark.parametrize("extra", ["scope", "login_hint", "binding_message", "acr_values"])
async def test_anything_beside_the_request_is_refused(ann: Client, extra: str) -> None:
    answer = await ann.form("/bc-authorize", request=ann.signed("dev-read"), **{extra: "x"})
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_a_member_named_twice_is_refused(ann: Client) -> None:
    pairs = [*ann.auth().items(), ("request", ann.signed()), ("request", ann.signed())]
    answer = await ann.send("POST", "/bc-authorize", data=pairs)
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_only_a_form_is_read(ann: Client) -> None:
    body = ann.auth() | {"request": ann.signed()}
    answer = await ann.send("POST", "/bc-authorize", json=body)
    assert (answer.status, answer.state) == (415, "media_type")


async def test_a_large_body_is_refused(ann: Client) -> None:
    answer = await ann.form("/bc-authorize", request="x" * 70_000)
    assert answer.status == 413
    assert answer.body["borrow_state"] == "body_too_large"


async def test_the_answer_names_number_words_and_nobody_uninvolved(ann: Client) -> None:
    signed = ann.device.request(ann.clock(), number="417", role=_prod())
    asked = (await ann.form("/bc-authorize", request=sign_request(signed, ann.device.sig))).ok()
    assert asked["borrow_number"] == "417"
    assert asked["borrow_asked"] == ["bea@example.com"]
    assert asked["borrow_request"].startswith("r-")
    assert len(asked["auth_req_id"]) == 27  # 160 bit
    assert asked["interval"] >= 1
    assert asked["expires_in"] == 900


def _prod() -> AwsRole:
    return AwsRole("prod-admin", "arn:aws:iam::444455556666:role/Admin", 600)
