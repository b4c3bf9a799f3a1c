"""The ledger: each process adds what it counts to the table `usage`, and learns what the others counted."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from db import clock
from db import usage as stored
from db.engine import Database, StoreUnavailable
from db.usage import usage
from resolvers.usage import Ledger, Use
from tests.statements import Statements


class Heard(Use):
    """A subject that remembers what other processes used."""

    def __init__(self, subject: str) -> None:
        super().__init__(subject)
        self.others = (0, 0)

    def hear(self, requests: int, points: int, seconds_ago: float) -> None:
        self.others = (self.others[0] + requests, self.others[1] + points)


def used(ledger: Ledger, use: Use, requests: int, points: int) -> None:
    use.requests += requests
    use.points += points
    ledger.note(use)


async def rows_of(database: Database) -> list[tuple[object, ...]]:
    async with database.read() as session:
        query = select(usage.c.subject, usage.c.minute, usage.c.requests, usage.c.points, usage.c.refused)
        return list(await session.rows(query.order_by(usage.c.subject, usage.c.minute), {}))


async def total_of(database: Database) -> tuple[int, int]:
    rows = await rows_of(database)
    return sum(row[2] for row in rows), sum(row[3] for row in rows)  # type: ignore[misc]


async def test_each_process_learns_what_the_others_used(database: Database) -> None:
    ledgers = [Ledger(database), Ledger(database)]
    here, there = Heard("key_1"), Heard("key_1")
    used(ledgers[0], here, 3, 100)
    await ledgers[0].exchange()
    assert here.others == (0, 0)

    used(ledgers[1], there, 2, 50)
    await ledgers[1].exchange()
    assert there.others == (3, 100)

    used(ledgers[0], here, 1, -40)  # a refund
    await ledgers[0].exchange()
    assert here.others == (2, 50)
    used(ledgers[1], there, 0, 1)
    await ledgers[1].exchange()
    assert there.others == (4, 60)
    assert await total_of(database) == (6, 111)


async def test_an_exchange_is_one_statement_and_none_if_nothing_was_used(
    database: Database, statements: Statements
) -> None:
    ledger = Ledger(database)
    uses = [Use(f"key_{number}") for number in range(50)]
    used(ledger, uses[0], 1, 1)
    await ledger.exchange()  # the first exchange also looks for old rows

    with statements.recorded(database) as sent:
        for use in uses:
            used(ledger, use, 1, 1)
        await ledger.exchange()
    assert len(sent) == 1

    with statements.recorded(database) as sent:
        await ledger.exchange()
    assert sent == []


async def test_what_was_not_stored_is_stored_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, use = Ledger(database), Use("key_1")
    used(ledger, use, 1, 10)

    async def away(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(stored, "add", away)
        with pytest.raises(StoreUnavailable):
            await ledger.exchange()
    used(ledger, use, 1, 10)
    await ledger.exchange()

    assert await total_of(database) == (2, 20)


async def test_old_minutes_that_could_not_be_added_up_are_added_up_a_minute_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = clock.now().replace(hour=0, minute=0, second=0)
    day = today - timedelta(days=3)
    minute = day + timedelta(hours=1)
    await stored.add(database, [stored.Added("key_1", minute, 2, 5, 1, minute)])
    ledger, use = Ledger(database), Use("key_2")
    noon = today + timedelta(hours=12)

    async def away(*_: object) -> bool:
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(clock, "now", lambda: noon)
        patch.setattr(stored, "roll_up", away)
        used(ledger, use, 1, 1)
        with pytest.raises(StoreUnavailable):
            await ledger.exchange()
    monkeypatch.setattr(clock, "now", lambda: noon + timedelta(minutes=1))
    used(ledger, use, 1, 1)
    await ledger.exchange()

    assert [row[1] for row in await rows_of(database) if row[0] == "key_1"] == [day]


async def test_minutes_become_days_after_two_days_and_days_are_kept_for_90(database: Database) -> None:
    today = clock.now().replace(hour=0, minute=0, second=0)
    old = today - timedelta(days=3)
    minutes = [old, old + timedelta(hours=1), old + timedelta(hours=1, minutes=1)]
    recent = today - timedelta(days=1, hours=-1)
    for minute in (*minutes, recent, today - timedelta(days=90), today - timedelta(days=91)):
        added = stored.Added("key_1", minute, 2, 5, 1, minute)
        await stored.add(database, [added])
    limited = stored.Added("limit:verification:x", recent, 1, 0, 0, recent)
    await stored.add(database, [limited])

    ledger = Ledger(database)
    used(ledger, Use("key_2"), 1, 1)
    await ledger.exchange()

    rows = [row for row in await rows_of(database) if row[0] != "key_2"]
    assert rows == [
        ("key_1", today - timedelta(days=90), 2, 5, 1),
        ("key_1", old, 6, 15, 3),
        ("key_1", recent, 2, 5, 1),
    ]
    assert isinstance(rows[0][1], datetime)
    assert rows[0][1].tzinfo == UTC
