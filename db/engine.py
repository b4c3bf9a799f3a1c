"""The way to a database: SQLite in a file (aiosqlite), or PostgreSQL (asyncpg), by SQLAlchemy's engine.

SQLAlchemy writes every statement, once (`db.statements`), and holds every connection; statements are sent on
the driver's own connection (`db.connections`).

`Database.read` and `Database.write` open the two kinds of session. They are different types, so that a
write on a read path is a type error.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Self

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
from db.statements import ROW_ID, Query, Statements, change, insertion
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
"""What the drivers raise when a statement fails, and not the store."""

TIMEOUTS = Timeouts()
_OF_HEALTH = Timeouts(statement=0.8, lock=0.8)  # to answer within a second
_ANSWERS = "SELECT version_num FROM alembic_version"
# It is refused where anything else would be that writes.
_WRITES_NOTHING = "UPDATE alembic_version SET version_num = version_num WHERE false"
COMMITTED_LATELY_S = 1
CLOSE_TIMEOUT_S = 5


class StoreUnavailable(Exception):
    """The database does not answer in time. The statement may be sent again later; see ``__cause__``."""


class UniqueViolation(Exception):
    """A unique constraint refused a change."""


class ReadSession:
    """Runs single SELECTs, each its own snapshot: one thread hop at most on SQLite, one trip on PostgreSQL.

    Used in an ``async with``, which raises StoreUnavailable when the database does not answer in time.
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
        """All rows of a query. `values` are the bind parameters by name.

        Values, here as in `WriteSession.execute`, are what the types of columns and parameters say.
        """
        if not isinstance(query, Query):
            query = self.database.statements.compile(query)
        arguments, deadline = query.stored(values), self._timeouts.of_statement()
        connections = self._scanners if query.scans else self._readers
        return query.rows(await connections.fetch(query.sql, arguments, deadline, may_repeat=True))

    async def row(self, query: Query | Select[Any], values: Mapping[str, object]) -> ResultRow | None:
        """The first row of a query, or None."""
        rows = await self.rows(query, values)
        return rows[0] if rows else None


class WriteSession:
    """One transaction, committed when its block ends and rolled back when the block raises.

    It begins with its first statement: a block that sends none costs nothing.
    """

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
        return query.result(await self._fetch(query.sql, query.stored(values or {})))

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        """Add a row unless a unique constraint stands against it, exactly, under any concurrency.

        False: nothing was added, and what stood against it is there to be read.
        """
        return (await self.execute(insertion(table, tuple(values)), values)).first() is not None

    async def execute_unique(
        self, statement: ClauseElement, values: Mapping[str, object] | None = None
    ) -> Result[Any]:
        """Run one statement that may break a unique constraint, inside a savepoint of its own.

        Raises UniqueViolation, after which the transaction is as it was before and goes on.
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

    async def update(self, table: Table, id: str, changes: Mapping[str, object]) -> None:
        """Change the row of this id.

        Raises UniqueViolation, after which the transaction is as it was before and goes on.
        """
        await self.execute_unique(change(table, tuple(changes)), {**changes, ROW_ID: id})

    async def load(self, table: Table, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows the fastest way the database has. Values are written as they are stored."""
        await self._connections.load(self._connection or await self._begin(), table.name, columns, rows)

    async def end(self, error: BaseException | None) -> None:
        """Commit, or roll back what an error has broken off. Raises what the driver raises for a commit."""
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
    """An open database. Made once per process by `create_app`, closed with `close`.

    Making one opens nothing: the first statement does.
    """

    def __init__(
        self, url: str, *, pool_size: int = 10, timeouts: Timeouts = TIMEOUTS, pooled: bool = False
    ) -> None:
        """`url` is what people have: ``sqlite:///file.db`` or ``postgresql://user@host/db``.

        `pool_size` bounds the connections that read and write: half of them read and half write; on SQLite
        one writes. Statements that scan have further ones, and so has the health. `pooled`: a
        pooler lends them for single transactions. Raises InvalidDatabaseUrl.
        """
        parsed = parse_url(url)
        self.is_sqlite = parsed.is_sqlite
        self.timeouts = timeouts
        self._committed_at = float("-inf")
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
        """A session for reading. Raises StoreUnavailable when the database does not answer in time."""
        return ReadSession(self, self._readers, self._scanners)

    async def execute(self, query: Query, values: Mapping[str, object]) -> Sequence[ResultRow]:
        """Run one statement that writes as a transaction of its own, in one hop or trip.

        Raises StoreUnavailable when the database does not answer in time.
        """
        try:
            # All that such a statement may wait for is a lock.
            rows = await self._writers.fetch(query.sql, query.stored(values), self.timeouts.of_lock())
        except BaseException as error:
            self.raise_if_unavailable(error)
            raise
        self._committed_at = time.monotonic()
        return query.rows(rows)

    async def takes_writes(self) -> bool:
        """Ask within a second, on a connection that nobody else keeps waiting, whether writes are taken.

        Raises StoreUnavailable when not even reads are answered.
        """
        deadline = _OF_HEALTH.of_statement()
        try:
            await self._health.fetch(_ANSWERS, (), deadline, may_repeat=True)
        except BaseException as error:
            self.raise_if_unavailable(error)
            raise
        if time.monotonic() - self._committed_at < COMMITTED_LATELY_S:
            return True
        try:
            await self._health.fetch(_WRITES_NOTHING, (), deadline)
        except Exception as error:
            return not self._readers.is_unavailable(driver_error(error))
        return True

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """One transaction. Raises StoreUnavailable when the database does not answer in time."""
        session = WriteSession(self, self._writers)
        try:
            try:
                yield session
            except BaseException as error:
                await session.end(error)
                raise
            await session.end(None)
            self._committed_at = time.monotonic()
        except BaseException as error:
            self.raise_if_unavailable(error)
            raise

    async def close(self) -> None:
        """Close every connection, in seconds, whatever the network does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                for connections in (self._readers, self._scanners, self._writers, self._health):
                    await connections.close()
                await self.engine.dispose()

    def raise_if_unavailable(self, error: BaseException | None) -> None:
        """Raise StoreUnavailable for an error that says that the store, not the statement, failed."""
        if error is not None and self._readers.is_unavailable(driver_error(error)):
            raise StoreUnavailable("the database does not answer") from error


def driver_error(error: BaseException) -> BaseException:
    """What the driver said, where SQLAlchemy has put it into an error of its own."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error
