"""The walk with ordinary SDKs at default settings: each waits, is answered once, and goes on."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pexpect
import pytest

from borrow_fakes.lab import AWS_CLI_V1, BORROW, Home, finish, wait_for

if TYPE_CHECKING:
    import subprocess

    Terminal = pexpect.spawn[str]

BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
CLI_V1 = (AWS_CLI_V1, "s3api", "get-object", "--bucket", "lab", "--key", "k", "/dev/null")
CLIENTS = {"boto3": BOTO3, "awscli1": CLI_V1}

client = pytest.mark.parametrize("command", CLIENTS.values(), ids=list(CLIENTS))


def run(
    solo: Home, role: str, *command: str, session: bool = False, options: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """`borrow run ROLE -- COMMAND`, as a person types it."""
    return solo.spawn(BORROW, "run", *options, role, "--", *command, session=session)


def questions(solo: Home) -> list[str]:
    """Every request that was ever accepted, by id: one per prompt."""
    return [entry["request"] for entry in solo.log("request.accept")]


@client
def test_an_auto_role_is_answered_at_once(solo: Home, command: tuple[str, ...]) -> None:
    code, out, err = finish(run(solo, "reader", *command))
    assert (code, err) == (0, ""), err
    assert "5" in out  # the object's length


@client
@pytest.mark.parametrize(
    "seconds", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (15, 300))]
)
@pytest.mark.timeout(400)
def test_a_held_call_waits_and_succeeds_with_one_prompt(
    solo: Home, command: tuple[str, ...], seconds: int
) -> None:
    child = run(solo, "click", *command)
    request = solo.pending("click")["request"]
    time.sleep(seconds)
    assert child.poll() is None
    assert solo.decide(request).status == 200
    code, out, err = finish(child)
    assert code == 0, err
    assert "5" in out
    assert questions(solo) == [request]


@client
def test_a_refused_role_does_not_even_start_the_program(
    solo: Home, command: tuple[str, ...]
) -> None:
    code, out, err = finish(run(solo, "forbidden", *command))
    assert (code, out) == (3, "")
    assert "forbidden" in err
    assert questions(solo) == []


@client
def test_a_rule_that_refuses_at_once_is_shown_by_the_client_itself(
    solo: Home, command: tuple[str, ...]
) -> None:
    bearer = solo.bearer("click")
    policy = solo.state / "policy.toml"  # a change takes effect on the next call
    policy.write_text(policy.read_text().replace('roles = ["forbidden"]', 'roles = ["click"]'))
    code, out, err = finish(solo.spawn(*command, env=bearer))
    assert code != 0
    assert "never" in out + err, err  # the id of the rule that said no
    assert questions(solo) == []
    refused = [entry["request"] for entry in solo.log("request.refused")]
    assert refused[0] in out + err  # the client's own error leads to the log entry
    assert len(refused) == 1  # its retries were answered from memory


@client
def test_a_no_after_three_seconds_shows_its_reason_and_request(
    solo: Home, command: tuple[str, ...]
) -> None:
    child = run(solo, "click", *command)
    request = solo.pending("click")["request"]
    time.sleep(3)
    assert solo.decide(request, "deny", reason="not during the freeze").status == 200
    code, out, err = finish(child)
    assert code != 0
    assert "not during the freeze" in out + err
    assert request in out + err
    assert questions(solo) == [request]  # the client's own retries asked nobody


def test_a_remembered_no_is_a_true_403_with_reason_and_request(solo: Home) -> None:
    bearer = solo.bearer("click")
    child = solo.spawn(*BOTO3, env=bearer)
    request = solo.pending("click")["request"]
    solo.decide(request, "deny", reason="no")
    finish(child)
    status, kind, body = fetch(bearer)  # no prompt, a status that says so at once
    assert (status, kind) == (403, "application/json")
    assert request in body
    assert questions(solo) == [request]


def fetch(bearer: dict[str, str], token: str = "") -> tuple[int, str, str]:
    """Status, media type and body of one raw fetch."""
    where = urlsplit(bearer["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
    with contextlib.closing(line):
        sent = token or bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        line.request("GET", where.path, headers={"Authorization": sent})
        answer = line.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read().decode()


def test_five_programs_at_once_are_one_question(solo: Home) -> None:
    bearer = solo.bearer("click")
    children = [solo.spawn(*BOTO3, env=bearer) for _ in range(5)]
    request = solo.pending("click")["request"]
    wait_for(lambda: solo.pending("click").get("waiters", 0) >= 5, why="all five to wait")
    solo.decide(request)
    assert [finish(child)[0] for child in children] == [0] * 5
    assert questions(solo) == [request]
    assert len(solo.log("mint.begin")) == 1


def test_after_a_grant_ends_the_next_call_waits_again(solo: Home) -> None:
    """One process, two calls: the second meets the grant's end and is held, not refused."""
    code = (
        "import time, boto3\n"
        "from botocore.config import Config\n"
        "s3 = boto3.client('s3', config=Config(s3={'addressing_style': 'path'}))\n"
        "for pause in (0, 8):\n"
        "    time.sleep(pause)\n"
        "    print(len(s3.get_object(Bucket='lab', Key='k')['Body'].read()), flush=True)\n"
    )
    child = run(solo, "short", sys.executable, "-c", code, options=("--for", "6s"))
    answered: list[str] = []
    while child.poll() is None:
        for ask in solo.asks():
            if ask.get("request") and ask["request"] not in answered:
                answered.append(ask["request"])
                solo.decide(ask["request"])
        time.sleep(0.1)
    status, out, err = finish(child)
    assert (status, out.split()) == (0, ["5", "5"]), err
    assert len(answered) >= 2  # a slow machine may outlive a grant of six seconds once more
    assert questions(solo) == answered


