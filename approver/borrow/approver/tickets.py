"""What the approver remembers about tokens: who holds which, once, and until when.

Tokens are random and kept as SHA-256 only; a look-up by hash needs no constant-time comparison.
Every function takes the connection of a transaction that its caller owns, so that a token and the
events that belong to it are written together.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from borrow.approver.schema import (
    access_tokens,
    answers,
    assertions,
    auth_requests,
    grants,
    outbox,
    seen,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from borrow.minter.port import GrantView

USUAL_OF = 20  # the last so many answers tell the usual wait
LOOKING = 30.0  # seconds since someone opened a request: they are looking at it
KEEP_REQUESTS = 14 * 86_400.0  # seconds; the longest pending plus the longest claim, with room
KEEP_EVENTS = 14 * 86_400.0  # seconds; the longest grant (7 d) twice


def hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class AuthRequest:
    request_id: str
    client_id: str
    redeemed: bool


@dataclass(frozen=True, slots=True)
class GrantTicket:
    """A grant as the approver knows it: for routing, never for a decision."""

    grant_id: str
    request_id: str
    client_id: str
    person: str
    role: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class AccessToken:
    client_id: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Eyes:
    """Who has opened a request, and who did within the last half minute."""

    seen: tuple[str, ...]
    looking: tuple[str, ...]


async def use_assertion(
    db: AsyncConnection, client_id: str, jti: str, *, keep_until: float
) -> bool:
    """True the first time."""
    row = insert(assertions).values(client_id=client_id, jti=jti, keep_until=keep_until)
    return (await db.execute(row.on_conflict_do_nothing())).rowcount == 1


async def add_auth_request(
    db: AsyncConnection, token: str, *, request_id: str, client_id: str, now: float
) -> None:
    row = {"token_hash": hashed(token), "request_id": request_id, "client_id": client_id}
    await db.execute(insert(auth_requests).values(**row, created_at=now))


async def auth_request(db: AsyncConnection, token: str) -> AuthRequest | None:
    query = select(auth_requests).where(auth_requests.c.token_hash == hashed(token))
    row = (await db.execute(query)).one_or_none()
    if row is None:
        return None
    return AuthRequest(row.request_id, row.client_id, row.redeemed_at is not None)


async def was_asked(db: AsyncConnection, request_id: str) -> bool:
    """Whether any device ever got an `auth_req_id` for it: then its letters are written too."""
    query = select(auth_requests.c.request_id).where(auth_requests.c.request_id == request_id)
    return (await db.execute(query.limit(1))).first() is not None


async def redeem(db: AsyncConnection, token: str, *, now: float) -> bool:
    """True the first time: an `auth_req_id` is answered with tokens once."""
    query = update(auth_requests).where(
        auth_requests.c.token_hash == hashed(token), auth_requests.c.redeemed_at.is_(None)
    )
    return (await db.execute(query.values(redeemed_at=now))).rowcount == 1


async def issue_grant_token(db: AsyncConnection, token: str, grant: GrantView) -> None:
    """The grant's only token from now on: an older one stops working."""
    row = {
        "grant_id": grant.grant_id,
        "request_id": grant.request_id,
        "client_id": grant.client_id,
        "person": grant.person,
        "role": grant.role.identifier,
        "expires_at": grant.expires_at,
        "token_hash": hashed(token),
        "over": False,
    }
    written = insert(grants).values(**row)
    await db.execute(written.on_conflict_do_update(index_elements=["grant_id"], set_=row))


async def grant_of_token(db: AsyncConnection, token: str) -> GrantTicket | None:
    query = select(grants).where(grants.c.token_hash == hashed(token), grants.c.over.is_(False))
    row = (await db.execute(query)).one_or_none()
    if row is None:
        return None
    return GrantTicket(
        row.grant_id, row.request_id, row.client_id, row.person, row.role, row.expires_at
    )


async def live_grants(db: AsyncConnection) -> tuple[GrantTicket, ...]:
    rows = await db.execute(select(grants).where(grants.c.over.is_(False)))
    return tuple(
        GrantTicket(r.grant_id, r.request_id, r.client_id, r.person, r.role, r.expires_at)
        for r in rows
    )


async def end_grants(db: AsyncConnection, grant_ids: Iterable[str]) -> None:
    """Their tokens die with them."""
    query = update(grants).where(grants.c.grant_id.in_(list(grant_ids)))
    await db.execute(query.values(over=True, token_hash=None))


