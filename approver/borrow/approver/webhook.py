"""Notices to other systems by push (RFC 8935): a signed event, POSTed, until it is taken.

Three tries, then it is given up and logged: a webhook is for reading, and nothing waits for it.
Redirects are not followed, and no proxy settings of the environment are taken.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp

from borrow.approver import outbox
from borrow.approver.notices import WEBHOOKS
from borrow.protocol.errors import BorrowError
from borrow.protocol.events import sign_event

if TYPE_CHECKING:
    from borrow.approver.desk import Desk
    from borrow.approver.outbox import Channel, Due

logger = logging.getLogger(__name__)

TRIES: Final = 3
TRY_SECONDS: Final = 5.0
PAUSES: Final = (1.0, 10.0)  # seconds before the second and the third try
_CHANNELS: Final[tuple[Channel, ...]] = ("webhook",)
AT_ONCE: Final = 16  # letters in one round


async def deliver(desk: Desk) -> None:
    """Runs until the approver stops; an outage of database or receiver does not end it."""
    if not desk.settings.webhooks:
        return
    timeout = aiohttp.ClientTimeout(total=TRY_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
        with desk.waiting.watch([WEBHOOKS]) as bell:
            while True:
                try:
                    busy = await _round(desk, session)
                except BorrowError as exc:
                    logger.warning("webhooks wait", extra={"state": exc.state})
                    busy = False
                if bell.closing:
                    return
                if not busy:
                    await bell.wait(desk.settings.sweep_every)


async def _round(desk: Desk, session: aiohttp.ClientSession) -> bool:
    async with desk.store.reading() as db:
        waiting = await outbox.due(
            db,
            AT_ONCE,
            channels=_CHANNELS,
            issuer=desk.settings.issuer,
            now=desk.clock(),
        )
    async with asyncio.TaskGroup() as group:
        for letter in waiting:
            group.create_task(_send(desk, session, letter))
    return len(waiting) == AT_ONCE


async def _send(desk: Desk, session: aiohttp.ClientSession, letter: Due) -> None:
    event = letter.event
    taken = event.audience in desk.settings.webhooks and await _post(desk, session, letter)
    last = letter.tries + 1 >= TRIES or event.audience not in desk.settings.webhooks
    if not taken and last:
        host = urlsplit(event.audience).hostname  # the path of a webhook is often its secret
        logger.warning("webhook gave up", extra={"host": host, "jti": event.jti})
    async with desk.store.writing() as db:
        if taken or last:
            await outbox.delivered(db, event.jti)
        else:
            next_try = desk.clock() + PAUSES[letter.tries]
            await outbox.failed(db, event.jti, next_try=next_try)


async def _post(desk: Desk, session: aiohttp.ClientSession, letter: Due) -> bool:
    token = sign_event(letter.event, desk.signer)
    headers = {"Content-Type": "application/secevent+jwt", "Accept": "application/json"}
    try:
        async with session.post(
            letter.event.audience, data=token.encode(), headers=headers, allow_redirects=False
        ) as answer:
            return 200 <= answer.status < 300
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
