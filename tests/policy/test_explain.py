from __future__ import annotations

import json

from borrow.policy.model import Ask, Policy
from borrow.policy.review import explain

ANN = "ann@example.com"


def test_an_explanation_says_why_each_earlier_rule_does_not_decide(team: Policy) -> None:
    ask = Ask(ANN, "prod-read", 0, spent={"prod-read-quick": 3})
    assert explain(team, ask).lines == (
        "ann@example.com asks for prod-read: ann@example.com confirms (consent or totp, number to "
        "match), for 4h",
        "  · rule dev-read (line 37): covers dev-read, not this role",
        "  · rule prod-read-quick (line 42): passed over: rule 'prod-read-quick' grants "
        "'prod-read' 3 times in 1d, and that is spent",
        "  → rule reads (line 47): covers this person and this role",
    )


def test_an_explanation_says_what_would_be_asked_of_whom(team: Policy) -> None:
    ask = Ask(ANN, "prod-write", 1800, reason="restore the bucket", ticket="INC-1")
    assert explain(team, ask).answer == (
        "1 of di@example.com, ed@example.com, flo@example.com, bo@example.com says yes "
        "(device or passkey, number to match), for 30m"
    )


def test_an_explanation_of_a_denial_shows_the_deny_alone(team: Policy) -> None:
    explanation = explain(team, Ask("cy@example.com", "prod-write", 0))
    assert [step.stanza for step in explanation.steps] == ["deny not-cy-on-prod (line 33)"]
    assert explanation.outcome == "refused"


def test_an_explanation_names_what_is_missing(team: Policy) -> None:
    explanation = explain(team, Ask(ANN, "prod-write", 0))
    assert explanation.outcome == "needs"
    assert "reason (at least 10 characters); ticket (must match ^INC-[0-9]+$)" in explanation.answer
    assert explanation.hint == "add -m REASON or --ticket TICKET"


def test_a_stranger_learns_for_whom_the_rules_are(team: Policy) -> None:
    lines = explain(team, Ask("eve@example.com", "dev-read", 0)).lines
    assert "  · rule dev-read (line 37): is for group:payments, not for this person" in lines
    assert lines[-1].startswith("  hint: `borrow roles`")


def test_an_explanation_is_json_with_stable_keys(team: Policy) -> None:
    asks = {
        "auto": Ask(ANN, "dev-read", 0),
        "self": Ask(ANN, "work", 0),
        "peer": Ask(ANN, "prod-write", 0, reason="restore the bucket", ticket="INC-1"),
        "needs": Ask(ANN, "prod-write", 0),
        "refused": Ask(ANN, "nothing", 0),
    }
    common = {"user", "role", "outcome", "answer", "steps", "rule"}
    more = {
        "auto": set(),
        "self": {"factors", "match"},
        "peer": {"factors", "match", "pool", "k"},
        "needs": {"needs"},
        "refused": {"state", "hint"},
    }
    for outcome, ask in asks.items():
        told = json.loads(json.dumps(explain(team, ask).as_dict()))
        assert told["outcome"] == outcome
        assert set(told) == common | more[outcome]
