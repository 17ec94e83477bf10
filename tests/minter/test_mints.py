"""A credential leaves only for a live grant, sealed to its device, after the log has it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from borrow.protocol.credentials import open_credentials
from borrow.protocol.errors import BorrowError, Refused, Unavailable, Untrusted
from borrow.protocol.keys import PublicKeys
from borrow_fakes.cloud import SECRET
from borrow_fakes.minting import ANN, BO, DI, ISSUER, POLICY

if TYPE_CHECKING:
    from borrow.protocol.credentials import SealedFor
    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice


def opened(house: MinterHouse, device: FakeDevice, sealed: str) -> SealedFor:
    return open_credentials(
        sealed,
        key=device.enc,
        minter=PublicKeys([house.keys.sig]),
        issuer=ISSUER,
        client_id=device.client_id,
        now=house.clock(),
    )


def test_the_asking_device_alone_can_open_it(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    grant = house.granted(ann)
    minted = house.minter.mint(grant.grant_id, ann.client_id)
    inside = opened(house, ann, minted.sealed)
    assert (inside.grant_id, inside.role) == (grant.grant_id, "click")
    assert inside.credentials.secret_access_key == f"{SECRET}-1"
    assert inside.credentials.access_key_id == minted.access_key_id
    with pytest.raises(Untrusted):
        opened(house, bo, minted.sealed)


def test_the_driver_is_told_who_what_and_how_long(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    house.approve(request, bo, "device")
    grant, _ = house.minter.open_grant(request, ann.client_id)
    house.minter.mint(grant.grant_id, ann.client_id)
    target, facts = house.cloud.calls[0]
    assert (target.name, target.arn, target.mint_seconds) == ("prod", grant.role.arn, 900)
    assert (facts.grant_id, facts.request_id, facts.person) == (grant.grant_id, request, ANN)
    assert (facts.mode, facts.rule, facts.approvers) == ("peer", "prod", (BO,))
    assert facts.expires_at == grant.expires_at


def test_a_credential_never_outlives_its_grant(house: MinterHouse, ann: FakeDevice) -> None:
    house.cloud.seconds = 43_200
    grant = house.granted(ann, seconds=120)
    house.clock.advance(119)
    minted = house.minter.mint(grant.grant_id, ann.client_id)
    assert minted.expires_at == grant.expires_at
    house.clock.advance(1)
    with pytest.raises(Refused) as raised:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert raised.value.state == "grant_exhausted"
    assert len(house.cloud.calls) == 1


def test_the_log_has_it_before_and_after(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)
    seen: list[str] = []
    house.cloud.during = lambda: seen.extend(house.kinds())
    minted = house.minter.mint(grant.grant_id, ann.client_id)
    assert seen[-1] == "mint.begin"
    end = house.log()[-1]
    assert (end["kind"], end["facts"]["outcome"]) == ("mint.end", "sealed")
    assert end["facts"]["access_key_id"] == minted.access_key_id


@pytest.mark.parametrize("how", ["revoke", "release", "freeze", "expire"])
def test_a_grant_that_ends_during_the_call_gives_nothing(
    house: MinterHouse, ann: FakeDevice, how: str
) -> None:
    grant = house.granted(ann)

    def during() -> None:
        match how:
            case "revoke":
                house.minter.revoke(grant.grant_id, DI, "incident")
            case "release":
                house.minter.release(grant.grant_id, ann.client_id)
            case "freeze":
                house.minter.freeze(ann.client_id, DI)
            case _:
                house.clock.set(grant.expires_at)

    house.cloud.during = during
    with pytest.raises(Refused) as raised:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert raised.value.state == "grant_exhausted"
    assert house.log()[-1]["facts"]["outcome"] == "dropped"


@pytest.mark.parametrize("how", ["revoke", "release", "expire"])
def test_nothing_is_minted_after_the_end(house: MinterHouse, ann: FakeDevice, how: str) -> None:
    grant = house.granted(ann)
    match how:
        case "revoke":
            house.minter.revoke(grant.grant_id, DI, "incident")
        case "release":
            house.minter.release(grant.grant_id, ann.client_id)
        case _:
            house.clock.set(grant.expires_at)
    with pytest.raises(Refused) as raised:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert raised.value.state == "grant_exhausted"
    assert house.cloud.calls == []


def test_another_device_gets_nothing(house: MinterHouse, ann: FakeDevice, bo: FakeDevice) -> None:
    grant = house.granted(ann)
    second = house.join(ANN)
    for device in (bo, second):
        with pytest.raises(Refused) as raised:
            house.minter.mint(grant.grant_id, device.client_id)
        assert raised.value.state == "unknown_grant"


@pytest.mark.parametrize(
    ("old", "new", "state"),
    [
        ("[[rule]]", '[[deny]]\nid = "no"\nroles = ["click"]\n[[rule]]', "denied_by_rule"),
        ("role/Click", "role/Other", "unknown_role"),
        ('roles = ["click"]', 'roles = ["dev"]', "no_rule"),
    ],
)
def test_the_policy_of_the_moment_must_allow_it(
    house: MinterHouse, ann: FakeDevice, old: str, new: str, state: str
) -> None:
    grant = house.granted(ann)
    house.use_policy(POLICY.replace(old, new, 1))
    with pytest.raises(Refused) as raised:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert raised.value.state == state
    assert house.cloud.calls == []
    house.use_policy(POLICY)
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


def test_a_policy_can_shorten_later_credentials_and_not_lengthen_them(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    house.approve(request, bo, "device")
    grant, _ = house.minter.open_grant(request, ann.client_id)
    for mint, expected in (("5m", 300), ("50m", 900)):
        house.use_policy(POLICY.replace('mint = "15m"', f'mint = "{mint}"'))
        house.minter.mint(grant.grant_id, ann.client_id)
        assert house.cloud.calls[-1][0].mint_seconds == expected


def test_a_spent_budget_does_not_stop_a_grant_that_it_gave(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.minter.release(house.granted(ann, "dev").grant_id, ann.client_id)
    grant = house.granted(ann, "dev")
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


@pytest.mark.parametrize(
    "error", [Unavailable("throttled"), Refused("no trust", state="cloud_refused")]
)
def test_what_the_cloud_says_comes_through_and_is_logged(
    house: MinterHouse, ann: FakeDevice, error: BorrowError
) -> None:
    grant = house.granted(ann)

    def fail() -> None:
        raise error

    house.cloud.during = fail
    with pytest.raises(type(error)) as raised:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert raised.value is error
    assert house.log()[-1]["facts"]["outcome"] == error.state
    house.cloud.during = None
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


def test_a_bug_of_a_driver_closes_the_mint_too(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)

    def burst() -> None:
        raise ZeroDivisionError

    house.cloud.during = burst
    with pytest.raises(ZeroDivisionError):
        house.minter.mint(grant.grant_id, ann.client_id)
    assert house.log()[-1]["facts"]["outcome"] == "failed"


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_credential_that_has_ended_already_is_dropped(
    house: MinterHouse, ann: FakeDevice, seconds: int
) -> None:
    grant = house.granted(ann)
    house.cloud.seconds = seconds
    with pytest.raises(Refused) as raised:
        house.minter.mint(grant.grant_id, ann.client_id)
    assert raised.value.state == "cloud_refused"


def test_a_minter_that_started_meanwhile_wins(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)
    house.cloud.during = lambda: house.open().close()
    with pytest.raises(Unavailable):
        house.minter.mint(grant.grant_id, ann.client_id)
    assert house.kinds()[-2:] == ["mint.begin", "mint.lost"]
    house.cloud.during = None
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id


def test_many_at_once_each_get_one_and_the_log_holds(house: MinterHouse, ann: FakeDevice) -> None:
    grant = house.granted(ann)
    keys: list[str] = []

    def run() -> None:
        keys.append(house.minter.mint(grant.grant_id, ann.client_id).access_key_id)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(keys)) == 16
    assert house.kinds().count("mint.begin") == house.kinds().count("mint.end") == 16
    assert house.minter.check_log().bad_seq is None


def test_a42_no_secret_of_the_cloud_is_kept_or_shown(
    house: MinterHouse, ann: FakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    grant = house.granted(ann)
    minted = house.minter.mint(grant.grant_id, ann.client_id)
    inside = opened(house, ann, minted.sealed)
    for shown in (repr(minted), repr(inside), repr(house.keys), caplog.text, str(house.log())):
        assert "CANARY" not in shown
    for path in house.folder.iterdir():
        assert b"CANARY" not in path.read_bytes()
    private = house.keys.sig.as_dict(private=True)["d"]
    assert all(str(private).encode() not in path.read_bytes() for path in house.folder.iterdir())
    assert str(private) not in repr(house.keys)
