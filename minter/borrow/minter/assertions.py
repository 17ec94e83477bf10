"""WebAuthn answers, verified: pure, over the library that knows COSE keys and attestation formats.

What an attacker can turn is checked here first, each with its own state, so that a person hears why
and the log can tell a wrong origin from a missing finger; the library then checks all of it again,
and the signature. Level 3 §7.1 and §7.2 number these steps. Raises Untrusted.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from borrow.minter.port import RelyingParty
from borrow.protocol.errors import Untrusted
from borrow.protocol.strict import Members, b64url, from_b64url, parse_object

MAX_ANSWER = 16_384  # bytes of JSON; an attestation with a certificate chain has about 6,000
MAX_KEPT = 3_000  # characters of what a record keeps; RS256 over long client data has 1,700
MAX_ID = 1023  # bytes of a credential id (Level 3 §5.8.3)
ALGORITHMS = (-7, -8, -257)  # COSE: ES256, EdDSA, RS256
_UP, _UV = 0x01, 0x04  # flags of authenticator data, Level 3 §6.1
_FLAGS_AT, _COUNT_AT, _HEAD = 32, 33, 37


@dataclass(frozen=True, slots=True)
class Asserted:
    """`kept` is what a record needs to be verified again: JSON of the three signed parts."""

    credential_id: str
    sign_count: int
    backed_up: bool
    kept: str


@dataclass(frozen=True, slots=True)
class Attested:
    credential_id: str
    public_key: bytes  # COSE
    sign_count: int
    aaguid: str
    backed_up: bool


def party_of(public_url: str) -> RelyingParty | None:
    """Who a passkey is for: the host's name and its exact origin; None where browsers offer none.

    They do for https names and for localhost, never for a bare address (Level 3 §5.1.2).
    """
    parts = urlsplit(public_url)
    host = parts.hostname or ""
    numeric = ":" in host or host.replace(".", "").isdigit()
    if not host or numeric or (parts.scheme != "https" and host != "localhost"):
        return None
    default = {"https": 443, "http": 80}.get(parts.scheme)
    port = f":{parts.port}" if parts.port not in (None, default) else ""
    return RelyingParty(host, f"{parts.scheme}://{host}{port}")


def credential_id_of(text: str) -> str:
    """Which passkey an unverified answer names."""
    return _answer(text).text("id", limit=2 * MAX_ID)


def challenge_in(text: str) -> bytes:
    """Which challenge an unverified answer is over."""
    return _client_data(_parts(text)["clientDataJSON"]).challenge


def verify_assertion(
    text: str, *, challenge: bytes, party: RelyingParty, public_key: bytes, sign_count: int
) -> Asserted:
    """`text` is `PublicKeyCredential.toJSON()`; `challenge` the exact bytes that were to be signed.

    A counter that goes back means a copied authenticator; passkeys that are synced have 0 for ever.
    """
    from webauthn import verify_authentication_response  # late: it costs 0.1 s, seldom needed

    parts = _parts(text)
    kept = _kept(parts)
    if len(kept) > MAX_KEPT:  # else its record would not fit into a token
        raise Untrusted("the passkey's answer is too long", state="passkey_malformed")
    _check_client(parts["clientDataJSON"], "webauthn.get", challenge, party)
    _check_authenticator(parts.get("authenticatorData", b""), party, sign_count)
    try:
        verified = verify_authentication_response(
            credential=text,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except Exception as exc:
        raise _unholding() from exc
    return Asserted(
        b64url(verified.credential_id),
        verified.new_sign_count,
        verified.credential_backed_up,
        kept,
    )


def verify_attestation(text: str, *, challenge: bytes, party: RelyingParty) -> Attested:
    """A new passkey. Its maker is not asked about: any authenticator that verifies its user is."""
    from webauthn import verify_registration_response
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    _check_client(_parts(text)["clientDataJSON"], "webauthn.create", challenge, party)
    try:
        verified = verify_registration_response(
            credential=text,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(each) for each in ALGORITHMS],
        )
    except Exception as exc:
        raise _unholding() from exc
    if len(verified.credential_id) > MAX_ID:
        raise Untrusted("the passkey's id is too long", state="passkey_malformed")
    return Attested(
        b64url(verified.credential_id),
        verified.credential_public_key,
        verified.sign_count,
        verified.aaguid,
        verified.credential_backed_up,
    )


@dataclass(frozen=True, slots=True)
class _ClientData:
    kind: str
    challenge: bytes
    origin: str
    crossed: bool


def _answer(text: str) -> Members:
    if len(text) > MAX_ANSWER:
        raise Untrusted("the passkey's answer is too long", state="passkey_malformed")
    return Members(parse_object(text.encode(), "passkey's answer"), "passkey's answer")


def _parts(text: str) -> dict[str, bytes]:
    """The signed parts: `clientDataJSON`, and of an assertion authenticator data and signature."""
    response = Members(_answer(text).object("response"), "passkey's answer")
    parts = {"clientDataJSON": from_b64url(response.text("clientDataJSON", limit=8_192), "client")}
    for name in ("authenticatorData", "signature"):
        if value := response.text_or(name, limit=MAX_ANSWER):
            parts[name] = from_b64url(value, name)
    return parts


def _kept(parts: dict[str, bytes]) -> str:
    return json.dumps({name: b64url(value) for name, value in parts.items()})


def _client_data(data: bytes) -> _ClientData:
    """Unknown members are allowed: browsers put some in to say so (Level 3 §5.8.1)."""
    claims: dict[str, Any] = parse_object(data, "client data")
    members = Members(claims, "client data")
    crossed = claims.get("crossOrigin", False) is not False or "topOrigin" in claims
    return _ClientData(
        members.text("type", limit=32),
        from_b64url(members.text("challenge", limit=128), "challenge"),
        members.text("origin", limit=512),
        crossed,
    )


def _check_client(data: bytes, kind: str, challenge: bytes, party: RelyingParty) -> None:
    said = _client_data(data)
    if said.kind != kind:
        raise Untrusted("the passkey was used for something else", state="passkey_type")
    if not hmac.compare_digest(said.challenge, challenge):
        raise Untrusted(
            "the passkey signed something else than what was shown",
            hint="open the page again",
            state="passkey_challenge",
        )
    if said.origin != party.origin:
        raise Untrusted("the passkey was used on another site", state="passkey_origin")
    if said.crossed:
        raise Untrusted("the passkey was used inside another site", state="passkey_cross_origin")


def _check_authenticator(data: bytes, party: RelyingParty, sign_count: int) -> None:
    if len(data) < _HEAD:
        raise Untrusted("the passkey's answer is cut", state="passkey_malformed")
    if not hmac.compare_digest(data[:_FLAGS_AT], hashlib.sha256(party.rp_id.encode()).digest()):
        raise Untrusted("the passkey is for another site", state="passkey_rp")
    if not data[_FLAGS_AT] & _UP or not data[_FLAGS_AT] & _UV:
        raise Untrusted(
            "the passkey did not check who you are",
            hint="use one with a PIN, a fingerprint or your face",
            state="passkey_user_verification",
        )
    count = int.from_bytes(data[_COUNT_AT:_HEAD], "big")
    if (count or sign_count) and count <= sign_count:
        raise Untrusted(
            "the passkey's counter went back: there may be a copy of it",
            hint="remove it, and register a new one",
            state="passkey_counter",
        )


def _unholding() -> Untrusted:
    return Untrusted("the passkey's answer does not hold", state="passkey_signature")
