"""Deadlines: statements and waits for locks end at their deadline, and abandoned statements stop."""

import asyncio
import gc
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, text

from db import deadlines, ids
from db.accounts import accounts
from db.deadlines import Timeouts
from db.engine import Database, StoreUnavailable, WriteSession
from db.statements import Query

SHORTLY = 5  # seconds: an upper bound for "immediately", even on a busy machine
BY_NAME = select(accounts.c.id).where(accounts.c.name == "Acme").with_for_update()


def counting(numbers: int) -> Query:
    """Return a slow query. Counting to a million takes about a tenth of a second."""
    return Query(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {numbers}) "
        "SELECT count(*) FROM n",
        (),
    )


ENDLESS = counting(100_000_000_000)


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, **options)
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def at_once() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SHORTLY


async def add(session: WriteSession, name: str) -> None:
    new = ids.new_id(ids.ACCOUNT)
    await session.insert_if_free(accounts, {"id": new.id, "name": name, "created_at": new.created_at})


async def names(database: Database) -> list[str]:
    async with database.read() as session:
        return [row[0] for row in await session.rows(select(accounts.c.name).order_by(accounts.c.name), {})]


async def write(database: Database, name: str = "Bolt") -> None:
    async with database.write() as session:
        await session.execute(BY_NAME)
        await add(session, name)


async def write_endlessly(database: Database) -> None:
    async with database.write() as session:
        await session.execute(BY_NAME)
        await add(session, "Bolt")
        await session.execute(text(ENDLESS.sql))


async def scan(database: Database) -> None:
    async with database.read() as session:
        await session.rows(ENDLESS, {})


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """In another session, hold the lock that writers need.

    On SQLite, this is the write lock; on PostgreSQL, a lock on an account's row.
    """
    if url.startswith("sqlite"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")
        other.close()
        return
    connection = await asyncpg.connect(url)
    async with connection.transaction():
        await connection.execute("SELECT FROM accounts WHERE name = 'Acme' FOR UPDATE")
        yield
    await connection.close()


@pytest.fixture
async def url(database_url: str) -> str:
    """The URL of a database with one account."""
    async with opened(database_url) as database, database.write() as session:
        await add(session, "Acme")
    return database_url


async def test_read_ends_at_its_deadline(url: str) -> None:
    async with opened(url, pool_size=2, timeouts=Timeouts(statement=0.5)) as database:
        for _ in range(2):
            with at_once(), pytest.raises(StoreUnavailable):
                await scan(database)

        assert await names(database) == ["Acme"]


async def test_write_ends_at_its_deadline_and_is_rolled_back(url: str) -> None:
    async with opened(url, timeouts=Timeouts(statement=1)) as database:
        with at_once(), pytest.raises(StoreUnavailable):
            await write_endlessly(database)

        assert await names(database) == ["Acme"]
        await write(database)
        assert await names(database) == ["Acme", "Bolt"]


async def test_time_in_a_queue_counts(url: str) -> None:
    async with opened(url, pool_size=2, timeouts=Timeouts(statement=1)) as database:
        with at_once():
            outcomes = await asyncio.gather(*(scan(database) for _ in range(10)), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 10


async def test_deadlines_count_from_the_arrival_of_the_request(url: str) -> None:
    async with opened(url, timeouts=Timeouts(statement=0.3)) as database:
        token = deadlines.arrive()
        await asyncio.sleep(0.4)

        with pytest.raises(StoreUnavailable):
            await write(database)

        deadlines.forget(token)
        await write(database)
        assert await names(database) == ["Acme", "Bolt"]


async def test_writers_that_wait_for_a_lock_give_up_together(url: str) -> None:
    async with opened(url, timeouts=Timeouts(lock=1)) as database, locked(url):
        with at_once():
            outcomes = await asyncio.gather(*(write(database) for _ in range(10)), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * 10


async def test_reads_and_health_checks_work_while_writers_wait(url: str) -> None:
    async with opened(url, pool_size=2) as database, locked(url):
        writing = [asyncio.create_task(write(database, f"Vendor {number}")) for number in range(10)]
        await asyncio.sleep(0.3)

        with at_once():
            assert await names(database) == ["Acme"]
            assert await database.takes_writes() is (not database.is_sqlite)
        assert not any(task.done() for task in writing)

        for task in writing:
            task.cancel()
        await asyncio.wait(writing)


async def test_health_checks_work_while_readers_wait(url: str) -> None:
    async with opened(url, pool_size=2) as database:
        scanning = [asyncio.create_task(scan(database)) for _ in range(5)]
        await asyncio.sleep(0.3)

        with at_once():
            assert await database.takes_writes() is True

        for task in scanning:
            task.cancel()
        await asyncio.wait(scanning)


async def test_read_that_is_cancelled_stops(url: str) -> None:
    async with opened(url, pool_size=2) as database:  # one of the two connections is for writes
        for _ in range(3):
            scanning = asyncio.create_task(scan(database))
            await asyncio.sleep(0.2)
            scanning.cancel()
            with at_once():
                with pytest.raises(asyncio.CancelledError):
                    await scanning
                async with database.read() as session:
                    assert await session.rows(counting(20_000), {}) == [(20_000,)]


async def test_writer_that_is_cancelled_releases_its_locks(url: str) -> None:
    async with opened(url) as database:
        writing = asyncio.create_task(write_endlessly(database))
        await asyncio.sleep(0.3)
        writing.cancel()
        with at_once():
            with pytest.raises(asyncio.CancelledError):
                await writing
            await write(database)

        assert await names(database) == ["Acme", "Bolt"]


async def test_cancellation_while_connections_are_opening_leaves_none_open(url: str) -> None:
    async def read(database: Database) -> None:
        async with database.read() as session:
            await session.rows(counting(50_000), {})

    for milliseconds in range(0, 30, 2):
        async with opened(url, pool_size=4) as database:
            reading = [asyncio.create_task(read(database)) for _ in range(4)]
            await asyncio.sleep(milliseconds / 1000)
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)

    gc.collect()  # makes objects that were left open emit a ResourceWarning


async def test_closing_does_not_wait_for_running_statements(url: str) -> None:
    database = Database(url)
    tasks = [asyncio.create_task(scan(database)) for _ in range(3)]
    await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)

    with at_once():
        await database.close()
