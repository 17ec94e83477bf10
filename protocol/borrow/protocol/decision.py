"""Decisions: the statement a person signs, their evidence, and the minter's record.

A statement is exact bytes made by the minter and kept for ever; evidence signs those bytes; the
record (JWS by M, `typ: borrow-decision+jwt`) joins both. Kinds of evidence are a set, never a
ladder (PROTOCOL "Evidence").
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from borrow.protocol.errors import Untrusted
from borrow.protocol.jose import seal, sign, unseal, verify
from borrow.protocol.request import AwsRole, read_role
from borrow.protocol.strict import Members, b64url, from_b64url, parse_object

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.protocol.keys import PublicKeys

STATEMENT_TYP = "borrow-statement+jwt"  # evidence `device`: JWS over the statement
CONSENT_TYP = "borrow-consent+jwt"  # evidence `consent`: the same for one's own request
TOTP_TYP = "borrow-totp+jwt"  # the device's JWS inside …
TOTP_SEALED_TYP = "borrow-totp+jwe"  # … the JWE to M
RECORD_TYP = "borrow-decision+jwt"
VERSION = 1

Choice = Literal["approve", "deny", "report"]
Kind = Literal["device", "consent", "totp", "passkey"]
Method = Literal["totp", "consent", "device", "passkey", "session", "policy"]
CHOICES: tuple[Choice, ...] = ("approve", "deny", "report")
KINDS: tuple[Kind, ...] = get_args(Kind)
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Statement:
    """What one person says about one request. Times are unix seconds; `number` as they typed it."""

    issuer: str
    request: str
    request_hash: str
    decision: Choice
    granted: AwsRole
    approver: str
    nonce: str
    issued_at: int
    not_after: int
    number: str = ""

    def to_bytes(self) -> bytes:
        """Called once, by the minter: afterwards these bytes are kept and never re-encoded."""
        claims: dict[str, Any] = {
            "v": VERSION,
            "iss": self.issuer,
            "request": self.request,
            "request_hash": self.request_hash,
            "decision": self.decision,
            "granted": self.granted.to_claims(),
            "approver": self.approver,
            "nonce": self.nonce,
            "iat": self.issued_at,
            "not_after": self.not_after,
        }
        return json.dumps(claims | ({"number": self.number} if self.number else {})).encode()


def read_statement(data: bytes) -> Statement:
    """Parse statement bytes (one's own, or what one is about to sign); raises Untrusted."""
    claims = Members(parse_object(data, "statement"), "statement")
    if claims.whole("v") != VERSION:
        raise Untrusted("the statement has another version")
    decision = claims.text("decision")
    if decision not in CHOICES:
        raise Untrusted("the statement decides nothing")
    statement = Statement(
        issuer=claims.text("iss"),
        request=claims.text("request"),
        request_hash=claims.text("request_hash"),
        decision=decision,
        granted=read_role(claims.object("granted")),
        approver=claims.text("approver"),
        nonce=claims.text("nonce"),
        issued_at=claims.whole("iat"),
        not_after=claims.whole("not_after"),
        number=claims.text_or("number", limit=8),
    )
    claims.end()
    return statement


def statement_hash(data: bytes) -> str:
    """base64url SHA-256 of the exact bytes."""
    return b64url(hashlib.sha256(data).digest())


@dataclass(frozen=True, slots=True)
class Evidence:
    """One proof as it travels: `token` is a JWS (device, consent), a JWE (totp), or JSON text.

    The JSON is `PublicKeyCredential.toJSON()` of an assertion (WebAuthn Level 3 §5.1.8).
    """

    kind: Kind
    token: str

    def to_json(self) -> dict[str, str]:
        return {"kind": self.kind, "token": self.token}


def read_evidence(entry: dict[str, Any]) -> Evidence:
    """From untrusted JSON `{"kind", "token"}`; raises Untrusted."""
    members = Members(entry, "evidence")
    kind = members.text("kind", limit=16)
    token = members.text("token", limit=16_384)
    members.end()
    for known in KINDS:
        if kind == known:
            return Evidence(known, token)
    raise Untrusted("no such kind of evidence", hint=f"kinds are {', '.join(KINDS)}")


def sign_statement(data: bytes, key: ECKey) -> str:
    """Evidence by a device key: a compact JWS whose payload is exactly the statement's bytes."""
    return sign(data, key, STATEMENT_TYP)


def verify_statement_signature(token: str, keys: PublicKeys, data: bytes) -> str:
    """The signing `kid`, or Untrusted unless the JWS covers exactly `data`."""
    verified = verify(token, keys, STATEMENT_TYP)
    if verified.payload != data:
        raise Untrusted("the evidence signs another statement")
    return verified.kid


def sign_consent(data: bytes, key: ECKey) -> str:
    """Evidence `consent`, of a type of its own.

    A device signs it for what the approver says of a request; `device` only for what it read in the
    signed request itself. An approver that lies about whose request it is cannot pass one for the
    other.
    """
    return sign(data, key, CONSENT_TYP)


def verify_consent(token: str, keys: PublicKeys, data: bytes) -> str:
    """The signing `kid`, or Untrusted. Devices of before sign a consent as they sign a statement:
    that proves more, not less."""
    try:
        verified = verify(token, keys, CONSENT_TYP)
    except Untrusted:
        return verify_statement_signature(token, keys, data)
    if verified.payload != data:
        raise Untrusted("the evidence signs another statement")
    return verified.kid


def seal_totp(data: bytes, code: str, device: ECKey, minter: ECKey) -> str:
    """Evidence `totp`: the approver passes it on and neither reads the code nor can move it."""
    claims = {"statement_sha256": statement_hash(data), "code": code}
    return seal(sign(claims, device, TOTP_TYP), minter, TOTP_SEALED_TYP)


def open_totp(token: str, minter: ECKey, devices: PublicKeys, data: bytes) -> tuple[str, str]:
    """(code, kid) if a registered device tied the code to exactly `data`, else Untrusted."""
    try:
        inner = unseal(token, minter, TOTP_SEALED_TYP).decode("ascii")
    except UnicodeDecodeError:
        raise Untrusted("the sealed code is not a token") from None
    verified = verify(inner, devices, TOTP_TYP)
    claims = Members(verified.claims, "sealed code")
    code = claims.text("code", limit=16)
    if claims.text("statement_sha256") != statement_hash(data):
        raise Untrusted("the code was given for another request")
    claims.end()
    return code, verified.kid


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """What M certifies: these bytes were said, proven in this way. TOTP keeps only the step."""

    statement: bytes
    method: Method
    evidence: str
    credential_id: str

    def to_claims(self) -> dict[str, Any]:
        return {
            "v": VERSION,
            "statement": b64url(self.statement),
            "method": self.method,
            "evidence": self.evidence,
            "credential_id": self.credential_id,
        }


def sign_record(record: DecisionRecord, key: ECKey) -> str:
    return sign(record.to_claims(), key, RECORD_TYP)


def verify_record(token: str, keys: PublicKeys) -> DecisionRecord:
    """The record in `token` if M signed it, else Untrusted."""
    claims = Members(verify(token, keys, RECORD_TYP).claims, "decision record")
    if claims.whole("v") != VERSION:
        raise Untrusted("the decision record has another version")
    named = claims.text("method", limit=16)
    method = next((known for known in METHODS if known == named), None)
    if method is None:
        raise Untrusted("the decision record names no known method")
    record = DecisionRecord(
        statement=from_b64url(claims.text("statement", limit=16_384), "statement"),
        method=method,
        evidence=claims.text("evidence", limit=16_384),
        credential_id=claims.text_or("credential_id"),
    )
    claims.end()
    return record
