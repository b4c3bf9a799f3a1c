"""The way to a database: SQLite in a file, or PostgreSQL.

SQLAlchemy Core makes the text of every statement, once; the driver runs it (`db.sqlite`, `db.postgresql`).

`Database.read` and `Database.write` open the two kinds of session. They are different types, so that a
write on a read path is a type error.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import asyncpg
from sqlalchemy import ClauseElement, Table
from sqlalchemy.engine.result import Result
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.sql.selectable import Select

from db.postgresql import Postgresql
from db.sqlite import Sqlite
from db.statements import ROW_ID, Query, Statements, change, insertion
from db.store import ResultRow, Store, Transaction

__all__ = [
    "DRIVER_ERRORS",
    "Database",
    "InvalidDatabaseUrl",
    "ReadSession",
    "ResultRow",
    "StoreUnavailable",
    "UniqueViolation",
    "WriteSession",
]

DRIVER_ERRORS = (sqlite3.Error, asyncpg.PostgresError)
"""What the drivers raise when a statement fails, and not the store."""


class StoreUnavailable(Exception):
    """The database does not answer. The statement may be sent again later; the cause is in ``__cause__``."""


class UniqueViolation(Exception):
    """A unique constraint refused a change."""


class InvalidDatabaseUrl(ValueError):
    """`DATABASE_URL` is not one that this project understands. The message says what is."""


class ReadSession:
    """Runs single SELECTs, each its own snapshot: one thread hop at most on SQLite, one trip on PostgreSQL.

    Used in an ``async with``, which raises StoreUnavailable when the database does not answer.
    """

    def __init__(self, database: "Database", store: Store) -> None:
        self.database = database
        self._store = store

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        raise_store_failure(self._store, error)

    async def rows(self, query: Query | Select[Any], values: Mapping[str, object]) -> Sequence[ResultRow]:
        """All rows of a query, as they are stored.

        `values` are the bind parameters by name, as plain str, int, bool or None.
        """
        if not isinstance(query, Query):
            query = self.database.statements.compile(query)
        return await self._store.fetch(
            query.sql, [values.get(name, constant) for name, constant in query.parameters]
        )

    async def row(self, query: Query | Select[Any], values: Mapping[str, object]) -> ResultRow | None:
        """The first row of a query, or None."""
        rows = await self.rows(query, values)
        return rows[0] if rows else None


class WriteSession:
    """One transaction, committed when its block ends and rolled back when the block raises.

    It begins with its first statement: a block that sends none costs nothing.
    """

    def __init__(self, database: "Database", transaction: Transaction) -> None:
        self.database = database
        self._transaction = transaction
        self._after_commit: list[Callable[[], None]] = []

    @property
    def has_begun(self) -> bool:
        """Whether a statement has been run inside the transaction."""
        return self._transaction.has_begun

    def after_commit(self, call: Callable[[], None]) -> None:
        """Have something called when the transaction is committed; if it is rolled back, never."""
        self._after_commit.append(call)

    def committed(self) -> None:
        """Say that the transaction is committed."""
        for call in self._after_commit:
            call()

    async def execute(
        self, statement: ClauseElement, values: Mapping[str, object] | None = None
    ) -> Result[Any]:
        """Run one statement inside the transaction."""
        query = self.database.statements.compile(statement)
        return query.result(await self._transaction.fetch(query.sql, query.stored(values or {})))

    async def execute_alone(self, statement: ClauseElement, values: Mapping[str, object]) -> Result[Any]:
        """Run one statement as a transaction of its own, in one hop or trip; only if none `has_begun`."""
        assert not self.has_begun
        query = self.database.statements.compile(statement)
        return query.result(await self.database.store.change(query.sql, query.stored(values)))

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
        try:
            async with self._transaction.savepoint():
                return await self.execute(statement, values)
        except Exception as error:
            if self.database.store.is_unique_violation(error):
                raise UniqueViolation from error
            raise

    async def update(self, table: Table, id: str, changes: Mapping[str, object]) -> None:
        """Change the row of this id.

        Raises UniqueViolation, after which the transaction is as it was before and goes on.
        """
        await self.execute_unique(change(table, tuple(changes)), {**changes, ROW_ID: id})

    async def load(self, table: Table, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows the fastest way the database has. Values are written as they are stored."""
        await self._transaction.load(table.name, columns, rows)


class Database:
    """An open database. Made once per process by `create_app`, closed with `close`.

    Making one opens nothing: the first statement does.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        """`url` is what people have: ``sqlite:///file.db`` or ``postgresql://user@host/db``.

        `pool_size` bounds the connections of this process; on SQLite those that read, beside the one that
        writes. Raises InvalidDatabaseUrl.
        """
        parsed = parse_url(url)
        self.is_sqlite = parsed.drivername == "sqlite"
        self.store: Store = (
            Sqlite(parsed.database or "", pool_size) if self.is_sqlite else Postgresql(dsn(parsed), pool_size)
        )
        self.statements = Statements(self.store.dialect)

    def read(self) -> ReadSession:
        """A session for reading. Raises StoreUnavailable when the database does not answer."""
        return ReadSession(self, self.store)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """One transaction. Raises StoreUnavailable when the database does not answer."""
        try:
            async with self.store.transaction() as transaction:
                session = WriteSession(self, transaction)
                yield session
        except BaseException as error:
            raise_store_failure(self.store, error)
            raise
        session.committed()

    async def close(self) -> None:
        """Close every connection."""
        await self.store.close()


def raise_store_failure(store: Store, error: BaseException | None) -> None:
    """Raise StoreUnavailable for an error that says that the store, not the statement, failed."""
    if error is not None and store.is_unavailable(_driver_error(error)):
        raise StoreUnavailable("the database does not answer") from error


def _driver_error(error: BaseException) -> BaseException:
    """What the driver said, where SQLAlchemy (in the migrations) has put it into an error of its own."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def parse_url(url: str) -> URL:
    """What `DATABASE_URL` says. Its drivername is ``sqlite`` or ``postgresql``. Raises InvalidDatabaseUrl."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise InvalidDatabaseUrl(
            "DATABASE_URL is not a URL: write sqlite:///file.db or postgresql://user@host/database"
        ) from error
    match parsed.get_backend_name():
        case "sqlite" if parsed.query:
            raise InvalidDatabaseUrl("DATABASE_URL takes no options behind a SQLite file's name")
        case "sqlite" if parsed.database and parsed.database != ":memory:":
            return parsed.set(drivername="sqlite")
        case "sqlite":
            raise InvalidDatabaseUrl("DATABASE_URL must name a file: sqlite:///licensegraph.db")
        case "postgresql" | "postgres":
            return parsed.set(drivername="postgresql")
        case other:
            raise InvalidDatabaseUrl(
                f"DATABASE_URL cannot be {other}: use sqlite:///file.db or postgresql://…"
            )


def dsn(url: URL) -> str:
    """A PostgreSQL URL as text, with its password, for the driver."""
    return url.render_as_string(hide_password=False)
