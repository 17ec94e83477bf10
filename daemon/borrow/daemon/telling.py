"""The waiting line in the caller's own terminal, while its SDK call is held.

Written soon after the start, at each change and every 15 seconds at most; `terminal.say` decides whether
the terminal is really the caller's. Text of people and servers passes `shown` there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from borrow.daemon.flights import Flight, FlightState

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Grant
    from borrow.daemon.caller import Session
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment

EVERY: Final = 15.0  # seconds between two lines when nothing changes
QUIET: Final = 0.3  # seconds before the first line: a grant by policy needs none
AT_MOST_EVERY: Final = 1.0  # seconds between two lines when something does


def waiting_line(flight: Flight, now: Moment) -> str:
    """What the flight waits for, in one line without line end."""
    role = flight.facts.name
    if flight.state is FlightState.NEEDS:
        want = " and ".join(f"a {name}" for name in flight.needs) or "a reason"
        options = "".join(_OPTIONS.get(name, "") for name in flight.needs) or _OPTIONS["reason"]
        return f"borrow: {role} needs {want} first: borrow ask {role}{options}"
    if flight.trouble:
        return f"borrow: {role} waits · {flight.trouble}, trying again"
    if flight.state is FlightState.ASKING:
        return f"borrow: {role} waits for the approver"
    parts = [
        f"borrow: {role} waits for {_whom(flight)}",
        f"number {flight.number}",
        flight.request,
        *_seen(flight),
    ]
    if flight.ends is not None:
        parts.append(f"{_clock(flight.ends.left(now))} left")
    return " · ".join(parts)


def outcome_line(flight: Flight) -> str:
    role = flight.facts.name
    if flight.grant is not None:
        return f"borrow: {role} granted · {flight.grant.grant_id}"
    error = flight.error
    why = error.message if error is not None else "the request was withdrawn"
    hint = f" · {error.hint}" if error is not None and error.hint else ""
    return f"borrow: {role} refused: {why} · {flight.request}{hint}"


def shared_line(group: Group, grant: Grant) -> str:
    return (
        f"borrow: {group.role} is lent from another session of this machine · {grant.grant_id}"
        f" · not you? borrow not-me {grant.grant_id}"
    )


async def tell(
    flight: Flight,
    say: Callable[[Session, str], bool],
    now: Callable[[], Moment],
    *,
    at_most_every: float = AT_MOST_EVERY,
) -> None:
    """Follow `flight` to its end in the terminal of its group."""
    await asyncio.sleep(min(QUIET, at_most_every))
    last = ""
    while not flight.over:
        if flight.listeners:
            line = waiting_line(flight, now())
            if line != last:
                say(flight.group.session, line)
                last = line
        try:
            async with asyncio.timeout(EVERY):
                await flight.changed()
                await asyncio.sleep(at_most_every)
        except TimeoutError:
            continue
    if last:
        say(flight.group.session, outcome_line(flight))


_OPTIONS: Final = {"reason": ' -m "…"', "ticket": " --ticket …"}


def _whom(flight: Flight) -> str:
    if flight.mode == "self":
        return "you, on your other device"
    people = flight.people
    if not people:
        return "the approvers"
    more = f" and {len(people) - 2} more" if len(people) > 2 else ""
    return ", ".join(people[:2]) + more


def _seen(flight: Flight) -> list[str]:
    looking, seen = flight.seen.get("looking"), flight.seen.get("seen")
    if isinstance(looking, list) and looking:
        return [f"{looking[0]} is looking"]
    if isinstance(seen, list) and seen:
        return [f"seen by {len(seen)}"]
    return []


def _clock(seconds: float) -> str:
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"
