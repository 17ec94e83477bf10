"""The long-lived keys of an approver and a minter: one JWK a file, 0600, like SSH host keys.

Made once, at the first start, and never replaced: devices pin them. A file that is there and is no
key is an error, not a reason for a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.daemon.places import read_private, write_private
from borrow.protocol.errors import Misconfigured, Untrusted
from borrow.protocol.keys import dump_private, load_private, new_key, thumbprint

if TYPE_CHECKING:
    from pathlib import Path

    from joserfc.jwk import ECKey

APPROVER, MINTER_SIG, MINTER_ENC, ISSUER = (
    "approver-key.json",
    "minter-sig-key.json",
    "minter-enc-key.json",
    "issuer-key.json",
)
NAMES = (APPROVER, MINTER_SIG, MINTER_ENC, ISSUER)


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """A, M (both halves) and B, the issuer of cloud tokens."""

    approver: ECKey = field(repr=False)
    minter_sig: ECKey = field(repr=False)
    minter_enc: ECKey = field(repr=False)
    issuer: ECKey = field(repr=False)

    @property
    def approver_pin(self) -> str:
        return thumbprint(self.approver)


def load_or_make(folder: Path) -> ServerKeys:
    """The keys in `folder`; those that are missing are made and written first."""
    return ServerKeys(*(_key(folder / name) for name in NAMES))


def _key(path: Path) -> ECKey:
    data = read_private(path)
    if data is None:
        key = new_key()
        write_private(path, dump_private(key))
        return key
    try:
        return load_private(data)
    except Untrusted as exc:
        raise Misconfigured(
            f"{path} holds no key",
            hint="restore it: with another key every device would have to join again",
        ) from exc
