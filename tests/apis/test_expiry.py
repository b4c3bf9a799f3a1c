"""Licenses that expire while no server runs: when two servers start, each license gets one event."""

import asyncio
from collections import Counter
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import func, select, update

from db import clock, ids
from db.engine import Database
from db.events import events, watermarks
from db.licenses import licenses
from db.log import log as log_table
from db.tokens import tokens
from tests.apis.conftest import two_serving
from tests.factories import Account, App, make_customer

COLUMNS = (
    "id",
    "app_id",
    "customer_id",
    "installation_id",
    "is_current",
    "expires_at",
    "metadata",
    "created_at",
    "updated_at",
)
TOKEN_COLUMNS = ("jti", "license_id", "number", "generation")


@pytest.mark.parametrize("count", [2_500, pytest.param(10_000, marks=pytest.mark.long)])
async def test_licenses_that_expired_in_one_second_get_one_event_each(
    tmp_path: Path, database: Database, database_url: str, account: Account, atlas: App, count: int
) -> None:
    customer = await make_customer(database, atlas)
    expired, issued = (clock.as_text(clock.now() - timedelta(days=days)) for days in (3, 100))
    made = [
        (ids.new_id(ids.LICENSE).id, atlas.id, customer.id, str(uuid4()), True, expired, "{}", issued, issued)
        for _ in range(count)
    ]
    async with database.write() as session:
        await session.load(licenses, COLUMNS, made)
        await session.load(tokens, TOKEN_COLUMNS, [(ids.new_id(ids.LICENSE).id, id, 1, 1) for id, *_ in made])
        # The last server stopped before they expired.
        began = clock.now() - timedelta(days=50)
        await session.execute(update(watermarks).values(until=began))
        await session.execute(update(log_table).values(since=began))

    with two_serving(tmp_path, database_url):
        async with asyncio.timeout(60):
            while await numbered(database) < 2 * count:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)  # long enough for another round

    async with database.write() as session:
        found = [tuple(row) for row in await session.execute(EVENTS)]
    subjects = [id for id, *_ in made]
    assert sorted(position for *_, position in found) == list(range(1, 2 * count + 1))
    assert Counter((subject, version, type) for subject, version, type, _, _ in found) == Counter(
        [(subject, 2, "license.expiring") for subject in subjects]
        + [(subject, 3, "license.expired") for subject in subjects]
    )
    assert {clock.as_text(moment) for _, _, type, moment, _ in found if type == "license.expired"} == {
        expired
    }


EVENTS = select(events.c.subject_id, events.c.version, events.c.type, events.c.created_at, events.c.position)


async def numbered(database: Database) -> int:
    async with database.write() as session:
        return int((await session.execute(select(func.count(events.c.position)))).scalar_one())
