"""From our errors to HTTP: one table from state or class to status, and the middleware.

Nothing of a request is ever repeated: an unexpected failure is answered with constant JSON, and the
log gets the type of the exception only.
"""

from __future__ import annotations

import logging
import math
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import web

from borrow.protocol.errors import (
    BorrowError,
    Misconfigured,
    Needs,
    Refused,
    Unavailable,
    Untrusted,
)
from borrow.protocol.oauth import POLL_AGAIN, to_wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.typedefs import Handler, Middleware

logger = logging.getLogger(__name__)

Response = TypeVar("Response", bound=web.StreamResponse)

# What a state says goes before what its class says.
STATUS_OF_STATE: Final = {
    "invalid_client": 401,
    "invalid_token": 401,
    "otp_reused": 401,
    "clock_skew": 401,
    # A60: an answer of a passkey that does not hold, each with its reason
    "passkey_origin": 401,
    "passkey_cross_origin": 401,
    "passkey_user_verification": 401,
    "passkey_counter": 401,
    "passkey_type": 401,
    "passkey_challenge": 401,
    "passkey_rp": 401,
    "passkey_signature": 401,
    "passkey_malformed": 400,
    "unknown_passkey": 403,
    "authorization_pending": 400,
    "slow_down": 400,
    "invalid_grant": 400,
    "invalid_scope": 400,
    "invalid_target": 400,
    "unsupported_grant_type": 400,
    "expired_token": 400,
    "expired": 400,
    "grant_exhausted": 400,
    "cloud_refused": 400,
    "not_found": 404,
    "unknown_request": 404,
    "unknown_grant": 404,
    "unknown_enrolment": 404,
    "wrong_state": 409,
    "replayed": 409,
    "altered": 409,
    "statement_expired": 409,
    "number_mismatch": 409,
    "body_too_slow": 408,
    "body_too_large": 413,
    "media_type": 415,
    "wrong_host": 421,
    "throttled": 429,
    "too_often": 429,
}
STATUS_OF_CLASS: Final[tuple[tuple[type[BorrowError], int], ...]] = (
    (Needs, 400),
    (Refused, 403),
    (Unavailable, 503),
    (Untrusted, 400),
    (Misconfigured, 400),
)
RETRY_AFTER: Final = {"throttled": 600}  # seconds; the window in which the minter counts
# RFC 6749 §5.2 and RFC 7009 §2.2.1 know 400 and 401 (and 503) here, whatever the reason is.
_PLAIN_PATHS: Final = frozenset({"/token", "/revoke"})

_OTHER: Final = {
    404: ("not_found", "there is nothing here"),
    405: ("method_not_allowed", "that is not how this is called"),
    413: ("body_too_large", "the body is too large"),
}
_NO_PAGE: Final = "default-src 'none'; frame-ancestors 'none'"
_INTERNAL: Final = ("internal", "something went wrong here")


def status_of(error: BorrowError, path: str) -> int:
    by_class = next(status for kind, status in STATUS_OF_CLASS if isinstance(error, kind))
    status = STATUS_OF_STATE.get(error.state, by_class)
    return 400 if path in _PLAIN_PATHS and status in (403, 404, 409) else status


def response_to(error: BorrowError, path: str) -> web.Response:
    status = status_of(error, path)
    response = web.json_response(to_wire(error), status=status)
    if isinstance(error, Unavailable) and error.state not in POLL_AGAIN:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    elif status == 429:
        response.headers["Retry-After"] = str(RETRY_AFTER[error.state])
    if status == 401:
        scheme = "Bearer" if error.state == "invalid_token" else "private_key_jwt"
        response.headers["WWW-Authenticate"] = f'{scheme} realm="borrow"'
    return response


def constant(status: int) -> web.Response:
    """The answer to what is no expected failure; it carries no text of ours or theirs."""
    word, sentence = _OTHER.get(status, ("invalid_request", "the request is not understood"))
    if status >= 500:
        word, sentence = _INTERNAL
    error = "server_error" if status >= 500 else "invalid_request"
    body = {"error": error, "error_description": sentence, "borrow_state": word}
    return _sealed_off(web.json_response(body, status=status))


def middleware(clock: Callable[[], float]) -> Middleware:
    """The outermost one: every answer leaves through it, dated by `clock` and uncached."""

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await _answer(request, handler)
        response.headers["Date"] = formatdate(clock(), usegmt=True)
        return _sealed_off(response)

    return edge


def _sealed_off(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Content-Security-Policy", _NO_PAGE)  # a page has its own
    response.headers["Server"] = "borrow"
    return response


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BorrowError as exc:
        route = request.match_info.route.resource
        extra = {
            "route": route.canonical if route else "",
            "state": exc.state,
            "kind": type(exc).__name__,
        }
        level = logging.DEBUG if exc.state in POLL_AGAIN else logging.INFO
        logger.log(level, "refused", extra=extra)
        return response_to(exc, request.path)
    except web.HTTPException as exc:
        return constant(exc.status)
    except Exception as exc:  # noqa: BLE001  the last door: the caller gets constant JSON
        # No traceback: its lines may hold what the request held.
        logger.error("unexpected failure", extra={"kind": type(exc).__name__})  # noqa: TRY400
        return constant(500)
