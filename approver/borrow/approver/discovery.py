"""What this approver is and can do (OpenID Connect Discovery), and its public key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import web

from borrow.approver.desk import DESK
from borrow.protocol.keys import public_jwk
from borrow.protocol.oauth import (
    ACR,
    GRANT_CIBA,
    GRANT_CLIENT_CREDENTIALS,
    GRANT_EXCHANGE,
    PROFILE_VERSION,
    SCOPES,
)
from borrow.protocol.request import DETAIL_TYPE

if TYPE_CHECKING:
    from borrow.minter.port import MinterKeys

GRANT_TYPES = [GRANT_CIBA, GRANT_EXCHANGE, GRANT_CLIENT_CREDENTIALS]


async def configuration(request: web.Request) -> web.Response:
    """`GET /.well-known/openid-configuration`"""
    desk = request.app[DESK]
    return web.json_response(
        document(desk.settings.issuer, desk.settings.pages, await desk.minter.keys())
    )


async def jwks(request: web.Request) -> web.Response:
    """`GET /jwks`"""
    return web.json_response({"keys": [public_jwk(request.app[DESK].signer, "sig")]})


def document(issuer: str, pages: str, minter: MinterKeys) -> dict[str, Any]:
    algorithms = ["ES256"]
    return {
        "issuer": issuer,
        "jwks_uri": f"{issuer}/jwks",
        "token_endpoint": f"{issuer}/token",
        "registration_endpoint": f"{issuer}/register",
        "revocation_endpoint": f"{issuer}/revoke",
        "backchannel_authentication_endpoint": f"{issuer}/bc-authorize",
        "backchannel_token_delivery_modes_supported": ["poll"],
        "backchannel_authentication_request_signing_alg_values_supported": algorithms,
        "backchannel_user_code_parameter_supported": False,
        "grant_types_supported": GRANT_TYPES,
        "response_types_supported": [],
        "scopes_supported": sorted({"openid"} | SCOPES),
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": ["private_key_jwt"],
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "id_token_signing_alg_values_supported": algorithms,
        "authorization_details_types_supported": [DETAIL_TYPE],
        "acr_values_supported": list(ACR.values()),
        "borrow_profile_versions_supported": [PROFILE_VERSION],
        "borrow_minter_jwks": {"keys": [minter.sig, minter.enc]},
        "borrow_events_endpoint": f"{issuer}/events",
        "borrow_pages": pages,
    }
