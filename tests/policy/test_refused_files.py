"""Every malformed file is told where it is wrong, by line and key, and what would be right."""

from __future__ import annotations

import pytest

from borrow.policy.load import MAX_TEXT, load_policy
from borrow.protocol.errors import Misconfigured

# Line numbers below count in this text: line 1 is [groups], the rule begins at line 6.
BASE = """\
[groups]
team = ["ann@example.com", "bo@example.com"]
[roles.r]
aws = "arn:aws:iam::111122223333:role/R"
tier = "low"
[[rule]]
id = "one"
who = ["group:team"]
roles = ["r"]
max = "1h"
approve = { mode = "self" }
"""


def refused(text: str) -> str:
    with pytest.raises(Misconfigured) as caught:
        load_policy(text, source="team.toml")
    return f"{caught.value.message} | {caught.value.hint}"


# (what to replace, by what, line, dotted path or name, what the hint offers)
CASES: list[tuple[str, str, int, str, str]] = [
    # unknown keys, at every level
    ("[groups]", "rules = 1\n[groups]", 1, "rules", "did you mean 'rule'?"),
    ("[groups]", "[group]", 1, "group", "groups, admins, accounts, roles"),
    ('tier = "low"', 'teir = "low"', 5, "roles.r.teir", "did you mean 'tier'? allowed here: aws"),
    ('max = "1h"', 'maximum = "1h"', 10, "rule[one].maximum", "id, who, roles, max"),
    ("mode =", "moed =", 11, "rule[one].approve.moed", "mode, factor, match, budget"),
    ('max = "1h"', "require = { cause = 1 }", 10, "rule[one].require.cause", "reason, ticket"),
    ('max = "1h"', "session = { deny = true }", 10, "rule[one].session.deny", "deny_iam"),
    ("[groups]", "[defaults]\nttl = '1h'\n[groups]", 2, "defaults.ttl", "pending, claim_by"),
    ("[groups]", "[admins]\ngroups = ['a']\n[groups]", 2, "admins.groups", "people"),
    ("[[rule]]", "[[deny]]\nid='d'\nroles=['r']\nwhy=1\n[[rule]]", 9, "deny[d].why", "except"),
    # roles and accounts
    ("arn:aws:iam::111122223333:role/R", "R", 4, "roles.r.aws", "arn:aws:iam::111122223333:role/"),
    (":role/R", ":user/R", 4, "roles.r.aws", "an IAM role's ARN"),
    ('"low"', '"lowest"', 5, "roles.r.tier", "low, normal, sensitive, critical"),
    ('"low"', "3", 5, "roles.r.tier", "low, normal, sensitive, critical"),
    ('tier = "low"', 'share = "all"', 5, "roles.r.share", "session, device"),
    ('tier = "low"', 'chain = "tags"', 5, "roles.r.chain", "identity, name, none"),
    ('tier = "low"', 'region = "Frankfurt"', 5, "roles.r.region", "eu-central-1"),
    ('tier = "low"', 'allows = ["everything"]', 5, "roles.r.allows", "s3:Delete*"),
    ('tier = "low"', 'imds = "yes"', 5, "roles.r.imds", "true, false"),
    ('"low"', '"sensitive"\nimds = true', 6, "roles.r.imds", "only tiers low and normal"),
    ('tier = "low"', 'base = "r"', 5, "roles.r.base", "below tier sensitive"),
    ('tier = "low"', 'base = "No Role"', 5, "roles.r.base", "small letters"),
    ("[roles.r]", "[roles.R]", 3, "roles.R", "small letters, digits"),
    ("[roles.r]", '[roles."a b"]', 3, "roles.'a b'", "small letters, digits"),
    ("[roles.r]", '[roles."{account}-r"]', 4, "roles.'{account}-r'.aws", "arn:aws:iam::{account}"),
    ("111122223333", "{account}", 4, "roles.r.aws", 'roles."{account}-…"'),
    ('aws = "arn:aws:iam::111122223333:role/R"', "", 3, "roles.r lacks 'aws'", "aws = …"),
    ("[roles.r]", "[accounts]\ndev = 1\n[roles.r]", 4, "accounts.dev", "twelve digits"),
    ("[roles.r]", "[accounts]\nd = '12'\n[roles.r]", 4, "accounts.d", "twelve digits"),
    ("[roles.r]", "[roles]\nx = 1\n[roles.r]", 4, "roles.x", "a table, [roles.x]"),
    # people
    ('"bo@example.com"]', '"bo"]', 2, "groups.team", "mail address in small letters or local:USER"),
    ('"bo@example.com"]', '"Bo@example.com"]', 2, "groups.team", "small letters"),
    ('"bo@example.com"]', '"group:other"]', 2, "groups.team", "people one by one"),
    ('"bo@example.com"]', '"ann@example.com"]', 2, "groups.team", "each once"),
    ('["ann@example.com", "bo@example.com"]', "[]", 2, "groups.team is an empty list", "at least"),
    ('"group:team"', '"group:teem"', 8, "rule[one].who", "allowed: group:team"),
    ('"group:team"', '"team"', 8, "rule[one].who", "did you mean 'group:team'?"),
    ('"group:team"', '"grp:team"', 8, "rule[one].who", "group:NAME"),
    ('"group:team"', '"grp:*"', 8, "rule[one].who", "*@example.com"),
    ('"group:team"', '"*@Example.com"', 8, "rule[one].who", "small letters"),
    ('["group:team"]', "[]", 8, "rule[one].who is an empty list", "at least one"),
    ('["group:team"]', '"group:team"', 8, "rule[one].who", "a list of texts"),
    ('"group:team"', '"oncall:team"', 8, "rule[one].who", "leave it out for now"),
    # rules
    ('id = "one"\n', "", 6, "rule[#1] lacks 'id'", "add: id"),
    ('id = "one"', 'id = "One Two"', 7, "rule[#1].id", "small letters"),
    ('roles = ["r"]\n', "", 6, "rule[one] lacks 'roles'", "add: roles"),
    ('roles = ["r"]', "roles = []", 9, "rule[one].roles is an empty list", "at least one"),
    ('roles = ["r"]', 'roles = ["[rw]"]', 9, "rule[one].roles", "globs with * and ?"),
    ('"1h"', '"1 hour"', 10, "rule[one].max", "from 1m to 7d"),
    ('"1h"', "60", 10, "rule[one].max", "a text in quotes"),
    ('"1h"', '"8d"', 10, "rule[one].max", "from 1m to 7d"),
    ('"1h"', '"1h"\nmint = "2h"', 11, "rule[one].mint", "never outlives its grant"),
    ('"1h"', '"1h"\nextensions = -1', 11, "rule[one].extensions", "from 0 to 24"),
    ('"1h"', '"1h"\nextensions = true', 11, "rule[one].extensions", "from 0 to 24"),
    ('approve = { mode = "self" }', "", 6, "rule[one] lacks 'approve'", "auto, self, peer"),
    ('"self"', '"maybe"', 11, "rule[one].approve.mode", "auto, self, peer"),
    ('"self"', '"self", factor = []', 11, "rule[one].approve.factor is an empty", "at least one"),
    ('"self"', '"self", factor = ["device"]', 11, "approve.factor", "totp, consent (for"),
    ('"self"', '"peer", from = ["bo@example.com"], factor = ["totp"]', 11, "factor", "device"),
    ('"self"', '"peer", from = ["bo@example.com"], factor = ["consent"]', 11, "factor", "device"),
    ('"self"', '"peer"', 11, "rule[one].approve lacks 'from'", "add: from"),
    ('"self"', '"peer", from = []', 11, "rule[one].approve.from is an empty list", "at least one"),
    ('"self"', '"peer", from = ["*"]', 11, "rule[one].approve.from", "no globs here"),
    ('"self"', '"peer", from = ["bo@example.com"], k = 0', 11, "approve.k", "from 1"),
    ('"self"', '"self", budget = "3/24h"', 11, "rule[one].approve.budget", "for mode auto"),
    ('"self"', '"self", from = ["bo@example.com"]', 11, "rule[one].approve.from", "for mode peer"),
    ('"self"', '"auto", factor = ["totp"]', 11, "approve.factor", "for mode self, peer"),
    ('"self"', '"auto", match = true', 11, "rule[one].approve.match", "for mode self, peer"),
    ('"self"', '"auto", budget = "3 a day"', 11, "rule[one].approve.budget", "such as 3/24h"),
    ('"self"', '"auto", budget = "0/24h"', 11, "rule[one].approve.budget", "at least 1"),
    ('"self"', '"auto", budget = "3/24x"', 11, "rule[one].approve.budget", "such as 3/24h"),
    ('"self"', '"self", match = 1', 11, "rule[one].approve.match", "true, false"),
    ('max = "1h"', "require = { reason = 0 }", 10, "rule[one].require.reason", "from 1 to 500"),
    ('max = "1h"', "require = { ticket = '[' }", 10, "require.ticket", "a regular expression"),
    ('max = "1h"', "require = { ticket = '(a+)+' }", 10, "require.ticket", "no repeated groups"),
    ('max = "1h"', r"require = { ticket = '(a)\1' }", 10, "require.ticket", "back-references"),
    ('max = "1h"', "require = { ticket = '(?=a)' }", 10, "require.ticket", "look-around"),
    ('max = "1h"', "require = { ticket = 'a?a?a?a?a?a?a?a?a?a?a?' }", 10, "ticket", "ten repeats"),
    ('max = "1h"', "require = 3", 10, "rule[one].require", "a table"),
    # denies and tests
    ("[[rule]]", "[[deny]]\nid='d'\nroles=['r']\nexcept='me'\n[[rule]]", 9, "except", "emergency"),
    ("[[rule]]", "[[deny]]\nid='one'\nroles=['r']\n[[rule]]", 10, "rule[one].id", "unique"),
    ("[[rule]]", "[[deny]]\nid='d'\nroles=['r']\nwho=[]\n[[rule]]", 9, "deny[d].who", "at least"),
    ("[[rule]]", "[[test]]\n[[rule]]", 6, "test[#1].ask lacks 'user'", "add: user"),
    (
        "[[rule]]",
        "[[test]]\nask={user='a@example.com', role='r'}\nexpect={}\n[[rule]]",
        8,
        "test[#1].expect expects nothing",
        "rule, mode, refused, needs, not_by",
    ),
    (
        "[[rule]]",
        "[[test]]\nask={user='a@example.com', role='r'}\nexpect={refused='never'}\n[[rule]]",
        8,
        "test[#1].expect.refused",
        "no_rule",
    ),
    (
        "[[rule]]",
        "[[test]]\nask={user='a@example.com', role='r'}\nexpect={needs=[['group:x']]}\n[[rule]]",
        8,
        "test[#1].expect.needs",
        '[["group:sec", 1]]',
    ),
    (
        "[[rule]]",
        "[[test]]\nask={user='a@x', role='r'}\nexpect={refused=true, mode='auto'}\n[[rule]]",
        8,
        "test[#1].expect.mode",
        "drop it",
    ),
    # the file itself
    ("[groups]", "version = 2\n[groups]", 1, "version", "allowed: 1"),
    ("[groups]", "version = true\n[groups]", 1, "version", "a whole number"),
    ("[[rule]]", "[rule]", 6, "rule", "[[rule]]"),
    ('tier = "low"', 'tier = "low', 5, "not valid TOML", "toml.io"),
    ('tier = "low"', 'tier = "low"\ntier = "low"', 6, "not valid TOML", "toml.io"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "path", "hint"), CASES)
