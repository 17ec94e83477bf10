"""The session policy: narrows only, always ends, and is never larger than AWS takes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.cli.demo.standin_policy import Asked, Verdict, parse_policy
from borrow.minter.session_policy import ALLOW_ALL, MAX_CHARS, build, check
from borrow.protocol.errors import Refused

END = 1_800_000_000

actions = st.sampled_from(["*", "s3:*", "s3:GetObject", "iam:PassRole", "ec2:Describe*"])
texts = actions | st.lists(actions, min_size=1, max_size=3)
conditions = st.dictionaries(
    st.sampled_from(["StringEquals", "StringLike", "Bool"]),
    st.dictionaries(
        st.sampled_from(["aws:PrincipalArn", "s3:prefix"]), st.just("true"), min_size=1
    ),
    max_size=2,
)
statements = st.fixed_dictionaries(
    {"Effect": st.sampled_from(["Allow", "Deny"]), "Action": texts, "Resource": st.just("*")},
    optional={"Condition": conditions, "Sid": st.text("abcXYZ019", max_size=8)},
)
documents = st.lists(statements, min_size=1, max_size=5).map(
    lambda listed: json.dumps({"Version": "2012-10-17", "Statement": listed})
)


def judged(text: str, action: str, now: float) -> Verdict:
    """What an evaluator that is not the minter's says."""
    asked = Asked(action, "arn:aws:s3:::b/k", {"aws:currenttime": str(now)})
    return parse_policy(text).judge(asked)


@given(client=documents | st.just(""), action=st.text(min_size=1), late=st.integers(0, 10**6))
def test_nothing_is_allowed_at_or_after_the_end(client: str, action: str, late: int) -> None:
    text = build(client, ends_at=END, deny_iam=False)
    assert judged(text, action, END + late) is Verdict.DENIED


@given(client=documents, deny_iam=st.booleans())
def test_the_clients_statements_are_kept_and_the_minters_come_after(
    client: str, deny_iam: bool
) -> None:
    own = json.loads(client)["Statement"]
    made = json.loads(build(client, ends_at=END, deny_iam=deny_iam))["Statement"]
    assert made[: len(own)] == own
    assert all(each["Effect"] == "Deny" for each in made[len(own) :])


@given(client=documents, action=st.sampled_from(["s3:GetObject", "iam:PassRole", "ec2:RunX"]))
def test_before_the_end_it_allows_no_more_than_the_client_asked(client: str, action: str) -> None:
    made = judged(build(client, ends_at=END, deny_iam=True), action, END - 1)
    assert made is not Verdict.ALLOWED or judged(client, action, END - 1) is Verdict.ALLOWED


@given(client=st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | documents)
def test_any_text_makes_a_policy_that_fits_or_is_refused(client: str) -> None:
    try:
        text = build(client, ends_at=END, deny_iam=True)
    except Refused as no:
        assert no.state == "session_policy"
    else:
        assert len(text) <= MAX_CHARS
        assert text.isascii()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(statement=st.dictionaries(st.sampled_from(["Effect", "Action", "Resource"]), json_values))
def test_a_statement_of_any_shape_is_refused_or_whole(statement: dict[str, Any]) -> None:
    client = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    try:
        text = build(client, ends_at=END, deny_iam=False)
    except Refused:
        return
    assert parse_policy(text).statements


def test_without_a_clients_policy_the_role_is_whole_until_the_end() -> None:
    text = build("", ends_at=END, deny_iam=False)
    assert json.loads(text)["Statement"][0] == ALLOW_ALL
    assert judged(text, "s3:DeleteBucket", END - 1) is Verdict.ALLOWED


@pytest.mark.parametrize(
    "action",
    ["iam:CreateUser", "organizations:LeaveOrganization", "sts:AssumeRole", "sts:AssumeRoot"],
)
def test_deny_iam_stops_ways_to_more_power(action: str) -> None:
    assert judged(build("", ends_at=END, deny_iam=True), action, 0) is Verdict.DENIED
    assert judged(build("", ends_at=END, deny_iam=False), action, 0) is Verdict.ALLOWED


def test_the_bytes_are_compact_and_literal() -> None:
    assert build("", ends_at=END, deny_iam=True) == (
        '{"Version":"2012-10-17","Statement":['
        '{"Effect":"Allow","Action":"*","Resource":"*"},'
        '{"Effect":"Deny","Action":"*","Resource":"*",'
        '"Condition":{"DateGreaterThanEquals":{"aws:CurrentTime":"2027-01-15T08:00:00Z"}}},'
        '{"Effect":"Deny","Action":["iam:*","organizations:*","sts:Assume*"],"Resource":"*"}]}'
    )


def of_length(number: int) -> str:
    """A client's policy whose document is `number` characters with the minter's part."""
    statement = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    bare = len(build("", ends_at=END, deny_iam=False))
    resource = "*" * (number - bare + 1)
    return json.dumps({"Version": "2012-10-17", "Statement": [{**statement, "Resource": resource}]})


def test_the_limit_counts_the_minters_part() -> None:
    assert len(build(of_length(MAX_CHARS), ends_at=END, deny_iam=False)) == MAX_CHARS
    with pytest.raises(Refused, match=r"2049 characters"):
        build(of_length(MAX_CHARS + 1), ends_at=END, deny_iam=False)


def test_what_fits_at_the_request_fits_at_the_mint() -> None:
    check(of_length(MAX_CHARS), deny_iam=False)
    with pytest.raises(Refused):
        check(of_length(MAX_CHARS), deny_iam=True)


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("[]", "plain JSON object"),
        ("{", "not JSON"),
        ('{"Statement":[]}', "Version"),
        ('{"Version":"2008-10-17","Statement":[]}', "Version"),
        ('{"Version":"2012-10-17"}', "unknown members"),
        ('{"Version":"2012-10-17","Statement":[]}', "no statement"),
        ('{"Version":"2012-10-17","Statement":[],"Statement":[]}', "twice"),
        ('{"Version":"2012-10-17","Statement":[],"X":1}', "Version"),
        ('{"Version":"2012-10-17","Statement":[{"Effect":"allow"}]}', "neither allows"),
        ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"}]}', "Resource"),
        (
            '{"Version":"2012-10-17","Statement":'
            '[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}',
            "unknown members",
        ),
        (
            '{"Version":"2012-10-17","Statement":'
            '[{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}]}',
            "exactly one of Action",
        ),
        (
            '{"Version":"2012-10-17","Statement":'
            '[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{}}}]}',
            "names no key",
        ),
    ],
)
def test_what_is_no_session_policy_is_refused_with_the_reason(document: str, why: str) -> None:
    with pytest.raises(Refused, match=why) as no:
        build(document, ends_at=END, deny_iam=False)
    assert no.value.hint
