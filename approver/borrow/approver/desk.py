"""The parts of one approver, put together once and found under one key of the application."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003  dataclasses read annotations
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

    from borrow.approver.channels.calls import Calls
    from borrow.approver.channels.outbound import Outbound
    from borrow.approver.contacts import Contacts
    from borrow.approver.devices import Devices
    from borrow.approver.logchecks import LogChecks
    from borrow.approver.notices import Notices
    from borrow.approver.paces import Paces
    from borrow.approver.ports import MinterPort
    from borrow.approver.presence import Presences
    from borrow.approver.settings import ApproverSettings
    from borrow.approver.store import Store
    from borrow.approver.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Desk:
    """`signer` is A. `clock` gives unix seconds, `entropy(n)` n random bytes."""

    settings: ApproverSettings
    minter: MinterPort
    signer: ECKey = field(repr=False)
    clock: Callable[[], float]
    entropy: Callable[[int], bytes]
    store: Store
    waiting: Waiting
    devices: Devices
    notices: Notices
    paces: Paces
    calls: Calls
    outbound: Outbound
    contacts: Contacts
    presences: Presences
    log_checks: LogChecks
    vapid: ECKey | None = field(default=None, repr=False)  # signs pushes; without it there are none

    def is_admin(self, person: str) -> bool:
        return person in self.settings.admins()


DESK: Final = web.AppKey("DESK", Desk)
