"""The borrowed environment: what is out, what is in, and that scripts say the same."""

from __future__ import annotations

import os
import shlex
import subprocess

import pytest

from borrow.cli.environment import (
    CREDENTIAL_VARIABLES,
    Change,
    Lease,
    Shell,
    borrowed,
    no_proxy,
    script,
)
from borrow.protocol.errors import Misconfigured

LEASE = Lease("dev-read", "http://127.0.0.1:4321/v1/credentials/dev-read", "t0ken", "eu-west-1")


def changed(before: dict[str, str], *, agent: str = "") -> Change:
    return borrowed(
        before,
        LEASE,
        config_file="/r/config",
        credentials_file="/r/credentials",
        regions={"AWS_REGION": "eu-west-1"},
        agent=agent,
    )


def test_all_eight_credential_variables_are_gone_and_the_rest_stays() -> None:
    before = dict.fromkeys(CREDENTIAL_VARIABLES, "x") | {"EDITOR": "vi", "AWS_RETRY_MODE": "legacy"}
    after = changed(before).apply(before)
    assert len(CREDENTIAL_VARIABLES) == 8
    assert not set(CREDENTIAL_VARIABLES) & after.keys()
    assert (after["EDITOR"], after["AWS_RETRY_MODE"]) == ("vi", "legacy")


def test_a_services_own_token_is_gone_and_its_name_runs_nothing() -> None:
    before = {"AWS_BEARER_TOKEN_BEDROCK": "canary", "AWS_BEARER_TOKEN_X;touch x": "y"}
    change = changed(before)
    assert "AWS_BEARER_TOKEN_BEDROCK" not in change.apply(before)
    text = script(change, "bash", before)
    assert "unset AWS_BEARER_TOKEN_BEDROCK\n" in text
    assert "touch" not in text


def test_the_endpoint_and_its_companions_are_set() -> None:
    put = changed({}).put
    assert put["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == LEASE.url
    assert put["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == "t0ken"
    assert put["AWS_EC2_METADATA_DISABLED"] == "true"
    assert put["AWS_METADATA_SERVICE_TIMEOUT"] == "150"
    assert put["AWS_CONFIG_FILE"] == "/r/config"
    assert put["AWS_SHARED_CREDENTIALS_FILE"] == "/r/credentials"


def test_regions_are_set_and_an_agent_is_told_to_its_children() -> None:
    assert changed({}).put["AWS_REGION"] == "eu-west-1"
    assert "AI_AGENT" not in changed({}).put
    assert changed({}, agent="helper").put["AI_AGENT"] == "helper"


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1,localhost"),
        ({"no_proxy": "b.example", "NO_PROXY": "a.example"}, "b.example,127.0.0.1,localhost"),
        ({"NO_PROXY": "127.0.0.1"}, "127.0.0.1,localhost"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_loopback_is_added_to_both_spellings_of_no_proxy(
    given: dict[str, str], joined: str
) -> None:
    assert no_proxy(given) == {"NO_PROXY": joined, "no_proxy": joined}


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_script_in_a_shell_makes_the_same_environment(shell: Shell) -> None:
    before = {"AWS_PROFILE": "old", "PATH": os.environ["PATH"], "NO_PROXY": "it's $HOME; `x`"}
    change = changed(before)
    text = script(change, shell, before) + "env"
    done = subprocess.run(
        ["/bin/sh", "-c", text], env=before, capture_output=True, text=True, check=True
    )
    after = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    wanted = change.apply(before)
    assert {name: after.get(name) for name in wanted} == wanted
    assert "AWS_PROFILE" not in after


def test_each_shell_is_told_in_its_own_words() -> None:
    before = {"AWS_PROFILE": "old"}
    change = changed(before)
    quoted = shlex.quote(LEASE.url)
    assert f"export AWS_CONTAINER_CREDENTIALS_FULL_URI={quoted}" in script(change, "bash", before)
    fish = script(change, "fish", before)
    assert "set -e AWS_PROFILE" in fish
    assert f"set -gx AWS_CONTAINER_CREDENTIALS_FULL_URI '{LEASE.url}'" in fish
    pwsh = script(changed({"no_proxy": "it's"}), "pwsh", {})
    assert "$Env:NO_PROXY = 'it''s,127.0.0.1,localhost'" in pwsh
    for mark in "\u2018\u2019\u201a\u201b":  # typographic ones end a text there too
        pwsh = script(changed({"no_proxy": f"a{mark}; calc; {mark}"}), "pwsh", {})
        assert f"$Env:NO_PROXY = 'a{mark * 2}; calc; {mark * 2},127.0.0.1,localhost'" in pwsh


def test_a_value_with_a_line_break_is_refused_not_run() -> None:
    change = changed({"NO_PROXY": "a\nrm -rf /"})
    with pytest.raises(Misconfigured):
        script(change, "bash", {})


def test_the_bearer_is_in_no_repr() -> None:
    assert "t0ken" not in repr(LEASE)
    assert "t0ken" not in repr(changed({}))
