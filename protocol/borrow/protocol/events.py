"""Security event tokens (RFC 8417) that tell a device what is over and what was done in its name.

JWS by A, `typ: secevent+jwt`. Two events: CAEP `session-revoked` (a grant or a device) and
`urn:borrow:event:notice` (something was granted, denied, revoked …, for a person to read).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Untrusted
from borrow.protocol.jose import SKEW, sign, verify
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.protocol.keys import PublicKeys

TYP = "secevent+jwt"
SESSION_REVOKED = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
NOTICE = "urn:borrow:event:notice"


@dataclass(frozen=True, slots=True)
class SecurityEvent:
    """`subject`: `grant:g-…`, `request:r-…` or `device:d-…`; `details`: the event's members."""

    issuer: str
    audience: str  # the client_id, or a webhook's URL
    jti: str
    issued_at: int
    kind: str
    subject: str
    details: dict[str, Any] = field(default_factory=dict)


def sign_event(event: SecurityEvent, key: ECKey) -> str:
    claims = {
        "iss": event.issuer,
        "aud": event.audience,
        "jti": event.jti,
        "iat": event.issued_at,
        "sub_id": {"format": "opaque", "id": event.subject},
        "events": {event.kind: event.details},
    }
    return sign(claims, key, TYP)


def verify_event(
    token: str, keys: PublicKeys, *, issuer: str, audience: str, now: float
) -> SecurityEvent:
    """The event in `token`; unknown event kinds come through for the caller to ignore.

    An old event is still true (a SET has no expiry); one from the future is Untrusted.
    """
    claims = Members(verify(token, keys, TYP).claims, "event")
    claims.exactly("iss", issuer)
    claims.exactly("aud", audience)
    issued_at = claims.whole("iat")
    if issued_at > now + SKEW:
        raise Untrusted("the event is from the future", state="clock_skew")
    subject = Members(claims.object("sub_id"), "event subject")
    subject.exactly("format", "opaque")
    events = claims.object("events")
    if len(events) != 1:
        raise Untrusted("the event token holds more or less than one event")
    ((kind, details),) = events.items()
    if not isinstance(details, dict):
        raise Untrusted("the event has no members")
    return SecurityEvent(
        issuer=issuer,
        audience=audience,
        jti=claims.text("jti", limit=128),
        issued_at=issued_at,
        kind=kind,
        subject=subject.text("id", limit=128),
        details=details,
    )
