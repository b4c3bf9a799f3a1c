"""The database: SQLite in a file (aiosqlite) or PostgreSQL (asyncpg), through SQLAlchemy's engine.

SQLAlchemy compiles the statements (`db.statements`) and manages the connections, except the one for short
SQLite reads (`db.short_reads`). Statements are sent on the driver's own connection (`db.connections`).

`Database.read` and `Database.write` open the two kinds of session. The two kinds have different types, so a
write in a read session is a type error.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self, TypeAlias

import asyncpg
from sqlalchemy import ClauseElement, Table
from sqlalchemy.engine.result import Result
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.sql.selectable import Select

from db import postgresql, sqlite
from db.connections import Connections, ResultRow
from db.deadlines import Timeouts
from db.postgresql import PooledConnections, PostgresqlConnections
from db.sqlite import SqliteConnections, SqliteReaders
from db.statements import Query, Statements, insertion
from db.urls import parse_url

__all__ = [
    "DRIVER_ERRORS",
    "Database",
    "ReadSession",
    "ResultRow",
    "StoreUnavailable",
    "UniqueViolation",
    "WriteSession",
]

DRIVER_ERRORS = (sqlite3.Error, asyncpg.PostgresError)
"""What the drivers raise if a statement fails.

If the whole database fails, they may raise other errors too.
"""

TIMEOUTS = Timeouts()
_HEALTH_TIMEOUTS = Timeouts(statement=0.8, lock=0.8)  # keeps the health check within a second
_READ_CHECK = "SELECT version_num FROM alembic_version"
# This changes nothing, but fails like other writes, for example if the database is locked or read-only.
_WRITE_CHECK = "UPDATE alembic_version SET version_num = version_num WHERE false"
RECENT_COMMIT_S = 1
CLOSE_TIMEOUT_S = 5


class StoreUnavailable(Exception):
    """The database, not the statement, failed or was too slow. A later attempt may succeed.

    ``__cause__`` is the original error.
    """


class UniqueViolation(Exception):
    """A change breaks a unique constraint."""


class ReadSession:
    """Runs single SELECTs, each with its own snapshot.

    A SELECT that is already prepared takes at most one thread hop on SQLite and, without a transaction
    pooler, one round trip on PostgreSQL. Use the session in an ``async with``, which raises StoreUnavailable
    if the database fails or is too slow.
    """

    def __init__(self, database: "Database", readers: Connections, scanners: Connections) -> None:
        self.database = database
        self._readers = readers
        self._scanners = scanners
        self._timeouts = database.timeouts

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        self.database.raise_if_unavailable(error)

    async def rows(self, query: Query | Select[Any], values: Mapping[str, object]) -> Sequence[ResultRow]:
        """Return all rows of a query. `values` are the bind parameters by name.

        Here and in `WriteSession.execute`, values and results are converted by the types of the parameters
        and columns.
        """
        if not isinstance(query, Query):
            query = self.database.statements.compile(query)
        arguments, deadline = query.arguments(values), self._timeouts.of_statement()
        connections = self._scanners if query.scans else self._readers
        return query.rows(await connections.fetch(query.sql, arguments, deadline, may_repeat=True))

    async def row(self, query: Query | Select[Any], values: Mapping[str, object]) -> ResultRow | None:
        """Return the first row of a query, or None if there are no rows."""
        rows = await self.rows(query, values)
        return rows[0] if rows else None


class WriteSession:
    """One transaction, committed when its block ends and rolled back if the block raises an exception.

    The transaction begins with its first statement, so a block without statements costs nothing. `has_events`
    is true if the transaction writes events (`db.events`).
    """

    has_events = False

    def __init__(self, database: "Database", connections: Connections) -> None:
        self.database = database
        self._connections = connections
        self._deadlines = database.timeouts.deadlines()
        self._connection: Any = None

    async def execute(
        self, statement: ClauseElement, values: Mapping[str, object] | None = None
    ) -> Result[Any]:
        """Run one statement inside the transaction."""
        query = self.database.statements.compile(statement)
        return query.result(await self._fetch(query.sql, query.arguments(values or {})))

    async def rows(
        self, query: Query, values: Mapping[str, object], then: Query | None = None
    ) -> Sequence[ResultRow]:
        """Run a query inside the transaction, and return its rows. If there are rows, `then` runs too."""
        if then is None:
            return query.rows(await self._fetch(query.sql, query.arguments(values)))
        first, second = ((each.sql, each.arguments(values)) for each in (query, then))
        connection = self._connection or await self._begin()
        rows = await self._connections.run_both(connection, first, second, self._deadlines.statement)
        return query.rows(rows)

    async def insert_if_free(
        self, table: Table, values: Mapping[str, object], wait_s: float | None = None
    ) -> bool:
        """Add a row unless it breaks a unique constraint, even if other transactions add rows concurrently.

        Returns False if nothing was added. The conflicting row can then be read. If another transaction is
        adding such a row, this waits for its end. With `wait_s`, it raises TimeoutError after so many
        seconds.
        """
        query = self.database.statements.compile(insertion(table, tuple(values)))
        if self._connection is None:
            await self._begin()
        async with asyncio.timeout(wait_s):
            return bool(await self.rows(query, values))

    async def execute_unique(
        self, statement: ClauseElement, values: Mapping[str, object] | None = None
    ) -> Result[Any]:
        """Run one statement that may break a unique constraint, in a savepoint of its own.

        If this raises UniqueViolation, the transaction is unchanged and can go on.
        """
        await self._fetch("SAVEPOINT part")
        try:
            result = await self.execute(statement, values)
        except Exception as error:
            if not self._connections.is_unique_violation(error):
                raise
            await self._fetch("ROLLBACK TO part")
            await self._fetch("RELEASE part")
            raise UniqueViolation from error
        await self._fetch("RELEASE part")
        return result

    async def load(self, table: Table, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows in the fastest way that the database has. Values must be in their stored form."""
        await self._connections.load(self._connection or await self._begin(), table.name, columns, rows)

    async def end(self, error: BaseException | None) -> None:
        """Commit, or roll back if there was an error. Raises the driver's error if the commit fails."""
        if self._connection is None:
            return
        connection, self._connection = self._connection, None
        if error is not None and self._connections.is_cut_short(error):
            self._connections.clear(connection)
            return
        verb = "COMMIT" if error is None else "ROLLBACK"
        try:
            await self._connections.run(connection, verb, (), self._deadlines.statement)
        except BaseException:
            self._connections.clear(connection)
            if error is None:
                raise
        else:
            self._connections.give_back(connection)

    async def _fetch(self, sql: str, arguments: Sequence[Any] = ()) -> Sequence[ResultRow]:
        connection = self._connection or await self._begin()
        return await self._connections.run(connection, sql, arguments, self._deadlines.statement)

    async def _begin(self) -> Any:
        connection = await self._connections.take(self._deadlines.lock)
        try:
            await self._connections.begin(connection, self._deadlines)
        except BaseException:
            self._connections.clear(connection)
            raise
        self._connection = connection
        return connection


