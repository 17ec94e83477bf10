"""Who was in the middle of work when an elevation ran out: their next fetch waits for more.

An elastic role falls back to its base when an elevation is given back, revoked or refused, and when
it ends while nobody uses it. A program that is using it must not be lowered without a word: an
apply cut in the middle leaves its lock behind. Pure: `now` is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from borrow.daemon.cache import Grant
    from borrow.daemon.moments import Moment

# Seconds. SDKs come back within the 90 s that a credential shows; who did not fetch in the last
# ones before the end is at rest.
IN_USE: Final = 120.0
# A program that comes back later than this after the end starts something new.
REMEMBERED: Final = 900.0


@dataclass(frozen=True, slots=True)
class _Use:
    grant: Grant
    at: Moment


class AtWork:
    """By terminal session (and agent, if one), as in a group's id."""

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def served(self, session: str, grant: Grant, now: Moment) -> None:
        self._uses[session] = _Use(grant, now)

    def ended(self, grant_id: str, now: Moment) -> None:
        """Somebody ended it. What ran out by itself before that is left as it is."""
        self._uses = {
            session: use
            for session, use in self._uses.items()
            if use.grant.grant_id != grant_id or use.grant.ends.passed(now)
        }

    def let_go(self, session: str) -> None:
        """There will be no more of it: nobody wants the question, or nobody says yes."""
        self._uses.pop(session, None)

    def cut_off(self, session: str, now: Moment) -> Grant | None:
        """The grant that ran out under the hands of `session`, if one did."""
        use = self._uses.get(session)
        if use is None or not use.grant.ends.passed(now):
            return None
        left_then = use.grant.ends.left(use.at)
        if left_then > IN_USE or -use.grant.ends.left(now) > REMEMBERED:
            del self._uses[session]
            return None
        return use.grant
