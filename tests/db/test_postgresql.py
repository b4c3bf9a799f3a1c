"""PostgreSQL in practice: terminated sessions, and databases with default settings of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, text

from db import ids, migrations
from db.accounts import accounts
from db.deadlines import Timeouts
from db.engine import Database, StoreUnavailable, WriteSession
from db.statements import Query

ALL = select(accounts.c.name).order_by(accounts.c.name)
OTHERS = "datname = current_database() AND pid <> pg_backend_pid()"


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, **options)
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def administrator(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def add(session: WriteSession, name: str) -> None:
    new = ids.new_id(ids.ACCOUNT)
    await session.insert_if_free(accounts, {"id": new.id, "name": name, "created_at": new.created_at})


async def write(database: Database, name: str) -> None:
    async with database.write() as session:
        await session.execute(ALL.with_for_update())
        await add(session, name)


async def names(database: Database) -> list[str]:
    async with database.read() as session:
        return [row[0] for row in await session.rows(ALL, {})]


async def test_reads_succeed_while_sessions_are_terminated(postgresql_url: str) -> None:
    async with opened(postgresql_url) as database, administrator(postgresql_url) as admin:
        await write(database, "Acme")

        async def end_sessions() -> None:
            while True:
                await admin.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")
                await asyncio.sleep(0.1)

        ending = asyncio.create_task(end_sessions())
        for _ in range(200):
            assert await names(database) == ["Acme"]
            await asyncio.sleep(0.005)
        ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending


async def test_write_whose_session_is_terminated_is_unavailable_and_rolled_back(postgresql_url: str) -> None:
    async with opened(postgresql_url) as database, administrator(postgresql_url) as admin:

        async def write_and_wait() -> None:
            async with database.write() as session:
                await add(session, "Acme")
                await session.execute(text("SELECT pg_sleep(30)"))

        writing = asyncio.create_task(write_and_wait())
        await asyncio.sleep(0.3)
        await admin.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OTHERS}")

        with pytest.raises(StoreUnavailable):
            await writing
        await write(database, "Bolt")
        assert await names(database) == ["Bolt"]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("default_transaction_isolation", "'serializable'"),
        ("default_transaction_isolation", "'repeatable read'"),
        ("lock_timeout", "1"),
        ("statement_timeout", "1"),
        ("search_path", "pg_catalog"),
        ("idle_session_timeout", "50"),
        ("idle_in_transaction_session_timeout", "1"),
        ("plan_cache_mode", "force_custom_plan"),
        ("TimeZone", "'Asia/Tokyo'"),
        ("DateStyle", "'German'"),
        ("standard_conforming_strings", "off"),
        ("bytea_output", "'escape'"),
        ("client_encoding", "'LATIN1'"),
        ("transform_null_equals", "on"),
        ("row_security", "off"),
        ("session_replication_role", "replica"),
    ],
)
async def test_defaults_of_a_role_do_not_matter(postgresql_url: str, parameter: str, value: str) -> None:
    async with administrator(postgresql_url) as admin:
        name = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE {name} SET {parameter} = {value}")
    assert await migrations.upgrade(postgresql_url) is False

    async with opened(postgresql_url) as database:
        await write(database, "Acme")

        async def lengthen() -> None:
            async with database.write() as session:
                name = (await session.execute(ALL.with_for_update())).scalar_one()
                await asyncio.sleep(0.01)
                await session.execute(accounts.update().values(name=f"{name}é"))

        await asyncio.gather(*(lengthen() for _ in range(20)))
        await asyncio.sleep(0.1)

        assert await names(database) == ["Acme" + "é" * 20]


async def test_writes_work_again_after_read_only_mode(postgresql_url: str) -> None:
    async with administrator(postgresql_url) as admin, opened(postgresql_url) as database:
        name = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await write(database, "Acme")

        await admin.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")

        await write(database, "Acme")
        assert await names(database) == ["Acme"]


async def test_server_ends_a_statement_whose_client_is_gone(postgresql_url: str) -> None:
    """PostgreSQL also enforces the deadline, in case the client can no longer cancel the statement."""
    async with opened(postgresql_url, timeouts=Timeouts(statement=1)) as database:
        connection = await database._readers.take(None)
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetch("SELECT pg_sleep(30)")
        database._readers.give_back(connection)
        async with database.read() as session:
            assert await session.rows(Query("SELECT 1", ()), {}) == [(1,)]


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InternalClientError("got result for unknown protocol state 3"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.AdminShutdownError("terminating connection due to administrator command"),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.IdleSessionTimeoutError("terminating connection due to idle-session timeout"),
        asyncpg.SerializationError("could not serialize access due to concurrent update"),
        asyncpg.DeadlockDetectedError("deadlock detected"),
        asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT in a read-only transaction"),
        asyncpg.OutOfMemoryError("out of memory"),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_every_kind_of_failure_makes_the_database_unavailable(
    postgresql_url: str, error: Exception
) -> None:
    async with opened(postgresql_url) as database:
        for session in (database.read, database.write):
            with pytest.raises(StoreUnavailable) as raised:
                async with session():
                    raise error
            assert raised.value.__cause__ is error
