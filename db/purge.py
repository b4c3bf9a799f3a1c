"""Purge: what deleted apps leave behind goes a batch at a time, so that nobody waits long for it.

A deleted app is one without an owner and without a slug (`db.apps.disown`). No read finds it or anything in
it, and nothing is ever added to it.
"""

from collections.abc import Sequence

from sqlalchemy import Table, func, select

from db.apps import apps
from db.engine import ReadSession, WriteSession

_OWNERLESS = select(apps.c.id).where(apps.c.account_id.is_(None)).order_by(apps.c.id)


async def ownerless(session: ReadSession) -> Sequence[str]:
    """The ids of the deleted apps that are still there."""
    return [id for (id,) in await session.rows(_OWNERLESS, {})]


async def claim(session: WriteSession, app_id: str) -> bool:
    """Take a deleted app until the transaction ends. False when it is gone, or another process has it."""
    statement = _OWNERLESS.where(apps.c.id == app_id).with_for_update(skip_locked=True)
    return (await session.execute(statement)).first() is not None


async def delete_batch(
    session: WriteSession, table: Table, app_id: str, after: str, limit: int
) -> str | None:
    """Delete the next rows of an app in the order of ids, at most `limit`. Answers the last one's id.

    None: there are no more.
    """
    # From where the last batch ended: PostgreSQL would have to step over all that was deleted before.
    left = table.c.app_id == app_id, table.c.id > after
    batch = select(table.c.id).where(*left).order_by(table.c.id).limit(limit).subquery()
    last: str | None = (await session.execute(select(func.max(batch.c.id)))).scalar()
    if last is not None:
        await session.execute(table.delete().where(*left, table.c.id <= last))
    return last
