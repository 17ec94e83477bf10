"""The request object: what a device asks for, signed (CIBA §7.1.1 signed authentication request).

JWS `typ: oauth-authz-req+jwt` with one RFC 9396 `authorization_details` entry of type `aws_role`.
`request_context` is what the device claims about the caller: shown to people in its own block,
judged only where it can tighten (agent, via).
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from borrow.protocol.errors import Untrusted
from borrow.protocol.ids import GrantId, kind_of
from borrow.protocol.jose import (
    MAX_TOKEN,
    check_times,
    sign,
    signing_input_hash,
    unverified_claims,
    verify,
)
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.protocol.keys import PublicKeys

TYP = "oauth-authz-req+jwt"
DETAIL_TYPE = "aws_role"
LONGEST = 300  # seconds between nbf and exp
MAX_CONTEXT = 4_096  # bytes of request_context as JSON
MAX_JUSTIFICATION = 500
MAX_SESSION_POLICY = 2_048  # what STS takes; the minter's own statements count too
MAX_SECONDS = 7 * 86_400
VIAS = ("container", "imds", "process", "cli", "tray")
_NUMBER = re.compile(r"[0-9]{3}", re.ASCII)
_ROLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_ARN = re.compile(
    r"arn:[a-z-]{1,16}:iam:[a-z0-9-]{0,32}:[a-z0-9_-]{0,64}:role/[\w+=,.@/-]{1,512}", re.ASCII
)
_CONTEXT = frozenset({"host", "os_user", "process", "via", "group", "agent", "where"})


@dataclass(frozen=True, slots=True)
class AwsRole:
    """One `authorization_details` entry. `seconds` 0 asks for the rule's maximum."""

    identifier: str
    arn: str
    seconds: int
    session_policy: str = ""
    justification: str = ""
    ticket: str = ""

    def to_claims(self) -> dict[str, Any]:
        optional = {
            "session_policy": self.session_policy,
            "justification": self.justification,
            "ticket": self.ticket,
        }
        return {
            "type": DETAIL_TYPE,
            "identifier": self.identifier,
            "arn": self.arn,
            "duration": self.seconds,
            **{name: value for name, value in optional.items() if value},
        }


