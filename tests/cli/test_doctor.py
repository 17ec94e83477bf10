"""`borrow doctor` with a real environment and real files: each trap by name, with a next step."""

from __future__ import annotations

import json
import os
import re
import stat
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from borrow.cli.report import Redactor
from borrow_fakes.lab import BIN, BORROW
from borrow_fakes.solo_mode import refused_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from borrow_fakes.lab import Home

CANARY = "CANARYcanary0123456789canary0123456789"


@pytest.fixture
def aws(solo: Home) -> Iterator[Path]:
    folder = solo.root / "home/.aws"
    folder.mkdir(exist_ok=True)
    yield folder
    for path in folder.iterdir():
        path.unlink()


def findings(solo: Home, **env: str) -> dict[str, dict[str, str]]:
    told = json.loads(solo.borrow("doctor", "--json", env=env, ok=False).stdout)
    found: list[dict[str, str]] = told["findings"]
    return {each["what"]: each for each in found}


def programs(solo: Home, *names: str) -> str:
    """A folder of programs that do nothing, as a PATH."""
    folder = solo.root / "tools"
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("#!/bin/sh\nexit 0\n")
        (folder / name).chmod(0o755)
    return str(folder)


CONTAINER = "AWS_CONTAINER_CREDENTIALS_"
TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"


# Traps that do not hide each other, in one shell after the other.
SHELLS: dict[str, dict[str, str]] = {
    "clean": {"AWS_DEFAULT_REGION": "x"},
    "full of them": {
        "AWS_ACCESS_KEY_ID": "A",
        f"{CONTAINER}RELATIVE_URI": "/x",
        f"{CONTAINER}FULL_URI": "http://127.0.0.1:1/",
        TOKEN: "t",
        f"{TOKEN}_FILE": "/t",
        "HTTP_PROXY": "http://p:1",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_BEARER_TOKEN_BEDROCK": "t",
    },
    "another": {"AWS_REGION": "x", "AWS_PROFILE": "nobodys"},
}
EXPECTED = {
    "env_wins": ("full of them", "unset AWS_ACCESS_KEY_ID"),
    "half_keys": ("full of them", "unset AWS_ACCESS_KEY_ID"),
    "no_region": ("full of them", "aws configure set region"),
    "relative_uri": ("full of them", f"unset {CONTAINER}RELATIVE_URI"),
    "token_file": ("full of them", f"unset {TOKEN}_FILE"),
    "foreign_uri": ("full of them", "open a new shell"),
    "proxy": ("full of them", "export NO_PROXY=127.0.0.1"),
    "ignored_endpoints": ("full of them", "unset AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"),
    "bearer_token": ("full of them", "unset AWS_BEARER_TOKEN_BEDROCK"),
    "region_v1": ("another", "export AWS_DEFAULT_REGION=$AWS_REGION"),
    "profile_missing": ("another", "unset AWS_PROFILE"),
}


def test_each_trap_of_the_environment_is_named_with_the_next_step(solo: Home) -> None:
    seen = {name: findings(solo, **env) for name, env in SHELLS.items()}
    assert [each for each in seen["clean"].values() if each["level"] != "ok"] == []
    for what, (shell, hint) in EXPECTED.items():
        assert seen[shell][what]["level"] == "warning", what
        assert hint in seen[shell][what]["hint"]


