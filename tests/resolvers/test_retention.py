"""Retention: events that are old enough are removed from the beginning of the log, in batches."""

from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from db import clock
from db import retention as stored
from db.engine import Database
from db.events import events
from db.log import log as log_table
from resolvers import retention
from resolvers.retention import forget_events
from tests.factories import Account, make_event
from tests.resolvers.calling import rows


async def fill(database: Database, account: Account, ages: list[int]) -> None:
    """Begin the log 1,000 days ago, with an event of each of these ages in days, in this order."""
    now = clock.now()
    for place, age in enumerate(ages, start=1):
        id = await make_event(database, account, subject_id=f"s{place}", position=place)
        async with database.write() as session:
            old = update(events).where(events.c.id == id).values(created_at=now - timedelta(days=age))
            await session.execute(old)
    async with database.write() as session:
        began = now - timedelta(days=1_000)
        await session.execute(update(log_table).values(since=began, head=len(ages), counted=len(ages)))


async def subjects(database: Database) -> list[str]:
    return [
        row["subject_id"] for row in sorted(await rows(database, events), key=lambda row: row["position"])
    ]


async def since(database: Database) -> datetime:
    async with database.write() as session:
        moment: datetime = (await session.execute(select(log_table.c.since))).scalar_one()
        return moment


async def test_events_older_than_the_setting_are_removed_in_batches(
    database: Database, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION", 4)
    forget_oldest, removed = stored.forget_oldest, []

    async def watched(*arguments: object) -> int:
        removed.append(await forget_oldest(*arguments))  # type: ignore[arg-type]
        return removed[-1]

    monkeypatch.setattr(stored, "forget_oldest", watched)
    await fill(database, account, [500] * 9 + [401, 399, 10, 0])

    assert await forget_events(database, 400) == 10

    assert removed == [4, 4, 2]
    assert await subjects(database) == ["s11", "s12", "s13"]
    assert await forget_events(database, 400) == 0


async def test_the_log_loses_only_its_beginning(database: Database, account: Account) -> None:
    """An expiry that was noticed late is older than the event before it. It stays with it."""
    await fill(database, account, [410, 399, 450, 1])

    assert await forget_events(database, 400) == 1
    assert await subjects(database) == ["s2", "s3", "s4"]


async def test_the_log_then_begins_later(database: Database, account: Account) -> None:
    await fill(database, account, [410, 1])
    before = clock.now() - timedelta(days=400)
    await forget_events(database, 400)

    assert timedelta(0) <= await since(database) - before < timedelta(minutes=1)


async def test_nothing_is_written_if_nothing_is_old(database: Database, account: Account) -> None:
    await fill(database, account, [399, 1])
    before = await since(database)

    assert await forget_events(database, 400) == 0
    assert (await since(database), await subjects(database)) == (before, ["s1", "s2"])


async def test_everything_can_be_old(database: Database, account: Account) -> None:
    await fill(database, account, [900, 800])

    assert await forget_events(database, 400) == 2
    async with database.write() as session:
        assert (await session.execute(select(log_table.c.head))).scalar_one() == 2


async def test_with_0_days_events_are_kept_for_ever(database: Database, account: Account) -> None:
    await fill(database, account, [30_000, 1])

    assert await forget_events(database, 0) == 0
    assert await subjects(database) == ["s1", "s2"]


@pytest.mark.parametrize("template", ["postgresql"], indirect=True)
async def test_events_without_a_position_stay(database: Database, account: Account) -> None:
    await make_event(database, account, subject_id="waiting")
    async with database.write() as session:
        await session.execute(update(events).values(created_at=clock.now() - timedelta(days=900)))

    assert await forget_events(database, 400) == 0
    assert len(await rows(database, events)) == 1
