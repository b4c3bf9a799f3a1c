"""SQLite: one file, a few connections that read and one that writes, each in its own thread (aiosqlite).

SQLite has one writer at a time. Writers of this process wait for each other in `db.connections`, which costs
nothing. Waiting for the writers of other processes happens in this module.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing, suppress
from typing import Any

import aiosqlite
from sqlalchemy import AsyncAdaptedQueuePool, event
from sqlalchemy.dialects.sqlite.aiosqlite import SQLiteDialect_aiosqlite
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db.connections import Connections, ResultRow, Statement
from db.deadlines import Deadlines, seconds_left
from db.shaping import cursors, texts
from db.short_reads import ShortReads

# How long SQLite itself waits for a lock. Nothing can interrupt this wait, so the wait is short, and the
# statement is repeated.
BUSY_TIMEOUT_MS = 200
WAL_TIMEOUT_S = 5
# The number of prepared statements per connection. A prepared statement can take some hundreds of kilobytes.
PREPARED_STATEMENTS = 16
# The connections are in autocommit mode: BEGIN is sent explicitly.
CONNECT_OPTIONS: dict[str, Any] = {
    "isolation_level": None,
    "check_same_thread": False,
    "cached_statements": PREPARED_STATEMENTS,
}

# Result codes that mean that the database, not the statement, failed.
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
    """aiosqlite connections. Each connection runs in its own thread."""

    dialect = SQLiteDialect_aiosqlite(paramstyle="qmark")

    async def run(
        self, connection: aiosqlite.Connection, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement in one thread hop, and repeat the statement while the file is locked."""
        return await self._until_unlocked(lambda: connection.execute_fetchall(sql, arguments), deadline)

    async def _until_unlocked(
        self, run: Callable[[], Awaitable[Any]], deadline: float | None
    ) -> Sequence[ResultRow]:
        locked: sqlite3.OperationalError | None = None
        while True:
            try:
                async with asyncio.timeout(seconds_left(deadline)):
                    rows: Sequence[ResultRow] = await run()
                    return rows
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                locked = error
            except TimeoutError:
                if locked is not None:
                    raise locked from None  # more specific than TimeoutError
                raise

    async def run_both(
        self, connection: aiosqlite.Connection, first: Statement, second: Statement, deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run two statements in the caller's transaction, in one thread hop."""
        return await self._in_one_hop(_both, connection, first, second, deadline)

    async def run_alone(
        self, connection: aiosqlite.Connection, first: Statement, second: Statement, deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run two statements in a transaction, in one thread hop."""
        return await self._in_one_hop(_alone, connection, first, second, deadline)

    async def _in_one_hop(
        self,
        work: Callable[[sqlite3.Connection, Statement, Statement], Sequence[ResultRow]],
        connection: aiosqlite.Connection,
        first: Statement,
        second: Statement,
        deadline: float | None,
    ) -> Sequence[ResultRow]:
        # aiosqlite has no public way to run a function in a connection's thread.
        run: Callable[..., Awaitable[Any]] = connection._execute  # noqa: SLF001
        raw = connection._conn  # noqa: SLF001
        return await self._until_unlocked(lambda: run(work, raw, first, second), deadline)

    async def begin(self, connection: aiosqlite.Connection, deadlines: Deadlines) -> None:
        """Begin a transaction and take the write lock immediately.

        If several transactions first read and then took the lock, all but one of them would fail.
        """
        await self.run(connection, "BEGIN IMMEDIATE", (), deadlines.lock)

    def is_open(self, _connection: aiosqlite.Connection) -> bool:
        """Return True, because a connection to a file is never lost."""
        return True

    async def load(
        self, connection: aiosqlite.Connection, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows with one prepared statement."""
        marks = ", ".join("?" * len(columns))
        names = ", ".join(f'"{column}"' for column in columns)  # a name may be a word of SQL, such as "set"
        await connection.executemany(
            f"INSERT INTO {table} ({names}) VALUES ({marks})",  # noqa: S608
            rows,
        )

    async def end_all(self, connection: aiosqlite.Connection) -> bool:
        """Interrupt the connection's statement, wait until the statement ends, and roll back."""
        idle = asyncio.ensure_future(connection.execute_fetchall("SELECT 1"))
        while not idle.done():
            # An interrupt has no effect on a statement that the thread has not started yet, so the interrupt
            # is repeated.
            await connection.interrupt()
            await asyncio.wait([idle], timeout=0.01)
        # If the interrupt stopped this SELECT 1, the error is ignored. asyncio would log an error that is
        # never read.
        idle.exception()
        if connection.in_transaction:
            await connection.execute_fetchall("ROLLBACK")
        return True

    @staticmethod
    def is_unavailable(error: BaseException) -> bool:
        """Return whether an error means that the database, not the statement, failed or was too slow.

        These are operating system errors, timeouts, and SQLite errors with a code in `_UNAVAILABLE`.
        """
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return isinstance(error, OSError | TimeoutError) or (
            isinstance(error, sqlite3.Error) and code in _UNAVAILABLE
        )

    @staticmethod
    def is_unique_violation(error: BaseException) -> bool:
        """Return whether SQLite's extended result code is that of a unique violation."""
        return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CONSTRAINT_UNIQUE


def _both(connection: sqlite3.Connection, first: Statement, second: Statement) -> Sequence[ResultRow]:
    rows: Sequence[ResultRow] = connection.execute(*first).fetchall()
    if rows:
        connection.execute(*second)
    return rows


def _alone(connection: sqlite3.Connection, first: Statement, second: Statement) -> Sequence[ResultRow]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = _both(connection, first, second)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors end the transaction
            connection.execute("ROLLBACK")
        raise
    return rows


class SqliteReaders(SqliteConnections):
    """Connections for reading. Short reads run on the event loop's own thread (`db.short_reads`)."""

    def __init__(self, engine: AsyncEngine, size: int, path: str) -> None:
        super().__init__(engine, size)
        self._path = path
        self._opening = asyncio.Lock()
        self._short: ShortReads | None = None

    async def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float | None, *, may_repeat: bool = False
    ) -> Sequence[ResultRow]:
        """Run a read on this thread if it is short, or else in one hop to a connection's thread."""
        rows = (self._short or await self._open_short()).fetch(sql, arguments)
        if rows is None:
            rows = await super().fetch(sql, arguments, deadline, may_repeat=may_repeat)
        return rows

    async def close(self) -> None:
        """Close the free connections and the connection for short reads."""
        if self._short is not None:
            self._short.close()
        await super().close()

    async def _open_short(self) -> ShortReads:
        async with self._opening:
            if self._short is None:
                self._short = ShortReads(await asyncio.to_thread(connect_short, self._path))
            return self._short


def create_engine(path: str, size: int, *, enforce_foreign_keys: bool = True) -> AsyncEngine:
    """Create an engine with at most `size` connections in autocommit mode: callers send BEGIN.

    `enforce_foreign_keys` is false only in migrations: if foreign keys were enforced, rebuilding a table
    would delete the rows that reference its rows.
    """

    async def connect() -> aiosqlite.Connection:
        make_file(path)
        connection: aiosqlite.Connection = aiosqlite.connect(path, **CONNECT_OPTIONS)
        thread = connection._thread  # noqa: SLF001  (SQLAlchemy makes it a daemon in the same way)
        thread.daemon = True
        try:
            await connection
        except BaseException:
            await asyncio.to_thread(thread.join)  # the thread uses this event loop until it ends
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
    """Return the number of connections that read.

    Reading uses the processor, so more connections than processors would only slow each other down.
    """
    return max(1, min(pool_size - 1, max(2, (os.cpu_count() or 1) - 1)))


def scanners(readers: int) -> int:
    """Return the number of connections that scan.

    With several processors, scans use at most half of them, so that the others are left for other work.
    """
    return max(1, min(readers, os.cpu_count() or 1) // 2)


def make_file(path: str) -> None:
    """Create the file of a database, readable only by its owner, if the file does not exist.

    If SQLite created the file, the file's mode would depend on the umask, which often lets everyone read new
    files. The files that SQLite creates next to the database file get the same mode. Errors are ignored here,
    because SQLite reports them.
    """
    with _making, suppress(OSError):
        # Never open an existing file: closing it would release the locks that this process has on it.
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        os.close(os.open(os.path.realpath(path), flags, 0o600))


def connect_short(path: str) -> sqlite3.Connection:
    """Return a connection for `db.short_reads`, which does not wait for locks. Raises sqlite3.Error."""
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
    """Set up a new connection of the standard library or of SQLAlchemy. Raises sqlite3.Error."""
    connection.create_function("cursor_token", 3, cursors.encode_found, deterministic=True)
    connection.create_function("gram_query", 1, texts.gram_query, deterministic=True)
    connection.create_function("gram_start", 1, texts.gram_start, deterministic=True)
    connection.create_function("gram_end", 1, texts.gram_end, deterministic=True)
    # A cursor keeps a statement that failed. If the garbage collector found such a cursor later, it would
    # block the event loop until the connection's current statement ends. So the cursor is closed here.
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _use_write_ahead_log(cursor)
        for pragma in (
            "synchronous=FULL",
            f"foreign_keys={'ON' if enforce_foreign_keys else 'OFF'}",
            "temp_store=MEMORY",
            "cache_size=-2000",
        ):
            cursor.execute(f"PRAGMA {pragma}")


def _use_write_ahead_log(cursor: Any) -> None:
    """Switch a database to WAL mode, which is permanent.

    If several connections switch a new file at the same time, SQLite immediately refuses all but one of them,
    because they could wait for each other. The busy timeout does not apply here, so the switch is repeated.
    """
    deadline = time.monotonic() + WAL_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
