"""The policy file that `borrow setup` writes: valid, empty of roles, and full of explanations."""

from __future__ import annotations

import json

from borrow.policy.people import is_person
from borrow.protocol.errors import Misconfigured

_PERSON = "@PERSON@"

# Lines that begin with `# ` are words; lines that begin with `#` and no blank are examples. A test
# takes that sign away from all of them and expects the result to load and to pass its own tests.
_TEMPLATE = """\
# Who may borrow what. Borrow reads this file when it starts.
#
# It holds no roles yet, so everything is refused: nothing matched means no.
# Lines like this one are words. Lines with '#' and no blank after it are examples:
# take the '#' away, put your own names in, then run
#
#   borrow policy check                 mistakes that one can see from here
#   borrow policy test                  your own [[test]]s, at the end of this file
#   borrow policy explain USER ROLE     which rule decides, and why no earlier one does
#
# An unknown key is an error, never ignored.

version = 1

[admins]
people = [@PERSON@]

# ---- People ----------------------------------------------------------------------------------
# A person is a mail address in small letters, or local:USER for somebody of this machine.
# Groups hold people, never other groups.

#[groups]
#me = [@PERSON@]

# ---- Accounts and roles ----------------------------------------------------------------------
# A role's short name is what people borrow: borrow run dev-read -- aws s3 ls

#[accounts]
#dev  = "111122223333"
#prod = "444455556666"

# One stanza for all accounts: this makes dev-read and prod-read. {account} is the account's
# name in names, and its number in the ARN.
#[roles."{account}-read"]
#aws  = "arn:aws:iam::{account}:role/ReadOnly"
#tier = "low"                      # low | normal | sensitive | critical; default normal
#                                  # critical: a yes takes another person's passkey and device

# An elastic role: programs get the baseline at once, and the role itself after a yes.
#[roles.dev-write]
#aws    = "arn:aws:iam::111122223333:role/DevWrite"
#base   = "dev-read"               # a role whose rule is auto
#allows = ["s3:*", "dynamodb:*"]   # what it is good for; only used to offer it
#region = "eu-central-1"

#[roles.prod-write]
#aws   = "arn:aws:iam::444455556666:role/ProdWrite"
#tier  = "sensitive"
#share = "session"                 # each terminal asks for itself; default from sensitive up
#chain = "identity"                # identity | name | none: how CloudTrail names the grant

# ---- Times -----------------------------------------------------------------------------------

#[defaults]
#pending  = "15m"                  # a request waits this long for an answer
#claim_by = "30m"                  # a yes waits this long for its first use
#mint     = "30m"                  # one credential lives this long; a grant may be hours
#max      = "1h"                   # the longest grant of a rule that does not say

# ---- Denials: before all rules, whatever they say --------------------------------------------

#[[deny]]
#id = "no-guests-in-production"
#who = ["*@guests.example.com"]    # without who: everybody
#roles = ["prod-*"]                # * is any text, ? any one character

# ---- Rules: the first that covers person and role decides ------------------------------------

# auto: granted at once. Agents get nothing by auto, except what is some role's base.
#[[rule]]
#id = "dev-read"
#who = ["group:me"]
#roles = ["dev-read"]
#approve = { mode = "auto" }

#[[rule]]
#id = "prod-read"
#who = ["group:me"]
#roles = ["prod-read"]
#approve = { mode = "auto", budget = "5/24h" }   # then the next rule that covers it decides

# self: you confirm it yourself. consent = a click or a yes in your terminal: it shows what
# happens and proves nothing. totp = a code from your phone. A click never counts for agents,
# nor from tier sensitive up.
#[[rule]]
#id = "reads-again"
#who = ["group:me"]
#roles = ["*-read", "dev-write"]
#max = "4h"
#extensions = 2
#approve = { mode = "self", factor = ["consent", "totp"] }

#[[rule]]
#id = "prod-write"
#who = ["group:me"]
#roles = ["prod-write"]
#max = "1h"
#mint = "15m"
#require = { reason = 10 }         # characters; also ticket = "^INC-[0-9]+$"
#approve = { mode = "self", factor = ["totp"], match = true }
#session = { deny_iam = true }

# peer, in a team: one of `from`, never you, says yes on a device of their own.
#   approve = { mode = "peer", from = ["group:leads"], factor = ["device"] }

# ---- Tests: what must stay true when this file changes ---------------------------------------

#[[test]]
#ask = { user = @PERSON@, role = "prod-write" }
#expect = { rule = "prod-write", mode = "self", needs = ["reason"] }

#[[test]]
#ask = { user = "stranger@example.com", role = "dev-read" }
#expect = { refused = "no_rule" }
"""


def starter_policy(person: str) -> str:
    """The text for `person`, such as `local:ann`. Raises Misconfigured for what is no person."""
    if not is_person(person):
        raise Misconfigured(
            f"not a person's name: {person[:64]!r}",
            hint="a mail address in small letters, or local:USER",
        )
    # For printable text a JSON string is a TOML basic string.
    return _TEMPLATE.replace(_PERSON, json.dumps(person, ensure_ascii=False))


STARTER_POLICY = starter_policy("local:you")
