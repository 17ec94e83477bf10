"""Agents on the whole way: their base by policy, their elevation by a person, their own name."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from borrow_fakes.lab import AWS_CLI_V1, BORROW, Home, finish
from borrow_fakes.sdks import BOTO3

if TYPE_CHECKING:
    from borrow.cli.demo.standin_process import StandInProcess

AGENT = {"CLAUDECODE": "1"}
CODE = "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"
WHO = (sys.executable, "-c", CODE)


@pytest.fixture
def working(solo: Home) -> Home:
    """With an elastic role, and three questions an hour for agents."""
    policy = solo.state / "policy.toml"
    text = policy.read_text()
    text = text.replace('pending = "15m"', 'pending = "15m"\nagents = "3/1h"').replace(
        "[roles.machine]",
        '[roles.work]\naws = "arn:aws:iam::123456789012:role/Reader"\ntier = "low"\n'
        'base = "reader"\n[roles.machine]',
    )
    policy.write_text(text.replace('roles = ["reader"]', 'roles = ["reader", "work"]'))
    solo.borrow("daemon", "stop", ok=False)
    return solo.start()


def test_an_agent_works_with_the_base_and_under_its_own_name(working: Home) -> None:
    for session in (False, True):
        code, out, err = finish(
            working.spawn(BORROW, "run", "work", "--", *WHO, env=AGENT, session=session)
        )
        assert code == 0, err
        assert ",agent=claude-code" in out
    code, out, err = finish(working.spawn(BORROW, "run", "work", "--", *WHO))
    assert code == 0, err
    assert "agent" not in out
    agents = [entry["agent"] for entry in working.log("request.accept")]
    assert agents == ["claude-code", ""]  # its two sessions were one caller


def test_neither_policy_nor_a_click_elevates_an_agent(working: Home) -> None:
    """`reader` is granted to people by itself, `click` by one click; to an agent neither is."""
    policy = working.state / "policy.toml"
    policy.write_text(policy.read_text().replace('base = "reader"\n', ""))
    working.borrow("daemon", "stop")
    working.start()
    for role in ("reader", "click"):
        code, _, err = finish(working.spawn(BORROW, "run", role, "--", *WHO, env=AGENT))
        assert code == 1
        assert "an agent is not granted" in err or "takes a click only" in err
        assert working.asks() == []
    assert finish(working.spawn(BORROW, "run", "reader", "--", *WHO))[0] == 0


def test_an_agent_that_used_its_questions_up_is_told_to_wait_and_asks_nobody(
    working: Home,
) -> None:
    for number in range(3):
        working.borrow("ask", "admin", "-m", f"try {number}", env=AGENT)
        working.borrow("return", working.pending("admin")["request"])
    done = working.borrow("ask", "admin", "-m", "once more", "--json", env=AGENT, ok=False)
    assert done.returncode == 3
    error = json.loads(done.stdout)["error"]
    assert error["state"] == "agent_budget"
    assert re.fullmatch(r"wait (59|60) minutes before asking again; .*", error["hint"])
    code, _, err = finish(working.spawn(BORROW, "run", "admin", "--", *WHO, env=AGENT))
    assert code == 1
    assert "agents may ask 3 times in 1h here" in err
    assert "nobody was asked" in err
    assert working.asks() == []
    working.borrow("ask", "admin", "-m", "her person asks as ever")
    assert working.asks()[0]["role"] == "admin"


def test_a_run_named_an_agents_uses_the_base_and_never_its_persons_live_grant(
    working: Home,
) -> None:
    """Flag alone, in the same session as the person whose grant is live."""
    working.borrow("ask", "click")
    assert working.decide(working.pending("click")["request"]).status == 200
    code, out, err = finish(working.spawn(BORROW, "run", "click", "--", *WHO))
    assert (code, "assumed-role/Admin/" in out) == (0, True), err
    code, out, err = finish(working.spawn(BORROW, "run", "click", "--agent", "helper", "--", *WHO))
    assert code == 1, out
    assert "takes a click only" in err
    assert working.asks() == []
    code, out, err = finish(working.spawn(BORROW, "run", "work", "--agent", "helper", "--", *WHO))
    assert code == 0, err
    assert "assumed-role/Reader/" in out
    assert ",agent=helper" in out


def test_an_agents_own_sdk_never_rides_on_its_persons_live_grant(
    working: Home, cloud: StandInProcess
) -> None:
    """In the person's own terminal, with the person's own variables, while the grant is live.

    Also by a descendant without the agent's marks, in a session and at a terminal of its own.
    """
    # A shell of the person's, at a terminal, whose environment is that of `borrow run`.
    person: Any = pexpect.spawn(
        BORROW, ["run", "click", "--", "/bin/sh"],
        env=working.env | {"PS1": "> ", "ENV": "", "AWS_REGION": "us-east-1"},
        cwd=str(working.root), encoding="utf-8", timeout=30, dimensions=(24, 250),
    )  # fmt: skip
    assert os.getsid(person.pid) == person.pid
    who, aws = " ".join(BOTO3.command), f"{AWS_CLI_V1} sts get-caller-identity"
    person.expect("> ")
    person.sendline(who)
    assert working.decide(working.pending("click")["request"]).status == 200
    person.expect("assumed-role/Admin/")
    person.expect("> ")
    before = len(cloud.trail())

    script = working.root / "agent.py"
    script.write_text(AS_AN_AGENT)
    for how, command in (("marked", who), ("hidden", aws)):
        person.sendline(f"{sys.executable} {script} {how} {command}")
        person.expect(r"ended (\d+)")
        assert person.match[1] != "0"
        told = str(person.before)
        assert "assumed-role" not in told
        assert "takes a click only" in " ".join(told.split())  # a click is never for an agent
        person.expect("> ")
    assert working.asks() == []
    assert len(cloud.trail()) == before  # no call was made with anything

    person.sendline(who)
    person.expect("assumed-role/Admin/")  # its person goes on
    person.close(force=True)


# What an agent does with a command: runs it in an environment with its marks. Or `hidden`: in one
# without, by a child in a session and at a terminal of its own.
AS_AN_AGENT = """
import os, pty, subprocess, sys
if os.environ.get("CLAUDECODE") != "1":
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"CLAUDECODE": "1"})
if sys.argv[1] == "hidden":
    del os.environ["CLAUDECODE"]
    code = os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:]))
else:
    code = subprocess.run(sys.argv[2:], start_new_session=True).returncode
print("ended", code, flush=True)
"""
