"""The bodies clients understand: credentials and refusals, in the shapes their SDKs were seen to
read (SDKS §3, §4). Pure; nothing here decides whether something may be served.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from borrow.daemon.broker import Served
    from borrow.daemon.moments import Moment
    from borrow.protocol.errors import BorrowError

# Seconds of life that the container endpoint shows: SDKs then come back at each call, so an
# elevation, an extension or a revocation takes effect on the next one (SDKS §5).
VISIBLE: Final = 90.0


def container_document(served: Served, now: Moment) -> bytes | None:
    """For AWS_CONTAINER_CREDENTIALS_FULL_URI; None if it would not be whole and alive."""
    return _document(served, now, container_end(served, now))


def container_end(served: Served, now: Moment) -> float:
    """What the container endpoint shows as the end, in unix seconds and not yet cut to a second."""
    return min(now.wall + VISIBLE, _real_end(served, now))


def imds_document(served: Served, now: Moment) -> bytes | None:
    """For IMDSv2, with the real expiry: these SDKs stretch it, so it must not look short."""
    return _document(served, now, _real_end(served, now))


def process_document(served: Served, now: Moment) -> str | None:
    """For credential_process, with the real expiry: each renewal costs a process start."""
    until = _real_end(served, now)
    credentials = served.held.credentials
    if not credentials.is_whole() or until <= now.wall:
        return None
    return json.dumps(
        {
            "Version": 1,
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "SessionToken": credentials.session_token,
            "Expiration": _time(until),
        }
    )


def _real_end(served: Served, now: Moment) -> float:
    # Counted from now, by the more careful clock: after a suspend the wall's may be behind.
    return now.wall + served.held.ends.left(now)


def _document(served: Served, now: Moment, until: float) -> bytes | None:
    credentials = served.held.credentials
    # Floor, so that what is shown is never later than the truth; a second must be left of it.
    if not credentials.is_whole() or math.floor(until) <= now.wall:
        return None
    return json.dumps(
        {
            "Code": "Success",
            "LastUpdated": _time(now.wall),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key_id,
            "AccessKeyID": credentials.access_key_id,  # as the JS client of MinIO spells it
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": _time(until),
            "AccountId": _account(served.grant.arn),
            "RoleArn": served.grant.arn,
        }
    ).encode()


def refusal(error: BorrowError, status: int) -> dict[str, Any]:
    """One body that every SDK finds its own keys in. The reason and the request id are text."""
    request = getattr(error, "request", "")
    told = error.message
    if request and request not in told:
        told += f" ({request})"
    if error.hint:
        told += f"; {error.hint}"
    code = "AccessDenied" if status == 403 else "ServiceUnavailable"
    return {
        "Code": code,
        "Message": told,
        "code": code,
        "message": told,
        "error": "access_denied" if status == 403 else "temporarily_unavailable",
        "error_description": told,
        "statusCode": status,
        "state": error.state,
        **({"request": request} if request else {}),
    }


def explanation(error: BorrowError, status: int) -> dict[str, Any]:
    """`refusal` for a `200`, where a client that is not Rust would look for credentials.

    It holds none, and its `Code` is not Success. A client that minds neither (Go v2 makes empty
    credentials of it and calls unsigned) still stops at an `Expiration` that is no time.
    """
    return refusal(error, status) | {"Expiration": "never"}


def _time(wall: float) -> str:
    return datetime.fromtimestamp(math.floor(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _account(arn: str) -> str:
    parts = arn.split(":")
    return parts[4] if len(parts) > 4 else ""
