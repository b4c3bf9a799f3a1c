"""SQLite: one file, read by a few connections and written by one, each in a thread of its own (aiosqlite).

SQLite has one writer at a time: the writers of this process wait for their turn in `db.connections`, which
costs nothing; those of other processes are waited for here.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import aiosqlite
from sqlalchemy import AsyncAdaptedQueuePool, event
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db.connections import Connections, ResultRow
from db.deadlines import Deadlines, seconds_left
from db.shaping import cursors, texts
from db.short_reads import ShortReads

# How long SQLite itself waits for a lock, which nothing can interrupt; then it is asked again.
BUSY_TIMEOUT_MS = 200
WAL_TIMEOUT_S = 5
# Of each connection. A statement that is kept prepared holds up to some hundreds of kilobytes.
PREPARED_STATEMENTS = 16
# In autocommit, BEGIN is ours to send.
CONNECT_OPTIONS: dict[str, Any] = {
    "isolation_level": None,
    "check_same_thread": False,
    "cached_statements": PREPARED_STATEMENTS,
}

# What SQLite says when it is the store, and not the statement, that failed.
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


_making = threading.Lock()


class SqliteConnections(Connections):
    """Of aiosqlite: each has a thread."""

    dialect = SQLiteDialect_aiosqlite(paramstyle="qmark")

    async def run(
        self, connection: aiosqlite.Connection, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement in one hop, and again as long as the file is locked."""
        locked: sqlite3.OperationalError | None = None
        while True:
            try:
                async with asyncio.timeout(seconds_left(deadline)):
                    return await connection.execute_fetchall(sql, arguments)  # type: ignore[return-value]
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                locked = error
            except TimeoutError:
                if locked is not None:
                    raise locked from None  # which says more
                raise

    async def begin(self, connection: aiosqlite.Connection, deadlines: Deadlines) -> None:
        """Take the lock at once: of many that read and then write, all but one would fail later."""
        await self.run(connection, "BEGIN IMMEDIATE", (), deadlines.lock)

    def is_open(self, _connection: aiosqlite.Connection) -> bool:
        """A file is not lost."""
        return True

    async def load(
        self, connection: aiosqlite.Connection, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows by one statement that is prepared once."""
        marks = ", ".join("?" * len(columns))
        await connection.executemany(
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608
            rows,
        )

    async def end_all(self, connection: aiosqlite.Connection) -> bool:
        """Interrupt what the connection's thread runs, wait until it has, and roll back."""
        idle = asyncio.ensure_future(connection.execute_fetchall("SELECT 1"))
        while not idle.done():
            # What the thread is only just about to run is not interrupted by the first call.
            await connection.interrupt()
            await asyncio.wait([idle], timeout=0.01)
        idle.exception()  # the interruption may have met this one
        if connection.in_transaction:
            await connection.execute_fetchall("ROLLBACK")
        return True

    @staticmethod
    def is_unavailable(error: BaseException) -> bool:
        """By SQLite's primary result code."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return isinstance(error, OSError | TimeoutError) or (
            isinstance(error, sqlite3.Error) and code in _UNAVAILABLE
        )

    @staticmethod
    def is_unique_violation(error: BaseException) -> bool:
        """By SQLite's extended result code."""
        return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_UNIQUE


class SqliteReaders(SqliteConnections):
    """Those that read. Short reads are done on the event loop's own thread (`db.short_reads`)."""

    def __init__(self, engine: AsyncEngine, size: int, path: str) -> None:
        super().__init__(engine, size)
        self._path = path
        self._opening = asyncio.Lock()
        self._short: ShortReads | None = None

    async def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float | None, *, may_repeat: bool = False
    ) -> Sequence[ResultRow]:
        """Run a read here, or in one hop to a thread."""
        rows = (self._short or await self._open_short()).fetch(sql, arguments)
        if rows is None:
            rows = await super().fetch(sql, arguments, deadline, may_repeat=may_repeat)
        return rows

    async def close(self) -> None:
        """Close the connections that nobody has taken."""
        if self._short is not None:
            self._short.close()
        await super().close()

    async def _open_short(self) -> ShortReads:
        async with self._opening:
            if self._short is None:
                self._short = ShortReads(await asyncio.to_thread(connect_short, self._path))
            return self._short


def create_engine(path: str, size: int, *, enforce_foreign_keys: bool = True) -> AsyncEngine:
    """An engine of at most `size` connections, in autocommit: BEGIN is the caller's to send.

    `enforce_foreign_keys` is for the migrations alone: rebuilding a table with enforcement on would cascade
    into its children.
    """

    async def connect() -> aiosqlite.Connection:
        make_file(path)
        connection: aiosqlite.Connection = aiosqlite.connect(path, **CONNECT_OPTIONS)
        thread = connection._thread  # noqa: SLF001  (SQLAlchemy makes it a daemon like this, too)
        thread.daemon = True
        try:
            await connection
        except BaseException:
            await asyncio.to_thread(thread.join)  # its last word is for this event loop
            raise
        return connection

    engine = create_async_engine(
        "sqlite+aiosqlite://",
        async_creator=connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_reset_on_return=None,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        set_up(connection, enforce_foreign_keys=enforce_foreign_keys)

    return engine


def readers(pool_size: int) -> int:
    """How many connections read: to read is to compute, and more than processors get in each other's way."""
    return max(1, min(pool_size - 1, max(2, (os.cpu_count() or 1) - 1)))


def scanners(readers: int) -> int:
    """How many connections scan: one for every two processors, so that others find one."""
    return max(1, min(readers, os.cpu_count() or 1) // 2)


def make_file(path: str) -> None:
    """Make the file of a database that is not there yet, for its owner's eyes only.

    SQLite would make it as the umask has it, for everybody's mostly. The files that it puts beside it get the
    mode that this one has. What cannot be made is SQLite's to tell.
    """
    with _making, suppress(OSError):
        # Never one that is there: to close it would release the locks that this process has on it.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        os.close(os.open(os.path.realpath(path), flags, 0o600))


def connect_short(path: str) -> sqlite3.Connection:
    """A connection for `db.short_reads`, which waits for no lock. Raises sqlite3.Error."""
    make_file(path)
    connection: sqlite3.Connection = sqlite3.connect(path, **CONNECT_OPTIONS)
    try:
        set_up(connection)
        connection.execute("PRAGMA busy_timeout=0")
    except BaseException:
        connection.close()
        raise
    return connection


def set_up(connection: Any, *, enforce_foreign_keys: bool = True) -> None:
    """Set a new connection up, whether the standard library's or SQLAlchemy's. Raises sqlite3.Error."""
    connection.create_function("cursor_token", 3, cursors.encode_found, deterministic=True)
    connection.create_function("gram_query", 1, texts.gram_query, deterministic=True)
    connection.create_function("gram_start", 1, texts.gram_start, deterministic=True)
    connection.create_function("gram_end", 1, texts.gram_end, deterministic=True)
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    _use_write_ahead_log(connection)
    for pragma in (
        "synchronous=FULL",
        f"foreign_keys={'ON' if enforce_foreign_keys else 'OFF'}",
        "temp_store=MEMORY",
        "cache_size=-2000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _use_write_ahead_log(connection: Any) -> None:
    """Switch a database to WAL, which it then stays in.

    Of several connections that find a new file at once SQLite refuses all but one without waiting, whatever
    the busy timeout, since they could wait for each other.
    """
    deadline = time.monotonic() + WAL_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
