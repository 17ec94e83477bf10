"""Solo mode's phone: questions of low roles on an ntfy topic, with three numbers to press.

Beside the approver of the solo process. A press becomes this device's signed consent, as a click at
the workstation would, with the pressed number in the statement. What is pending is asked of the
minter; nothing here is kept over a restart but the topics' names.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NamedTuple

from borrow.approver.channels import buttons
from borrow.approver.channels.calling import MOST_CALLS, WINDOW, WORDS
from borrow.approver.channels.calls import BELL
from borrow.approver.channels.outbound import Outbound
from borrow.approver.desk import DESK
from borrow.cli.phonefile import read_phone, reply_topic
from borrow.daemon.answering import Answer, answer_request
from borrow.protocol.errors import BorrowError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from borrow.approver.channels.buttons import Question
    from borrow.approver.desk import Desk
    from borrow.cli.assembly import Parts
    from borrow.cli.home import Home
    from borrow.cli.phonefile import PhoneSettings
    from borrow.daemon.upstream import Upstream

logger = logging.getLogger(__name__)

QUIET: Final = 120.0  # seconds; ntfy sends a keepalive every 45
PAUSES: Final = (1.0, 2.0, 5.0, 15.0, 60.0)  # seconds before the next tries; then the last
LOOK_EVERY: Final = 30.0  # seconds, should no bell ring: a request ends by itself too
REPLACED_WITHIN: Final = 3_600.0  # seconds; an older question is answered by nothing anyway
WHY: Final = "a wrong number was pressed on the phone"


class _Letter(NamedTuple):
    body: bytes
    headers: dict[str, str]
    until: float


class Phone:
    def __init__(
        self,
        settings: PhoneSettings,
        reply: str,
        *,
        desk: Desk,
        outbound: Outbound,
        upstream: Upstream,
        person: str,
        random: Random,
    ) -> None:
        self._topic = settings.topic
        self._name = reply  # it also keys the opaque ids
        self._reply = f"{settings.server}/{reply}"
        self._sent_with = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
        self._desk = desk
        self._outbound = outbound
        self._upstream = upstream
        self._person = person
        self._random = random
        self._open: dict[str, Question] = {}
        self._over: set[str] = set()  # pressed already, whatever came of it
        self._owed: dict[str, _Letter] = {}  # by handle: the last word about each
        self._asked_at: deque[float] = deque(maxlen=MOST_CALLS)
        self._heard = ""  # the server's time of the last event
        self._listening = asyncio.Event()

    async def run(self) -> None:
        """Until it is cancelled. A server that is away is tried again and again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._tell())

    # -- asking --------------------------------------------------------------------------------

    async def _tell(self) -> None:
        await self._listening.wait()  # no button before somebody hears it
        failed = 0
        with self._desk.waiting.watch([BELL]) as bell:
            while not bell.closing:
                try:
                    await self._look()
                    await self._send()
                    failed = 0
                except BorrowError as exc:
                    logger.warning("the phone was not told", extra={"why": exc.message})
                    await asyncio.sleep(_pause(failed))
                    failed += 1
                    continue
                await bell.wait(LOOK_EVERY)

    async def _look(self) -> None:
        now = self._desk.clock()
        views = await self._desk.minter.requests_for(self._person)
        waiting = {v.request_id: v for v in views if buttons.may_press(v, self._person)}
        self._over &= waiting.keys()
        for request in self._open.keys() - waiting.keys():
            self._open.pop(request)
            self._owe(request, WORDS["withdraw"])
        for request, view in waiting.items():
            if request in self._open or request in self._over:
                continue
            full = len(self._asked_at) == MOST_CALLS
            if full and self._asked_at[0] > now - WINDOW:
                return  # a person who is called too often stops looking
            self._asked_at.append(now)
            token = secrets.token_urlsafe(18)
            asked = buttons.question(view, token, self._random)
            self._open[request] = asked
            self._owe(request, buttons.ASK, asked)

    def _owe(self, request: str, words: tuple[str, str], asked: Question | None = None) -> None:
        """`words` are the last ones about `request`, with buttons if it is `asked`."""
        handle = buttons.handle_of(request, self._name)
        loud = asked is not None or words == buttons.WRONG
        shown = buttons.actions(asked, self._reply) if asked else ""
        body, headers = buttons.message(words, handle, loud=loud, actions=shown)
        until = asked.until if asked else self._desk.clock() + REPLACED_WITHIN
        self._owed[handle] = _Letter(body, headers | self._sent_with, until)

    async def _send(self) -> None:
        for handle, letter in tuple(self._owed.items()):
            if self._owed.get(handle) is not letter:
                continue  # it was answered meanwhile
            if letter.until > self._desk.clock():
                reply = await self._outbound.post(self._topic, letter.body, letter.headers)
                if not 200 <= reply.status < 300:
                    raise Unavailable(f"the ntfy server answers {reply.status}")
            if self._owed.get(handle) is letter:
                del self._owed[handle]

    # -- being answered ------------------------------------------------------------------------

    async def _listen(self) -> None:
        failed = 0
        while True:
            # Nothing of before our first look: its tokens died with an earlier process.
            since = f"?since={self._heard}" if self._heard else ""
            lines = self._outbound.lines(f"{self._reply}/json{since}", self._sent_with, quiet=QUIET)
            try:
                async with aclosing(lines):
                    async for line in lines:
                        if await self._take(line):
                            failed = 0
            except BorrowError as exc:
                if failed == 1:  # not for each short break, nor again and again
                    logger.warning("the phone's answers are not heard", extra={"why": exc.message})
            await asyncio.sleep(_pause(failed))
            failed += 1

    async def _take(self, line: bytes) -> bool:
        """Whether `line` is an event of the stream at all."""
        event = buttons.read_event(line)
        if event is None:
            return False
        self._heard = str(event.time)
        self._listening.set()
        if event.kind == "message":
            found = buttons.answered(event.text, self._open.values())
            if found is not None:
                await self._press(*found)
        return True

    async def _press(self, asked: Question, number: str) -> None:
        """One answer to each request: it is forgotten before anything is done with it."""
        del self._open[asked.request]
        self._over.add(asked.request)
        answer = Answer("approve", request_hash=asked.request_hash, number=number)
        words = buttons.TAKEN
        try:
            await answer_request(self._upstream, asked.request, answer)
        except Refused as exc:
            words = buttons.WRONG if exc.state == "number_mismatch" else buttons.FAILED
        except BorrowError:
            words = buttons.FAILED
        if words is not buttons.TAKEN:
            logger.warning("a press did not count", extra={"request": asked.request})
        if words is buttons.WRONG:
            await self._end(asked.request)
        self._owe(asked.request, words)
        self._desk.waiting.ring([BELL])

    async def _end(self, request: str) -> None:
        """One number in three is right by chance: there is no second try."""
        try:
            await answer_request(self._upstream, request, Answer("deny", reason=WHY))
        except BorrowError as exc:
            logger.warning("not ended", extra={"request": request, "state": exc.state})


def _pause(failed: int) -> float:
    return PAUSES[min(failed, len(PAUSES) - 1)]


@contextlib.asynccontextmanager
async def beside(home: Home, parts: Parts) -> AsyncIterator[None]:
    """The phone of this home, if it has one, for as long as the approver serves."""
    settings = read_phone(home.state.path)
    if settings is None:
        yield
        return
    from borrow.daemon.config import load_config
    from borrow.daemon.device import require_device
    from borrow.daemon.transport import Transport
    from borrow.daemon.upstream import Upstream

    config, keys = load_config(home.state), require_device(home.state)
    desk = parts.app[DESK]
    upstream = Upstream(
        lambda: Transport(config, lambda: keys, clock=desk.clock, entropy=os.urandom)
    )
    outbound = Outbound(settings.allow_hosts)
    phone = Phone(
        settings,
        reply_topic(home.state.path),
        desk=desk,
        outbound=outbound,
        upstream=upstream,
        person=config.person,
        random=secrets.SystemRandom(),
    )
    async with contextlib.AsyncExitStack() as stack:
        await outbound.open()
        stack.push_async_callback(outbound.close)
        stack.push_async_callback(upstream.close)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(phone.run())
        stack.callback(task.cancel)
        yield
