"""Joining: an invitation is a one-time key in a URL fragment, and the first signature it makes.

`https://approver/join#v=1&k=<seed>&a=<thumbprint of A>&m=<thumbprint of M>&p=<person>`: the
fragment never travels to a server. The device pins A and M, and its `software_statement` (RFC 7591
§2.3) is a JWS by the invitation key over its own keys: nobody on the way can swap them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from borrow.protocol.errors import Misconfigured, Untrusted
from borrow.protocol.jose import check_times, sign, verify
from borrow.protocol.keys import PublicKeys, key_from_seed, seed_of, thumbprint
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

TYP = "borrow-software+jwt"
INVITATION_LIFE = 600  # seconds an invitation waits to be used
LONGEST = 300
_SECURE_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Invitation:
    """What `borrow join` is given. `key` signs once and is thrown away."""

    issuer: str
    person: str
    approver_pin: str
    minter_pin: str
    key: ECKey = field(repr=False)

    def to_url(self) -> str:
        members = {
            "v": "1",
            "k": seed_of(self.key),
            "a": self.approver_pin,
            "m": self.minter_pin,
            "p": self.person,
        }
        return f"{self.issuer}/join#{urlencode(members)}"


def read_invitation(url: str) -> Invitation:
    """The invitation in `url`; Misconfigured if it is not one (a person pasted it)."""
    hint = "paste the whole line that `borrow server invite` printed, in quotes"
    parts = urlsplit(url.strip())
    members = dict(parse_qsl(parts.fragment))
    if parts.scheme not in ("http", "https") or not members.keys() >= {"k", "a", "m", "p"}:
        raise Misconfigured("that is not an invitation", hint=hint)
    if parts.scheme == "http" and parts.hostname not in _SECURE_HOSTS:
        raise Misconfigured("the invitation's address is not https", hint="ask for an https one")
    if members.get("v") != "1" or not parts.path.endswith("/join"):
        raise Misconfigured(
            "the invitation is of another version", hint="update borrow, or ask anew"
        )
    try:
        key = key_from_seed(members["k"])
    except Untrusted as exc:
        raise Misconfigured(f"that is not an invitation: {exc}", hint=hint) from None
    issuer = f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix('/join')}"
    return Invitation(issuer, members["p"], members["a"], members["m"], key)


def sign_software_statement(
    invitation: Invitation, jwks: dict[str, Any], *, device_name: str, now: float, jti: str
) -> str:
    """The device's keys and its person, vouched for by the invitation key."""
    start = int(now)
    claims = {
        "aud": invitation.issuer,
        "sub": invitation.person,
        "iat": start,
        "exp": start + LONGEST,
        "jti": jti,
        "jwks": jwks,
        "device_name": device_name,
    }
    return sign(claims, invitation.key, TYP)


@dataclass(frozen=True, slots=True)
class SoftwareStatement:
    """A verified enrolment: `keys` is the untouched JWKS of the device."""

    person: str
    device_name: str
    jwks: dict[str, Any]
    invitation_pin: str


def verify_software_statement(
    token: str, invitation_key: ECKey, *, issuer: str, now: float
) -> SoftwareStatement:
    """Verify with the invitation's *public* key as kept by the minter; raises Untrusted."""
    verified = verify(token, PublicKeys([invitation_key]), TYP)
    check_times(verified.claims, now, longest=LONGEST)
    claims = Members(verified.claims, "software statement")
    claims.exactly("aud", issuer)
    claims.whole("iat")
    claims.whole("exp")
    claims.text("jti", limit=128)
    jwks = claims.object("jwks")
    for use in ("sig", "enc"):
        PublicKeys.from_jwks(jwks, use)
    statement = SoftwareStatement(
        person=claims.text("sub", limit=255),
        device_name=claims.text_or("device_name", limit=255),
        jwks=jwks,
        invitation_pin=thumbprint(invitation_key),
    )
    claims.end()
    return statement
