"""The way to a database: SQLite in a file, or PostgreSQL.

Here, in `db.types` and in `db.shaping` alone do the two differ.

`Database.read` and `Database.write` open the two kinds of session. They are different types, so that a
write on a read path is a type error, and the engine knows how to begin.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

import aiosqlite
import asyncpg
from cachetools import LRUCache
from sqlalchemy import Connection, Executable, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.engine.url import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.selectable import Select, SelectBase

from db.shaping import cursors, texts

T = TypeVar("T")
ResultRow: TypeAlias = tuple[Any, ...]

BUSY_TIMEOUT_MS = 15_000
CONNECT_TIMEOUT_S = 10
# Compiling a read takes milliseconds, running it microseconds. A text is some tens of kilobytes.
CACHED_STATEMENTS = 512

# What SQLite says when it is the store, and not the statement, that failed.
_SQLITE_UNAVAILABLE = {
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
_POSTGRES_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
    asyncpg.DeadlockDetectedError,  # of two that waited for each other one was turned away, and may come back
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InterfaceError,
)


class StoreUnavailable(Exception):
    """The database does not answer. The statement may be sent again later; the cause is in ``__cause__``."""


class UniqueViolation(Exception):
    """A unique constraint refused a change."""


class InvalidDatabaseUrl(ValueError):
    """`DATABASE_URL` is not one that this project understands. The message says what is."""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as the driver takes it: its text, and its parameters in the driver's order.

    Each is a name and, for the constants that the statement brings along, its value.
    """

    sql: str
    parameters: tuple[tuple[str, Any], ...]


class ReadSession:
    """Runs single SELECTs, each its own snapshot: one thread hop on SQLite, one round trip on PostgreSQL.

    SQLAlchemy makes the text; the driver runs it, since begin, fetch, close and rollback would each be
    a hop or a trip of their own around one statement.
    """

    def __init__(self, database: "Database", driver_connection: Any) -> None:
        self.database = database
        self._driver = driver_connection

    async def rows(self, query: Query | Select[Any], values: Mapping[str, object]) -> Sequence[ResultRow]:
        """All rows of a query. `values` are the bind parameters by name, as plain str, int, bool or None."""
        if not isinstance(query, Query):
            query = self.database.compile(query)
        arguments = [values.get(name, constant) for name, constant in query.parameters]
        if self.database.is_sqlite:
            return await self._driver.execute_fetchall(query.sql, arguments)  # type: ignore[no-any-return]
        return await self._driver.fetch(query.sql, *arguments)  # type: ignore[no-any-return]

    async def row(self, query: Query | Select[Any], values: Mapping[str, object]) -> ResultRow | None:
        """The first row of a query, or None."""
        rows = await self.rows(query, values)
        return rows[0] if rows else None


