"""When a person is not asked again: after three prompts for nothing, and right after a no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from borrow.minter import schema
from borrow.protocol.errors import Refused
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from borrow.minter.store import Reader
    from borrow.protocol.request import RequestObject

PROMPTS = 3  # denied or unanswered, for one role and caller group …
PROMPT_WINDOW = 600.0  # … within so many seconds
DENIAL_LASTS = 900.0  # seconds an SDK call is refused from memory
DENIAL_SHOWN = 86_400.0  # seconds an approver is told of an earlier no
_DELIBERATE = ("cli", "tray")  # a person typed it: asking again is their right
_FOR_NOTHING = (RequestState.DENIED, RequestState.EXPIRED)


def refuse_tiring(reader: Reader, asked: RequestObject) -> None:
    """Raises Refused, state `throttled` or `denied_before`."""
    table = schema.requests
    same = (
        (table.c.client_id == asked.client_id)
        & (table.c.role == asked.role.identifier)
        & (table.c.arn == asked.role.arn)
    )
    recent = (
        same
        & (table.c.group == asked.group)
        & table.c.state.in_(_FOR_NOTHING)
        & (table.c.ended_at > reader.now - PROMPT_WINDOW)
    )
    if reader.count(select(func.count()).select_from(table).where(recent)) >= PROMPTS:
        raise Refused(
            f"{PROMPTS} requests for {asked.role.identifier!r} were denied or not answered",
            hint="wait ten minutes, or ask an approver what they need",
            state="throttled",
        )
    if asked.via in _DELIBERATE:
        return
    denied = (
        same
        & (table.c.justification == asked.role.justification)
        & (table.c.state == RequestState.DENIED)
        & (table.c.ended_at > reader.now - DENIAL_LASTS)
    )
    row = reader.one(select(table).where(denied).order_by(table.c.ended_at.desc()).limit(1))
    if row is not None:
        raise Refused(
            f"{asked.role.identifier!r} was denied a short while ago",
            hint=f"ask with another reason: borrow ask {asked.role.identifier}",
            state="denied_before",
            request=row.request_id,
        )


def earlier_denials(reader: Reader, person: str, role: str) -> int:
    """How often `person` was told no for `role` within a day: approvers see the count."""
    table = schema.requests
    where = (
        (table.c.person == person)
        & (table.c.role == role)
        & (table.c.state == RequestState.DENIED)
        & (table.c.ended_at > reader.now - DENIAL_SHOWN)
    )
    return reader.count(select(func.count()).select_from(table).where(where))
