"""The decision, one promise a test; the properties that hold for any ask stand at the end."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.policy.decide import decide, roles_for
from borrow.policy.explain import explain
from borrow.policy.load import load_policy
from borrow.policy.model import (
    REFUSALS,
    Ask,
    AskPeers,
    AskSelf,
    Auto,
    Mode,
    NeedsMore,
    Policy,
    Refuse,
    Tier,
    Verdict,
)

ANN = "ann@example.com"
GOOD_REASON = "restore the lost bucket"
INCIDENT = "INC-42"


def write(user: str = ANN) -> Ask:
    return Ask(user, "prod-write", 0, reason=GOOD_REASON, ticket=INCIDENT)


def told(verdict: Verdict) -> tuple[str, str]:
    assert isinstance(verdict, Refuse)
    return verdict.state, verdict.rule


def test_the_first_rule_that_matches_decides(team: Policy) -> None:
    verdict = decide(team, Ask(ANN, "dev-read", 0))
    assert isinstance(verdict, Auto)
    assert verdict.rule.id == "dev-read"


def test_what_no_rule_matches_is_refused_by_role_and_person(team: Policy) -> None:
    verdict = decide(team, Ask("di@example.com", "work", 0))
    assert isinstance(verdict, Refuse)
    assert verdict.state == "no_rule"
    assert verdict.why == "no rule lets 'di@example.com' borrow 'work'"
    assert "borrow roles" in verdict.hint


def test_a_stranger_is_refused(team: Policy) -> None:
    assert told(decide(team, Ask("eve@example.com", "dev-read", 0))) == ("no_rule", "")


def test_an_unknown_role_is_refused_by_name(team: Policy) -> None:
    verdict = decide(team, Ask(ANN, "prod-wirte", 0))
    assert isinstance(verdict, Refuse)
    assert (verdict.state, verdict.why) == ("unknown_role", "no role is called 'prod-wirte'")


def test_a_deny_stands_before_every_rule(team: Policy) -> None:
    assert told(decide(team, write("cy@example.com"))) == ("denied_by_rule", "not-cy-on-prod")


def test_a_deny_without_who_is_for_everybody(team: Policy) -> None:
    assert told(decide(team, Ask(ANN, "org-admin", 0))) == ("denied_by_rule", "no-org-admin")


def test_a_deny_with_an_emergency_exception_holds_while_nothing_is_an_emergency(
    team: Policy,
) -> None:
    assert team.denies[0].unless == "emergency"
    assert isinstance(decide(team, Ask(ANN, "org-admin", 0, reason="emergency")), Refuse)


def test_spelling_an_address_otherwise_evades_no_deny(team: Policy) -> None:
    assert told(decide(team, write("CY@Example.com"))) == ("denied_by_rule", "not-cy-on-prod")


def test_a_spent_budget_goes_on_to_the_next_rule(team: Policy) -> None:
    below = decide(team, Ask(ANN, "prod-read", 0, spent={"prod-read-quick": 2}))
    spent = decide(team, Ask(ANN, "prod-read", 0, spent={"prod-read-quick": 3}))
    assert isinstance(below, Auto)
    assert isinstance(spent, AskSelf)
    assert spent.rule.id == "reads"


def test_a_spent_budget_with_no_rule_behind_it_is_refused_and_says_so() -> None:
    policy = one_rule('approve = { mode = "auto", budget = "1/1h" }')
    verdict = decide(policy, Ask(ANN, "r", 0, spent={"one": 1}))
    assert told(verdict) == ("budget_spent", "one")


def test_the_reason_of_the_first_rule_that_was_passed_over_is_told() -> None:
    policy = load_policy(
        '[roles.r]\naws = "arn:aws:iam::111122223333:role/R"\n'
        f'[[rule]]\nid = "a"\nwho = ["{ANN}"]\nroles = ["r"]\n'
        'approve = { mode = "auto", budget = "1/1h" }\n'
        f'[[rule]]\nid = "b"\nwho = ["{ANN}"]\nroles = ["r"]\n'
        'approve = { mode = "auto", budget = "2/1h" }\n'
    )
    assert told(decide(policy, Ask(ANN, "r", 0, spent={"a": 1, "b": 2}))) == ("budget_spent", "a")


def test_one_rules_budget_is_not_anothers(team: Policy) -> None:
    verdict = decide(team, Ask(ANN, "prod-read", 0, spent={"reads": 99, "dev-read": 99}))
    assert isinstance(verdict, Auto)


def test_an_unmet_requirement_asks_for_it(team: Policy) -> None:
    verdict = decide(team, Ask(ANN, "prod-write", 0))
    assert isinstance(verdict, NeedsMore)
    assert verdict.fields == {
        "reason": "at least 10 characters",
        "ticket": "must match ^INC-[0-9]+$",
    }


@pytest.mark.parametrize(
    "ticket", ["INC-", "xINC-1", "INC-1x", "INC-1\n", " INC-1", "INC-" + "1" * 99]
)
def test_the_whole_ticket_must_match(team: Policy, ticket: str) -> None:
    verdict = decide(team, replace(write(), ticket=ticket))
    assert isinstance(verdict, NeedsMore)
    assert list(verdict.fields) == ["ticket"]


def test_blanks_are_no_reason(team: Policy) -> None:
    verdict = decide(team, replace(write(), reason="a" + " " * 30 + "b"))
    assert isinstance(verdict, NeedsMore)
    assert list(verdict.fields) == ["reason"]


def test_peers_are_asked_without_the_requester(team: Policy) -> None:
    verdict = decide(team, write("di@example.com"))
    assert isinstance(verdict, AskPeers)
    assert verdict.pool == ("ed@example.com", "flo@example.com", "bo@example.com")
    assert (verdict.factors, verdict.match, verdict.k) == (
        frozenset({"passkey", "device"}),
        True,
        1,
    )


def test_spelling_ones_own_address_otherwise_makes_no_second_person(team: Policy) -> None:
    verdict = decide(team, write("DI@example.com"))
    assert isinstance(verdict, AskPeers)
    assert "di@example.com" not in verdict.pool


def test_a_rule_with_nobody_else_to_ask_is_refused_at_once() -> None:
    policy = one_rule(
        f'approve = {{ mode = "peer", from = ["{ANN}"] }}\nrequire = {{ reason = 9 }}'
    )
    assert told(decide(policy, Ask(ANN, "r", 0))) == ("dead_pool", "one")


def test_an_ask_longer_than_the_rule_allows_is_refused_with_the_limit(team: Policy) -> None:
    verdict = decide(team, Ask(ANN, "prod-write", 3601))
    assert isinstance(verdict, Refuse)
    assert (verdict.state, verdict.rule) == ("too_long", "prod-write")
    assert "1h at most" in verdict.why
    assert isinstance(decide(team, replace(write(), seconds=3600)), AskPeers)


def test_a_too_long_ask_does_not_fall_through_to_a_laxer_rule(team: Policy) -> None:
    # `reads` behind it allows 4h, and would be another answer to another question.
    assert told(decide(team, Ask(ANN, "prod-read", 3 * 3600))) == ("too_long", "prod-read-quick")


def test_zero_seconds_means_the_rules_longest(team: Policy) -> None:
    verdict = decide(team, write())
    assert isinstance(verdict, AskPeers)
    assert verdict.rule.seconds_for(0) == 3600
    assert verdict.rule.seconds_for(60) == 60


def test_an_ask_that_ends_before_it_starts_is_refused(team: Policy) -> None:
    assert told(decide(team, Ask(ANN, "dev-read", -1))) == ("bad_duration", "")


def test_instance_credentials_need_a_role_that_says_so(team: Policy) -> None:
    assert isinstance(decide(team, Ask(ANN, "dev-read", 0, via="imds")), Auto)
    assert told(decide(team, Ask(ANN, "work", 0, via="imds"))) == ("imds", "")


def test_instance_credentials_are_never_of_a_sensitive_role(team: Policy) -> None:
    roles = dict(team.roles)
    roles["prod-write"] = replace(roles["prod-write"], imds=True)  # no file can say this
    verdict = decide(replace(team, roles=roles), replace(write(), via="imds"))
    assert told(verdict) == ("imds", "")


def test_an_agent_gets_a_base_at_once_and_nothing_else(team: Policy) -> None:
    base = decide(team, Ask(ANN, "dev-read", 0, agent="claude"))
    other = decide(team, Ask(ANN, "prod-read", 0, agent="claude"))
    assert isinstance(base, Auto)
    assert isinstance(other, AskSelf)
    assert other.rule.id == "reads"


def test_an_agents_click_does_not_count(team: Policy) -> None:
    person = decide(team, Ask(ANN, "work", 0))
    agent = decide(team, Ask(ANN, "work", 0, agent="claude"))
    assert isinstance(person, AskSelf)
    assert isinstance(agent, AskSelf)
    assert person.factors == {"consent", "totp"}
    assert agent.factors == {"totp"}


@pytest.mark.parametrize("approve", ['mode = "auto"', 'mode = "self", factor = ["consent"]'])
def test_an_agent_with_no_rule_left_is_refused_as_an_agent(approve: str) -> None:
    policy = one_rule(f"approve = {{ {approve} }}")
    assert told(decide(policy, Ask(ANN, "r", 0, agent="claude"))) == ("agent", "one")
    assert not isinstance(decide(policy, Ask(ANN, "r", 0)), Refuse)


def test_a_click_drops_out_for_a_sensitive_role_and_the_rest_stays() -> None:
    policy = one_rule('approve = { mode = "self", factor = ["consent", "totp"] }', tier="sensitive")
    verdict = decide(policy, Ask(ANN, "r", 0))
    assert isinstance(verdict, AskSelf)
    assert verdict.factors == {"totp"}


def test_a_glob_may_match_people_of_no_group(team: Policy) -> None:
    assert isinstance(decide(team, Ask("zoe@partner.example.com", "work", 0)), AskSelf)
    assert isinstance(decide(team, Ask("zoe@partner.example.com.evil", "work", 0)), Refuse)


def test_a_hostile_name_is_escaped_and_cut_in_a_refusal(team: Policy) -> None:
    for ask in (Ask("x\x1b[2J\u202e" + "y" * 500, "work", 0), Ask(ANN, "\x1b[2J\u202e" * 99, 0)):
        verdict = decide(team, ask)
        assert isinstance(verdict, Refuse)
        assert verdict.why.isprintable()
        assert len(verdict.why) < 400


def test_the_catalogue_lists_what_a_person_may_ask_for(team: Policy) -> None:
    views = {view.role.name: view for view in roles_for(team, ANN)}
    assert {name: (v.rule, v.mode.value) for name, v in views.items()} == {
        "dev-read": ("dev-read", "auto"),
        "prod-read": ("prod-read-quick", "auto"),
        "work": ("reads", "self"),
        "prod-write": ("prod-write", "peer"),
    }
    assert (views["prod-write"].max_seconds, views["work"].max_seconds) == (3600, 14400)
    assert list(views["prod-write"].needs) == ["reason", "ticket"]
    assert views["work"].needs == {}


def test_the_catalogue_hides_what_would_be_refused(team: Policy) -> None:
    assert [view.role.name for view in roles_for(team, "cy@example.com")] == ["dev-read", "work"]
    assert roles_for(team, "eve@example.com") == ()


def one_rule(stanza: str, tier: str = "low") -> Policy:
    return load_policy(
        f'[roles.r]\naws = "arn:aws:iam::111122223333:role/R"\ntier = "{tier}"\n'
        f'[[rule]]\nid = "one"\nwho = ["{ANN}"]\nroles = ["r"]\n{stanza}\n'
    )


# -- Properties ---------------------------------------------------------------------------------

PEOPLE = [f"{name}@example.com" for name in ("ann", "bo", "cy", "di", "ed", "flo", "eve")]
ROLES = ["dev-read", "prod-read", "work", "prod-write", "org-admin"]

asks = st.builds(
    Ask,
    user=st.sampled_from(PEOPLE) | st.sampled_from(PEOPLE).map(str.upper) | st.text(),
    role=st.sampled_from(ROLES) | st.text(),
    seconds=st.sampled_from([0, 60, 3600, 7200, 14_400]) | st.integers() | st.just(10**5000),
    reason=st.just(GOOD_REASON) | st.text(),
    ticket=st.just(INCIDENT) | st.text(),
    via=st.sampled_from(["cli", "imds", "container"]) | st.text(),
    agent=st.sampled_from(["", "claude"]),
    spent=st.dictionaries(st.sampled_from(["prod-read-quick", "reads"]), st.integers()),
)


@given(asks)
def test_every_ask_gets_a_verdict(team: Policy, ask: Ask) -> None:
    verdict = decide(team, ask)
    assert not isinstance(verdict, Refuse) or (verdict.state in REFUSALS and verdict.why)


@given(asks)
def test_what_a_deny_covers_is_always_refused(team: Policy, ask: Ask) -> None:
    person = ask.user.lower()
    for deny in team.denies:
        if deny.scope.covers(person, ask.role):
            assert told(decide(team, ask))[0] == "denied_by_rule"
            return


@given(asks)
def test_what_no_rule_covers_is_always_refused(team: Policy, ask: Ask) -> None:
    person = ask.user.lower()
    if not any(rule.scope.covers(person, ask.role) for rule in team.rules):
        assert isinstance(decide(team, ask), Refuse)


@given(asks)
def test_the_requester_is_never_in_the_pool(team: Policy, ask: Ask) -> None:
    verdict = decide(team, ask)
    if isinstance(verdict, AskPeers):
        assert len(verdict.pool) >= verdict.k
        assert ask.user.lower() not in {person.lower() for person in verdict.pool}


@given(asks)
def test_a_click_never_counts_for_an_agent_or_a_sensitive_role(team: Policy, ask: Ask) -> None:
    verdict = decide(team, ask)
    if isinstance(verdict, AskSelf):
        assert verdict.factors
        if ask.agent or team.roles[ask.role].tier.at_least(Tier.SENSITIVE):
            assert "consent" not in verdict.factors


@given(asks)
def test_saying_to_be_an_agent_never_loosens(team: Policy, ask: Ask) -> None:
    person, agent = decide(team, replace(ask, agent="")), decide(team, replace(ask, agent="x"))
    if isinstance(agent, Auto):
        assert isinstance(person, Auto)
        assert ask.role in team.bases


@given(asks)
def test_no_grant_is_longer_than_its_rule_allows(team: Policy, ask: Ask) -> None:
    verdict = decide(team, ask)
    if not isinstance(verdict, Refuse):
        assert 0 <= ask.seconds <= verdict.rule.max_seconds
        assert 0 < verdict.rule.seconds_for(ask.seconds) <= verdict.rule.max_seconds


@given(asks)
def test_the_explanation_tells_the_decision(team: Policy, ask: Ask) -> None:
    verdict, explanation = decide(team, ask), explain(team, ask)
    assert explanation.verdict == verdict
    assert all(line.isprintable() for line in explanation.lines)
    deciders = [step.stanza.split()[1] for step in explanation.steps if step.decides]
    match verdict:
        case Refuse(state="denied_by_rule" | "too_long" | "dead_pool", rule=rule):
            assert deciders == [rule]
        case Refuse():
            assert deciders == []
        case _:
            assert deciders == [verdict.rule.id]


# Tier critical: all of a yes by one person, whatever the rules say


def critical(text: str) -> Policy:
    bare = text.replace('[[deny]]\nid = "no-org-admin"', '[[deny]]\nid = "no-org"').replace(
        'roles = ["org-*"]', 'roles = ["org-other*"]'
    )
    approve = 'mode = "peer", from = ["group:sec"]'
    return load_policy(
        bare + '[[rule]]\nid = "root"\nwho = ["group:payments"]\nroles = ["org-admin"]\n'
        f"approve = {{ {approve} }}\n"
    )


def test_a_critical_role_takes_every_kind_from_one_person(team_text: str) -> None:
    verdict = decide(critical(team_text), Ask(ANN, "org-admin", 0))
    assert isinstance(verdict, AskPeers)
    assert (verdict.factors, verdict.every) == (frozenset({"passkey", "device"}), True)


def test_a_sensitive_role_takes_any_kind(team: Policy) -> None:
    verdict = decide(team, write())
    assert isinstance(verdict, AskPeers)
    assert not verdict.every


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("factors", [(), ("passkey",), ("device",), ("passkey", "totp"),
                                     ("consent",), ("totp", "consent")])  # fmt: skip
def test_nothing_less_is_ever_asked_for_a_critical_role(
    team_text: str, mode: Mode, factors: tuple[str, ...]
) -> None:
    """Even by rules that no file could hold: `load` refuses them, and `decide` does too."""
    policy = critical(team_text)
    rules = tuple(
        replace(rule, approve=replace(rule.approve, mode=mode, factors=frozenset(factors)))
        for rule in policy.rules
    )
    for agent in ("", "some-agent"):
        ask = Ask(ANN, "org-admin", 0, agent=agent)
        verdict = decide(replace(policy, rules=rules), ask)
        assert told(verdict) == ("no_rule", "root")


def test_explain_says_that_both_are_needed(team_text: str) -> None:
    explained = explain(critical(team_text), Ask(ANN, "org-admin", 0))
    assert "both device and passkey" in explained.answer
    assert explained.as_dict()["every"] is True
