"""The base keys of solo mode: where they are kept, and the one way to them, `KeySource.load`.

They belong to the minter's driver alone (DESIGN "Solo"). Kept in the desktop keyring, asked in a
short-lived child, or in a sealed file; there is no plaintext fallback. What that is worth: any
program of the same user can ask an unlocked keyring. `MfaBase` is the boundary that AWS draws.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from borrow.minter import sealedfile
from borrow.protocol.errors import Misconfigured, Refused, Unavailable, Untrusted
from borrow.protocol.strict import Members, parse_object
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from borrow.minter.sealedfile import Passphrase

NO_KEYS = "no_base_keys"  # states of Misconfigured that a caller tells apart
NO_KEYRING = "no_keyring"
MFA_NEEDED = "mfa_needed"

SERVICE = "borrow"  # how the entry is named in a keyring's own window
ACCOUNT = "base-keys"
PURPOSE = "base-keys"
KEYRING_WITHIN = 3.0  # seconds; a working one answers in 0.02, a locked one waits for a person
MFA_SECONDS = 43_200  # seconds a base session lives: a working day with one code
MFA_EARLY = 60  # seconds before its end a base session counts as over

_ADD = "add them: borrow keys add"
_KEY_PART = re.compile(r"[!-~]{1,4096}", re.ASCII)
_SERIAL = re.compile(r"[\w+=/:,.@-]{9,256}", re.ASCII)  # AWS's pattern of SerialNumber
_CODE = re.compile(r"[0-9]{6}", re.ASCII)
# What a keyring needs to find its service. PYTHON*, KEYRING_* and AWS_* are left behind on purpose.
_ENVIRONMENT = (
    *("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "XDG_CURRENT_DESKTOP", "DISPLAY"),
    *("WAYLAND_DISPLAY", "XAUTHORITY", "HOME", "USER", "LOGNAME", "PATH", "LANG", "TMPDIR"),
    *("SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "TEMP", "USERNAME"),
)


@dataclass(frozen=True, slots=True)
class BaseKeys:
    """Standing keys (or a base session of them). `mfa_serial` names the device that must agree."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)
    mfa_serial: str = ""

    def to_json(self) -> str:
        parts = {
            "access_key_id": self.access_key_id,
            "secret_access_key": self.secret_access_key,
            "session_token": self.session_token,
            "mfa_serial": self.mfa_serial,
        }
        return json.dumps({"v": 1} | {name: text for name, text in parts.items() if text})


def read_base_keys(text: str | bytes, where: str) -> BaseKeys:
    """What `to_json` wrote, or Misconfigured; the message never repeats it."""
    try:
        members = Members(parse_object(text, "base keys"), "base keys")
        version = members.whole("v")
        keys = BaseKeys(
            access_key_id=members.text("access_key_id"),
            secret_access_key=members.text("secret_access_key"),
            session_token=members.text_or("session_token", limit=4_096),
            mfa_serial=members.text_or("mfa_serial"),
        )
        members.end()
    except Untrusted as exc:
        raise Misconfigured(f"{where}: {exc.message}", hint=f"{_ADD} again") from None
    if version != 1:
        raise Misconfigured(f"the base keys in {where} are of a newer borrow", hint="update borrow")
    return checked(keys)


def checked(keys: BaseKeys) -> BaseKeys:
    """`keys` themselves, or Misconfigured if AWS could not have made them."""
    parts = [keys.access_key_id, keys.secret_access_key]
    parts += [keys.session_token] if keys.session_token else []
    if not all(_KEY_PART.fullmatch(part) for part in parts):
        raise Misconfigured(
            "the base keys are not access keys", hint="paste access key id and secret, no spaces"
        )
    if keys.mfa_serial and not _SERIAL.fullmatch(keys.mfa_serial):
        raise Misconfigured(
            f"not an MFA device: '{shown(keys.mfa_serial, 80)}'",
            hint="its ARN, like arn:aws:iam::123456789012:mfa/ann",
        )
    return keys


class KeySource(Protocol):
    """What the driver needs. Thread-safe."""

    def load(self) -> BaseKeys:
        """The keys to sign with now; raises Misconfigured (or Unavailable for a base session)."""
        ...


