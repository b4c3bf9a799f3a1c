"""What the projector does next, and how it numbers events and adds them to the statistics.

On PostgreSQL, events are inserted without a position. One process at a time numbers those that are committed
(`number`). It takes a lock first and reads the events in a second statement, which therefore sees everything
that was numbered before. SQLite numbers events when they are inserted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    column,
    func,
    literal_column,
    or_,
    select,
    text,
)

from db import clock, statistics
from db.engine import ReadSession, WriteSession
from db.events import events
from db.expiry import Mark, next_expiry, now_of_database
from db.log import NUMBERING

EVENTS_PER_TRANSACTION = 500

# PostgreSQL frees the lock when the transaction has ended and its changes are visible. The settings make it
# follow indexes, event by event. It plans a statement once, and in an empty table, it would plan to read all
# events each time. A bitmap scan would read the index entries of all events that were numbered since the last
# VACUUM. A plain index scan marks these entries as dead, and later scans skip them.
_AVOIDED = ("seqscan", "bitmapscan", "hashjoin", "mergejoin")
_LOCK = select(
    func.pg_try_advisory_xact_lock(NUMBERING),
    *(func.set_config(f"enable_{way}", "off", literal_column("true")) for way in _AVOIDED),
)

# The oldest events come first. But ids come from the clocks of several hosts, so an event of a subject may
# have a smaller id than the event before it. An event that has an earlier one of its subject without a
# position is therefore numbered after it: `waiting` adds the earlier events, and `place` is the highest id
# among an event and the earlier ones.
_NUMBER = text(
    f"""
WITH RECURSIVE oldest AS (
  SELECT id, subject_id, version FROM events WHERE position IS NULL
  ORDER BY id LIMIT {EVENTS_PER_TRANSACTION}
), waiting AS (
  SELECT id, subject_id, version FROM oldest
  UNION
  SELECT earlier.id, earlier.subject_id, earlier.version
  FROM waiting CROSS JOIN LATERAL (
    SELECT id, subject_id, version, position FROM events
    WHERE subject_id = waiting.subject_id AND version < waiting.version
    ORDER BY version DESC LIMIT 1
  ) AS earlier
  WHERE earlier.position IS NULL
), placed AS (
  SELECT id, version, max(id) OVER (PARTITION BY subject_id ORDER BY version) AS place FROM waiting
), numbered AS (
  SELECT id, row_number() OVER (ORDER BY place, version) AS number FROM placed
  ORDER BY number LIMIT {EVENTS_PER_TRANSACTION}
), moved AS (
  UPDATE log SET head = head + (SELECT count(*) FROM numbered) WHERE EXISTS (SELECT FROM numbered)
), changed AS (
  UPDATE events SET position = log.head + numbered.number FROM numbered, log
  WHERE events.id = numbered.id
  RETURNING 1
)
SELECT count(*)::integer AS count FROM changed
"""  # noqa: S608  (a constant)
).columns(column("count", Integer))

_has_unnumbered = select(events.c.id).where(events.c.position.is_(None)).limit(literal_column("1")).exists()
_seen: list[ColumnElement[Any]] = [now_of_database(), *map(next_expiry, Mark)]
_LOOK = select(or_(_has_unnumbered, statistics.HAS_UNCOUNTED), *_seen)
# SQLite has no events without a position.
_LOOK_ON_SQLITE = select(statistics.HAS_UNCOUNTED, *_seen)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits to be done, and the time.

    `has_events` says whether events wait for a position, or to be added to the statistics. `next_expiry` has
    the expiry of the license that passes each mark next (`db.expiry`).
    """

    has_events: bool
    now: datetime
    next_expiry: Mapping[Mark, datetime | None]


async def waiting(session: ReadSession) -> Waiting:
    """Return what waits to be done. This is one short statement."""
    statement = _LOOK_ON_SQLITE if session.database.is_sqlite else _LOOK
    row = await session.row(statement, {"now": clock.now()})
    assert row is not None  # it has no FROM
    has_events, now, *expiries = row
    return Waiting(bool(has_events), now, dict(zip(Mark, expiries, strict=True)))


async def project(session: WriteSession) -> int:
    """Give positions to the oldest events without one, and add the next events to the statistics.

    Does both for at most `EVENTS_PER_TRANSACTION` events, and returns how many were added. On SQLite, events
    have their positions already. On PostgreSQL, nothing happens if another process is doing this.
    """
    if not session.database.is_sqlite:
        is_held, *_ = tuple((await session.execute(_LOCK)).one())
        if not is_held:
            return 0
        await session.execute(_NUMBER)
    return await statistics.add_events(session, EVENTS_PER_TRANSACTION)