class Database:
    """An open database. A server process or a command creates one, and closes it with `close`.

    The constructor does not connect to the database. The first statement does.
    """

    def __init__(
        self, url: str, *, pool_size: int = 10, timeouts: Timeouts = TIMEOUTS, pooled: bool = False
    ) -> None:
        """Prepare a database at a URL: ``sqlite:///file.db`` or ``postgresql://user@host/db``.

        `pool_size` limits the number of connections for reads and writes. On PostgreSQL, reads and writes
        each get about half of these connections, but at least one. On SQLite, one connection writes, and
        others read (`db.sqlite.readers`). Scans, the health check and short SQLite reads have additional
        connections. `pooled` means that the connections go through a transaction pooler. Raises
        InvalidDatabaseUrl.
        """
        parsed = parse_url(url)
        self.is_sqlite = parsed.is_sqlite
        self.timeouts = timeouts
        self._committed_at = float("-inf")
        self.recorded: Callable[[], object] = _nothing
        """What to call after a commit with events."""
        self.verified: Callable[[str, str], object] = _nothing
        """What to call with the id of a license that was found valid, and the time as text."""
        self._readers: Connections
        if self.is_sqlite:
            readers, writers = sqlite.readers(pool_size), 1
            scanners = sqlite.scanners(readers)
            self.engine = sqlite.create_engine(parsed.path, readers + scanners + writers + 1)
            connections: Callable[[AsyncEngine, int], Connections] = SqliteConnections
            self._readers = SqliteReaders(self.engine, readers, parsed.path)
        else:
            writers = pool_size // 2 or 1
            readers = pool_size - writers or 1
            scanners = (readers + 1) // 2
            self.engine = postgresql.create_engine(
                parsed, readers + scanners + writers + 1, timeouts, pooled=pooled
            )
            connections = PostgresqlConnections
            if pooled:
                connections = partial(PooledConnections, setup=postgresql.set_locally(parsed, timeouts))
            self._readers = connections(self.engine, readers)
        self._scanners = connections(self.engine, scanners)
        self._writers, self._health = connections(self.engine, writers), connections(self.engine, 1)
        self.statements = Statements(self._readers.dialect)

    def read(self) -> ReadSession:
        """Return a session for reading.

        The session's block raises StoreUnavailable if the database fails or is too slow.
        """
        return ReadSession(self, self._readers, self._scanners)

    async def execute(
        self, query: Query, values: Mapping[str, object], then: Query | None = None
    ) -> Sequence[ResultRow]:
        """Run a writing statement in a transaction of its own, and return its rows.

        If there are rows, `then` runs in the same transaction. Raises StoreUnavailable if the database fails
        or is too slow.
        """
        # The statement waits only for locks, so it has the deadline of a lock.
        deadline = self.timeouts.of_lock()
        try:
            if then is None:
                rows = await self._writers.fetch(query.sql, query.arguments(values), deadline)
            else:
                first, second = ((each.sql, each.arguments(values)) for each in (query, then))
                rows = await self._writers.fetch_both(first, second, deadline)
        except BaseException as error:
            self.raise_if_unavailable(error)
            raise
        self._committed_at = time.monotonic()
        return query.rows(rows)

    async def takes_writes(self) -> bool:
        """Return, within a second, whether the database accepts writes.

        The check has a connection of its own. After a commit within the last second, only a read is tried.
        Raises StoreUnavailable if even reads fail. The result is still True if a write is tried and fails
        although the database works, for example because of a missing permission.
        """
        deadline = _HEALTH_TIMEOUTS.of_statement()
        try:
            await self._health.fetch(_READ_CHECK, (), deadline, may_repeat=True)
        except BaseException as error:
            self.raise_if_unavailable(error)
            raise
        if time.monotonic() - self._committed_at < RECENT_COMMIT_S:
            return True
        try:
            await self._health.fetch(_WRITE_CHECK, (), deadline)
        except Exception as error:
            return not self._readers.is_unavailable(driver_error(error))
        return True

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Open a session that writes in one transaction.

        The session's block raises StoreUnavailable if the database fails or is too slow.
        """
        session = WriteSession(self, self._writers)
        try:
            try:
                yield session
            except BaseException as error:
                await session.end(error)
                raise
            await session.end(None)
            self._committed_at = time.monotonic()
            if session.has_events:
                self.recorded()
        except BaseException as error:
            self.raise_if_unavailable(error)
            raise

    async def apart(self) -> "Database":
        """Return the database for work whose blocks are transactions of their own (`db.one_transaction`)."""
        return self

    async def after_commit(self, work: "AfterCommit") -> None:
        """Do some work that is only right once all changes so far are committed. Here, they are."""
        await done(work, self)

    async def close(self) -> None:
        """Close every connection.

        This takes at most `CLOSE_TIMEOUT_S`, even if the network does not respond.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for connections in (self._readers, self._scanners, self._writers, self._health):
                    await connections.close()
                await self.engine.dispose()

    def raise_if_unavailable(self, error: BaseException | None) -> None:
        """Raise StoreUnavailable if an error means that the database, not the statement, failed."""
        if error is not None and self._readers.is_unavailable(driver_error(error)):
            raise StoreUnavailable("the database is unavailable") from error


AfterCommit: TypeAlias = Callable[[Database], Awaitable[object] | None]


async def done(work: AfterCommit, database: Database) -> None:
    """Do some work with a database, and wait for it if it is asynchronous."""
    result = work(database)
    if result is not None:
        await result


def _nothing(*_: object) -> None:
    pass


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's error if SQLAlchemy wrapped it, or else the error itself."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error
