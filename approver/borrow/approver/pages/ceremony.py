"""What a page's module is told before it asks for a passkey."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from borrow.protocol.errors import Misconfigured
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from borrow.approver.pages.door import Visit


def asked(visit: Visit, data: bytes, name: str, *, allow: Iterable[str] = ()) -> dict[str, Any]:
    """`data` under `name`, and the options for `navigator.credentials.get`.

    `allow` are credential ids; without them the browser offers all that it has for us.
    """
    return {
        name: b64url(data),
        "challenge": b64url(hashlib.sha256(data).digest()),
        "rp_id": rp_id(visit.room.origin),
        "allow": list(allow),
    }


def rp_id(origin: str) -> str:
    return urlsplit(origin).hostname or ""


def need_passkeys(visit: Visit) -> None:
    if not visit.room.passkeys_work:
        raise Misconfigured(
            "passkeys need this page at an https address with a name",
            hint="set public_url in server.toml",
            state="no_passkeys_here",
        )
