"""PostgreSQL, by asyncpg: each statement is one round trip."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from db.connections import Connections, ResultRow
from db.deadlines import Deadlines, Timeouts, seconds_left
from db.urls import DatabaseUrl

BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
CONNECT_TIMEOUT_S = 10
POOLER_TIMEOUT_S = 2

# What a role or a database has as its defaults does not matter: these go before them.
SETTINGS = {
    "default_transaction_isolation": "read committed",
    "search_path": '"$user", public',
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "client_connection_check_interval": "2s",  # a statement whose client is gone ends
    "jit": "off",  # the just-in-time compiler costs more than any page here takes
    # Statements are written so that one plan fits all values (tests/schema/plans.py): it is made once.
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",  # a page is a short walk along an index, most of which is in memory
}
# The C library gives memory back after every large answer and asks for it again with the next, page
# by page, until it has once seen a block of this size come and go. That was a third of a dashboard's time.
# It is filled by long pieces, not a letter at a time (30 ms, now 4), and no constant that the planner copies.
_GET_ROOM = """
    SELECT pg_backend_pid(), octet_length(repeat(repeat('x', 8000), times))
    FROM generate_series(1000, 1000) AS times
"""

# Seconds without a sign of life, seconds between probes, and how many of them go unanswered.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
_IN_SOCKET = {  # libpq's names
    "keepalives": (socket.SOL_SOCKET, "SO_KEEPALIVE"),
    "keepalives_idle": (socket.IPPROTO_TCP, "TCP_KEEPIDLE"),
    "keepalives_interval": (socket.IPPROTO_TCP, "TCP_KEEPINTVL"),
    "keepalives_count": (socket.IPPROTO_TCP, "TCP_KEEPCNT"),
    "tcp_user_timeout": (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"),
}

# By the class of the SQLSTATE: the store, and not the statement, failed, or it was not to be had in time.
_UNAVAILABLE_CLASSES = {
    "08",  # connection exception
    "25",  # invalid transaction state: read-only, or idle for too long
    "28",  # invalid authorization
    "3D",  # no such database
    "40",  # rolled back: of two that waited for each other one was turned away, and may come back
    "53",  # insufficient resources
    "55",  # a lock was not to be had in time
    "57",  # operator intervention: shut down, cancelled, timed out
    "58",  # system error
}


class PoolerFound(Exception):
    """A pooler lends connections for single transactions, and the settings do not say so."""

    def __init__(self) -> None:
        super().__init__(
            "DATABASE_URL leads to a pooler, such as PgBouncer, that lends connections for single "
            "transactions: set LICENSEGRAPH_TRANSACTION_POOLING=true"
        )


class PostgresqlConnections(Connections):
    """Of asyncpg: each statement is one round trip."""

    dialect = PGDialect_asyncpg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

    _begin = BEGIN

    async def run(
        self, connection: asyncpg.Connection, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement. asyncpg asks the server to cancel what is given up."""
        rows: Sequence[ResultRow] = await connection.fetch(sql, *arguments, timeout=seconds_left(deadline))
        return rows

    async def begin(self, connection: asyncpg.Connection, deadlines: Deadlines) -> None:
        """Begin, with what is left of the time for locks."""
        left = seconds_left(deadlines.lock)
        wait = "" if left is None else f"; SET LOCAL lock_timeout = {max(1, int(left * 1000))}"
        await connection.execute(self._begin + wait, timeout=seconds_left(deadlines.statement))

    def is_open(self, connection: asyncpg.Connection) -> bool:
        """Whether the server has not closed the connection."""
        return not connection.is_closed()

    async def load(
        self, connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows by COPY."""
        await connection.copy_records_to_table(table, columns=columns, records=rows)

    async def end_all(self, _connection: asyncpg.Connection) -> bool:
        """Closing it waits for the cancellation that asyncpg has asked for: that is all there is to do."""
        return False

    @staticmethod
    def is_unavailable(error: BaseException) -> bool:
        """By the class of the SQLSTATE, or what asyncpg itself raises."""
        if isinstance(error, asyncpg.PostgresError):
            return (error.sqlstate or "")[:2] in _UNAVAILABLE_CLASSES
        return isinstance(
            error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError
        )

    @staticmethod
    def is_unique_violation(error: BaseException) -> bool:
        """By asyncpg's type."""
        return isinstance(error, asyncpg.UniqueViolationError)


class PooledConnections(PostgresqlConnections):
    """Lent by a pooler for single transactions.

    What is set for a session, or prepared in it, is gone with the next transaction.
    """

    def __init__(self, engine: AsyncEngine, size: int, setup: str) -> None:
        super().__init__(engine, size)
        self._begin = f"{BEGIN}; {setup}"

    async def run(
        self, connection: asyncpg.Connection, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement, in a transaction of its own unless it is in one: three trips."""
        if connection.is_in_transaction():
            return await super().run(connection, sql, arguments, deadline)
        await self.begin(connection, Deadlines(deadline, deadline))
        try:
            rows = await super().run(connection, sql, arguments, deadline)
        except asyncpg.PostgresError:
            await connection.execute("ROLLBACK", timeout=seconds_left(deadline))
            raise
        await connection.execute("COMMIT", timeout=seconds_left(deadline))
        return rows


class _PlainConnection(asyncpg.Connection):  # type: ignore[misc]
    async def set_type_codec(self, *_arguments: object, **_options: object) -> None:
        """Leave types as they are: JSON stays text, and is spliced into answers as it stands."""


def create_engine(
    url: DatabaseUrl, size: int, timeouts: Timeouts, *, pooled: bool = False, parses_json: bool = False
) -> AsyncEngine:
    """An engine of at most `size` connections, in which no statement runs longer than the timeout.

    Its connections raise PoolerFound where a pooler lends them for single transactions, unless `pooled`
    says so. `parses_json` is for SQLAlchemy's own reading of tables.
    """
    options: dict[str, Any] = (
        url.options
        | {
            "timeout": url.options["timeout"] or CONNECT_TIMEOUT_S,
            "server_settings": url.options["server_settings"] | ({} if pooled else _settings(url, timeouts)),
            "connection_class": asyncpg.Connection if parses_json and not pooled else _PlainConnection,
        }
        | ({"statement_cache_size": 0} if pooled else {})
    )

    async def connect() -> asyncpg.Connection:
        try:
            connection = await asyncpg.connect(**options)
        except asyncpg.ProtocolViolationError as error:  # what PgBouncer says of settings for a session
            raise PoolerFound from error
        try:
            _keep_alive(connection, _KEEPALIVE | url.keepalive)
            if not pooled:
                pid = await connection.fetchval(_GET_ROOM)
                if pid != connection.get_server_pid() and await _is_lent(options):
                    raise PoolerFound
        except BaseException:
            connection.terminate()
            raise
        return connection

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=size,
        max_overflow=0,
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
        if pooled
        else {},
    )


def set_locally(url: DatabaseUrl, timeouts: Timeouts) -> str:
    """A statement that makes the settings of a session those of a transaction."""
    quoted = ((name, value.replace("'", "''")) for name, value in _settings(url, timeouts).items())
    changes = [f"set_config('{name}', '{value}', true)" for name, value in quoted]
    return f"SELECT {', '.join(changes)}"


def _settings(url: DatabaseUrl, timeouts: Timeouts) -> dict[str, str]:
    """What holds for every session, by parameter of the server. What the URL says goes before it."""
    timed = {
        "statement_timeout": str(int(timeouts.statement * 1000)),
        "lock_timeout": str(int(timeouts.lock * 1000)),
    }
    return SETTINGS | timed | url.settings


async def _is_lent(options: dict[str, Any]) -> bool:
    """Whether a pooler lends one session of the server to one connection after the other."""
    first, second = [await asyncpg.connect(**options) for _ in range(2)]
    try:
        async with asyncio.timeout(POOLER_TIMEOUT_S):
            pid = await _server_pid(first)
            async with second.transaction():
                return pid == await second.fetchval("SELECT pg_backend_pid()") or pid != await _server_pid(
                    first
                )
    except (asyncpg.PostgresError, TimeoutError):  # there was no other to lend
        return True
    finally:
        first.terminate()
        second.terminate()


async def _server_pid(connection: asyncpg.Connection) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid


def _keep_alive(connection: asyncpg.Connection, keepalive: Mapping[str, int]) -> None:
    """Notice a network that has gone silent."""
    transport: asyncio.Transport = connection._transport  # noqa: SLF001  (asyncpg has no setting for it)
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.family == socket.AF_UNIX:
        return
    for parameter, value in keepalive.items():
        level, name = _IN_SOCKET[parameter]
        # 0 is what the system does, but for the one that switches all of them on.
        if hasattr(socket, name) and (value or parameter == "keepalives"):
            found.setsockopt(level, getattr(socket, name), value)