@dataclass(frozen=True, slots=True)
class RequestObject:
    """`client_id` asks its own owner (`login_hint`) for one role. Times are unix seconds."""

    client_id: str
    issuer: str  # A: the approver's issuer, the JWS's `aud`
    owner: str
    issued_at: int
    expires_at: int
    jti: str
    number: str  # the three digits; shown by the asking workstation, never by a page
    words: str  # binding_message: a pair of words to read aloud
    role: AwsRole
    context: dict[str, Any] = field(default_factory=dict)
    extends: str = ""

    @property
    def group(self) -> str:
        """The caller group that asks, as the device names it: (role, session, its start)."""
        return str(self.context.get("group", ""))

    @property
    def via(self) -> str:
        return str(self.context.get("via", "cli"))

    @property
    def agent(self) -> str:
        return str(self.context.get("agent", ""))

    def to_claims(self) -> dict[str, Any]:
        claims: dict[str, Any] = {
            "iss": self.client_id,
            "aud": self.issuer,
            "iat": self.issued_at,
            "nbf": self.issued_at,
            "exp": self.expires_at,
            "jti": self.jti,
            "scope": "openid",
            "login_hint": self.owner,
            "binding_message": self.words,
            "borrow_number": self.number,
            "authorization_details": [self.role.to_claims()],
            "request_context": self.context,
        }
        return claims | ({"extends": self.extends} if self.extends else {})


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request object that was verified, with the bytes it came in."""

    request: RequestObject
    jws: str
    request_hash: str


def sign_request(request: RequestObject, key: ECKey) -> str:
    return sign(request.to_claims(), key, TYP)


def verify_request(
    token: str, keys: PublicKeys, *, client_id: str, owner: str, issuer: str, now: float
) -> SignedRequest:
    """The request in `token`, signed by a registered key of `client_id` for its `owner`.

    Raises Untrusted; state `unknown_user` if it asks in another person's name.
    """
    verified = verify(token, keys, TYP)
    check_times(verified.claims, now, longest=LONGEST, need_nbf=True)
    request = _read(verified.claims, client_id=client_id, owner=owner, issuer=issuer)
    return SignedRequest(request, token, verified.signing_input_hash)


def open_hashed(token: str, request_hash: str, *, issuer: str) -> RequestObject:
    """What a yes to `request_hash` is a yes to, read from the very bytes the hash is of.

    For whoever is asked: they have not the asking device's key, and need it not. The minter
    verified the signature before it asked, and their own signature names this hash.
    """
    if len(token) > MAX_TOKEN or not token.isascii():
        raise Untrusted("the signed request is too large")
    if not hmac.compare_digest(signing_input_hash(token), request_hash):
        raise Untrusted("the signed request is not the one that is to be decided", state="changed")
    claims = unverified_claims(token)
    client_id, owner = claims.get("iss"), claims.get("login_hint")
    if not isinstance(client_id, str) or not isinstance(owner, str):
        raise Untrusted("the signed request names nobody who asks")
    return _read(claims, client_id=client_id, owner=owner, issuer=issuer)


def _read(said: dict[str, Any], *, client_id: str, owner: str, issuer: str) -> RequestObject:
    claims = Members(said, "request")
    claims.exactly("iss", client_id)
    claims.exactly("aud", issuer)
    claims.exactly("scope", "openid")
    if claims.text("login_hint") != owner:
        raise Untrusted("the device does not belong to that person", state="unknown_user")
    issued_at = claims.whole("iat")
    claims.whole("nbf")
    details = claims.array("authorization_details", limit=1)
    if len(details) != 1 or not isinstance(details[0], dict):
        raise Untrusted("the request asks for no role", state="invalid_authorization_details")
    jti = claims.text("jti", limit=128)
    if len(jti) < 22:  # 128 bit in base64url
        raise Untrusted("the request's jti is too short")
    number = claims.text("borrow_number", limit=3)
    if not _NUMBER.fullmatch(number):
        raise Untrusted("the request's number is not three digits")
    extends = claims.text_or("extends", limit=32)
    if extends and kind_of(extends) != "g":
        raise Untrusted("extends does not name a grant")
    request = RequestObject(
        client_id=client_id,
        issuer=issuer,
        owner=owner,
        issued_at=issued_at,
        expires_at=claims.whole("exp"),
        jti=jti,
        number=number,
        words=_words(claims.text("binding_message", limit=64)),
        role=read_role(details[0]),
        context=read_context(claims.object("request_context")),
        extends=GrantId(extends),
    )
    claims.end()
    return request


def _words(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,12}-[a-z]{2,12}", text, re.ASCII):
        raise Untrusted("not a pair of words", state="invalid_binding_message")
    return text


def read_role(entry: dict[str, Any]) -> AwsRole:
    """One untrusted `authorization_details` entry; raises Untrusted, never KeyError."""
    detail = Members(entry, "authorization details")
    detail.exactly("type", DETAIL_TYPE)
    role = AwsRole(
        identifier=detail.text("identifier", limit=64),
        arn=detail.text("arn", limit=600),
        seconds=detail.whole("duration", high=MAX_SECONDS),
        session_policy=detail.text_or("session_policy", limit=MAX_SESSION_POLICY),
        justification=detail.text_or("justification", limit=4 * MAX_JUSTIFICATION),
        ticket=detail.text_or("ticket", limit=128),
    )
    detail.end()
    if not _ROLE.fullmatch(role.identifier) or not _ARN.fullmatch(role.arn):
        raise Untrusted("no role can have that name", state="invalid_authorization_details")
    if len(role.justification) > MAX_JUSTIFICATION:
        raise Untrusted(f"the reason is longer than {MAX_JUSTIFICATION} characters")
    return role


def read_context(entry: dict[str, Any]) -> dict[str, Any]:
    """The caller's context as claimed: known members, at most 4 KiB, `via` one of VIAS."""
    if not entry.keys() <= _CONTEXT or len(json.dumps(entry)) > MAX_CONTEXT:
        raise Untrusted("the request context is too large or has unknown members")
    context = Members(entry, "request context")
    via = context.text_or("via", "cli", limit=16)
    if via not in VIAS:
        raise Untrusted("the request context names no known way of asking")
    for name, limit in (("host", 255), ("os_user", 255), ("group", 255), ("agent", 64)):
        context.text_or(name, limit=limit)
    context.object_or("process")
    return entry


def is_role_name(text: str) -> bool:
    """Whether `text` can be a role's short name: lower case, digits, `.`, `_`, `-`; ≤ 64."""
    return _ROLE.fullmatch(text) is not None
