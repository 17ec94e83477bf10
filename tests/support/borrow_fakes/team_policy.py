"""The front desk's policy, with a role that its person approves on their own phone."""

from __future__ import annotations

from borrow_fakes.front_desk import POLICY, ROLES

PHONE_ARN = "arn:aws:iam::111122223333:role/Phone"
DAN, ELI = "dan@example.com", "eli@example.com"  # people who only look
_WIDER = POLICY.replace(
    '"cat@example.com"]\n[admins]', f'"cat@example.com", "{DAN}", "{ELI}"]\n[admins]'
)
PAGES_POLICY = f"""{_WIDER}
[roles.dev-phone]
aws = "{PHONE_ARN}"
[[rule]]
id = "phones"
who = ["group:team"]
roles = ["dev-phone"]
max = "2h"
approve = {{ mode = "self", factor = ["passkey"], match = true }}
"""
PHONE = {"arn": PHONE_ARN}
assert "dev-phone" not in ROLES
