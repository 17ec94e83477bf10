"""The broker: callers on one side, the approver on the other, and at most one question between.

`fetch` is what every endpoint calls. It answers from memory if it may, else it joins or starts the
one flight of the caller's group and waits as long as that takes. `ask` is the deliberate form.
What may be served is `cache`'s rule, who shares a question `tower`'s; here they are joined.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from borrow.daemon.asking import UNANSWERED, Pilot
from borrow.daemon.atwork import AtWork
from borrow.daemon.cache import (
    Cache,
    Grant,
    Held,
    Mint,
    Nothing,
    OutOfContact,
    Serve,
    in_contact,
)
from borrow.daemon.denials import Denials
from borrow.daemon.elevation import Elevations
from borrow.daemon.flights import Flight, FlightState
from borrow.daemon.giving_back import GivingBack
from borrow.daemon.groups import session_key
from borrow.daemon.minting import Minting
from borrow.daemon.tower import Tower
from borrow.daemon.vends import Vends
from borrow.daemon.world import GRACE
from borrow.protocol.errors import BorrowError, Misconfigured, Refused, Unavailable
from borrow.protocol.oauth import NOT_RECORDED

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.catalogue import Catalogue, RoleFacts
    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.elevation import Offer
    from borrow.daemon.groups import Group
    from borrow.daemon.moments import Moment
    from borrow.daemon.tasks import Spawn
    from borrow.daemon.tower import Caller
    from borrow.daemon.upstream import Acknowledged, Redeemed
    from borrow.protocol.credentials import AwsCredentials
    from borrow.protocol.request import AwsRole, RequestObject

logger = logging.getLogger(__name__)

# Re-asks within one fetch after a grant turned out to be void upstream: a loop would be prompts.
_ANEW: Final = 2


class Approver(Protocol):
    """What the broker needs of the approver."""

    async def ask(self, request: RequestObject) -> Acknowledged: ...
    async def redeem(self, auth_req_id: str, wanted: AwsRole) -> Redeemed | None: ...
    async def request_status(self, request_id: str) -> dict[str, Any]: ...
    async def exchange(self, token: str, grant_id: str, role: AwsRole) -> AwsCredentials: ...
    async def cancel(self, auth_req_id: str) -> None: ...
    async def release(self, grant_id: str) -> None: ...


class Contact(Protocol):
    """The events poll, as far as the broker cares."""

    @property
    def last(self) -> Moment | None: ...
    def wake(self) -> None: ...
    async def renewed(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Served:
    """What a fetch ends with, and what the endpoint turns into its own document."""

    grant: Grant
    held: Held
    region: str = ""


class Broker:
    """One daemon's broker. `spawn` owns the tasks; `now` reads the clocks."""

    def __init__(
        self,
        config: DaemonConfig,
        approver: Approver,
        catalogue: Catalogue,
        contact: Contact,
        *,
        now: Callable[[], Moment],
        entropy: Callable[[int], bytes],
        spawn: Spawn,
        host: str = "",
        os_user: str = "",
        grace: float = GRACE,
        on_shared: Callable[[Group, Grant], None] = lambda group, grant: None,
        on_flight: Callable[[Flight], None] = lambda flight: None,
    ) -> None:
        self.config = config
        self.catalogue = catalogue
        self.cache = Cache()
        self._at_work = AtWork()
        self.cache.on_end = self._at_work.ended
        self.denials = Denials()
        self.elevations = Elevations()
        self.vends = Vends()
        self.now = now
        self._approver = approver
        self._contact = contact
        self._on_shared = on_shared
        self._shared_told: set[tuple[str, str]] = set()
        self._minting = Minting(approver, self.cache, now, spawn)
        self._giving_back = GivingBack(approver, now, spawn)
        self._tower = Tower(
            Pilot(approver, config, now, entropy, self._giving_back.settled),
            approver,
            catalogue,
            self.cache,
            self.denials,
            now=now,
            entropy=entropy,
            spawn=spawn,
            where={"host": host[:255], "os_user": os_user[:255]},
            grace=grace,
            wake=contact.wake,
            on_flight=on_flight,
        )

    # -- what is going on ----------------------------------------------------------------------

    @property
    def flights(self) -> tuple[Flight, ...]:
        return self._tower.flights

    def needs_contact(self) -> bool:
        """Whether the events poll must be open: a grant lives, or a question is in the air."""
        return bool(self.flights) or next(self.cache.live(self.now()), None) is not None

    # -- fetching ------------------------------------------------------------------------------

    def look(self, caller: Caller) -> Served | None:
        """The answer from memory, if there is one. This is the hot path: no IO, no task."""
        facts = self.catalogue.known(caller.group.role)
        if facts is None:
            return None
        target = self._target(caller.group, facts)
        found = self._look(target)
        if not isinstance(found, Serve):
            return None
        if found.refresh:
            self._minting.refresh(found.grant)
        if found.shared:
            self._tell_shared(caller.group, found.grant)
        if facts.base and target.role != facts.base:
            self._at_work.served(session_key(caller.group), found.grant, self.now())
        self.vends.note(caller.group, found.grant, found.held, self.now)
        return Served(found.grant, found.held, facts.region)

    async def fetch(self, caller: Caller) -> Served:
        """Wait until there is something to serve. Raises what it ended with instead."""
        began, left = self.now(), _ANEW
        while True:
            self.config.require_enrolled()
            facts = await self._facts(caller.group.role, began)
            served = self.look(caller)
            if served is not None:
                return served
            target = self._target(caller.group, facts)
            match self._look(target):
                case Serve():
                    continue
                case OutOfContact():
                    self._contact.wake()
                    await self._contact.renewed()
                case Mint(grant=grant):
                    left -= await self._mint(grant, target, left)
                case Nothing() if facts.base and target.role != facts.base:
                    await self._lift(caller, target, facts.base)
                case Nothing():
                    await self._tower.join(caller, target)

    async def _lift(self, caller: Caller, target: Group, base: str) -> None:
        """Wait for an accepted elevation. After a no the program goes on with the base."""
        chosen, _ = self._choice(caller.group, base)
        self.elevations.used(target)
        try:
            await self._tower.join(caller, target, chosen=chosen)
        except Refused as exc:
            self._at_work.let_go(session_key(caller.group))
            logger.info("not elevated", extra={"role": target.role, "why": exc.state})

    async def _mint(self, grant: Grant, group: Group, left: int) -> int:
        """Have a credential fetched; 1 if the grant was void and dropped, else 0."""
        if not in_contact(grant.tier, self.now(), self._contact.last):
            self._contact.wake()
            await self._contact.renewed()
        failed = self.denials.failure(group.key, self.now())
        if failed is not None:
            raise failed.with_traceback(None)  # raised often: its traceback must not grow
        try:
            await self._minting.mint(grant)
        except Unavailable as exc:
            if exc.state == NOT_RECORDED:
                self.denials.remember_failure(group.key, exc, self.now())
                raise
            logger.info("minting waits", extra={"grant": grant.grant_id, "why": exc.state})
            await asyncio.sleep(exc.retry_after)
        except Refused as exc:
            if exc.state not in ("invalid_grant", "wrong_state", "grant_exhausted") or not left:
                self.denials.remember_failure(group.key, exc, self.now())
                raise
            self.cache.forget(grant.grant_id)
            return 1
        except BorrowError as exc:
            self.denials.remember_failure(group.key, exc, self.now())
            raise
        return 0

    async def _facts(self, role: str, began: Moment) -> RoleFacts:
        """The role's labels; an approver out of reach is waited for, as for any question."""
        known = self.catalogue.known(role)
        pause = 0.5
        while known is None:
            try:
                known = await self.catalogue.role(role)
            except Unavailable as exc:
                if self.now().since(began) > UNANSWERED:
                    raise
                await asyncio.sleep(max(pause, min(exc.retry_after, 10.0)))
                pause = min(pause * 2, 10.0)
        return known

    def _target(self, group: Group, facts: RoleFacts) -> Group:
        """An elastic role stands for its base, until its callers were lifted to another role.

        By their person, for this session: what one command was run with (`borrow run OTHER`, a
        project's role for it) is not what the session's other programs run with. Of several
        choices the newest counts, however long an older one lasts.
        And where that role ran out under their hands: they wait for more of it, or for a no.
        """
        return group.for_role(self._choice(group, facts.base)[1]) if facts.base else group

    def _choice(self, group: Group, base: str) -> tuple[int, str]:
        """The newest choice of the session's person: its count and role; 0 and `base` if none."""
        now = self.now()
        choices = [
            (grant.chosen, grant.role)
            for grant in self.cache.live(now)
            if grant.chosen and grant.role != base and group.same_session(grant.group)
        ]
        choices += [
            (flight.chosen, flight.facts.name)
            for flight in self.flights
            if flight.accepted and not flight.over and group.same_session(flight.group.id)
        ]
        if wanted := self.elevations.wanted(group, now):
            choices.append((wanted.chosen, wanted.role))
        if cut_off := self._at_work.cut_off(session_key(group), now):
            choices.append((cut_off.chosen, cut_off.role))
        return max(choices, default=(0, base))

    def offer(self, group: Group, role: str, action: str) -> Offer | None:
        """Offer a role after a denied call; None if there is nothing to tell its person."""
        now = self.now()
        offer = self.elevations.offer(group, role, action, now)
        if offer is None and (agreed := self.elevations.wanted(group, now)):
            held = self.cache.covering(agreed.role, group.for_role(agreed.role).id, now)
            if held is not None and group.same_session(held.group):
                self.cache.choose(held, agreed.chosen)  # agreed to beforehand, and there already
                self.elevations.used(group)
        return offer

    def lifted_to(self, group: Group) -> str:
        """The role whose grant `group` is served from now, its own unless it is an elastic one."""
        facts = self.catalogue.known(group.role)
        return self._target(group, facts).role if facts is not None else group.role

    def _look(self, group: Group) -> Serve | Mint | OutOfContact | Nothing:
        return self.cache.look(
            group.role,
            group.id,
            self.now(),
            self._contact.last,
            may_share=not group.is_apart,
        )

    def _tell_shared(self, group: Group, grant: Grant) -> None:
        if (group.id, grant.grant_id) not in self._shared_told:
            self._shared_told.add((group.id, grant.grant_id))
            self._on_shared(group, grant)

    # -- flights -------------------------------------------------------------------------------

    def keep(self, caller: Caller) -> None:
        """Our own limit cuts this caller, not its own will: the question stays open."""
        if flight := self.flight_of(caller):
            flight.deliberate = True

    def flight_of(self, caller: Caller) -> Flight | None:
        """The question `caller` would wait for, if it is in the air."""
        facts = self.catalogue.known(caller.group.role)
        target = self._target(caller.group, facts) if facts else caller.group
        return self._tower.of(target)

    async def ask(self, caller: Caller, *, extends: Grant | None = None) -> Flight | Grant:
        """A person's own question: the flight to watch, or the grant that is there already."""
        self.config.require_enrolled()
        facts = await self.catalogue.role(caller.group.role)
        group = caller.group
        now = self.now()
        if extends is None:
            found = self._look(group)
            if not isinstance(found, Nothing):
                return self._chosen(group, found.grant)
        waiting = [
            each
            for each in self.flights
            if each.state is FlightState.NEEDS and each.facts.name == facts.name
        ]
        for each in waiting:
            each.feed(caller.asked)
        flight = self._tower.of(group) or (waiting[0] if waiting else None)
        if flight is None:
            reason = caller.asked.reason
            if denied := self.denials.recall(group.key, now, new_reason=reason):
                raise denied.with_traceback(None)
            self.denials.forget(group.key)
            flight = await self._tower.start(caller, group, deliberate=True, extends=extends)
        flight.deliberate = True
        choice = self.elevations.choice() if extends is None else extends.chosen
        flight.chosen = max(flight.chosen, choice)
        if self.elevations.accept(group, now) and group.same_session(flight.group.id):
            flight.accepted = True
        return flight

    def _chosen(self, group: Group, grant: Grant) -> Grant:
        if not group.same_session(grant.group):
            return grant
        return self.cache.choose(grant, self.elevations.choice())

    async def take_back(self, request: str) -> None:
        """End an open question because its person says so; raises Refused if there is none."""
        await self._tower.take_back(request)

    # -- ends ----------------------------------------------------------------------------------

    def give_back(self, grants: list[Grant]) -> None:
        """Serve nothing of them from now on; the approver is told as soon as it can be."""
        for grant in grants:
            self.cache.end(grant.grant_id, self.now())
            self._giving_back.release(grant)

    def own_grant(self, role: str, group: Group | None, grant_id: str = "") -> Grant:
        """The live grant of `role`, the group's own first; Misconfigured if there is none.

        With `grant_id` only that one. An agent has its own only: its person's are not its to
        prolong.
        """
        now = self.now()
        live = [
            grant
            for grant in self.cache.live(now)
            if grant.role == role and grant_id in ("", grant.grant_id)
        ]
        if group is not None and group.agent:
            live = [grant for grant in live if grant.group == group.id]
        if not live:
            raise Misconfigured(f"no live grant of {role!r}", hint="`borrow` shows what you hold")
        own = [grant for grant in live if group is not None and grant.group == group.id]
        return max(own or live, key=lambda grant: grant.ends.wall)
