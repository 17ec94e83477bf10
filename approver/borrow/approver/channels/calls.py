"""Calls written down: handles and letters, in the transaction of what caused them.

A question that was answered is withdrawn by `settle`, which asks the minter and not whoever
decided: so it does not matter by which door the answer came, nor whether a crash cut it off.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from borrow.approver import outbox, waves
from borrow.approver.channels import calling, handles, subscriptions
from borrow.approver.channels.handles import HANDLE_BYTES, Handle
from borrow.approver.outbox import Letter
from borrow.protocol.errors import Refused
from borrow.protocol.lifecycle import RequestState
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from borrow.approver.channels.calling import Call, Kind
    from borrow.approver.outbox import Channel
    from borrow.approver.ports import MinterPort
    from borrow.approver.presence import State
    from borrow.approver.settings import ApproverSettings
    from borrow.approver.store import Store
    from borrow.minter.port import Change, RequestView

CHANNELS: Final[tuple[Channel, ...]] = ("push", "ntfy", "hook")
CALL: Final = "call"  # the kind of these letters
BELL: Final = "calls"  # the subject whose bell wakes the sender
_JTI_BYTES: Final = 16
_AT_ONCE: Final[Mapping[str, float]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a letter of these channels says."""

    handle: str
    kind: Kind
    quiet: bool
    until: float

    def details(self) -> dict[str, Any]:
        return {
            "handle": self.handle,
            "kind": self.kind,
            "quiet": self.quiet,
            "until": self.until,
        }


class Calls:
    def __init__(
        self,
        settings: ApproverSettings,
        presence: Callable[[str], State | None],
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._presence = presence
        self._clock = clock
        self._entropy = entropy

    async def asked(self, db: AsyncConnection, view: RequestView) -> None:
        calls = calling.calls_for_request(view)
        after = waves.delays([call.person for call in calls], self._presence)
        await self._call(db, calls, after)

    async def changed(self, db: AsyncConnection, changes: Iterable[Change]) -> None:
        await self._call(db, calling.calls_for_changes(changes, self._clock()))

    async def looked(self, db: AsyncConnection, view: RequestView) -> None:
        """Somebody opened it for the first time: who was not called yet is called later."""
        until = waves.held_until(view.asked_at, self._clock())
        open_ones = await handles.of_subject(db, f"request:{view.request_id}")
        subjects = [_subject(each) for each in open_ones]
        await outbox.hold(db, subjects, CHANNELS, now=self._clock(), until=until)

    async def settle(self, store: Store, minter: MinterPort, busy: Callable[[str], bool]) -> None:
        """Withdraw what nobody has to answer any more. `busy(jti)`: it is being sent just now."""
        async with store.reading() as db:
            waiting = await handles.open_ones(db, calling.QUESTIONS)
        outcomes: dict[str, str] = {}
        for subject in {each.subject for each in waiting}:
            if outcome := await _outcome(minter, subject.removeprefix("request:")):
                outcomes[subject] = outcome
        over = [each for each in waiting if each.subject in outcomes]
        if not over:
            return
        async with store.writing() as db:
            for each in over:
                await handles.close(db, each.handle, outcomes[each.subject], now=self._clock())
                await self._withdraw(db, each, busy)

    # -- inside --------------------------------------------------------------------------------

    async def _call(
        self, db: AsyncConnection, calls: Iterable[Call], after: Mapping[str, float] = _AT_ONCE
    ) -> None:
        """`after`: seconds that a person is called later."""
        now = self._clock()
        for call in calls:
            audiences = await self._audiences(db, call.person)
            if not audiences:
                continue
            past = await handles.lately(db, call.person, now - calling.REMEMBERED)
            manner = calling.manner_of(call, past, now)
            if manner == "none":
                continue
            subject, kind = call.subject, call.kind
            if manner == "more":
                subject, kind = calling.INBOX, "more"
            fresh = b64url(self._entropy(HANDLE_BYTES))
            opened = Handle(
                fresh, call.person, subject, kind, call.source, now, call.until, None, ""
            )
            spoken = Spoken(
                await handles.add(db, opened), kind, quiet=manner != "loud", until=call.until
            )
            await self._post(db, audiences, spoken, after.get(call.person, 0.0))

    async def _withdraw(
        self, db: AsyncConnection, handle: Handle, busy: Callable[[str], bool]
    ) -> None:
        """What was not sent yet is not sent; where it may have been, it is replaced."""
        unsent = set()
        for jti, letter, tries in await outbox.of_subject(db, _subject(handle.handle), CHANNELS):
            if busy(jti):
                continue  # it is followed by the withdrawal: one audience gets one at a time
            await outbox.delivered(db, jti)
            if tries == 0:
                unsent.add((letter.channel, letter.audience))
        audiences = await self._audiences(db, handle.person)
        until = self._clock() + calling.WITHDRAW_SECONDS
        spoken = Spoken(handle.handle, "withdraw", quiet=True, until=until)
        await self._post(db, [each for each in audiences if each not in unsent], spoken)

    async def _audiences(self, db: AsyncConnection, person: str) -> list[tuple[Channel, str]]:
        found: list[tuple[Channel, str]] = [
            ("push", each.id) for each in await subscriptions.of(db, {person})
        ]
        ways = self._settings.channels.get(person)
        if ways is not None and ways.ntfy:
            found.append(("ntfy", person))
        if ways is not None and ways.webhook:
            found.append(("hook", person))
        return found

    async def _post(
        self,
        db: AsyncConnection,
        audiences: Sequence[tuple[Channel, str]],
        spoken: Spoken,
        after: float = 0.0,
    ) -> None:
        letters = [
            Letter(audience, CALL, _subject(spoken.handle), spoken.details(), channel)
            for channel, audience in audiences
        ]
        jtis = [b64url(self._entropy(_JTI_BYTES)) for _ in letters]
        await outbox.post(db, letters, jtis=jtis, now=self._clock(), after=after)


def spoken_in(details: dict[str, Any]) -> Spoken:
    return Spoken(**details)


def _subject(handle: str) -> str:
    return f"handle:{handle}"


async def _outcome(minter: MinterPort, request_id: str) -> str:
    """ "" while it waits for an answer."""
    try:
        state = (await minter.request(request_id)).state
    except Refused:  # the minter knows no such request (any more)
        return "answered"
    if state is RequestState.PENDING:
        return ""
    return "unanswered" if state is RequestState.EXPIRED else "answered"
