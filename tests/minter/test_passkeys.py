"""Passkeys: how they join, sign in and approve, and every way in which one must not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.minter.assertions import party_of, verify_assertion
from borrow.minter.ceremonies import MOST
from borrow.minter.port import RelyingParty
from borrow.policy.load import load_policy
from borrow.protocol.ceremony import challenge_of
from borrow.protocol.decision import Evidence, read_statement, verify_record
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Untrusted
from borrow.protocol.keys import PublicKeys, new_key, seed_of
from borrow.protocol.strict import b64url, from_b64url
from borrow_fakes.authenticator import UP, Authenticator
from borrow_fakes.minting import ANN, BO, CY, DI, ISSUER, POLICY, MinterHouse

if TYPE_CHECKING:
    from borrow_fakes.people import FakeDevice

RP = RelyingParty("approver.example.com", ISSUER)
DAY = 86_400


def refusal(call: Any, *words: Any, **more: Any) -> str:
    with pytest.raises(BorrowError) as raised:
        call(*words, **more)
    return raised.value.state


# Registration


def test_a_passkey_joins_by_an_invitation_and_its_person_is_told(house: MinterHouse) -> None:
    key = seed_of(house.minter.invite(ANN).key)
    options = house.minter.people.passkey_begin(key)
    assert (options.person, options.rp_id) == (ANN, "approver.example.com")
    made = Authenticator(RP.rp_id, RP.origin)
    answer = made.create(from_b64url(options.challenge))
    passkey, changes = house.minter.people.passkey_add(key, answer, "  Ann's\n phone  ")
    assert (passkey.credential_id, passkey.name) == (made.credential_id, "Ann's phone")
    assert passkey.counts_from == house.clock()
    assert [(change.kind, change.person) for change in changes] == [("passkey_added", ANN)]
    assert house.minter.people.passkeys(ANN) == (passkey,)
    assert made.credential_id not in json.dumps(house.log())  # by its short name only
    assert house.kinds()[-1] == "passkey.add"


def test_an_answer_that_got_lost_may_be_sent_again(house: MinterHouse) -> None:
    key = seed_of(house.minter.invite(ANN).key)
    options = house.minter.people.passkey_begin(key)
    answer = Authenticator(RP.rp_id, RP.origin).create(from_b64url(options.challenge))
    first, _ = house.minter.people.passkey_add(key, answer, "phone")
    again, changes = house.minter.people.passkey_add(key, answer, "phone")
    assert (again, changes) == (first, ())


def test_an_invitation_used_twice_removes_what_used_it_first(
    house: MinterHouse, ann: FakeDevice
) -> None:
    key = seed_of(house.minter.invite(ANN).key)
    house.passkey(ANN, invitation=key)
    assert refusal(house.minter.people.passkey_begin, key) == "invitation_used"  # only looked at
    assert len(house.minter.people.passkeys(ANN)) == 1
    thief = Authenticator(RP.rp_id, RP.origin).create(b"x" * 32)
    assert refusal(house.minter.people.passkey_add, key, thief, "") == "invitation_used"
    assert house.minter.people.passkeys(ANN) == ()
    assert [change.kind for change in house.minter.sweep()] == ["passkey_removed"]


def test_a_device_and_a_passkey_cannot_share_an_invitation(house: MinterHouse) -> None:
    from borrow_fakes.people import FakeDevice

    device = FakeDevice(owner=ANN, issuer=ISSUER)
    token, key = house.software_statement(ANN, device)
    house.passkey(ANN, invitation=seed_of(key))
    assert refusal(house.minter.register, token) == "invitation_used"
    assert (house.minter.people.passkeys(ANN), house.minter.devices()) == ((), ())
    token, key = house.software_statement(ANN, device)
    house.minter.register(token)
    answer = Authenticator(RP.rp_id, RP.origin).create(b"x" * 32)
    assert refusal(house.minter.people.passkey_add, seed_of(key), answer, "") == "invitation_used"
    assert [each.state for each in house.minter.devices()] == ["removed"]


def test_only_a_fresh_challenge_of_this_very_invitation_registers(house: MinterHouse) -> None:
    people = house.minter.people
    anns, bos = (seed_of(house.minter.invite(person).key) for person in (ANN, BO))
    theirs = from_b64url(people.passkey_begin(bos).challenge)
    made = Authenticator(RP.rp_id, RP.origin)
    assert refusal(people.passkey_add, anns, made.create(theirs), "") == "passkey_challenge"
    assert refusal(people.passkey_add, anns, made.create(b"y" * 32), "") == "passkey_challenge"
    mine = from_b64url(people.passkey_begin(anns).challenge)
    house.clock.advance(301)
    assert refusal(people.passkey_add, anns, made.create(mine), "") == "passkey_challenge"
    sign_in = challenge_of(people.new_ceremony("sign-in"))
    assert refusal(people.passkey_add, anns, made.create(sign_in), "") == "passkey_challenge"
    house.clock.advance(300)
    assert refusal(people.passkey_begin, anns) == "expired"
    assert refusal(people.passkey_begin, seed_of(new_key())) == "untrusted"
    assert refusal(people.passkey_begin, "not a key") == "untrusted"


CREATE_LIES = [
    ({"origin": "https://evil.example.com"}, "passkey_origin"),
    ({"origin": ISSUER + ":8443"}, "passkey_origin"),
    ({"crossOrigin": True}, "passkey_cross_origin"),
    ({"type": "webauthn.get"}, "passkey_type"),
    ({"rp_id": "example.com"}, "passkey_signature"),
    ({"flags": UP}, "passkey_signature"),
    ({"flags": 0}, "passkey_signature"),
]


@pytest.mark.parametrize(("lie", "state"), CREATE_LIES)
def test_a_registration_with_a_lie_is_refused(
    house: MinterHouse, lie: dict[str, Any], state: str
) -> None:
    key = seed_of(house.minter.invite(ANN).key)
    challenge = from_b64url(house.minter.people.passkey_begin(key).challenge)
    answer = Authenticator(RP.rp_id, RP.origin).create(challenge, **lie)
    assert refusal(house.minter.people.passkey_add, key, answer, "") == state
    assert house.minter.people.passkeys(ANN) == ()


def test_a_passkey_that_nobodys_own_evidence_vouched_for_counts_after_a_day(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.passkey(ANN)
    second = house.passkey(ANN)  # an administrator's invitation again: who knows who asked for it
    request = house.ask(ann, "logs").view.request_id
    assert refusal(house.approve_on_page, request, ANN, second) == "passkey_waits"
    house.clock.advance(DAY)
    request = house.ask(ann, "logs", jti="later-" + "j" * 20).view.request_id
    assert house.approve_on_page(request, ANN, second).view.state == "approved"


def test_ones_own_evidence_brings_another_passkey_that_counts_at_once(
    house: MinterHouse, ann: FakeDevice
) -> None:
    people, first = house.minter.people, house.passkey(ANN)
    ceremony = people.new_ceremony("invite", ANN)
    proof = Evidence("passkey", first.get(challenge_of(ceremony)))
    key = seed_of(people.invite_with(ceremony, proof).key)
    assert refusal(people.invite_with, ceremony, proof) == "replayed"
    second = house.passkey(ANN, invitation=key)
    request = house.ask(ann, "logs").view.request_id
    assert house.approve_on_page(request, ANN, second).view.state == "approved"


def test_a_one_time_code_on_ones_own_device_invites_too(
    house: MinterHouse, ann: FakeDevice
) -> None:
    house.passkey(ANN)
    house.enrol_totp(ann)
    people = house.minter.people
    ceremony = people.new_ceremony("invite", ANN)
    wrong = Evidence("totp", house.sealed_code(ann, ceremony, "000000"))
    assert refusal(people.invite_with, ceremony, wrong, ann.client_id) == "otp_wrong"
    ceremony = people.new_ceremony("invite", ANN)
    right = house.evidence("totp", ann, ceremony)
    key = seed_of(people.invite_with(ceremony, right, ann.client_id).key)
    house.passkey(ANN, invitation=key)
    assert [each.counts_from <= house.clock() for each in people.passkeys(ANN)] == [True, True]


def test_a_click_or_anothers_evidence_invites_nobody(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    people = house.minter.people
    bos = house.passkey(BO)
    for person, passkey in ((ANN, bos), (BO, house.passkey(CY))):
        ceremony = people.new_ceremony("invite", person)
        proof = Evidence("passkey", passkey.get(challenge_of(ceremony)))
        assert refusal(people.invite_with, ceremony, proof) == "not_a_decider"
    ceremony = people.new_ceremony("invite", ANN)
    click = house.evidence("consent", ann, ceremony)
    assert refusal(people.invite_with, ceremony, click, ann.client_id) == "factor"
    sign_in = people.new_ceremony("sign-in")
    proof = Evidence("passkey", bos.get(challenge_of(sign_in)))
    assert refusal(people.invite_with, sign_in, proof) == "passkey_challenge"


def test_an_admin_invites_others_with_a_passkey(house: MinterHouse) -> None:
    people, admin = house.minter.people, house.passkey(DI)
    ceremony = people.new_ceremony("invite", ANN)
    invited = people.invite_with(ceremony, Evidence("passkey", admin.get(challenge_of(ceremony))))
    assert invited.person == ANN
    assert house.log()[-1]["facts"]["by"] == DI


# Signing in


def test_a_sign_in_says_who_is_there_once(house: MinterHouse) -> None:
    people, anns = house.minter.people, house.passkey(ANN)
    ceremony = people.new_ceremony("sign-in")
    answer = anns.get(challenge_of(ceremony))
    assert people.sign_in(ceremony, answer).person == ANN
    assert refusal(people.sign_in, ceremony, answer) == "replayed"
    assert people.passkeys(ANN)[0].last_used_at == house.clock()


def test_who_left_the_policy_does_not_sign_in(house: MinterHouse) -> None:
    people, anns = house.minter.people, house.passkey(ANN)
    house.policy = load_policy(POLICY.replace(f'"{ANN}", ', ""))
    ceremony = people.new_ceremony("sign-in")
    with pytest.raises(Misconfigured):
        people.sign_in(ceremony, anns.get(challenge_of(ceremony)))


def test_who_left_the_policy_has_no_passkey_that_counts(house: MinterHouse) -> None:
    """Sessions of the pages hang on it, and pushes to browsers."""
    anns = house.passkey(ANN)
    assert house.minter.people.passkey_is_active(anns.credential_id)
    house.policy = load_policy(POLICY.replace(f'"{ANN}", ', ""))
    assert not house.minter.people.passkey_is_active(anns.credential_id)


def test_a_removed_or_unknown_passkey_proves_nothing(house: MinterHouse, ann: FakeDevice) -> None:
    people, anns = house.minter.people, house.passkey(ANN)
    assert refusal(people.passkey_remove, anns.credential_id, BO) == "unknown_passkey"
    assert [c.kind for c in people.passkey_remove(anns.credential_id, ANN)] == ["passkey_removed"]
    assert people.passkey_remove(anns.credential_id, ANN) == ()
    assert not people.passkey_is_active(anns.credential_id)
    request = house.ask(ann, "logs").view.request_id
    for passkey in (anns, Authenticator(RP.rp_id, RP.origin)):
        assert refusal(house.approve_on_page, request, ANN, passkey) == "unknown_passkey"
        ceremony = people.new_ceremony("sign-in")
        answer = passkey.get(challenge_of(ceremony))
        assert refusal(people.sign_in, ceremony, answer) == "unknown_passkey"


def test_strangers_who_open_many_sign_ins_push_out_the_oldest_and_keep_nobody_out(
    house: MinterHouse,
) -> None:
    people, anns = house.minter.people, house.passkey(ANN)
    first, second = (people.new_ceremony("sign-in") for _ in range(2))
    house.clock.advance(1)
    for _ in range(MOST - 1):
        people.new_ceremony("sign-in")
    mine = people.new_ceremony("sign-in")
    for gone in (first, second):
        answer = anns.get(challenge_of(gone))
        assert refusal(people.sign_in, gone, answer) == "passkey_challenge"
    assert people.sign_in(mine, anns.get(challenge_of(mine))).person == ANN


# Approving


def test_a_passkeys_yes_is_on_record_with_all_it_takes_to_check_it_again(
    house: MinterHouse, ann: FakeDevice
) -> None:
    anns = house.passkey(ANN, counter=7)
    request = house.ask(ann, "logs").view.request_id
    outcome = house.approve_on_page(request, ANN, anns)
    assert outcome.view.state == "approved"
    keys = PublicKeys.from_jwks({"keys": [house.minter.keys().sig]}, "sig")
    record = verify_record(outcome.record, keys)
    assert (record.method, record.credential_id) == ("passkey", anns.credential_id)
    assert read_statement(record.statement).approver == ANN
    kept = json.loads(record.evidence)
    client = json.loads(from_b64url(kept["clientDataJSON"]))
    assert client["challenge"] == b64url(challenge_of(record.statement))
    grant, _ = house.minter.open_grant(request, ann.client_id)
    assert grant.methods == ("passkey",)
    assert house.minter.mint(grant.grant_id, ann.client_id).sealed


LIES = [
    ({"origin": "https://evil.example.com"}, "passkey_origin"),
    ({"origin": ISSUER + ":8443"}, "passkey_origin"),
    ({"origin": ISSUER.replace("https", "http")}, "passkey_origin"),
    ({"crossOrigin": True}, "passkey_cross_origin"),
    ({"crossOrigin": "no"}, "passkey_cross_origin"),
    ({"topOrigin": "https://evil.example.com"}, "passkey_cross_origin"),
    ({"type": "webauthn.create"}, "passkey_type"),
    ({"challenge": b"c" * 32}, "passkey_challenge"),
    ({"rp_id": "example.com"}, "passkey_rp"),
    ({"flags": UP}, "passkey_user_verification"),
    ({"flags": 0x04}, "passkey_user_verification"),
    ({"counter": 7}, "passkey_counter"),
    ({"counter": 0}, "passkey_counter"),
    ({"signature": b"0" * 70}, "passkey_signature"),
    ({"signature": b""}, "passkey_signature"),
    ({"extension": b"x" * 9_500}, "passkey_malformed"),  # signed, and too long for a record
]


@pytest.mark.parametrize(("lie", "state"), LIES)
def test_an_assertion_with_a_lie_approves_nothing(
    house: MinterHouse, ann: FakeDevice, lie: dict[str, Any], state: str
) -> None:
    anns = house.passkey(ANN, counter=7)
    request = house.ask(ann, "logs").view.request_id
    assert refusal(house.approve_on_page, request, ANN, anns, **lie) == state
    assert house.minter.request(request).state == "pending"
    assert house.approve_on_page(request, ANN, anns).view.state == "approved"


def test_an_assertion_over_another_statement_approves_nothing(
    house: MinterHouse, ann: FakeDevice
) -> None:
    anns = house.passkey(ANN)
    request = house.ask(ann, "logs").view.request_id
    short, long = (
        house.minter.new_statement(request, ANN, "approve", number="042", seconds=seconds)
        for seconds in (600, 3_600)
    )
    signed = Evidence("passkey", anns.get(challenge_of(short)))
    decide = house.minter.accept_decision
    state = refusal(decide, request, ANN, None, "approve", statement=long, evidence=signed)
    assert state == "passkey_challenge"
    altered = short.replace(b'"duration": 600', b'"duration": 900')
    assert altered != short
    again = Evidence("passkey", anns.get(challenge_of(altered)))
    state = refusal(decide, request, ANN, None, "approve", statement=altered, evidence=again)
    assert state == "untrusted"


def test_nobody_elses_passkey_says_ones_yes(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    anns, bos = house.passkey(ANN), house.passkey(BO)
    own = house.ask(ann, "logs").view.request_id
    assert refusal(house.approve_on_page, own, ANN, bos) == "not_a_decider"
    assert refusal(house.approve_on_page, own, BO, bos) == "not_a_decider"
    others = house.ask(ann, "prod").view.request_id
    assert refusal(house.approve_on_page, others, ANN, anns) == "self_approval"
    assert refusal(house.approve_on_page, others, BO, anns) == "not_a_decider"
    assert house.approve_on_page(others, BO, bos).view.state == "approved"


def test_a_page_gives_no_devices_evidence(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "click").view.request_id
    statement = house.minter.new_statement(request, ANN, "approve")
    for kind in ("consent", "device"):
        proof = house.evidence(kind, ann, statement)
        with pytest.raises(Refused):
            house.minter.accept_decision(
                request, ANN, None, "approve", statement=statement, evidence=proof
            )
    passkey = house.passkey(ANN)
    assert refusal(house.approve_on_page, request, ANN, passkey) == "factor"  # a rule of its own


def test_a_no_and_a_report_work_from_a_page(house: MinterHouse, ann: FakeDevice) -> None:
    request = house.ask(ann, "logs").view.request_id
    outcome, _ = house.minter.accept_decision(request, ANN, None, "deny", reason="not today")
    assert outcome.view.state == "denied"
    grant = house.granted(ann)
    house.minter.report(grant.grant_id, ANN, None)
    assert house.minter.grant(grant.grant_id).state == "revoked"
    assert [each.state for each in house.minter.devices()] == ["frozen"]
    assert refusal(house.minter.report, grant.grant_id, BO, None) == "not_a_decider"


def test_three_wrong_numbers_on_a_page_end_the_request(house: MinterHouse, ann: FakeDevice) -> None:
    anns = house.passkey(ANN)
    request = house.ask(ann, "logs").view.request_id
    for _ in range(3):
        state = refusal(house.approve_on_page, request, ANN, anns, number="999")
        assert state == "number_mismatch"
    assert house.minter.request(request).state == "cancelled"


def test_a_rule_that_turned_to_peers_does_not_take_ones_own_passkey(
    house: MinterHouse, ann: FakeDevice
) -> None:
    anns = house.passkey(ANN)
    request = house.ask(ann, "logs").view.request_id
    house.approve_on_page(request, ANN, anns)
    own = '{ mode = "self", factor = ["totp", "passkey"], match = true }'
    assert own in POLICY
    house.use_policy(POLICY.replace(own, '{ mode = "peer", from = ["group:team"] }'))
    assert refusal(house.minter.open_grant, request, ann.client_id) == "policy"


# Who a passkey is for, and any bytes


@pytest.mark.parametrize(
    ("url", "party"),
    [
        ("https://Borrow.example.com/", RelyingParty("borrow.example.com", "https://borrow.example.com")),
        ("https://b.example.com:443", RelyingParty("b.example.com", "https://b.example.com")),
        ("https://b.example.com:8443/x", RelyingParty("b.example.com", "https://b.example.com:8443")),
        ("http://localhost:8440", RelyingParty("localhost", "http://localhost:8440")),
        ("http://127.0.0.1:8440", None),
        ("https://10.0.0.1", None),
        ("https://[::1]:1", None),
        ("http://b.example.com", None),
    ],
)  # fmt: skip
def test_the_party_follows_from_the_address(url: str, party: RelyingParty | None) -> None:
    assert party_of(url) == party


def test_without_a_name_there_are_no_passkeys(house: MinterHouse) -> None:
    house.minter.people.rp = None
    with pytest.raises(Misconfigured) as raised:
        house.minter.people.new_ceremony("sign-in")
    assert "public_url" in raised.value.hint


KEY = Authenticator(RP.rp_id, RP.origin)
ANSWER = KEY.get(b"c" * 32)


@given(st.data())
def test_no_bytes_make_anything_but_untrusted(data: st.DataObject) -> None:
    """One signed part is turned or cut, or the JSON is."""
    answer = json.loads(ANSWER)
    name = data.draw(st.sampled_from(["clientDataJSON", "authenticatorData", "signature", "all"]))
    if name == "all":
        text = data.draw(st.text(max_size=40) | st.just(ANSWER[:-9]) | st.just("{}"))
    else:
        raw = bytearray(from_b64url(answer["response"][name]))
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place] ^= data.draw(st.integers(1, 255))
        answer["response"][name] = b64url(bytes(raw))
        text = json.dumps(answer)
    if text == ANSWER:
        return
    with pytest.raises(Untrusted):
        _verified(text)


def _verified(text: str) -> None:
    key = KEY.public_key()
    verify_assertion(text, challenge=b"c" * 32, party=RP, public_key=key, sign_count=0)


def test_the_untouched_answer_holds() -> None:
    _verified(ANSWER)
