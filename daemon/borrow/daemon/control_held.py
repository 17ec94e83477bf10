"""The control API's answer to "what do I hold": this daemon's grants, and those that outlived one.

Grants live in memory only, so a daemon that was just started holds none; the approver still does,
and the next call of a program resumes its own. A person who asks in between must not be told that
nothing is held, so the approver is asked each time, for a bounded while.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from borrow.daemon.control import Parts, Route, grants_of, route
from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from borrow.daemon.unixhttp import Answer, Call

WITHIN: Final = 2.0  # seconds the approver has to say what it knows


@dataclass(frozen=True, slots=True)
class GrantLine:
    """One entry of the approver's list of this person's grants, as far as the daemon reads it."""

    grant_id: str
    request_id: str
    role: str
    group: str
    tier: str
    mode: str
    expires_at: float
    here: bool  # this device's, and live

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Self:
        def text(name: str) -> str:
            value = entry.get(name)
            return value if isinstance(value, str) else ""

        end = entry.get("expires_at")
        return cls(
            grant_id=text("grant"),
            request_id=text("request"),
            role=text("role"),
            group=text("group"),
            tier=text("tier"),
            mode=text("mode"),
            expires_at=float(end) if isinstance(end, int | float) else 0.0,
            here=text("state") in ("", "active") and entry.get("this_device", True) is True,
        )


def held_routes(parts: Parts) -> list[Route]:
    async def held(call: Call, _: str) -> Answer:
        here = grants_of(parts)
        if not parts.config.enrolled:
            return {"grants": here, "whole": True}
        try:
            async with asyncio.timeout(WITHIN):
                found = await parts.upstream.grants()
        except (BorrowError, TimeoutError):
            return {"grants": here, "whole": False}
        return {"grants": [*here, *_outlived(parts, found)], "whole": True}

    return [route("GET", r"/v1/held", held)]


def _outlived(parts: Parts, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    now, cache = parts.broker.now(), parts.broker.cache
    lines = [GrantLine.read(entry) for entry in found]
    return [
        {
            "grant": each.grant_id,
            "request": each.request_id,
            "role": each.role,
            "group": each.group,
            "expires_at": each.expires_at,
            "tier": each.tier,
            "mode": each.mode,
            "resumes": True,
        }
        for each in lines
        if each.here
        and each.grant_id
        and cache.find(each.grant_id, now) is None
        and not cache.is_over(each.grant_id, now)
    ]
