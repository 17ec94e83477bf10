"""Solo mode for command-line tests: a policy with one role per way of answering, the fake cloud."""

from __future__ import annotations

import getpass
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from borrow_fakes.lab import Home

ME = f"local:{getpass.getuser()}"
POLICY = f"""
version = 1
[admins]
people = ["{ME}"]
[roles.dev-read]
aws = "arn:aws:iam::111122223333:role/Read"
tier = "low"
region = "eu-central-1"
[roles.click]
aws = "arn:aws:iam::111122223333:role/Click"
[roles.prod-admin]
aws = "arn:aws:iam::111122223333:role/Admin"
tier = "sensitive"
[roles.ticketed]
aws = "arn:aws:iam::111122223333:role/Ticketed"
[[rule]]
id = "reads"
who = ["{ME}"]
roles = ["dev-read"]
approve = {{ mode = "auto" }}
[[rule]]
id = "clicks"
who = ["{ME}"]
roles = ["click"]
extensions = 3
approve = {{ mode = "self", factor = ["consent"] }}
[[rule]]
id = "admins"
who = ["{ME}"]
roles = ["prod-admin"]
approve = {{ mode = "self", factor = ["totp"], match = true }}
[[rule]]
id = "tickets"
who = ["{ME}"]
roles = ["ticketed"]
require = {{ reason = 10, ticket = "^INC-[0-9]+$" }}
approve = {{ mode = "self", factor = ["consent"] }}
[[test]]
ask = {{ user = "{ME}", role = "prod-admin" }}
expect = {{ rule = "admins", mode = "self" }}
"""


def set_up(one: Home, policy: str = POLICY, *, cloud: str = 'driver = "fake"\n') -> Home:
    """Solo mode by the real commands, with the policy above and the fake cloud."""
    one.state.mkdir(mode=0o700)
    for name, text in (("policy.toml", policy), ("cloud.toml", cloud)):
        (one.state / name).write_text(text)
        (one.state / name).chmod(0o600)
    one.borrow("setup", "--yes", "--no-totp")
    return one


def refused_with(done: subprocess.CompletedProcess[str], code: int) -> tuple[str, str]:
    """(error, hint) of a failure: exactly one line of each, the right code, and no traceback."""
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("borrow: error: ")]
    hints = [line for line in lines if line.startswith("borrow: hint: ")]
    assert (len(errors), len(hints), done.returncode) == (1, 1, code), (done.returncode, lines)
    assert "Traceback" not in done.stderr
    error, hint = errors[0].removeprefix("borrow: error: "), hints[0].removeprefix("borrow: hint: ")
    assert hint
    assert not error.endswith(".")
    assert re.match(r"[^A-Z]|[A-Z]+[_-]", error), error  # lower case, but for names
    return error, hint