def at_a_terminal(solo: Home, *command: str, env: dict[str, str] | None = None) -> Terminal:
    """The command as the leader of a session of its own, at a pseudo-terminal of its own."""
    child = pexpect.spawn(
        command[0], list(command[1:]), env=solo.env | (env or {}), cwd=str(solo.root),
        encoding="utf-8", timeout=30, dimensions=(24, 200),
    )  # fmt: skip
    assert os.getsid(child.pid or 0) == child.pid  # 0: this process
    return child


def ended(child: Terminal) -> tuple[int | None, str]:
    child.expect(pexpect.EOF)
    told = str(child.before)
    child.close()
    return child.exitstatus, told


def test_another_terminal_is_another_question_and_is_told_so_itself(solo: Home) -> None:
    one = at_a_terminal(solo, BORROW, "run", "click", "--", *BOTO3, "2")
    first = solo.pending("click")
    one.expect(f"number {first['number']}")
    solo.decide(first["request"])
    assert ended(one)[0] == 0

    two = at_a_terminal(solo, BORROW, "run", "click", "--", *BOTO3)
    second = solo.pending("click")
    assert second["request"] != first["request"]
    two.expect(f"number {second['number']}")  # where it waits, nowhere else
    solo.decide(second["request"], "deny", reason="one of them is enough")
    code, told = ended(two)
    assert code != 0
    assert "one of them is enough" in told
    assert questions(solo) == [first["request"], second["request"]]


def test_a_wrong_bearer_is_401_and_asks_nobody(solo: Home) -> None:
    bearer = solo.bearer("click")
    for token in ("nonsense", "Bearer x", bearer["AWS_CONTAINER_AUTHORIZATION_TOKEN"][:-1] + "x"):
        assert fetch(bearer, token)[0] == 401
    assert solo.asks() == []
    assert questions(solo) == []


def test_a_killed_client_may_come_back_to_the_same_question(solo: Home) -> None:
    bearer = solo.bearer("click")
    child = solo.spawn(*BOTO3, env=bearer)
    request = solo.pending("click")["request"]
    child.send_signal(signal.SIGKILL)
    child.communicate()
    time.sleep(2)
    again = solo.spawn(*BOTO3, env=bearer)
    wait_for(lambda: solo.pending("click").get("waiters", 0) == 1, why="the re-run to join")
    assert solo.pending("click")["request"] == request
    solo.decide(request)
    assert finish(again)[0] == 0
    assert questions(solo) == [request]


@pytest.mark.timeout(90)
def test_a_client_that_stays_away_withdraws_its_question(solo: Home) -> None:
    child = solo.spawn(*BOTO3, env=solo.bearer("click"))
    request = solo.pending("click")["request"]
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    wait_for(lambda: not solo.asks(), seconds=45, why="the question to be withdrawn")
    assert [e["request"] for e in solo.log("request.cancelled")] == [request]
    inbox = solo.control("GET", "/v1/inbox").body["decisions"]
    assert [one for one in inbox if one["request"] == request] == []


@client
def test_a_role_may_be_served_as_instance_credentials(solo: Home, command: tuple[str, ...]) -> None:
    solo.borrow("imds", "use", "machine")
    port = solo.status()["port"]
    child = solo.spawn(
        *command,
        env={
            "AWS_EC2_METADATA_DISABLED": "false",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://127.0.0.1:{port}/",
        },
    )
    request = solo.pending("machine")["request"]
    time.sleep(3)
    solo.decide(request)
    code, out, err = finish(child)
    assert code == 0, err
    assert "5" in out
    assert questions(solo) == [request]


def test_an_extension_replaces_the_grant(solo: Home) -> None:
    child = run(solo, "click", *BOTO3)
    solo.decide(solo.pending("click")["request"])
    finish(child)
    (before,) = solo.status()["grants"]
    asked = solo.spawn(BORROW, "extend", "click", "30m")
    solo.decide(solo.pending("click")["request"])
    assert finish(asked)[0] == 0
    (after,) = solo.status()["grants"]
    assert after["grant"] != before["grant"]
    assert [e["grant"] for e in solo.log("grant.released")] == [before["grant"]]
