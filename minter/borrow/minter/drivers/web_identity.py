"""`aws-web-identity`: the minter holds one signing key (B) and no cloud credentials at all.

B signs a token that lives a minute and never leaves this process but to STS; the account trusts the
issuer through an IAM OIDC provider. What the world needs to check it are two static files, which
`issuer_documents` makes.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from borrow.minter import session_policy
from borrow.minter.drivers.cloud import Cloud, ask, session_of
from borrow.minter.drivers.lifetime import plan
from borrow.minter.drivers.marks import marks_of
from borrow.protocol.errors import Misconfigured
from borrow.protocol.jose import sign
from borrow.protocol.keys import public_jwk
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Callable

    from joserfc.jwk import ECKey

    from borrow.minter.drivers.base import GrantFacts, Target
    from borrow.protocol.credentials import AwsCredentials

TYP = "JWT"
AUDIENCE = "sts.amazonaws.com"
LIFE = 60  # seconds: one call, tried twice within its deadlines
JTI_BYTES = 16
DISCOVERY = ".well-known/openid-configuration"
JWKS = "jwks.json"
_AWS = "https://aws.amazon.com/"


class WebIdentityDriver:
    """`issuer` is B's public URL, exactly as the account's identity provider has it."""

    def __init__(
        self,
        issuer: str,
        key: ECKey,
        audience: str = AUDIENCE,
        *,
        endpoint_url: str | None,
        region: str,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._issuer = checked_issuer(issuer)
        self._key = key
        self._audience = audience
        self._cloud = Cloud(endpoint_url, region)
        self._clock = clock
        self._entropy = entropy

    def mint(self, target: Target, grant: GrantFacts) -> AwsCredentials:
        now = self._clock()
        span = plan(target, grant, now)
        policy = session_policy.build(
            grant.session_policy, ends_at=span.ends_at, deny_iam=grant.deny_iam
        )
        claims = token_claims(
            target,
            grant,
            issuer=self._issuer,
            audience=self._audience,
            now=now,
            jti=b64url(self._entropy(JTI_BYTES)),
        )
        token = sign(claims, self._key, TYP)
        client = self._cloud.unsigned()
        answer = ask(
            lambda: client.assume_role_with_web_identity(
                RoleArn=target.arn,
                RoleSessionName=marks_of(target, grant).session_name,
                WebIdentityToken=token,
                DurationSeconds=span.seconds,
                Policy=policy,
            ),
            token,
        )
        return session_of(answer, span, self._clock())


def token_claims(
    target: Target, grant: GrantFacts, *, issuer: str, audience: str, now: float, jti: str
) -> dict[str, Any]:
    """PROTOCOL "Cloud token": good for exactly one role and one grant. Pure.

    `sub` is what a trust policy matches: `role:<account>/<role>:user:<opaque id>`.
    """
    marks = marks_of(target, grant)
    account, role = target.arn.split(":", 5)[4], target.arn.rpartition("/")[2]
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": f"role:{account}/{role}:user:{opaque_id(issuer, grant.person)}",
        "aud": audience,
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + LIFE,
        "jti": jti,
        f"{_AWS}roles": [target.arn],
    }
    if marks.source_identity:
        claims[f"{_AWS}source_identity"] = marks.source_identity
    if marks.tags:
        claims[f"{_AWS}tags"] = {
            "principal_tags": {name: [value] for name, value in marks.tags.items()},
            "transitive_tag_keys": [],
        }
    return claims


def opaque_id(issuer: str, person: str) -> str:
    """A stable name for `person` without characters a trust pattern would read (`*`, `?`, `:`).

    Not a secret: the session is named after the person anyway.
    """
    data = f"{issuer}\0{person}".encode("utf-8", "surrogatepass")
    return base64.b32encode(hashlib.sha256(data).digest()[:15]).decode().lower()


def checked_issuer(issuer: str) -> str:
    """`issuer` itself: https, or http on loopback for tests; no query, no slash at the end."""
    url = urlsplit(issuer)
    loopback = url.scheme == "http" and url.hostname in ("127.0.0.1", "localhost", "::1")
    shaped = url.hostname and not (url.query or url.fragment or issuer.endswith("/"))
    if not shaped or not (url.scheme == "https" or loopback):
        raise Misconfigured(
            "the cloud issuer is not an https URL",
            hint="write it like https://login.example.com/aws, without a slash at the end",
        )
    return issuer


def issuer_documents(
    issuer: str, public_key: ECKey, *, certificate: bytes = b""
) -> dict[str, dict[str, Any]]:
    """The two files the issuer's URL must serve: path below it → JSON. Pure; no secret part.

    `certificate` is DER for the same key: Ceph checks tokens by `x5c` and its thumbprint, AWS does
    not look at it.
    """
    jwk: dict[str, Any] = dict(public_jwk(public_key, "sig"))
    if certificate:
        jwk["x5c"] = [base64.b64encode(certificate).decode("ascii")]  # RFC 7517: not base64url
    return {
        DISCOVERY: {
            "issuer": issuer,
            "jwks_uri": f"{issuer}/{JWKS}",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "claims_supported": ["iss", "sub", "aud", "iat", "nbf", "exp", "jti"],
        },
        JWKS: {"keys": [jwk]},
    }
