"""Scans use separate connections, so that they never take the connections of other statements."""

import asyncio
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from db.deadlines import Timeouts
from db.engine import Database, StoreUnavailable
from db.statements import Query
from tests.db.test_deadlines import ENDLESS, SHORTLY


async def scan(database: Database) -> None:
    async with database.read() as session:
        await session.rows(replace(ENDLESS, scans=True), {})


@pytest.mark.parametrize("pool_size", [2, 4])
async def test_reads_are_answered_while_more_scans_run_than_there_are_connections(
    database_url: str, pool_size: int
) -> None:
    database = Database(database_url, pool_size=pool_size, timeouts=Timeouts(statement=30))
    scans = [asyncio.create_task(scan(database)) for _ in range(8)]
    await asyncio.sleep(0.2)

    started = time.monotonic()
    async with database.read() as session:
        # This read needs a connection from the pool. On SQLite, shorter reads do not need one.
        numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
        rows = await session.rows(Query(f"{numbers} SELECT count(*) FROM n", ()), {})

    assert rows[0][0] == 100_000
    assert time.monotonic() - started < SHORTLY
    for task in scans:
        task.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*scans)
    await database.close()


async def test_a_scan_that_waits_too_long_ends_at_its_deadline(database_url: str) -> None:
    database = Database(database_url, pool_size=2, timeouts=Timeouts(statement=0.5))
    before = time.monotonic()

    found = await asyncio.gather(*(scan(database) for _ in range(3)), return_exceptions=True)

    assert [type(each) for each in found] == [StoreUnavailable] * 3
    assert time.monotonic() - before < SHORTLY
    await database.close()
