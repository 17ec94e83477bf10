"""Fetching credentials inside a live grant: one exchange at a time for each, nobody is asked."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol

from borrow.protocol.errors import BorrowError, Refused, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from borrow.daemon.cache import Cache, Grant
    from borrow.daemon.moments import Moment
    from borrow.daemon.tasks import Spawn
    from borrow.protocol.credentials import AwsCredentials
    from borrow.protocol.request import AwsRole

logger = logging.getLogger(__name__)

# Seconds between two background refreshes of one grant that did not work out.
REFRESH_PAUSE: Final = 30.0


class Exchanges(Protocol):
    async def exchange(self, token: str, grant_id: str, role: AwsRole) -> AwsCredentials: ...


class Minting:
    """One daemon's exchanges. A caller that leaves does not end the exchange for the others."""

    def __init__(
        self,
        approver: Exchanges,
        cache: Cache,
        now: Callable[[], Moment],
        spawn: Spawn,
    ) -> None:
        self._approver = approver
        self._cache = cache
        self._now = now
        self._spawn = spawn
        self._running: dict[str, asyncio.Future[BorrowError | None]] = {}
        self._tried: dict[str, Moment] = {}

    async def mint(self, grant: Grant) -> None:
        """Put a fresh credential into the cache, or raise why there is none."""
        self._start(grant)
        error = await asyncio.shield(self._running[grant.grant_id])
        if error is not None:
            raise error

    def refresh(self, grant: Grant) -> None:
        """In the background, while the old one is still served; failures are tried again later."""
        tried = self._tried.get(grant.grant_id)
        if tried is not None and self._now().since(tried) < REFRESH_PAUSE:
            return
        self._tried = {k: at for k, at in self._tried.items() if self._now().since(at) < 600.0}
        self._tried[grant.grant_id] = self._now()
        self._start(grant)

    def _start(self, grant: Grant) -> None:
        if grant.grant_id not in self._running:
            done: asyncio.Future[BorrowError | None] = asyncio.get_running_loop().create_future()
            self._running[grant.grant_id] = done
            self._spawn(self._exchange(grant, done))

    async def _exchange(self, grant: Grant, done: asyncio.Future[BorrowError | None]) -> None:
        # An outcome in every case: a future that never ends would hold its callers for ever.
        error: BorrowError | None = Unavailable("minting failed", state="internal")
        try:
            error = await self._try(grant)
        except Exception:
            logger.exception("minting failed", extra={"grant": grant.grant_id})
        finally:
            del self._running[grant.grant_id]
            if not done.done():
                done.set_result(error)

    async def _exchanged(self, grant: Grant, role: AwsRole) -> AwsCredentials:
        """With the grant's newest token: another session that joined the same grant meanwhile was
        given a new one, and the approver honours only the last."""
        token = grant.token
        while True:
            try:
                return await self._approver.exchange(token, grant.grant_id, role)
            except Refused as exc:
                newest = self._cache.find(grant.grant_id, self._now())
                if exc.state != "invalid_grant" or newest is None or newest.token == token:
                    raise
                token = newest.token

    async def _try(self, grant: Grant) -> BorrowError | None:
        from borrow.protocol.request import AwsRole  # late: it imports cryptography

        role = AwsRole(grant.role, grant.arn, 0)
        try:
            credentials = await self._exchanged(grant, role)
        except BorrowError as exc:
            logger.info("not minted", extra={"grant": grant.grant_id, "why": exc.state})
            return exc
        if not self._cache.put(grant.grant_id, credentials, self._now()):
            # Revoked or over while the answer travelled, or a credential that is over already.
            logger.warning("credentials dropped", extra={"grant": grant.grant_id})
            return Unavailable("the credentials came too late", retry_after=1.0)
        logger.info("minted", extra={"grant": grant.grant_id, "key": credentials.access_key_id})
        return None