def test_a_malformed_file_names_line_key_and_allowed_values(
    old: str, new: str, line: int, path: str, hint: str
) -> None:
    assert old in BASE
    told = refused(BASE.replace(old, new, 1))
    assert told.startswith(f"team.toml:{line}: ")
    assert path in told.split(" | ")[0]
    assert hint in told.split(" | ")[1]


# What a later version will enforce is refused today, not ignored.
LATER = [
    ('"self"', '"quorum"', "rule[one].approve.mode"),
    ('"self"', '"oncall"', "rule[one].approve.mode"),
    ('"self"', '"emergency"', "rule[one].approve.mode"),
    ('"self"', '"peer", from = ["bo@example.com"], k = 2', "rule[one].approve.k"),
    ('"self"', '"peer", stages = [["group:team", 1]]', "rule[one].approve.stages"),
    ('"self"', '"peer", fallback = "group:team"', "rule[one].approve.fallback"),
    ('"self"', '"peer", order = "parallel"', "rule[one].approve.order"),
    ("[[rule]]", "[oncall.team]\nsource = 'ics:x'\n[[rule]]", "oncall"),
    ("[[rule]]", "[defaults]\nwaves = ['0s']\n[[rule]]", "defaults.waves"),
    ("[[rule]]", "[defaults]\nnotify = ['tray']\n[[rule]]", "defaults.notify"),
    ("[[rule]]", "[defaults]\nslo = { p50 = '30s' }\n[[rule]]", "defaults.slo"),
    ('max = "1h"', "session = { pin_ip = true }", "rule[one].session.pin_ip"),
    ('"self" }', '"self" }\n[rule.emergency]\nmax = "1h"', "rule[one].emergency"),
    ('"group:team"', '"oncall:team"', "rule[one].who"),
    ('tier = "low"', "gcp = 'x'", "roles.r.gcp"),
]


