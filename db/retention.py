"""The retention of events: the oldest ones are removed from the beginning of the log."""

from datetime import datetime

from sqlalchemy import bindparam, func, select

from db.engine import WriteSession
from db.events import events
from db.log import log
from db.types import UtcDateTime

_BEFORE = bindparam("before", type_=UtcDateTime())
_oldest = (
    select(events.c.position, events.c.created_at)
    .where(events.c.position <= select(log.c.counted).scalar_subquery())
    .order_by(events.c.position)
    .limit(bindparam("limit"))
    .subquery()
)
_KEPT = select(func.min(_oldest.c.position)).where(_oldest.c.created_at >= _BEFORE)
_AFTER_OLDEST = select(func.max(_oldest.c.position) + 1)
_FORGET = (
    events.delete()
    .where(events.c.position < func.coalesce(_KEPT.scalar_subquery(), _AFTER_OLDEST.scalar_subquery()))
    .returning(events.c.position)
)
_BEGIN_LATER = log.update().where(log.c.since < _BEFORE).values(since=_BEFORE)


async def forget_oldest(session: WriteSession, before: datetime, limit: int) -> int:
    """Remove at most `limit` events from the beginning of the log, and return how many.

    Events that are not in the statistics yet stay.

    The first event that was created at `before` or later stays, and so do all events after it. The log then
    begins no earlier than `before`.
    """
    found = await session.execute(_FORGET, {"before": before, "limit": limit})
    count = len(found.all())
    if count:
        await session.execute(_BEGIN_LATER, {"before": before})
    return count
