"""The approver put together: routes, parts, and the tasks that run beside the calls."""

from __future__ import annotations

import asyncio
import logging
import secrets
from typing import TYPE_CHECKING

from aiohttp import web

from borrow.approver import (
    backchannel,
    catalogue,
    decisions,
    discovery,
    errors,
    events,
    ledger,
    outbox,
    passkeys,
    register,
    revoke,
    tickets,
    token,
    totp,
    webhook,
)
from borrow.approver.bodies import MAX_BODY
from borrow.approver.channels import deliver, handles
from borrow.approver.channels.calls import Calls
from borrow.approver.channels.outbound import Outbound
from borrow.approver.contacts import Contacts
from borrow.approver.desk import DESK, Desk
from borrow.approver.devices import Devices
from borrow.approver.logchecks import LogChecks
from borrow.approver.notices import Notices
from borrow.approver.paces import Paces
from borrow.approver.pages import routes as pages
from borrow.approver.pages import session
from borrow.approver.pages.room import ROOM, Room
from borrow.approver.presence import Presences
from borrow.approver.store import Store
from borrow.approver.waiting import Waiting
from borrow.protocol.errors import BorrowError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import AbstractResolver
    from joserfc.jwk import ECKey

    from borrow.approver.ports import MinterPort
    from borrow.approver.settings import ApproverSettings

logger = logging.getLogger(__name__)

STOP_SECONDS = 1.0  # for the work beside the calls to end by itself
TIDY_EVERY = 3_600.0  # seconds between two removals of rows that mean nothing any more


def build_app(
    settings: ApproverSettings,
    *,
    minter: MinterPort,
    signer: ECKey,
    vapid: ECKey | None = None,
    resolver: AbstractResolver | None = None,
    clock: Callable[[], float],
    entropy: Callable[[int], bytes] = secrets.token_bytes,
    ticks: Callable[[], float] | None = None,
) -> web.Application:
    """`signer` is A, `vapid` the key of its pushes. `resolver` finds those it sends to. `clock`
    gives unix seconds, `ticks` a monotonic time (the loop's own)."""
    store = Store(settings.db)
    waiting = Waiting(most=settings.max_waits, each=settings.max_waits_each)
    ticks = ticks or (lambda: asyncio.get_running_loop().time())
    devices = Devices(minter, ticks)
    presences = Presences(clock)
    calls = Calls(settings, presences.of, clock=clock, entropy=entropy)
    notices = Notices(settings, store, waiting, devices, calls, clock=clock, entropy=entropy)
    app = web.Application(client_max_size=MAX_BODY, middlewares=[errors.middleware(clock)])
    app[DESK] = Desk(
        settings=settings,
        minter=minter,
        signer=signer,
        clock=clock,
        entropy=entropy,
        store=store,
        waiting=waiting,
        devices=devices,
        notices=notices,
        paces=Paces(burst=settings.calls_burst, rate=settings.calls_rate, ticks=ticks),
        calls=calls,
        contacts=Contacts(clock),
        presences=presences,
        log_checks=LogChecks(minter),
        outbound=Outbound(settings.push_allow_hosts, resolver=resolver, proxy=settings.push_proxy),
        vapid=vapid,
    )
    app[ROOM] = Room.of(settings, ticks)
    app.add_routes(_routes())
    app.add_routes(pages.routes())
    app.cleanup_ctx.extend([_store, _outbound, _background])
    app.on_shutdown.append(_let_go)
    return app


def build_pages_app(main: web.Application) -> web.Application:
    """The pages alone. Shares the parts of `main`, which must be running: it owns the database."""
    desk = main[DESK]
    app = web.Application(client_max_size=MAX_BODY, middlewares=[errors.middleware(desk.clock)])
    app[DESK], app[ROOM] = desk, main[ROOM]
    app.add_routes(pages.routes())
    return app


def _routes() -> list[web.RouteDef]:
    """Every door of the approver. A GET changes nothing (but `seen`); HEAD is not served."""
    reads = {
        "/.well-known/openid-configuration": discovery.configuration,
        "/jwks": discovery.jwks,
        "/catalogue": catalogue.catalogue,
        "/requests/{id}": catalogue.asked,
        "/grants": catalogue.grants,
        "/passkeys": passkeys.listed,
        "/decisions": decisions.inbox,
        "/decisions/{id}": decisions.show,
        "/log/sth": ledger.head,
        "/log/entries": ledger.entries,
        "/log/check": ledger.check,
    }
    writes = {
        "/register": register.register,
        "/bc-authorize": backchannel.backchannel,
        "/token": token.token,
        "/revoke": revoke.revoke,
        "/decisions/{id}": decisions.decide,
        "/events": events.events,
        "/passkeys": passkeys.ceremony,
        "/passkeys/invitation": passkeys.invite,
        "/passkeys/removal": passkeys.remove,
        "/totp": totp.begin,
        "/totp/{id}": totp.confirm,
    }
    return [
        *(web.get(path, handler, allow_head=False) for path, handler in reads.items()),
        *(web.post(path, handler) for path, handler in writes.items()),
    ]


async def _store(app: web.Application) -> AsyncIterator[None]:
    await app[DESK].store.open()
    yield
    await app[DESK].store.close()


async def _outbound(app: web.Application) -> AsyncIterator[None]:
    await app[DESK].outbound.open()
    yield
    await app[DESK].outbound.close()


async def _background(app: web.Application) -> AsyncIterator[None]:
    """One owner for the tasks. A failure that nobody foresaw ends it, and is not silent."""
    # aiohttp enters and leaves a cleanup context in different tasks: the group has its own.
    owner = asyncio.get_running_loop().create_task(_beside(app[DESK]))
    owner.add_done_callback(_ended)
    yield
    # They end by themselves between two steps: a cut in the middle of one would leave a database
    # connection to the garbage collector. A receiver that does not answer is not waited for.
    app[DESK].waiting.close()
    await asyncio.wait([owner], timeout=STOP_SECONDS)
    owner.cancel()
    await asyncio.wait([owner], timeout=STOP_SECONDS)


async def _beside(desk: Desk) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_sweeping(desk))
        group.create_task(webhook.deliver(desk))
        group.create_task(deliver.deliver(desk))


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (exc := task.exception()) is not None:
        logger.critical("background work ended", extra={"kind": type(exc).__name__})


async def _let_go(app: web.Application) -> None:
    app[DESK].waiting.close()


async def _sweeping(desk: Desk) -> None:
    """Move deadlines, tell of it, tidy up. An outage is waited out; the next round does it all."""
    loop = asyncio.get_running_loop()
    caught_up, next_tidy = False, loop.time()
    with desk.waiting.watch(["sweep"]) as bell:
        while not bell.closing:
            try:
                await desk.notices.publish_late()
                await desk.notices.publish(await desk.minter.sweep())
                if not caught_up:
                    await desk.notices.catch_up(desk.minter)
                    caught_up = True
                if loop.time() >= next_tidy:
                    await _tidy(desk)
                    next_tidy = loop.time() + TIDY_EVERY
            except BorrowError as exc:
                extra = {"state": exc.state, "kind": type(exc).__name__}
                logger.warning("sweep failed", extra=extra)
            await bell.wait(desk.settings.sweep_every)


async def _tidy(desk: Desk) -> None:
    async with desk.store.writing() as db:
        await tickets.forget_old(db, now=desk.clock())
        await outbox.trim(db)
        await session.forget_old(db, now=desk.clock())
        await handles.forget_old(db, now=desk.clock())
