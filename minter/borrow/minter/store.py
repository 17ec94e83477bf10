"""The database: one step is one transaction, and its log entries are written before its effects.

SQLite in WAL with `synchronous=FULL` (a power cut loses nothing that was answered), `BEGIN
IMMEDIATE` for every step, so that what a step read is still true when it writes. If the log cannot
be written, the step did not happen and nothing leaves.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, create_engine, delete, event, insert, inspect, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from borrow.minter import log, schema
from borrow.minter.port import Change
from borrow.protocol.errors import BorrowError, Misconfigured, Unavailable
from borrow.protocol.oauth import NOT_RECORDED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Executable, Row
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

BUSY_SECONDS = 10.0  # how long a step waits for another one; far above what any step takes
NOT_WRITTEN = "the audit log cannot be written"
_WRITES = "borrow_writes"
_BATCH = 500  # rows of the log in memory while it is checked


class Keep(Exception):
    """Raised inside a step: commit what it wrote (a wrong try counts), then raise `error`."""

    def __init__(self, error: BorrowError) -> None:
        super().__init__(error)
        self.error = error


class Reader:
    """A consistent look at the database at one moment."""

    def __init__(self, conn: Connection, now: float) -> None:
        self.conn = conn
        self.now = now

    def one(self, query: Executable) -> Row[Any] | None:
        row: Row[Any] | None = self.conn.execute(query).one_or_none()
        return row

    def all(self, query: Executable) -> Sequence[Row[Any]]:
        rows: Sequence[Row[Any]] = self.conn.execute(query).all()
        return rows

    def count(self, query: Executable) -> int:
        return int(self.conn.execute(query).scalar_one())


class Step(Reader):
    """One transaction. Call `leaf` first, then `run` what it announces."""

    def __init__(self, conn: Connection, now: float, entropy: Callable[[int], bytes]) -> None:
        super().__init__(conn, now)
        self.entropy = entropy
        self.changes: list[Change] = []
        self.head = read_head(self)[0]

    def leaf(self, kind: str, *people: str, **facts: Any) -> None:
        """Append a log entry that names `people`. Facts must be fit for everybody they name."""
        leaf = log.make_leaf(self.head, self.now, kind, facts)
        self.head = log.advance(self.head, leaf)
        self.conn.execute(
            insert(schema.log).values(seq=leaf.seq, entry=leaf.entry, leaf_hash=leaf.leaf_hash)
        )
        for person in sorted({person for person in people if person}):
            self.conn.execute(insert(schema.log_people).values(person=person, seq=leaf.seq))

    def run(self, change: Executable) -> int:
        """Write; returns how many rows it touched."""
        return int(self.conn.execute(change).rowcount)

    def change(self, change: Change) -> None:
        self.changes.append(change)

    def hold_changes(self) -> None:
        """Keep the changes for `sweep`: this call cannot return them because it refuses."""
        for change in self.changes:
            self.conn.execute(insert(schema.held_changes).values(change=asdict(change)))
        self.changes.clear()

    def take_held(self) -> None:
        """The changes that refusing calls left behind become this step's."""
        rows = self.all(select(schema.held_changes).order_by(schema.held_changes.c.id))
        self.changes += [Change(**row.change) for row in rows]
        if rows:
            self.run(delete(schema.held_changes))


def read_head(reader: Reader) -> tuple[log.Head, str]:
    """The head and M's signature over it (empty before the first entry)."""
    row = reader.one(select(schema.log_head))
    if row is None:
        return log.Head(), ""
    return log.Head(row.size, row.last_leaf, tuple(row.peaks)), row.token


def read_leaves(reader: Reader, start: int, count: int, person: str | None) -> list[log.Leaf]:
    """Entries from `start` on, at most `count`; with `person`, only those that name them."""
    query = select(schema.log).where(schema.log.c.seq >= start)
    if person is not None:
        named = schema.log_people
        query = query.join(named, named.c.seq == schema.log.c.seq).where(named.c.person == person)
    rows = reader.all(query.order_by(schema.log.c.seq).limit(count))
    return [log.Leaf(row.seq, row.entry, row.leaf_hash) for row in rows]


