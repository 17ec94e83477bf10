"""approver.db: its migrations make exactly its tables, it is private, and it fails as ours."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, insert, select

from borrow.approver import schema
from borrow.approver.store import Store
from borrow.protocol.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


async def made(db: Path) -> None:
    store = Store(db)
    await store.open()
    await store.close()


async def test_the_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    await made(tmp_path / "a.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.HEAD
    engine.dispose()


def test_the_newest_migration_is_the_one_the_schema_names() -> None:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "borrow.approver:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


async def test_the_file_is_the_owners_alone(tmp_path: Path) -> None:
    await made(tmp_path / "a.db")
    assert stat.S_IMODE((tmp_path / "a.db").stat().st_mode) == 0o600


async def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    await made(tmp_path / "a.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    with pytest.raises(Misconfigured, match="newer version"):
        await made(tmp_path / "a.db")


async def test_what_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"not a database, but long enough to look at" * 20)
    with pytest.raises(Misconfigured):
        await made(tmp_path / "a.db")
    with pytest.raises(Misconfigured):
        await made(tmp_path / "no such folder" / "a.db")


async def test_a_write_that_fails_leaves_nothing_and_is_unavailable(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    await store.open()
    row = {"request_id": "r", "person": "p", "first_at": 1.0, "last_at": 1.0}
    with pytest.raises(Unavailable):
        async with store.writing() as db:
            await db.execute(insert(schema.seen).values(**row))
            await db.execute(insert(schema.seen).values(**row))
    async with store.reading() as db:
        assert (await db.execute(select(schema.seen))).all() == []
    await store.close()


async def test_what_is_written_is_flushed_to_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "a.db")
    await store.open()
    async with store.writing() as db:
        assert (await db.exec_driver_sql("PRAGMA synchronous")).scalar() == 2  # FULL
        assert (await db.exec_driver_sql("PRAGMA journal_mode")).scalar() == "wal"
    await store.close()


async def test_alembic_is_not_loaded_for_a_file_that_is_up_to_date(tmp_path: Path) -> None:
    await made(tmp_path / "a.db")
    code = (
        "import asyncio, pathlib, sys\n"
        "from borrow.approver.store import Store\n"
        "async def main():\n"
        "    store = Store(pathlib.Path(sys.argv[1])); await store.open(); await store.close()\n"
        "asyncio.run(main())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.db")]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0  # noqa: ASYNC221
