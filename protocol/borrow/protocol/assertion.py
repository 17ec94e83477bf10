"""Client authentication by signature: `private_key_jwt` (RFC 7523 §2.2, OIDC Core §9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from borrow.protocol.errors import Untrusted
from borrow.protocol.jose import check_times, sign, unverified_claims, verify

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.protocol.keys import PublicKeys

TYPE_URN = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
TYP = "client-authentication+jwt"
_OTHER_TYPS = (None, "JWT")  # openid-client sends none
LIFE = 60  # seconds; ours
LONGEST = 300  # seconds; what we accept of other peers


@dataclass(frozen=True, slots=True)
class ClientAssertion:
    """A verified assertion. `jti` counts once until `expires_at` (unix seconds) plus skew."""

    client_id: str
    jti: str
    expires_at: int


def make_assertion(client_id: str, issuer: str, key: ECKey, *, now: float, jti: str) -> str:
    """`issuer` is A; `jti` carries at least 128 random bits from the caller's edge."""
    start = int(now)
    claims = {"iss": client_id, "sub": client_id, "aud": issuer, "jti": jti}
    return sign(claims | {"iat": start, "exp": start + LIFE}, key, TYP)


def claimed_client(token: str) -> str:
    """Who the assertion says it is from: unverified, only to find the keys to verify it with."""
    client_id = unverified_claims(token).get("iss")
    if not isinstance(client_id, str):
        raise Untrusted("the client assertion names no client")
    return client_id


def verify_assertion(token: str, keys: PublicKeys, *, issuer: str, now: float) -> ClientAssertion:
    """Raises Untrusted. Whether its `jti` was seen before is the caller's to check."""
    claims = verify(token, keys, TYP, also_typ=_OTHER_TYPS).claims
    check_times(claims, now, longest=LONGEST)
    client_id, jti = claims.get("iss"), claims.get("jti")
    if not isinstance(client_id, str) or claims.get("sub") != client_id:
        raise Untrusted("the client assertion's iss and sub differ")
    if claims.get("aud") != issuer:  # as a string: a list would let one token serve two servers
        raise Untrusted("the client assertion is for another server")
    if not isinstance(jti, str) or not 8 <= len(jti) <= 128 or not jti.isprintable():
        raise Untrusted("the client assertion has no usable jti")
    return ClientAssertion(client_id, jti, claims["exp"])
