"""A grant is opened once, ends once, and never widens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.protocol.errors import Refused, Unavailable, Untrusted
from borrow_fakes.minting import ANN, BO, DI, POLICY

if TYPE_CHECKING:
    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice


def test_a_pending_request_opens_nothing_yet(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    with pytest.raises(Unavailable) as raised:
        house.minter.open_grant(request, ann.client_id)
    assert raised.value.state == "authorization_pending"


def test_redemption_starts_the_grant(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click", seconds=600).view.request_id
    house.approve(request, ann, "consent")
    house.clock.advance(1_700)  # a closed lid does not lose a yes
    grant, changes = house.minter.open_grant(request, ann.client_id)
    assert (grant.opened_at, grant.expires_at) == (house.clock(), house.clock() + 600)
    assert [change.kind for change in changes] == ["grant_opened"]
    assert changes[0].subject == f"grant:{grant.grant_id}"
    assert house.minter.request(request).grant_id == grant.grant_id


def test_opening_again_is_the_same_grant(house: MinterHouse, ann: FakeDevice) -> None:
    first = house.granted(ann)
    house.clock.advance(60)
    again, _ = house.minter.open_grant(first.request_id, ann.client_id)
    assert (again.grant_id, again.expires_at, again.resumed) == (
        first.grant_id,
        first.expires_at,
        True,
    )
    assert house.kinds().count("grant.open") == 1


def test_an_unclaimed_yes_lapses(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    house.approve(request, ann, "consent")
    house.clock.advance(1_800)
    with pytest.raises(Refused) as raised:
        house.minter.open_grant(request, ann.client_id)
    assert raised.value.state == "lapsed"
    assert [change.kind for change in house.minter.sweep()] == ["request_lapsed"]


@pytest.mark.parametrize("end", ["denied", "expired", "cancelled", "revoked"])
def test_each_end_of_a_request_has_its_own_word(
    house: MinterHouse, ann: FakeDevice, end: str
) -> None:
    request = house.ask(ann, "click").view.request_id
    match end:
        case "denied":
            house.say(request, ann)
        case "expired":
            house.clock.advance(900)
        case "cancelled":
            house.minter.cancel(request, ann.client_id)
        case _:
            house.minter.freeze(ann.client_id, DI)
            house.minter.unfreeze(ann.client_id, DI)
    with pytest.raises(Refused) as raised:
        house.minter.open_grant(request, ann.client_id)
    assert (raised.value.state, raised.value.request) == (end, request)


def test_another_device_collects_nothing(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "click").view.request_id
    house.approve(request, ann, "consent")
    for attempt in (
        lambda: house.minter.open_grant(request, bo.client_id),
        lambda: house.minter.cancel(request, bo.client_id),
    ):
        with pytest.raises(Refused) as raised:
            attempt()
        assert raised.value.state == "unknown_request"
    grant, _ = house.minter.open_grant(request, ann.client_id)
    with pytest.raises(Refused):
        house.minter.release(grant.grant_id, bo.client_id)
    assert house.minter.grant(grant.grant_id).state == "active"


def test_a_changed_policy_ends_the_grants_that_it_does_not_allow(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    assert house.minter.sweep() == ()
    house.use_policy(POLICY + "\n# a change that takes nothing away\n")
    assert house.minter.sweep() == ()
    house.use_policy(POLICY + f'\n[[deny]]\nid = "left"\nwho = ["{ANN}"]\nroles = ["*"]\n')
    (change,) = house.minter.sweep()
    assert change.kind == "grant_revoked"
    assert house.minter.grant(grant.grant_id).state == "revoked"
    assert house.minter.sweep() == ()


def test_a_policy_that_changed_while_nothing_ran_is_held_against_live_grants_too(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    house.use_policy(POLICY + f'\n[[deny]]\nid = "left"\nwho = ["{ANN}"]\nroles = ["*"]\n')
    house.restart()
    house.minter.sweep()
    assert house.minter.grant(grant.grant_id).state == "revoked"


def test_giving_back_ends_it_once(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)
    changes = house.minter.release(grant.grant_id, ann.client_id)
    assert [change.kind for change in changes] == ["grant_released"]
    assert house.minter.release(grant.grant_id, ann.client_id) == ()
    assert house.minter.revoke(grant.grant_id, DI, "late") == ()
    assert house.minter.grant(grant.grant_id).state == "released"


def test_a_grant_that_is_over_is_not_resumed(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)
    house.minter.revoke(grant.grant_id, DI, "incident")
    with pytest.raises(Refused) as raised:
        house.minter.open_grant(grant.request_id, ann.client_id)
    assert raised.value.state == "grant_exhausted"
    assert not house.ask(ann, "click").joined


def test_a_grant_ends_by_itself(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)
    house.clock.set(grant.expires_at - 1)
    assert house.minter.sweep() == ()
    house.clock.set(grant.expires_at)
    assert house.minter.grant(grant.grant_id).state == "expired"  # before any sweep
    assert house.minter.grants_for(None, ANN) == ()
    changes = house.minter.sweep()
    assert [change.kind for change in changes] == ["grant_expired"]
    assert house.minter.sweep() == ()


def test_a_policy_that_forbids_meanwhile_revokes_the_yes(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "click").view.request_id
    house.approve(request, ann, "consent")
    house.use_policy(POLICY.replace('roles = ["click"]', 'roles = ["dev"]'))
    with pytest.raises(Refused) as raised:
        house.minter.open_grant(request, ann.client_id)
    assert raised.value.state == "no_rule"
    assert house.minter.request(request).state == "revoked"


def test_lists_show_what_waits_and_what_lives(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    pending = house.ask(ann, "prod").view.request_id
    own = house.ask(bo, "click").view.request_id
    grant = house.granted(ann)
    assert [view.request_id for view in house.minter.requests_for(BO)] == [pending, own]
    assert [view.request_id for view in house.minter.requests_for("Ann@example.com")] == [pending]
    assert [view.grant_id for view in house.minter.grants_for(None, ANN)] == [grant.grant_id]
    assert house.minter.grants_for(bo.client_id, ANN) == ()
    assert house.minter.grants_for(ann.client_id, BO) == ()
    house.clock.advance(900)
    assert house.minter.requests_for(BO) == ()


def test_the_last_decided_request_of_the_same_person_and_role_is_found(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    first = house.ask(ann, "click").view.request_id
    assert house.minter.previous(first) is None
    house.approve(first, ann, "consent")
    house.clock.advance(5)
    house.ask(bo, "click")  # another person's
    open_one = house.ask(ann, "click", group="g2").view.request_id  # nobody decided it
    house.clock.advance(5)
    newest = house.ask(ann, "click", group="g3").view.request_id
    for asked in (open_one, newest):
        found = house.minter.previous(asked)
        assert found is not None
        assert found.request_id == first
    assert house.minter.previous(house.ask(ann, "prod").view.request_id) is None


def test_a_persons_own_reasons_are_offered_again_and_no_agents(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    def reasons(person: str) -> list[str]:
        entries = {entry["name"]: entry for entry in house.minter.catalogue(person)}
        return list(entries["click"]["reasons"])

    assert reasons(ANN) == []
    for number in range(7):
        house.ask(ann, "click", justification=f"why {number % 6}", group=f"g{number}")
        house.clock.advance(1)
    assert reasons(ANN) == ["why 0", "why 5", "why 4", "why 3", "why 2"]
    assert reasons(BO) == []
    house.clock.advance(31 * 86_400)
    assert reasons(ANN) == []


def test_the_catalogue_says_what_one_may_ask_and_what_it_takes(house: MinterHouse) -> None:
    entries = {entry["name"]: entry for entry in house.minter.catalogue(ANN)}
    assert list(entries) == ["dev", "logs", "prod", "click"]
    assert entries["prod"] == {
        "name": "prod",
        "arn": "arn:aws:iam::111122223333:role/Prod",
        "account": "111122223333",
        "tier": "sensitive",
        "share": "session",
        "imds": False,
        "base": "",
        "allows": [],
        "region": "",
        "max": 3_600,
        "mode": "peer",
        "rule": "prod",
        "factors": ["device", "passkey"],
        "match": False,
        "needs": {"reason": "at least 5 characters"},
        "reasons": [],
    }
    assert house.minter.catalogue("eve@example.com") == ()


@pytest.mark.parametrize("name", ["g-00000000000000000000000000", "r-1", "", "g-" + "é" * 26])
def test_an_unknown_grant_is_refused_with_words(
    house: MinterHouse, ann: FakeDevice, name: str
) -> None:
    for attempt in (
        lambda: house.minter.grant(name),
        lambda: house.minter.mint(name, ann.client_id),
        lambda: house.minter.release(name, ann.client_id),
        lambda: house.minter.revoke(name, DI, ""),
        lambda: house.minter.report(name, ANN, ann.client_id),
    ):
        with pytest.raises((Refused, Untrusted)):
            attempt()