def all_leaves(reader: Reader) -> Iterator[log.Leaf]:
    """Every row of the log in the order of `seq`, read a batch at a time."""
    query = select(schema.log).order_by(schema.log.c.seq)
    rows = reader.conn.execution_options(yield_per=_BATCH).execute(query)
    for row in rows:
        yield log.Leaf(row.seq, row.entry, row.leaf_hash)


class Store:
    """Owns the engine. `sign` turns a head into M's signature over it."""

    def __init__(
        self, path: Path, *, sign: Callable[[log.Head, float], str], entropy: Callable[[int], bytes]
    ) -> None:
        self._sign = sign
        self._entropy = entropy
        self._turn = threading.Lock()  # one writer at a time: threads queue here, not in SQLite
        _make_private(path)
        self._engine = _engine(path)
        self._writer = self._engine.execution_options(**{_WRITES: True})
        try:
            with _translated("minter.db cannot be opened"):
                _bring_up_to_date(self._writer, path)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def step(self, clock: Callable[[], float]) -> Iterator[Step]:
        """A transaction that commits if the block ends, or raises `Keep`; else nothing happened.

        Its moment is read once the database is ours: what waited for its turn is judged by the time
        at which it happens, not by the one at which it came.
        """
        kept: BorrowError | None = None
        with self._my_turn(), _translated(NOT_WRITTEN), self._writer.begin() as conn:
            step = Step(conn, clock(), self._entropy)
            before = step.head
            try:
                yield step
            except Keep as keep:
                kept = keep.error
                step.hold_changes()
            if step.head != before:
                self._write_head(step)
        if kept is not None:
            raise kept

    @contextmanager
    def read(self, now: float) -> Iterator[Reader]:
        with _translated("minter.db cannot be read"), self._engine.begin() as conn:
            yield Reader(conn, now)

    def close(self) -> None:
        self._engine.dispose()

    def _write_head(self, step: Step) -> None:
        head = step.head
        values = {
            "size": head.size,
            "last_leaf": head.last_leaf,
            "peaks": list(head.peaks),
            "token": self._sign(head, step.now),
        }
        if not step.run(update(schema.log_head).values(**values)):
            step.run(insert(schema.log_head).values(id=0, **values))

    @contextmanager
    def _my_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=BUSY_SECONDS):
            raise Unavailable("the minter is busy")
        try:
            yield
        finally:
            self._turn.release()


@contextmanager
def _translated(message: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as exc:  # a step checks before it writes: this is a bug of ours
        raise RuntimeError("a step broke a rule of the database") from exc
    except (DBAPIError, PoolTimeout) as exc:
        raise Unavailable(
            message, hint="is the disk full, or the file another user's?", state=NOT_RECORDED
        ) from exc


def _make_private(path: Path) -> None:
    """Create the file as 0600 before SQLite does; the WAL inherits the mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise Misconfigured(
            f"{path.name} cannot be opened: {exc.strerror}", hint="is the folder yours?"
        ) from exc


def _engine(path: Path) -> Engine:
    url = URL.create("sqlite", database=str(path))
    engine = create_engine(
        url, pool_size=4, max_overflow=60, connect_args={"timeout": BUSY_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # sqlite3 must not say BEGIN for us
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(conn: Connection) -> None:
        writes = conn.get_execution_options().get(_WRITES)
        conn.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _bring_up_to_date(engine: Engine, path: Path) -> None:
    with engine.connect() as conn:
        found = ""
        if inspect(conn).has_table("alembic_version"):
            found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""
    if found == schema.HEAD:
        return
    if found > schema.HEAD:
        raise Misconfigured(
            f"{path.name} was written by a newer borrow", hint="update borrow on this machine"
        )
    from borrow.minter.migrations.run import upgrade  # alembic costs 0.2 s and is seldom needed

    with engine.begin() as conn:
        upgrade(conn)


def people_of(*groups: Iterable[str]) -> tuple[str, ...]:
    """Everybody in `groups`, each once, in order."""
    return tuple(dict.fromkeys(person for group in groups for person in group))
