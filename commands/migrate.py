"""`migrate`: bring the database up to date."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db import migrations
from db.engine import Database
from settings import Settings, read_settings


async def migrate() -> str:
    """Bring the database up to date. Run again, it finds nothing to do."""
    changed = await migrations.upgrade(read_settings().database_url.get_secret_value())
    return "The database has been brought up to date." if changed else "The database is up to date already."


@asynccontextmanager
async def opened(settings: Settings, *, migrate: bool = True) -> AsyncIterator[Database]:
    """The settings' database, open, and brought up to date unless that is not wanted."""
    url = settings.database_url.get_secret_value()
    if migrate:
        await migrations.upgrade(url)
    database = Database(url, pool_size=settings.pool_size)
    try:
        yield database
    finally:
        await database.close()
