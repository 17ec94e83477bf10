"""M's private keys: two 0600 files, made once, like SSH host keys."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.protocol.errors import Misconfigured, Untrusted
from borrow.protocol.keys import dump_private, load_private, new_key

if TYPE_CHECKING:
    from pathlib import Path

    from joserfc.jwk import ECKey

SIG_FILE = "minter-sig.json"
ENC_FILE = "minter-enc.json"
_MAX_FILE = 4_096  # bytes; a JWK has about 250


@dataclass(frozen=True, slots=True)
class MinterSecrets:
    """`sig` certifies decisions, credentials and tree heads; `enc` opens sealed codes."""

    sig: ECKey = field(repr=False)
    enc: ECKey = field(repr=False)


def load_or_create(folder: Path) -> MinterSecrets:
    """M's keys in `folder`, made at the first start; Misconfigured if others could read them."""
    return MinterSecrets(
        load_or_create_key(folder / SIG_FILE), load_or_create_key(folder / ENC_FILE)
    )


def load_or_create_key(path: Path) -> ECKey:
    """The key in `path`; a fresh one if there is no such file. Two first starts agree on one."""
    try:
        return _load(path)
    except FileNotFoundError:
        pass
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        _write(fresh, dump_private(new_key()))
        try:
            os.link(fresh, path)  # whole or not at all, and never over a key that is there
        except FileExistsError:
            return _load(path)
        finally:
            fresh.unlink()
        return _load(path)
    except OSError as exc:
        raise Misconfigured(
            f"{path.name} cannot be written: {exc.strerror}", hint="is the folder yours?"
        ) from exc


def _load(path: Path) -> ECKey:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as exc:
        raise Misconfigured(
            f"{path.name} cannot be read: {exc.strerror}", hint="a key is a plain file of yours"
        ) from exc
    try:
        found = os.fstat(fd)
        private = stat.S_ISREG(found.st_mode) and not found.st_mode & 0o077
        if not private or found.st_uid != os.geteuid():
            raise Misconfigured(
                f"{path.name} is not a file that only you can read",
                hint=f"`chmod 600 {path.name}`, or make it yours",
            )
        data = os.read(fd, _MAX_FILE)
    finally:
        os.close(fd)
    try:
        return load_private(data, path.name)
    except Untrusted as exc:
        raise Misconfigured(
            f"{path.name} holds no key: {exc}", hint="restore it from your backup"
        ) from exc


def _write(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
