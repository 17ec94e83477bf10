"""What a look at the whole file finds, and the file's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.policy.load import load_policy
from borrow.policy.review import TestResult, check, run_tests

if TYPE_CHECKING:
    from borrow.policy.model import Policy

ARN = "arn:aws:iam::111122223333:role"
BASE = f"""\
[groups]
team = ["ann@example.com", "bo@example.com", "cy@example.com"]
[roles.read]
aws = "{ARN}/Read"
tier = "low"
[roles.write]
aws = "{ARN}/Write"
"""
AUTO = 'approve = { mode = "auto" }'
SELF = 'approve = { mode = "self" }'
PEER = 'approve = { mode = "peer", from = ["group:team"] }'


def rule(name: str, approve: str, roles: str = '["read"]', who: str = '["group:team"]') -> str:
    return f'[[rule]]\nid = "{name}"\nwho = {who}\nroles = {roles}\n{approve}\n'


def found(text: str) -> list[tuple[str, str, str]]:
    return [(f.level, f.where.split(" (")[0], f.what) for f in check(load_policy(text))]


def test_a_sound_policy_has_no_findings() -> None:
    assert found(BASE + rule("a", AUTO) + rule("b", PEER, '["write"]')) == []


def test_a_finding_names_line_and_way_out() -> None:
    (finding,) = check(load_policy(BASE + rule("a", SELF, '["read", "wirte"]')))
    assert finding.where == "rule a (line 8)"
    assert (finding.what, finding.hint) == ("'wirte' is not a role", "did you mean 'write'?")


def test_an_unknown_role_in_a_deny_is_an_error_too() -> None:
    deny = '[[deny]]\nid = "d"\nroles = ["reed"]\n'
    assert ("error", "deny d", "'reed' is not a role") in found(BASE + deny + rule("a", SELF))


def test_a_rule_whose_globs_match_nothing_is_dead() -> None:
    text = BASE + rule("a", SELF) + rule("b", SELF, '["prod-*"]')
    assert found(text) == [("warning", "rule b", "dead: none of its globs matches a role yet")]


def test_a_rule_behind_a_deny_is_dead() -> None:
    text = BASE + '[[deny]]\nid = "d"\nroles = ["read"]\n' + rule("a", SELF)
    assert found(text) == [("warning", "rule a", "dead: everything it covers is denied by d")]


@pytest.mark.parametrize("first", [SELF, PEER])
def test_a_rule_behind_a_wider_one_is_shadowed(first: str) -> None:
    text = BASE + rule("a", first, '["*"]') + rule("b", AUTO, who='["ann@example.com"]')
    assert found(text) == [("warning", "rule b", "shadowed: a decides first, always")]


def test_a_glob_of_people_shadows_what_it_includes() -> None:
    wide = rule("a", SELF, who='["*@example.com"]')
    assert found(BASE + wide + rule("b", SELF)) == [
        ("warning", "rule b", "shadowed: a decides first, always")
    ]
    assert found(BASE + rule("b", SELF) + wide) == []


@pytest.mark.parametrize(
    "first",
    [
        'approve = { mode = "auto", budget = "1/24h" }',  # reached once it is spent
        AUTO,  # reached by agents
        'approve = { mode = "self", factor = ["consent"] }',  # reached by agents
    ],
)
def test_a_rule_that_can_be_passed_over_shadows_nothing(first: str) -> None:
    assert found(BASE + rule("a", first) + rule("b", SELF)) == []


def test_a_rule_that_only_a_spent_budget_reaches_is_not_shadowed() -> None:
    # Agents are no help here: what is a base is granted to them at once, too.
    budget = 'approve = { mode = "auto", budget = "1/24h" }'
    text = BASE + elastic("read") + rule("a", budget) + rule("b", SELF)
    assert [where for _, where, what in found(text) if "shadowed" in what] == []


def test_a_pool_of_the_asker_alone_is_an_error() -> None:
    alone = 'approve = { mode = "peer", from = ["ann@example.com"] }'
    assert found(BASE + rule("a", alone)) == [
        (
            "error",
            "rule a",
            "nobody can answer 'ann@example.com': the pool is only 'ann@example.com'",
        )
    ]


@pytest.mark.parametrize("pool", ['["di@example.com"]', '["ann@example.com", "di@example.com"]'])
def test_a_pool_that_leaves_one_person_is_a_warning(pool: str) -> None:
    one = f'approve = {{ mode = "peer", from = {pool} }}'
    assert found(BASE + rule("a", one)) == [
        ("warning", "rule a", "for some requests only one person can answer")
    ]


def test_a_pool_of_two_who_never_ask_is_sound() -> None:
    two = 'approve = { mode = "peer", from = ["di@example.com", "ed@example.com"] }'
    assert found(BASE + rule("a", two)) == []


def test_a_pool_that_no_ask_reaches_is_only_shadowed() -> None:
    alone = 'approve = { mode = "peer", from = ["ann@example.com"] }'
    assert found(BASE + rule("a", SELF) + rule("b", alone)) == [
        ("warning", "rule b", "shadowed: a decides first, always")
    ]


def elastic(base: str) -> str:
    return f'[roles.work]\naws = "{ARN}/Work"\nbase = "{base}"\n' + rule("w", SELF, '["work"]')


def test_an_unknown_base_is_an_error() -> None:
    assert found(BASE + elastic("reed") + rule("a", AUTO)) == [
        ("error", "role work", "base 'reed' is not a role")
    ]


@pytest.mark.parametrize(
    ("base_rule", "what"),
    [
        (rule("a", SELF), "base 'read' is not granted at once by rule 'a'"),
        (rule("a", AUTO + "\nrequire = { reason = 5 }"), "base 'read' is not granted at once"),
        (
            rule("a", 'approve = { mode = "auto", budget = "3/24h" }'),
            "base 'read' has a budget in rule 'a'",
        ),
        (rule("a", AUTO, who='["bo@example.com"]'), "base 'read' is refused to some"),
        ("", "base 'read' is refused to some"),
    ],
)
def test_a_base_must_be_granted_at_once_to_all_who_may_borrow_the_role(
    base_rule: str, what: str
) -> None:
    (finding,) = found(BASE + elastic("read") + base_rule)
    assert finding[:2] == ("error", "role work")
    assert finding[2].startswith(what)


def test_a_base_with_a_plain_auto_rule_is_sound() -> None:
    assert found(BASE + elastic("read") + rule("a", AUTO)) == []


def test_a_group_that_nobody_uses_is_a_warning() -> None:
    text = BASE + rule("a", SELF, who='["ann@example.com"]')
    assert found(text) == [("warning", "groups.team", "no rule and no deny uses it")]


def test_a_sensitive_role_granted_without_limit_is_a_warning() -> None:
    text = BASE.replace('"low"', '"sensitive"')
    assert found(text + rule("a", AUTO)) == [
        ("warning", "rule a", "'read' is sensitive and granted at once, without limit")
    ]
    assert found(text + rule("a", 'approve = { mode = "auto", budget = "3/24h" }')) == []


def test_a_critical_role_that_asks_another_person_for_both_is_sound() -> None:
    assert found(BASE.replace('"low"', '"critical"') + rule("a", PEER)) == []


def test_one_aws_role_under_two_tiers_is_a_warning() -> None:
    text = BASE.replace("/Write", "/Read") + rule("a", SELF, '["*"]')
    assert found(text) == [("warning", "role write", "the same AWS role as 'read', which is low")]


def test_errors_come_first(team: Policy) -> None:
    text = BASE + rule("a", SELF, '["x"]') + rule("b", SELF, '["y-*"]', '["ann@example.com"]')
    assert [level for level, *_ in found(text)] == ["error", "warning"]


def test_a_big_policy_is_checked_at_once() -> None:
    people = [f"p{number}@example.com" for number in range(2000)]
    text = BASE.replace('["ann', '["' + '", "'.join(people) + '", "ann') + "".join(
        rule(f"r{number}", AUTO, '["*"]', f'["g{number}*@example.com", "group:team"]')
        for number in range(30)
    )
    # One stand-in for people who are alike: 2,000 members cost no more than one.
    assert {what.split(":")[0] for _, _, what in found(text)} <= {"shadowed"}


# -- [[test]] -------------------------------------------------------------------------------------


def result(team_text: str, ask: str, expect: str) -> TestResult:
    text = f"{team_text}[[test]]\nask = {{ {ask} }}\nexpect = {{ {expect} }}\n"
    (only,) = run_tests(load_policy(text))
    return only


ANN_WRITES = 'user = "ann@example.com", role = "prod-write"'
ANN_READS = 'user = "ann@example.com", role = "prod-read"'

PASSING = [
    (ANN_WRITES, 'rule = "prod-write", mode = "peer"'),
    (ANN_WRITES, 'needs = ["ticket", "reason"]'),
    (ANN_WRITES, 'needs = [["bo@example.com", "group:sec", 1]]'),
    (ANN_WRITES, 'not_by = ["ann@example.com", "cy@example.com"]'),
    (ANN_WRITES, "refused = false"),
    (ANN_WRITES + ', for = "2h"', 'refused = "too_long", rule = "prod-write"'),
    (ANN_READS, 'mode = "auto"'),
    (ANN_READS + ", agent = true", 'rule = "reads", mode = "self"'),
    (ANN_READS + ", spent = { prod-read-quick = 3 }", 'rule = "reads"'),
    (ANN_READS + ', via = "imds"', 'mode = "auto"'),
    ('user = "cy@example.com", role = "prod-write"', 'refused = true, rule = "not-cy-on-prod"'),
    ('user = "eve@example.com", role = "work"', 'refused = "no_rule"'),
]


@pytest.mark.parametrize(("ask", "expect"), PASSING)
def test_a_test_that_holds_passes(team_text: str, ask: str, expect: str) -> None:
    assert result(team_text, ask, expect).problems == ()


FAILING = [
    (ANN_WRITES, 'rule = "reads"', "expected rule 'reads', rule 'prod-write' decides"),
    (ANN_WRITES, 'mode = "self"', "expected mode self, it is peer"),
    (ANN_WRITES, 'needs = ["reason"]', "expected needs ['reason'], they are ['reason', 'ticket']"),
    (ANN_WRITES, 'needs = [["group:sec", 1]]', "expected needs [['group:sec', 1]], they are"),
    (ANN_WRITES, 'not_by = ["bo@example.com"]', "expected no yes by 'bo@example.com'"),
    (ANN_WRITES, "refused = true", "expected a refusal, rule 'prod-write' answers (peer)"),
    (ANN_READS, 'needs = [["group:sec", 1]]', "expected needs [['group:sec', 1]], they are []"),
    (ANN_READS, 'not_by = ["ann@example.com"]', "expected no yes by 'ann@example.com'"),
    (
        'user = "eve@example.com", role = "work"',
        'mode = "self"',
        "expected a grant, it is refused (no_rule)",
    ),
    (
        'user = "eve@example.com", role = "work"',
        "refused = false",
        "expected a grant, it is refused (no_rule)",
    ),
    (
        'user = "cy@example.com", role = "prod-write"',
        'refused = "no_rule"',
        "expected refusal 'no_rule', it is 'denied_by_rule'",
    ),
    (
        'user = "eve@example.com", role = "work"',
        'rule = "reads"',
        "expected rule 'reads', it is 'none' that refuses",
    ),
]


@pytest.mark.parametrize(("ask", "expect", "problem"), FAILING)
def test_a_test_that_does_not_hold_says_what_is_so(
    team_text: str, ask: str, expect: str, problem: str
) -> None:
    failed = result(team_text, ask, expect)
    assert not failed.passed
    assert failed.problems[0].startswith(problem)
    assert (failed.number, failed.line) == (1, 63)
