"""The log of events in tests: its beginning, its positions, and the check of the whole log."""

from sqlalchemy import func, select, text

from db import clock
from db.engine import Database
from db.events import events
from db.log import log
from resolvers.log_check import mismatches

_NUMBER = text(
    "UPDATE events SET position = (SELECT head FROM log) + numbered.place FROM "
    "(SELECT id, row_number() OVER (ORDER BY id) AS place FROM events WHERE position IS NULL) AS numbered "
    "WHERE numbered.id = events.id AND events.position IS NULL"
)
_HEAD = select(func.coalesce(func.max(events.c.position), 0)).scalar_subquery()


async def begin_log(database: Database) -> None:
    """Let the log begin now. The rows that factories have made are then older than the log."""
    async with database.write() as session:
        await session.execute(log.update().values(since=clock.now()))


async def number_events(database: Database) -> None:
    """Give events their positions, as a running server does on PostgreSQL."""
    async with database.write() as session:
        if (await session.execute(select(events.c.id).where(events.c.position.is_(None)))).first():
            await session.execute(_NUMBER)
            await session.execute(log.update().values(head=_HEAD))


async def check_log(database_url: str) -> None:
    """Fail if the log of events and the tables differ. Call this at the end of a test that writes.

    Rows without events count as older than the log, because factories make such rows.
    """
    database = Database(database_url)
    try:
        await begin_log(database)
        assert [each async for each in mismatches(database)] == []
    finally:
        await database.close()
