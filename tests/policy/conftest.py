"""One policy that has every mode, and short ways to ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from borrow.policy.load import load_policy

if TYPE_CHECKING:
    from borrow.policy.model import Policy

TEAM = """\
version = 1
[groups]
payments = ["ann@example.com", "bo@example.com", "cy@example.com"]
sec = ["di@example.com", "ed@example.com", "flo@example.com"]
[admins]
people = ["di@example.com", "ed@example.com"]
[accounts]
dev = "111122223333"
prod = "444455556666"
[roles."{account}-read"]
aws = "arn:aws:iam::{account}:role/Read"
tier = "low"
imds = true
[roles.work]
aws = "arn:aws:iam::111122223333:role/Work"
base = "dev-read"
[roles.prod-write]
aws = "arn:aws:iam::444455556666:role/path/Write"
tier = "sensitive"
allows = ["s3:Delete*", "ec2:*"]
region = "eu-central-1"
[roles.org-admin]
aws = "arn:aws:iam::999900001111:role/OrgAdmin"
tier = "critical"
[defaults]
pending = "10m"
mint = "20m"
max = "2h"
[[deny]]
id = "no-org-admin"
roles = ["org-*"]
except = "emergency"
[[deny]]
id = "not-cy-on-prod"
who = ["cy@example.com"]
roles = ["prod-*"]
[[rule]]
id = "dev-read"
who = ["group:payments"]
roles = ["dev-read"]
approve = { mode = "auto" }
[[rule]]
id = "prod-read-quick"
who = ["group:payments"]
roles = ["prod-read"]
approve = { mode = "auto", budget = "3/24h" }
[[rule]]
id = "reads"
who = ["group:payments", "*@partner.example.com"]
roles = ["*-read", "work"]
max = "4h"
extensions = 2
approve = { mode = "self", factor = ["consent", "totp"], match = true }
[[rule]]
id = "prod-write"
who = ["group:payments", "group:sec"]
roles = ["prod-write"]
max = "1h"
mint = "15m"
require = { reason = 10, ticket = "^INC-[0-9]+$" }
approve = { mode = "peer", from = ["group:sec", "bo@example.com"], match = true }
session = { deny_iam = true }
"""


@pytest.fixture(scope="session")
def team() -> Policy:
    return load_policy(TEAM)


@pytest.fixture(scope="session")
def team_text() -> str:
    return TEAM
