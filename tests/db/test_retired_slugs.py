"""The slugs of deleted apps, at the place where two accounts meet."""

import asyncio

from sqlalchemy import select

from db import apps, ids
from db.engine import Database
from tests.factories import make_account, make_app


async def owners(database: Database) -> list[str | None]:
    async with database.read() as session:
        return [owner for (owner,) in await session.rows(select(apps.apps.c.account_id), {})]


async def test_who_waits_for_a_slug_that_is_given_up_does_not_get_it(
    database: Database, database_url: str
) -> None:
    """The narrow place: the insertion is under way, and waits, while the deletion is not committed yet."""
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
    async with database.read() as session:
        assert await apps.is_taken(session, stranger.id, "atlas")
        assert not await apps.is_taken(session, account.id, "atlas")
    await other.close()
