"""The long-lived keys of an approver, beside the minter's: one JWK a file, 0600, made once.

Never replaced: devices pin them. A file that is there and is no key is an error, not a reason for
a new one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from borrow.minter.secret_files import MinterSecrets, load_or_create, load_or_create_key
from borrow.protocol.keys import thumbprint

if TYPE_CHECKING:
    from pathlib import Path

    from joserfc.jwk import ECKey

APPROVER, ISSUER, VAPID = "approver-sig.json", "issuer.json", "vapid.json"


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """A, M (both halves), B, the issuer of cloud tokens, and the key that signs pushes."""

    approver: ECKey = field(repr=False)
    minter: MinterSecrets = field(repr=False)
    issuer: ECKey = field(repr=False)
    vapid: ECKey = field(repr=False)  # browsers pin it: with another one they subscribe anew

    @property
    def approver_pin(self) -> str:
        return thumbprint(self.approver)


def load_or_make(folder: Path) -> ServerKeys:
    """The keys in `folder`; those that are missing are made and written first."""
    return ServerKeys(
        approver=load_or_create_key(folder / APPROVER),
        minter=load_or_create(folder),
        issuer=load_or_create_key(folder / ISSUER),
        vapid=load_or_create_key(folder / VAPID),
    )
