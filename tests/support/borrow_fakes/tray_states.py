"""What a daemon tells the tray, one line of `/v1/watch` at a time."""

from __future__ import annotations

from typing import Any

from borrow.tray.snapshot import Snapshot, read

NOW = 1_800_000_000.0


def told(**members: Any) -> dict[str, Any]:
    return {"grants": [], "asks": [], "decisions": [], "notices": [], "enrolled": True} | members


def snapshot(**members: Any) -> Snapshot:
    return read(told(**members))


def grant(name: str = "g-1", role: str = "dev", left: float = 3600.0, **more: Any) -> Any:
    return {"grant": name, "request": "r-0", "role": role, "tier": "low"} | {
        "expires_at": NOW + left,
        **more,
    }


def decision(name: str = "r-1", role: str = "prod", **more: Any) -> Any:
    """A request that waits for this person; of Ann unless `mine`."""
    return {
        "request": name,
        "role": role,
        "person": "ann@example.com",
        "state": "pending",
        "tier": "sensitive",
        "seconds": 3600,
        "justification": "fix the queue",
        "expires_at": NOW + 900,
        "context": {"process": {"exe": "/usr/bin/curl", "argv": ["curl"]}},
    } | more


def ask(name: str = "r-2", role: str = "prod", **more: Any) -> Any:
    return {
        "request": name,
        "role": role,
        "mode": "peer",
        "number": "281",
        "asked": ["bo@example.com"],
        "expires_at": NOW + 900,
    } | more


def notice(kind: str = "grant_opened", subject: str = "grant:g-1", **more: Any) -> Any:
    text = "ann@example.com may use dev now until 2027-01-15T09:00:00Z"
    return {"kind": kind, "text": text, "subject": subject, "role": "dev", "at": NOW} | more
