"""Events of licenses that expire: one for each expiry, whatever else happens to the license."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import select, update

from db import clock, expiry
from db.engine import Database
from db.events import events, watermarks
from db.expiry import Mark
from db.licenses import licenses
from db.log import log as log_table
from resolvers.apps import delete_app
from resolvers.licenses import create_license, delete_license, reinstate_license, revoke_license
from resolvers.projector import Projector
from resolvers.viewer import Viewer
from tests.factories import Account, App, Customer, make_app, make_customer, make_license
from tests.resolvers.calling import row, rows, write

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the log begins in these tests, and where the marks are."""

LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
async def begun(database: Database) -> None:
    async with database.write() as session:
        await session.execute(update(watermarks).values(until=BEGIN))
        await session.execute(update(log_table).values(since=BEGIN))


@pytest.fixture
async def customer(database: Database, app: App) -> Customer:
    return await make_customer(database, app)


async def project(database: Database, expiring_days: int = 7) -> None:
    """Do all the work that waits."""
    projector = Projector(database, expiring_days)
    while await projector.run():
        pass


async def events_of(database: Database, id: str) -> list[tuple[str, int, datetime]]:
    """Return the type, the version and the time of each event of a license, by version."""
    columns = events.c.type, events.c.version, events.c.created_at
    query = select(*columns).where(events.c.subject_id == id).order_by(events.c.version)
    async with database.write() as session:
        return [(str(row.type), int(row.version), row.created_at) for row in await session.execute(query)]


async def event(database: Database, id: str, type: str) -> Mapping[str, Any]:
    found = [
        each for each in await rows(database, events) if (each["subject_id"], each["type"]) == (id, type)
    ]
    assert len(found) == 1
    return found[0]


async def test_a_license_that_expires_gets_an_event_of_that_moment(
    database: Database, customer: Customer, app: App
) -> None:
    expires_at = BEGIN + timedelta(days=1)
    license = await make_license(database, customer, expires_at=expires_at, created_at=LONG_AGO)
    before = await row(database, licenses, license.id)

    await project(database)

    assert await events_of(database, license.id) == [
        ("license.expired", 2, expires_at),
    ]
    found = await event(database, license.id, "license.expired")
    data = orjson.loads(found["data"])
    assert (data["id"], data["status"], data["expires_at"]) == (license.id, "expired", "2026-01-02T00:00:00Z")
    assert orjson.loads(found["changes"]) == {"status": {"from": "active", "to": "expired"}}
    assert (found["actor_kind"], found["actor_id"], found["request_id"]) == ("system", None, None)
    assert (found["account_id"], found["app_id"]) == (app.account_id, app.id)
    assert found["customer_id"] == customer.id
    assert found["position"] == 1
    assert await row(database, licenses, license.id) == {**before, "version": 2}


async def test_nothing_is_written_twice(database: Database, customer: Customer) -> None:
    license = await make_license(
        database, customer, expires_at=BEGIN + timedelta(days=30), created_at=LONG_AGO
    )
    for _ in range(3):
        await project(database)

    assert await events_of(database, license.id) == [
        ("license.expiring", 2, BEGIN + timedelta(days=23)),
        ("license.expired", 3, BEGIN + timedelta(days=30)),
    ]
    expiring = orjson.loads((await event(database, license.id, "license.expiring"))["data"])
    assert expiring["status"] == "active"


async def test_only_what_expires_after_the_mark_and_until_now(database: Database, customer: Customer) -> None:
    now = clock.now()
    moments = [
        BEGIN - timedelta(seconds=1),
        BEGIN,
        BEGIN + timedelta(seconds=1),
        now,
        now + timedelta(hours=1),
        None,
    ]
    made = [await make_license(database, customer, expires_at=at, created_at=LONG_AGO) for at in moments]

    await project(database, expiring_days=0)

    written = [[type for type, *_ in await events_of(database, license.id)] for license in made]
    expired = ["license.expired"]
    assert written == [[], expired, expired, expired, [], []]


