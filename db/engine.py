"""The way to a database: SQLite in a file, or PostgreSQL.

SQLAlchemy Core makes the text of every statement, once; the driver runs it (`db.sqlite`, `db.postgresql`).

`Database.read` and `Database.write` open the two kinds of session. They are different types, so that a
write on a read path is a type error.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Self, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
from sqlalchemy import BindParameter, ClauseElement, Dialect, Table, Update, bindparam, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.engine.result import IteratorResult, Result, SimpleResultMetaData
from sqlalchemy.engine.url import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import Select, SelectBase

from db.postgresql import Postgresql
from db.sqlite import Sqlite
from db.store import ResultRow, Store, Transaction

__all__ = [
    "DRIVER_ERRORS",
    "Database",
    "InvalidDatabaseUrl",
    "Query",
    "ReadSession",
    "ResultRow",
    "StoreUnavailable",
    "UniqueViolation",
    "WriteSession",
]

# Of reads; the least recently used goes first. Compiling one takes milliseconds, running it microseconds. A
# text is some tens of kilobytes.
CACHED_STATEMENTS = 512

DRIVER_ERRORS = (sqlite3.Error, asyncpg.PostgresError)
"""What the drivers raise when a statement fails, and not the store."""

# The parameter that says which row is changed, beside those that are named for the columns.
_ROW_ID = "row_id"

S = TypeVar("S", bound=Hashable)
Processor: TypeAlias = Callable[[Any], Any]


class StoreUnavailable(Exception):
    """The database does not answer. The statement may be sent again later; the cause is in ``__cause__``."""


class UniqueViolation(Exception):
    """A unique constraint refused a change."""


class InvalidDatabaseUrl(ValueError):
    """`DATABASE_URL` is not one that this project understands. The message says what is."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as the driver takes it: its text, and its parameters in the driver's order.

    Each is a name and, for the constants that the statement brings along, its value. The processors turn
    Python's values into stored ones, by parameter, and back, by column of the result.
    """

    sql: str
    parameters: tuple[tuple[str, Any], ...]
    processors: tuple[Processor | None, ...] = ()
    columns: tuple[tuple[str, Processor | None], ...] = ()

    def stored(self, values: Mapping[str, object]) -> list[Any]:
        """The arguments for the driver, of values as Python has them."""
        arguments = []
        for (name, constant), process in zip(self.parameters, self.processors, strict=True):
            value = values.get(name, constant)
            arguments.append(value if process is None else process(value))
        return arguments

    def result(self, rows: Sequence[ResultRow]) -> Result[Any]:
        """Rows of the driver's as SQLAlchemy shows them, their values as Python has them."""
        processors = [process for _, process in self.columns]
        if any(processors):
            rows = [
                tuple(
                    value if process is None else process(value)
                    for value, process in zip(row, processors, strict=True)
                )
                for row in rows
            ]
        else:
            rows = [tuple(row) for row in rows]
        return IteratorResult(SimpleResultMetaData([name for name, _ in self.columns]), iter(rows))


def locking(statement: Select[Any], held: Table, *changed: Table, strength: str = "KEY SHARE") -> Select[Any]:
    """Have a statement lock the rows that it finds, table by table, until the transaction ends.

    Those of `held` against deletion (with the strength "SHARE": against any change), those of `changed`
    against everybody. Conditions on locked rows, and only they, are tried again on what a row has become
    while it was waited for. SQLite has one writer: no row is locked there.
    """
    clauses = [f"FOR {strength} OF {held.name}", *(f"FOR UPDATE OF {table.name}" for table in changed)]
    return statement.suffix_with(text(" ".join(clauses)), dialect="postgresql")


def parameters_of(table: Table, columns: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """A parameter for each column, of its name and its type."""
    return {name: bindparam(name, type_=table.c[name].type) for name in columns}


def if_free(statement: Insert) -> ReturningInsert[Any]:
    """Have an insertion add only what no unique constraint stands against, and answer the ids added."""
    # SQLite's compiler understands PostgreSQL's form as well.
    return statement.on_conflict_do_nothing().returning(statement.table.c.id)


@cache
def _insertion(table: Table, columns: tuple[str, ...]) -> ReturningInsert[Any]:
    return if_free(insert(table).values(parameters_of(table, columns)))


@cache
def _change(table: Table, columns: tuple[str, ...]) -> Update:
    changed = table.update().where(table.c.id == bindparam(_ROW_ID))
    return changed.values(parameters_of(table, columns))


@cache
def _compiled_for(_dialect: Dialect) -> WeakKeyDictionary[ClauseElement, Query]:
    """Queries by the identity of their statements, for all databases of a kind.

    Statements that live as long as the process are compiled once in it.
    """
    return WeakKeyDictionary()


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
            query = self.database.compile(query)
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
        query = self.database.compile(statement)
        return query.result(await self._transaction.fetch(query.sql, query.stored(values or {})))

    async def execute_alone(self, statement: ClauseElement, values: Mapping[str, object]) -> Result[Any]:
        """Run one statement as a transaction of its own, in one hop or trip; only if none `has_begun`."""
        assert not self.has_begun
        query = self.database.compile(statement)
        return query.result(await self.database.store.change(query.sql, query.stored(values)))

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        """Add a row unless a unique constraint stands against it, exactly, under any concurrency.

        False: nothing was added, and what stood against it is there to be read.
        """
        return (await self.execute(_insertion(table, tuple(values)), values)).first() is not None

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
        await self.execute_unique(_change(table, tuple(changes)), {**changes, _ROW_ID: id})

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
        self._compiled = _compiled_for(self.store.dialect)
        self.query_of = lru_cache(CACHED_STATEMENTS)(self._query_of)
        """The query of a read, made by a function from a selection (`db.reads`), and kept by both."""

    def compile(self, statement: ClauseElement) -> Query:
        """The driver's text of a statement, made once for as long as the statement lives."""
        query = self._compiled.get(statement)
        if query is None:
            query = self._compiled[statement] = self.compile_once(statement)
        return query

    def compile_once(self, statement: ClauseElement | SelectBase) -> Query:
        """The driver's text of a statement, for callers that keep it themselves."""
        dialect = self.store.dialect
        # IN over a list of values is spelt out now; SQLAlchemy would do so when it runs a statement.
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        if not isinstance(compiled, SQLCompiler):  # DDL
            return Query(str(compiled), ())
        names = compiled.positiontup or ()
        values = compiled.params
        types = {name: parameter.type for parameter, name in compiled.bind_names.items()}
        columns = getattr(statement, "exported_columns", None) or ()
        return Query(
            compiled.string,
            tuple((name, values[name]) for name in names),
            tuple(
                types[name].dialect_impl(dialect).bind_processor(dialect) if name in types else None
                for name in names
            ),
            tuple(
                (column.key or "", column.type.dialect_impl(dialect).result_processor(dialect, None))
                for column in columns
            ),
        )

    def _query_of(self, make: Callable[[S], SelectBase], selection: S) -> Query:
        return self.compile_once(make(selection))

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
