"""One push message: sealed for the browser (RFC 8291), signed for its service (RFC 8292).

Pure: salt, ephemeral key and time are arguments. The push service sees sizes, times and the topic;
the browser alone reads the payload, and that is an opaque id and a kind.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws

from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import b64url, from_b64url

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

VAPID_SECONDS: Final = 12 * 3_600  # life of a token; RFC 8292 allows 24 h, clocks differ
SALT_BYTES: Final = 16
MAX_TTL: Final = 86_400  # seconds that a push service may keep a message
RECORD: Final = 4_096  # bytes; RFC 8291 §4 wants one record
_POINT_BYTES: Final = 65
_AUTH_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class BrowserKeys:
    """What a subscription brings: the browser's point and its secret. Both are base64url."""

    p256dh: str
    auth: str = field(repr=False)

    def __post_init__(self) -> None:
        """Raises Untrusted for what no browser makes."""
        point = from_b64url(self.p256dh, "p256dh")
        if len(point) != _POINT_BYTES or len(from_b64url(self.auth, "auth")) != _AUTH_BYTES:
            raise Untrusted("the subscription's keys are malformed", state="invalid_request")
        try:
            ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        except ValueError:
            raise Untrusted(
                "the subscription's keys are malformed", state="invalid_request"
            ) from None


def seal(
    payload: bytes, keys: BrowserKeys, *, ephemeral: ec.EllipticCurvePrivateKey, salt: bytes
) -> bytes:
    """The body of the message (`aes128gcm`). `ephemeral` is used for this one only."""
    sealed: bytes = http_ece.encrypt(
        payload,
        salt=salt,
        private_key=ephemeral,
        dh=from_b64url(keys.p256dh),
        auth_secret=from_b64url(keys.auth),
        rs=RECORD,
        version="aes128gcm",
    )
    return sealed


def payload_of(ref: str, kind: str, *, quiet: bool) -> bytes:
    """At most 64 bytes, and no word about who asks for what."""
    said = {"id": ref, "kind": kind} | ({"q": 1} if quiet else {})
    return json.dumps(said, separators=(",", ":")).encode()


def headers_for(
    endpoint: str, *, vapid: ECKey, contact: str, now: float, ttl: int, urgency: str, topic: str
) -> dict[str, str]:
    """`contact` is an https or mailto URL by which the push service reaches the operator."""
    token = _token(endpoint, vapid, contact, now)
    return {
        "Authorization": f"vapid t={token},k={public_point(vapid)}",
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(max(0, min(ttl, MAX_TTL))),
        "Urgency": urgency,
        "Topic": topic,
    }


def public_point(vapid: ECKey) -> str:
    """The key as browsers take it (`applicationServerKey`): the uncompressed point."""
    raw = vapid.as_dict(private=False)
    return b64url(b"\x04" + from_b64url(str(raw["x"])) + from_b64url(str(raw["y"])))


def _token(endpoint: str, vapid: ECKey, contact: str, now: float) -> str:
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc.removesuffix(':443')}",  # an origin: RFC 6454 §6.2
        "exp": int(now) + VAPID_SECONDS,
        "sub": contact,
    }
    header = {"typ": "JWT", "alg": "ES256"}
    return jws.serialize_compact(header, json.dumps(claims), vapid, algorithms=["ES256"])
