"""When a signature's time is off, say both times: only a person can set a clock right."""

from __future__ import annotations

from datetime import UTC, datetime

from borrow.protocol.errors import Untrusted
from borrow.protocol.jose import unverified_claims

_LATEST = 253_402_300_799  # the last second that is written with a four-digit year


def stamp(at: float) -> str:
    """`2026-01-31T09:00:00Z`; for a time that no calendar here has, the nearest one."""
    return datetime.fromtimestamp(min(max(at, 0.0), _LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def both_times(exc: Untrusted, token: str, now: float) -> Untrusted:
    """`exc` as it is, or, if it is about time, with the device's time and ours.

    Called only for a token whose signature was found good: times are checked after it.
    """
    issued_at = unverified_claims(token).get("iat") if exc.state == "clock_skew" else None
    if not isinstance(issued_at, int):
        return exc
    return Untrusted(
        f"the device signed at {stamp(issued_at)}, but the approver's clock says {stamp(now)}",
        hint="set both clocks by the network; a signature is good for a minute around its time",
        state="clock_skew",
    )
