"""When a person is not asked again: after three prompts for nothing, and right after a no.

What a device names (its caller group, its session policy) cannot get around it: a prompt that still
waits counts too, and so does, up to a higher number, whatever one device asked for one role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from borrow.minter import schema
from borrow.minter.decisions import MAX_WRONG_NUMBERS
from borrow.protocol.durations import show_duration
from borrow.protocol.errors import Refused
from borrow.protocol.lifecycle import RequestState

if TYPE_CHECKING:
    from borrow.minter.store import Reader
    from borrow.policy.model import Budget
    from borrow.protocol.request import RequestObject

PROMPTS = 3  # denied or unanswered, for one role and caller group …
PROMPT_WINDOW = 600.0  # … within so many seconds
MOST_ASKED = 20  # without a yes in that time, for one role by one device, whatever its groups
DENIAL_LASTS = 900.0  # seconds an SDK call is refused from memory
DENIAL_SHOWN = 86_400.0  # seconds an approver is told of an earlier no
_DELIBERATE = ("cli", "tray")  # a person typed it: asking again is their right
_FOR_NOTHING = (RequestState.DENIED, RequestState.EXPIRED)
_ANSWERED_YES = (RequestState.APPROVED, RequestState.REDEEMED, RequestState.LAPSED)


def refuse_tiring(reader: Reader, asked: RequestObject) -> None:
    """Raises Refused, state `throttled` or `denied_before`."""
    table = schema.requests
    same = (
        (table.c.client_id == asked.client_id)
        & (table.c.role == asked.role.identifier)
        & (table.c.arn == asked.role.arn)
    )
    since = reader.now - PROMPT_WINDOW
    in_vain = table.c.state.in_(_FOR_NOTHING) & (table.c.ended_at > since)
    waits = (table.c.state == RequestState.PENDING) & (table.c.pending_until > reader.now)
    guessed = (table.c.wrong_numbers >= MAX_WRONG_NUMBERS) & (table.c.ended_at > since)
    tiring = same & (((table.c.group == asked.group) & (in_vain | waits)) | guessed)
    unanswered = (
        same
        & (table.c.mode != "auto")
        & table.c.state.not_in(_ANSWERED_YES)
        & (table.c.asked_at > since)
    )
    count = select(func.count()).select_from(table)
    if (
        reader.count(count.where(tiring)) >= PROMPTS
        or reader.count(count.where(unanswered)) >= MOST_ASKED
    ):
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
            hint=f'with another reason: `borrow ask {asked.role.identifier} -m "…"`',
            state="denied_before",
            request=row.request_id,
        )


def refuse_busy_agent(reader: Reader, asked: RequestObject, budget: Budget) -> None:
    """Raises Refused, state `agent_budget`: what agents ask of people is counted by the device.

    Whatever name and group an agent gives itself, and whatever the answers were: each was a prompt.
    """
    if not asked.agent:
        return
    table = schema.requests
    where = (
        (table.c.client_id == asked.client_id)
        & (table.c.agent != "")
        & (table.c.mode != "auto")
        & (table.c.asked_at > reader.now - budget.seconds)
    )
    if reader.count(select(func.count()).select_from(table).where(where)) < budget.count:
        return
    # The last `count` of them fill the window: there is room again when the oldest of these leaves.
    nth = select(table.c.asked_at).where(where).order_by(table.c.asked_at.desc())
    row = reader.one(nth.offset(budget.count - 1).limit(1))
    wait = budget.seconds - int(reader.now - row.asked_at) if row is not None else budget.seconds
    minutes = max(1, -(-wait // 60))
    raise Refused(
        f"agents may ask {budget.count} times in {show_duration(budget.seconds)} here, "
        "and that is spent: nobody was asked",
        hint=f"wait {minutes} minutes before asking again; a person can ask at any time",
        state="agent_budget",
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
