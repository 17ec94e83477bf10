"""Who has to answer requests and cannot be told of them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from borrow.approver.channels.subscriptions import Subscription
    from borrow.approver.channels.ways import Ways

LISTENED: Final = 86_400.0  # seconds since a device of theirs asked for news: a tray is used


def unreachable(
    deciders: Iterable[str],
    subscriptions: Iterable[Subscription],
    ways: Mapping[str, Ways],
    listening: Collection[str],
) -> tuple[str, ...]:
    """Those of `deciders` with no browser that takes pushes, no ntfy, webhook, listening device."""
    pushed = {each.person for each in subscriptions if each.works}
    told = {person for person, way in ways.items() if way.ntfy or way.webhook}
    reached = pushed | told | set(listening)
    return tuple(person for person in dict.fromkeys(deciders) if person not in reached)
