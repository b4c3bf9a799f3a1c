"""PostgreSQL, through asyncpg. Without a transaction pooler, a prepared statement takes one round trip."""

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

# These settings override the defaults of the role and of the database.
SETTINGS = {
    "default_transaction_isolation": "read committed",
    "search_path": '"$user", public',
    "idle_in_transaction_session_timeout": "60s",
    "idle_session_timeout": "0",
    "client_connection_check_interval": "2s",  # ends a statement if its client is gone
    "jit": "off",  # just-in-time compilation would take longer than reading any page of results
    # One plan per statement fits all values (tests/schema/plans.py), so each statement is planned only once.
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",  # reads follow indexes, which are mostly in memory
}
# The C library of the server process returns memory to the system after every large result, and then requests
# the memory again page by page. This took a third of the time of the dashboard's reads. If one block of 8 MB
# is allocated and freed first, the C library keeps the memory. Building the block from a text of 8,000 bytes
# takes 4 ms. Building it from a single character would take 30 ms. The argument `times` must not be a
# constant: the planner would then compute the block in advance and copy it.
_GROW_HEAP = """
    SELECT pg_backend_pid(), octet_length(repeat(repeat('x', 8000), times))
    FROM generate_series(1000, 1000) AS times
"""

# `keepalives` turns TCP keepalive on. The other values are the seconds of silence before the first probe, the
# seconds between probes, and the number of probes that may fail.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 2}
_SOCKET_OPTIONS = {  # the keys are libpq's names
    "keepalives": (socket.SOL_SOCKET, "SO_KEEPALIVE"),
    "keepalives_idle": (socket.IPPROTO_TCP, "TCP_KEEPIDLE"),
    "keepalives_interval": (socket.IPPROTO_TCP, "TCP_KEEPINTVL"),
    "keepalives_count": (socket.IPPROTO_TCP, "TCP_KEEPCNT"),
    "tcp_user_timeout": (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT"),
}

# Classes of SQLSTATE that mean that the database, not the statement, failed or was too slow.
_UNAVAILABLE_CLASSES = {
    "08",  # connection exception
    "25",  # invalid transaction state: read-only, or idle for too long
    "28",  # invalid authorization
    "3D",  # no such database
    "40",  # the transaction was rolled back, for example after a deadlock, and may be retried
    "53",  # insufficient resources
    "55",  # a lock was not available in time
    "57",  # operator intervention: shut down, cancelled, timed out
    "58",  # system error
}


class PoolerFound(Exception):
    """The connection goes through a transaction pooler, but the setting for poolers is off."""

    def __init__(self) -> None:
        super().__init__(
            "DATABASE_URL leads to a pooler, such as PgBouncer, that lends connections for single "
            "transactions: set LICENSEGRAPH_TRANSACTION_POOLING=true"
        )


class PostgresqlConnections(Connections):
    """asyncpg connections. Once a statement is prepared, it takes one round trip."""

    dialect = PGDialect_asyncpg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

    _begin = BEGIN

    async def run(
        self, connection: asyncpg.Connection, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement.

        If the call is cancelled or times out, asyncpg cancels the statement on the server.
        """
        rows: Sequence[ResultRow] = await connection.fetch(sql, *arguments, timeout=seconds_left(deadline))
        return rows

    async def begin(self, connection: asyncpg.Connection, deadlines: Deadlines) -> None:
        """Begin a transaction, and set `lock_timeout` to the time that is left for locks."""
        left = seconds_left(deadlines.lock)
        wait = "" if left is None else f"; SET LOCAL lock_timeout = {max(1, int(left * 1000))}"
        await connection.execute(self._begin + wait, timeout=seconds_left(deadlines.statement))

    def is_open(self, connection: asyncpg.Connection) -> bool:
        """Return whether the connection is open, as far as asyncpg knows."""
        return not connection.is_closed()

    async def load(
        self, connection: asyncpg.Connection, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows with COPY."""
        await connection.copy_records_to_table(table, columns=columns, records=rows)

    async def end_all(self, _connection: asyncpg.Connection) -> bool:
        """Return False, so that the connection is closed.

        Closing the connection waits until asyncpg has cancelled the statement on the server.
        """
        return False

    @staticmethod
    def is_unavailable(error: BaseException) -> bool:
        """Return whether an error means that the database, not the statement, failed or was too slow.

        These are errors with a SQLSTATE in one of `_UNAVAILABLE_CLASSES`, operating system errors, timeouts,
        and errors of asyncpg itself.
        """
        if isinstance(error, asyncpg.PostgresError):
            return (error.sqlstate or "")[:2] in _UNAVAILABLE_CLASSES
        return isinstance(
            error, OSError | TimeoutError | asyncpg.InterfaceError | asyncpg.InternalClientError
        )

    @staticmethod
    def is_unique_violation(error: BaseException) -> bool:
        """Return whether an exception is asyncpg's exception for a unique violation."""
        return isinstance(error, asyncpg.UniqueViolationError)


class PooledConnections(PostgresqlConnections):
    """Connections through a transaction pooler.

    Session settings and prepared statements are lost when a transaction ends.
    """

    def __init__(self, engine: AsyncEngine, size: int, setup: str) -> None:
        super().__init__(engine, size)
        self._begin = f"{BEGIN}; {setup}"

    async def run(
        self, connection: asyncpg.Connection, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement.

        Outside a transaction, the statement gets its own transaction, which takes two more round trips.
        """
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
        """Set no codecs, although SQLAlchemy requests some, so that JSON stays text.

        Responses then contain this text unchanged.
        """


def create_engine(
    url: DatabaseUrl, size: int, timeouts: Timeouts, *, pooled: bool = False, parses_json: bool = False
) -> AsyncEngine:
    """Create an engine with at most `size` connections, and with these timeouts for statements and locks.

    Connecting through a transaction pooler raises PoolerFound, unless `pooled` is true. If `parses_json` is
    true and `pooled` is false, values of type json are parsed, as SQLAlchemy expects.
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
        except asyncpg.ProtocolViolationError as error:  # PgBouncer refuses session settings
            raise PoolerFound from error
        try:
            _keep_alive(connection, _KEEPALIVE | url.keepalive)
            if not pooled:
                pid = await connection.fetchval(_GROW_HEAP)
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
    """Return a statement that applies the session settings to the current transaction only."""
    quoted = ((name, value.replace("'", "''")) for name, value in _settings(url, timeouts).items())
    changes = [f"set_config('{name}', '{value}', true)" for name, value in quoted]
    return f"SELECT {', '.join(changes)}"


def _settings(url: DatabaseUrl, timeouts: Timeouts) -> dict[str, str]:
    """Return the settings of every session, with their values. Settings in the URL override ours."""
    timed = {
        "statement_timeout": str(int(timeouts.statement * 1000)),
        "lock_timeout": str(int(timeouts.lock * 1000)),
    }
    return SETTINGS | timed | url.settings


async def _is_lent(options: dict[str, Any]) -> bool:
    """Return whether a pooler shares one server session between connections."""
    first, second = [await asyncpg.connect(**options) for _ in range(2)]
    try:
        async with asyncio.timeout(POOLER_TIMEOUT_S):
            pid = await _server_pid(first)
            async with second.transaction():
                return pid == await second.fetchval("SELECT pg_backend_pid()") or pid != await _server_pid(
                    first
                )
    except (asyncpg.PostgresError, TimeoutError):  # the pooler had no second server session
        return True
    finally:
        first.terminate()
        second.terminate()


async def _server_pid(connection: asyncpg.Connection) -> int:
    async with connection.transaction():
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid


def _keep_alive(connection: asyncpg.Connection, keepalive: Mapping[str, int]) -> None:
    """Enable TCP keepalive, which detects a broken network connection."""
    transport: asyncio.Transport = connection._transport  # noqa: SLF001  (asyncpg has no setting for it)
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.family == socket.AF_UNIX:
        return
    for parameter, value in keepalive.items():
        level, name = _SOCKET_OPTIONS[parameter]
        # For `keepalives`, 0 means off. For the other parameters, 0 means the system's default.
        if hasattr(socket, name) and (value or parameter == "keepalives"):
            found.setsockopt(level, getattr(socket, name), value)
