"""What was given or asked under one policy, or in one way, never reaches further in another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.protocol.errors import Refused
from borrow_fakes.minting import ANN, CY, POLICY

if TYPE_CHECKING:
    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice

BOTH = POLICY.replace('factor = ["consent"]', 'factor = ["consent", "totp"]')
CLICK_SENSITIVE = ('Click"\ntier = "low"', 'Click"\ntier = "sensitive"')
CLICK_BY_PEER = ('mode = "self", factor = ["consent"]', 'mode = "peer", from = ["group:team"]')
DEV_BY_CODE = ('mode = "auto", budget = "2/1h"', 'mode = "self", factor = ["totp"]')
DEV_BY_PEER = ('mode = "auto", budget = "2/1h"', 'mode = "peer", from = ["group:team"]')
NO_CLICK = (
    '[[rule]]\nid = "click"',
    '[[deny]]\nid = "no"\nroles = ["click"]\n[[rule]]\nid = "click"',
)


# Joining


def test_an_agent_does_not_join_what_its_person_had_without_a_yes(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.granted(ann, "dev")
    with pytest.raises(Refused) as refused:
        house.ask(ann, "dev", agent="some-agent")
    assert refused.value.state == "agent"
    assert house.ask(ann, "dev").joined


@pytest.mark.parametrize("when", ["pending", "approved", "granted"])
def test_an_agent_does_not_join_what_a_click_may_open(
    house: MinterHouse, ann: FakeDevice, when: str
) -> None:
    """A click never counts for an agent, which can click itself; a code does."""
    house.use_policy(BOTH)
    first = house.ask(ann, "click").view.request_id
    if when != "pending":
        house.approve(first, ann, "consent")
    if when == "granted":
        house.minter.open_grant(first, ann.client_id)
    own = house.ask(ann, "click", agent="some-agent")
    assert not own.joined
    assert own.view.factors == ("totp",)
    assert house.ask(ann, "click", agent="some-agent").view.request_id == own.view.request_id
    assert house.ask(ann, "click").view.request_id == first


@pytest.mark.parametrize("share", ["session", "device"])
def test_an_agent_never_rides_on_what_its_person_was_given(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, share: str
) -> None:
    """Nor does a person on an agent's, nor one agent on another's: each yes was for the other."""
    house.use_policy(POLICY.replace('share = "session"', f'share = "{share}"'))
    house.enrol_totp(ann)
    for role, device, kind in (("logs", ann, "totp"), ("prod", bo, "device")):
        request = house.ask(ann, role).view.request_id
        house.approve(request, device, kind)
        grant, _ = house.minter.open_grant(request, ann.client_id)
        own = house.ask(ann, role, agent="some-agent")
        assert not own.joined
        assert house.ask(ann, role, agent="some-agent").view.request_id == own.view.request_id
        assert not house.ask(ann, role, agent="another").joined
        assert house.ask(ann, role).view.request_id == request
        with pytest.raises(Refused) as refused:
            house.ask(ann, role, agent="third", extends=grant.grant_id)
        assert refused.value.state == "invalid_grant"


def test_an_agent_that_asked_often_enough_asks_nobody_for_a_while(
    house: MinterHouse, ann: FakeDevice
) -> None:
    """Counted by the device, whatever the agent calls itself and whatever was answered."""
    house.use_policy(POLICY.replace("[[rule]]", '[defaults]\nagents = "2/1h"\n[[rule]]', 1))
    house.enrol_totp(ann)
    first = house.ask(ann, "logs", agent="a", group="g1", via="cli").view.request_id
    house.approve(first, ann, "totp")
    house.clock.advance(600)
    second = house.ask(ann, "prod", agent="b", group="g2").view.request_id
    for agent, group, role in (("c", "g3", "logs"), ("a", "g4", "prod"), ("b", "g1", "logs")):
        with pytest.raises(Refused) as refused:
            house.ask(ann, role, agent=agent, group=group, via="cli")
        assert refused.value.state == "agent_budget"
        assert "50 minutes" in refused.value.hint
    assert house.ask(ann, "prod", agent="b", group="g2").view.request_id == second  # its own waits
    assert house.ask(ann, "logs", group="g9").view.state == "pending"  # people ask as ever
    house.clock.advance(3001)
    assert house.ask(ann, "logs", agent="d", group="g5").view.state == "pending"


def test_what_an_agent_gets_without_a_question_costs_it_none(
    house: MinterHouse, ann: FakeDevice
) -> None:
    elastic = '[roles.work]\naws = "arn:aws:iam::111122223333:role/W"\nbase = "dev"\n[[rule]]'
    text = POLICY.replace("[[rule]]", '[defaults]\nagents = "1/1h"\n' + elastic, 1)
    house.use_policy(text.replace(', budget = "2/1h"', ""))
    for number in range(3):
        assert house.ask(ann, "dev", agent="a", group=f"g{number}").view.mode == "auto"
    assert house.ask(ann, "prod", agent="a").view.state == "pending"


def test_instance_credentials_do_not_join_a_role_that_is_not_for_them(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.granted(ann, "dev")
    with pytest.raises(Refused) as refused:
        house.ask(ann, "dev", via="imds")
    assert refused.value.state == "imds"


def test_what_the_policy_forbids_by_now_is_not_joined(house: MinterHouse, ann: FakeDevice) -> None:
    house.ask(ann, "click")
    house.use_policy(POLICY.replace(*NO_CLICK))
    with pytest.raises(Refused) as refused:
        house.ask(ann, "click")
    assert refused.value.state == "denied_by_rule"


def test_a_role_that_is_not_shared_any_more_is_not_joined_from_another_group(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.granted(ann, "dev", group="g1")
    house.use_policy(POLICY.replace('share = "device"', 'share = "session"'))
    assert house.ask(ann, "dev", group="g1").joined
    assert not house.ask(ann, "dev", group="g2").joined


# A policy that wants more between the question and the credential


def test_a_click_does_not_open_what_became_sensitive(house: MinterHouse, ann: FakeDevice) -> None:
    house.use_policy(BOTH)
    request = house.ask(ann, "click").view.request_id
    house.use_policy(BOTH.replace(*CLICK_SENSITIVE))
    with pytest.raises(Refused) as refused:
        house.approve(request, ann, "consent")
    assert refused.value.state == "policy"
    assert house.minter.request(request).state == "revoked"


def test_ones_own_yes_does_not_open_what_needs_a_peer_by_now(
    house: MinterHouse, ann: FakeDevice
) -> None:
    asked = house.ask(ann, "click", group="g1").view.request_id
    said = house.ask(ann, "click", group="g2").view.request_id
    house.approve(said, ann, "consent")
    house.use_policy(POLICY.replace(*CLICK_BY_PEER))
    with pytest.raises(Refused) as refused:
        house.approve(asked, ann, "consent")
    assert refused.value.state == "not_a_decider"
    with pytest.raises(Refused) as refused:
        house.minter.open_grant(said, ann.client_id)
    assert refused.value.state == "policy"


@pytest.mark.parametrize("change", [DEV_BY_CODE, DEV_BY_PEER])
def test_a_grant_without_a_yes_is_not_minted_when_one_is_needed_by_now(
    house: MinterHouse, ann: FakeDevice, change: tuple[str, str]
) -> None:
    grant = house.granted(ann, "dev")
    house.use_policy(POLICY.replace(*change))
    with pytest.raises(Refused) as refused:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert refused.value.state == "policy"
    assert house.cloud.calls == []
    house.use_policy(POLICY)
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


def test_a_peers_yes_does_where_ones_own_would(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    house.approve(request, bo, "device")
    own = POLICY.replace('mode = "peer", from = ["group:team"]', 'mode = "self", factor = ["totp"]')
    house.use_policy(own)
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


def test_who_is_not_asked_any_more_decides_no_more(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    house.use_policy(POLICY.replace('from = ["group:team"]', f'from = ["{CY}"]'))
    with pytest.raises(Refused) as refused:
        house.approve(request, bo, "device")
    assert refused.value.state == "not_a_decider"
    assert house.minter.request(request).state == "pending"
    house.approve(request, house.join(CY), "device")
    assert house.minter.request(request).state == "approved"


def test_a_grant_outlives_its_approvers_place_in_the_pool(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    """What was decided stays decided: a move to another team ends nobody's work."""
    request = house.ask(ann, "prod").view.request_id
    house.approve(request, bo, "device")
    house.use_policy(POLICY.replace('from = ["group:team"]', f'from = ["{CY}"]'))
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


def test_the_limits_of_a_rule_that_took_anothers_place_hold(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    tighter = 'id = "tap"\nmint = "5m"\nsession = { deny_iam = true }'
    house.use_policy(POLICY.replace('id = "click"', tighter, 1))
    house.minter.mint(grant.grant_id, ann.client_id)
    target, facts = house.cloud.calls[-1]
    assert (target.mint_seconds, facts.deny_iam) == (300, True)
    assert grant.person == ANN


def test_a_container_shares_with_nobody_on_its_device(house: MinterHouse, ann: FakeDevice) -> None:
    first = house.ask(ann, "dev").view.request_id
    inside = house.ask(ann, "dev", group="dev:1:2:@shop/app").view.request_id
    assert inside != first
    assert house.ask(ann, "dev", group="other").view.request_id == first
    assert house.ask(ann, "dev", group="dev:1:2:@shop/app").view.request_id == inside
