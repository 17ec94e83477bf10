"""`credential_process` through real clients: cached, held, denied, and what the terminal shows."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import pexpect
import pytest

import borrow.daemon.credential
from borrow_fakes.lab import AWS_CLI_V1, BORROW, Home, finish, wait_for

HELPER = str(borrow.daemon.credential.__file__)
BOTO3 = (sys.executable, str(Path(__file__).parent / "clients/s3_get.py"))
CLI_V1 = (AWS_CLI_V1, "s3api", "get-object", "--bucket", "lab", "--key", "k", "/dev/null")
CLIENTS = {"boto3": BOTO3, "awscli1": CLI_V1}
client = pytest.mark.parametrize("command", CLIENTS.values(), ids=list(CLIENTS))


def configured(solo: Home, role: str, *, line: str = "") -> dict[str, str]:
    """A profile that names the helper, as a person writes it into the AWS config."""
    helper = line or f"{sys.executable} -I -S -E {HELPER} {solo.socket} {role}"
    path = solo.root / "home/config"
    path.write_text(f"[profile borrowed]\ncredential_process = {helper}\nregion = us-east-1\n")
    return {"AWS_CONFIG_FILE": str(path), "AWS_PROFILE": "borrowed"}


@client
def test_a_held_profile_waits_and_works(solo: Home, command: tuple[str, ...]) -> None:
    child = solo.spawn(*command, env=configured(solo, "click"))
    request = solo.pending("click")["request"]
    time.sleep(3)
    assert child.poll() is None
    solo.decide(request)
    code, out, err = finish(child)
    assert code == 0, err
    assert "5" in out
    again = solo.spawn(*command, env=configured(solo, "click"))
    assert finish(again)[0] == 0  # cached: nobody is asked
    assert len(solo.log("request.accept")) == 1


@client
def test_a_denied_profile_shows_the_reason(solo: Home, command: tuple[str, ...]) -> None:
    child = solo.spawn(*command, env=configured(solo, "click"))
    request = solo.pending("click")["request"]
    solo.decide(request, "deny", reason="not during the freeze")
    code, out, err = finish(child)
    assert code != 0
    assert "not during the freeze" in out + err
    assert request in out + err


def test_the_hidden_command_does_the_same(solo: Home) -> None:
    env = configured(solo, "click", line=f"{BORROW} credential click")
    child = solo.spawn(*BOTO3, env=env)
    solo.decide(solo.pending("click")["request"])
    code, out, err = finish(child)
    assert code == 0, err
    assert "got 5 bytes" in out
    denied = solo.spawn(*BOTO3, env=configured(solo, "short", line=f"{BORROW} credential short"))
    request = solo.pending("short")["request"]
    solo.decide(request, "deny", reason="not during the freeze")
    code, out, err = finish(denied)
    assert code != 0
    assert "not during the freeze" in err
    assert request in err


@client
def test_the_terminal_shows_what_the_client_hides(solo: Home, command: tuple[str, ...]) -> None:
    env = solo.env | configured(solo, "click")
    with pexpect.spawn(command[0], list(command[1:]), env=env, encoding="utf-8", timeout=30) as pty:
        pty.expect(r"click waits for you[^\r\n]*number (\d{3})")
        assert pty.match is not None
        ask = solo.pending("click")
        assert ask["number"] == re.findall(r"\d{3}", str(pty.match[0]))[0]
        solo.decide(ask["request"])
        pty.expect("granted for")
        pty.expect("ContentLength|got 5 bytes")
        pty.expect(pexpect.EOF)


@client
def test_without_a_daemon_it_says_so_in_one_line(solo: Home, command: tuple[str, ...]) -> None:
    env = configured(solo, "reader")
    solo.borrow("daemon", "stop")
    code, out, err = finish(solo.spawn(*command, env=env))
    assert (code != 0, out) == (True, "")
    said = [line for line in err.splitlines() if "borrow: error: " in line]
    assert len(said) == 1, err
    assert said[0].endswith("the daemon is not running")
    assert "borrow: hint: borrow daemon start" in err


def test_without_a_daemon_the_hidden_command_starts_it(solo: Home) -> None:
    env = configured(solo, "reader", line=f"{BORROW} credential reader")
    solo.borrow("daemon", "stop")
    code, _, err = finish(solo.spawn(*BOTO3, env=env))
    assert code == 0, err


def test_a_client_that_is_killed_takes_its_question_along(solo: Home) -> None:
    child = solo.spawn(*BOTO3, env=configured(solo, "click"))
    request = solo.pending("click")["request"]
    wait_for(lambda: solo.pending("click")["waiters"] == 1, why="the helper to wait")
    child.kill()
    child.communicate()
    wait_for(lambda: solo.pending("click")["waiters"] == 0, why="its helper to leave too")
    again = solo.spawn(*BOTO3, env=configured(solo, "click"))  # within 30 s: the same question
    wait_for(lambda: solo.pending("click")["waiters"] == 1, why="the re-run to join")
    solo.decide(request)
    assert finish(again)[0] == 0
    assert len(solo.log("request.accept")) == 1
