"""approver.db: one SQLite file, WAL, `synchronous=FULL`, one writer at a time.

What a call acknowledges is on the disk before it answers. `writing()` is one BEGIN IMMEDIATE
transaction, `reading()` a consistent snapshot; whatever the database says no with becomes
`Unavailable` here, once. What the rows mean is in `tickets` and `outbox`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from borrow.approver import schema
from borrow.protocol.errors import Misconfigured, Unavailable
from borrow.protocol.oauth import NOT_RECORDED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

logger = logging.getLogger(__name__)

BUSY_SECONDS = 5.0  # how long SQLite waits for a lock of another process (a backup)


class Store:
    """Owns the engines. `open` before the first use, `close` after the last."""

    def __init__(self, db: Path) -> None:
        self._db = db
        url = f"sqlite+aiosqlite:///{db}"
        # One writing connection: SQLite has one writer, and a queue here is fairer than its lock.
        self._writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=30)
        self._reader = create_async_engine(url, pool_size=4, max_overflow=0, pool_timeout=30)
        _prepare(self._writer.sync_engine, "BEGIN IMMEDIATE")
        _prepare(self._reader.sync_engine, "BEGIN")

    async def open(self) -> None:
        """Make or migrate the file (0600). Raises Misconfigured if it cannot be used."""
        await asyncio.to_thread(self._migrate)

    async def close(self) -> None:
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        async with _translated(self._reader) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """Committed, durably, when the block ends; rolled back if it raises."""
        async with _translated(self._writer) as connection:
            yield connection

    def _migrate(self) -> None:
        try:
            os.close(os.open(self._db, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as exc:
            raise Misconfigured(
                f"the approver's database cannot be opened: {exc.strerror}",
                hint=f"look at {self._db}",
            ) from exc
        engine = create_engine(f"sqlite:///{self._db}")
        _prepare(engine, "BEGIN IMMEDIATE")
        try:
            with engine.begin() as connection:
                if inspect(connection).has_table("alembic_version"):
                    at = connection.execute(select(schema.version.c.version_num)).scalar()
                    if at == schema.HEAD:
                        return
                _upgrade(connection)
        except SQLAlchemyError as exc:
            raise Misconfigured(
                "the approver's database cannot be read", hint=f"look at {self._db}"
            ) from exc
        finally:
            engine.dispose()


def _upgrade(connection: Any) -> None:
    # Alembic costs 60 ms of start-up, and a file that is up to date does not need it.
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", "borrow.approver:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as exc:
        raise Misconfigured(
            "the approver's database is of a newer version", hint="update borrow"
        ) from exc


def _prepare(engine: Engine, begin: str) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # transactions are ours, not guessed by the driver
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={int(BUSY_SECONDS * 1000)}",
            "journal_mode=WAL",
            "synchronous=FULL",  # NORMAL lost acknowledged rows in power cuts
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)


@asynccontextmanager
async def _translated(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    try:
        async with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as exc:
        logger.warning("database failed", extra={"kind": type(exc).__name__})
        raise Unavailable(
            "the approver's database cannot be written or read",
            hint="is the disk full, or the file another user's?",
            state=NOT_RECORDED,
        ) from exc
