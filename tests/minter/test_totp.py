"""One-time codes: each once, and a lock that no restart opens."""

from __future__ import annotations

import base64
import json
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from borrow.minter.totp import SECRET_TYP, matching_step
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Untrusted
from borrow.protocol.jose import unseal
from borrow_fakes.minting import ANN, BO

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow_fakes.minting import MinterHouse
    from borrow_fakes.people import FakeDevice


def state_of(attempt: Callable[[], object]) -> str:
    with pytest.raises(BorrowError) as raised:
        attempt()
    return raised.value.state


@pytest.fixture
def secret(house: MinterHouse, ann: FakeDevice) -> str:
    return house.enrol_totp(ann)


@pytest.mark.parametrize(
    ("now", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (2000000000, "279037")],
)
def test_the_codes_are_those_of_rfc_6238(now: float, code: str) -> None:
    assert matching_step(b"12345678901234567890", code, now) == now // 30
    assert matching_step(b"12345678901234567890", code, now + 61) is None


def test_a_code_of_the_requester_approves(house: MinterHouse, ann: FakeDevice, secret: str) -> None:
    request = house.ask(ann, "logs").view.request_id
    outcome, _ = house.approve(request, ann, "totp")
    assert outcome.view.state == "approved"
    assert house.minter.open_grant(request, ann.client_id)[0].methods == ("totp",)


@pytest.mark.parametrize("steps", [-1, 1])
def test_a_clock_may_be_one_step_off(
    house: MinterHouse, ann: FakeDevice, secret: str, steps: int
) -> None:
    request = house.ask(ann, "logs").view.request_id
    outcome, _ = house.approve(request, ann, "totp", code=house.code(secret, steps=steps))
    assert outcome.view.state == "approved"


def test_a58_a_code_counts_once(house: MinterHouse, ann: FakeDevice, secret: str) -> None:
    first, second = (house.ask(ann, "logs", group=g).view.request_id for g in ("g1", "g2"))
    house.approve(first, ann, "totp")
    assert state_of(lambda: house.approve(second, ann, "totp")) == "otp_reused"
    older = house.code(secret, steps=-1)
    assert state_of(lambda: house.approve(second, ann, "totp", code=older)) == "otp_reused"
    assert house.minter.request(second).state == "pending"
    house.restart()
    assert state_of(lambda: house.approve(second, ann, "totp")) == "otp_reused"
    house.fresh_code_time()
    assert house.approve(second, ann, "totp")[0].view.state == "approved"


