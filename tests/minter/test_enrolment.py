"""How devices join, and how they are frozen and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.protocol.enrolment import Invitation, sign_software_statement
from borrow.protocol.errors import Misconfigured, Refused, Untrusted
from borrow.protocol.keys import new_key
from borrow_fakes.minting import ANN, BO, DI, ISSUER
from borrow_fakes.people import FakeDevice

if TYPE_CHECKING:
    from borrow_fakes.minting import MinterHouse


@pytest.mark.parametrize("person", [ANN, DI, "Ann@Example.com", "local:ann"])
def test_a_person_the_policy_names_can_be_invited(house: MinterHouse, person: str) -> None:
    assert house.minter.invite(person).person == person.lower()


@pytest.mark.parametrize("person", ["eve@example.com", "*", "ann", "", "local:", "a@b\x1b[31m"])
def test_nobody_else_can_be_invited(house: MinterHouse, person: str) -> None:
    with pytest.raises(Misconfigured):
        house.minter.invite(person)


def test_an_invitation_does_not_show_its_key(house: MinterHouse) -> None:
    assert "key" not in repr(house.minter.invite(ANN))


def test_a_device_joins_once_and_belongs_to_the_invited_person(house: MinterHouse) -> None:
    device = FakeDevice(issuer=ISSUER)
    token, _ = house.software_statement(ANN, device)
    registered, changes = house.minter.register(token)
    assert (registered.owner, registered.state) == (ANN, "active")
    assert [change.kind for change in changes] == ["device_added"]
    assert house.minter.devices() == (registered,)


def test_an_invitation_used_twice_removes_the_first_device(house: MinterHouse) -> None:
    first, second = FakeDevice(issuer=ISSUER), FakeDevice(issuer=ISSUER)
    token, key = house.software_statement(ANN, first)
    first.client_id = house.minter.register(token)[0].client_id
    grant = house.granted(first)
    invitation = Invitation(ISSUER, ANN, "a", "m", key)
    stolen = sign_software_statement(
        invitation, second.jwks, device_name="thief", now=house.clock(), jti="t" * 22
    )
    with pytest.raises(Refused) as refused:
        house.minter.register(stolen)
    assert refused.value.state == "invitation_used"
    assert [device.state for device in house.minter.devices()] == ["removed"]
    assert house.minter.grant(grant.grant_id).state == "revoked"
    kinds = [change.kind for change in house.minter.sweep()]
    assert kinds == ["device_removed", "grant_revoked"]
    assert house.minter.sweep() == ()  # told once
    with pytest.raises(Refused):  # and a third time changes nothing
        house.minter.register(stolen)
    assert house.minter.sweep() == ()


def test_a_stranger_who_names_a_used_invitation_removes_nobody(house: MinterHouse) -> None:
    device = FakeDevice(issuer=ISSUER)
    token, _ = house.software_statement(ANN, device)
    house.minter.register(token)
    header, payload, signature = token.split(".")
    forged = f"{header}.{payload}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"
    with pytest.raises(Untrusted):
        house.minter.register(forged)
    assert house.minter.devices()[0].state == "active"


def test_an_old_invitation_is_refused(house: MinterHouse) -> None:
    device = FakeDevice(issuer=ISSUER)
    invited = house.minter.invite(ANN)
    house.clock.advance(600)
    token = sign_software_statement(
        Invitation(ISSUER, ANN, "a", "m", invited.key),
        device.jwks,
        device_name="late",
        now=house.clock(),
        jti="j" * 22,
    )
    with pytest.raises(Refused) as refused:
        house.minter.register(token)
    assert refused.value.state == "expired"


@pytest.mark.parametrize("what", ["person", "invitation", "garbage", "no dots"])
def test_a_statement_that_is_not_for_this_invitation_is_untrusted(
    house: MinterHouse, what: str
) -> None:
    device = FakeDevice(issuer=ISSUER)
    invited = house.minter.invite(ANN)
    key = new_key() if what == "invitation" else invited.key
    person = BO if what == "person" else ANN
    token = sign_software_statement(
        Invitation(ISSUER, person, "a", "m", key),
        device.jwks,
        device_name="x",
        now=house.clock(),
        jti="j" * 22,
    )
    token = {"garbage": "e30.e30.e30", "no dots": "x"}.get(what, token)
    with pytest.raises(Untrusted):
        house.minter.register(token)
    assert house.minter.devices() == ()


def test_a_key_belongs_to_one_device_for_ever(house: MinterHouse, ann: FakeDevice) -> None:
    with pytest.raises(Untrusted, match="registered already"):
        house.join(BO, FakeDevice(issuer=ISSUER, sig=ann.sig))
    with pytest.raises(Untrusted, match="registered already"):
        house.join(ANN, FakeDevice(issuer=ISSUER, enc=ann.enc))


def test_freezing_ends_what_the_device_asked_for_and_holds(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    pending = house.ask(ann, "prod").view.request_id
    approved = house.ask(ann, "dev").view.request_id
    changes = house.minter.freeze(ann.client_id, DI)
    assert {change.kind for change in changes} == {
        "device_frozen",
        "request_revoked",
        "grant_revoked",
    }
    for request_id in (pending, approved):
        assert house.minter.request(request_id).state == "revoked"
    assert house.minter.grant(grant.grant_id).state == "revoked"
    assert house.minter.freeze(ann.client_id, DI) == ()


def test_a_frozen_device_can_ask_decide_collect_and_mint_nothing(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    grant = house.granted(ann)
    request = house.ask(bo, "prod").view.request_id
    house.minter.freeze(ann.client_id, DI)
    for attempt in (
        lambda: house.ask(ann, "dev"),
        lambda: house.approve(request, ann, "device"),
        lambda: house.say(request, ann),
        lambda: house.minter.open_grant(grant.request_id, ann.client_id),
        lambda: house.minter.mint(grant.grant_id, ann.client_id),
        lambda: house.minter.totp_begin(ANN, ann.client_id),
    ):
        with pytest.raises(Refused) as refused:
            attempt()
        assert refused.value.state == "frozen"


def test_unfreezing_takes_another_person_and_brings_nothing_back(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    house.minter.freeze(ann.client_id, ANN)
    for by in (ANN, "Ann@Example.COM", ""):
        with pytest.raises(Refused):
            house.minter.unfreeze(ann.client_id, by)
    for spelt in (f" {ANN}", f"{ANN}\u200b", "x", "stranger@example.org"):
        with pytest.raises(Misconfigured):
            house.minter.unfreeze(ann.client_id, spelt)
    assert house.minter.devices()[0].state == "frozen"
    house.minter.unfreeze(ann.client_id, DI)
    assert house.minter.devices()[0].state == "active"
    assert house.minter.grant(grant.grant_id).state == "revoked"
    assert house.ask(ann, "dev").view.state == "approved"


def test_a_removed_device_cannot_be_unfrozen(house: MinterHouse) -> None:
    device = FakeDevice(issuer=ISSUER)
    token, _ = house.software_statement(ANN, device)
    client_id = house.minter.register(token)[0].client_id
    with pytest.raises(Refused):
        house.minter.register(token)
    with pytest.raises(Refused):
        house.minter.unfreeze(client_id, DI)


@pytest.mark.parametrize("name", ["d-00000000000000000000000000", "x", "r-1", ""])
def test_an_unknown_device_is_refused_with_words(house: MinterHouse, name: str) -> None:
    with pytest.raises((Refused, Untrusted)):
        house.minter.accept_request("a.b.c", name)
    with pytest.raises((Refused, Untrusted)):
        house.minter.freeze(name, DI)