@pytest.mark.parametrize(("old", "new", "path"), LATER)
def test_what_is_not_enforced_yet_is_refused_and_says_so(old: str, new: str, path: str) -> None:
    assert old in BASE
    told = refused(BASE.replace(old, new, 1))
    assert path in told
    assert "is not available yet" in told
    assert "would not be enforced" in told


def test_a_click_alone_is_refused_for_a_sensitive_role() -> None:
    text = BASE.replace('"low"', '"sensitive"').replace('"self"', '"self", factor = ["consent"]')
    told = refused(text)
    assert "team.toml:11: rule[one].approve.factor takes a click only" in told
    assert "'r' of tier sensitive" in told


@pytest.mark.parametrize(
    ("approve", "why"),
    [
        ('mode = "auto"', "rule[one].approve.mode auto asks nobody else"),
        ('mode = "auto", budget = "1/24h"', "rule[one].approve.mode auto asks nobody else"),
        ('mode = "self"', "rule[one].approve.mode self asks nobody else"),
        ('mode = "self", factor = ["passkey"], match = true', "mode self asks nobody else"),
        ('mode = "peer", from = ["bo@example.com"], factor = ["passkey"]', "takes one of two"),
        ('mode = "peer", from = ["bo@example.com"], factor = ["device"]', "takes one of two"),
    ],
)
def test_a_rule_whose_yes_could_never_be_whole_for_a_critical_role_is_refused(
    approve: str, why: str
) -> None:
    """By name and by a glob: nobody should learn it on the day the role is needed."""
    text = BASE.replace('"low"', '"critical"').replace('mode = "self"', approve)
    told = refused(text)
    assert why in told
    assert "'r' of tier critical" in told
    assert "team.toml:11:" in told
    assert "'r' of tier critical" in refused(text.replace('roles = ["r"]', 'roles = ["*"]'))


