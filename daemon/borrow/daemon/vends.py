"""The vend log: which access key was handed to which callers, since when, and until when it works.

What a datagram of `csm` says is believed no further than it agrees with this. Memory only, and
bounded; the first hand-out of a key to a session is a line of the daemon's log as well. Pure but
for that line: clocks are arguments.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Grant, Held
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Deadline, Moment

logger = logging.getLogger(__name__)

MOST: Final = 2_048  # entries; the oldest go first

# Seconds after a credential's end in which a call that was denied with it may still be told of.
LATE: Final = 60.0

_Key = tuple[str, int, int, str]


class Vend(NamedTuple):
    """`at`: the first time. `role` is the one whose grant it was, not the elastic one asked for."""

    group: Group
    role: str
    at: Moment
    ends: Deadline


class Vends:
    """One daemon's."""

    def __init__(self) -> None:
        self._vends: dict[_Key, Vend] = {}

    def __len__(self) -> int:
        return len(self._vends)

    def note(self, group: Group, grant: Grant, held: Held, clock: Callable[[], Moment]) -> None:
        """`held` is about to be handed to `group`. On the hot path: one look for a known one."""
        key = _key(group, held.credentials.access_key_id)
        if key in self._vends:
            return
        now = clock()
        if len(self._vends) >= MOST:
            self._make_room(now)
        self._vends[key] = Vend(group, grant.role, now, held.ends)
        logger.info(
            "vended", extra={"key": key[0], "grant": grant.grant_id, "group": group.id or "imds"}
        )

    def find(self, group: Group, access_key: str, now: Moment) -> Vend | None:
        """What was handed to the session of `group` under `access_key`, if a call with it may have
        ended just now."""
        vend = self._vends.get(_key(group, access_key))
        return vend if vend is not None and vend.ends.left(now) > -LATE else None

    def _make_room(self, now: Moment) -> None:
        self._vends = {k: v for k, v in self._vends.items() if v.ends.left(now) > -LATE}
        while len(self._vends) >= MOST:
            self._vends.pop(next(iter(self._vends)))


def _key(group: Group, access_key: str) -> _Key:
    return access_key, group.sid, group.start, group.agent