async def test_a_revoked_license_does_not_expire_even_if_it_is_reinstated_later(
    database: Database, customer: Customer, viewer: Viewer
) -> None:
    license = await make_license(
        database, customer, expires_at=BEGIN + timedelta(days=9), revoked_at=BEGIN, created_at=LONG_AGO
    )
    await project(database)
    assert await events_of(database, license.id) == []

    await write(database, reinstate_license, viewer, license.id)
    await project(database)

    (reinstated,) = await events_of(database, license.id)
    assert reinstated[:2] == ("license.reinstated", 2)
    found = await event(database, license.id, "license.reinstated")
    assert orjson.loads(found["changes"])["status"] == {"from": "revoked", "to": "expired"}


async def test_a_license_that_is_revoked_and_reinstated_before_it_expires_gets_its_event(
    database: Database, customer: Customer, viewer: Viewer
) -> None:
    license = await make_license(
        database, customer, expires_at=clock.now() + timedelta(hours=1), created_at=LONG_AGO
    )
    await write(database, revoke_license, viewer, license.id, {})
    await write(database, reinstate_license, viewer, license.id)
    async with database.write() as session:  # instead of waiting
        await session.execute(update(licenses).values(expires_at=BEGIN + timedelta(days=1)))

    await project(database, expiring_days=0)

    types = [(type, version) for type, version, _ in await events_of(database, license.id)]
    assert types == [("license.revoked", 2), ("license.reinstated", 3), ("license.expired", 4)]


async def test_a_license_that_expires_before_its_transaction_ends_gets_its_event(
    database: Database, customer: Customer, viewer: Viewer
) -> None:
    """For example, because it waited for a lock, or because the database's clock is ahead of the server's."""
    passed = clock.now() + timedelta(seconds=30)
    async with database.write() as session:
        await session.execute(update(watermarks).values(until=passed))
    values = {"customer_id": customer.id, "expires_at": clock.as_text(passed - timedelta(seconds=1))}

    created = await write(database, create_license, viewer, values)
    await write(database, revoke_license, viewer, created, {})
    await write(database, reinstate_license, viewer, created)

    types = [type for type, *_ in await events_of(database, created)]
    assert types == [
        "license.created",
        "license.expired",
        "license.revoked",
        "license.reinstated",
        "license.expired",
    ]