class KeyStore(KeySource, Protocol):
    """What `borrow keys add|list|remove` needs as well."""

    def save(self, keys: BaseKeys) -> None: ...

    def remove(self) -> bool:
        """False if there were none."""
        ...

    def where(self) -> str:
        """For people: the place, in a few words."""
        ...


class KeyringSource:
    """The desktop keyring. `seconds` bounds each question; whoever may be prompted needs more."""

    def __init__(
        self,
        *,
        seconds: float = KEYRING_WITHIN,
        account: str = ACCOUNT,
        backends: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._seconds = seconds
        self._account = account
        self._backends = list(backends or usual_backends(sys.platform))
        self._environ = environ

    def load(self) -> BaseKeys:
        answer = self._ask("get")
        if answer["state"] == "absent":
            raise Misconfigured(
                f"there are no base keys in {self.where()}", hint=_ADD, state=NO_KEYS
            )
        return read_base_keys(str(answer.get("secret", "")), self.where())

    def save(self, keys: BaseKeys) -> None:
        self._ask("set", secret=checked(keys).to_json())

    def remove(self) -> bool:
        return bool(self._ask("delete")["state"] == "ok")

    def where(self) -> str:
        return "the desktop keyring"

    def probe(self) -> str:
        """The name of the backend that works here; Misconfigured (`no_keyring`) if none does."""
        return str(self._ask("probe").get("backend", ""))

    def _ask(self, do: str, **more: str) -> dict[str, Any]:
        question = {"do": do, "service": SERVICE, "account": self._account, **more}
        text = json.dumps(question | {"backends": self._backends}).encode()
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-m", "borrow.minter.keyringchild"],
                input=text,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # a traceback there could quote what it failed on
                env=self._child_environment(),
                timeout=self._seconds,
                start_new_session=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            # Not chained: the exception holds the question, with the secret in it.
            failure = f"{self.where()} did not answer within {self._seconds:g} s"
        except OSError as exc:
            failure = f"{self.where()} cannot be asked: {exc.strerror}"
        else:
            return self._read(done.stdout)
        raise _no_keyring(failure)

    def _read(self, said: bytes) -> dict[str, Any]:
        try:
            answer = parse_object(said, "keyring's answer")
        except Untrusted:
            raise _no_keyring(f"{self.where()} gave no answer") from None
        match answer.get("state"):
            case "ok" | "absent":
                return answer
            case "none":
                why = shown(str(answer.get("why", "")), 200)
                raise _no_keyring(f"there is no desktop keyring here ({why})")
            case _:
                why = shown(str(answer.get("why", "")), 60)
                raise _no_keyring(f"{self.where()} failed ({why})")

    def _child_environment(self) -> dict[str, str]:
        given = os.environ if self._environ is None else self._environ
        return {name: given[name] for name in _ENVIRONMENT if name in given}


def usual_backends(platform: str) -> tuple[str, ...]:
    """The allow-list for a `sys.platform`; names are those of `keyringchild.BACKENDS`."""
    own = {"darwin": ("macos",), "win32": ("windows",)}
    return own.get(platform, ("secret-service", "kwallet"))


def _no_keyring(message: str) -> Misconfigured:
    return Misconfigured(
        message,
        hint="unlock the keyring, or keep them in a sealed file: `borrow keys add --sealed`",
        state=NO_KEYRING,
    )


class SealedFileSource:
    """A 0600 file under a passphrase. The passphrase is asked once; the derived key stays.

    The file is read at each load, so that `borrow keys remove` takes effect at once; a file sealed
    anew has a new salt and asks again.
    """

    def __init__(self, path: Path, passphrase: Passphrase) -> None:
        self._path = path
        self._passphrase = passphrase
        self._lock = threading.Lock()  # one question at a time
        self._salt = b""
        self._key = b""

    def load(self) -> BaseKeys:
        data = sealedfile.read_private(self._path)
        if data is None:
            raise Misconfigured(
                f"there are no base keys in {self.where()}", hint=_ADD, state=NO_KEYS
            )
        salt = sealedfile.salt_of(data, self.where())
        with self._lock:
            key = self._key if salt == self._salt else b""
            key = key or sealedfile.derive(self._passphrase(), salt)
            plain = sealedfile.unseal(data, key, purpose=PURPOSE, what=self.where())
            self._salt, self._key = salt, key  # only a key that opened the file is kept
        return read_base_keys(plain, self.where())

    def save(self, keys: BaseKeys) -> None:
        plain = checked(keys).to_json().encode()
        salt = secrets.token_bytes(sealedfile.SALT_BYTES)
        with self._lock:
            key = sealedfile.derive(self._passphrase(), salt)
            nonce = secrets.token_bytes(sealedfile.NONCE_BYTES)
            sealed = sealedfile.seal(plain, key, salt=salt, nonce=nonce, purpose=PURPOSE)
            sealedfile.write_private(self._path, sealed)
            self._salt, self._key = salt, key

    def remove(self) -> bool:
        with self._lock:
            self._salt = self._key = b""
            try:
                self._path.unlink()
            except FileNotFoundError:
                return False
            except OSError as exc:
                raise Misconfigured(
                    f"cannot remove {self.where()}: {exc.strerror}", hint="check its directory"
                ) from exc
        return True

    def where(self) -> str:
        return f"the sealed file {shown(str(self._path), 200)}"


class MfaBase:
    """Base keys whose owner must agree with a code: one base session, in memory only.

    Roles that demand `aws:MultiFactorAuthPresent` can then be assumed until it ends. The stored
    keys are still read at each load: once they are removed or changed, the session is not used.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        endpoint_url: str | None,
        region: str,
        clock: Callable[[], float],
    ) -> None:
        from borrow.minter.drivers.cloud import Cloud

        self._source = source
        self._cloud = Cloud(endpoint_url, region)
        self._clock = clock
        self._lock = threading.Lock()
        self._of = ""  # access key id of the stored keys the session was made from
        self._session: BaseKeys | None = None
        self._ends_at = 0.0

    def load(self) -> BaseKeys:
        stored = self._source.load()
        if not stored.mfa_serial:
            return stored
        with self._lock:
            live = self._clock() < self._ends_at - MFA_EARLY
            if self._session is not None and live and self._of == stored.access_key_id:
                return self._session
        raise Misconfigured(
            "the base keys need a code of their MFA device",
            hint="give one: `borrow keys mfa`",
            state=MFA_NEEDED,
        )

    def open(self, code: str, *, seconds: int = MFA_SECONDS) -> float:
        """Trade a six-digit `code` for a base session; returns its end in unix seconds."""
        from borrow.minter.drivers.cloud import ask, credentials

        stored = self._source.load()
        if not stored.mfa_serial:
            raise Misconfigured(
                "the base keys name no MFA device",
                hint="add it: `borrow keys add --mfa-serial ARN`",
            )
        if not _CODE.fullmatch(code):
            raise Refused("an MFA code is six digits", state="otp_wrong")
        asked = self._clock()
        client = self._cloud.signed(stored)
        answer = ask(
            lambda: client.get_session_token(
                SerialNumber=stored.mfa_serial, TokenCode=code, DurationSeconds=seconds
            ),
            stored.secret_access_key,
            code,
        )
        made, stated = credentials(answer)
        ends_at = min(stated, asked + seconds)
        if ends_at - MFA_EARLY <= self._clock():
            raise Unavailable(
                "the cloud handed out a base session that had already ended",
                hint="compare the clock of the minter with the cloud's",
                retry_after=5.0,
            )
        with self._lock:
            self._of, self._ends_at = stored.access_key_id, ends_at
            self._session = BaseKeys(
                made.access_key_id, made.secret_access_key, made.session_token, stored.mfa_serial
            )
        return ends_at

    def ends_at(self) -> float | None:
        """When the base session ends, or None if there is none that counts."""
        with self._lock:
            return self._ends_at if self._clock() < self._ends_at - MFA_EARLY else None

    def forget(self) -> None:
        with self._lock:
            self._session, self._of, self._ends_at = None, "", 0.0
