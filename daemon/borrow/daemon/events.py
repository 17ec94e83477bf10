"""The long poll: what is over, what was done in our name, and proof that the approver is there.

Open while it is needed (a grant lives, a question is in the air). A revocation is taken out of the
cache before its event is acknowledged, so after the acknowledgement no serve of it starts (I9).
`last` is when the last *answered* poll was sent: the leases of sensitive roles count from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from borrow.protocol.errors import BorrowError, Unavailable
from borrow.protocol.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.moments import Moment
    from borrow.protocol.events import SecurityEvent

logger = logging.getLogger(__name__)

# As in borrow.protocol.events, which imports cryptography: the idle daemon must not.
SESSION_REVOKED: Final = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
NOTICE: Final = "urn:borrow:event:notice"

KEPT: Final = 50  # notices shown by `borrow`
PAUSE: Final = 0.5  # seconds after a failed poll: first; doubled up to …
LONGEST_PAUSE: Final = 5.0  # … this, so that contact is back soon after the approver is
CUT_AFTER: Final = 1.0  # seconds a poll is left alone when somebody waits for contact
SHORTEST: Final = 0.2  # seconds between two polls of an approver that answers at once
LONGEST_WAIT: Final = 900.0  # seconds a fetch waits for contact before it is told


class Events(Protocol):
    async def events(
        self, ack: list[str], *, at_once: bool, presence: str = ""
    ) -> tuple[list[SecurityEvent], list[str]]: ...


@dataclass(frozen=True, slots=True)
class Notice:
    """One line for a person. `text` is escaped already; `at` in unix seconds."""

    kind: str
    text: str
    hint: str
    role: str
    subject: str
    at: int
    request: str = ""
    grant: str = ""


class Poll:
    """One daemon's events poll. `run` is its task; the handlers are called in order, no awaits."""

    def __init__(
        self,
        approver: Events,
        *,
        now: Callable[[], Moment],
        on_ended: Callable[[str, float | None], None],
        on_frozen: Callable[[], None],
        on_notice: Callable[[Notice], None],
        on_contact: Callable[[], None] = lambda: None,
        presence: Callable[[], str] = lambda: "",
    ) -> None:
        self.last: Moment | None = None
        self.trouble: BorrowError | None = None  # why the last poll failed
        self.notices: deque[Notice] = deque(maxlen=KEPT)
        self._approver = approver
        self._now = now
        self._on_ended = on_ended
        self._on_frozen = on_frozen
        self._on_notice = on_notice
        self._on_contact = on_contact
        self._presence = presence
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._ack: list[str] = []
        self._sent = now()
        self._limit: asyncio.Timeout | None = None  # of the long poll under way

    def wake(self) -> None:
        """There is a reason to poll now."""
        self._wake.set()

    async def renewed(self) -> None:
        """Until a poll is answered that is sent about now.

        One that has been open for a while is cut: it may hang on a connection that a suspend or a
        change of network has killed, and its answer would prove less.
        """
        if self._limit is not None and self._now().since(self._sent) > CUT_AFTER:
            self._limit.reschedule(asyncio.get_running_loop().time())
            self._limit = None  # a time-out that fires cannot be moved again
        try:
            async with asyncio.timeout(LONGEST_WAIT):
                await self._answered.wait()
        except TimeoutError:
            raise Unavailable("the approver is out of reach", retry_after=5.0) from None

    async def run(self, needed: Callable[[], bool]) -> None:
        """For ever: poll while `needed()`, sleep without a timer otherwise."""
        pause, fresh = PAUSE, False
        while True:
            if not needed() and not self._ack:
                self._wake.clear()
                fresh = False
                await self._wake.wait()
            began = self._now()
            try:
                # The first poll of a spell asks for an answer at once: it proves contact before
                # the first elevated credential is served.
                await self._poll_while_left_alone(at_once=not fresh)
            except TimeoutError:
                fresh = False  # cut by `renewed`
                continue
            except BorrowError as exc:
                logger.info("events poll failed", extra={"why": exc.state})
                fresh = False
                self._tell(exc)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause, fresh = PAUSE, True
            self._tell(None)
            await asyncio.sleep(max(0.0, SHORTEST - self._now().since(began)))

    def _tell(self, trouble: BorrowError | None) -> None:
        before, self.trouble = self.trouble, trouble
        if (before and before.message) != (trouble and trouble.message):
            self._on_contact()

    async def _poll_while_left_alone(self, *, at_once: bool) -> None:
        """One poll; a long one may be cut by `renewed`, which is a TimeoutError here."""
        if at_once:
            await self._poll_once(at_once=True)
            return
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._poll_once(at_once=False)
        finally:
            self._limit = None

    async def _poll_once(self, *, at_once: bool) -> None:
        sent, ack = self._now(), list(self._ack)
        self._sent = sent
        presence = self._presence()
        good, bad = await self._approver.events(ack, at_once=at_once, presence=presence)
        self._ack = [jti for jti in self._ack if jti not in ack]
        for event in good:
            if event.jti not in self._ack:  # it comes again until its acknowledgement arrived
                self._take(event)
                self._ack.append(event.jti)  # only after the drop
        if bad:
            # Not acknowledged, so that the approver's operator sees them pile up.
            logger.warning("events that do not verify", extra={"count": len(bad)})
        first, self.last = self.last is None, sent
        if first:
            self._on_contact()
        event_, self._answered = self._answered, asyncio.Event()
        event_.set()

    def _take(self, event: SecurityEvent) -> None:
        kind, _, name = event.subject.partition(":")
        if event.kind == SESSION_REVOKED:
            if kind == "grant":
                self._on_ended(name, _end_in(event.details))
            elif kind == "device":
                self._on_frozen()
        elif event.kind == NOTICE:
            notice = read_notice(event.details, event.subject, event.issued_at)
            self.notices.append(notice)
            self._on_notice(notice)


def read_notice(details: dict[str, Any], subject: str, issued_at: int) -> Notice:
    """From a verified event; its words still come from people, so they are escaped here."""

    def text(name: str, limit: int = 300) -> str:
        value = details.get(name)
        return shown(value, limit) if isinstance(value, str) else ""

    return Notice(
        kind=text("kind", 40),
        text=text("text"),
        hint=text("hint", 120),
        role=text("role", 64),
        subject=shown(subject, 64),
        at=issued_at,
        request=text("request", 64),
        grant=text("grant", 64),
    )


def _end_in(details: dict[str, Any]) -> float | None:
    end = details.get("expires_at")
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None
