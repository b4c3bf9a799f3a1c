"""Expiry: the events of licenses that have expired, or that will expire soon.

Licenses pass two marks, in the order of their expiry and their ids. A mark is a row of `watermarks`: `until`
and `last_id` are the expiry and the id of the last license that passed. So an event is written exactly once
for each expiry, even if no server was running at that moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    bindparam,
    exists,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db import apps, clock, ids
from db.engine import WriteSession
from db.events import COLUMNS, SERVER, EventType, events, of_row, parameters, watermarks
from db.licenses import LICENSE, licenses
from db.log import log
from db.shaping.json import arrays_in, ids_in, item
from db.types import UtcDateTime, json_text

ROWS_PER_TRANSACTION = 1_000

SETTLED = timedelta(seconds=20)
"""How long after its moment an event "license.expiring" is written.

A license can be issued with exactly this term. By then, the transaction that issued it has ended.
"""

# Longer than any transaction of a request, and than the difference of two clocks.
_CLOSE = timedelta(minutes=1)


class Mark(Enum):
    """A mark that licenses pass. The value is the name of its row, and the type of the events."""

    EXPIRED = "expired"
    EXPIRING = "expiring"

    @property
    def type(self) -> EventType:
        """The type of the event that is written for a license that passes."""
        return EventType(f"license.{self.value}")


class now_of_database(FunctionElement[datetime]):  # noqa: N801
    """The time. On PostgreSQL, this is the database's clock, because the clocks of hosts differ."""

    name = "now_of_database"
    type = UtcDateTime()
    inherit_cache = True

    def __init__(self) -> None:
        super().__init__(bindparam("now", type_=UtcDateTime()))


