"""A yes counts by its evidence alone; a no ends the request; each decision counts once."""

from __future__ import annotations

import json
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borrow.minter.authority import Minter
from borrow.minter.evidence import Proof
from borrow.protocol.decision import (
    Evidence,
    read_statement,
    sign_statement,
    statement_hash,
    verify_record,
)
from borrow.protocol.errors import BorrowError, Refused, Untrusted
from borrow.protocol.keys import PublicKeys
from borrow_fakes.minting import ANN, BO, CY, DI, ISSUER, NUMBER, POLICY, MinterHouse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from borrow.protocol.decision import Choice
    from borrow_fakes.people import FakeDevice


def state_of(attempt: Callable[[], object]) -> str:
    with pytest.raises((Refused, Untrusted)) as raised:
        attempt()
    return raised.value.state


def test_a_statement_names_exactly_what_is_granted(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    view = house.ask(ann, "prod").view
    statement = read_statement(
        house.minter.new_statement(view.request_id, BO, "approve", number="7", seconds=600)
    )
    assert (statement.request, statement.request_hash) == (view.request_id, view.request_hash)
    assert (statement.granted.identifier, statement.granted.arn) == ("prod", view.role.arn)
    assert (statement.granted.seconds, statement.approver) == (600, BO)
    assert statement.not_after == int(house.clock()) + 300


def test_a_statement_never_outlives_the_pending_request(
    house: MinterHouse, ann: FakeDevice
) -> None:
    view = house.ask(ann, "prod").view
    house.clock.advance(800)
    statement = read_statement(house.minter.new_statement(view.request_id, BO, "approve"))
    assert statement.not_after == int(view.pending_until)


def test_a_click_of_the_requester_is_consent(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    outcome, changes = house.approve(request, ann, "consent")
    assert (outcome.view.state, outcome.view.decided_by) == ("approved", (ANN,))
    assert outcome.view.claim_until == house.clock() + 1_800
    assert changes == ()
    record = verify_record(outcome.record, PublicKeys([house.keys.sig]))
    assert (record.method, record.credential_id) == ("consent", ann.sig.thumbprint())
    assert record.evidence.split(".")[1] == ""  # detached: the statement stands beside it


def test_a_peers_device_signs_for_others(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    outcome, _ = house.approve(request, bo, "device", seconds=900)
    assert outcome.view.state == "approved"
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert (grant.role.seconds, grant.approvers, grant.methods) == (900, (BO,), ("device",))
    assert grant.expires_at == house.clock() + 900


def test_a63_nobody_approves_their_own_request_where_a_peer_is_asked(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    second = house.join(ANN)
    alias = house.join("Ann@Example.com")
    assert alias.owner == "Ann@Example.com"
    attempt = partial(house.minter.new_statement, request, ANN, "approve")
    assert state_of(attempt) == "self_approval"  # there is not even anything to sign
    for device in (ann, second, alias):
        assert state_of(partial(house.approve, request, device, "device")) == "self_approval"
    assert house.minter.request(request).state == "pending"


def test_a63_a_peers_statement_signed_by_the_requesters_device_does_not_count(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    data = house.minter.new_statement(request, BO, "approve")
    own = Evidence("device", sign_statement(data, ann.sig))
    for client_id in (bo.client_id, ann.client_id):
        attempt = partial(
            house.minter.accept_decision,
            request,
            BO,
            client_id,
            "approve",
            statement=data,
            evidence=own,
        )
        assert state_of(attempt) in {"untrusted", "not_a_decider"}
    assert house.minter.request(request).state == "pending"


def test_who_is_not_asked_cannot_answer(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "prod").view.request_id
    di = house.join(DI)
    assert state_of(lambda: house.approve(request, di, "device")) == "not_a_decider"
    assert state_of(lambda: house.say(request, di)) == "not_a_decider"


@pytest.mark.parametrize(
    ("role", "kind", "state"),
    [("prod", "consent", "factor"), ("click", "device", "factor"), ("click", "totp", "factor")],
)
def test_only_kinds_that_the_rule_takes_count(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, role: str, kind: str, state: str
) -> None:
    house.enrol_totp(ann)
    request = house.ask(ann, role).view.request_id
    who = bo if role == "prod" else ann
    assert state_of(lambda: house.approve(request, who, kind)) == state
    assert house.minter.request(request).state == "pending"


def test_a_yes_needs_a_statement_and_evidence(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    data = house.minter.new_statement(request, ANN, "approve")
    evidence = house.evidence("consent", ann, data)
    for statement, proof in ((None, None), (data, None), (None, evidence)):
        with pytest.raises(Untrusted):
            house.minter.accept_decision(
                request, ANN, ann.client_id, "approve", statement=statement, evidence=proof
            )


def test_a_statement_is_taken_only_as_it_was_issued(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    data = house.minter.new_statement(request, ANN, "approve")
    longer = data.replace(b'"duration": 3600', b'"duration": 7200')
    spaced = data.replace(b", ", b",  ", 1)
    unknown = data.replace(read_statement(data).nonce.encode(), b"n" * 22)
    for forged in (longer, spaced, unknown, b"", b"{}", b"\xff"):
        assert forged != data
        with pytest.raises(Untrusted):
            house.minter.accept_decision(
                request,
                ANN,
                ann.client_id,
                "approve",
                statement=forged,
                evidence=house.evidence("consent", ann, forged),
            )


def test_a_statement_serves_its_own_request_person_and_choice_only(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    first, second = (house.ask(ann, "prod", group=g).view.request_id for g in ("g1", "g2"))
    cy = house.join(CY)
    data = house.minter.new_statement(first, BO, "approve")
    denial = house.minter.new_statement(first, BO, "deny")
    cases: tuple[tuple[str, FakeDevice, Choice, bytes], ...] = (
        (second, bo, "approve", data),
        (first, cy, "approve", data),
        (first, bo, "deny", data),
        (first, bo, "approve", denial),
    )
    for request, device, decision, statement in cases:
        with pytest.raises(Untrusted):
            house.minter.accept_decision(
                request,
                device.owner,
                device.client_id,
                decision,
                statement=statement,
                evidence=house.evidence("device", device, statement),
            )
    assert house.minter.request(first).state == "pending"


def test_a_statement_counts_before_its_end_and_not_at_it(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "click").view.request_id
    data = house.minter.new_statement(request, ANN, "approve")
    house.clock.set(read_statement(data).not_after)
    attempt = partial(
        house.minter.accept_decision,
        request,
        ANN,
        ann.client_id,
        "approve",
        statement=data,
        evidence=house.evidence("consent", ann, data),
    )
    assert state_of(attempt) == "statement_expired"
    house.clock.advance(-1)
    assert attempt()[0].view.state == "approved"


def test_asking_for_statements_without_end_costs_no_more_than_a_few(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "click").view.request_id
    issued = [house.minter.new_statement(request, ANN, "approve") for _ in range(40)]
    data = issued[-1]
    outcome, _ = house.minter.accept_decision(
        request,
        ANN,
        ann.client_id,
        "approve",
        statement=data,
        evidence=house.evidence("consent", ann, data),
    )
    assert outcome.view.state == "approved"


@pytest.mark.parametrize("seconds", [3_601, -1])
def test_a_yes_can_shorten_but_not_lengthen(
    house: MinterHouse, ann: FakeDevice, seconds: int
) -> None:
    request = house.ask(ann, "click").view.request_id
    attempt = partial(house.minter.new_statement, request, ANN, "approve", seconds=seconds)
    assert state_of(attempt) == "too_long"


def test_a_no_needs_no_evidence_and_ends_the_request(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    outcome, changes = house.say(request, bo, reason="use \x1b[31mdev")
    assert (outcome.view.state, outcome.view.reason) == ("denied", "use \x1b[31mdev")
    assert [change.kind for change in changes] == ["request_denied"]
    record = verify_record(outcome.record, PublicKeys([house.keys.sig]))
    said = read_statement(record.statement)
    assert (record.method, said.decision, said.approver) == ("session", "deny", BO)
    with pytest.raises(Refused) as raised:
        house.minter.open_grant(request, ann.client_id)
    assert (raised.value.state, raised.value.request) == ("denied", request)


def test_the_requester_may_say_no_in_any_mode(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "prod").view.request_id
    assert house.say(request, ann)[0].view.state == "denied"


@pytest.mark.parametrize("first", ["deny", "expire", "cancel", "approve"])
def test_a65_after_the_end_of_pending_no_decision_changes_anything(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice, first: str
) -> None:
    request = house.ask(ann, "prod").view.request_id
    data = house.minter.new_statement(request, BO, "approve")
    evidence = house.evidence("device", bo, data)
    match first:
        case "deny":
            house.say(request, bo)
        case "expire":
            house.clock.advance(900)
        case "cancel":
            house.minter.cancel(request, ann.client_id)
        case _:
            house.approve(request, bo, "device")
    before = house.minter.request(request).state
    assert (
        state_of(
            lambda: house.minter.accept_decision(
                request, BO, bo.client_id, "approve", statement=data, evidence=evidence
            )
        )
        == "wrong_state"
    )
    assert state_of(lambda: house.say(request, bo)) == "wrong_state"
    assert state_of(lambda: house.minter.new_statement(request, BO, "approve")) == "wrong_state"
    assert house.minter.request(request).state == before


def test_a65_a_yes_that_waited_for_its_turn_past_the_end_is_too_late(
    house: MinterHouse, ann: FakeDevice
) -> None:
    """What counts is when the step happens, not when it came and had to queue."""
    view = house.ask(ann, "click").view
    came = threading.Event()

    def clock() -> float:
        came.set()
        return house.clock()

    minter = Minter(
        house.db,
        issuer=ISSUER,
        keys=house.keys,
        policy=lambda: house.policy,
        driver=house.cloud,
        clock=clock,
    )
    data = minter.new_statement(view.request_id, ANN, "approve")
    proof = house.evidence("consent", ann, data)
    said: list[str] = []

    def say() -> None:
        try:
            outcome, _ = minter.accept_decision(
                view.request_id, ANN, ann.client_id, "approve", statement=data, evidence=proof
            )
            said.append(outcome.view.state)
        except BorrowError as exc:
            said.append(exc.state)

    busy = sqlite3.connect(house.db, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")  # somebody else writes
    came.clear()
    late = threading.Thread(target=say)
    late.start()
    came.wait(0.2)
    house.clock.set(view.pending_until)
    busy.execute("ROLLBACK")
    busy.close()
    late.join(20)
    minter.close()
    assert said == ["wrong_state"]


def test_a65_only_the_device_or_a_revocation_leaves_approved(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    first, second = (house.ask(ann, "prod", group=g).view.request_id for g in ("g1", "g2"))
    for request in (first, second):
        house.approve(request, bo, "device")
    assert [c.kind for c in house.minter.cancel(first, ann.client_id)] == ["request_cancelled"]
    assert house.minter.cancel(first, ann.client_id) == ()
    house.minter.freeze(ann.client_id, DI)
    assert house.minter.request(second).state == "revoked"
    assert house.minter.request(first).state == "cancelled"


def test_a64_a_hundred_parallel_decisions_make_one_terminal_transition(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    cy = house.join(CY)
    request = house.ask(ann, "prod").view.request_id
    attempts: list[Callable[[], object]] = []
    for number in range(100):
        device = (bo, cy)[number % 2]
        if number % 4 == 3:
            attempts.append(partial(house.minter.cancel, request, ann.client_id))
        elif number % 4 == 2:
            attempts.append(partial(house.say, request, device))
        else:
            attempts.append(partial(house.approve, request, device, "device"))
    start = threading.Barrier(len(attempts))
    odd: list[Exception] = []

    def run(attempt: Callable[[], object]) -> None:
        start.wait()
        try:
            attempt()
        except (Refused, Untrusted):
            pass
        except Exception as exc:  # noqa: BLE001  a thread must not swallow what the test looks for
            odd.append(exc)

    threads = [threading.Thread(target=run, args=(attempt,)) for attempt in attempts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert odd == []
    ends = {"request.denied", "request.cancelled", "request.expired", "request.revoked"}
    assert sum(kind in ends for kind in house.kinds()) == 1
    assert house.kinds().count("request.approved") <= 1
    assert house.minter.request(request).state in {"denied", "cancelled"}
    assert house.minter.check_log().bad_seq is None


def test_two_yes_are_needed_where_the_rule_says_two(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    needs_two(house)
    request = house.ask(ann, "prod").view.request_id
    assert house.approve(request, bo, "device", seconds=1_200)[0].view.state == "pending"
    assert state_of(lambda: house.approve(request, bo, "device")) == "wrong_state"
    assert house.minter.request(request).state == "pending"
    cy = house.join(CY)
    assert house.approve(request, cy, "device", seconds=600)[0].view.state == "approved"
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert (grant.approvers, grant.role.seconds) == ((BO, CY), 600)  # the shorter of the two


def test_one_no_ends_it_even_after_a_yes(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    needs_two(house)
    request = house.ask(ann, "prod").view.request_id
    house.approve(request, bo, "device")
    assert house.say(request, bo)[0].view.state == "denied"


def needs_two(house: MinterHouse) -> None:
    """The file cannot say k = 2 yet; the minter can already count."""
    from dataclasses import replace

    rules = tuple(
        replace(rule, approve=replace(rule.approve, k=2)) if rule.id == "prod" else rule
        for rule in house.policy.rules
    )
    house.policy = replace(house.policy, rules=rules)


# Number match


def test_a57_the_third_wrong_number_cancels_the_request(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.enrol_totp(ann)
    request = house.ask(ann, "logs").view.request_id
    for number in ("", "999", "43"):
        house.fresh_code_time()
        attempt = partial(house.approve, request, ann, "totp", number=number)
        assert state_of(attempt) == "number_mismatch"
    assert house.minter.request(request).state == "cancelled"
    assert [change.kind for change in house.minter.sweep()][-1] == "request_cancelled"
    house.fresh_code_time()
    assert state_of(lambda: house.approve(request, ann, "totp")) == "wrong_state"


def test_a_wrong_number_does_not_use_the_code_up_and_the_right_one_goes_through(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.enrol_totp(ann)
    request = house.ask(ann, "logs").view.request_id
    assert state_of(lambda: house.approve(request, ann, "totp", number="1")) == "number_mismatch"
    assert house.approve(request, ann, "totp")[0].view.state == "approved"


def test_wrong_numbers_are_counted_over_a_restart(house: MinterHouse, ann: FakeDevice) -> None:
    house.enrol_totp(ann)
    request = house.ask(ann, "logs").view.request_id
    for _ in range(3):
        house.restart()
        state_of(lambda: house.approve(request, ann, "totp", number="1"))
    assert house.minter.request(request).state == "cancelled"


def test_a_used_statement_is_not_used_again(house: MinterHouse, ann: FakeDevice) -> None:
    house.enrol_totp(ann)
    request = house.ask(ann, "logs").view.request_id
    data = house.minter.new_statement(request, ANN, "approve", number="1")
    send = partial(
        house.minter.accept_decision,
        request,
        ANN,
        ann.client_id,
        "approve",
        statement=data,
        evidence=house.evidence("totp", ann, data),
    )
    assert state_of(send) == "number_mismatch"
    assert state_of(send) == "replayed"


def test_a_number_that_cannot_be_one_is_refused_at_once(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "logs").view.request_id
    for number in ("123456789", "०४२"):
        with pytest.raises(Untrusted):
            house.minter.new_statement(request, ANN, "approve", number=number)


def test_the_number_is_in_no_entry_of_the_log_before_it_was_answered(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "logs", number="739").view.request_id
    house.minter.new_statement(request, ANN, "approve", number="739")
    assert not any('"739"' in json.dumps(entry) for entry in house.log())


def test_a_policy_that_forbids_meanwhile_revokes_the_request(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "click").view.request_id
    house.use_policy(
        POLICY.replace("[[rule]]", '[[deny]]\nid = "no"\nroles = ["click"]\n[[rule]]', 1)
    )
    assert state_of(lambda: house.approve(request, ann, "consent")) == "denied_by_rule"
    assert house.minter.request(request).state == "revoked"
    assert [change.kind for change in house.minter.sweep()] == ["request_revoked"]


def test_a_report_by_the_owner_denies_revokes_and_freezes(
    house: MinterHouse, ann: FakeDevice
) -> None:
    grant = house.granted(ann)
    request = house.ask(ann, "prod").view.request_id
    outcome, changes = house.say(request, ann, decision="report")
    assert outcome.view.state == "denied"
    assert {change.kind for change in changes} == {
        "request_denied",
        "grant_revoked",
        "device_frozen",
    }
    assert house.minter.grant(grant.grant_id).state == "revoked"


def test_a_report_by_a_peer_is_a_no_and_freezes_nobody(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    request = house.ask(ann, "prod").view.request_id
    outcome, changes = house.say(request, bo, decision="report")
    assert outcome.view.state == "denied"
    assert [change.kind for change in changes] == ["request_denied"]
    said = read_statement(verify_record(outcome.record, PublicKeys([house.keys.sig])).statement)
    assert said.decision == "report"


def test_not_me_reaches_everything_of_the_device_from_any_of_its_things(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    second = house.join(ANN)
    grant = house.granted(ann)
    other = house.granted(ann, group="g2")
    pending = house.ask(ann, "prod").view.request_id
    untouched = house.granted(second)
    with pytest.raises(Refused):
        house.minter.report(grant.grant_id, BO, bo.client_id)
    changes = house.minter.report(grant.grant_id, ANN, second.client_id)
    assert sorted(change.kind for change in changes) == [
        "device_frozen",
        "grant_revoked",
        "grant_revoked",
        "request_denied",
    ]
    assert house.minter.grant(other.grant_id).state == "revoked"
    assert house.minter.request(pending).state == "denied"
    assert house.minter.grant(untouched.grant_id).state == "active"
    di = house.join(DI)
    assert house.minter.report(pending, DI, di.client_id) == ()  # admins may; twice is once


@given(data=st.binary(max_size=40), token=st.text(max_size=40), number=st.text(max_size=4))
@settings(max_examples=40, deadline=None)
def test_garbage_is_refused_and_nothing_else_happens(
    garbage: tuple[MinterHouse, FakeDevice, str], data: bytes, token: str, number: str
) -> None:
    house, ann, request = garbage
    before = house.minter.check_log().size
    for attempt in (
        lambda: house.minter.accept_decision(
            request,
            ANN,
            ann.client_id,
            "approve",
            statement=data,
            evidence=Evidence("consent", token),
        ),
        lambda: house.minter.accept_request(token, ann.client_id),
        lambda: house.minter.register(token),
        lambda: house.minter.open_grant(token, ann.client_id),
        lambda: house.minter.mint(token, ann.client_id),
        lambda: house.minter.report(token, ANN, ann.client_id),
        lambda: house.minter.totp_confirm(token, ann.client_id, number),
    ):
        with pytest.raises(BorrowError):
            attempt()
    assert house.minter.check_log().size == before


@pytest.fixture(scope="module")
def garbage(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[MinterHouse, FakeDevice, str]]:
    house = MinterHouse(tmp_path_factory.mktemp("garbage"))
    ann = house.join(ANN)
    yield house, ann, house.ask(ann, "click").view.request_id
    house.minter.close()


def test_a_proof_does_not_show_its_code() -> None:
    assert "123456" not in repr(Proof("totp", "", "kid", "123456"))


def test_the_statement_of_a_record_is_byte_for_byte_the_one_that_was_signed(
    house: MinterHouse, ann: FakeDevice
) -> None:
    request = house.ask(ann, "click").view.request_id
    data = house.minter.new_statement(request, ANN, "approve", number=NUMBER)
    outcome, _ = house.minter.accept_decision(
        request,
        ANN,
        ann.client_id,
        "approve",
        statement=data,
        evidence=house.evidence("consent", ann, data),
    )
    record = verify_record(outcome.record, PublicKeys([house.keys.sig]))
    assert statement_hash(record.statement) == statement_hash(data)
    assert any(e["facts"].get("record") == outcome.record for e in house.log())
