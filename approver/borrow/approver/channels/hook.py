"""A person's own webhook: an opaque id and a link, signed with a secret that both know. Pure.

The form is that of Standard Webhooks (https://www.standardwebhooks.com), for which there are
libraries in most languages: HMAC-SHA256 over id, time and body. The company's webhooks of
`borrow.approver.webhook` are something else: events with names in them, signed by the approver.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from borrow.approver.channels.calling import Kind
    from borrow.approver.channels.ways import Ways


def message(
    ways: Ways, kind: Kind, *, handle: str, link: str, jti: str, now: float
) -> tuple[bytes, dict[str, str]]:
    """(body, headers). `jti` stays the same when it is sent again; the time does not."""
    said = {"type": f"borrow.{kind}", "data": {"id": handle, "link": link}}
    body = json.dumps(said, separators=(",", ":")).encode()
    stamp = str(int(now))
    return body, {
        "Content-Type": "application/json",
        "webhook-id": jti,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature(ways.webhook_key, jti, stamp, body)}",
    }


def signature(key: bytes, jti: str, stamp: str, body: bytes) -> str:
    content = f"{jti}.{stamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
