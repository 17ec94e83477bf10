"""Base keys from the command line: kept sealed, shown never, unlocked for a running process."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from borrow.cli.keyholder import Stored
from borrow.minter.basekeys import KeyringSource, SealedFileSource, read_base_keys
from borrow.protocol.errors import Misconfigured, Refused
from borrow_fakes.lab import BORROW, home
from borrow_fakes.solo_mode import POLICY, refused_with, set_up
from borrow_fakes.sts import SECRET, FakeSts, failure, session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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
    for word in ("list", "remove"):  # no keyring here: whether one elsewhere has some is not known
        error, hint = refused_with(keyed.borrow("keys", word, ok=False), 1)
        assert error.startswith("no base keys are sealed here, and there is no desktop keyring")
        assert "borrow keys add --sealed" in hint


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


def test_a_wrong_passphrase_is_refused_after_a_right_one_too(keyed: Home) -> None:
    assert with_passphrase(keyed, "keys", "unlock", phrase="open sesame").returncode == 0
    refused_with(with_passphrase(keyed, "keys", "unlock", phrase="open says me"), 1)
    # … and the right one stays in use.
    error, _ = refused_with(
        keyed.borrow("keys", "mfa", "--code-fd", "0", text="123456\n", ok=False), 1
    )
    assert "MFA device" in error


def test_unlock_never_keeps_what_does_not_open_the_file(tmp_path: Path) -> None:
    path = tmp_path / "base-keys.sealed"
    SealedFileSource(path, lambda: b"right").save(
        read_base_keys('{"v": 1, "access_key_id": "AKIAEXAMPLE", "secret_access_key": "x"}', "test")
    )
    stored = Stored(path, {})
    for phrase in (b"wrong", b"right", b"wrong", b""):
        if phrase == b"right":
            stored.unlock(phrase)
            continue
        with pytest.raises((Misconfigured, Refused)):
            stored.unlock(phrase)
    assert stored.load().access_key_id == "AKIAEXAMPLE"


def test_a_keyring_that_cannot_be_asked_is_not_called_an_empty_one(tmp_path: Path) -> None:
    silent = KeyringSource(seconds=0.0001)
    stored = Stored(tmp_path / "none.sealed", {}, keyring=silent)
    with pytest.raises(Misconfigured) as told:
        stored.load()
    assert "the desktop keyring did not answer within" in told.value.message
    assert "unlock the keyring" in told.value.hint


@pytest.fixture
def guarded() -> Iterator[tuple[Home, FakeSts]]:
    """Solo mode whose sealed base keys name an MFA device, and the STS that it asks."""
    with FakeSts() as sts, home() as one:
        set_up(one, POLICY, cloud=f'driver = "assume-role"\nendpoint_url = "{sts.url}"\n')
        phrase = "phrase"
        words = ("keys", "add", "--sealed", "--mfa-serial", SERIAL)
        assert with_passphrase(one, *words, phrase=phrase, text=KEYS).returncode == 0
        assert with_passphrase(one, "keys", "unlock", phrase=phrase).returncode == 0
        yield one, sts


SERIAL = "arn:aws:iam::123456789012:mfa/ann"


def test_a_code_opens_a_base_session_and_is_sent_once(guarded: tuple[Home, FakeSts]) -> None:
    one, sts = guarded
    sts.answers = [session("GetSessionToken", time.time() + 43_200)]  # noqa: TID251  as STS does
    told = one.borrow("keys", "mfa", "--code-fd", "0", text="123456\n")
    assert re.fullmatch(r"a base session is open for 1[12]h\d*m?\n", told.stdout)
    asked = [each.form for each in sts.asked]
    assert [(form["Action"], form["SerialNumber"], form["TokenCode"]) for form in asked] == [
        ("GetSessionToken", SERIAL, "123456")
    ]
    assert "a base session is open for" in one.borrow("keys", "list").stdout
    for file in one.state.rglob("*"):
        if file.is_file():
            assert SECRET.encode() not in file.read_bytes()  # in memory alone


def test_a_code_that_the_cloud_refuses_opens_nothing(guarded: tuple[Home, FakeSts]) -> None:
    one, sts = guarded
    sts.answers = [failure("AccessDenied", "MultiFactorAuthentication failed", 403)]
    refused_with(one.borrow("keys", "mfa", "--code-fd", "0", text="654321\n", ok=False), 3)
    refused_with(one.borrow("keys", "mfa", "--code-fd", "0", text="x\x1b[2J\n", ok=False), 3)
    assert len(sts.asked) == 1  # what is no code is not sent
    assert "a base session" not in one.borrow("keys", "list").stdout
