"""Usage: how many requests and points each key, and each other subject of a limit, used in each minute.

All processes of an installation add to the same rows. The rows are therefore also the ledger of the limits
that the processes share.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from operator import attrgetter

import orjson
from sqlalchemy import BigInteger, Column, Index, Table, and_, case, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from db import clock
from db.engine import Database, WriteSession
from db.metadata import metadata
from db.statements import Query, parameters_of
from db.types import PlainText, UtcDateTime

usage = Table(
    "usage",
    metadata,
    # The id of a key, or a text that begins with `OF_LIMITS` and says what else a limit counts by.
    Column("subject", PlainText, primary_key=True),
    # When the minute begins. The minutes of older days are added up to one row for each day. In such a row,
    # this is when the day begins.
    Column("minute", UtcDateTime, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("points", BigInteger, nullable=False),
    Column("refused", BigInteger, nullable=False),
    Column("last_at", UtcDateTime, nullable=False),
    Index(None, "minute"),
)

OF_LIMITS = "limit:"
"""The subjects that begin with this are only used by limits, for two minutes. All others are keys."""

_AFTER_LIMITS = "limit;"
_MINUTE = timedelta(minutes=1)


_IS_MINUTE = func.substr(usage.c.minute, 12, type_=PlainText) != "00:00:00Z"
_inserted = insert(usage)
_new = _inserted.excluded
_ADD_TO_DAY = _inserted.values(parameters_of(usage, usage.c.keys())).on_conflict_do_update(
    index_elements=[usage.c.subject, usage.c.minute],
    set_={
        "requests": usage.c.requests + _new.requests,
        "points": usage.c.points + _new.points,
        "refused": usage.c.refused + _new.refused,
        "last_at": case((usage.c.last_at > _new.last_at, usage.c.last_at), else_=_new.last_at),
    },
)


@dataclass(frozen=True, slots=True)
class Added:
    """What one subject used, to be added to a row."""

    subject: str
    minute: datetime
    requests: int
    points: int
    refused: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Sums:
    """How much one subject used on all processes, in this minute and in the minute before.

    `last_at` is when the subject was last used in the minute before, or None if it was not used then.
    """

    subject: str
    requests: int
    points: int
    requests_before: int
    points_before: int
    last_at: datetime | None


# Rows are added in the order of subjects, so that processes never deadlock.
_ADD = """
INSERT INTO usage (subject, minute, requests, points, refused, last_at)
{rows}
ORDER BY 1, 2
ON CONFLICT (subject, minute) DO UPDATE SET
  requests = usage.requests + excluded.requests,
  points = usage.points + excluded.points,
  refused = usage.refused + excluded.refused,
  last_at = {greatest}(usage.last_at, excluded.last_at)
RETURNING subject, requests, points,
  (SELECT b.requests FROM usage AS b WHERE b.subject = usage.subject AND b.minute = {before}),
  (SELECT b.points FROM usage AS b WHERE b.subject = usage.subject AND b.minute = {before}),
  (SELECT b.last_at FROM usage AS b WHERE b.subject = usage.subject AND b.minute = {before})
"""
_PARAMETERS = (("rows", None), ("before", None))
_ADD_ON_SQLITE = Query(
    _ADD.format(
        rows="SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5 "
        "FROM json_each(?1) WHERE true",
        greatest="max",
        before="?2",
    ),
    _PARAMETERS,
    (None, None),
)
_ADD_ON_POSTGRESQL = Query(
    _ADD.format(
        rows="SELECT value ->> 0, value ->> 1, (value ->> 2)::bigint, (value ->> 3)::bigint, "
        "(value ->> 4)::bigint, value ->> 5 FROM json_array_elements($1::json)",
        greatest="greatest",
        before="$2",
    ),
    _PARAMETERS,
    (None, None),
)


async def add(database: Database, added: Sequence[Added]) -> Sequence[Sums]:
    """Add what was used in one minute to the rows of that minute, in one statement, and return the new sums.

    `added` must have at least one item, and all items must be of the same minute. Raises StoreUnavailable.
    """
    before = clock.as_text(added[0].minute - _MINUTE)
    query = _ADD_ON_SQLITE if database.is_sqlite else _ADD_ON_POSTGRESQL
    rows = await database.execute(query, {"rows": _written(added), "before": before})
    return [
        Sums(
            subject,
            requests,
            points,
            requests_before or 0,
            points_before or 0,
            None if last_at is None else clock.from_text(last_at),
        )
        for subject, requests, points, requests_before, points_before, last_at in rows
    ]


def _written(added: Sequence[Added]) -> str:
    rows = [
        (
            each.subject,
            clock.as_text(each.minute),
            each.requests,
            each.points,
            each.refused,
            clock.as_text(each.last_at),
        )
        for each in added
    ]
    return orjson.dumps(rows).decode()


async def forget_limits(database: Database, before: datetime) -> None:
    """Delete the rows that only limits use and whose minute is before this time."""
    of_limits = and_(usage.c.subject >= OF_LIMITS, usage.c.subject < _AFTER_LIMITS)
    async with database.write() as session:
        await session.execute(usage.delete().where(of_limits, usage.c.minute < before))


async def forget_days(database: Database, before: datetime) -> None:
    """Delete all rows before this day."""
    async with database.write() as session:
        await session.execute(usage.delete().where(usage.c.minute < before))


async def roll_up(session: WriteSession, before: datetime, limit: int) -> bool:
    """Take at most `limit` rows of minutes before a day, and add each of them to the row of its day.

    Returns False if there are no such rows. Several processes may do this at the same time.
    """
    batch = select(usage.c.subject, usage.c.minute).where(usage.c.minute < before, _IS_MINUTE).limit(limit)
    is_taken = tuple_(usage.c.subject, usage.c.minute).in_(batch)
    found = await session.execute(usage.delete().where(is_taken).returning(*usage.c))
    taken = [Added(**row) for row in found.mappings()]
    # In the order of subjects, for the same reason as in `_ADD`.
    for row in sorted(taken, key=attrgetter("subject", "minute")):
        day = row.minute.replace(hour=0, minute=0)
        await session.execute(_ADD_TO_DAY, {**asdict(row), "minute": day})
    return bool(taken)
