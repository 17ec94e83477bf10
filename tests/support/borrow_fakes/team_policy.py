"""The front desk's policy, with a role that its person approves on their own phone."""

from __future__ import annotations

from borrow_fakes.front_desk import POLICY, ROLES

PHONE_ARN = "arn:aws:iam::111122223333:role/Phone"
PAGES_POLICY = f"""{POLICY}
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
