"""Who is signed in: rows for random tokens, kept as SHA-256 only.

A session looks, denies and reports; it never approves. It ends by itself after a week unused and
after a month in any case, and with the passkey that opened it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, insert, select, update

from borrow.approver.schema import sessions
from borrow.approver.tickets import hashed

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

IDLE: Final = 7 * 86_400.0  # seconds without a visit
LONGEST: Final = 30 * 86_400.0  # seconds in all
TOUCH_EVERY: Final = 600.0  # seconds between two notes that it was used: not a write for each look
TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Session:
    token_hash: str
    person: str
    credential_id: str
    last_at: float


async def begin(
    db: AsyncConnection, token: str, *, person: str, credential_id: str, now: float
) -> None:
    row = {"token_hash": hashed(token), "person": person, "credential_id": credential_id}
    await db.execute(insert(sessions).values(**row, begun_at=now, last_at=now))


async def find(db: AsyncConnection, token: str, *, now: float) -> Session | None:
    query = select(sessions).where(
        sessions.c.token_hash == hashed(token),
        sessions.c.last_at > now - IDLE,
        sessions.c.begun_at > now - LONGEST,
    )
    row = (await db.execute(query)).one_or_none()
    if row is None:
        return None
    return Session(row.token_hash, row.person, row.credential_id, row.last_at)


async def touch(db: AsyncConnection, session: Session, *, now: float) -> None:
    mine = sessions.c.token_hash == session.token_hash
    await db.execute(update(sessions).where(mine).values(last_at=now))


async def end(db: AsyncConnection, token: str) -> None:
    await db.execute(delete(sessions).where(sessions.c.token_hash == hashed(token)))


async def end_with(db: AsyncConnection, credential_id: str) -> None:
    """All that this passkey opened."""
    await db.execute(delete(sessions).where(sessions.c.credential_id == credential_id))


async def forget_old(db: AsyncConnection, *, now: float) -> None:
    old = (sessions.c.last_at <= now - IDLE) | (sessions.c.begun_at <= now - LONGEST)
    await db.execute(delete(sessions).where(old))
