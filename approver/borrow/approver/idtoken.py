"""The ID token: A says who asked, how it was granted, and for exactly which request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from borrow.protocol.jose import sign
from borrow.protocol.oauth import ACR

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.minter.port import GrantView

AUTH_REQ_ID_CLAIM = "urn:openid:params:jwt:claim:auth_req_id"


def id_token(grant: GrantView, auth_req_id: str, *, issuer: str, signer: ECKey, now: float) -> str:
    return sign(claims(grant, auth_req_id, issuer=issuer, now=now), signer, "JWT")


def claims(grant: GrantView, auth_req_id: str, *, issuer: str, now: float) -> dict[str, Any]:
    return {
        "iss": issuer,
        "sub": grant.person,
        "aud": grant.client_id,
        "iat": int(now),
        "exp": int(grant.expires_at),
        "auth_time": int(grant.opened_at),
        "acr": ACR[grant.mode],
        "amr": list(grant.methods),
        AUTH_REQ_ID_CLAIM: auth_req_id,
        "borrow_request_hash": grant.request_hash,
        "authorization_details": [grant.role.to_claims()],
    }
