"""Every message of the profile: what one side makes the other reads, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.protocol import credentials, decision, enrolment, events
from borrow.protocol.assertion import LONGEST, TYP, claimed_client, verify_assertion
from borrow.protocol.credentials import AwsCredentials, SealedFor
from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)
from borrow.protocol.ids import GrantId, kind_of, new_request_id, words
from borrow.protocol.jose import sign
from borrow.protocol.keys import (
    PublicKeys,
    device_jwks,
    load_key,
    new_key,
    pair_pin,
    pinned_pair,
    public_jwk,
    thumbprint,
)
from borrow.protocol.oauth import from_wire, to_wire
from borrow.protocol.request import AwsRole, SignedRequest, sign_request, verify_request
from borrow_fakes.people import ADMIN_ARN, FakeDevice

NOW = 1_800_000_000.0
DEVICE = FakeDevice()


def read(token: str, device: FakeDevice = DEVICE, now: float = NOW) -> SignedRequest:
    return verify_request(
        token,
        device.keys,
        client_id=device.client_id,
        owner=device.owner,
        issuer=device.issuer,
        now=now,
    )


def test_a_request_comes_back_as_it_was_signed() -> None:
    asked = DEVICE.request(NOW, extends="g-01jv0000000000000000000000")
    token = sign_request(asked, DEVICE.sig)
    signed = read(token)
    assert signed.request == asked
    assert signed.jws == token


def test_the_request_hash_is_of_the_signing_input() -> None:
    """An ECDSA signature can be malleated and its input cannot: two signings, one hash."""
    asked = DEVICE.request(NOW)
    one, two = (read(sign_request(asked, DEVICE.sig)) for _ in range(2))
    assert one.jws != two.jws
    assert one.request_hash == two.request_hash


def claims(**changes: Any) -> dict[str, Any]:
    out = DEVICE.request(NOW).to_claims() | changes
    return {name: value for name, value in out.items() if value is not ...}


def detail(**changes: Any) -> list[dict[str, Any]]:
    return [AwsRole("prod-admin", ADMIN_ARN, 60).to_claims() | changes]


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "another client": claims(iss="d-other"),
    "another server": claims(aud="http://127.0.0.1:2"),
    "a list of servers": claims(aud=[DEVICE.issuer]),
    "another person": claims(login_hint="bo@example.com"),
    "with a sub": claims(sub="ann@example.com"),
    "an unknown member": claims(prompt="login"),
    "no number": claims(borrow_number=...),
    "four digits": claims(borrow_number="1234"),
    "digits of another script": claims(borrow_number="١٢٣"),
    "a short jti": claims(jti="abc"),
    "no nbf": claims(nbf=...),
    "six minutes": claims(exp=int(NOW) + 360),
    "words that shout": claims(binding_message="CALL 555-123"),
    "two roles": claims(authorization_details=detail() * 2),
    "no role": claims(authorization_details=[]),
    "another type": claims(authorization_details=detail(type="gcp_role")),
    "an unknown detail": claims(authorization_details=detail(actions=["*"])),
    "an ARN that is none": claims(authorization_details=detail(arn="prod")),
    "a role name with a path": claims(authorization_details=detail(identifier="../x")),
    "a negative duration": claims(authorization_details=detail(duration=-1)),
    "a duration of text": claims(authorization_details=detail(duration="1h")),
    "a duration that is true": claims(authorization_details=detail(duration=True)),
    "a long reason": claims(authorization_details=detail(justification="x" * 501)),
    "half a character": claims(authorization_details=detail(justification="\ud800")),
    "a context too large": claims(request_context={"host": "x" * 5000}),
    "a context with more": claims(request_context={"trusted": True}),
    "an unknown way": claims(request_context={"via": "root"}),
    "extends a request": claims(extends="r-01jv0000000000000000000000"),
}


@pytest.mark.parametrize("bad", BAD_CLAIMS.values(), ids=list(BAD_CLAIMS))
def test_a_request_that_is_not_exactly_ours_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(Untrusted):
        read(sign(bad, DEVICE.sig, "oauth-authz-req+jwt"))


def test_the_good_claims_are_good() -> None:
    good = read(sign(claims(), DEVICE.sig, "oauth-authz-req+jwt"))
    assert good.request.role.arn == ADMIN_ARN


@given(
    st.dictionaries(
        st.sampled_from(sorted(claims())),
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers()),
    )
)
def test_wrong_types_surface_only_as_untrusted(changes: dict[str, Any]) -> None:
    try:
        read(sign(claims() | changes, DEVICE.sig, "oauth-authz-req+jwt"))
    except BorrowError as error:
        assert isinstance(error, Untrusted)


def test_an_assertion_serves_one_server() -> None:
    token = DEVICE.assertion(NOW)
    assert claimed_client(token) == DEVICE.client_id
    good = verify_assertion(token, DEVICE.keys, issuer=DEVICE.issuer, now=NOW)
    assert good.client_id == DEVICE.client_id
    with pytest.raises(Untrusted):
        verify_assertion(token, DEVICE.keys, issuer="http://127.0.0.1:2", now=NOW)
    with pytest.raises(Untrusted):
        verify_assertion(token, DEVICE.keys, issuer=DEVICE.issuer, now=NOW + 121)


@pytest.mark.parametrize(
    "change",
    [
        {"aud": [DEVICE.issuer]},
        {"sub": "d-other"},
        {"exp": int(NOW) + LONGEST + 1},
        {"jti": ""},
        {"jti": 7},
        {"iss": None},
    ],
)
def test_an_odd_assertion_is_refused(change: dict[str, Any]) -> None:
    who = DEVICE.client_id
    good = {"iss": who, "sub": who, "aud": DEVICE.issuer, "jti": "j" * 22}
    times = {"iat": int(NOW), "exp": int(NOW) + 60}
    verify_assertion(
        sign(good | times, DEVICE.sig, TYP), DEVICE.keys, issuer=DEVICE.issuer, now=NOW
    )
    with pytest.raises(Untrusted):
        token = sign(good | times | change, DEVICE.sig, TYP)
        verify_assertion(token, DEVICE.keys, issuer=DEVICE.issuer, now=NOW)


def statement(**changes: Any) -> decision.Statement:
    base = decision.Statement(
        issuer=DEVICE.issuer,
        request="r-01jv0000000000000000000000",
        request_hash="h" * 43,
        decision="approve",
        granted=AwsRole("prod-admin", ADMIN_ARN, 60),
        approver="ann@example.com",
        nonce="n" * 22,
        issued_at=int(NOW),
        not_after=int(NOW) + 300,
        number="417",
    )
    return dataclasses.replace(base, **changes)


def test_evidence_covers_exactly_the_statement() -> None:
    data = statement().to_bytes()
    assert decision.read_statement(data) == statement()
    evidence = decision.sign_statement(data, DEVICE.sig)
    kid = decision.verify_statement_signature(evidence, DEVICE.keys, data)
    assert kid == thumbprint(DEVICE.sig)
    other = statement(decision="deny").to_bytes()
    with pytest.raises(Untrusted):
        decision.verify_statement_signature(evidence, DEVICE.keys, other)
    with pytest.raises(Untrusted):  # the same JSON in other bytes is another statement
        decision.verify_statement_signature(evidence, DEVICE.keys, data + b" ")


def test_a_consent_is_no_statement_of_a_device() -> None:
    data = statement().to_bytes()
    consent = decision.sign_consent(data, DEVICE.sig)
    assert decision.verify_consent(consent, DEVICE.keys, data) == thumbprint(DEVICE.sig)
    with pytest.raises(Untrusted):
        decision.verify_statement_signature(consent, DEVICE.keys, data)
    before = decision.sign_statement(data, DEVICE.sig)  # what a device of before sends
    assert decision.verify_consent(before, DEVICE.keys, data) == thumbprint(DEVICE.sig)
    for token in (consent, before):
        with pytest.raises(Untrusted):
            decision.verify_consent(token, DEVICE.keys, data + b" ")


def test_a_code_cannot_be_moved_to_another_request() -> None:
    minter = new_key()
    one, two = statement().to_bytes(), statement(request_hash="i" * 43).to_bytes()
    sealed = decision.seal_totp(one, "123456", DEVICE.sig, minter)
    assert "123456" not in sealed
    assert decision.open_totp(sealed, minter, DEVICE.keys, one)[0] == "123456"
    with pytest.raises(Untrusted):
        decision.open_totp(sealed, minter, DEVICE.keys, two)
    with pytest.raises(Untrusted):
        decision.open_totp(sealed, minter, FakeDevice().keys, one)


def test_a_record_says_what_m_signed() -> None:
    minter = new_key()
    record = decision.DecisionRecord(statement().to_bytes(), "totp", "step:1", "kid")
    token = decision.sign_record(record, minter)
    assert decision.verify_record(token, PublicKeys([minter])) == record
    with pytest.raises(Untrusted):
        decision.verify_record(token, PublicKeys([new_key()]))


SECRET = AwsCredentials("ASIAEXAMPLE", "canary-secret", "canary-token" * 100, int(NOW) + 900)
SEALED = SealedFor(GrantId("g-01jv0000000000000000000000"), "prod-admin", ADMIN_ARN, SECRET)


def test_credentials_open_on_their_device_alone() -> None:
    minter = new_key()
    token = credentials.seal_credentials(
        SEALED, signer=minter, to=DEVICE.enc, issuer="http://a", client_id="d-1", now=NOW
    )

    def opened(**changes: Any) -> SealedFor:
        members: dict[str, Any] = {
            "key": DEVICE.enc,
            "minter": PublicKeys([minter]),
            "issuer": "http://a",
            "client_id": "d-1",
            "now": NOW,
        }
        return credentials.open_credentials(token, **(members | changes))

    assert opened() == SEALED
    for change in (
        {"key": new_key()},
        {"minter": PublicKeys([new_key()])},
        {"issuer": "http://b"},
        {"client_id": "d-2"},
        {"now": NOW + 961},
    ):
        with pytest.raises(Untrusted):
            opened(**change)


def test_a_secret_never_shows_itself() -> None:
    assert "canary" not in repr(SEALED)
    assert "canary" not in str(SECRET)


def test_events_are_for_one_device() -> None:
    approver = new_key()
    event = events.SecurityEvent(
        "http://a", "d-1", "e-1", int(NOW), events.SESSION_REVOKED, "grant:g-1", {"reason": "x"}
    )
    token = events.sign_event(event, approver)
    keys = PublicKeys([approver])
    good = events.verify_event(token, keys, issuer="http://a", audience="d-1", now=NOW)
    assert good == event
    with pytest.raises(Untrusted):
        events.verify_event(token, keys, issuer="http://a", audience="d-2", now=NOW)
    with pytest.raises(Untrusted):
        events.verify_event(token, keys, issuer="http://a", audience="d-1", now=NOW - 61)


def test_an_invitation_survives_its_url() -> None:
    invited = enrolment.Invitation(
        "https://a.example.com/b", "ann@example.com", "A", "M", new_key()
    )
    url = invited.to_url()
    again = enrolment.read_invitation(url)
    assert url.split("#")[0] == "https://a.example.com/b/join"
    assert again.issuer == invited.issuer
    assert thumbprint(again.key) == thumbprint(invited.key)
    assert again.key.is_private


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hello",
        "https://a/join",
        "http://a.example.com/join#v=1&k=x&a=1&m=2&p=3",
        "https://a/join#v=1&k=AAAA&a=1&m=2&p=3",
        "https://a/join#v=2&k=x&a=1&m=2&p=3",
    ],
)
def test_what_is_no_invitation_is_told_to_the_person(url: str) -> None:
    with pytest.raises(Misconfigured) as told:
        enrolment.read_invitation(url)
    assert told.value.hint


def test_nobody_on_the_way_can_swap_the_keys_of_a_device() -> None:
    invited = enrolment.Invitation("http://127.0.0.1:1", "ann@example.com", "A", "M", new_key())
    token = enrolment.sign_software_statement(
        invited, DEVICE.jwks, device_name="lab", now=NOW, jti="j"
    )
    good = enrolment.verify_software_statement(token, invited.key, issuer=invited.issuer, now=NOW)
    assert good.jwks == DEVICE.jwks
    with pytest.raises(Untrusted):
        enrolment.verify_software_statement(token, new_key(), issuer=invited.issuer, now=NOW)


def test_a_jwks_with_a_secret_a_foreign_curve_or_a_lying_kid_is_refused() -> None:
    sig = public_jwk(DEVICE.sig, "sig")
    bad: dict[str, Any]
    for bad in (
        {"keys": []},
        {"keys": [sig | {"crv": "P-384"}]},
        {"keys": [sig | {"x": "AAAA"}]},
        {"keys": [sig | {"kid": "k"}]},
        {"keys": [sig | {"d": "AAAA"}]},
        {"keys": [public_jwk(DEVICE.enc, "enc")]},
        {"keys": "x"},
        {"keys": [7]},
        {},
    ):
        with pytest.raises(Untrusted):
            PublicKeys.from_jwks(bad, "sig")


def test_a_point_off_the_curve_is_no_key() -> None:
    jwk = public_jwk(DEVICE.sig, "sig")
    with pytest.raises(Untrusted):
        load_key(jwk | {"y": jwk["x"]}, private=False)


def test_pins_choose_among_published_keys() -> None:
    keys = PublicKeys.from_jwks(device_jwks(DEVICE.sig, DEVICE.enc), "sig")
    assert keys.only([thumbprint(DEVICE.sig)]).kids == (thumbprint(DEVICE.sig),)
    with pytest.raises(Untrusted):
        keys.only(["someone else"])


def test_a_pin_covers_the_signing_and_the_sealing_key() -> None:
    sig, enc, other = new_key(), new_key(), new_key()
    pin = pair_pin(sig, enc)
    signing, sealing = pinned_pair(device_jwks(sig, enc), pin)
    assert (signing.kids, sealing.kids) == ((thumbprint(sig),), (thumbprint(enc),))
    for swapped in (device_jwks(sig, other), device_jwks(other, enc), device_jwks(enc, sig)):
        with pytest.raises(Untrusted):
            pinned_pair(swapped, pin)


ERRORS: list[BorrowError] = [
    Refused("no rule allows 'prod-admin'", state="policy", request="r-1", hint="ask di"),
    Needs("a reason is needed", fields={"reason": "at least 10 characters"}),
    Unavailable("later", state="temporarily_unavailable"),
    Untrusted("the token has expired", state="invalid_request"),
    Refused("the grant is spent", state="grant_exhausted"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: e.state)
def test_an_error_means_the_same_on_the_other_side(error: BorrowError) -> None:
    again = from_wire(json.loads(json.dumps(to_wire(error))))
    assert type(again) is type(error)
    assert (again.message, again.state, again.hint) == (error.message, error.state, error.hint)


@given(
    st.dictionaries(
        st.sampled_from(["error", "error_description", "borrow_state", "borrow_needs"]),
        st.none() | st.integers() | st.text(max_size=5),
    )
)
def test_any_answer_becomes_an_error_of_ours(body: dict[str, Any]) -> None:
    assert isinstance(from_wire(body), BorrowError)


def test_ids_sort_by_time_and_say_what_they_are() -> None:
    early, late = new_request_id(1.0, bytes(10)), new_request_id(2.0, bytes(10))
    assert early < late
    assert kind_of(early) == "r"
    for bad in ("r-", "x-01jv0000000000000000000000", early.upper(), early + "\n"):
        with pytest.raises(Untrusted):
            kind_of(bad)


def test_words_can_be_read_aloud() -> None:
    assert words(bytes([127, 0, 0, 1])) == "lusab-babad"  # the example of arXiv:0901.4016
