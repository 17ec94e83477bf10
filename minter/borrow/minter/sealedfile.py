"""Secrets in a file that a passphrase opens (Argon2id, AES-256-GCM), and whence passphrases come.

For machines without a desktop keyring. The format has one version and fixed costs: a file cannot
ask for cheaper ones. Owns bytes on disk and their permissions; what the bytes mean is the caller's.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from borrow.protocol.errors import Misconfigured, Untrusted
from borrow.protocol.strict import Members, b64url, from_b64url, parse_object
from borrow.protocol.text import shown

Passphrase: TypeAlias = Callable[[], bytes]  # asked when a file is opened, not before

VERSION: Final = 1
MEMORY_KIB: Final = 65_536  # 64 MiB
PASSES: Final = 3
LANES: Final = 4  # with these about 0.3 s on a laptop core
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
KEY_BYTES: Final = 32
MAX_FILE: Final = 65_536  # bytes
MAX_PASSPHRASE: Final = 1_024  # bytes
SERVICE_NAME: Final = "borrow-passphrase"  # LoadCredential=borrow-passphrase:…


def derive(passphrase: bytes, salt: bytes) -> bytes:
    """The file's key. Slow on purpose; raises Misconfigured for an empty passphrase."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    if not passphrase:
        raise Misconfigured("the passphrase is empty", hint="choose one that nobody guesses")
    kdf = Argon2id(
        salt=salt, length=KEY_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    )
    return kdf.derive(passphrase)


def seal(plain: bytes, key: bytes, *, salt: bytes, nonce: bytes, purpose: str) -> bytes:
    """The file's content. `nonce` is never used twice with one key: callers take a new salt."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealed = AESGCM(key).encrypt(nonce, plain, _bound_to(purpose))
    parts = {"salt": b64url(salt), "nonce": b64url(nonce), "sealed": b64url(sealed)}
    return json.dumps({"v": VERSION, "purpose": purpose, **parts}).encode() + b"\n"


def salt_of(data: bytes, what: str) -> bytes:
    return _parts(data, what)[0]


def unseal(data: bytes, key: bytes, *, purpose: str, what: str) -> bytes:
    """The plaintext, or Misconfigured: wrong passphrase and changed file cannot be told apart."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    _, nonce, sealed, said = _parts(data, what)
    if said != purpose:
        raise Misconfigured(f"{what} holds something else", hint="point at the right file")
    try:
        return AESGCM(key).decrypt(nonce, sealed, _bound_to(purpose))
    except InvalidTag:
        raise Misconfigured(
            f"{what} does not open: the passphrase is wrong, or the file was changed",
            hint="try again, or make it anew: `borrow keys add`",
            state="wrong_passphrase",
        ) from None


def read_private(path: Path) -> bytes | None:
    """The bytes of a file that is ours alone, None if there is none; else Misconfigured.

    A file others can write may be swapped, one they can read may be guessed at: refused, like ssh.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise Misconfigured(f"{_named(path)} is not a plain file", hint="move it away")
        if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
            raise Misconfigured(
                f"others have rights on {_named(path)}",
                hint=f"make it yours alone: `chmod 600 {_named(path)}`",
            )
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(MAX_FILE + 1)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    finally:
        os.close(handle)
    if len(data) > MAX_FILE:
        raise Misconfigured(f"{_named(path)} is too large", hint="point at the right file")
    return data


def write_private(path: Path, data: bytes) -> None:
    """All of `data` or the old file, also after a power cut; 0600 from the first byte on."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        _sync_directory(path.parent)
    except OSError as exc:
        raise Misconfigured(
            f"cannot write {_named(path)}: {exc.strerror}",
            hint="free space, or check its directory",
        ) from exc


def passphrase_from_fd(fd: int) -> Passphrase:
    """Read `fd` to its end, once, and close it: `--passphrase-fd 3 3<file`."""

    def read() -> bytes:
        try:
            with os.fdopen(fd, "rb") as file:
                return _one_line(file.read(MAX_PASSPHRASE + 3))
        except OSError as exc:
            raise Misconfigured(
                f"no passphrase can be read from descriptor {fd}: {exc.strerror}",
                hint="open it for reading, as in 3<file",
            ) from exc

    return read


def passphrase_from_service(environ: Mapping[str, str]) -> Passphrase | None:
    """systemd's `LoadCredential=borrow-passphrase:…`, or None if the service has none."""
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(directory) / SERVICE_NAME
    if not directory or not path.is_file():
        return None

    def read() -> bytes:
        try:
            with path.open("rb") as file:
                return _one_line(file.read(MAX_PASSPHRASE + 3))
        except OSError as exc:
            raise _unreadable(path, exc) from exc

    return read


def passphrase_source(
    environ: Mapping[str, str],
    *,
    fd: int | None = None,
    prompt: Passphrase | None = None,
) -> Passphrase:
    """The descriptor if one was named, else the service's credential, else the prompt."""

    def none() -> bytes:
        raise Misconfigured(
            "nobody can be asked for the passphrase of the sealed base keys",
            hint="run it in a terminal, pass --passphrase-fd, or use systemd's LoadCredential",
            state="passphrase_needed",
        )

    if fd is not None:
        return passphrase_from_fd(fd)
    return passphrase_from_service(environ) or prompt or none


def _one_line(data: bytes) -> bytes:
    """Without the line end an editor adds; nothing else is taken off."""
    phrase = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(phrase) > MAX_PASSPHRASE:
        raise Misconfigured(
            f"the passphrase is longer than {MAX_PASSPHRASE} bytes", hint="is it the right file?"
        )
    return phrase


def _bound_to(purpose: str) -> bytes:
    """Associated data: a file sealed for one purpose or version opens for no other."""
    return f"borrow sealed file v{VERSION}: {purpose}".encode()


def _parts(data: bytes, what: str) -> tuple[bytes, bytes, bytes, str]:
    try:
        members = Members(parse_object(data, "file", limit=MAX_FILE), "file")
        version, purpose = members.whole("v"), members.text("purpose")
        salt, nonce, sealed = (
            from_b64url(members.text(name, limit=MAX_FILE), name)
            for name in ("salt", "nonce", "sealed")
        )
        members.end()
    except Untrusted as exc:
        raise Misconfigured(f"{what} is damaged: {exc.message}", hint="`borrow keys add`") from None
    if version != VERSION or len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise Misconfigured(
            f"{what} has version {version}, this borrow reads {VERSION}", hint="update borrow"
        )
    return salt, nonce, sealed, purpose


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unreadable(path: Path, exc: OSError) -> Misconfigured:
    return Misconfigured(
        f"cannot read {_named(path)}: {exc.strerror}", hint="check its owner and permissions"
    )


def _named(path: Path) -> str:
    return shown(str(path), 200)
