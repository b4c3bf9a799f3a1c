"""Positions of events: on PostgreSQL, committed events are numbered without gaps, and versions stay in order.

SQLite numbers events when they are inserted.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import select

from db import apps, erasure, projector
from db.engine import Database, WriteSession
from db.events import events
from db.log import log as log_table
from resolvers.apps import delete_app
from resolvers.customers import create_customer, update_customer
from resolvers.features import create_feature
from resolvers.projector import Projector
from resolvers.purge import purge
from resolvers.viewer import Viewer
from tests.db.pgbouncer import pgbouncer
from tests.factories import Account, App, make_event
from tests.resolvers.calling import write
from tests.statements import Statements

on_postgresql = pytest.mark.parametrize("template", ["postgresql"], indirect=True)


class Numbered(NamedTuple):
    """An event that has a position."""

    subject_id: str
    version: int
    position: int


async def number(database: Database) -> int:
    async with database.write() as session:
        return await projector.project(session)


async def numbered(database: Database) -> list[Numbered]:
    """Return the subject, the version and the position of each event that has one, by position."""
    columns = events.c.subject_id, events.c.version, events.c.position
    query = select(*columns).where(events.c.position.is_not(None)).order_by(events.c.position)
    async with database.write() as session:
        return [Numbered(*tuple(row)) for row in await session.execute(query)]


async def head(database: Database) -> int:
    async with database.write() as session:
        return int((await session.execute(select(log_table.c.head))).scalar_one())


async def until_numbered(database: Database, count: int) -> None:
    async with asyncio.timeout(20):
        while len(await numbered(database)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@asynccontextmanager
async def projecting_twice(url: str, *, pooled: bool = False) -> AsyncIterator[list[Database]]:
    """Run two projectors, as two server processes would, each with a database object of its own."""
    databases = [Database(url, pooled=pooled) for _ in range(2)]
    async with Projector(databases[0], 7).running(), Projector(databases[1], 7).running():
        yield databases
    for database in databases:
        await database.close()


@on_postgresql
async def test_events_are_numbered_by_age(database: Database, account: Account) -> None:
    for subject in ("c", "a", "b"):
        await make_event(database, account, subject_id=subject)

    assert await number(database) == 3
    assert await numbered(database) == [("c", 1, 1), ("a", 1, 2), ("b", 1, 3)]
    assert await head(database) == 3
    assert await number(database) == 0
    assert await head(database) == 3


@on_postgresql
async def test_a_subjects_events_are_numbered_by_version_if_the_clocks_of_hosts_differ(
    database: Database, account: Account
) -> None:
    for subject, version in (("a", 3), ("b", 1), ("a", 2), ("a", 1), ("c", 1)):
        await make_event(database, account, subject_id=subject, version=version)

    assert await number(database) == 5
    assert await numbered(database) == [
        ("b", 1, 1),
        ("a", 1, 2),
        ("a", 2, 3),
        ("a", 3, 4),
        ("c", 1, 5),
    ]


@on_postgresql
async def test_the_order_of_versions_holds_beyond_one_transaction(
    database: Database, account: Account
) -> None:
    """The 500 oldest events are later versions, and the versions before them have higher ids."""
    subjects = [f"s{number:03}" for number in range(400)]
    for version in (2, 1):
        for subject in subjects:
            await make_event(database, account, subject_id=subject, version=version)

    counts = [await number(database) for _ in range(3)]

    assert counts == [500, 300, 0]
    found = await numbered(database)
    assert [position for _, _, position in found] == list(range(1, 801))
    assert [version for subject in subjects for of, version, _ in found if of == subject] == [1, 2] * 400


@on_postgresql
async def test_a_missing_version_does_not_stop_the_rest(database: Database, account: Account) -> None:
    """Servers of an older version write no events, so a version can be missing."""
    for version in (5, 3):
        await make_event(database, account, subject_id="a", version=version)

    assert await number(database) == 2
    assert [version for _, version, _ in await numbered(database)] == [3, 5]


@on_postgresql
async def test_an_event_is_numbered_after_its_commit_and_never_below_others(
    database: Database, account: Account, viewer: Viewer, app: App
) -> None:
    """A transaction that began first commits last. Its events come last, and nobody waits for it."""
    async with database.write() as session:
        await create_feature(viewer, session, app.slug, {"slug": "slow", "name": "Slow"})
        await make_event(database, account, subject_id="fast")
        assert await number(database) == 1
    assert await number(database) == 1

    first, second = await numbered(database)
    assert (first.subject_id, first.position, second.position) == ("fast", 1, 2)


@on_postgresql
async def test_only_one_process_numbers_at_a_time(database: Database, account: Account) -> None:
    await make_event(database, account, subject_id="a")
    async with database.write() as session:
        assert await projector.project(session) == 1
        await make_event(database, account, subject_id="b")
        assert await number(database) == 0

    assert await number(database) == 1
    assert [position for _, _, position in await numbered(database)] == [1, 2]


@on_postgresql
async def test_events_are_not_numbered_while_they_are_erased(
    database: Database, account: Account, viewer: Viewer, app: App
) -> None:
    customer = await write(database, create_customer, viewer, app.slug, {"email": "lena@orbit.example"})
    async with database.write() as session:
        assert await erasure.erase(session, customer.id) == 1
        assert await number(database) == 0

    assert await number(database) == 1


@on_postgresql
async def test_events_are_not_numbered_while_an_app_and_its_statistics_are_purged(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(database, delete_app, viewer, app.slug)
    delete, seen = apps.delete, []

    async def look_and_delete(session: WriteSession, id: str) -> None:
        seen.append(await number(database))
        await delete(session, id)

    monkeypatch.setattr(apps, "delete", look_and_delete)

    assert await purge(database) == 1
    assert seen == [0]
    assert await number(database) == 1


@on_postgresql
async def test_a_position_is_not_lost_with_a_transaction_that_fails(
    database: Database, account: Account
) -> None:
    await make_event(database, account, subject_id="a")
    with suppress(ZeroDivisionError):
        async with database.write() as session:
            assert await projector.project(session) == 1
            raise ZeroDivisionError

    assert await number(database) == 1
    assert [position for _, _, position in await numbered(database)] == [1]


async def test_positions_have_no_gaps_while_two_processes_write(
    database: Database, database_url: str, viewer: Viewer, app: App
) -> None:
    made = [
        (await write(database, create_customer, viewer, app.slug, {"email": f"{number}@x.example"})).id
        for number in range(5)
    ]

    async def change(writer: Database, seed: int) -> None:
        chosen = random.Random(seed)
        for number in range(30):
            values = {"name": f"{seed} {number}"}
            await write(writer, update_customer, viewer, chosen.choice(made), values)

    async with projecting_twice(database_url) as databases:
        await asyncio.gather(*(change(databases[seed % 2], seed) for seed in range(6)))
        await until_numbered(database, 185)

    found = await numbered(database)
    assert [position for _, _, position in found] == list(range(1, 186))
    for customer in made:
        versions = [version for subject, version, _ in found if subject == customer]
        assert versions == list(range(1, len(versions) + 1))
    assert await head(database) == 185


@on_postgresql
async def test_events_of_a_process_that_is_gone_are_numbered_by_another(
    database: Database, database_url: str, account: Account
) -> None:
    async with projecting_twice(database_url):
        await make_event(database, account, subject_id="a")
        await until_numbered(database, 1)


@on_postgresql
async def test_it_works_through_a_transaction_pooler(
    database: Database, database_url: str, viewer: Viewer, app: App, tmp_path: Path
) -> None:
    with pgbouncer(database_url, tmp_path, "transaction") as url:
        async with projecting_twice(url, pooled=True) as databases:
            for turn in range(20):
                await write(
                    databases[turn % 2], create_customer, viewer, app.slug, {"email": f"{turn}@x.example"}
                )
            await until_numbered(database, 20)

    assert [position for _, _, position in await numbered(database)] == list(range(1, 21))


@on_postgresql
async def test_an_idle_process_runs_one_statement_a_second(
    database: Database, statements: Statements
) -> None:
    async with Projector(database, 7).running():
        await asyncio.sleep(0.5)
        with statements.recorded(database) as sent:
            await asyncio.sleep(3)

    assert len(sent) in {2, 3, 4}
    assert sent.transactions == []


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
async def test_an_idle_process_runs_no_statement_on_sqlite(
    database: Database, statements: Statements
) -> None:
    async with Projector(database, 7).running():
        await asyncio.sleep(0.5)
        with statements.recorded(database) as sent:
            await asyncio.sleep(2)

    assert sent == []
