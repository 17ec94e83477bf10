"""Base keys: never in the clear, never through a back door, and gone when removed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borrow.minter import keyringchild, sealedfile
from borrow.minter.basekeys import (
    KEYRING_WITHIN,
    MFA_NEEDED,
    NO_KEYRING,
    NO_KEYS,
    BaseKeys,
    KeyringSource,
    MfaBase,
    SealedFileSource,
    checked,
    read_base_keys,
    usual_backends,
)
from borrow.protocol.errors import Misconfigured, Refused, Unavailable
from borrow_fakes import secretservice
from borrow_fakes.sts import ACCESS_KEY_ID, FakeSts, failure, session
from borrow_fakes.tools import need

if TYPE_CHECKING:
    from collections.abc import Iterator

SERIAL = "arn:aws:iam::123456789012:mfa/ann"
KEYS = BaseKeys("AKIAFAKEFAKEFAKEFAKE", "FAKEsecret/secret+FAKE", mfa_serial=SERIAL)
PLAIN = BaseKeys("AKIAFAKEFAKEFAKEFAKE", "FAKEsecret/secret+FAKE")
PHRASE = b"correct horse"
NOW = 1_800_000_000.0


class Asked:
    """A passphrase source that counts how often somebody had to type."""

    def __init__(self, phrase: bytes = PHRASE) -> None:
        self.phrase = phrase
        self.times = 0

    def __call__(self) -> bytes:
        self.times += 1
        return self.phrase


# --- what base keys are

printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


@given(keys=st.builds(BaseKeys, printable, printable, st.just("") | printable, st.just(SERIAL)))
def test_what_was_written_is_read_back(keys: BaseKeys) -> None:
    assert read_base_keys(keys.to_json(), "here") == keys


@given(text=st.text() | st.binary())
def test_anything_else_is_a_misconfiguration(text: str | bytes) -> None:
    with pytest.raises(Misconfigured):
        read_base_keys(text, "here")


@pytest.mark.parametrize(
    "keys",
    [
        BaseKeys("", "s"),
        BaseKeys("AKIA", ""),
        BaseKeys("AKIA X", "s"),
        BaseKeys("AKIA", "s\n"),
        BaseKeys("AKIA", "s", mfa_serial="\x1b[2J" * 4),
    ],
)
def test_what_aws_did_not_make_is_no_base_key(keys: BaseKeys) -> None:
    with pytest.raises(Misconfigured) as wrong:
        checked(keys)
    assert "\x1b" not in wrong.value.message


def test_a_repr_shows_no_secret() -> None:
    keys = BaseKeys("AKIAFAKE", "the-secret", "the-token", SERIAL)
    assert "the-secret" not in repr(keys)
    assert "the-token" not in repr(keys)


# --- the sealed file


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "new" / "base-keys.sealed"


def test_a_sealed_file_opens_again_and_shows_nothing(place: Path) -> None:
    SealedFileSource(place, Asked()).save(KEYS)
    assert SealedFileSource(place, Asked()).load() == KEYS
    data = place.read_bytes()
    assert KEYS.access_key_id.encode() not in data
    assert KEYS.secret_access_key.encode() not in data
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in place.parent.iterdir()] == [place.name]


def test_a_wrong_passphrase_opens_nothing_and_may_be_tried_again(place: Path) -> None:
    asked = Asked(b"wrong")
    SealedFileSource(place, Asked()).save(KEYS)
    source = SealedFileSource(place, asked)
    with pytest.raises(Misconfigured) as wrong:
        source.load()
    assert wrong.value.state == "wrong_passphrase"
    asked.phrase = PHRASE
    assert source.load() == KEYS


def test_the_passphrase_is_asked_once_and_the_file_read_each_time(place: Path) -> None:
    asked = Asked()
    source = SealedFileSource(place, asked)
    source.save(KEYS)
    source.load()
    source.load()
    assert asked.times == 1
    assert source.remove() is True
    with pytest.raises(Misconfigured) as gone:
        source.load()
    assert gone.value.state == NO_KEYS
    assert source.remove() is False
    assert asked.times == 1


def test_a_file_sealed_anew_asks_anew(place: Path) -> None:
    asked = Asked()
    source = SealedFileSource(place, asked)
    source.save(KEYS)
    SealedFileSource(place, Asked(b"another")).save(PLAIN)
    asked.phrase = b"another"
    assert source.load() == PLAIN


def test_no_file_is_said_before_a_passphrase_is_asked(place: Path) -> None:
    asked = Asked()
    with pytest.raises(Misconfigured, match="no base keys"):
        SealedFileSource(place, asked).load()
    assert asked.times == 0


def test_an_empty_passphrase_seals_nothing(place: Path) -> None:
    with pytest.raises(Misconfigured, match="empty"):
        SealedFileSource(place, Asked(b"")).save(KEYS)
    assert not place.exists()


KEY, SALT, NONCE = b"k" * 32, b"s" * 16, b"n" * 12
SEALED = sealedfile.seal(b"plain", KEY, salt=SALT, nonce=NONCE, purpose="base-keys")


def unsealed(data: bytes, key: bytes = KEY, purpose: str = "base-keys") -> bytes:
    return sealedfile.unseal(data, key, purpose=purpose, what="the file")


def test_the_files_bytes_are_those_of_version_1() -> None:
    assert (
        b'{"v": 1, "purpose": "base-keys", "salt": "c3Nzc3Nzc3Nzc3Nzc3Nzcw", '
        b'"nonce": "bm5ubm5ubm5ubm5u", "sealed": "'
        + json.loads(SEALED)["sealed"].encode()
        + b'"}\n'
    ) == SEALED
    assert unsealed(SEALED) == b"plain"


def test_the_cost_of_a_guess_is_64_mib_and_three_passes() -> None:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    ours = Argon2id(salt=SALT, length=32, iterations=3, lanes=4, memory_cost=64 * 1024)
    assert sealedfile.derive(PHRASE, SALT) == ours.derive(PHRASE)


@given(at=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_opens_nothing(at: int, flip: int) -> None:
    changed = bytearray(SEALED)
    changed[at] ^= flip
    with contextlib.suppress(Misconfigured):
        assert unsealed(bytes(changed)) == b"plain"  # only white space may differ


@given(data=st.binary(max_size=200))
def test_garbage_is_a_misconfiguration(data: bytes) -> None:
    with pytest.raises(Misconfigured):
        unsealed(data)


def test_a_file_for_one_purpose_opens_for_no_other() -> None:
    renamed = SEALED.replace(b'"base-keys"', b'"device-key"')
    for data, purpose in ((SEALED, "device-key"), (renamed, "device-key"), (renamed, "base-keys")):
        with pytest.raises(Misconfigured):
            unsealed(data, purpose=purpose)


def test_another_version_is_not_guessed_at() -> None:
    with pytest.raises(Misconfigured, match="version 2"):
        unsealed(SEALED.replace(b'"v": 1', b'"v": 2'))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_others_may_touch_is_refused_like_ssh_does(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys"
    sealedfile.write_private(path, SEALED)
    path.chmod(mode)
    with pytest.raises(Misconfigured, match="others have rights") as wrong:
        sealedfile.read_private(path)
    assert "chmod 600" in wrong.value.hint


def test_a_link_or_a_pipe_in_its_place_is_refused(tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real", tmp_path / "link", tmp_path / "pipe"
    sealedfile.write_private(real, SEALED)
    link.symlink_to(real)
    os.mkfifo(pipe, 0o600)
    for path in (link, pipe, tmp_path):
        with pytest.raises(Misconfigured):
            sealedfile.read_private(path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.mkdir()  # a directory cannot be replaced by a file
    with pytest.raises(Misconfigured, match="cannot write"):
        sealedfile.write_private(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


# --- where passphrases come from


def through_pipe(data: bytes) -> int:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    return read


@pytest.mark.parametrize(
    ("sent", "meant"),
    [(b"a b \n", b"a b "), (b"a\r\n", b"a"), (b"a", b"a"), (b"a\n\n", b"a\n"), (b"", b"")],
)
def test_a_descriptor_gives_one_line(sent: bytes, meant: bytes) -> None:
    assert sealedfile.passphrase_from_fd(through_pipe(sent))() == meant


def test_a_closed_descriptor_is_a_misconfiguration() -> None:
    fd = through_pipe(b"")
    os.close(fd)
    with pytest.raises(Misconfigured, match="descriptor"):
        sealedfile.passphrase_from_fd(fd)()


def test_a_passphrase_is_bounded() -> None:
    with pytest.raises(Misconfigured, match="longer"):
        sealedfile.passphrase_from_fd(through_pipe(b"x" * 1026))()


def test_the_descriptor_comes_before_the_service_and_that_before_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "borrow-passphrase").write_bytes(b"of the service\n")
    service = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    source, prompt = sealedfile.passphrase_source, Asked(b"typed")
    assert source(service, fd=through_pipe(b"of the fd\n"), prompt=prompt)() == b"of the fd"
    assert source(service, prompt=prompt)() == b"of the service"
    assert source({}, prompt=prompt)() == b"typed"
    assert prompt.times == 1


def test_with_nobody_to_ask_it_says_how() -> None:
    with pytest.raises(Misconfigured) as nobody:
        sealedfile.passphrase_source({})()
    assert "--passphrase-fd" in nobody.value.hint


# --- the desktop keyring


@pytest.fixture(scope="module")
def desktop() -> Iterator[secretservice.Session]:
    need(secretservice.missing(), secretservice.INSTALL)
    with secretservice.Session() as running:
        yield running.gnome_keyring()


@pytest.fixture
def bare() -> Iterator[secretservice.Session]:
    """A bus with nobody on it."""
    need(secretservice.missing(), secretservice.INSTALL)
    with secretservice.Session() as running:
        yield running


def test_a_real_keyring_keeps_and_forgets_base_keys(desktop: secretservice.Session) -> None:
    source = KeyringSource(environ=desktop.environ, seconds=10)
    assert source.probe() == "secret-service"
    source.save(KEYS)
    assert source.load() == KEYS
    seen = desktop.secret_tool("lookup", "service", "borrow", "username", "base-keys")
    assert read_base_keys(seen, "secret-tool") == KEYS
    assert source.remove() is True
    assert source.remove() is False
    with pytest.raises(Misconfigured) as gone:
        source.load()
    assert gone.value.state == NO_KEYS
    assert "borrow keys add" in gone.value.hint


def test_saving_again_replaces(desktop: secretservice.Session) -> None:
    source = KeyringSource(environ=desktop.environ, seconds=10, account="another")
    source.save(PLAIN)
    source.save(KEYS)
    assert source.load() == KEYS
    assert source.remove() is True


BACK_DOORS = {
    "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    "KEYRING_PROPERTY_PREFERRED_COLLECTION": "/nowhere",
    "PYTHONPATH": "/nowhere",
    "LD_PRELOAD": "",
}


def configure_null(home: Path) -> dict[str, str]:
    """Every way in which a machine could turn `keyring` to a backend that keeps nothing safe."""
    for base in (home / ".config", home / ".local/share"):
        folder = base / "python_keyring"
        folder.mkdir(parents=True)
        (folder / "keyringrc.cfg").write_text(
            "[backend]\ndefault-keyring=keyring.backends.null.Keyring\n"
        )
    return {"XDG_CONFIG_HOME": str(home / ".config"), **BACK_DOORS}


def test_a_configured_backend_is_never_used(bare: secretservice.Session) -> None:
    environ = {**bare.environ, **configure_null(bare.home)}
    with pytest.raises(Misconfigured) as none:
        KeyringSource(environ=environ, seconds=10).save(KEYS)
    assert none.value.state == NO_KEYRING
    assert "sealed file" in none.value.hint


def test_a_real_keyring_is_found_past_a_configured_one(desktop: secretservice.Session) -> None:
    environ = {**desktop.environ, **configure_null(desktop.home)}
    assert KeyringSource(environ=environ, seconds=10).probe() == "secret-service"


def test_without_a_bus_there_is_no_keyring_and_it_says_so(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    with pytest.raises(Misconfigured, match="no desktop keyring here") as none:
        KeyringSource(environ=environ, seconds=10).load()
    assert none.value.state == NO_KEYRING


def children() -> list[int]:
    lists = Path("/proc/self/task").glob("*/children")
    return [int(pid) for each in lists for pid in each.read_text().split()]


def test_a_keyring_that_never_answers_is_given_up_in_time_and_saw_no_secret_in_the_open(
    bare: secretservice.Session,
) -> None:
    before = set(children())
    caught: list[Misconfigured] = []

    def save() -> None:
        try:
            KeyringSource(environ={**bare.environ, **BACK_DOORS}, seconds=1.2).save(KEYS)
        except Misconfigured as exc:
            caught.append(exc)

    with bare.silent_service():
        began = time.monotonic()
        asking = threading.Thread(target=save)
        asking.start()
        time.sleep(0.5)
        (child,) = set(children()) - before
        words = Path(f"/proc/{child}/cmdline").read_bytes()
        surroundings = Path(f"/proc/{child}/environ").read_bytes()
        asking.join()
        took = time.monotonic() - began
    assert 1.2 <= took < 20  # not the service's for ever, however busy the machine
    assert KEYRING_WITHIN == 3.0  # the limit nobody has to ask for
    assert caught[0].state == NO_KEYRING
    assert "1.2 s" in caught[0].message
    assert KEYS.secret_access_key not in f"{caught[0].__cause__!r} {caught[0].__context__!r}"
    assert set(children()) == before
    assert b"keyringchild" in words
    assert not [name for name in BACK_DOORS if name.encode() in surroundings]
    assert KEYS.secret_access_key.encode() not in words + surroundings


def test_only_backends_that_encrypt_are_on_the_list() -> None:
    listed = {module for module, _ in keyringchild.BACKENDS.values()}
    assert listed == {
        "keyring.backends.SecretService",
        "keyring.backends.kwallet",
        "keyring.backends.macOS",
        "keyring.backends.Windows",
    }
    for platform in ("linux", "freebsd14", "darwin", "win32"):
        assert set(usual_backends(platform)) <= keyringchild.BACKENDS.keys()


@pytest.mark.parametrize("text", [b"", b"{", b'{"do":"get"}', b'{"backends":["null"]}', b"[]"])
def test_the_child_answers_nonsense_with_a_failure_and_no_traceback(text: bytes) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-m", "borrow.minter.keyringchild"],
        input=text,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert json.loads(done.stdout)["state"] in ("failed", "none")
    assert done.stderr == b""


# --- MFA


class Stored:
    def __init__(self, keys: BaseKeys) -> None:
        self.keys: BaseKeys | None = keys

    def load(self) -> BaseKeys:
        if self.keys is None:
            raise Misconfigured("there are no base keys", state=NO_KEYS)
        return self.keys


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def sts() -> Iterator[FakeSts]:
    with FakeSts() as running:
        running.answers = [session("GetSessionToken", NOW + 3600)]
        yield running


def mfa(sts: FakeSts, stored: Stored, clock: Clock) -> MfaBase:
    return MfaBase(stored, endpoint_url=sts.url, region="us-east-1", clock=clock)


def test_without_a_code_nothing_is_signed(sts: FakeSts) -> None:
    base = mfa(sts, Stored(KEYS), Clock())
    with pytest.raises(Misconfigured) as needed:
        base.load()
    assert needed.value.state == MFA_NEEDED
    assert "borrow keys mfa" in needed.value.hint
    assert base.ends_at() is None
    assert sts.asked == []


def test_a_code_buys_a_base_session_until_it_ends(sts: FakeSts) -> None:
    clock = Clock()
    base = mfa(sts, Stored(KEYS), clock)
    assert base.open("123456") == NOW + 3600
    form = sts.asked[0].form
    assert (form["SerialNumber"], form["TokenCode"]) == (SERIAL, "123456")
    assert base.load().access_key_id == ACCESS_KEY_ID
    assert base.load().session_token
    assert base.ends_at() == NOW + 3600
    clock.now = NOW + 3600 - 60
    with pytest.raises(Misconfigured, match="need a code"):
        base.load()
    assert len(sts.asked) == 1


def test_removed_or_changed_keys_end_the_base_session(sts: FakeSts) -> None:
    stored = Stored(KEYS)
    base = mfa(sts, stored, Clock())
    base.open("123456")
    stored.keys = BaseKeys("AKIAOTHER", "other", mfa_serial=SERIAL)
    with pytest.raises(Misconfigured, match="need a code"):
        base.load()
    stored.keys = None
    with pytest.raises(Misconfigured, match="no base keys"):
        base.load()


def test_forgetting_ends_it_at_once(sts: FakeSts) -> None:
    base = mfa(sts, Stored(KEYS), Clock())
    base.open("123456")
    base.forget()
    with pytest.raises(Misconfigured, match="need a code"):
        base.load()


def test_keys_without_a_device_need_no_code(sts: FakeSts) -> None:
    base = mfa(sts, Stored(PLAIN), Clock())
    assert base.load() == PLAIN
    with pytest.raises(Misconfigured, match="name no MFA device"):
        base.open("123456")


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "１２３４５６", "123456\n"])
def test_what_is_no_code_is_not_sent(sts: FakeSts, code: str) -> None:
    with pytest.raises(Refused, match="six digits"):
        mfa(sts, Stored(KEYS), Clock()).open(code)
    assert sts.asked == []


def test_a_wrong_code_is_refused_and_leaves_the_old_session(sts: FakeSts) -> None:
    base = mfa(sts, Stored(KEYS), Clock())
    base.open("123456")
    sts.answers = [failure("AccessDenied", "invalid MFA one time pass code 654321", 403)]
    with pytest.raises(Refused) as no:
        base.open("654321")
    assert "654321" not in no.value.message
    assert base.load().access_key_id == ACCESS_KEY_ID


def test_a_base_session_that_has_ended_already_is_none(sts: FakeSts) -> None:
    sts.answers = [session("GetSessionToken", NOW + 60)]
    base = mfa(sts, Stored(KEYS), Clock())
    with pytest.raises(Unavailable):
        base.open("123456")
    assert base.ends_at() is None