def test_traps_of_the_files_are_named_with_the_next_step(solo: Home, aws: Path) -> None:
    (aws / "config").write_text(
        f"[default]\nregion = x\nsso_session = corp\n"
        f"[profile prod]\ncredential_process = {BORROW} credential prod-admin\n"
        "[profile local]\nendpoint_url = http://127.0.0.1:1\n"
    )
    path = f"{BIN}:/usr/bin:/bin:{programs(solo, 'terraform')}"
    found = findings(solo, PATH=path, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")
    assert "[default]" in found["default_profile"]["message"]
    assert "borrow run" in found["default_profile"]["hint"]
    killed = found["process_killed"]
    assert "prod" in killed["message"]
    assert "Terraform after 60 s" in killed["message"]
    assert "borrow ask ROLE --wait" in killed["hint"]
    assert "ignored_endpoints" not in found  # of that profile only
    env = {"AWS_PROFILE": "local", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert "endpoint_url in ~/.aws/config" in findings(solo, **env)["ignored_endpoints"]["message"]
    (aws / "config").write_text("[default\nregion = x\n")
    broken = findings(solo)["aws_config"]
    assert broken["message"].endswith("config:1: not a configuration file")


def test_a_rust_project_is_told_that_its_sdk_waits_five_seconds(solo: Home, aws: Path) -> None:
    (aws / "config").write_text("[profile p]\ncredential_process = borrow credential x\n")
    lock = solo.root / "Cargo.lock"
    lock.write_text('[[package]]\nname = "aws-config"\nversion = "1.8.0"\n')
    try:
        found = findings(solo)
    finally:
        lock.unlink()
    assert "Rust SDK (Cargo.lock) after 5 s" in found["process_killed"]["message"]
    assert found["takes:sdk-rust"]["level"] == "ok"


def test_for_each_tool_it_says_what_wins_and_why(solo: Home, aws: Path) -> None:
    path = f"{BIN}:/usr/bin:/bin:{programs(solo, 'terraform', 'cdk')}"
    (aws / "credentials").write_text(
        "[default]\naws_access_key_id = A\naws_secret_access_key = s\n"
    )
    found = findings(solo, PATH=path, AWS_DEFAULT_REGION="x")
    for tool, name in (("aws", "AWS CLI 1."), ("boto3", "boto3 1."), ("terraform", "Terraform")):
        told = found[f"takes:{tool}"]
        assert told["message"].startswith(name)
        assert "[default] in ~/.aws (aws_access_key_id), and not Borrow" in told["message"]
        assert "borrow run" in told["hint"]
    (aws / "credentials").unlink()
    env = solo.bearer("dev-read") | {"AWS_DEFAULT_REGION": "x", "PATH": path}
    found = findings(solo, **env)
    port = solo.status()["port"]
    for tool in ("aws", "boto3", "terraform", "cdk"):
        assert found[f"takes:{tool}"]["message"].endswith(f"takes Borrow, on port {port}")
    assert "no_token" in findings(solo, **env | {TOKEN: ""})


def test_a_desktop_is_looked_for_and_its_lack_is_no_fault(solo: Home) -> None:
    assert "no desktop session" in findings(solo)["desktop"]["message"]
    odd = findings(solo, DBUS_SESSION_BUS_ADDRESS="unix:path=/nowhere")["desktop"]
    assert (odd["level"], "does not answer" in odd["message"]) == ("ok", True)


def test_what_is_planted_in_a_project_is_neither_run_nor_hung_on(solo: Home) -> None:
    """A pipe for a lock file, a module that Python would import, a folder for a file."""
    planted = solo.root / "email.py"
    planted.write_text(f"open({str(solo.root / 'ran')!r}, 'w')")
    os.mkfifo(solo.root / "go.mod")
    (solo.root / "Cargo.lock").mkdir()
    try:
        findings(solo)
    finally:
        planted.unlink()
        (solo.root / "go.mod").unlink()
        (solo.root / "Cargo.lock").rmdir()
    assert not (solo.root / "ran").exists()


# -- the report ----------------------------------------------------------------------------------

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYCANARYCANA",
    "AWS_SECRET_ACCESS_KEY": CANARY,
    "AWS_PROFILE": "canary-profile",
    "HTTP_PROXY": f"http://canary:{CANARY}@canary.example.com:1",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://canary.example.com/canary",
    "AWS_BEARER_TOKEN_BEDROCK": CANARY,
}


def test_a_report_shows_shapes_and_no_names(solo: Home, aws: Path) -> None:
    (aws / "config").write_text(
        "[profile canary-profile]\nrole_arn = arn:aws:iam::999988887777:role/canary\n"
        f"sso_session = canary\nx = {CANARY}\n"
    )
    done = solo.borrow("doctor", "--report", "--json", env=SECRETS, ok=False)
    said = "\n".join(json.loads(done.stdout)["report"])
    assert "AWS_SECRET_ACCESS_KEY is set" in said
    assert "profile 1: role_arn, sso_session, x" in said or "profile 0" in said
    for word in ("canary", "AKIACANARY", "999988887777", str(solo.root / "home")):
        assert word.lower() not in said.lower(), word


def test_a_report_is_shown_before_it_is_kept_and_kept_on_a_yes_only(solo: Home) -> None:
    def answered(word: str) -> tuple[str, list[Path]]:
        env: Any = solo.env | {"PROMPT": ""}
        child = pexpect.spawn(
            BORROW,
            ["doctor", "--report"],
            env=env,
            cwd=str(solo.root),
            timeout=60,
            encoding="utf-8",
        )
        child.expect("keep this as (borrow-report-[0-9-]+.txt)")
        shown = str(child.before)
        child.sendline(word)
        child.expect(pexpect.EOF)
        child.close()
        return shown, list(solo.root.glob("borrow-report-*"))

    assert answered("n")[1] == []
    shown, (kept,) = answered("y")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "## findings" in shown
    lines = kept.read_text().splitlines()
    assert [line for line in lines if line.strip() and line not in shown.replace("\r", "")] == []
    kept.unlink()


def test_without_a_terminal_a_report_is_kept_in_a_named_file_only_if_it_is_new(solo: Home) -> None:
    target = solo.root / "report.txt"
    solo.borrow("doctor", "--output", str(target), ok=False)
    assert target.read_text().startswith("borrow doctor --report")
    target.unlink()
    target.symlink_to(solo.root / "victim")
    error, _ = refused_with(solo.borrow("doctor", "--output", str(target), ok=False), 1)
    assert "is there already" in error
    assert list(solo.root.glob("borrow-report-*")) == []
    assert not (solo.root / "victim").exists()
    target.unlink()


def test_the_same_name_becomes_the_same_word() -> None:
    for line in ("AWS_EC2_METADATA_DISABLED=true", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"):
        assert Redactor({})(line) == line  # a name is no secret, its value may be
    assert Redactor({})("AWS_EC2_KEY_OF_SOMEBODY_ELSE=" + "x1" * 16).endswith("=SECRET-1")
    redact = Redactor({"/home/ann": "~", "ann": "THIS-USER", "laptop": "THIS-HOST"})
    told = redact(
        "ann@example.com asked, bo@example.com, ann@example.com; /home/ann/.aws on laptop for ann; "
        "arn:aws:iam::123456789012:role/Admin in 123456789012 by ASIAEXAMPLEEXAMPLE12 "
        "https://login.corp.example/x http://127.0.0.1:80/ 10.1.2.3 127.0.0.1 "
        f"{CANARY} r-01jv0000000000000000000001 planned"
    )
    assert told == (
        "PERSON-1 asked, PERSON-2, PERSON-1; ~/.aws on THIS-HOST for THIS-USER; "
        "ARN-1 in ACCOUNT-1 by KEY-1 "
        "https://HOST-1/x http://127.0.0.1:80/ ADDRESS-1 127.0.0.1 "
        "SECRET-1 r-01jv0000000000000000000001 planned"
    )
    assert not re.search("ann|corp|Admin", told.replace("planned", ""))