def test_a58_used_on_two_minters_at_once_exactly_one_wins(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    requests = [house.ask(ann, "logs", group=g).view.request_id for g in ("g1", "g2")]
    minters = [house.minter, house.open()]
    code, results = house.code(secret), []
    start = threading.Barrier(2)

    def run(index: int) -> None:
        minter, request = minters[index], requests[index]
        data = minter.new_statement(request, ANN, "approve", number="042")
        evidence = house.evidence("totp", ann, data, code)
        start.wait()
        try:
            minter.accept_decision(
                request, ANN, ann.client_id, "approve", statement=data, evidence=evidence
            )
            results.append("yes")
        except Refused as exc:
            results.append(exc.state)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    minters[1].close()
    assert sorted(results) == ["otp_reused", "yes"]


def test_a59_five_wrong_codes_lock_for_a_quarter_of_an_hour_over_a_restart(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    request = house.ask(ann, "logs").view.request_id
    wrong = wrong_code(house, secret)
    for _ in range(4):
        assert state_of(lambda: house.approve(request, ann, "totp", code=wrong)) == "otp_wrong"
    assert state_of(lambda: house.approve(request, ann, "totp", code=wrong)) == "otp_locked"
    house.restart()
    assert state_of(lambda: house.approve(request, ann, "totp")) == "otp_locked"
    house.clock.advance(899)
    assert state_of(lambda: house.approve(house.ask(ann, "logs").view.request_id, ann, "totp")) == (
        "otp_locked"
    )
    house.clock.advance(2)
    request = house.ask(ann, "logs").view.request_id
    assert house.approve(request, ann, "totp")[0].view.state == "approved"


def test_a59_tries_are_counted_over_a_restart(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    request = house.ask(ann, "logs").view.request_id
    states = []
    for _ in range(5):
        house.restart()
        wrong = wrong_code(house, secret)
        states.append(state_of(partial(house.approve, request, ann, "totp", code=wrong)))
    assert states == ["otp_wrong"] * 4 + ["otp_locked"]


def test_after_a_lock_the_count_starts_anew(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    lock(house, ann, secret)
    house.clock.advance(901)
    request = house.ask(ann, "logs").view.request_id
    wrong = wrong_code(house, secret)
    assert state_of(lambda: house.approve(request, ann, "totp", code=wrong)) == "otp_wrong"


def test_a_right_code_forgets_the_wrong_ones(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    for group in ("g1", "g2"):
        request = house.ask(ann, "logs", group=group).view.request_id
        for _ in range(4):
            wrong = wrong_code(house, secret)
            state_of(partial(house.approve, request, ann, "totp", code=wrong))
        assert house.approve(request, ann, "totp")[0].view.state == "approved"
        house.fresh_code_time()


def test_a_lock_is_its_persons_on_all_their_devices(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    """Who holds several devices of one person has no more guesses than who holds one."""
    request = house.ask(ann, "logs").view.request_id
    wrong = wrong_code(house, secret)
    devices = [ann, house.join(ANN), house.join(ANN)]
    states = [
        state_of(partial(house.approve, request, devices[n % 3], "totp", code=wrong))
        for n in range(6)
    ]
    assert states == ["otp_wrong"] * 4 + ["otp_locked"] * 2
    for device in devices:
        assert state_of(partial(house.approve, request, device, "totp")) == "otp_locked"


def test_a_right_code_forgives_no_other_device(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    """Else a thief on the one could wait for their person on the other, and guess for ever."""
    second = house.join(ANN)
    request = house.ask(ann, "logs").view.request_id
    wrong = wrong_code(house, secret)
    for _ in range(4):
        assert state_of(partial(house.approve, request, second, "totp", code=wrong)) == "otp_wrong"
    assert house.approve(request, ann, "totp")[0].view.state == "approved"
    house.fresh_code_time()
    request = house.ask(ann, "logs", group="another").view.request_id
    wrong = wrong_code(house, secret)
    assert state_of(partial(house.approve, request, second, "totp", code=wrong)) == "otp_locked"


def test_a_lock_is_one_persons(house: MinterHouse, ann: FakeDevice, secret: str) -> None:
    bo = house.join("bo@example.com")
    house.enrol_totp(bo)
    lock(house, ann, secret)
    request = house.ask(bo, "logs").view.request_id
    assert house.approve(request, bo, "totp")[0].view.state == "approved"


def test_a_sealed_code_cannot_be_moved_to_another_statement(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    first, second = (house.ask(ann, "logs", group=g).view.request_id for g in ("g1", "g2"))
    data = house.minter.new_statement(first, ANN, "approve", number="042")
    other = house.minter.new_statement(second, ANN, "approve", number="042")
    moved = house.evidence("totp", ann, data)
    with pytest.raises(Untrusted):
        house.minter.accept_decision(
            second, ANN, ann.client_id, "approve", statement=other, evidence=moved
        )


def test_a_code_sealed_by_another_persons_device_does_not_count(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, secret: str
) -> None:
    request = house.ask(ann, "logs").view.request_id
    data = house.minter.new_statement(request, ANN, "approve", number="042")
    stolen = house.evidence("totp", bo, data, house.code(secret))
    for client_id in (ann.client_id, bo.client_id):
        with pytest.raises((Untrusted, Refused)):
            house.minter.accept_decision(
                request, ANN, client_id, "approve", statement=data, evidence=stolen
            )


def test_without_codes_set_up_a_person_is_told_how(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "logs").view.request_id
    with pytest.raises(Misconfigured) as raised:
        house.approve(request, ann, "totp", code="123456")
    assert "borrow totp enrol" in raised.value.hint


# Enrolment


def test_the_secret_reaches_the_device_alone_and_is_active_after_one_code(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    begun = house.minter.totp_begin(ANN, ann.client_id)
    shown = json.loads(unseal(begun.sealed, ann.enc, SECRET_TYP))
    assert shown["uri"] == (f"otpauth://totp/Borrow:{ANN}?secret={shown['secret']}&issuer=Borrow")
    with pytest.raises(Untrusted):
        unseal(begun.sealed, bo.enc, SECRET_TYP)
    assert not house.minter.totp_active(ANN)
    code = house.sealed_code(ann, begun.enrolment_id.encode(), house.code(shown["secret"]))
    with pytest.raises(Refused):  # another device does not finish it
        house.minter.totp_confirm(begun.enrolment_id, bo.client_id, code)
    house.minter.totp_confirm(begun.enrolment_id, ann.client_id, code)
    assert house.minter.totp_active(ANN)
    assert not house.minter.totp_active(BO)
    with pytest.raises(Refused):
        house.minter.totp_confirm(begun.enrolment_id, ann.client_id, code)


def test_the_code_that_confirmed_approves_nothing(house: MinterHouse, ann: FakeDevice) -> None:
    secret = house.enrol_totp(ann)
    house.clock.advance(-60)
    request = house.ask(ann, "logs").view.request_id
    code = house.code(secret)
    assert state_of(lambda: house.approve(request, ann, "totp", code=code)) == "otp_reused"


def test_an_enrolment_waits_ten_minutes(house: MinterHouse, ann: FakeDevice) -> None:
    begun = house.minter.totp_begin(ANN, ann.client_id)
    house.clock.set(begun.expires_at)
    secret = json.loads(unseal(begun.sealed, ann.enc, SECRET_TYP))["secret"]
    code = house.sealed_code(ann, begun.enrolment_id.encode(), house.code(secret))
    assert (
        state_of(lambda: house.minter.totp_confirm(begun.enrolment_id, ann.client_id, code))
        == "unknown_enrolment"
    )


def test_guessing_at_enrolment_locks_too(house: MinterHouse, ann: FakeDevice) -> None:
    begun = house.minter.totp_begin(ANN, ann.client_id)
    guess = house.sealed_code(ann, begun.enrolment_id.encode(), "x")
    states = [
        state_of(lambda: house.minter.totp_confirm(begun.enrolment_id, ann.client_id, guess))
        for _ in range(6)
    ]
    assert states == ["otp_wrong"] * 4 + ["otp_locked"] * 2


def test_active_codes_are_replaced_only_with_one_of_them(
    house: MinterHouse, ann: FakeDevice, secret: str
) -> None:
    assert state_of(lambda: house.minter.totp_begin(ANN, ann.client_id)) == "otp_required"
    wrong = house.sealed_code(ann, ann.client_id.encode(), wrong_code(house, secret))
    attempt = partial(house.minter.totp_begin, ANN, ann.client_id, wrong)
    assert state_of(attempt) == "otp_wrong"
    old = house.sealed_code(ann, ann.client_id.encode(), house.code(secret))
    begun = house.minter.totp_begin(ANN, ann.client_id, old)
    fresh = json.loads(unseal(begun.sealed, ann.enc, SECRET_TYP))["secret"]
    assert fresh != secret
    code = house.sealed_code(ann, begun.enrolment_id.encode(), house.code(fresh))
    house.minter.totp_confirm(begun.enrolment_id, ann.client_id, code)
    house.clock.advance(60)
    request = house.ask(ann, "logs").view.request_id
    assert state_of(
        lambda: house.approve(request, ann, "totp", code=house.code(secret))
    ) == "otp_wrong"  # fmt: skip
    assert house.approve(request, ann, "totp", code=house.code(fresh))[0].view.state == "approved"


def test_nobody_sets_codes_up_for_another_person(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    with pytest.raises(Refused):
        house.minter.totp_begin(ANN, bo.client_id)


def test_the_database_alone_makes_no_code(house: MinterHouse, ann: FakeDevice, secret: str) -> None:
    house.minter.close()
    raw = base64.b32decode(secret)
    for path in house.folder.iterdir():
        content = path.read_bytes()
        for form in (secret.encode(), raw, base64.b64encode(raw), raw.hex().encode()):
            assert form not in content
    house.minter = house.open()


def wrong_code(house: MinterHouse, secret: str) -> str:
    near = {house.code(secret, steps=n) for n in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in near)


def lock(house: MinterHouse, device: FakeDevice, secret: str) -> None:
    request = house.ask(device, "logs").view.request_id
    for _ in range(5):
        wrong = wrong_code(house, secret)
        state_of(partial(house.approve, request, device, "totp", code=wrong))


def test_new_codes_are_told_to_their_person(house: MinterHouse, ann: FakeDevice) -> None:
    """Another authenticator is news on every device of its owner: a thief's would be silent."""
    house.minter.sweep()
    house.enrol_totp(ann)
    told = [(change.kind, change.person) for change in house.minter.sweep()]
    assert told == [("totp_active", ANN)]
