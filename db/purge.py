"""Purge: the rows of deleted apps are removed in batches, so that other writes do not wait for long.

A deleted app has no account and no slug (`db.apps.disown`). No request finds a deleted app or anything in it,
and nothing can be added to a deleted app.
"""

from collections.abc import Sequence

from sqlalchemy import func, select

from db.apps import apps
from db.customers import customers
from db.engine import ReadSession, WriteSession
from db.licenses import licenses

_OWNERLESS = select(apps.c.id).where(apps.c.account_id.is_(None)).order_by(apps.c.id)


_TABLES = {"licenses": licenses, "customers": customers}
TABLES = tuple(_TABLES)
"""The tables that can have many rows per app, in the order in which the purge empties them."""


async def ownerless(session: ReadSession) -> Sequence[str]:
    """Return the ids of deleted apps that have not been purged yet."""
    return [id for (id,) in await session.rows(_OWNERLESS, {})]


async def lock(session: WriteSession, app_id: str) -> bool:
    """Lock a deleted app until the transaction ends.

    Returns False if the app no longer exists or another process holds the lock.
    """
    statement = _OWNERLESS.where(apps.c.id == app_id).with_for_update(skip_locked=True)
    return (await session.execute(statement)).first() is not None


async def delete_batch(
    session: WriteSession, table_name: str, app_id: str, after: str, limit: int
) -> str | None:
    """Delete the first `limit` rows of an app after the id `after` from one of `TABLES`.

    Returns the id of the last deleted row, or None if there were no rows.
    """
    table = _TABLES[table_name]
    # Start where the last batch ended. Otherwise PostgreSQL would step over all the rows that earlier batches
    # deleted.
    left = table.c.app_id == app_id, table.c.id > after
    batch = select(table.c.id).where(*left).order_by(table.c.id).limit(limit).subquery()
    last: str | None = (await session.execute(select(func.max(batch.c.id)))).scalar()
    if last is not None:
        await session.execute(table.delete().where(*left, table.c.id <= last))
    return last