def test_a_critical_role_cannot_be_a_base() -> None:
    text = BASE.replace('"low"', '"critical"').replace(
        'mode = "self"', 'mode = "peer", from = ["bo@example.com"]'
    )
    elastic = '[roles.e]\naws = "arn:aws:iam::111122223333:role/E"\nbase = "r"\n'
    assert "which is of tier critical" in refused(text + elastic)


def test_a_base_must_be_harmless() -> None:
    text = BASE.replace('"low"', '"sensitive"') + (
        '[roles.e]\naws = "arn:aws:iam::111122223333:role/E"\nbase = "r"\n'
    )
    assert "team.toml:14: roles.e.base cannot be 'r', which is of tier sensitive" in refused(text)


def test_a_base_has_no_base_of_its_own() -> None:
    arn = "arn:aws:iam::111122223333:role"
    text = f"[roles.a]\naws = '{arn}/A'\nbase = 'b'\n[roles.b]\naws = '{arn}/B'\nbase = 'a'\n"
    assert "team.toml:3: roles.a.base cannot be 'b', which has a base itself" in refused(text)


def test_a_role_is_made_by_one_stanza_only() -> None:
    text = (
        "[accounts]\ndev = '111122223333'\n"
        "[roles.dev-x]\naws = 'arn:aws:iam::111122223333:role/X'\n"
        "[roles.'{account}-x']\naws = 'arn:aws:iam::{account}:role/X'\n"
    )
    told = refused(text)
    assert told.startswith("team.toml:5: roles.'{account}-x' makes role 'dev-x' again")


def test_an_account_number_has_one_name() -> None:
    told = refused("[accounts]\na = '111122223333'\nb = '111122223333'\n")
    assert told.startswith("team.toml:3: accounts.b names account 111122223333 again")


def test_the_second_rule_of_a_file_is_pointed_at_in_its_own_lines() -> None:
    second = BASE[BASE.index("[[rule]]") :].replace('"one"', '"two"').replace("1h", "forever")
    assert refused(BASE + second).startswith("team.toml:16: rule[two].max cannot be 'forever'")


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 5000, "x = " + "9" * 5000, "\x00", "\ud800", "#" * (MAX_TEXT + 1), "=", "[[["],
)
def test_a_hostile_text_is_misconfigured_and_nothing_worse(text: str) -> None:
    assert refused(text).startswith("team.toml")


def test_a_message_cannot_move_the_cursor() -> None:
    told = refused('"\\u001b]8;;x\\u0007" = 1\n') + refused(BASE.replace('"low"', '"\\u001b[2J"'))
    assert "\x1b" not in told
    assert "\x07" not in told


def test_a_long_value_is_cut() -> None:
    assert len(refused(BASE.replace('"low"', '"' + "x" * 10_000 + '"'))) < 300
