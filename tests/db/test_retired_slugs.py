"""The slug of a deleted app stays with its account, even if another account requests it at the same time."""

import asyncio

from sqlalchemy import select

from db import apps, ids
from db.engine import Database
from tests.factories import make_account, make_app


async def owners(database: Database) -> list[str | None]:
    async with database.read() as session:
        return [owner for (owner,) in await session.rows(select(apps.apps.c.account_id), {})]


async def test_an_insertion_that_waits_for_a_deleted_slug_is_refused(
    database: Database, database_url: str
) -> None:
    """The insertion waits for a deletion that is not committed yet."""
    account = await make_account(database)
    app = await make_app(database, account, slug="atlas")
    stranger = await make_account(database)
    other = Database(database_url)
    row = {
        "id": ids.new_id(ids.APP).id,
        "account_id": stranger.id,
        "slug": "atlas",
        "name": "Atlas",
        "name_folded": "atlas",
        "created_at": app.created_at,
        "updated_at": app.created_at,
    }

    async def take() -> bool:
        async with other.write() as session:
            return await apps.add(session, row)

    async with database.write() as session:
        await apps.disown(session, account.id, "atlas", app.id)
        taking = asyncio.create_task(take())
        await asyncio.sleep(0.5)
        assert not taking.done()
    assert await taking is False
    assert await owners(database) == [None]
    async with database.read() as reading:
        assert await apps.is_taken(reading, stranger.id, "atlas")
        assert not await apps.is_taken(reading, account.id, "atlas")
    await other.close()
