"""What a good file becomes. What a bad one is told is in test_refused_files."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.policy.decide import budget_window
from borrow.policy.load import load_policy
from borrow.policy.model import Budget, Mode, Policy, Tier
from borrow.protocol.errors import Misconfigured


def test_a_role_carries_what_the_file_says_and_derives_the_rest(team: Policy) -> None:
    role = team.roles["prod-write"]
    assert role.arn == "arn:aws:iam::444455556666:role/path/Write"
    assert (role.account, role.tier, role.share) == ("prod", Tier.SENSITIVE, "session")
    assert (role.chain, role.region, role.base, role.imds) == (
        "identity",
        "eu-central-1",
        None,
        False,
    )
    assert role.allows == ("s3:Delete*", "ec2:*")


def test_an_account_without_a_name_is_labelled_by_its_number(team: Policy) -> None:
    assert team.roles["org-admin"].account == "999900001111"


def test_share_is_device_below_sensitive_and_session_from_there_up(team: Policy) -> None:
    shares = {name: role.share for name, role in team.roles.items()}
    assert shares == {
        "dev-read": "device",
        "prod-read": "device",
        "work": "device",
        "prod-write": "session",
        "org-admin": "session",
    }


def test_one_stanza_makes_a_role_in_every_account(team: Policy) -> None:
    assert team.roles["dev-read"].arn == "arn:aws:iam::111122223333:role/Read"
    assert team.roles["prod-read"].arn == "arn:aws:iam::444455556666:role/Read"


def test_a_rule_takes_its_times_from_itself_then_from_the_defaults(team: Policy) -> None:
    quick, _, reads, write = team.rules
    assert (quick.max_seconds, quick.mint_seconds, quick.pending_seconds) == (7200, 1200, 600)
    assert (reads.max_seconds, reads.extensions) == (14400, 2)
    assert (write.max_seconds, write.mint_seconds, write.claim_by_seconds) == (3600, 900, 1800)
    assert write.session.deny_iam


def test_a_credential_never_outlives_its_grant_by_default() -> None:
    text = RULE + 'max = "5m"\n'
    assert load_policy(text).rules[0].mint_seconds == 300


def test_a_pool_lists_each_person_once_in_the_order_of_the_file(team: Policy) -> None:
    assert team.rules[3].approve.pool == (
        "di@example.com",
        "ed@example.com",
        "flo@example.com",
        "bo@example.com",
    )


def test_a_rule_that_names_no_factor_gets_its_modes_default() -> None:
    own = load_policy(RULE.replace('"auto"', '"self"')).rules[0].approve
    peer = load_policy(RULE.replace('"auto"', '"peer", from = ["di@example.com"]')).rules[0].approve
    assert (own.factors, peer.factors) == (
        frozenset({"passkey", "totp"}),
        frozenset({"passkey", "device"}),
    )
    assert (own.mode, peer.mode) == (Mode.SELF, Mode.PEER)


def test_the_hash_is_of_the_exact_bytes(team_text: str) -> None:
    crlf = team_text.replace("\n", "\r\n")
    assert load_policy(crlf).hash == hashlib.sha256(crlf.encode()).hexdigest()
    assert load_policy(crlf).hash != load_policy(team_text).hash


def test_what_agents_may_ask_of_people_is_a_number_in_a_time() -> None:
    assert load_policy("version = 1").defaults.agents == Budget(6, 3600)
    text = 'version = 1\n[defaults]\nagents = "2/30m"'
    assert load_policy(text).defaults.agents == Budget(2, 1800)
    for odd in ('"0/1h"', '"many"', '"2/1s"', "3"):
        with pytest.raises(Misconfigured) as refused:
            load_policy(f"version = 1\n[defaults]\nagents = {odd}")
        assert "defaults.agents" in refused.value.message


def test_a_budget_window_is_a_count_in_seconds(team: Policy) -> None:
    assert [budget_window(rule) for rule in team.rules] == [None, (3, 86_400), None, None]


def test_tiers_are_ordered_by_harm() -> None:
    assert [tier.at_least(Tier.SENSITIVE) for tier in Tier] == [False, False, True, True]


def test_an_empty_file_is_a_policy_that_allows_nothing() -> None:
    policy = load_policy("")
    assert (dict(policy.roles), policy.rules, policy.admins) == ({}, (), ())


def test_a_compiled_policy_cannot_be_changed(team: Policy) -> None:
    with pytest.raises(TypeError):
        team.roles["evil"] = team.roles["work"]  # type: ignore[index]  # that is the point
    with pytest.raises(AttributeError):
        team.rules[0].id = "other"  # type: ignore[misc]  # that is the point


@given(st.text())
def test_any_text_loads_or_is_misconfigured(text: str) -> None:
    try:
        load_policy(text)
    except Misconfigured as exc:
        assert exc.hint


_KEYS = st.sampled_from(
    ["version", "groups", "admins", "people", "accounts", "roles", "defaults", "deny", "rule",
     "test", "ask", "expect", "id", "who", "approve", "mode", "factor", "from", "budget", "aws",
     "base", "max", "needs", "refused", "spent", "ticket", "require", "a b", "{}"]
)  # fmt: skip
_VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=5) | st.sampled_from(["*", "1h", "self", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


def _toml(value: object) -> str:
    match value:
        case dict():
            pairs = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items())
            return "{" + ", ".join(pairs) + "}"
        case list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case _:
            return json.dumps(value)


@given(st.dictionaries(_KEYS, _VALUES, max_size=5))
def test_any_shape_of_known_keys_loads_or_is_misconfigured(shape: dict[str, object]) -> None:
    text = "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in shape.items())
    try:
        load_policy(text)
    except Misconfigured as exc:
        assert exc.hint


RULE = """\
[roles.r]
aws = "arn:aws:iam::111122223333:role/R"
[[rule]]
id = "one"
who = ["ann@example.com"]
roles = ["r"]
approve = { mode = "auto" }
"""
