"""PostgreSQL: a pool of connections, each statement one round trip."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from asyncpg.transaction import Transaction
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

from db.store import ConnectionHook, ResultRow

CONNECT_TIMEOUT_S = 10
POOL_TIMEOUT_S = 30
CLOSE_TIMEOUT_S = 5

SERVER_SETTINGS = {
    "application_name": "licensegraph",
    "jit": "off",  # the just-in-time compiler costs more than any page here takes
    # Statements are written so that one plan fits all values (tests/schema/plans.py): it is made once.
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",  # a page is a short walk along an index, most of which is in memory
}
# The C library gives memory back after every large answer and asks for it again with the next, page
# by page, until it has once seen a block of this size come and go. That was a third of a dashboard's time.
# It is filled by long pieces, not a letter at a time (30 ms, now 4), and no constant that the planner copies.
_GET_ROOM = "SELECT octet_length(repeat(repeat('x', 8000), times)) FROM generate_series(1000, 1000) AS times"

_UNAVAILABLE = (
    OSError,
    TimeoutError,
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


async def connect(dsn: str) -> asyncpg.Connection:
    """A new connection. asyncpg reads the URL itself, and so takes everything libpq's URLs may carry."""
    return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=SERVER_SETTINGS)


class Postgresql:
    """A database of a server, over at most so many `connections`."""

    dialect: Dialect = PGDialect_asyncpg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

    def __init__(self, dsn: str, connections: int) -> None:
        self.on_connect: list[ConnectionHook] = []
        self._dsn = dsn
        self._size = connections
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool | None = None

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run a statement that reads."""
        connection = await self.acquire()
        try:
            return await connection.fetch(sql, *arguments)  # type: ignore[no-any-return]
        finally:
            await self.release(connection)

    async def change(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run a statement as a transaction of its own: what every statement outside of one is here."""
        return await self.fetch(sql, arguments)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["PostgresqlTransaction"]:
        """One transaction, which begins with its first statement."""
        transaction = PostgresqlTransaction(self)
        try:
            yield transaction
        except BaseException:
            await transaction.roll_back()
            raise
        await transaction.commit()

    @staticmethod
    def is_unavailable(error: BaseException) -> bool:
        """Whether this says that the store failed, and not the statement."""
        return isinstance(error, _UNAVAILABLE)

    @staticmethod
    def is_unique_violation(error: BaseException) -> bool:
        """Whether a unique constraint refused a change."""
        return isinstance(error, asyncpg.UniqueViolationError)

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

    async def acquire(self) -> PoolConnectionProxy:
        """A connection, to be released. The pool replaces those that the server has closed."""
        pool = self._pool or await self._open()
        if pool.get_idle_size() or pool.get_size() < pool.get_max_size():
            return await pool.acquire()
        # A timeout costs more than taking a connection that is there.
        async with asyncio.timeout(POOL_TIMEOUT_S):
            return await pool.acquire()

    async def release(self, connection: PoolConnectionProxy) -> None:
        """Give a connection back."""
        assert self._pool is not None
        await self._pool.release(connection)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    min_size=0,
                    max_size=self._size,
                    connect=self._connect,
                    # Nothing is ever left behind in a session, and resetting it would be a trip of its own.
                    reset=_nothing,
                    max_inactive_connection_lifetime=0,
                )
            return self._pool

    async def _connect(self, *_arguments: Any, **_options: Any) -> asyncpg.Connection:
        connection = await connect(self._dsn)
        await connection.execute(_GET_ROOM)
        for hook in self.on_connect:
            hook(connection)
        return connection


class PostgresqlTransaction:
    """What a write may do between BEGIN and COMMIT."""

    def __init__(self, store: Postgresql) -> None:
        self._store = store
        self._connection: PoolConnectionProxy | None = None
        self._transaction: Transaction | None = None

    @property
    def has_begun(self) -> bool:
        """Whether a statement has been run."""
        return self._connection is not None

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run one statement."""
        connection = self._connection or await self._begin()
        return await connection.fetch(sql, *arguments)  # type: ignore[no-any-return]

    async def load(self, table: str, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows."""
        connection = self._connection or await self._begin()
        await connection.copy_records_to_table(table, columns=columns, records=rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """A part of the transaction that is undone alone when it raises."""
        connection = self._connection or await self._begin()
        async with connection.transaction():
            yield

    async def commit(self) -> None:
        """Make it last, if anything was begun."""
        if self._connection is None or self._transaction is None:
            return
        try:
            await self._transaction.commit()
        finally:
            await self._store.release(self._connection)

    async def roll_back(self) -> None:
        """Undo it all. A connection that cannot do so any more is given up, which undoes it too."""
        if self._connection is None or self._transaction is None:
            return
        try:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await self._transaction.rollback()
        finally:
            if self._connection.is_in_transaction():
                self._connection.terminate()
            await self._store.release(self._connection)

    async def _begin(self) -> PoolConnectionProxy:
        connection = await self._store.acquire()
        try:
            self._transaction = connection.transaction()
            await self._transaction.start()
        except BaseException:
            connection.terminate()
            await self._store.release(connection)
            raise
        self._connection = connection
        return connection


async def _nothing(_connection: object) -> None:
    pass
