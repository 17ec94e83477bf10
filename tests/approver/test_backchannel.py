"""Asking: one signed request, once, by its own device for its own owner, and nothing beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from borrow.protocol.request import AwsRole, sign_request

if TYPE_CHECKING:
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
    assert second["borrow_words"] == first["borrow_words"]
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
