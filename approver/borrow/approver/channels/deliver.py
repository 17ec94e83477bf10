"""Letters of these channels on their way, beside the calls: one at a time to each audience.

A receiver that is slow holds up nobody but itself. What was not taken is tried again with growing
pauses until nobody would want it any more; it is in the outbox, so a restart loses nothing (and may
send one thing twice, which replaces itself). A browser that its service says is gone is forgotten.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from borrow.approver import outbox
from borrow.approver.channels import handles, hook, ntfy, subscriptions, webpush
from borrow.approver.channels.calling import QUESTIONS
from borrow.approver.channels.calls import BELL, CHANNELS, Spoken, spoken_in
from borrow.approver.channels.webpush import SALT_BYTES
from borrow.protocol.errors import BorrowError, Refused, Unavailable

if TYPE_CHECKING:
    from borrow.approver.channels.calling import Kind
    from borrow.approver.channels.outbound import Reply
    from borrow.approver.channels.subscriptions import Subscription
    from borrow.approver.desk import Desk
    from borrow.approver.outbox import Due

logger = logging.getLogger(__name__)

PAUSES: Final = (1.0, 4.0, 15.0, 60.0, 240.0, 900.0)  # seconds before the next tries; then the last
MOST_PAUSE: Final = 3_600.0  # whatever a receiver asks for
AT_ONCE: Final = 64
_URGENCY: Final[dict[Kind, str]] = {  # RFC 8030 §5.3: what wakes a phone that saves its battery
    "ask": "high",
    "own": "high",
    "alarm": "high",
    "test": "high",
    "grant": "normal",
    "more": "low",
    "withdraw": "normal",
}


class Outcome(Enum):
    TAKEN = "taken"
    GONE = "gone"  # the browser unsubscribed
    LATER = "later"
    NEVER = "never"  # the same again would get the same answer


async def deliver(desk: Desk) -> None:
    """Runs until the approver stops; an outage of database or receiver does not end it."""
    async with asyncio.TaskGroup() as group:
        sender = Sender(desk, group)
        with desk.waiting.watch([BELL]) as bell:
            while not bell.closing:
                more = False
                try:
                    await desk.calls.settle(desk.store, desk.minter, sender.is_flying)
                    more = await sender.launch()
                except BorrowError as exc:
                    logger.warning("calls wait", extra={"state": exc.state})
                if not more:
                    await bell.wait(desk.settings.sweep_every)


class Sender:
    def __init__(self, desk: Desk, group: asyncio.TaskGroup) -> None:
        self._desk = desk
        self._group = group
        self._flying: dict[str, str] = {}  # audience -> jti

    def is_flying(self, jti: str) -> bool:
        return jti in self._flying.values()

    async def launch(self) -> bool:
        """Send what is due; whether there is more to send at once."""
        room = AT_ONCE - len(self._flying)
        if room <= 0:
            return False  # the next one that lands rings
        async with self._desk.store.reading() as db:
            found = await outbox.due(
                db,
                room,
                channels=CHANNELS,
                issuer=self._desk.settings.issuer,
                now=self._desk.clock(),
                busy=self._flying.keys(),
            )
        for letter in found:
            if letter.event.audience not in self._flying:
                self._flying[letter.event.audience] = letter.event.jti
                self._group.create_task(self._fly(letter))
        return len(found) == room

    async def _fly(self, letter: Due) -> None:
        try:
            outcome, reply = await self._send(letter)
            await self._note(letter, outcome, reply.retry_after if reply else 0.0)
        except BorrowError as exc:  # the database: it is sent again
            logger.warning("a call was not noted", extra={"state": exc.state})
        finally:
            del self._flying[letter.event.audience]
            self._desk.waiting.ring([BELL])

    async def _send(self, letter: Due) -> tuple[Outcome, Reply | None]:
        spoken = spoken_in(letter.event.details)
        if spoken.until <= self._desk.clock():
            return Outcome.NEVER, None
        try:
            reply = await self._post(letter, spoken)
        except Unavailable:
            return Outcome.LATER, None
        except Refused:
            return Outcome.NEVER, None
        return (Outcome.GONE, None) if reply is None else (outcome_of(reply), reply)

    async def _post(self, letter: Due, spoken: Spoken) -> Reply | None:
        """None if there is nobody to send to any more."""
        desk, audience = self._desk, letter.event.audience
        if letter.channel == "push":
            async with desk.store.reading() as db:
                to = await subscriptions.find(db, audience)
            # With a passkey go the browsers that it had signed in, whoever removed it.
            if to is None or not await desk.minter.passkey_is_active(to.credential):
                return None
            return await push(desk, to, spoken)
        ways = desk.settings.channels.get(audience)
        link = f"{desk.settings.origin}/push/open/{spoken.handle}"
        if ways is not None and letter.channel == "ntfy" and ways.ntfy:
            body, headers = ntfy.message(
                ways, spoken.kind, handle=spoken.handle, link=link, quiet=spoken.quiet
            )
            return await desk.outbound.post(ways.ntfy, body, headers)
        if ways is not None and letter.channel == "hook" and ways.webhook:
            body, headers = hook.message(
                ways,
                spoken.kind,
                handle=spoken.handle,
                link=link,
                jti=letter.event.jti,
                now=desk.clock(),
            )
            return await desk.outbound.post(ways.webhook, body, headers)
        return None

    async def _note(self, letter: Due, outcome: Outcome, retry_after: float) -> None:
        desk, event = self._desk, letter.event
        spoken, now = spoken_in(event.details), desk.clock()
        is_push = letter.channel == "push"
        pause = PAUSES[min(letter.tries, len(PAUSES) - 1)]
        next_try = now + min(max(pause, retry_after), MOST_PAUSE)
        async with desk.store.writing() as db:
            moot = next_try >= spoken.until or (
                spoken.kind in QUESTIONS and await handles.is_closed(db, spoken.handle)
            )
            if outcome is Outcome.LATER and not moot:
                await outbox.failed(db, event.jti, next_try=next_try)
            else:
                await outbox.delivered(db, event.jti)
            if is_push and outcome is Outcome.TAKEN:
                await subscriptions.worked(db, event.audience, now=now)
            elif is_push and outcome is Outcome.GONE:
                await subscriptions.remove(db, event.audience)
            elif is_push and spoken.until > now:
                await subscriptions.failed(db, event.audience)
        extra = {"channel": letter.channel, "kind": spoken.kind, "outcome": outcome.value}
        logger.info("called", extra=extra)


async def push(desk: Desk, to: Subscription, spoken: Spoken) -> Reply:
    """One message to one browser. Raises Refused or Unavailable (`Outbound.post`)."""
    if desk.vapid is None:
        raise Unavailable("this approver has no key for push")
    now = desk.clock()
    body = webpush.seal(
        webpush.payload_of(spoken.handle, spoken.kind, quiet=spoken.quiet),
        to.keys,
        ephemeral=ec.generate_private_key(ec.SECP256R1()),
        salt=desk.entropy(SALT_BYTES),
    )
    headers = webpush.headers_for(
        to.endpoint,
        vapid=desk.vapid,
        contact=desk.settings.push_contact or desk.settings.origin,
        now=now,
        ttl=int(spoken.until - now),
        urgency="low" if spoken.quiet and spoken.kind != "withdraw" else _URGENCY[spoken.kind],
        topic=spoken.handle,
    )
    reply = await desk.outbound.post(to.endpoint, body, headers)
    if outcome_of(reply) is Outcome.NEVER:
        host = urlsplit(to.endpoint).hostname
        logger.warning("a push was refused", extra={"host": host, "status": reply.status})
    return reply


def outcome_of(reply: Reply) -> Outcome:
    if 200 <= reply.status < 300:
        return Outcome.TAKEN
    if reply.status in (404, 410):
        return Outcome.GONE
    if reply.status in (408, 429) or reply.status >= 500:
        return Outcome.LATER
    return Outcome.NEVER  # a redirect, too: it is not followed