class WriteSession:
    """One transaction, committed when its block ends and rolled back when the block raises."""

    def __init__(self, database: "Database", connection: AsyncConnection) -> None:
        self.database = database
        self._connection = connection

    async def execute(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """Run one statement inside the transaction."""
        return await self._connection.execute(statement, values)

    async def insert_if_free(self, table: Table, values: Mapping[str, object]) -> bool:
        """Add a row unless a unique constraint stands against it, exactly, under any concurrency.

        False: nothing was added, and what stood against it is there to be read.
        """
        make = sqlite.insert if self.database.is_sqlite else postgresql.insert
        statement = make(table).values(values).on_conflict_do_nothing().returning(table.c.id)
        return (await self._connection.execute(statement)).first() is not None

    async def execute_unique(self, statement: Executable, values: Any = None) -> CursorResult[Any]:
        """Run one statement that may break a unique constraint, inside a savepoint of its own.

        Raises UniqueViolation, after which the transaction is as it was before and goes on.
        """
        try:
            async with self._connection.begin_nested():
                return await self._connection.execute(statement, values)
        except IntegrityError as error:
            if _is_unique_violation(error):
                raise UniqueViolation from error
            raise

    async def run_sync(self, function: Callable[..., T], *arguments: object) -> T:
        """Run a function that wants an ordinary SQLAlchemy connection, inside the transaction."""
        return await self._connection.run_sync(function, *arguments)

    async def load(self, table: Table, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows the fastest way the database has. Values are written as they are stored."""
        driver = (await self._connection.get_raw_connection()).driver_connection
        assert driver is not None
        if self.database.is_sqlite:
            marks = ", ".join("?" * len(columns))
            names = ", ".join(columns)
            await driver.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", rows)  # noqa: S608
        else:
            # SQLAlchemy begins asyncpg's transaction with the first statement of its own, and COPY is none.
            await self._connection.exec_driver_sql("SELECT 1")
            await driver.copy_records_to_table(table.name, columns=columns, records=rows)


class Database:
    """An open database. Made once per process by `create_app`, closed with `close`.

    Making one opens nothing: the first session does.
    """

    def __init__(self, url: str, *, pool_size: int = 10, enforce_foreign_keys: bool = True) -> None:
        """`url` is what people have: ``sqlite:///file.db`` or ``postgresql://user@host/db``.

        `pool_size` bounds the connections of this process. `enforce_foreign_keys` is for the migrations
        alone: rebuilding a SQLite table with enforcement on would cascade into its children.

        Raises InvalidDatabaseUrl.
        """
        self.engine = _engine(url, pool_size)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writes = self.engine.execution_options(write=True)
        self._compiled: dict[Select[Any], Query] = {}
        # The statements of reads by their selections (`db.reads`); theirs is the text of this dialect.
        self.statements: LRUCache[Hashable, Query] = LRUCache(CACHED_STATEMENTS)
        # SQLite has one writer. Waiting for it here costs nothing; waiting in SQLite would hold a
        # thread and, beyond the busy timeout, fail.
        self._writer = asyncio.Lock() if self.is_sqlite else None
        if self.is_sqlite:
            _configure_sqlite(self.engine, enforce_foreign_keys)
        else:
            _configure_postgres(self.engine)

    def compile(self, statement: Select[Any]) -> Query:
        """The driver's text of a statement, made once. For statements that live as long as the process."""
        query = self._compiled.get(statement)
        if query is None:
            query = self._compiled[statement] = self.compile_once(statement)
        return query

    def compile_once(self, statement: SelectBase) -> Query:
        """The driver's text of a statement, for callers that keep it themselves."""
        compiled = statement.compile(dialect=self.engine.dialect)
        names = compiled.positiontup or ()
        return Query(compiled.string, tuple((name, compiled.params[name]) for name in names))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """A session for reading. Raises StoreUnavailable when the database does not answer."""
        with _store_failures():
            connection = await self.engine.connect()
            try:
                raw = await connection.get_raw_connection()
                yield ReadSession(self, raw.driver_connection)
            finally:
                await connection.close()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """One transaction. Raises StoreUnavailable when the database does not answer."""
        with _store_failures():
            if self._writer is None:
                async with self._writes.begin() as connection:
                    yield WriteSession(self, connection)
            else:
                async with self._writer, self._writes.begin() as connection:
                    yield WriteSession(self, connection)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


class _store_failures:  # noqa: N801
    """Turn what says that the store, not the statement, failed into StoreUnavailable."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None and _is_store_failure(error):
            raise StoreUnavailable("the database does not answer") from error


def _is_unique_violation(error: IntegrityError) -> bool:
    cause = getattr(error.orig, "__cause__", None) or error.orig
    if isinstance(cause, sqlite3.Error):
        return cause.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_UNIQUE
    return isinstance(cause, asyncpg.UniqueViolationError)


def _is_store_failure(error: BaseException) -> bool:
    if isinstance(error, DBAPIError) and error.orig is not None:
        if error.connection_invalidated:
            return True
        error = error.orig
        error = error.__cause__ or error
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_UNAVAILABLE
    return isinstance(error, (OSError, TimeoutError, PoolTimeoutError, *_POSTGRES_UNAVAILABLE))


def _engine(url: str, pool_size: int) -> AsyncEngine:
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
            return create_async_engine(
                parsed.set(drivername="sqlite+aiosqlite"),
                async_creator=partial(_connect_sqlite, parsed.database),
                pool_size=pool_size,
                max_overflow=0,
                hide_parameters=True,  # an error's text, which is logged, must not hold customers' data
                # A read is one statement in autocommit, so there is nothing to roll back, and the
                # rollback would be a thread hop of its own. A write ends its own transaction.
                pool_reset_on_return=None,
            )
        case "postgresql" | "postgres":
            # asyncpg reads the URL itself, and so takes everything libpq's URLs may carry (sslmode, a
            # socket's folder as host, several hosts).
            dsn = parsed.set(drivername="postgresql").render_as_string(hide_password=False)

            async def connect() -> Any:
                # The just-in-time compiler costs more than any page here takes.
                return await asyncpg.connect(
                    dsn,
                    timeout=CONNECT_TIMEOUT_S,
                    server_settings={"application_name": "licensegraph", "jit": "off"},
                )

            return create_async_engine(
                "postgresql+asyncpg://",
                async_creator=connect,
                pool_size=pool_size,
                max_overflow=0,
                hide_parameters=True,  # an error's text, which is logged, must not hold customers' data
                pool_reset_on_return=None,
            )
        case "sqlite":
            raise InvalidDatabaseUrl("DATABASE_URL must name a file: sqlite:///licensegraph.db")
        case other:
            raise InvalidDatabaseUrl(
                f"DATABASE_URL cannot be {other}: use sqlite:///file.db or postgresql://…"
            )


async def _connect_sqlite(path: str) -> aiosqlite.Connection:
    connection = aiosqlite.connect(path, check_same_thread=False)
    thread = connection._thread  # noqa: SLF001
    thread.daemon = True
    try:
        await connection
    except BaseException:
        # The connection's thread has one more thing to tell the event loop. Were the loop closed by then,
        # as it is when a command fails, the thread would end with a traceback on standard error.
        thread.join()
        raise
    try:
        await _use_write_ahead_log(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _use_write_ahead_log(connection: aiosqlite.Connection) -> None:
    """Switch a database to WAL, which it then stays in.

    Of several connections that find a new file at once SQLite refuses all but one without waiting, whatever
    the busy timeout, since they could wait for each other.
    """
    await connection.execute_fetchall(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    deadline = asyncio.get_running_loop().time() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            await connection.execute_fetchall("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.01)
        else:
            return


def _configure_sqlite(engine: AsyncEngine, enforce_foreign_keys: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # BEGIN is ours to send, below
        connection.create_function("cursor_token", 3, cursors.encode_found, deterministic=True)
        connection.create_function("gram_query", 1, texts.gram_query, deterministic=True)
        connection.create_function("gram_start", 1, texts.gram_start, deterministic=True)
        cursor = connection.cursor()
        for pragma in (
            "synchronous=FULL",
            f"foreign_keys={'ON' if enforce_foreign_keys else 'OFF'}",
            "temp_store=MEMORY",
            "cache_size=-16000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A plain BEGIN takes the lock at the first write, where waiting can no longer help: of many
        # such read-then-write transactions most would fail at once.
        if connection.get_execution_options().get("write"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")


def _configure_postgres(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "checkout")
    def refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
        # asyncpg knows at once when the server has gone. Asking it costs nothing, and the pool then
        # replaces what the server closed, so a restart of PostgreSQL fails no request after it.
        if connection.driver_connection.is_closed():
            raise DisconnectionError("the server closed this connection")
