"""What the pages share: templates, files, their own address, and how often strangers call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web

from borrow.approver.paces import Paces
from borrow.approver.pages.guard import passkeys_work
from borrow.approver.pages.render import Renderer
from borrow.approver.pages.statics import Statics
from borrow.approver.settings import Network, networks_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.approver.settings import ApproverSettings

STRANGERS_BURST: Final = 40  # posts of one address that nobody is signed in behind …
STRANGERS_RATE: Final = 1.0  # … and how many a second after that; each may cost the minter a row


@dataclass(frozen=True, slots=True)
class Room:
    """`origin` is exactly what browsers call us."""

    origin: str
    trusted: tuple[Network, ...]
    renderer: Renderer
    statics: Statics
    strangers: Paces

    @classmethod
    def of(cls, settings: ApproverSettings, ticks: Callable[[], float]) -> Self:
        statics = Statics()
        return cls(
            settings.origin,
            networks_of(settings.trusted_proxies),
            Renderer(statics),
            statics,
            Paces(burst=STRANGERS_BURST, rate=STRANGERS_RATE, ticks=ticks),
        )

    @property
    def passkeys_work(self) -> bool:
        return passkeys_work(self.origin)


ROOM: Final = web.AppKey("ROOM", Room)
