"""What may be served at this moment: live grants, their credentials, and the graves of ended ones.

Pure: `now` and the last contact are arguments, nothing here does IO. Who may use which grant, and
until when, is decided here and nowhere else:

- until min(credential expiry, grant end), looked at when serving, never by a timer alone;
- within the tier's lease of the last contact with the approver (a revocation must reach us);
- by the caller group that asked, or by all people of the device where `share = "device"`;
- never after the grant was said to be over, whatever arrives late (invariant I9).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from borrow.daemon.moments import Deadline, Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from borrow.protocol.credentials import AwsCredentials

# Seconds of silence from the approver after which elevated credentials are held back, by tier.
LEASES: Final[dict[str, float]] = {"sensitive": 60.0, "critical": 60.0}

# Seconds. A fresh credential is fetched in the background when this little is left of the old one
# (boto3 refreshes within its last 15 minutes), but not before half of its life is over: a
# 15-minute credential would otherwise be renewed at every call.
REFRESH_EARLY: Final = 1200.0

# Seconds a grant of unknown end stays dead: longer than any grant lives (`MAX_SECONDS`).
LONGEST_GRANT: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant this device was given. `group` is the id of the caller group that asked, `agent` the
    agent that it is, if it is one: its sessions bear its name, so nobody shares them.
    """

    grant_id: str
    request_id: str
    role: str
    arn: str
    group: str
    tier: str
    share: str
    mode: str
    ends: Deadline
    agent: str = ""
    # Its person's which choice for the session it was, counted; 0: none. Elastic roles there stand
    # for the newest.
    chosen: int = 0
    token: str = field(repr=False, default="")  # the grant token: in memory only, ever

    @property
    def is_apart(self) -> bool:
        """Of an agent or a container: nobody else's, whatever the role says of sharing."""
        return bool(self.agent) or "@" in self.group


@dataclass(frozen=True, slots=True)
class Held:
    """One credential, `since` it came and until it `ends` (its own expiry or its grant's end)."""

    credentials: AwsCredentials = field(repr=False)
    since: Moment
    ends: Deadline


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer with these. `shared`: another group's grant; `refresh`: fetch the next one now."""

    grant: Grant
    held: Held
    shared: bool
    refresh: bool


@dataclass(frozen=True, slots=True)
class Mint:
    """The grant lives and has no usable credential: fetch one, nobody is asked."""

    grant: Grant
    shared: bool


