"""Words of the wire: grant types, URNs, and the way from our errors to OAuth's and back.

Statuses are the server's affair (its table maps class to status); the error *codes* are protocol.
"""

from __future__ import annotations

from typing import Any

from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)

PROFILE_VERSION = "1"
GRANT_CIBA = "urn:openid:params:grant-type:ciba"
GRANT_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANT_CLIENT_CREDENTIALS = "client_credentials"
TOKEN_ACCESS = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a URN
TOKEN_CREDENTIALS = "urn:borrow:token-type:credentials"  # noqa: S105  a URN
HINT_AUTH_REQ_ID = "urn:borrow:auth_req_id"
SCOPES = frozenset({"events", "decide", "catalogue", "audit", "manage"})
ACR = {mode: f"urn:borrow:acr:{mode}" for mode in ("auto", "self", "peer", "quorum", "breakglass")}
LONG_POLL = 25  # seconds a /token or /events answer may be held
# The log or a database cannot be written (a full disk): nothing leaves, and waiting does not help.
NOT_RECORDED = "not_recorded"
POLL_AGAIN = frozenset({"authorization_pending", "slow_down"})

# The OAuth word for each of our states; a state that is an OAuth word itself stays.
_OAUTH_ERROR = {
    "clock_skew": "invalid_request",
    "unknown_user": "unknown_user_id",
    "wrong_state": "invalid_grant",
    "denied": "access_denied",
    "expired": "expired_token",
    "policy": "access_denied",
    "frozen": "unauthorized_client",
}
_KNOWN = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "unauthorized_client",
        "unknown_user_id",
        "invalid_binding_message",
        "invalid_authorization_details",
        "access_denied",
        "authorization_pending",
        "slow_down",
        "expired_token",
        "invalid_grant",
        "invalid_target",
        "grant_exhausted",
        "cloud_refused",
        "temporarily_unavailable",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


def to_wire(error: BorrowError) -> dict[str, Any]:
    """The JSON body of a refusal: OAuth `error`, our `borrow_state`, a sentence for a person."""
    body: dict[str, Any] = {
        "error": _oauth_error(error),
        "error_description": error.message,
        "borrow_state": error.state,
    }
    if error.hint:
        body["borrow_hint"] = error.hint
    if isinstance(error, Needs):
        body["borrow_needs"] = error.fields
    if isinstance(error, Refused) and error.request:
        body["borrow_request"] = error.request
    return body


def _oauth_error(error: BorrowError) -> str:
    if error.state in _KNOWN:
        return error.state
    if error.state in _OAUTH_ERROR:
        return _OAUTH_ERROR[error.state]
    if isinstance(error, Refused):
        return "access_denied"
    if isinstance(error, Unavailable):
        return "temporarily_unavailable"
    return "invalid_request"


def from_wire(body: dict[str, Any]) -> BorrowError:
    """The error a peer's answer means. Unknown members are ignored, odd types are Untrusted."""
    code, state = body.get("error"), body.get("borrow_state", "")
    message, hint = body.get("error_description", ""), body.get("borrow_hint", "")
    if not all(isinstance(part, str) for part in (code, state, message, hint)):
        return Untrusted("the approver answered with something that is no error of ours")
    text, state = str(message or code), str(state or code)
    needs = body.get("borrow_needs")
    if state == "needs" and isinstance(needs, dict):
        return Needs(text, fields={str(k): str(v) for k, v in needs.items()}, hint=str(hint))
    if code in ("temporarily_unavailable", "slow_down", "authorization_pending"):
        return Unavailable(text, hint=str(hint), state=state)
    if state == "clock_skew":
        return Misconfigured(text, hint=str(hint), state=state)
    if code in ("invalid_request", "invalid_client"):
        return Untrusted(text, hint=str(hint), state=state)
    return Refused(text, hint=str(hint), state=state, request=str(body.get("borrow_request", "")))
