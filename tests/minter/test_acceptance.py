"""What comes in once, what is joined, and who is not asked again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from borrow.minter.fatigue import MOST_ASKED, PROMPT_WINDOW
from borrow.protocol.errors import Needs, Refused, Untrusted
from borrow.protocol.request import AwsRole
from borrow_fakes.minting import ANN, ARN, BO, POLICY

if TYPE_CHECKING:
    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice


def refusal(house: MinterHouse, device: FakeDevice, role: str, **changes: object) -> str:
    with pytest.raises((Refused, Untrusted)) as raised:
        house.ask(device, role, **changes)
    return raised.value.state


def test_a_request_is_shown_as_signed_with_labels_of_the_policy(
    house: MinterHouse, ann: FakeDevice
) -> None:
    view = house.ask(ann, "prod", seconds=0, ticket="INC-1").view
    assert (view.role.identifier, view.role.arn) == ("prod", ARN + "Prod")
    assert view.role.seconds == 3_600  # 0 asks for the rule's maximum
    assert view.role.ticket == "INC-1"
    assert (view.tier, view.rule, view.mode, view.factors) == (
        "sensitive",
        "prod",
        "peer",
        ("device", "passkey"),
    )
    assert view.deciders == (BO, "cy@example.com")
    assert (view.person, view.state, view.number) == (ANN, "pending", "042")
    assert view.pending_until == house.clock() + 900


def test_mode_auto_is_approved_at_once_and_on_record(house: MinterHouse, ann: FakeDevice) -> None:
    view = house.ask(ann, "dev").view
    assert (view.state, view.claim_until) == ("approved", house.clock() + 1_800)
    assert view.decided_by == ("policy:dev",)
    assert house.kinds()[-3:] == ["request.accept", "decision", "request.approved"]


def test_a61_a_request_counts_once(house: MinterHouse, ann: FakeDevice) -> None:
    signed = house.signed(ann, "click")
    house.minter.accept_request(signed, ann.client_id)
    with pytest.raises(Untrusted) as raised:
        house.minter.accept_request(signed, ann.client_id)
    assert raised.value.state == "replayed"


def test_a61_a_request_counts_once_over_a_restart_and_the_sweep(
    house: MinterHouse, ann: FakeDevice
) -> None:
    signed = house.signed(ann, "click")
    house.minter.accept_request(signed, ann.client_id)
    house.clock.advance(359)  # the last second in which a clock that is behind would take it
    house.restart()
    house.minter.sweep()
    with pytest.raises(Untrusted) as raised:
        house.minter.accept_request(signed, ann.client_id)
    assert raised.value.state == "replayed"


def test_a61_a_replayed_request_cannot_come_back_when_its_first_was_denied(
    house: MinterHouse, ann: FakeDevice
) -> None:
    signed = house.signed(ann, "click")
    first = house.minter.accept_request(signed, ann.client_id).view.request_id
    house.say(first, ann)
    with pytest.raises(Untrusted):
        house.minter.accept_request(signed, ann.client_id)


@pytest.mark.parametrize("seconds", [-361, 61])
def test_a62_a_request_outside_of_the_clock_skew_is_refused(
    house: MinterHouse, ann: FakeDevice, seconds: int
) -> None:
    role = AwsRole("click", ARN + "Click", 600)
    signed = ann.signed(house.clock() + seconds, role=role, context={"group": "g1"})
    with pytest.raises(Untrusted) as raised:
        house.minter.accept_request(signed, ann.client_id)
    assert raised.value.state == "clock_skew"


def test_another_devices_signature_is_untrusted(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    with pytest.raises(Untrusted):
        house.minter.accept_request(house.signed(bo, "click"), ann.client_id)


def test_nobody_asks_in_anothers_name(house: MinterHouse, ann: FakeDevice) -> None:
    assert refusal(house, ann, "click", owner=BO) == "unknown_user"


def test_a_role_must_be_named_with_its_own_arn(house: MinterHouse, ann: FakeDevice) -> None:
    assert refusal(house, ann, "click", arn=ARN + "Prod") == "invalid_authorization_details"
    assert refusal(house, ann, "nothing") == "unknown_role"


@pytest.mark.parametrize(
    ("role", "changes", "state"),
    [
        ("click", {"seconds": 3_601}, "too_long"),
        ("click", {"via": "imds"}, "imds"),
        ("click", {"agent": "robot"}, "agent"),
        ("dev", {"agent": "robot"}, "agent"),
        ("click", {"session_policy": "{}"}, "session_policy"),
        ("click", {"session_policy": "no json"}, "session_policy"),
    ],
)
def test_a_policy_refusal_has_its_own_word_and_is_logged(
    house: MinterHouse, ann: FakeDevice, role: str, changes: dict[str, object], state: str
) -> None:
    with pytest.raises(Refused) as raised:
        house.ask(ann, role, **changes)
    assert raised.value.state == state
    entry = house.log()[-1]
    assert entry["facts"]["request"] == raised.value.request  # the error names its entry
    assert (entry["kind"], entry["facts"]["state"]) == ("request.refused", state)


def test_what_a_rule_requires_is_asked_for_by_name(house: MinterHouse, ann: FakeDevice) -> None:
    with pytest.raises(Needs) as raised:
        house.ask(ann, "prod", justification="")
    assert raised.value.fields == {"reason": "at least 5 characters"}
    assert house.minter.requests_for(BO) == ()


def test_a_session_policy_travels_to_the_cloud(house: MinterHouse, ann: FakeDevice) -> None:
    statement = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    grant = house.granted(ann, session_policy=policy)
    house.minter.mint(grant.grant_id, ann.client_id)
    assert house.cloud.calls[0][1].session_policy == policy


# Joining


def test_an_equal_request_joins_the_pending_one(house: MinterHouse, ann: FakeDevice) -> None:
    first = house.ask(ann, "click")
    again = house.ask(ann, "click", number="777", justification="other words")
    assert (first.joined, again.joined) == (False, True)
    assert again.view.request_id == first.view.request_id
    assert again.view.number == first.view.number
    assert house.kinds()[-1] == "request.join"


def test_a_request_at_a_grants_very_end_is_a_question_of_its_own(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    house.clock.advance(grant.expires_at - house.clock() - 2.1)
    assert house.ask(ann, "click").joined
    house.clock.advance(0.2)
    fresh = house.ask(ann, "click")
    assert not fresh.joined
    assert fresh.view.state == "pending"
    assert house.minter.grant(grant.grant_id).state == "active"  # it ends by itself
    assert house.ask(ann, "click").view.request_id == fresh.view.request_id


def test_an_equal_request_joins_the_approved_one_and_then_the_live_grant(
    house: MinterHouse, ann: FakeDevice
) -> None:
    first = house.ask(ann, "click").view.request_id
    house.approve(first, ann, "consent")
    assert house.ask(ann, "click").view.request_id == first
    grant, _ = house.minter.open_grant(first, ann.client_id)
    house.clock.advance(100)
    joined = house.ask(ann, "click")
    assert (joined.joined, joined.view.request_id) == (True, first)
    resumed, changes = house.minter.open_grant(first, ann.client_id)
    assert resumed.resumed
    assert (resumed.grant_id, resumed.expires_at) == (grant.grant_id, grant.expires_at)
    assert [change.kind for change in changes] == ["grant_resumed"]


def test_a_resume_needs_no_reason_and_spends_no_budget(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann, "dev")
    for _ in range(5):
        assert house.granted(ann, "dev", justification="").grant_id == grant.grant_id


@pytest.mark.parametrize(
    "changes",
    [
        {"group": "g2"},
        {"session_policy": '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
                           '"Action":"*","Resource":"*"}]}'},
    ],
)  # fmt: skip
def test_a_request_that_differs_is_a_request_of_its_own(
    house: MinterHouse, ann: FakeDevice, changes: dict[str, object]
) -> None:
    first = house.ask(ann, "logs")
    other = house.ask(ann, "logs", **changes)
    assert not other.joined
    assert other.view.request_id != first.view.request_id


def test_a_role_shared_by_the_device_is_joined_from_any_group(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.use_policy(POLICY.replace('share = "session"', 'share = "device"', 1))
    first = house.ask(ann, "logs", group="g1")
    assert house.ask(ann, "logs", group="g2").view.request_id == first.view.request_id


def test_another_device_of_the_same_person_joins_nothing(
    house: MinterHouse, ann: FakeDevice
) -> None:
    second = house.join(ANN)
    grant = house.granted(ann)
    other = house.ask(second, "click")
    assert not other.joined
    with pytest.raises(Refused):
        house.minter.open_grant(grant.request_id, second.client_id)


def test_what_is_over_is_not_joined(house: MinterHouse, ann: FakeDevice) -> None:
    first = house.ask(ann, "click").view.request_id
    house.clock.advance(900)
    second = house.ask(ann, "click")
    assert second.view.request_id != first
    assert [change.kind for change in house.minter.sweep()] == ["request_expired"]
    house.approve(second.view.request_id, ann, "consent")
    grant, _ = house.minter.open_grant(second.view.request_id, ann.client_id)
    house.clock.set(grant.expires_at)
    assert not house.ask(ann, "click").joined


# Fatigue and budgets


def test_a52_three_prompts_for_nothing_are_enough(house: MinterHouse, ann: FakeDevice) -> None:
    for number in range(3):
        request = house.ask(ann, "click", via="cli", justification=f"try {number}").view.request_id
        house.say(request, ann)
    assert refusal(house, ann, "click", via="cli", justification="again") == "throttled"
    assert house.ask(ann, "click", via="cli", group="g2").view.state == "pending"
    house.clock.advance(601)
    assert house.ask(ann, "click", via="cli", justification="again").view.state == "pending"


def test_a52_unanswered_prompts_count_too(house: MinterHouse, ann: FakeDevice) -> None:
    house.use_policy(POLICY.replace("[[rule]]", '[defaults]\npending = "1m"\n[[rule]]', 1))
    for _ in range(3):
        house.ask(ann, "click", via="cli")
        house.clock.advance(61)
        house.minter.sweep()
    assert refusal(house, ann, "click", via="cli") == "throttled"


def test_a52_prompts_that_still_wait_count_too(house: MinterHouse, ann: FakeDevice) -> None:
    """One process that varies its session policy cannot stack prompts in front of a person."""
    for bucket in range(3):
        assert not house.ask(ann, "prod", session_policy=only_bucket(bucket)).joined
    with pytest.raises(Refused) as refused:
        house.ask(ann, "prod", session_policy=only_bucket(3))
    assert refused.value.state == "throttled"
    assert house.ask(ann, "prod", session_policy=only_bucket(0)).joined


@pytest.mark.parametrize("how", ["groups", "cancelled"])
def test_a52_neither_other_groups_nor_taking_back_make_room_for_ever(
    house: MinterHouse, ann: FakeDevice, how: str
) -> None:
    for number in range(MOST_ASKED):
        group = f"g{number}" if how == "groups" else "g1"
        request = house.ask(ann, "prod", group=group, via="cli").view.request_id
        if how == "cancelled":
            house.minter.cancel(request, ann.client_id)
    with pytest.raises(Refused) as refused:
        house.ask(ann, "prod", group="another", via="cli")
    assert refused.value.state == "throttled"
    house.clock.advance(PROMPT_WINDOW)
    assert house.ask(ann, "prod", group="another").view.state == "pending"


def test_a57_numbers_cannot_be_guessed_over_many_requests(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.enrol_totp(ann)
    for number in range(9):
        house.fresh_code_time()
        request = house.ask(ann, "logs", group=f"g{number // 3}").view.request_id
        with pytest.raises(Refused) as refused:
            house.approve(request, ann, "totp", number=f"{number}99")
        assert refused.value.state == "number_mismatch"
    with pytest.raises(Refused) as refused:
        house.ask(ann, "logs", group="fresh")
    assert refused.value.state == "throttled"


def only_bucket(number: int) -> str:
    statement = {"Effect": "Allow", "Action": "s3:*", "Resource": f"arn:aws:s3:::b{number}"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a53_a_no_is_remembered_for_the_same_call(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    house.say(request, ann, reason="not today")
    with pytest.raises(Refused) as raised:
        house.ask(ann, "click")
    assert (raised.value.state, raised.value.request) == ("denied_before", request)
    assert house.ask(ann, "click", justification="a better reason").view.earlier_denials == 1


def test_a53_a_deliberate_ask_and_a_later_call_get_through(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.say(house.ask(ann, "click").view.request_id, ann)
    assert house.ask(ann, "click", via="cli", group="g2").view.state == "pending"
    house.clock.advance(901)
    assert house.ask(ann, "click").view.state == "pending"


def test_a_spent_budget_refuses_until_its_window_has_passed(
    house: MinterHouse, ann: FakeDevice
) -> None:
    for _ in range(2):
        grant = house.granted(ann, "dev")
        house.minter.release(grant.grant_id, ann.client_id)
    assert refusal(house, ann, "dev") == "budget_spent"
    house.clock.advance(3_601)
    assert house.ask(ann, "dev").view.state == "approved"


def test_a_budget_is_one_persons(house: MinterHouse, ann: FakeDevice, bo: FakeDevice) -> None:
    for _ in range(2):
        house.minter.release(house.granted(ann, "dev").grant_id, ann.client_id)
    second = house.join(ANN)
    assert refusal(house, second, "dev") == "budget_spent"
    assert house.ask(bo, "dev").view.state == "approved"


# Extensions


def extended(house: MinterHouse, device: FakeDevice, grant_id: str, role: str = "logs") -> str:
    accepted = house.ask(device, role, extends=grant_id)
    assert not accepted.joined
    house.fresh_code_time()
    house.approve(accepted.view.request_id, device, "totp")
    return str(accepted.view.request_id)


def logs_grant(house: MinterHouse, ann: FakeDevice) -> str:
    house.enrol_totp(ann)
    request = house.ask(ann, "logs").view.request_id
    house.approve(request, ann, "totp")
    return str(house.minter.open_grant(request, ann.client_id)[0].grant_id)


def test_an_extension_replaces_the_grant_it_extends(house: MinterHouse, ann: FakeDevice) -> None:
    old = logs_grant(house, ann)
    house.clock.advance(3_000)
    request = extended(house, ann, old)
    assert house.minter.grant(old).state == "active"  # until the new one is collected
    new, changes = house.minter.open_grant(request, ann.client_id)
    assert [change.kind for change in changes] == ["grant_opened", "grant_released"]
    assert house.minter.grant(old).state == "released"
    assert new.expires_at == house.clock() + 3_600
    assert house.minter.open_grant(request, ann.client_id)[0].resumed
    assert house.ask(ann, "logs").view.request_id == request  # a restarted daemon finds it


def test_extensions_are_counted(house: MinterHouse, ann: FakeDevice) -> None:
    request = extended(house, ann, logs_grant(house, ann))
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert refusal(house, ann, "logs", extends=grant.grant_id) == "extension_refused"


@pytest.mark.parametrize("changes", [{"group": "g2"}, {"role": "click"}])
def test_an_extension_is_for_the_same_access(
    house: MinterHouse, ann: FakeDevice, changes: dict[str, str]
) -> None:
    grant = logs_grant(house, ann)
    role = changes.pop("role", "logs")
    assert refusal(house, ann, role, extends=grant, **changes) == "invalid_grant"


def test_an_extension_of_anothers_or_a_dead_grant_is_refused(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    grant = logs_grant(house, ann)
    assert refusal(house, bo, "logs", extends=grant) == "unknown_grant"
    house.minter.release(grant, ann.client_id)
    assert refusal(house, ann, "logs", extends=grant) == "grant_exhausted"


def test_an_extension_is_judged_by_the_rule_of_its_grant(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = logs_grant(house, ann)
    house.use_policy(POLICY.replace('id = "logs"', 'id = "other"'))
    assert refusal(house, ann, "logs", extends=grant) == "extension_refused"


def test_a_revoked_grant_takes_its_extension_with_it(house: MinterHouse, ann: FakeDevice) -> None:
    grant = logs_grant(house, ann)
    request = extended(house, ann, grant)
    changes = house.minter.revoke(grant, "di@example.com", "incident")
    assert {change.kind for change in changes} == {"grant_revoked", "request_revoked"}
    with pytest.raises(Refused):
        house.minter.open_grant(request, ann.client_id)
