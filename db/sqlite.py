"""SQLite: one file, read by a few threads and written by one.

Each thread has a connection of its own, so a statement is one hop to a thread and back, and waiting for the
file never keeps the event loop. A hop costs several times what a short read does: so a read is tried without
one first, for no more than some thousand steps of SQLite's, and handed to a thread if that does not do.

SQLite has one writer at a time: writers of this process wait for their turn here, which costs nothing;
waiting in SQLite would hold a thread and, beyond the busy timeout, fail.
"""

import _sqlite3
import asyncio
import ctypes
import gc
import os
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from cachetools import LRUCache
from sqlalchemy import Dialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from db.shaping import cursors, texts
from db.store import ConnectionHook, ResultRow

T = TypeVar("T")

_SQLITE_CONFIG_MEMSTATUS = 9  # sqlite3.h

# Of SQLite's virtual machine: some hundredths of a millisecond. A statement that needs more, and up to twice
# as many, is a long one.
SHORT_STEPS = 4_000
KNOWN_LONG = 512

BUSY_TIMEOUT_MS = 15_000
# Of each connection. A statement that is kept prepared holds up to some hundreds of kilobytes.
PREPARED_STATEMENTS = 32

# What SQLite says when it is the store, and not the statement, that failed.
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


def _count_no_memory() -> None:
    """Have SQLite keep no statistics of its memory.

    It counts every allocation under a lock that all threads share: those that read a dashboard at once spent
    more than half of their time on it. It can be switched off only while SQLite is not in use, and Python has
    no function for it. Where the library cannot be reached, or is in use, everything stays as it was.
    """
    if any(isinstance(found, sqlite3.Connection) for found in gc.get_objects()):
        return
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        shut_down, configure = library.sqlite3_shutdown, library.sqlite3_config
        initialize = library.sqlite3_initialize
    except (AttributeError, OSError):  # built into Python, or hidden there
        return
    shut_down()
    configure(_SQLITE_CONFIG_MEMSTATUS, 0)
    initialize()


if sys.platform == "linux":  # elsewhere a function of variable arguments may be called in another way
    _count_no_memory()


class Sqlite:
    """A file with its connections: `readers` of them at most, two at least, and the one that writes."""

    dialect: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")

    def __init__(self, path: str, readers: int) -> None:
        self.on_connect: list[ConnectionHook] = []
        self._path = path
        # To read is to compute: more threads than processors only get in each other's way.
        processors = os.cpu_count() or 1
        threads = min(readers - 1, max(2, processors - 1))
        self._readers = ThreadPoolExecutor(max(1, threads), "sqlite-reader")
        self._writer = ThreadPoolExecutor(1, "sqlite-writer")
        self._turn = asyncio.Lock()
        self._of_thread = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._opening = asyncio.Lock()
        self._short: ShortReads | None = None

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run a statement that reads."""
        rows = (self._short or await self._open_short()).fetch(sql, arguments)
        if rows is None:
            loop = asyncio.get_running_loop()
            rows = await loop.run_in_executor(self._readers, self._fetch, sql, arguments)
        return rows

    async def change(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run a statement as a transaction of its own."""
        async with self._turn:
            return await self.in_writer(self._fetch, sql, arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["SqliteTransaction"]:
        """One transaction, which begins with its first statement."""
        transaction = SqliteTransaction(self, self._turn)
        try:
            yield transaction
        except BaseException:
            # Also when the first statement was cancelled and its thread may still be waiting to begin.
            await transaction.end("ROLLBACK")
            raise
        await transaction.end("COMMIT")

    @staticmethod
    def is_unavailable(error: BaseException) -> bool:
        """Whether this says that the store failed, and not the statement."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return isinstance(error, OSError) or (isinstance(error, sqlite3.Error) and code in _UNAVAILABLE)

    @staticmethod
    def is_unique_violation(error: BaseException) -> bool:
        """Whether a unique constraint refused a change."""
        code = getattr(error, "sqlite_errorcode", 0)
        return isinstance(error, sqlite3.Error) and code == sqlite3.SQLITE_CONSTRAINT_UNIQUE

    async def close(self) -> None:
        """Close every connection, once what runs has ended."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def in_writer(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a function in the thread that writes."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)

    def connection(self) -> sqlite3.Connection:
        """The connection of the thread that asks."""
        found: sqlite3.Connection | None = getattr(self._of_thread, "connection", None)
        if found is None:
            found = self._of_thread.connection = self._connect()
        return found

    async def _open_short(self) -> "ShortReads":
        async with self._opening:
            if self._short is None:
                loop = asyncio.get_running_loop()
                self._short = ShortReads(await loop.run_in_executor(self._readers, self._connect, 0))
            return self._short

    def _connect(self, busy_timeout_ms: int | None = None) -> sqlite3.Connection:
        made = connect(self._path)
        if busy_timeout_ms is not None:
            made.execute(f"PRAGMA busy_timeout={busy_timeout_ms}")
        self._connections.append(made)
        for hook in self.on_connect:
            hook(made)
        return made

    def _fetch(self, sql: str, arguments: Sequence[Any]) -> list[ResultRow]:
        return self.connection().execute(sql, arguments).fetchall()

    def _close(self) -> None:
        for threads in (self._readers, self._writer):
            threads.shutdown()
        for connection in self._connections:
            connection.close()


