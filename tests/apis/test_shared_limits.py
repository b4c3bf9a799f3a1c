"""Limits with real servers: what processes share, what a client can rely on, and what the ledger stores."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import BigInteger, Select, cast, func, select, text

from db import clock
from db import usage as stored
from db.engine import Database
from db.usage import Added, usage
from tests.databases import stopped
from tests.factories import Account, key_id, make_app, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import Server, serving, until

VERIFY = "/api/v1/apps/nowhere/licenses/verify?jti=x"


def share(servers: list[Server]) -> list[httpx.Response]:
    """Send more verifications than the limit, to both servers in turn. Return each server's next response.

    Up to 26 more than the limit pass, because it takes a server a second to learn what the other one counted.
    """
    turns = cycle(servers)
    passed = 0
    for _ in range(6):
        passed += sum(httpx.get(next(turns).url + VERIFY).status_code == 404 for _ in range(26))
        time.sleep(1.1)
    assert 100 <= passed <= 100 + 26
    return [httpx.get(server.url + VERIFY) for server in servers]


def test_two_processes_share_a_limit(servers: list[Server]) -> None:
    assert [refused.status_code for refused in share(servers)] == [429, 429]


@pytest.mark.long
def test_after_the_time_in_retry_after_a_request_passes(servers: list[Server]) -> None:
    time.sleep(min(int(refused.headers["retry-after"]) for refused in share(servers)))

    assert 404 in [httpx.get(server.url + VERIFY).status_code for server in servers]


@pytest.mark.parametrize("seconds", [5, pytest.param(30, marks=pytest.mark.long)])
async def test_a_client_that_spends_what_is_available_is_never_refused(
    tmp_path: Path, database: Database, database_url: str, account: Account, seconds: int
) -> None:
    await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    variables = {
        "DATABASE_URL": database_url,
        "LICENSEGRAPH_MASTER_KEY": MASTER_KEY,
        "LICENSEGRAPH_BUDGET_BURST": "200",
        "LICENSEGRAPH_BUDGET_PER_SECOND": "100",
    }
    body = {"query": "{ apps(first: 100) { nodes { slug publicKeyPem } } }"}
    waited = 0.0
    client = httpx.AsyncClient(headers=headers)
    with serving(tmp_path, **variables) as server:
        available, requested, until_then = 200, 100, time.monotonic() + seconds
        while time.monotonic() < until_then:
            if available < requested:
                pause = (requested - available) / 100
                await asyncio.sleep(pause)
                waited += pause
            response = await client.post(f"{server.url}/graphql", json=body)
            assert response.status_code == 200, response.text
            cost = response.json()["extensions"]["cost"]
            available, requested = cost["available"], cost["requested"]

    await client.aclose()
    assert waited > 1  # the budget did limit the client


async def test_usage_is_stored_within_two_seconds_and_when_the_server_stops(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    key = await make_key(database, account)
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    client = httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"})
    with serving(tmp_path, **variables) as server:
        body = {"query": "{ apps { totalCount } }"}
        await client.post(f"{server.url}/graphql", json=body)
        await asyncio.sleep(2)
        assert await sums(database) == [(1, 1, 0)]
        await client.post(f"{server.url}/graphql", json=body)
        await client.aclose()
        assert server.stop() == 0  # stopping stores the rest

    assert [sum(column) for column in zip(*await sums(database), strict=True)] == [2, 2, 0]


async def test_requests_do_not_wait_for_the_ledger(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    key = await make_key(database, account)
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    body = {"query": "{ apps { totalCount } }"}
    with serving(tmp_path, **variables) as server:
        async with httpx.AsyncClient(base_url=server.url) as client, locked_ledger(database):
            verified = [await client.get(VERIFY) for _ in range(101)]
            answered = [
                await client.post("/graphql", json=body, headers={"Authorization": f"Bearer {key}"})
                for _ in range(3)
            ]
            until(lambda: "usage.postponed" in (tmp_path / "server.log").read_text())
            refused = await client.get(VERIFY)

        assert [each.status_code for each in verified] == [404] * 100 + [429]
        assert [each.status_code for each in answered] == [200] * 3
        assert max(each.elapsed for each in (*verified, *answered)) < timedelta(seconds=2)
        assert refused.status_code == 429
        # What was counted meanwhile is stored as soon as the ledger can be written again.
        await until_stored(
            database, {"limit:verification:127.0.0.1": (100, 0, 2), await key_id(database, key): (3, 3, 0)}
        )


@pytest.mark.parametrize("template", ["postgresql"], indirect=True)
async def test_limits_hold_while_the_database_is_away_and_usage_is_stored_later(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    """This is only tested on PostgreSQL, because an SQLite file cannot be unreachable."""
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    with serving(tmp_path, **variables) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            async with stopped(database_url):
                away = [(await client.get(VERIFY)).status_code for _ in range(101)]
                until(lambda: "usage.postponed" in (tmp_path / "server.log").read_text())
            await until_stored(database, {"limit:verification:127.0.0.1": (100, 0, 1)})
            back = await client.get(VERIFY)

    assert away == [503] * 100 + [429]
    assert back.status_code == 429


async def test_an_idle_server_writes_nothing(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    key = await make_key(database, account)
    id = await key_id(database, key)
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    async with (
        httpx.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as client,
        versions_of(database_url) as versions,
    ):
        with serving(tmp_path, **variables) as server:
            await client.get(f"{server.url}/api/v1/apps")
            await until_stored(database, {id: (1, 2, 0), f"limit:requests:{id}": (1, 0, 0)})
            await asyncio.sleep(1)  # after it has stored something, the server looks for old rows

            before = await versions()
            await asyncio.sleep(5)
            assert await versions() == before

            await client.get(f"{server.url}/api/v1/apps")
            await until_stored(database, {id: (2, 4, 0), f"limit:requests:{id}": (2, 0, 0)})
            assert await versions() != before


async def test_two_processes_may_add_up_old_minutes_at_the_same_time(
    servers: list[Server], tmp_path: Path, database: Database
) -> None:
    """No row is lost, and none is added twice."""
    day = clock.now().replace(hour=0, minute=0, second=0) - timedelta(days=4)
    subjects = [f"key_{number:02}" for number in range(50)]
    for number in range(100):
        minute = day + timedelta(minutes=17 * number)  # the last ones are on the next day
        await stored.add(database, [Added(subject, minute, 1, 10, 2, minute) for subject in subjects])

    async with httpx.AsyncClient() as client:
        await asyncio.gather(*(client.get(server.url + VERIFY) for server in servers))

    of_keys = select(usage.c.subject, usage.c.minute, usage.c.requests, usage.c.points, usage.c.refused)
    of_keys = of_keys.where(usage.c.subject < "limit:").order_by(usage.c.subject, usage.c.minute)
    days = [(day, 85), (day + timedelta(days=1), 15)]
    await eventually(
        lambda: rows_of(database, of_keys),
        [(subject, moment, times, 10 * times, 2 * times) for subject in subjects for moment, times in days],
    )
    for name in ("first", "second"):
        assert "event=usage" not in (tmp_path / name / "server.log").read_text()


@asynccontextmanager
async def locked_ledger(database: Database) -> AsyncIterator[None]:
    """While the block runs, hold a lock that the ledger needs."""
    # On SQLite, any statement of a writing transaction locks the file for all other writers.
    lock = "SELECT 1" if database.is_sqlite else "LOCK TABLE usage IN EXCLUSIVE MODE"
    async with database.write() as session:
        await session.execute(text(lock))
        yield


@asynccontextmanager
async def versions_of(url: str) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Yield a function whose result changes with each write of another session.

    On PostgreSQL, only writes to the ledger change it. There, the result is the place of each of the ledger's
    rows on disk, and the transaction that wrote the row.
    """
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:

            async def version() -> object:
                return file.execute("PRAGMA data_version").fetchone()

            yield version
        return
    connection = await asyncpg.connect(url)
    try:
        yield lambda: connection.fetch("SELECT subject, minute, xmin, ctid FROM usage ORDER BY 1, 2")
    finally:
        await connection.close()


async def until_stored(database: Database, expected: Mapping[str, tuple[int, int, int]]) -> None:
    """Wait until the ledger has exactly these subjects, each with these requests, points and refusals."""
    totals = (
        cast(func.sum(usage.c[name]), BigInteger).label(name) for name in ("requests", "points", "refused")
    )
    query = select(usage.c.subject, *totals).group_by(usage.c.subject).order_by(usage.c.subject)
    await eventually(
        lambda: rows_of(database, query), [(subject, *expected[subject]) for subject in sorted(expected)]
    )


async def eventually(read: Callable[[], Awaitable[object]], expected: object) -> None:
    """Wait until `read` returns the expected value. Fails after about 30 seconds."""
    found = None
    for _ in range(300):
        found = await read()
        if found == expected:
            return
        await asyncio.sleep(0.1)
    assert found == expected


async def rows_of(database: Database, query: Select[Any]) -> list[tuple[Any, ...]]:
    async with database.read() as session:
        return [tuple(row) for row in await session.rows(query, {})]


async def sums(database: Database) -> list[tuple[Any, ...]]:
    return await rows_of(database, select(usage.c.requests, usage.c.points, usage.c.refused))
