"""Base keys from the command line: kept sealed, shown never, unlocked for a running process."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from borrow_fakes.lab import BORROW
from borrow_fakes.solo_mode import refused_with

if TYPE_CHECKING:
    from borrow_fakes.lab import Home

CANARY = "canarySecretAccessKey0123456789"
KEYS = json.dumps({"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": CANARY})


def with_passphrase(
    one: Home, *words: str, phrase: str, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """`borrow WORDS --passphrase-fd N`, with the passphrase in a pipe and no service to give it."""
    read, write = os.pipe()
    os.write(write, phrase.encode() + b"\n")
    os.close(write)
    env = {name: value for name, value in one.env.items() if name != "CREDENTIALS_DIRECTORY"}
    try:
        return subprocess.run(
            [BORROW, *words, "--passphrase-fd", str(read)],
            env=env,
            input=text,
            capture_output=True,
            text=True,
            pass_fds=[read],
            check=False,
        )
    finally:
        os.close(read)


@pytest.fixture
def keyed(solo: Home) -> Home:
    done = with_passphrase(solo, "keys", "add", "--sealed", phrase="open sesame", text=KEYS)
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    return solo


def test_sealed_keys_are_private_and_in_the_clear_nowhere(keyed: Home) -> None:
    path = keyed.state / "base-keys.sealed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for file in keyed.state.rglob("*"):
        if file.is_file():
            assert CANARY.encode() not in file.read_bytes()
    shown = keyed.borrow("keys", "list").stdout + keyed.borrow("keys", "list", "--json").stdout
    assert CANARY not in shown
    assert "base-keys.sealed" in shown


def test_a_wrong_passphrase_unlocks_nothing_and_the_right_one_does(keyed: Home) -> None:
    wrong = with_passphrase(keyed, "keys", "unlock", phrase="open says me")
    error, _ = refused_with(wrong, 1)
    assert "passphrase" in error
    right = with_passphrase(keyed, "keys", "unlock", phrase="open sesame")
    assert right.returncode == 0, right.stderr


def test_keys_that_are_removed_are_gone(keyed: Home) -> None:
    assert keyed.borrow("keys", "remove").stdout == "the base keys are forgotten\n"
    assert not (keyed.state / "base-keys.sealed").exists()
    assert keyed.borrow("keys", "remove").stdout == "there were no base keys\n"
    refused_with(keyed.borrow("keys", "list", ok=False), 1)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"AccessKeyId": "a"}', f'"{CANARY}"', f"{CANARY} {CANARY}"]
)
def test_what_is_no_key_is_refused_and_not_repeated(solo: Home, text: str) -> None:
    done = with_passphrase(solo, "keys", "add", "--sealed", phrase="x", text=text)
    refused_with(done, 2)
    assert CANARY not in done.stdout + done.stderr


def test_a_code_without_an_mfa_device_is_refused(keyed: Home) -> None:
    with_passphrase(keyed, "keys", "unlock", phrase="open sesame")
    error, hint = refused_with(
        keyed.borrow("keys", "mfa", "--code-fd", "0", text="123456\n", ok=False), 1
    )
    assert "MFA device" in error
    assert "--mfa-serial" in hint
