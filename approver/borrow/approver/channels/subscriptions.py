"""Browsers that may be pushed to: one row per endpoint, owned by the person who signed in there.

An endpoint is a secret of its browser's (who knows it may send to it), so no text shows it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.dialects.sqlite import insert

from borrow.approver.channels.addresses import MAX_URL
from borrow.approver.channels.webpush import BrowserKeys
from borrow.approver.schema import push_subscriptions as table
from borrow.protocol.strict import Members

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncConnection

MOST_EACH: Final = 10  # of one person; the oldest goes when another comes
WORKS_BELOW: Final = 3  # failures in a row after which it counts as no working channel


@dataclass(frozen=True, slots=True)
class Subscription:
    """`credential` is the passkey by which its person had signed in: both go together."""

    id: str
    person: str
    endpoint: str = field(repr=False)
    keys: BrowserKeys
    credential: str
    added_at: float
    last_ok: float | None
    failures: int  # in a row

    @property
    def works(self) -> bool:
        return self.failures < WORKS_BELOW


def read_subscription(body: dict[str, Any]) -> tuple[str, BrowserKeys]:
    """(endpoint, keys) of what `PushSubscription.toJSON()` gives. Raises Untrusted."""
    members = Members({k: v for k, v in body.items() if k != "expirationTime"}, "subscription")
    endpoint = members.text("endpoint", limit=MAX_URL)
    keys = Members(members.object("keys"), "subscription's keys")
    members.end()
    found = BrowserKeys(keys.text("p256dh", limit=128), keys.text("auth", limit=64))
    keys.end()
    return endpoint, found


async def add(db: AsyncConnection, given: Subscription) -> str:
    """Its id. An endpoint that is known gets the new owner and keys: a browser has one of them."""
    changed = {
        "person": given.person,
        "p256dh": given.keys.p256dh,
        "auth": given.keys.auth,
        "credential": given.credential,
        "added_at": given.added_at,
        "failures": 0,
    }
    put = insert(table).values(id=given.id, endpoint=given.endpoint, last_ok=None, **changed)
    await db.execute(put.on_conflict_do_update(index_elements=["endpoint"], set_=changed))
    row = await db.execute(select(table.c.id).where(table.c.endpoint == given.endpoint))
    mine = select(table.c.id).where(table.c.person == given.person)
    kept = mine.order_by(table.c.added_at.desc(), table.c.id).limit(MOST_EACH)
    await db.execute(delete(table).where(table.c.person == given.person, table.c.id.not_in(kept)))
    name: str = row.scalar_one()
    return name


async def of(db: AsyncConnection, people: Collection[str]) -> tuple[Subscription, ...]:
    query = select(table).where(table.c.person.in_(list(people))).order_by(table.c.added_at)
    return tuple(_subscription(row) for row in (await db.execute(query)).mappings())


async def all_of(db: AsyncConnection) -> tuple[Subscription, ...]:
    query = select(table).order_by(table.c.person, table.c.added_at)
    return tuple(_subscription(row) for row in (await db.execute(query)).mappings())


async def find(db: AsyncConnection, name: str) -> Subscription | None:
    row = (await db.execute(select(table).where(table.c.id == name))).mappings().first()
    return None if row is None else _subscription(row)


async def find_endpoint(db: AsyncConnection, endpoint: str, person: str) -> Subscription | None:
    """Of this person's only."""
    where = (table.c.endpoint == endpoint) & (table.c.person == person)
    row = (await db.execute(select(table).where(where))).mappings().first()
    return None if row is None else _subscription(row)


async def remove(db: AsyncConnection, name: str) -> None:
    await db.execute(delete(table).where(table.c.id == name))


async def worked(db: AsyncConnection, name: str, *, now: float) -> None:
    await db.execute(update(table).where(table.c.id == name).values(last_ok=now, failures=0))


async def failed(db: AsyncConnection, name: str) -> None:
    query = update(table).where(table.c.id == name)
    await db.execute(query.values(failures=table.c.failures + 1))


def _subscription(row: RowMapping) -> Subscription:
    return Subscription(
        id=row["id"],
        person=row["person"],
        endpoint=row["endpoint"],
        keys=BrowserKeys(row["p256dh"], row["auth"]),
        credential=row["credential"],
        added_at=row["added_at"],
        last_ok=row["last_ok"],
        failures=row["failures"],
    )