@dataclass(frozen=True, slots=True)
class OutOfContact:
    """There is a credential, and the approver was silent for longer than the tier's lease."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Nothing:
    """No live grant covers this caller: somebody has to be asked."""


Look = Serve | Mint | OutOfContact | Nothing


class Cache:
    """The grants and credentials of one daemon. Memory only.

    `on_change` is called when a grant came or was ended, not when one ends by itself; `on_end`
    for each grant that somebody ended.
    """

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.on_end: Callable[[str, Moment], None] = lambda grant_id, now: None
        self._grants: dict[str, Grant] = {}
        self._held: dict[str, Held] = {}
        self._graves: dict[str, Deadline] = {}
        self.epoch = 0  # grows with each change of what may be served

    def look(
        self,
        role: str,
        group: str,
        now: Moment,
        contact: Moment | None,
        *,
        may_share: bool = True,
    ) -> Look:
        """What `group` may have as `role`. `contact`: when the last answered poll was *sent*."""
        grant = self.covering(role, group, now, may_share=may_share)
        if grant is None:
            return Nothing()
        held = self._held.get(grant.grant_id)
        shared = grant.group != group
        if held is None or held.ends.passed(now):
            return Mint(grant, shared)
        if not in_contact(grant.tier, now, contact):
            return OutOfContact(grant)
        return Serve(grant, held, shared, _wants_refresh(grant, held, now))

    def covering(
        self, role: str, group: str, now: Moment, *, may_share: bool = True
    ) -> Grant | None:
        """The live grant that `group` may use as `role`: its own before another group's."""
        best: Grant | None = None
        for grant in self.live(now):
            if grant.role != role:
                continue
            own = grant.group == group
            if not own and (grant.is_apart or not may_share or grant.share != "device"):
                continue
            rank = (own, grant.ends.wall)
            if best is None or rank > (best.group == group, best.ends.wall):
                best = grant
        return best

    def live(self, now: Moment) -> Iterator[Grant]:
        return (grant for grant in tuple(self._grants.values()) if not grant.ends.passed(now))

    def find(self, grant_id: str, now: Moment) -> Grant | None:
        grant = self._grants.get(grant_id)
        return None if grant is None or grant.ends.passed(now) else grant

    def open(self, grant: Grant, now: Moment) -> bool:
        """Take in a grant; False if it is over already (it was revoked while the answer came)."""
        if self.is_over(grant.grant_id, now) or grant.ends.passed(now):
            return False
        known = self._grants.get(grant.grant_id)
        if known is not None and known.chosen > grant.chosen:
            grant = replace(grant, chosen=known.chosen)  # resumed by a command; the choice stands
        self._grants[grant.grant_id] = grant
        self.on_change()
        self.epoch += 1
        return True

    def choose(self, grant: Grant, choice: int) -> Grant:
        """A live grant that its person chose for the session now."""
        lifting = self._grants[grant.grant_id] = replace(grant, chosen=choice)
        self.epoch += 1
        return lifting

    def is_over(self, grant_id: str, now: Moment) -> bool:
        """Whether this grant was said to be over before its time."""
        grave = self._graves.get(grant_id)
        return grave is not None and not grave.passed(now)

    def put(self, grant_id: str, credentials: AwsCredentials, now: Moment) -> bool:
        """Take in a credential; False, and it is dropped, unless its grant lives and it does."""
        grant = self.find(grant_id, now)
        if grant is None or not credentials.is_whole():
            return False
        ends = Deadline.at(credentials.expires_at, now).earliest(grant.ends)
        if ends.passed(now):
            return False
        self._held[grant_id] = Held(credentials, now, ends)
        self.epoch += 1
        return True

    def end(self, grant_id: str, now: Moment, *, until: float | None = None) -> Grant | None:
        """The grant is over: drop it, and whatever of it arrives before its end (unknown ones too).

        `until` is its end in unix seconds, if the message named one.
        """
        self.epoch += 1
        self.on_end(grant_id, now)
        grant = self._grants.pop(grant_id, None)
        self._held.pop(grant_id, None)
        latest = now.wall + LONGEST_GRANT
        end = grant.ends.wall if grant else min(until or latest, latest)
        grave, known = Deadline.at(end, now), self._graves.get(grant_id)
        if known is None or known.wall < grave.wall:
            self._graves[grant_id] = grave
        if grant is not None:
            self.on_change()
        return grant

    def forget(self, grant_id: str) -> None:
        """Drop a grant whose token the approver no longer takes. No grave: if the grant lives, the
        question that follows joins it and brings a new token; if not, nothing will name it."""
        self.epoch += 1
        self._held.pop(grant_id, None)
        if self._grants.pop(grant_id, None) is not None:
            self.on_change()

    def end_all(self, now: Moment, grant_ids: Collection[str] | None = None) -> list[Grant]:
        """End many at once (None: all), for a frozen device or `return --all`."""
        wanted = tuple(self._grants) if grant_ids is None else tuple(grant_ids)
        return [grant for each in wanted if (grant := self.end(each, now)) is not None]

    def sweep(self, now: Moment) -> None:
        """Forget what is over. For tidiness only: `look` needs no sweep to be right."""
        for grant_id in [each for each, grant in self._grants.items() if grant.ends.passed(now)]:
            del self._grants[grant_id]
            self._held.pop(grant_id, None)
        for grant_id in [each for each, end in self._graves.items() if end.passed(now)]:
            del self._graves[grant_id]


def in_contact(tier: str, now: Moment, contact: Moment | None) -> bool:
    """Whether the approver was heard recently enough to serve `tier`."""
    lease = LEASES.get(tier)
    return lease is None or (contact is not None and now.since(contact) < lease)


def _wants_refresh(grant: Grant, held: Held, now: Moment) -> bool:
    left = held.ends.left(now)
    life = held.ends.wall - held.since.wall
    more_to_come = grant.ends.wall > held.ends.wall
    return more_to_come and left < min(REFRESH_EARLY, life / 2)
