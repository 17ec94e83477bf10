"""The cloud drivers against an STS that says what a test wants: ends, marks, failures, silence."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import socket
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.minter.basekeys import BaseKeys
from borrow.minter.drivers import failures
from borrow.minter.drivers.assume_role import AssumeRoleDriver, parameters
from borrow.minter.drivers.base import GrantFacts, Target
from borrow.minter.drivers.cloud import Cloud, ask
from borrow.minter.drivers.fake import FakeDriver
from borrow.minter.drivers.lifetime import LONGEST, SHORTEST, Span, credential_end, plan
from borrow.minter.drivers.marks import marks_of, session_name
from borrow.minter.drivers.web_identity import (
    DISCOVERY,
    JWKS,
    WebIdentityDriver,
    issuer_documents,
    token_claims,
)
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable
from borrow.protocol.jose import verify
from borrow.protocol.keys import PublicKeys, new_key, private_jwk, thumbprint
from borrow_fakes import sts as fake
from borrow_fakes.sts import FakeSts, failure, session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from borrow.minter.drivers.base import Chain

NOW = 1_800_000_000.0
ARN = "arn:aws:iam::123456789012:role/team/Admin"
GRANT = "g-01jv0000000000000000000000"
ISSUER = "https://login.example.com/aws"
BASE = BaseKeys("AKIAFAKEFAKEFAKEFAKE", "FAKEbase" * 5, "FAKEbasetoken" * 4)
TARGET = Target("prod-admin", ARN, "prod", "", "identity", "sensitive", 0)
FACTS = GrantFacts(
    grant_id=GRANT,
    request_id="r-01jv0000000000000000000001",
    person="ann@example.com",
    mode="peer",
    rule="admins",
    approvers=("bob@example.com", "cid@example.com"),
    expires_at=NOW + 3600,
)


odd_text = st.none() | st.text() | st.integers()
odd_answers = st.fixed_dictionaries(
    {},
    optional={
        "Error": st.none() | st.dictionaries(st.sampled_from(["Code", "Message"]), odd_text),
        "ResponseMetadata": st.fixed_dictionaries(
            {},
            optional={
                "HTTPStatusCode": odd_text,
                "HTTPHeaders": st.dictionaries(st.just("retry-after"), st.text()),
            },
        ),
    },
)


class Keys:
    """A key source that counts."""

    def __init__(self) -> None:
        self.loads = 0

    def load(self) -> BaseKeys:
        self.loads += 1
        return BASE


def at_now() -> float:
    return NOW


@pytest.fixture
def sts() -> Iterator[FakeSts]:
    with FakeSts() as running:
        yield running


def assuming(sts: FakeSts, keys: Keys | None = None) -> AssumeRoleDriver:
    return AssumeRoleDriver(keys or Keys(), sts.url, "eu-west-1", at_now)


def by_token(sts: FakeSts, **changes: Any) -> WebIdentityDriver:
    given: dict[str, Any] = {
        "issuer": ISSUER,
        "key": new_key(),
        "endpoint_url": sts.url,
        "region": "eu-west-1",
        "clock": at_now,
        "entropy": os.urandom,
    }
    return WebIdentityDriver(**(given | changes))


def assumed(expires: float | str = NOW + 3600, **parts: str) -> fake.Answer:
    return session("AssumeRole", expires, **parts)


# --- lifetimes


@given(
    left=st.floats(0.001, 200_000),
    mint=st.integers(0, 100_000),
    wish=st.integers(0, 100_000),
    stated=st.floats(-10_000, 300_000),
    late=st.floats(0, 30),
)
def test_no_credential_outlives_its_grant_or_what_sts_said(
    left: float, mint: int, wish: int, stated: float, late: float
) -> None:
    grant = replace(FACTS, expires_at=NOW + left, seconds_wanted=wish)
    try:
        span = plan(replace(TARGET, mint_seconds=mint), grant, NOW)
        end = credential_end(span, NOW + stated, NOW + late)
    except (Refused, Unavailable):
        return
    assert SHORTEST <= span.seconds <= LONGEST
    assert span.ends_at <= grant.expires_at
    assert NOW + late < end <= min(grant.expires_at, NOW + stated)
    assert end <= NOW + late + span.seconds


@pytest.mark.parametrize("chain", ["identity", "name", "none"])
def test_an_agents_session_shows_the_agent_beside_its_person(chain: Chain) -> None:
    target = replace(TARGET, chain=chain)
    own = marks_of(target, replace(FACTS, agent=""))
    agents = marks_of(target, replace(FACTS, agent="claude-code"))
    assert ",agent=claude-code" in agents.session_name
    assert ",agent=" not in own.session_name
    assert agents.session_name.startswith(session_name(FACTS.person))
    assert len(agents.session_name) <= 64
    assert agents.tags.get("borrow-agent", "claude-code") == "claude-code"


@pytest.mark.parametrize("agent", ["x" * 64, "a=g-1,b", "\x1b[2J\n", "\u202e", "a b"])
def test_an_agents_name_is_made_fit_for_a_session(agent: str) -> None:
    for person in ("ann@example.com", "x" * 200 + "@example.com", "ann,agent=x@example.com"):
        chains: tuple[Chain, ...] = ("identity", "name")
        for chain in chains:
            marks = marks_of(
                replace(TARGET, chain=chain), replace(FACTS, person=person, agent=agent)
            )
            assert re.fullmatch(r"[\w+=,.@-]{2,64}", marks.session_name, re.ASCII)
            assert marks.session_name.count(",agent=") == 1
            assert all(re.fullmatch(r"[\w .:/=+@-]{1,256}", v) for v in marks.tags.values())


@pytest.mark.parametrize(
    ("left", "mint", "wish", "seconds", "ends_in"),
    [
        (3600, 1800, 0, 1800, 3600),  # a credential of its own life inside a longer grant
        (3600, 0, 0, 3600, 3600),
        (3600, 1800, 1000, 1000, 3600),
        (600, 1800, 0, 900, 600),  # below STS's floor the policy ends it
        (3600, 300, 0, 900, 300),  # a short `mint` is kept in the same way
        (1800.7, 0, 0, 1800, 1800),
        (90_000, 0, 0, 43_200, 90_000),
    ],
)
def test_what_is_asked_of_sts(
    left: float, mint: int, wish: int, seconds: int, ends_in: int
) -> None:
    grant = replace(FACTS, expires_at=NOW + left, seconds_wanted=wish)
    assert plan(replace(TARGET, mint_seconds=mint), grant, NOW) == Span(seconds, int(NOW) + ends_in)


@pytest.mark.parametrize("left", [0.9, 0, -1, -1e6])
def test_an_ended_grant_is_refused_before_keys_are_read_or_sts_is_asked(
    sts: FakeSts, left: float
) -> None:
    keys = Keys()
    with pytest.raises(Refused) as no:
        assuming(sts, keys).mint(TARGET, replace(FACTS, expires_at=NOW + left))
    assert no.value.state == "grant_exhausted"
    assert (keys.loads, sts.asked) == (0, [])


def test_a_credential_never_ends_after_its_grant_though_sts_gives_more(sts: FakeSts) -> None:
    sts.answers = [assumed(NOW + 900)]
    minted = assuming(sts).mint(TARGET, replace(FACTS, expires_at=NOW + 60))
    assert minted.expires_at == NOW + 60
    assert sts.asked[0].form["DurationSeconds"] == "900"
    policy = json.loads(sts.asked[0].form["Policy"])
    assert policy["Statement"][1]["Condition"] == {
        "DateGreaterThanEquals": {"aws:CurrentTime": "2027-01-15T08:01:00Z"}
    }


def test_an_expiration_longer_than_asked_is_cut(sts: FakeSts) -> None:
    sts.answers = [assumed(NOW + 500_000)]
    minted = assuming(sts).mint(replace(TARGET, mint_seconds=1800), FACTS)
    assert minted.expires_at == NOW + 1800


@pytest.mark.parametrize("expires", [NOW, NOW - 1, NOW - 1e9, "1970-01-01T00:00:00Z"])
def test_an_expiration_that_has_passed_is_unavailable(sts: FakeSts, expires: float | str) -> None:
    sts.answers = [assumed(expires)]
    with pytest.raises(Unavailable):
        assuming(sts).mint(TARGET, FACTS)


# --- what the session carries


def test_assume_role_says_who_for_what_and_until_when(sts: FakeSts) -> None:
    sts.answers = [assumed()]
    minted = assuming(sts).mint(TARGET, replace(FACTS, deny_iam=True))
    assert (minted.access_key_id, minted.expires_at) == (fake.ACCESS_KEY_ID, NOW + 3600)
    form = sts.asked[0].form
    assert json.loads(form.pop("Policy"))["Statement"][2]["Action"][0] == "iam:*"
    assert form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ARN,
        "RoleSessionName": "ann@example.com",
        "DurationSeconds": "3600",
        "SourceIdentity": GRANT,
        "Tags.member.1.Key": "borrow-grant",
        "Tags.member.1.Value": GRANT,
        "Tags.member.2.Key": "borrow-acr",
        "Tags.member.2.Value": "urn:borrow:acr:peer",
        "Tags.member.3.Key": "borrow-req",
        "Tags.member.3.Value": "r-01jv0000000000000000000001",
        "Tags.member.4.Key": "borrow-approvers",
        "Tags.member.4.Value": "bob@example.com cid@example.com",
    }


def test_chain_name_puts_the_grant_into_the_sessions_name_only() -> None:
    asked = parameters(replace(TARGET, chain="name"), FACTS, Span(900, int(NOW)))
    assert asked["RoleSessionName"] == f"ann@example.com={GRANT}"
    assert not asked.keys() & {"SourceIdentity", "Tags", "TransitiveTagKeys"}


def test_chain_none_says_nothing_of_the_grant() -> None:
    asked = parameters(replace(TARGET, chain="none"), FACTS, Span(900, int(NOW)))
    assert asked["RoleSessionName"] == "ann@example.com"
    assert not asked.keys() & {"SourceIdentity", "Tags"}
    assert GRANT not in json.dumps(asked)


people = (
    st.text(max_size=80)
    | st.emails()
    | st.text(max_size=80).map(lambda name: f"local:{name}")
    | st.text("a-:=@", max_size=70).map(lambda name: f"local:{name}")
)


@given(person=people)
def test_a_session_name_is_one_aws_takes(person: str) -> None:
    for chain in ("identity", "name", "none"):
        name = marks_of(
            replace(TARGET, chain=chain),
            replace(FACTS, person=person),
        ).session_name
        assert 2 <= len(name) <= 64
        assert name.isascii()
        assert all(char.isalnum() or char in "_+=,.@-" for char in name)


@given(one=people, other=people)
def test_two_people_never_share_a_session_name(one: str, other: str) -> None:
    assert (session_name(one) == session_name(other)) == (one == other)


def test_known_people_read_as_themselves() -> None:
    assert session_name("ann@example.com") == "ann@example.com"
    assert session_name("local:ann") == "local-ann"
    assert session_name("local:ann") != session_name("local-ann")


@given(approvers=st.lists(people, max_size=8).map(tuple))
def test_tags_are_ones_aws_takes_and_name_all_approvers_or_none(approvers: tuple[str, ...]) -> None:
    tags = marks_of(TARGET, replace(FACTS, approvers=approvers)).tags
    assert all(len(value) <= 256 and value.isascii() for value in tags.values())
    named = tags.get("borrow-approvers")
    assert named is None or named.split(" ") == list(approvers)


def test_a_list_of_approvers_that_does_not_fit_is_left_out_whole() -> None:
    many = tuple(f"approver{number}@example.com" for number in range(20))
    assert "borrow-approvers" not in marks_of(TARGET, replace(FACTS, approvers=many)).tags


# --- refusals and failures


@pytest.mark.parametrize(
    "code",
    ["AccessDenied", "ValidationError", "MalformedPolicyDocument", "PackedPolicyTooLarge", "Odd"],
)
def test_a_no_of_the_cloud_is_refused_with_its_code(sts: FakeSts, code: str) -> None:
    sts.answers = [failure(code, "User is not authorized", 403)]
    with pytest.raises(Refused, match=rf"\({code}\): User is not authorized") as no:
        assuming(sts).mint(TARGET, FACTS)
    assert no.value.state == "cloud_refused"
    assert len(sts.asked) == 1


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("InvalidClientTokenId", "borrow keys list"),
        ("AccessDeniedException", "trust policy"),
        ("ExpiredToken", "borrow keys mfa"),
        ("ExpiredTokenException", "clock"),
        ("InvalidIdentityToken", "issuer's documents"),
    ],
)
def test_a_no_says_what_to_do_next(code: str, hint: str) -> None:
    answer = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    assert hint in failures.told(answer, ()).hint


@pytest.mark.parametrize(
    ("code", "status", "seconds"),
    [
        ("Throttling", 400, 5.0),
        ("InternalFailure", 500, 2.0),
        ("Odd", 502, 2.0),
        ("IDPCommunicationError", 400, 2.0),
    ],
)
def test_a_cloud_that_is_busy_or_broken_is_unavailable_after_two_tries(
    sts: FakeSts, code: str, status: int, seconds: float
) -> None:
    sts.answers = [failure(code, "later", status)]
    with pytest.raises(Unavailable, match=code) as later:
        assuming(sts).mint(TARGET, FACTS)
    assert later.value.retry_after == seconds
    assert len(sts.asked) <= 2


@pytest.mark.parametrize(("said", "meant"), [("7", 7.0), ("0", 1.0), ("9" * 30, 60.0), ("x", 5.0)])
def test_retry_after_is_followed_within_reason(said: str, meant: float) -> None:
    answer = {
        "Error": {"Code": "Throttling"},
        "ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": said}},
    }
    error = failures.told(answer, ())
    assert isinstance(error, Unavailable)
    assert error.retry_after == meant


@given(answer=odd_answers)
def test_an_error_answer_of_any_shape_has_a_meaning(answer: dict[str, Any]) -> None:
    assert failures.told(answer, ("",)).message


def test_a_cloud_that_recovers_within_two_tries_is_not_noticed(sts: FakeSts) -> None:
    sts.answers = [failure("InternalFailure", "", 500), assumed()]
    assert assuming(sts).mint(TARGET, FACTS).is_whole()


@pytest.mark.parametrize(
    "answer",
    [
        fake.Answer(""),
        fake.Answer("<html>sign in to the hotel</html>"),
        fake.Answer("not xml <<<"),
        fake.Answer("\0\1\2"),
        session("AssumeRole", "soon"),
        session("AssumeRole", ""),
        session("AssumeRole", NOW + 900, SecretAccessKey=""),
        session("AssumeRole", NOW + 900, SessionToken=""),
        session("AssumeRole", NOW + 900, AccessKeyId=""),
        session("AssumeRole", "9999-99-99T00:00:00Z"),
        session("AssumeRole", "999999999999999999999"),
        fake.Answer("<Error/>", 403),
        fake.Answer("", 302),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_of_ours(
    sts: FakeSts, answer: fake.Answer
) -> None:
    sts.answers = [answer]
    with pytest.raises((Unavailable, Refused)):
        assuming(sts).mint(TARGET, FACTS)


def test_nobody_listening_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unavailable, match="did not answer"):
        AssumeRoleDriver(Keys(), url, "eu-west-1", at_now).mint(TARGET, FACTS)


def test_a_silent_cloud_is_given_up_within_the_deadlines(sts: FakeSts) -> None:
    sts.answers = [fake.Answer("", hold=True)]
    client = Cloud(sts.url, "eu-west-1", answer_within=0.2).signed(BASE)
    began = time.monotonic()
    with pytest.raises(Unavailable, match="ReadTimeoutError"):
        ask(client.get_session_token)
    assert time.monotonic() - began < 30  # botocore's own limit is a minute
    assert len(sts.asked) == 2


def test_the_deadlines_are_those_promised(sts: FakeSts) -> None:
    config: Any = Cloud(sts.url, "eu-west-1").signed(BASE).meta.config
    assert (config.connect_timeout, config.read_timeout) == (5.0, 10.0)
    assert config.retries["total_max_attempts"] == 2


@pytest.mark.parametrize(("url", "region"), [("nowhere", "eu-west-1"), (None, "eu west\x1b[2J")])
def test_a_place_that_is_none_is_a_misconfiguration(url: str | None, region: str) -> None:
    driver = AssumeRoleDriver(Keys(), url, region, at_now)
    with pytest.raises(Misconfigured) as wrong:
        driver.mint(TARGET, FACTS)
    assert "\x1b" not in wrong.value.message


def test_an_arn_aws_cannot_have_is_a_misconfiguration_that_names_no_value(sts: FakeSts) -> None:
    with pytest.raises(Misconfigured, match="ParamValidationError"):
        assuming(sts).mint(replace(TARGET, arn="arn:aws:x"), FACTS)


# --- secrets stay where they are


def everything_about(error: BaseException) -> str:
    chain = [error, error.__cause__, error.__context__]
    lines = [line for each in chain if each for line in traceback.format_exception(each)]
    return "".join(lines) + "".join(repr(each) for each in chain)


def test_attack_text_and_secrets_in_a_refusal_never_get_out(sts: FakeSts) -> None:
    told = f"\x1b[2J\u202e {BASE.secret_access_key} and {BASE.session_token}"
    sts.answers = [failure("AccessDenied", told.replace("\x1b", "\u009b"), 403)]
    with pytest.raises(Refused) as no:
        assuming(sts).mint(TARGET, FACTS)
    seen = everything_about(no.value)
    assert BASE.secret_access_key not in seen
    assert BASE.session_token not in seen
    assert "\u009b" not in no.value.message
    assert "\u202e" not in no.value.message


def test_the_text_of_a_wrong_signature_is_not_passed_on(sts: FakeSts) -> None:
    told = "The Canonical String should have been 'POST x-amz-security-token:...'"
    sts.answers = [failure("SignatureDoesNotMatch", told, 403)]
    with pytest.raises(Refused) as no:
        assuming(sts).mint(TARGET, FACTS)
    assert "Canonical" not in everything_about(no.value)


@pytest.mark.parametrize("driver", ["keys", "token"])
def test_no_secret_reaches_a_log_at_any_level(
    sts: FakeSts, driver: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("botocore", "botocore.parsers", "botocore.auth", "botocore.endpoint", "urllib3"):
        caplog.set_level(logging.DEBUG, logger=name)
    action = "AssumeRole" if driver == "keys" else "AssumeRoleWithWebIdentity"
    sts.answers = [session(action, NOW + 900), failure("AccessDenied", "no", 403)]
    using = assuming(sts) if driver == "keys" else by_token(sts)
    using.mint(TARGET, FACTS)
    with pytest.raises(Refused):
        using.mint(TARGET, FACTS)
    written = "\n".join([caplog.text, *(str(record.__dict__) for record in caplog.records)])
    sent = sts.asked[0].form.get("WebIdentityToken", "no token")
    for secret in (BASE.secret_access_key, BASE.session_token, fake.SECRET, fake.TOKEN, sent):
        assert secret not in written


def test_reprs_hide_secrets() -> None:
    minted = FakeDriver(at_now, os.urandom).mint(TARGET, FACTS)
    assert minted.secret_access_key not in repr(minted)
    assert minted.session_token not in repr(minted)
    assert BASE.secret_access_key not in repr(BASE)


def test_the_machines_aws_configuration_has_no_say(
    sts: FakeSts, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    config.write_text("no section, no key\n")
    for name, value in {
        "AWS_PROFILE": "absent",
        "AWS_CONFIG_FILE": str(config),
        "AWS_SHARED_CREDENTIALS_FILE": str(config),
        "AWS_ACCESS_KEY_ID": "AKIASTRANGER",
        "AWS_SECRET_ACCESS_KEY": "stranger",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:1",
        "AWS_REGION": "us-gov-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    sts.answers = [assumed(), session("AssumeRoleWithWebIdentity", NOW + 900)]
    assuming(sts).mint(TARGET, FACTS)
    by_token(sts).mint(TARGET, FACTS)
    assert f"Credential={BASE.access_key_id}/" in sts.asked[0].headers["Authorization"]
    assert "Authorization" not in sts.asked[1].headers
    assert Cloud(None, "eu-west-1").unsigned().meta.endpoint_url == (
        "https://sts.eu-west-1.amazonaws.com"
    )


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), RuntimeError("x")])
def test_whatever_the_library_trips_over_is_unavailable(error: Exception) -> None:
    def call() -> None:
        raise error

    with pytest.raises(Unavailable) as later:
        ask(call)
    assert later.value.__context__ is None


# --- the cloud token


def claims_of(driver_sts: FakeSts, key: Any) -> dict[str, Any]:
    token = driver_sts.asked[0].form["WebIdentityToken"]
    return verify(token, PublicKeys([key]), "JWT").claims


def test_the_cloud_token_is_for_one_role_and_one_grant_for_a_minute(sts: FakeSts) -> None:
    key = new_key()
    sts.answers = [session("AssumeRoleWithWebIdentity", NOW + 3600)]
    by_token(sts, key=key, entropy=lambda count: b"j" * count).mint(TARGET, FACTS)
    claims = claims_of(sts, key)
    subject = claims.pop("sub")
    assert claims == {
        "iss": ISSUER,
        "aud": "sts.amazonaws.com",
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 60,
        "jti": "ampqampqampqampqampqag",
        "https://aws.amazon.com/roles": [ARN],
        "https://aws.amazon.com/source_identity": GRANT,
        "https://aws.amazon.com/tags": {
            "principal_tags": {
                "borrow-grant": [GRANT],
                "borrow-acr": ["urn:borrow:acr:peer"],
                "borrow-req": ["r-01jv0000000000000000000001"],
                "borrow-approvers": ["bob@example.com cid@example.com"],
            },
            "transitive_tag_keys": [],
        },
    }
    assert subject.startswith("role:123456789012/Admin:user:")
    assert "ann" not in subject
    form = sts.asked[0].form
    assert (form["RoleSessionName"], form["DurationSeconds"]) == ("ann@example.com", "3600")
    assert "Authorization" not in sts.asked[0].headers


def test_no_two_cloud_tokens_are_alike(sts: FakeSts) -> None:
    sts.answers = [session("AssumeRoleWithWebIdentity", NOW + 3600)]
    driver = by_token(sts)
    driver.mint(TARGET, FACTS)
    driver.mint(TARGET, FACTS)
    first, second = (asked.form["WebIdentityToken"] for asked in sts.asked)
    assert first != second


@pytest.mark.parametrize("chain", ["name", "none"])
def test_without_chain_identity_the_token_has_neither_identity_nor_tags(chain: Any) -> None:
    claims = token_claims(
        replace(TARGET, chain=chain), FACTS, issuer=ISSUER, audience="a", now=NOW, jti="j"
    )
    assert not any("source_identity" in name or "tags" in name for name in claims)


@given(one=people, other=people)
def test_the_subject_is_one_persons_and_holds_no_pattern(one: str, other: str) -> None:
    def subject(person: str) -> str:
        facts = replace(FACTS, person=person)
        claims = token_claims(TARGET, facts, issuer=ISSUER, audience="a", now=NOW, jti="j")
        return str(claims["sub"])

    assert (subject(one) == subject(other)) == (one == other)
    tail = subject(one).removeprefix("role:123456789012/Admin:user:")
    assert tail.isascii()
    assert tail.isalnum()


def test_the_issuers_documents_are_public_and_agree() -> None:
    key = new_key()
    pages = issuer_documents(ISSUER, key)
    assert pages.keys() == {DISCOVERY, JWKS}
    assert pages[DISCOVERY]["issuer"] == ISSUER
    assert pages[DISCOVERY]["jwks_uri"] == f"{ISSUER}/{JWKS}"
    assert pages[JWKS]["keys"][0]["kid"] == thumbprint(key)
    assert private_jwk(key)["d"] not in json.dumps(pages)
    assert "x5c" not in pages[JWKS]["keys"][0]


def test_a_certificate_is_published_in_plain_base64() -> None:
    pages = issuer_documents(ISSUER, new_key(), certificate=b"\xfb\xff\xfe")
    assert base64.b64decode(pages[JWKS]["keys"][0]["x5c"][0]) == b"\xfb\xff\xfe"


@pytest.mark.parametrize(
    "issuer",
    [
        "http://login.example.com",
        "https://",
        "login.example.com",
        f"{ISSUER}/",
        f"{ISSUER}?a=b",
        "",
    ],
)
def test_an_issuer_aws_cannot_reach_is_a_misconfiguration(sts: FakeSts, issuer: str) -> None:
    with pytest.raises(Misconfigured):
        by_token(sts, issuer=issuer)


# --- the fake driver


def test_fake_credentials_are_whole_clearly_fake_and_follow_their_entropy() -> None:
    one = FakeDriver(at_now, lambda count: b"\x07" * count).mint(TARGET, FACTS)
    same = FakeDriver(at_now, lambda count: b"\x07" * count).mint(TARGET, FACTS)
    other = FakeDriver(at_now, os.urandom).mint(TARGET, FACTS)
    assert one == same
    assert one != other
    assert one.is_whole()
    assert one.access_key_id.startswith("ASIAFAKE")
    assert (len(one.access_key_id), len(one.secret_access_key)) == (20, 40)
    assert one.secret_access_key.startswith("FAKE")
    assert one.session_token.startswith("FAKE")


def test_the_fake_driver_ends_and_refuses_like_the_real_ones() -> None:
    driver = FakeDriver(at_now, os.urandom)
    assert driver.mint(TARGET, replace(FACTS, expires_at=NOW + 7)).expires_at == NOW + 7
    for facts in (replace(FACTS, expires_at=NOW), replace(FACTS, session_policy="{}")):
        with pytest.raises(BorrowError):
            driver.mint(TARGET, facts)
