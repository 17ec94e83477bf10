"""One step is one transaction: durable, in order, all of it or nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, event

from borrow.minter import schema
from borrow.minter.migrations.run import upgrade
from borrow.minter.store import Keep, Store
from borrow.protocol.errors import Misconfigured, Refused, Unavailable
from borrow_fakes.minting import MinterHouse, empty_database
from borrow_fakes.tools import lacking, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from borrow_fakes.people import FakeDevice


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "minter.db", sign=lambda head, now: "signed", entropy=os.urandom)
    yield store
    store.close()


def shape(path: Path) -> dict[str, list[str]]:
    """Tables and indexes with their parts, in any order."""
    db = sqlite3.connect(path)
    query = "SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'index') AND sql NOT NULL"
    found = dict(db.execute(query).fetchall())
    db.close()
    found.pop("alembic_version", None)
    return {
        name: sorted(part.strip(" )") for part in " ".join(sql.replace('"', "").split()).split(","))
        for name, sql in found.items()
    }


def test_the_migrations_lead_to_the_schema(tmp_path: Path) -> None:
    for name in ("migrated", "created"):
        engine = create_engine(f"sqlite:///{tmp_path / name}")
        with engine.begin() as conn:
            if name == "migrated":
                upgrade(conn)
            else:
                schema.metadata.create_all(conn)
        engine.dispose()
    assert shape(tmp_path / "migrated") == shape(tmp_path / "created")


def test_alembic_is_not_imported_for_a_database_of_today(tmp_path: Path) -> None:
    path = tmp_path / "minter.db"
    path.write_bytes(empty_database())
    code = (
        "import os, sys; from pathlib import Path; from borrow.minter.store import Store\n"
        f"Store(Path({str(path)!r}), sign=lambda h, n: '', entropy=os.urandom).close()\n"
        "assert not any(name.startswith('alembic') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_database_of_a_newer_borrow_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "minter.db"
    path.write_bytes(empty_database())
    db = sqlite3.connect(path)
    db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.commit()
    db.close()
    with pytest.raises(Misconfigured, match="newer"):
        Store(path, sign=lambda head, now: "", entropy=os.urandom)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "minter.db").write_bytes(b"not a database at all " * 100)
    with pytest.raises(Unavailable):
        Store(tmp_path / "minter.db", sign=lambda head, now: "", entropy=os.urandom)


def test_the_files_are_the_owners_alone(house: MinterHouse, ann: FakeDevice) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in house.folder.iterdir()}
    assert modes == dict.fromkeys(("minter.db", "minter.db-wal", "minter.db-shm"), 0o600)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "minter.db").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Misconfigured):
        Store(tmp_path / "minter.db", sign=lambda head, now: "", entropy=os.urandom)


def test_a_step_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.step(lambda: 1.0) as step:
        step.leaf("test")
        raise ZeroDivisionError
    with store.read(1.0) as reader:
        assert reader.all(schema.log.select()) == []


def test_a_step_that_keeps_its_writes_raises_after_them(store: Store) -> None:
    with pytest.raises(Refused, match="no"), store.step(lambda: 1.0) as step:
        step.leaf("test")
        raise Keep(Refused("no"))
    with store.read(1.0) as reader:
        assert len(reader.all(schema.log.select())) == 1


def test_steps_of_many_threads_follow_each_other(store: Store) -> None:
    def run() -> None:
        for _ in range(5):
            with store.step(lambda: 1.0) as step:
                step.leaf("test", "ann")

    threads = [threading.Thread(target=run) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with store.read(1.0) as reader:
        assert [row.seq for row in reader.all(schema.log.select())] == list(range(60))


def test_a_step_of_another_process_waits_from_the_first_read_on(
    store: Store, tmp_path: Path
) -> None:
    other = Store(tmp_path / "minter.db", sign=lambda head, now: "signed", entropy=os.urandom)
    order: list[str] = []

    def run() -> None:
        with other.step(lambda: 1.0) as step:
            order.append("other")
            step.leaf("test")

    thread = threading.Thread(target=run)
    with store.step(lambda: 1.0) as step:
        thread.start()
        thread.join(0.2)
        order.append("first")
        step.leaf("test")
    thread.join(10)
    other.close()
    assert order == ["first", "other"]


def test_the_database_is_durable_and_checks_its_references(store: Store) -> None:
    with store.read(1.0) as reader:
        pragmas = {
            name: reader.conn.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_every_effect_has_a_leaf_before_it_in_its_own_transaction(
    house: MinterHouse, ann: FakeDevice, bo: FakeDevice
) -> None:
    """I5, read off the SQL: a write to a life or a credential comes after a leaf of its step."""
    lives = ("requests", "grants", "mints", "devices", "decisions", "totp ", "invitations")
    orphans: list[str] = []
    leaf_in_step = False
    effects = 0

    engine = house.minter._store._engine

    @event.listens_for(engine, "before_cursor_execute")
    def watch(conn: object, cursor: object, sql: str, *rest: object) -> None:
        nonlocal leaf_in_step, effects
        words = sql.split()
        if words[0] == "BEGIN":
            leaf_in_step = False
        elif sql.startswith("INSERT INTO log "):
            leaf_in_step = True
        elif words[0] in ("INSERT", "UPDATE", "DELETE"):
            table = words[2] if words[0] in ("INSERT", "DELETE") else words[1]
            if any(f"{table} ".startswith(name) for name in lives):
                effects += 1
                if not leaf_in_step:
                    orphans.append(sql)

    house.enrol_totp(ann)
    grant = house.granted(ann)
    house.minter.mint(grant.grant_id, ann.client_id)
    request = house.ask(ann, "logs").view.request_id
    with pytest.raises(Refused):
        house.approve(request, ann, "totp", number="1")
    house.approve(request, ann, "totp")
    house.say(house.ask(ann, "prod").view.request_id, bo)
    house.minter.freeze(ann.client_id, "di@example.com")
    house.clock.advance(100_000)
    house.minter.sweep()
    event.remove(engine, "before_cursor_execute", watch)
    assert effects >= 20
    assert orphans == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    need(lacking("mount", "umount"), "apt-get install mount")
    if os.geteuid() != 0:
        pytest.skip("a disk of one's own takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True, timeout=10).returncode != 0:
        pytest.skip("no disk can be mounted in here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=10)


def test_a68_nothing_leaves_when_the_log_cannot_be_written(small_disk: Path) -> None:
    house = MinterHouse(small_disk)
    ann = house.join("ann@example.com")
    grant = house.granted(ann)
    size = house.minter.check_log().size
    fill(small_disk)
    for attempt in (
        lambda: house.ask(ann, "prod"),
        lambda: house.minter.mint(grant.grant_id, ann.client_id),
        lambda: house.minter.revoke(grant.grant_id, "di@example.com", "x"),
    ):
        with pytest.raises(Unavailable, match="the audit log cannot be written"):
            for _ in range(200):  # the WAL may have a little room left
                attempt()
    calls = len(house.cloud.calls)
    with pytest.raises(Unavailable):
        house.minter.mint(grant.grant_id, ann.client_id)
    assert len(house.cloud.calls) == calls  # not even asked for
    (small_disk / "ballast").unlink()
    assert house.minter.check_log().bad_seq is None
    assert house.minter.check_log().size >= size
    assert house.minter.mint(grant.grant_id, ann.client_id).access_key_id
    house.minter.close()


def test_a68_a_disk_that_fills_up_during_the_call_keeps_the_credential_back(
    small_disk: Path,
) -> None:
    house = MinterHouse(small_disk)
    ann = house.join("ann@example.com")
    grant = house.granted(ann)
    house.minter.mint(grant.grant_id, ann.client_id)
    house.cloud.during = lambda: fill(small_disk)
    with pytest.raises(Unavailable):
        for _ in range(200):
            house.minter.mint(grant.grant_id, ann.client_id)
    house.cloud.during = None
    (small_disk / "ballast").unlink()
    house.restart()
    assert house.kinds()[-1] == "mint.lost"
    assert house.minter.check_log().bad_seq is None
    house.minter.close()


def fill(folder: Path) -> None:
    """Leave no free block."""
    free = shutil.disk_usage(folder).free
    with (folder / "ballast").open("ab", buffering=0) as file:
        try:
            while free > 0:
                free -= file.write(b"x" * min(free, 65_536))
        except OSError:
            pass
