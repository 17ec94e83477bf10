"""The life of one flight: sign, send, wait for people, collect the grant.

Works against any approver with `Asks`; an unreachable one is asked again with growing pauses for
as long as somebody waits, because a refused call would end a running job that a minute's patience
saves. What it learns is written into the flight; the broker does the rest.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from borrow.daemon.cache import Grant
from borrow.daemon.flights import Flight, FlightState
from borrow.daemon.moments import Deadline, Moment
from borrow.protocol.errors import BorrowError, Needs, Refused, Unavailable
from borrow.protocol.oauth import NOT_RECORDED
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from borrow.daemon.config import DaemonConfig
    from borrow.daemon.upstream import Acknowledged, Redeemed
    from borrow.protocol.request import AwsRole, RequestObject

# Seconds between tries while the approver is out of reach: first, factor, longest.
PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0

# Seconds a question without acknowledgement (no approver, or a reason is missing) is kept, like
# the usual `pending` of a request.
UNANSWERED: Final = 900.0

REQUEST_LIFE: Final = 300  # seconds between nbf and exp of the request object
SHORTEST_POLL: Final = 0.2  # seconds; a peer that answers at once must not be asked in a tight loop
_LOST_ANSWERS: Final = 2  # times a flight asks again for a yes whose answer was lost
_JUST_OVER: Final = 1.0  # seconds between two asks around a grant's end
_LOOK_EVERY: Final = 3.0  # seconds between looks at who has seen a request, while someone watches


class Asks(Protocol):
    """What one flight needs of the approver."""

    async def ask(self, request: RequestObject) -> Acknowledged: ...
    async def redeem(self, auth_req_id: str, wanted: AwsRole) -> Redeemed | None: ...
    async def request_status(self, request_id: str) -> dict[str, Any]: ...


class Pilot:
    """Flies flights. `entropy(n)` gives n random bytes; `settled(role)` waits until what was given
    back of a role is known to the approver."""

    def __init__(
        self,
        approver: Asks,
        config: DaemonConfig,
        clock: Callable[[], Moment],
        entropy: Callable[[int], bytes],
        settled: Callable[[str], Awaitable[None]],
    ) -> None:
        self._approver = approver
        self._config = config
        self._clock = clock
        self._entropy = entropy
        self._settled = settled

    async def fly(self, flight: Flight) -> Grant:
        """Until the flight ends in a grant, or in one of our errors."""
        for left in range(_LOST_ANSWERS, -1, -1):
            await self._settled(flight.facts.name)
            await self._get_acknowledged(flight)
            try:
                grant = self._grant(flight, await self._redeemed(flight))
                if not left or not grant.ends.passed(self._clock()):
                    return grant
                # At a grant's very end the approver may still resume it: ask once it is over there.
                await asyncio.sleep(_JUST_OVER)
                flight.move(FlightState.ASKING)
            except Refused as exc:
                # Collected, says the approver, but not by us: the answer was lost on the way. A
                # fresh equal request joins the grant that is open; nobody is asked again. Or the
                # grant that this question joined ended meanwhile: then it is a question of its own.
                if exc.state not in ("invalid_grant", "grant_exhausted") or not left:
                    raise
                flight.move(FlightState.ASKING)
        raise RuntimeError("unreachable")

    async def _get_acknowledged(self, flight: Flight) -> None:
        acknowledged = await self._acknowledged(flight)
        flight.request, flight.joined = acknowledged.request, acknowledged.joined
        flight.auth_req_id = acknowledged.auth_req_id
        # Of a question that this one joined, people see the first one's number and words.
        flight.number = acknowledged.number or flight.number
        flight.words = acknowledged.words or flight.words
        flight.mode, flight.people = acknowledged.mode, acknowledged.asked
        flight.ends = self._in(acknowledged.expires_in)
        flight.move(FlightState.PENDING)

    def _grant(self, flight: Flight, redeemed: Redeemed) -> Grant:
        return Grant(
            grant_id=redeemed.grant_id,
            request_id=flight.request,
            role=redeemed.role.identifier,
            arn=redeemed.role.arn,
            group=flight.group.id,
            tier=flight.facts.tier,
            share=flight.facts.share,
            mode=redeemed.mode or flight.mode,
            ends=Deadline.at(redeemed.expires_at, self._clock()),
            agent=str(flight.context.get("agent", "")),
            chosen=flight.chosen,
            token=redeemed.token,
        )

    async def _acknowledged(self, flight: Flight) -> Acknowledged:
        pause = PAUSE
        while True:
            try:
                acknowledged = await self._approver.ask(self._request(flight))
            except Needs as exc:
                flight.needs = exc.fields
                flight.move(FlightState.NEEDS)
                await self._within(flight, flight.fed())
            except Unavailable as exc:
                too_late = self._clock().since(flight.since) > UNANSWERED
                if too_late or exc.state == NOT_RECORDED:
                    raise
                self._in_trouble(flight, exc)
                await asyncio.sleep(max(pause, min(exc.retry_after, LONGEST_PAUSE)))
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                flight.trouble = ""
                return acknowledged

    async def _within(self, flight: Flight, wait: Any) -> None:
        left = UNANSWERED - self._clock().since(flight.since)
        try:
            async with asyncio.timeout(max(left, 0.0)):
                await wait
        except TimeoutError:
            raise Refused(
                f"nobody gave what {flight.facts.name} needs: {', '.join(flight.needs)}",
                hint=f'`borrow ask {flight.facts.name} -m "…"`',
                state="needs",
            ) from None

    async def _redeemed(self, flight: Flight) -> Redeemed:
        pause = PAUSE
        wanted = self._role(flight)
        while True:
            began = self._clock()
            try:
                redeemed = await self._approver.redeem(flight.auth_req_id, wanted)
            except Unavailable as exc:
                self._give_up_late(flight, exc)
                self._in_trouble(flight, exc)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = PAUSE
            self._out_of_trouble(flight)
            if redeemed is not None:
                return redeemed
            await asyncio.sleep(max(0.0, SHORTEST_POLL - self._clock().since(began)))

    def _give_up_late(self, flight: Flight, exc: Unavailable) -> None:
        """Past its end no yes can come any more (the approval's own claim time included)."""
        if flight.ends is not None and flight.ends.left(self._clock()) < -UNANSWERED:
            raise exc

    async def look(self, flight: Flight) -> None:
        """Follow who has seen it and who is looking, until it ends: asked only while somebody
        watches."""
        while not flight.over:
            await asyncio.sleep(_LOOK_EVERY)
            if flight.state is not FlightState.PENDING or not (flight.watchers or flight.waiters):
                continue
            try:
                found = await self._approver.request_status(flight.request)
            except BorrowError:
                continue  # a courtesy; what matters comes over the other poll
            names = ("seen", "looking", "usual_wait", "halves")
            seen = {name: found[name] for name in names if found.get(name)}
            if seen != flight.seen:
                flight.seen = seen
                flight.touch()

    def _in_trouble(self, flight: Flight, exc: Unavailable) -> None:
        if flight.trouble != exc.message:
            flight.trouble = exc.message
            flight.touch()

    def _out_of_trouble(self, flight: Flight) -> None:
        if flight.trouble:
            flight.trouble = ""
            flight.touch()

    def _in(self, seconds: float) -> Deadline:
        now = self._clock()
        return Deadline(now.wall + seconds, now.boot + seconds)

    def _role(self, flight: Flight) -> AwsRole:
        from borrow.protocol.request import AwsRole  # late: it imports cryptography

        return AwsRole(
            identifier=flight.facts.name,
            arn=flight.facts.arn,
            seconds=flight.asked.seconds,
            justification=flight.asked.reason,
            ticket=flight.asked.ticket,
        )

    def _request(self, flight: Flight) -> RequestObject:
        """A fresh object at each try: its jti counts once, and its times must be near."""
        from borrow.protocol.request import RequestObject

        now = int(self._clock().wall)
        return RequestObject(
            client_id=self._config.client_id,
            issuer=self._config.issuer,
            owner=self._config.person,
            issued_at=now,
            expires_at=now + REQUEST_LIFE,
            jti=b64url(self._entropy(18)),
            number=flight.number,
            words=flight.words,
            role=self._role(flight),
            context=flight.context,
            extends=flight.extends,
        )
