"""Changes go out: grants end, tokens die, waiters wake, and people hear of it.

`publish` is the one way from a `Change` of the minter to rows and bells. The rows of a change are
one transaction; the bells ring after it. If the database fails, the change is kept and tried
again, because the minter has acted already and will not tell it twice.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from borrow.approver import outbox, tickets
from borrow.approver.channels.calls import BELL as CALLS
from borrow.approver.telling import OVER, STOPPED, asked_letters, letters_for
from borrow.minter.port import Change
from borrow.protocol.errors import Refused, Unavailable
from borrow.protocol.lifecycle import GrantState
from borrow.protocol.strict import b64url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

    from borrow.approver.channels.calls import Calls
    from borrow.approver.devices import Devices
    from borrow.approver.outbox import Letter
    from borrow.approver.ports import MinterPort
    from borrow.approver.settings import ApproverSettings
    from borrow.approver.store import Store
    from borrow.approver.waiting import Waiting
    from borrow.minter.port import RequestView

logger = logging.getLogger(__name__)

WEBHOOKS = "webhooks"  # the subject whose bell wakes the sender
_MOST_LATE = 10_000  # changes kept while the database fails
_JTI_BYTES = 16


class Notices:
    def __init__(
        self,
        settings: ApproverSettings,
        store: Store,
        waiting: Waiting,
        devices: Devices,
        calls: Calls,
        *,
        clock: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._settings = settings
        self._store = store
        self._waiting = waiting
        self._devices = devices
        self._calls = calls
        self._clock = clock
        self._entropy = entropy
        self._late: deque[Change] = deque(maxlen=_MOST_LATE)

    # -- whole ---------------------------------------------------------------------------------

    async def publish(self, changes: Sequence[Change]) -> None:
        """Never raises for a failing database: what the minter did is done."""
        if not changes:
            return
        letters: list[Letter] = []
        try:
            letters = await self.letters(changes)
            async with self._store.writing() as db:
                await self.apply(db, changes)
                await self.post(db, letters)
        except Unavailable as exc:
            logger.warning("changes wait for the database", extra={"state": exc.state})
            self.keep(changes)
        finally:
            self.ring(changes, letters)

    def keep(self, changes: Iterable[Change]) -> None:
        """For the next round: the minter has acted, and the caller could not write it down."""
        self._late.extend(changes)

    async def publish_late(self) -> None:
        late = tuple(self._late)
        self._late.clear()
        await self.publish(late)

    async def catch_up(self, minter: MinterPort) -> None:
        """Tell of grants that ended while nobody here was listening (a crash, a lost answer)."""
        async with self._store.reading() as db:
            known = await tickets.live_grants(db)
        for each in known:
            try:
                state = (await minter.grant(each.grant_id)).state
            except Refused:  # the minter knows no such grant (any more): then nobody has it
                state = GrantState.REVOKED
            if state is GrantState.ACTIVE:
                continue
            kind = f"grant_{state.value}"
            subject = f"grant:{each.grant_id}"
            await self.publish((Change(kind, each.person, each.client_id, subject, each.role),))

    # -- parts, for callers that have a transaction of their own --------------------------------

    async def letters(self, changes: Iterable[Change]) -> list[Letter]:
        out: list[Letter] = []
        for change in changes:
            if change.subject.startswith("device:"):
                self._devices.forget()
            owners = await self._devices.of({change.person})
            admins = await self._devices.of(self._settings.admins())
            out += letters_for(
                change,
                owners=[device.client_id for device in owners],
                admins=[device.client_id for device in admins],
                webhooks=self._settings.webhooks,
                now=self._clock(),
            )
        return out

    async def asked(self, view: RequestView) -> list[Letter]:
        """For those who may answer `view`; nobody if it is answered already."""
        if view.mode == "auto" or not view.deciders:
            return []
        devices = await self._devices.of(view.deciders)
        return asked_letters(
            view,
            devices=[d.client_id for d in devices if d.client_id != view.client_id],
            webhooks=self._settings.webhooks,
            now=self._clock(),
        )

    async def apply(self, db: AsyncConnection, changes: Iterable[Change]) -> None:
        """The tokens of what is over stop working, and people who are elsewhere are called."""
        every = tuple(changes)
        over = [c.subject.removeprefix("grant:") for c in every if c.kind in OVER]
        if over:
            await tickets.end_grants(db, over)
        for change in every:
            if change.kind in STOPPED:
                await tickets.stop_device(db, change.client_id)
        await self._calls.changed(db, every)

    async def call(self, db: AsyncConnection, view: RequestView) -> None:
        """Those who may answer `view`, wherever they are."""
        await self._calls.asked(db, view)

    async def post(self, db: AsyncConnection, letters: Sequence[Letter]) -> None:
        jtis = [b64url(self._entropy(_JTI_BYTES)) for _ in letters]
        await outbox.post(db, letters, jtis=jtis, now=self._clock())

    def ring(self, changes: Iterable[Change], letters: Iterable[Letter]) -> None:
        for change in changes:
            self._waiting.ring([change.subject, f"device:{change.client_id}"])
            request = change.details.get("request")
            if isinstance(request, str):
                self._waiting.ring([f"request:{request}"])
        self.ring_for(letters)

    def ring_for(self, letters: Iterable[Letter]) -> None:
        told = {
            WEBHOOKS if letter.channel == "webhook" else f"device:{letter.audience}"
            for letter in letters
        }
        self._waiting.ring([*told, CALLS])