async def issue_access_token(
    db: AsyncConnection, token: str, *, client_id: str, scopes: frozenset[str], expires_at: float
) -> None:
    row = {"token_hash": hashed(token), "client_id": client_id, "scopes": " ".join(sorted(scopes))}
    await db.execute(insert(access_tokens).values(**row, expires_at=expires_at))


async def access_token(db: AsyncConnection, token: str, *, now: float) -> AccessToken | None:
    query = select(access_tokens).where(
        access_tokens.c.token_hash == hashed(token), access_tokens.c.expires_at > now
    )
    row = (await db.execute(query)).one_or_none()
    return None if row is None else AccessToken(row.client_id, frozenset(row.scopes.split()))


async def drop_access_token(db: AsyncConnection, token: str, client_id: str) -> bool:
    query = delete(access_tokens).where(
        access_tokens.c.token_hash == hashed(token), access_tokens.c.client_id == client_id
    )
    return (await db.execute(query)).rowcount == 1


async def stop_device(db: AsyncConnection, client_id: str) -> None:
    """A frozen device keeps nothing but the line on which it hears that it is frozen."""
    mine = access_tokens.c.client_id == client_id
    hears = (" " + access_tokens.c.scopes + " ").contains(" events ")
    await db.execute(delete(access_tokens).where(mine, ~hears))
    await db.execute(update(access_tokens).where(mine).values(scopes="events"))
    await db.execute(update(grants).where(grants.c.client_id == client_id).values(token_hash=None))


async def saw(db: AsyncConnection, request_id: str, person: str, *, now: float) -> bool:
    """True the first time this person opened it."""
    known = await db.execute(
        update(seen)
        .where(seen.c.request_id == request_id, seen.c.person == person)
        .values(last_at=now)
    )
    if known.rowcount:
        return False
    row = {"request_id": request_id, "person": person, "first_at": now, "last_at": now}
    await db.execute(insert(seen).values(**row))
    return True


async def eyes(db: AsyncConnection, request_id: str, *, now: float) -> Eyes:
    query = select(seen).where(seen.c.request_id == request_id).order_by(seen.c.first_at)
    rows = (await db.execute(query)).all()
    looking = (row.person for row in rows if row.last_at > now - LOOKING)
    return Eyes(tuple(row.person for row in rows), tuple(looking))


async def note_answer(
    db: AsyncConnection, request_id: str, role: str, *, seconds: float, now: float
) -> None:
    row = {"request_id": request_id, "role": role, "seconds": max(0.0, seconds), "at": now}
    await db.execute(insert(answers).values(**row).on_conflict_do_nothing())


async def usual_wait(db: AsyncConnection, role: str) -> int | None:
    """Median seconds of the last answers for `role`; None if there was none."""
    query = select(answers.c.seconds).where(answers.c.role == role)
    latest = (await db.execute(query.order_by(answers.c.at.desc()).limit(USUAL_OF))).scalars().all()
    return round(median(latest)) if latest else None


async def usual_waits(db: AsyncConnection) -> dict[str, int]:
    """`usual_wait` of every role that has one, in one query."""
    rank = func.row_number().over(partition_by=answers.c.role, order_by=answers.c.at.desc())
    ranked = select(answers.c.role, answers.c.seconds, rank.label("rank")).subquery()
    rows = await db.execute(select(ranked).where(ranked.c.rank <= USUAL_OF))
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(row.role, []).append(row.seconds)
    return {role: round(median(seconds)) for role, seconds in found.items()}


async def forget_old(db: AsyncConnection, *, now: float) -> None:
    """Rows that can change no answer any more."""
    await db.execute(delete(access_tokens).where(access_tokens.c.expires_at <= now))
    await db.execute(delete(assertions).where(assertions.c.keep_until <= now))
    await db.execute(delete(auth_requests).where(auth_requests.c.created_at < now - KEEP_REQUESTS))
    await db.execute(delete(seen).where(seen.c.first_at < now - KEEP_REQUESTS))
    await db.execute(delete(answers).where(answers.c.at < now - 90 * 86_400))
    await db.execute(delete(grants).where(grants.c.expires_at < now - KEEP_EVENTS))
    await db.execute(delete(outbox).where(outbox.c.issued_at < now - KEEP_EVENTS))
