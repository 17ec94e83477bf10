"""Events on their way: written with the change that caused them, kept until acknowledged.

An event for a device stays until that device acknowledges it, over restarts of both. One for a
webhook stays until it was taken, or three tries failed; a call to a person until it was taken, or
nobody would want it any more (`channels.deliver`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import delete, func, insert, select, update

from borrow.approver.schema import outbox
from borrow.protocol.events import SESSION_REVOKED, SecurityEvent

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

Channel = Literal["device", "webhook", "push", "ntfy", "hook"]

MOST_NOTICES = 500  # kept for one device that does not fetch; the oldest go first


@dataclass(frozen=True, slots=True)
class Letter:
    """One event for one reader. What `audience` names depends on the channel (`schema.outbox`)."""

    audience: str
    kind: str
    subject: str
    details: dict[str, Any]
    channel: Channel = "device"


@dataclass(frozen=True, slots=True)
class Due:
    """A letter that we send, whose time has come; `tries` were made before."""

    event: SecurityEvent
    tries: int
    channel: str


async def post(
    db: AsyncConnection,
    letters: Iterable[Letter],
    *,
    jtis: Iterable[str],
    now: float,
    after: float = 0.0,
) -> None:
    """`after`: seconds before one that we send is sent; a device fetches its own at once."""
    rows = [
        {
            "jti": jti,
            "audience": letter.audience,
            "channel": letter.channel,
            "kind": letter.kind,
            "subject": letter.subject,
            "details": json.dumps(letter.details),
            "issued_at": now,
            "tries": 0,
            "next_try": now + after,
        }
        for letter, jti in zip(letters, jtis, strict=True)
    ]
    if rows:
        await db.execute(insert(outbox), rows)


async def take(
    db: AsyncConnection, audience: str, most: int, *, issuer: str, revocations_only: bool
) -> tuple[list[SecurityEvent], bool]:
    """The oldest unacknowledged events, revocations before notices, and whether there are more."""
    query = select(outbox).where(outbox.c.audience == audience, outbox.c.channel == "device")
    if revocations_only:
        query = query.where(outbox.c.kind == SESSION_REVOKED)
    urgent_first = (outbox.c.kind != SESSION_REVOKED, outbox.c.id)
    rows = (await db.execute(query.order_by(*urgent_first).limit(most + 1))).mappings().all()
    return [_event(row, issuer) for row in rows[:most]], len(rows) > most


async def acknowledge(db: AsyncConnection, audience: str, jtis: Collection[str]) -> None:
    """Only one's own events: another audience's `jti` does nothing."""
    mine = (outbox.c.audience == audience) & (outbox.c.channel == "device")
    await db.execute(delete(outbox).where(mine, outbox.c.jti.in_(list(jtis))))


async def due(
    db: AsyncConnection,
    most: int,
    *,
    channels: Collection[Channel],
    issuer: str,
    now: float,
    busy: Collection[str] = (),
) -> list[Due]:
    """The oldest; not for the `busy` audiences, to whom something is under way already."""
    query = select(outbox).where(outbox.c.channel.in_(list(channels)), outbox.c.next_try <= now)
    if busy:
        query = query.where(outbox.c.audience.not_in(list(busy)))
    rows = (await db.execute(query.order_by(outbox.c.id).limit(most))).mappings().all()
    return [Due(_event(row, issuer), int(row["tries"]), row["channel"]) for row in rows]


async def of_subject(
    db: AsyncConnection, subject: str, channels: Collection[Channel]
) -> list[tuple[str, Letter, int]]:
    """(jti, letter, tries) of what still waits to be sent about `subject`, oldest first."""
    where = (outbox.c.subject == subject) & outbox.c.channel.in_(list(channels))
    rows = (await db.execute(select(outbox).where(where).order_by(outbox.c.id))).mappings().all()
    return [
        (
            row["jti"],
            Letter(
                row["audience"],
                row["kind"],
                row["subject"],
                json.loads(row["details"]),
                row["channel"],
            ),
            int(row["tries"]),
        )
        for row in rows
    ]


async def hold(
    db: AsyncConnection,
    subjects: Collection[str],
    channels: Collection[Channel],
    *,
    now: float,
    until: float,
) -> None:
    """Letters whose time has not come yet are not sent before `until`."""
    where = outbox.c.subject.in_(list(subjects)) & outbox.c.channel.in_(list(channels))
    waits = (outbox.c.tries == 0) & (outbox.c.next_try > now) & (outbox.c.next_try < until)
    await db.execute(update(outbox).where(where, waits).values(next_try=until))


async def delivered(db: AsyncConnection, jti: str) -> None:
    """Also the end of one that nobody takes."""
    await db.execute(delete(outbox).where(outbox.c.jti == jti))


async def failed(db: AsyncConnection, jti: str, *, next_try: float) -> None:
    query = update(outbox).where(outbox.c.jti == jti)
    await db.execute(query.values(tries=outbox.c.tries + 1, next_try=next_try))


async def trim(db: AsyncConnection) -> None:
    """Bound what waits for a device that never comes back. Revocations are never dropped here."""
    notices = (outbox.c.channel == "device", outbox.c.kind != SESSION_REVOKED)
    rank = func.row_number().over(partition_by=outbox.c.audience, order_by=outbox.c.id.desc())
    ranked = select(outbox.c.id, rank.label("rank")).where(*notices).subquery()
    old = select(ranked.c.id).where(ranked.c.rank > MOST_NOTICES)
    await db.execute(delete(outbox).where(outbox.c.id.in_(old)))


def _event(row: RowMapping, issuer: str) -> SecurityEvent:
    return SecurityEvent(
        issuer=issuer,
        audience=row["audience"],
        jti=row["jti"],
        issued_at=int(row["issued_at"]),
        kind=row["kind"],
        subject=row["subject"],
        details=json.loads(row["details"]),
    )