class ShortReads:
    """Reads on the event loop's own thread, as long as they are short.

    The one home of what is known of long ones: the texts of the last `KNOWN_LONG` that were, which are not
    tried here again until they are forgotten.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._long: LRUCache[str, bool] = LRUCache(KNOWN_LONG)
        self._alarms = 0
        connection.set_progress_handler(self._is_long, SHORT_STEPS)

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow] | None:
        """The rows of a statement; None when it is a long one, or would have to wait for the file."""
        if sql in self._long:
            return None
        self._alarms = 0
        try:
            return self._connection.execute(sql, arguments).fetchall()
        except sqlite3.OperationalError as error:
            match error.sqlite_errorcode & 0xFF:
                case sqlite3.SQLITE_INTERRUPT:
                    self._long[sql] = True
                    return None
                case sqlite3.SQLITE_BUSY:
                    return None
                case _:
                    raise

    def _is_long(self) -> bool:
        # SQLite counts on from one run of a statement to the next: the first alarm may come at any step.
        self._alarms += 1
        return self._alarms > 1


class SqliteTransaction:
    """What a write may do between BEGIN and COMMIT. All of it runs in the thread that writes."""

    def __init__(self, store: Sqlite, turn: asyncio.Lock) -> None:
        self._store = store
        self._turn = turn
        self.has_begun = False

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run one statement."""
        return await self._run(lambda connection: connection.execute(sql, arguments).fetchall())

    async def load(self, table: str, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows."""
        marks = ", ".join("?" * len(columns))
        sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608
        await self._run(lambda connection: connection.executemany(sql, rows))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction that is undone alone when it raises."""
        await self.fetch("SAVEPOINT part", ())
        try:
            yield
        except BaseException:
            await self.fetch("ROLLBACK TO part", ())
            raise
        finally:
            await self.fetch("RELEASE part", ())

    async def end(self, verb: str) -> None:
        """COMMIT or ROLLBACK, if anything was begun, and let the next writer in."""
        if not self.has_begun:
            return

        def finish() -> None:
            connection = self._store.connection()
            try:
                if connection.in_transaction:
                    connection.execute(verb)
            except sqlite3.Error:
                if connection.in_transaction:  # a COMMIT that found the disk full
                    connection.execute("ROLLBACK")
                raise

        try:
            # Who is cancelled while this runs leaves it to end all the same, before the next writer begins.
            await asyncio.shield(self._store.in_writer(finish))
        finally:
            self._turn.release()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self.has_begun:
            await self._turn.acquire()
            self.has_begun = True

        def begun() -> T:
            connection = self._store.connection()
            if not connection.in_transaction:
                # A plain BEGIN takes the lock at the first write, where waiting can no longer help: of many
                # such read-then-write transactions most would fail at once.
                connection.execute("BEGIN IMMEDIATE")
            return work(connection)

        return await self._store.in_writer(begun)


def connect(path: str, *, enforce_foreign_keys: bool = True) -> sqlite3.Connection:
    """A new connection, set up as every one is, in autocommit: BEGIN is the caller's to send.

    `enforce_foreign_keys` is for the migrations alone: rebuilding a table with enforcement on would cascade
    into its children. Raises sqlite3.Error.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=PREPARED_STATEMENTS
    )
    try:
        connection.create_function("cursor_token", 3, cursors.encode_found, deterministic=True)
        connection.create_function("gram_query", 1, texts.gram_query, deterministic=True)
        connection.create_function("gram_start", 1, texts.gram_start, deterministic=True)
        connection.create_function("gram_end", 1, texts.gram_end, deterministic=True)
        _use_write_ahead_log(connection)
        for pragma in (
            "synchronous=FULL",
            f"foreign_keys={'ON' if enforce_foreign_keys else 'OFF'}",
            "temp_store=MEMORY",
            "cache_size=-4000",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch a database to WAL, which it then stays in.

    Of several connections that find a new file at once SQLite refuses all but one without waiting, whatever
    the busy timeout, since they could wait for each other.
    """
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
