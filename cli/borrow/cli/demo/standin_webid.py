"""Web identity tokens, verified as AWS STS does: signature, issuer, audience, subject, time, role.

The issuer's keys come from a port, `Jwks`; everything else is a rule over values and `now`.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from borrow.cli.demo.standin_policy import matches
from borrow.cli.demo.standin_seed import WebTrust
from borrow.cli.demo.standin_sessions import Tags, checked_tags
from borrow.protocol.errors import Refused

MAX_TOKEN = 20_000  # characters; AWS's limit of WebIdentityToken
SKEW = 60  # seconds that a token may be from the future
_JWKS_TIMEOUT = 2.0  # seconds; the issuer is on loopback
_MAX_JWKS = 64 * 1024  # bytes

_ROLES = "https://aws.amazon.com/roles"
_SOURCE_IDENTITY = "https://aws.amazon.com/source_identity"
_TAGS = "https://aws.amazon.com/tags"

Jwks = Callable[[WebTrust], Mapping[str, Any]]


@dataclass(frozen=True)
class WebIdentity:
    """What a verified token says."""

    issuer: str
    subject: str
    audience: str
    source_identity: str
    tags: Tags


def fetch_jwks(trust: WebTrust) -> Mapping[str, Any]:
    """The issuer's keys, fresh each time, so that a rotation in a test needs no wait."""
    if trust.jwks is not None:
        return trust.jwks
    url = urlsplit(trust.jwks_url)
    if url.scheme != "http" or url.hostname != "127.0.0.1":
        raise _invalid("the stand-in fetches keys over http from 127.0.0.1 only")
    try:
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=_JWKS_TIMEOUT)
        try:
            connection.request("GET", url.path or "/")
            found = json.loads(connection.getresponse().read(_MAX_JWKS))
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise _invalid("Couldn't retrieve verification key from your identity provider") from exc
    if not isinstance(found, dict):
        raise _invalid("Couldn't retrieve verification key from your identity provider")
    return found


def verify(token: str, role_arn: str, trust: WebTrust, jwks: Jwks, now: float) -> WebIdentity:
    """Check `token` for `role_arn` in AWS's order, or raise Refused with AWS's error code.

    1. ES256 by the key that `kid` names in the issuer's JWKS: no forged and no `alg: none` token.
    2. The issuer that the role trusts, and the audience it expects.
    3. Times: `exp` is exclusive, nothing from the future.
    4. The subject pattern of the trust, and the list of roles inside the token.
    """
    claims = _signed_claims(token, jwks(trust))
    if claims.get("iss") != trust.issuer:
        raise _invalid("No OpenIDConnect provider found in your account for the token's issuer")
    if claims.get("aud") != trust.aud:
        raise _invalid("Incorrect token audience")
    for name in ("exp", "iat"):
        if not _is_time(claims.get(name)):
            raise _invalid(f"Missing or malformed claim: {name}")
    if now >= claims["exp"]:
        raise Refused(
            "Token expired: current date/time must be before the expiration date/time",
            state="ExpiredTokenException",
        )
    if claims["iat"] > now + SKEW or not _starts_by(claims.get("nbf", 0), now + SKEW):
        raise _invalid("The token is not valid yet")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise _invalid("Missing a required claim: sub")
    roles = claims.get(_ROLES)
    if not matches(trust.sub, subject) or not isinstance(roles, list) or role_arn not in roles:
        raise Refused(
            "Not authorized to perform sts:AssumeRoleWithWebIdentity", state="AccessDenied"
        )
    source = claims.get(_SOURCE_IDENTITY, "")
    if not isinstance(source, str):
        raise _invalid("source_identity is not a string")
    return WebIdentity(trust.issuer, subject, trust.aud, source, _token_tags(claims.get(_TAGS, {})))


def _signed_claims(token: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    if not 4 <= len(token) <= MAX_TOKEN:
        raise _invalid("the token is too short or too long")
    try:
        kid = jws.extract_compact(token.encode("ascii")).headers().get("kid")
        keys = [key for key in jwks["keys"] if key.get("kid") == kid]
        if not kid or len(keys) != 1:
            raise _invalid("no key of the issuer has the token's kid")
        signed = jwt.decode(token, KeySet.import_key_set({"keys": keys}), algorithms=["ES256"])
    except (JoseError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _invalid("The token's signature could not be verified") from exc
    return dict(signed.claims)


def _token_tags(raw: object) -> Tags:
    """`principal_tags` maps each key to a list of one string; that is the form AWS documents."""
    if not isinstance(raw, dict):
        raise _invalid("the tags claim is not an object")
    listed, transitive = raw.get("principal_tags", {}), raw.get("transitive_tag_keys", [])
    if not isinstance(listed, dict) or not isinstance(transitive, list):
        raise _invalid("the tags claim is malformed")
    values: dict[str, str] = {}
    for key, value in listed.items():
        if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], str):
            raise _invalid("a principal tag is not a list of one string")
        values[key] = value[0]
    return checked_tags(values, {str(key) for key in transitive})


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _starts_by(nbf: object, limit: float) -> bool:
    return isinstance(nbf, int) and nbf <= limit


def _invalid(message: str) -> Refused:
    return Refused(message, state="InvalidIdentityToken")
