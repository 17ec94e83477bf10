"""What a prompt shows and asks for. No display, no daemon."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.tray import form as forms

NOW = 1_800_000_000.0
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x9b31m\x1b]8;;http://bad.example\x1b\\x \r\n\u202etxt.exe\u200b "
    '[exec touch /tmp/x] $x ${y} "];destroy . {\\} <!channel> <http://a|b> `rm` *b*' + "A" * 4000
)


def peer(**changes: Any) -> dict[str, Any]:
    one = {
        "request": "r-01jv0000000000000000000000",
        "request_hash": "the-hash",
        "person": "ann@example.com",
        "role": "change",
        "arn": "arn:aws:iam::123456789012:role/Admin",
        "account": "123456789012",
        "tier": "sensitive",
        "rule": "changes",
        "mode": "peer",
        "factors": ["device"],
        "match": True,
        "number": "472",
        "words": "amber-otter",
        "expires_at": NOW + 245,
        "seconds": 14_400,
        "justification": "the queue hangs",
        "ticket": "INC-42",
        "mine": False,
        "earlier_denials": 2,
        "state": "pending",
        "context": {
            "host": "ws-1",
            "os_user": "ann",
            "agent": "helper",
            "process": {
                "exe": "/usr/bin/python3.11",
                "argv": "aws s3 ls",
                "cwd": "/home/ann/pay",
                "git_branch": "fix/queue",
                "container": "c0ffee",
                "parents": ["bash", "tmux"],
            },
        },
    }
    return one | changes


def own(**changes: Any) -> dict[str, Any]:
    one = peer(mine=True, mode="self", factors=["totp"])
    del one["number"]
    return one | changes


def every_text(form: forms.Form) -> list[str]:
    pairs = [*form.facts, *form.claims]
    return [form.head, form.cannot, *(value for _, value in pairs), *(f.label for f in form.fields)]


def test_facts_and_what_the_device_claims_stand_apart() -> None:
    form = forms.answering(peer(), NOW)
    facts, claims = dict(form.facts), dict(form.claims)
    assert form.head == "ann@example.com asks for change"
    assert facts["role"] == "change, tier sensitive, account 123456789012"
    assert facts["number"] == "472, amber-otter: they see the same"
    assert facts["denied before"] == "2 times in a day"
    assert claims == {
        "reason": "the queue hangs",
        "ticket": "INC-42",
        "agent": "helper",
        "program": "/usr/bin/python3.11",
        "command": "aws s3 ls",
        "started by": "bash ← tmux",
        "directory": "/home/ann/pay, branch fix/queue",
        "container": "c0ffee",
        "host": "ws-1, user ann",
    }
    assert "not verified" in forms.CLAIMED
    assert not any("queue" in value for value in facts.values())


def test_a45_the_program_is_the_file_that_runs_and_stands_before_what_it_calls_itself() -> None:
    labels = [label for label, _ in forms.answering(peer(), NOW).claims]
    assert labels.index("program") < labels.index("command")


def hostile(text: str) -> dict[str, Any]:
    names = ("exe", "argv", "cwd", "git_branch", "container")
    process: dict[str, Any] = dict.fromkeys(names, text)
    process["parents"] = [text] * 30
    context = {"host": text, "os_user": text, "agent": text, "process": process}
    told = (
        *("person", "role", "arn", "account", "tier", "rule", "number", "words"),
        *("justification", "ticket", "extends"),
    )
    last = {"state": text, "justification": text, "ticket": text, "context": context}
    changes: dict[str, Any] = dict.fromkeys(told, text)
    return peer(**changes, context=context, last=last, factors=[text])


def test_a46_no_text_of_a_request_is_shown_as_it_came() -> None:
    form = forms.answering(hostile(HOSTILE), NOW)
    for told in every_text(form):
        assert told.isprintable(), ascii(told)
        assert len(told) < 1300
    reason = dict(form.claims)["reason"]
    for code in ("\\u{1b}", "\\u{7}", "\\u{9b}", "\\u{d}", "\\u{a}", "\\u{202e}", "\\u{200b}"):
        assert code in reason
    assert forms.asking({"name": HOSTILE, "needs": {"reason": HOSTILE}}).head.isprintable()


def test_a48_markup_of_chats_and_pages_is_read_as_it_was_typed() -> None:
    typed = "<!channel> <http://bad.example|look> `rm` *b* <b>x</b> &amp; https://bad.example"
    claims = dict(forms.answering(peer(justification=typed), NOW).claims)
    assert claims["reason"] == typed


@given(st.text(max_size=300))
def test_a46_whatever_is_written_is_printable_and_short(text: str) -> None:
    for told in every_text(forms.answering(hostile(text), NOW)):
        assert told.isprintable()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["process", "exe", "parents", "host", "agent"]), inner)
    ),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*peer(), "last", "extends"]), ANYTHING), ANYTHING)
def test_odd_answers_make_a_form_and_no_traceback(odd: dict[str, Any], entry: Any) -> None:
    forms.answering(peer() | odd, NOW)
    forms.asking({"name": entry, "needs": entry, "max": entry, "reasons": entry, "factors": entry})


@pytest.mark.parametrize(
    ("one", "fields", "cannot"),
    [
        (own(), ["number", "code"], ""),
        (own(factors=["consent"]), ["number"], ""),
        (own(factors=["consent"], match=False), [], ""),
        (own(factors=["consent", "totp"], match=False), [], ""),
        (peer(), [], ""),
        (peer(factors=["totp"]), ["code"], ""),
        (own(factors=["passkey"]), ["number"], "the rule wants a passkey"),
        (peer(mine=True), [], "your own request needs another person's yes"),
    ],
)
def test_the_rule_says_what_has_to_be_typed(
    one: dict[str, Any], fields: list[str], cannot: str
) -> None:
    form = forms.answering(one, NOW)
    assert [field.name for field in form.fields] == fields
    assert form.cannot.startswith(cannot)
    assert bool(form.cannot) == bool(cannot)


@pytest.mark.parametrize(
    ("typed", "wrong"),
    [
        ({}, "number"),
        ({"number": "12"}, "number"),
        ({"number": "1234"}, "number"),
        ({"number": "12a"}, "number"),
        ({"number": "١٢٣"}, "number"),  # digits, but not ASCII ones
        ({"number": "123"}, "code"),
        ({"number": "123", "code": "12345"}, "code"),
        ({"number": " 123 ", "code": " 123456 "}, ""),
    ],
)
def test_nothing_incomplete_is_sent(typed: dict[str, str], wrong: str) -> None:
    name, told = forms.problem(forms.answering(own(), NOW), typed)
    assert (name, bool(told)) == (wrong, bool(wrong))


def test_a_yes_names_the_hash_and_shortens_but_never_lengthens() -> None:
    one = peer(seconds=3600)
    form = forms.answering(one, NOW)
    assert forms.yes_body(form, one, {}, 900) == {
        "decision": "approve",
        "request_hash": "the-hash",
        "number": "472",
        "seconds": 900,
    }
    for seconds in (0, 3600, 86_400):
        assert "seconds" not in forms.yes_body(form, one, {}, seconds)
    assert forms.no_body(one, "") == {"decision": "deny", "request_hash": "the-hash"}


@pytest.mark.parametrize(
    ("most", "offered"),
    [
        (0, ()),
        (600, (600,)),
        (900, (900,)),
        (1800, (900, 1800)),
        (14_400, (900, 3600, 14_400)),
        (28_800, (900, 3600, 14_400, 28_800)),
    ],
)
def test_no_more_time_is_offered_than_was_asked_for(most: int, offered: tuple[int, ...]) -> None:
    form = forms.answering(peer(seconds=most), NOW)
    assert (form.durations, form.chosen) == (offered, most)


def test_the_last_request_is_compared_with_this_one() -> None:
    context = {"host": "ws-1", "os_user": "ann", "process": {"exe": "/usr/bin/terraform"}}
    last = {
        "state": "approved",
        "asked_at": NOW - 7300,
        "seconds": 3600,
        "justification": "nightly job",
        "ticket": "INC-42",
        "context": context,
    }
    form = forms.answering(peer(last=last), NOW)
    assert dict(form.facts)["last time"] == "approved 2h ago, asked for 1h"
    then = dict(form.claims)["said then"].split(" · ")
    assert "reason: nightly job" in then
    assert "program: /usr/bin/terraform" in then
    assert "agent: none" in then
    assert not any(each.startswith(("ticket", "host")) for each in then)


def test_a_first_request_is_told_as_such_and_the_same_again_too() -> None:
    form = forms.answering(peer(last=None), NOW)
    assert "never decided before" in dict(form.facts)["last time"]
    assert "said then" not in dict(form.claims)
    same = {"state": "denied", "asked_at": NOW, "seconds": 14_400} | {
        name: peer()[name] for name in ("justification", "ticket", "context")
    }
    form = forms.answering(peer(last=same), NOW)
    assert dict(form.claims)["said then"] == "nothing else was claimed then"


def test_asking_wants_what_the_rule_wants_and_offers_what_was_said_before() -> None:
    entry = {
        "name": "ticketed",
        "mode": "self",
        "max": 3600,
        "factors": ["totp"],
        "needs": {"reason": "at least 10 characters", "ticket": "like ^INC-[0-9]+$"},
        "reasons": ["the queue", "with \x1b escape", "x" * 600, "fine"],
    }
    form = forms.asking(entry)
    reason, ticket = form.fields
    assert (reason.least, ticket.least) == (10, 1)
    assert reason.recent == ("the queue", "fine")
    assert dict(form.facts)["a yes takes"] == "a code of your authenticator app"
    assert forms.problem(form, {"reason": "too short"})[0] == "reason"
    assert forms.problem(form, {"reason": "x" * 501, "ticket": "INC-1"})[0] == "reason"
    assert forms.problem(form, {"reason": "long enough", "ticket": "INC-1"}) == ("", "")
    assert (form.yes, form.no, form.durations) == ("Ask", "", (900, 3600))


def test_the_clock_runs_down_to_the_end() -> None:
    form = forms.answering(peer(), NOW)
    assert forms.time_left(form.expires_at, NOW) == "4:05 left"
    assert forms.time_left(form.expires_at, NOW + 999) == "0:00 left"
    assert forms.time_left(0.0, NOW) == ""
    assert (forms.ended(form, NOW + 244.9), forms.ended(form, NOW + 245)) == (False, True)
    assert forms.over("pending") == ""
    assert forms.over("expired") == "nobody answered in time"
    assert "\x1b" not in forms.over("\x1b[2J")


# Tier critical: both of one person


def critical(**changes: Any) -> dict[str, Any]:
    both: dict[str, Any] = {"factors": ["device", "passkey"], "every": True, "tier": "critical"}
    return peer(**(both | {"given": [], "halves": []} | changes))


def test_a_critical_request_says_that_a_yes_takes_both() -> None:
    form = forms.answering(critical(), NOW)
    assert dict(form.facts)["a yes takes"] == "this device's signature and a passkey"
    assert form.cannot == ""
    asks = forms.asking({"name": "root", "factors": ["device", "passkey"], "every": True})
    assert dict(asks.facts)["a yes takes"] == "this device's signature and a passkey"
    assert "a yes takes" not in dict(forms.answering(peer(), NOW).facts)


def test_what_is_missing_of_the_yes_is_told() -> None:
    form = forms.answering(critical(given=["passkey"]), NOW)
    said = "you said yes with a passkey; your workstation's yes is missing"
    assert (dict(form.facts)["so far"], form.cannot) == (said, "")
    other = {"person": "cy@example.com", "given": ["passkey"], "missing": ["device"]}
    form = forms.answering(critical(halves=[other]), NOW)
    assert dict(form.facts)["so far"].startswith("cy@example.com said yes with a passkey")


def test_this_computers_half_is_not_given_twice() -> None:
    form = forms.answering(critical(given=["device"]), NOW)
    assert form.cannot == "you said yes at your workstation; your passkey's yes is missing"