async def test_many_that_expire_in_one_second_pass_in_several_transactions(
    database: Database, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = BEGIN + timedelta(days=1)
    made = [
        await make_license(database, customer, expires_at=expires_at, created_at=LONG_AGO) for _ in range(25)
    ]

    async with database.write() as session:
        assert await expiry.advance(session, Mark.EXPIRED, 7, limit=10) == 10
    counts = []
    for _ in range(3):
        async with database.write() as session:
            counts.append(await expiry.advance(session, Mark.EXPIRED, 7, limit=10))

    assert counts == [10, 5, 0]
    for license in made:
        assert await events_of(database, license.id) == [("license.expired", 2, expires_at)]


async def test_nothing_is_lost_if_a_transaction_fails(database: Database, customer: Customer) -> None:
    license = await make_license(
        database, customer, expires_at=BEGIN + timedelta(days=1), created_at=LONG_AGO
    )
    try:
        async with database.write() as session:
            assert await expiry.advance(session, Mark.EXPIRED, 7) == 1
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    assert await events_of(database, license.id) == []

    await project(database)

    assert len(await events_of(database, license.id)) == 1


@pytest.mark.parametrize(
    ("days", "term", "written"),
    [
        (7, timedelta(days=30), True),
        (7, timedelta(days=7), True),
        (7, timedelta(days=7) - timedelta(seconds=1), False),
        (3, timedelta(days=3), True),
        (0, timedelta(days=30), False),
    ],
)
async def test_expiring_is_written_for_terms_that_are_long_enough(
    database: Database, customer: Customer, days: int, term: timedelta, written: bool
) -> None:
    expires_at = BEGIN + timedelta(days=40)
    license = await make_license(database, customer, expires_at=expires_at, created_at=expires_at - term)

    await project(database, days)

    expiring = [("license.expiring", expires_at - timedelta(days=days))] if written else []
    found = [(type, moment) for type, _, moment in await events_of(database, license.id)]
    assert found == [*expiring, ("license.expired", expires_at)]


async def test_expiring_is_written_before_the_license_expires(database: Database, customer: Customer) -> None:
    soon, later = (clock.now() + timedelta(days=days) for days in (6, 8))
    made = [
        await make_license(database, customer, expires_at=at, created_at=LONG_AGO) for at in (soon, later)
    ]

    await project(database)

    assert [await events_of(database, license.id) for license in made] == [
        [("license.expiring", 2, soon - timedelta(days=7))],
        [],
    ]


async def test_a_change_of_the_setting_causes_no_second_event(database: Database, customer: Customer) -> None:
    license = await make_license(
        database, customer, expires_at=clock.now() + timedelta(days=5), created_at=LONG_AGO
    )
    for days in (14, 7, 0, 21):
        await project(database, days)

    assert [type for type, *_ in await events_of(database, license.id)] == ["license.expiring"]


async def test_nothing_is_written_for_what_came_before_the_log(
    database: Database, customer: Customer
) -> None:
    """The log begins with a migration. A license that expires soon after it had its moment before."""
    license = await make_license(
        database, customer, expires_at=BEGIN + timedelta(days=6), created_at=LONG_AGO
    )

    await project(database)

    assert [type for type, *_ in await events_of(database, license.id)] == ["license.expired"]


async def test_licenses_of_a_deleted_app_get_no_event_and_those_of_deleted_licenses_come_first(
    database: Database, account: Account, app: App, customer: Customer, viewer: Viewer
) -> None:
    """They do not keep others from getting theirs."""
    other = await make_customer(database, await make_app(database, account))
    expires_at = BEGIN + timedelta(days=1)
    made = [
        await make_license(database, owner, expires_at=expires_at, created_at=LONG_AGO)
        for owner in (customer, other, other)
    ]
    await write(database, delete_app, viewer, app.slug)
    await write(database, delete_license, viewer, made[1].id)

    await project(database)

    found = [[type for type, *_ in await events_of(database, license.id)] for license in made]
    assert found == [[], ["license.expired", "license.deleted"], ["license.expired"]]


@pytest.mark.parametrize("template", ["postgresql"], indirect=True)
async def test_a_locked_license_is_passed_later_and_nobody_waits(
    database: Database, customer: Customer
) -> None:
    """SQLite has one writer, so no license is locked there."""
    made = [
        await make_license(database, customer, expires_at=BEGIN + timedelta(days=day), created_at=LONG_AGO)
        for day in (1, 2, 3)
    ]
    locking = select(licenses.c.id).where(licenses.c.id == made[1].id).with_for_update()
    async with database.write() as other:
        await other.execute(locking)
        async with database.write() as session:
            assert await expiry.advance(session, Mark.EXPIRED, 0) == 1
        async with database.write() as session:
            assert await expiry.advance(session, Mark.EXPIRED, 0) == 0

    await project(database, 0)

    assert [len(await events_of(database, license.id)) for license in made] == [1, 1, 1]


@pytest.mark.parametrize("template", ["postgresql"], indirect=True)
async def test_a_mark_that_another_process_moves_is_left_alone(
    database: Database, customer: Customer
) -> None:
    license = await make_license(
        database, customer, expires_at=BEGIN + timedelta(days=1), created_at=LONG_AGO
    )
    async with database.write() as first, database.write() as second:
        assert await expiry.advance(first, Mark.EXPIRED, 0) == 1
        assert await expiry.advance(second, Mark.EXPIRED, 0) == 0

    assert len(await events_of(database, license.id)) == 1


async def test_a_server_notices_an_expiry_that_is_near(database: Database, customer: Customer) -> None:
    """SQLite: without looking every second. PostgreSQL: within a second, as always."""
    async with Projector(database, 7).running():
        await asyncio.sleep(0.2)
        license = await make_license(database, customer, expires_at=clock.now() + timedelta(seconds=2))
        database.recorded()  # make_license writes no event
        async with asyncio.timeout(6):
            while not await events_of(database, license.id):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
