"""What a passkey is asked to sign when it is no decision: signing in, inviting, registering.

As with a decision's statement, the minter makes exact bytes and the WebAuthn challenge is their
SHA-256 (WebAuthn Level 3 §13.4.3 wants a challenge from a trusted place): an assertion made for one
purpose proves nothing for another.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal, get_args

from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import Members, parse_object

Purpose = Literal["sign-in", "invite", "register"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
VERSION = 1


@dataclass(frozen=True, slots=True)
class Ceremony:
    """One use of an authenticator. Times are unix seconds.

    `person` is whom it is about: nobody yet for a sign-in, the invited one, the registering one.
    `invitation` is the thumbprint of the invitation that a registration uses.
    """

    issuer: str
    purpose: Purpose
    person: str
    nonce: str
    issued_at: int
    not_after: int
    invitation: str = ""

    def to_bytes(self) -> bytes:
        """Called once, by the minter: afterwards these bytes are kept and never re-encoded."""
        claims = {
            "v": VERSION,
            "iss": self.issuer,
            "purpose": self.purpose,
            "person": self.person,
            "nonce": self.nonce,
            "iat": self.issued_at,
            "not_after": self.not_after,
        }
        more = {"invitation": self.invitation} if self.invitation else {}
        return json.dumps(claims | more).encode()


def read_ceremony(data: bytes) -> Ceremony:
    """Parse bytes that the minter made; raises Untrusted."""
    claims = Members(parse_object(data, "ceremony"), "ceremony")
    if claims.whole("v") != VERSION:
        raise Untrusted("the ceremony has another version")
    named = claims.text("purpose", limit=16)
    purpose = next((known for known in PURPOSES if known == named), None)
    if purpose is None:
        raise Untrusted("the ceremony has no known purpose")
    ceremony = Ceremony(
        issuer=claims.text("iss"),
        purpose=purpose,
        person=claims.text_or("person", limit=255),
        nonce=claims.text("nonce"),
        issued_at=claims.whole("iat"),
        not_after=claims.whole("not_after"),
        invitation=claims.text_or("invitation"),
    )
    claims.end()
    return ceremony


def challenge_of(data: bytes) -> bytes:
    """The WebAuthn challenge for a ceremony's or a decision statement's exact bytes."""
    return hashlib.sha256(data).digest()
