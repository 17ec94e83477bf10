"""Short-lived AWS credentials on their way: signed by M, then sealed to one device.

JWE to the device's `enc` key around a JWS by M, `typ: borrow-creds+jwt`. The approver in between
can read nothing and replace nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Untrusted
from borrow.protocol.ids import GrantId
from borrow.protocol.jose import check_times, seal, sign, unseal, verify
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.protocol.keys import PublicKeys

TYP = "borrow-creds+jwt"
SEALED_TYP = "borrow-creds+jwe"
LONGEST = 43_200  # seconds; the longest session STS gives (12 h)


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """One STS session. `expires_at` is unix seconds, exclusive: at it nothing is served."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: int

    def is_whole(self) -> bool:
        """All four parts are there: the only kind that may ever be answered with 200."""
        parts = (self.access_key_id, self.secret_access_key, self.session_token)
        return all(parts) and self.expires_at > 0


@dataclass(frozen=True, slots=True)
class SealedFor:
    """What an opened envelope says besides the secret: whose, which role, which grant."""

    grant_id: GrantId
    role: str
    arn: str
    credentials: AwsCredentials


def seal_credentials(
    what: SealedFor, *, signer: ECKey, to: ECKey, issuer: str, client_id: str, now: float
) -> str:
    """`signer` is M's private key, `to` the device's public `enc` key."""
    secret = what.credentials
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": client_id,
        "iat": int(now),
        "exp": secret.expires_at,
        "grant_id": what.grant_id,
        "role": what.role,
        "arn": what.arn,
        "credentials": {
            "access_key_id": secret.access_key_id,
            "secret_access_key": secret.secret_access_key,
            "session_token": secret.session_token,
            "expires_at": secret.expires_at,
        },
    }
    return seal(sign(claims, signer, TYP), to, SEALED_TYP)


def open_credentials(
    token: str, *, key: ECKey, minter: PublicKeys, issuer: str, client_id: str, now: float
) -> SealedFor:
    """Unseal with the device's private `enc` key and verify M; raises Untrusted."""
    try:
        inner = unseal(token, key, SEALED_TYP).decode("ascii")
    except UnicodeDecodeError:
        raise Untrusted("the sealed credentials are not a token") from None
    verified = verify(inner, minter, TYP).claims
    check_times(verified, now, longest=LONGEST)
    claims = Members(verified, "credentials")
    claims.exactly("iss", issuer)
    claims.exactly("aud", client_id)
    claims.whole("iat")
    expires_at = claims.whole("exp")
    parts = Members(claims.object("credentials"), "credentials")
    opened = SealedFor(
        grant_id=GrantId(claims.text("grant_id")),
        role=claims.text("role"),
        arn=claims.text("arn"),
        credentials=AwsCredentials(
            access_key_id=parts.text("access_key_id"),
            secret_access_key=parts.text("secret_access_key"),
            session_token=parts.text("session_token", limit=12_288),
            expires_at=parts.whole("expires_at"),
        ),
    )
    parts.end()
    claims.end()
    if not opened.credentials.is_whole() or opened.credentials.expires_at != expires_at:
        raise Untrusted("the sealed credentials are not whole")
    return opened
