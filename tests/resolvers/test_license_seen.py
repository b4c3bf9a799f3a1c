"""Notes of verified licenses: each process collects them in memory and adds them to `license_seen`."""

import asyncio
from collections.abc import Iterable

import pytest
from sqlalchemy import select

from db import customers, license_seen, licenses
from db.engine import Database, StoreUnavailable
from db.license_seen import MOST_NOTES
from resolvers import license_seen as notes
from resolvers.license_seen import Seen, noting
from tests.factories import Account, Customer, License, make_app, make_customer, make_license
from tests.statements import Statements

EARLY, LATE, LATEST = "2026-01-23T10:00:00Z", "2026-01-23T10:00:01Z", "2026-01-23T10:00:02Z"


@pytest.fixture
async def customer(database: Database, account: Account) -> Customer:
    return await make_customer(database, await make_app(database, account))


@pytest.fixture
async def license(database: Database, customer: Customer) -> License:
    return await make_license(database, customer)


async def stored(database: Database) -> dict[str, str | None]:
    """Return the time of each license, by the license's id, as it is stored."""
    table = license_seen.license_seen
    async with database.read() as session:
        rows = await session.rows(select(table.c.license_id, table.c.at), {})
    return {id: None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}" for id, at in rows}


def noted(database: Database, license_ids: Iterable[str], at: str) -> Seen:
    """Return the notes of a process that verified some licenses."""
    seen = Seen(database)
    for id in license_ids:
        seen.note(id, at)
    return seen


async def test_many_verifications_are_one_statement_and_none_is_none(
    database: Database, license: License, statements: Statements
) -> None:
    seen = noted(database, [license.id] * 5_000, EARLY)

    with statements.recorded(database) as sent:
        await seen.add()
    assert len(sent) == 1
    assert await stored(database) == {license.id: EARLY}

    with statements.recorded(database) as sent:
        await seen.add()
    assert sent == []


async def test_a_statement_has_at_most_a_thousand_notes(
    database: Database, license: License, statements: Statements
) -> None:
    seen = noted(database, [*(f"lic_{number}" for number in range(2 * MOST_NOTES)), license.id], EARLY)

    with statements.recorded(database) as sent:
        await seen.add()

    assert len(sent) == 3
    assert await stored(database) == {license.id: EARLY}


async def test_an_older_note_never_replaces_a_newer_time(database: Database, license: License) -> None:
    one, two = Seen(database), Seen(database)
    one.note(license.id, LATE)
    one.note(license.id, EARLY)  # a request that began earlier, or a clock that was set back
    two.note(license.id, EARLY)

    await one.add()
    await two.add()
    assert await stored(database) == {license.id: LATE}

    two.note(license.id, LATEST)
    await two.add()
    assert await stored(database) == {license.id: LATEST}


async def test_a_deleted_license_does_not_lose_the_other_notes(
    database: Database, customer: Customer
) -> None:
    kept, deleted = [await make_license(database, customer) for _ in range(2)]
    seen = noted(database, [deleted.id, kept.id], EARLY)
    async with database.write() as session:
        await licenses.delete(session, deleted.id)

    await seen.add()

    assert await stored(database) == {kept.id: EARLY}


async def test_notes_that_could_not_be_added_are_added_later(
    database: Database, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [(await make_license(database, customer)).id for _ in range(2)]
    seen = noted(database, ids, EARLY)

    async def away(*_: object) -> None:
        seen.note(ids[0], LATE)  # a verification in the meantime
        raise StoreUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(license_seen, "add", away)
        with pytest.raises(StoreUnavailable):
            await seen.add()
    await seen.add()

    assert await stored(database) == {ids[0]: LATE, ids[1]: EARLY}


async def test_if_there_are_too_many_notes_the_oldest_are_dropped(
    database: Database, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "MAX_NOTED", 2)
    ids = [(await make_license(database, customer)).id for _ in range(3)]

    await noted(database, ids, EARLY).add()

    assert await stored(database) == {ids[0]: None, ids[1]: EARLY, ids[2]: EARLY}


async def test_processes_that_note_the_same_licenses_never_wait_in_a_circle(
    database: Database, account: Account
) -> None:
    """A deletion of customers locks the same rows, too."""
    app = await make_app(database, account)
    buyers = [await make_customer(database, app) for _ in range(4)]
    ids = [(await make_license(database, buyer)).id for buyer in buyers for _ in range(50)]
    kept = ids[100:]

    async def delete() -> None:
        for buyer in buyers[:2]:
            async with database.write() as session:
                await customers.delete(session, buyer.id)

    processes = [
        noted(database, order, f"2026-01-23T10:00:{second:02}Z")
        for second in range(10)
        for order in (ids, ids[::-1])
    ]
    await asyncio.gather(*(seen.add() for seen in processes), delete())

    assert await stored(database) == dict.fromkeys(kept, "2026-01-23T10:00:09Z")


async def test_a_server_adds_its_notes_at_an_interval_and_when_it_stops(
    database: Database, license: License, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes._background, "_interval_s", 0.05)
    async with noting(database):
        database.verified(license.id, EARLY)
        for _ in range(500):
            if await stored(database) == {license.id: EARLY}:
                break
            await asyncio.sleep(0.01)

        monkeypatch.setattr(notes._background, "_interval_s", 60)
        await asyncio.sleep(0.1)
        database.verified(license.id, LATE)
        assert await stored(database) == {license.id: EARLY}

    assert await stored(database) == {license.id: LATE}