@compiles(now_of_database, "sqlite")
def _sqlite_now(element: now_of_database, compiler: SQLCompiler, **kw: Any) -> str:
    (now,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return now


@compiles(now_of_database, "postgresql")
def _postgresql_now(_element: now_of_database, _compiler: SQLCompiler, **_kw: Any) -> str:
    return """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


@dataclass(frozen=True, slots=True)
class _Passing:
    """A license that passes a mark, and the moment at which the event happens."""

    id: str
    created_at: datetime
    expires_at: datetime
    is_revoked: bool
    moment: datetime


def next_expiry(mark: Mark) -> ColumnElement[datetime]:
    """Return SQL for the expiry of the license that passes the mark next, or null."""
    passed = tuple_(*(select(column).where(_is_of(mark)).scalar_subquery() for column in _PLACE))
    return (
        select(licenses.c.expires_at)
        .where(licenses.c.expires_at.is_not(None), tuple_(licenses.c.expires_at, licenses.c.id) > passed)
        .order_by(licenses.c.expires_at, licenses.c.id)
        .limit(literal_column("1"))
        .scalar_subquery()
    )


def _is_of(mark: Mark) -> ColumnElement[bool]:
    return watermarks.c.name == literal_column(f"'{mark.value}'")


_PLACE = (watermarks.c.until, watermarks.c.last_id)
_NAME = bindparam("mark", type_=Text())
_IDS = bindparam("ids", type_=Text())
_place: Select[Any] = select(*_PLACE, now_of_database(), select(log.c.since).scalar_subquery()).where(
    watermarks.c.name == _NAME
)
_TAKE: Select[Any] = _place.suffix_with(text("FOR UPDATE OF watermarks SKIP LOCKED"), dialect="postgresql")
_HOLD: Select[Any] = _place.suffix_with(text("FOR SHARE OF watermarks"), dialect="postgresql")
_MOVE = (
    watermarks.update()
    .where(watermarks.c.name == _NAME)
    .values(until=bindparam("passed", type_=UtcDateTime()), last_id=bindparam("passed_id", type_=Text()))
)
_NEXT: Select[Any] = (
    select(licenses.c.id, licenses.c.expires_at)
    .where(
        licenses.c.expires_at <= bindparam("end", type_=UtcDateTime()),
        tuple_(licenses.c.expires_at, licenses.c.id)
        > tuple_(bindparam("until", type_=UtcDateTime()), bindparam("last_id", type_=Text())),
    )
    .order_by(licenses.c.expires_at, licenses.c.id)
    .limit(bindparam("limit"))
)
# A license that another transaction has locked is left for the next attempt. Waiting for it could end in a
# deadlock with a transaction that locks several licenses, for example to delete a customer.
_LOCK: Select[Any] = (
    select(licenses.c.id, licenses.c.created_at, licenses.c.expires_at, licenses.c.revoked_at)
    .where(ids_in(licenses.c.id, _IDS))
    .suffix_with(text("FOR UPDATE SKIP LOCKED"), dialect="postgresql")
)
_COUNT_UP = licenses.update().where(ids_in(licenses.c.id, _IDS)).values(version=licenses.c.version + 1)

_listed = arrays_in(bindparam("rows", type_=Text())).table_valued("value", name="listed")
_passing = (
    select(
        licenses, item(_listed.c.value, 1).label("event_id"), item(_listed.c.value, 2).label("event_moment")
    )
    .select_from(_listed.join(licenses, licenses.c.id == item(_listed.c.value, 0)))
    .subquery()
)
# A deleted app has no account. Its licenses are about to be purged.
_RECORD = events.insert().from_select(
    COLUMNS,
    of_row(LICENSE, _passing, _passing.c.event_id, created_at=_passing.c.event_moment).where(
        exists()
        .where(apps.apps.c.id == _passing.c.app_id, apps.apps.c.account_id.is_not(None))
        .correlate_except(apps.apps)
    ),
)


def end_of(mark: Mark, now: datetime, days: int) -> datetime:
    """Return the last expiry of the licenses that may pass a mark now.

    `days` is the number of days before an expiry at which "license.expiring" is written.
    """
    return now if mark is Mark.EXPIRED else now + timedelta(days=days) - SETTLED


async def advance(session: WriteSession, mark: Mark, days: int, limit: int = ROWS_PER_TRANSACTION) -> int:
    """Let the next licenses pass a mark, write their events, and return the number of licenses.

    At most `limit` licenses pass. None pass if another process has locked the mark.
    """
    found = (await session.execute(_TAKE, {"mark": mark.value, "now": clock.now()})).first()
    if found is None:
        return 0
    until, last_id, now, since = tuple(found)
    place = {"until": until, "last_id": last_id, "end": end_of(mark, now, days), "limit": limit}
    due = [tuple(row) for row in await session.execute(_NEXT, place)]
    if not due:
        return 0
    before = timedelta(days=days if mark is Mark.EXPIRING else 0)
    locked = await session.execute(_LOCK, {"ids": json_text([id for id, _ in due])})
    held = {
        id: _Passing(id, created_at, expires_at, revoked_at is not None, expires_at - before)
        for id, created_at, expires_at, revoked_at in map(tuple, locked)
    }
    passing = []
    for id, _ in due:
        if id not in held:
            break
        passing.append(held[id])
    if not passing:
        return 0
    if mark is Mark.EXPIRED or days:
        await _record(session, mark, [each for each in passing if _has_event(each, since)])
    last = passing[-1]
    await session.execute(_MOVE, {"mark": mark.value, "passed": last.expires_at, "passed_id": last.id})
    return len(passing)


async def catch_up(session: WriteSession, license_id: str, expires_at: datetime | None) -> None:
    """Write "license.expired" for a license that became active after its mark had passed it.

    Call this at the end of a transaction that makes a license active or changes its expiry. A license that
    expires in this minute could expire before the transaction ends.
    """
    if expires_at is None or expires_at - clock.now() > _CLOSE:
        return
    # Until the transaction ends, the mark stays where it is.
    found = await session.execute(_HOLD, {"mark": Mark.EXPIRED.value, "now": clock.now()})
    until, last_id, *_ = tuple(found.one())
    if (expires_at, license_id) <= (until, last_id):
        late = _Passing(license_id, expires_at, expires_at, is_revoked=False, moment=expires_at)
        await _record(session, Mark.EXPIRED, [late])


async def settle(session: WriteSession, license_id: str, expires_at: datetime) -> None:
    """Write "license.expired" for an expired license that its mark has not passed yet.

    Call this before a change after which the mark would not see that the license expired: a new expiry, a
    revocation or a deletion. The license is locked and not revoked.
    """
    # Until the transaction ends, the mark stays where it is.
    found = await session.execute(_HOLD, {"mark": Mark.EXPIRED.value, "now": clock.now()})
    until, last_id, _, since = tuple(found.one())
    if (expires_at, license_id) > (until, last_id) and expires_at >= since:
        due = _Passing(license_id, expires_at, expires_at, is_revoked=False, moment=expires_at)
        await _record(session, Mark.EXPIRED, [due])


def _has_event(license: _Passing, since: datetime) -> bool:
    """Return whether an event is written for a license.

    None is written for a moment before the license was issued, or before the log began.
    """
    return not license.is_revoked and license.moment >= max(license.created_at, since)


async def _record(session: WriteSession, mark: Mark, passing: Sequence[_Passing]) -> None:
    if not passing:
        return
    await session.execute(_COUNT_UP, {"ids": json_text([each.id for each in passing])})
    rows = [[each.id, ids.new_id(ids.EVENT).id, clock.as_text(each.moment)] for each in passing]
    if mark is Mark.EXPIRED:
        # All of these licenses have expired at the moment of the last one.
        seen_at, changes = passing[-1].moment, {"status": {"from": "active", "to": "expired"}}
    else:
        # None of these licenses has expired at the moment of the first one.
        seen_at, changes = passing[0].moment, {}
    event = parameters(SERVER, mark.type, changes=changes)
    await session.execute(_RECORD, {**event, "rows": json_text(rows), "now": seen_at})
    session.has_events = True
