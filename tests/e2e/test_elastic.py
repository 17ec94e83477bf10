"""An elastic role in one running boto3 process: base, elevated, base (SDKS.md rows 6 and 11)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from borrow_fakes.lab import BORROW, Home, finish, wait_for

# One boto3 client; each line on stdin is one write. It prints the key that signed, and the outcome.
WRITER = r"""
import json, sys, boto3, botocore.exceptions, borrow.boto
session = boto3.Session()
if sys.argv[1] == "hook":
    borrow.boto.install(session)
s3 = session.client("s3")
keys = []
s3.meta.events.register("before-send", lambda request, **_: keys.append(
    str(request.headers["Authorization"]).split("Credential=")[1].split("/")[0]))
for line in sys.stdin:
    keys.clear()
    name, bucket = line.split()
    try:
        if name == "put":
            s3.put_object(Bucket=bucket, Key="x", Body=b"x")
        else:
            s3.get_object(Bucket=bucket, Key="none")
        said = ""
    except botocore.exceptions.ClientError as exc:
        said = str(exc)
    print(json.dumps({"keys": keys, "said": said}), flush=True)
"""


@pytest.fixture
def elastic(solo: Home) -> Home:
    policy = solo.state / "policy.toml"
    text = policy.read_text()
    text = text.replace("[roles.click]\n", '[roles.click]\nallows = ["s3:Put*"]\n')
    text = text.replace(
        "[roles.machine]",
        '[roles.dev]\naws = "arn:aws:iam::123456789012:role/Reader"\ntier = "low"\n'
        'base = "reader"\n[roles.machine]',
    ).replace('roles = ["reader"]', 'roles = ["reader", "dev"]')
    policy.write_text(text)
    solo.borrow("daemon", "stop", ok=False)
    return solo.start()


class Writer:
    """The process under `borrow run dev`, in a terminal session of its own or the test's."""

    def __init__(
        self, home: Home, hook: str = "none", *options: str, session: bool = False
    ) -> None:
        command = [BORROW, "run", *options, "dev", "--", sys.executable, "-c", WRITER, hook]
        self.child = subprocess.Popen(
            command, env=home.env, cwd=home.root, text=True, start_new_session=session,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        home.children.append(self.child)

    def start(self, call: str = "put lab") -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(call + "\n")
        self.child.stdin.flush()

    def end(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        line = self.child.stdout.readline()
        assert line, self.child.stderr and self.child.stderr.read()
        told: dict[str, Any] = json.loads(line)
        return told

    def call(self, call: str = "put lab") -> dict[str, Any]:
        self.start(call)
        return self.end()


def test_base_then_elevated_then_base_in_one_process_and_another_terminal_untouched(
    elastic: Home,
) -> None:
    mine, other = Writer(elastic), Writer(elastic, session=True)
    before, beside = mine.call(), other.call()
    assert "AccessDenied" in before["said"]
    ask = elastic.spawn(BORROW, "ask", "click", "--wait")
    elastic.decide(elastic.pending("click")["request"])
    assert finish(ask)[0] == 0
    lifted = mine.call()
    assert lifted["said"] == ""
    assert lifted["keys"] != before["keys"]
    untouched = other.call()
    assert "AccessDenied" in untouched["said"]
    assert untouched["keys"] == beside["keys"]
    elastic.borrow("return", "click")
    after = mine.call()
    assert "AccessDenied" in after["said"]
    assert after["keys"] == before["keys"]


def test_a_denied_call_is_offered_and_the_next_one_waits_only_after_the_person_accepted(
    elastic: Home,
) -> None:
    writer = Writer(elastic)
    assert "AccessDenied" in writer.call()["said"]
    offer = wait_for(lambda: elastic.status()["offers"], why="an offer")[0]
    assert (offer["role"], offer["action"].lower()) == ("click", "s3:putobject")
    assert "AccessDenied" in writer.call()["said"]  # an offer holds nothing
    assert elastic.asks() == []  # and asks nobody
    elastic.spawn(BORROW, "ask", "click")
    request = elastic.pending("click")["request"]
    writer.start()
    wait_for(lambda: elastic.asks()[0]["waiters"], why="the call to be held")
    elastic.decide(request)
    assert writer.end()["said"] == ""


def test_a_program_that_ends_with_its_denied_call_is_heard_all_the_same(elastic: Home) -> None:
    """The AWS CLI sends its datagram and is gone: the kernel is asked who it was in time."""
    aws = Path(sys.executable).with_name("aws")
    command = ("s3api", "put-object", "--bucket", "lab", "--key", "x")
    done = elastic.borrow("run", "dev", "--", str(aws), *command, ok=False)
    assert "AccessDenied" in done.stderr
    offer = wait_for(lambda: elastic.status()["offers"], why="an offer")[0]
    assert offer["role"] == "click"


def test_started_with_elevate_the_next_call_asks_by_itself_and_a_no_leaves_the_base(
    elastic: Home,
) -> None:
    writer = Writer(elastic, "none", "--elevate")
    before = writer.call()
    wait_for(lambda: elastic.status()["csm"].get("denied"), why="the datagram")
    assert elastic.asks() == []  # a datagram alone asks nobody
    writer.start()
    elastic.decide(elastic.pending("click")["request"], "deny", reason="no")
    after = writer.end()
    assert "AccessDenied" in after["said"]
    assert after["keys"] == before["keys"]


def test_with_the_plug_in_the_first_call_itself_succeeds(elastic: Home) -> None:
    writer = Writer(elastic, "hook")
    writer.start()
    elastic.decide(elastic.pending("click")["request"])
    told = writer.end()
    assert told["said"] == ""
    assert len(told["keys"]) == 2  # denied with one key, made again with another
    assert told["keys"][0] != told["keys"][1]


def test_with_the_plug_in_a_no_raises_the_calls_own_error_with_the_reason(elastic: Home) -> None:
    writer = Writer(elastic, "hook")
    writer.start()
    request = elastic.pending("click")["request"]
    elastic.decide(request, "deny", reason="not during the freeze")
    told = writer.end()
    assert "AccessDenied" in told["said"]
    assert "not during the freeze" in told["said"]
    assert request in told["said"]
    assert len(told["keys"]) == 1


def test_the_plug_in_leaves_every_other_error_alone(elastic: Home) -> None:
    told = Writer(elastic, "hook").call("get lab")
    assert "NoSuchKey" in told["said"]
    assert len(told["keys"]) == 1
    assert elastic.asks() == []
