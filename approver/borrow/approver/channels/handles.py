"""Opaque names under which people are called: what leaves the house in place of ids and names.

A handle means one request or grant for one person, and opens it for that person only. It is also
the topic and the tag of its notification, so that a later message replaces an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert

from borrow.approver.schema import handles

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

HANDLE_BYTES: Final = 16  # as base64url 22 characters; a Topic (RFC 8030 §5.4) has at most 32
KEEP_SECONDS: Final = 14 * 86_400.0


@dataclass(frozen=True, slots=True)
class Handle:
    """`subject` is `request:r-…`, `grant:g-…`, `device:…`, or `inbox:`."""

    handle: str
    person: str
    subject: str
    kind: str
    source: str  # who asks for what, to count what one source sent; never leaves the house
    called_at: float
    until: float  # unix seconds; when the question is moot by itself
    closed_at: float | None
    outcome: str


async def add(db: AsyncConnection, handle: Handle) -> str:
    """Its name: the older one, opened again, if this person was called for the subject before."""
    fresh = {
        "kind": handle.kind,
        "called_at": handle.called_at,
        "until": handle.until,
        "closed_at": None,
        "outcome": "",
    }
    row = fresh | {
        "handle": handle.handle,
        "person": handle.person,
        "subject": handle.subject,
        "source": handle.source,
    }
    put = insert(handles).values(**row)
    again = put.on_conflict_do_update(index_elements=["person", "subject"], set_=fresh)
    await db.execute(again)
    where = (handles.c.person == handle.person) & (handles.c.subject == handle.subject)
    name: str = (await db.execute(select(handles.c.handle).where(where))).scalar_one()
    return name


async def find(db: AsyncConnection, handle: str, person: str) -> Handle | None:
    """Another person's handle is none."""
    where = (handles.c.handle == handle) & (handles.c.person == person)
    row = (await db.execute(select(handles).where(where))).mappings().first()
    return None if row is None else _handle(row)


async def lately(db: AsyncConnection, person: str, since: float) -> tuple[Handle, ...]:
    """What this person was called for after `since`, newest first."""
    where = (handles.c.person == person) & (handles.c.called_at > since)
    rows = await db.execute(select(handles).where(where).order_by(handles.c.called_at.desc()))
    return tuple(_handle(row) for row in rows.mappings())


async def open_ones(db: AsyncConnection, kinds: Collection[str]) -> tuple[Handle, ...]:
    """Calls that nobody answered yet."""
    where = handles.c.closed_at.is_(None) & handles.c.kind.in_(list(kinds))
    rows = await db.execute(select(handles).where(where).order_by(handles.c.called_at))
    return tuple(_handle(row) for row in rows.mappings())


async def of_subject(db: AsyncConnection, subject: str) -> tuple[str, ...]:
    """The open ones, whoever they are for."""
    where = (handles.c.subject == subject) & handles.c.closed_at.is_(None)
    return tuple((await db.execute(select(handles.c.handle).where(where))).scalars())


async def close(db: AsyncConnection, handle: str, outcome: str, *, now: float) -> None:
    where = (handles.c.handle == handle) & handles.c.closed_at.is_(None)
    await db.execute(update(handles).where(where).values(closed_at=now, outcome=outcome))


async def is_closed(db: AsyncConnection, handle: str) -> bool:
    query = select(handles.c.closed_at).where(handles.c.handle == handle)
    return (await db.execute(query)).scalar() is not None


async def forget_old(db: AsyncConnection, *, now: float) -> None:
    await db.execute(delete(handles).where(handles.c.called_at < now - KEEP_SECONDS))


def _handle(row: RowMapping) -> Handle:
    return Handle(**row)
