"""Statistics: what happened in an app on each day, and how many licenses are active at its end.

The projector adds each event to the days of its app (`add_events`) after the event got its position. So no
writer waits for a counter. `log.counted` is the position of the last event that was added, and moves in the
same transaction, so no event is ever added twice or left out.

`active` and `customers` are running sums: a row has the change on its days, and the sum over all days up to
an end is the number at that end. A license that becomes active until an expiry counts +1 on its first day and
-1 on the day of its expiry, which may be in the future. A later change takes both back. So the rows of future
days show how many licenses will be active if nothing changes. They are right even if an event
"license.expired" is late, or is never written because the license was revoked or deleted first.

Each fact is in four rows: that of its day and that of its month, for the tier and for the whole app. A
running sum begins with the sums of earlier months, so it reads few rows however old the app is.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Integer,
    ScalarSelect,
    Select,
    Table,
    Text,
    TextClause,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from db import clock
from db.engine import ReadSession, WriteSession
from db.log import log
from db.metadata import metadata
from db.shaping.json import numbered_texts
from db.shaping.nouns import Entries, Kind, Row
from db.shaping.selection import EntrySlots, Slot
from db.shaping.slots import slot_parameter
from db.statements import parameters_of
from db.types import PlainText

MOST_INTERVALS = 400
"""How many intervals can be read at once."""

WHOLE_APP = "*"
"""The `tier_id` of rows about the whole app. Licenses without a tier are in these rows only."""

DAY, MONTH = "day", "month"
"""The values of `span`: a row is about one day, or about all days of a month."""

HAPPENED = ("issued", "renewed", "reinstated", "expired", "revoked", "deleted")
_OF_CUSTOMERS = ("customers_added", "customers_deleted")
ABOUT_CUSTOMERS = frozenset({*_OF_CUSTOMERS, "customers"})
_COUNTED = ("active", *HAPPENED, *_OF_CUSTOMERS)

app_days = Table(
    "app_days",
    metadata,
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    # No foreign key: the past of a deleted tier stays in the rows of the tier.
    Column("tier_id", PlainText, primary_key=True),
    Column("span", PlainText, primary_key=True),
    Column("day", PlainText, primary_key=True),  # such as 2026-01-23, in UTC; a month's first day
    *(Column(name, Integer, nullable=False) for name in _COUNTED),
)

# What happened, from events. The operators -> and ->> are the same on both databases. `until` and `old_until`
# are the expiry of the license after the event and before it. They are null if it was revoked or deleted.
_TOLD = """
told AS (
  SELECT app_id, type, created_at AS moment, data{json} ->> 'tier_id' AS tier_id,
    CASE WHEN type <> 'license.deleted' AND data{json} ->> 'revoked_at' IS NULL
      THEN coalesce(data{json} ->> 'expires_at', 'never') END AS until,
    CASE WHEN changes{json} -> 'tier_id' IS NULL THEN data{json} ->> 'tier_id'
      ELSE changes{json} -> 'tier_id' ->> 'from' END AS old_tier_id,
    CASE WHEN type <> 'license.created'
      AND CASE WHEN changes{json} -> 'revoked_at' IS NULL THEN data{json} ->> 'revoked_at'
        ELSE changes{json} -> 'revoked_at' ->> 'from' END IS NULL
      THEN coalesce(CASE WHEN changes{json} -> 'expires_at' IS NULL THEN data{json} ->> 'expires_at'
        ELSE changes{json} -> 'expires_at' ->> 'from' END, 'never') END AS old_until
  FROM events
  WHERE subject_type IN ('license', 'customer') AND {chosen}
), terms AS (
  SELECT app_id, tier_id, moment, until, 1 AS sign FROM told
  WHERE type LIKE 'license.%' AND until > moment
  UNION ALL
  SELECT app_id, old_tier_id, moment, old_until, -1 FROM told
  WHERE type LIKE 'license.%' AND old_until > moment
), facts AS (
  SELECT app_id, tier_id, substr(moment, 1, 10) AS day, 0 AS active,
    CASE type WHEN 'license.created' THEN 1 ELSE 0 END AS issued,
    CASE type WHEN 'license.renewed' THEN 1 ELSE 0 END AS renewed,
    CASE type WHEN 'license.reinstated' THEN 1 ELSE 0 END AS reinstated,
    CASE type WHEN 'license.expired' THEN 1 ELSE 0 END AS expired,
    CASE type WHEN 'license.revoked' THEN 1 ELSE 0 END AS revoked,
    CASE type WHEN 'license.deleted' THEN 1 ELSE 0 END AS deleted,
    CASE type WHEN 'customer.created' THEN 1 ELSE 0 END AS customers_added,
    CASE type WHEN 'customer.deleted' THEN 1 ELSE 0 END AS customers_deleted
  FROM told
  UNION ALL
  SELECT app_id, tier_id, substr(moment, 1, 10), sign, 0, 0, 0, 0, 0, 0, 0, 0 FROM terms
  UNION ALL
  SELECT app_id, tier_id, substr(until, 1, 10), -sign, 0, 0, 0, 0, 0, 0, 0, 0
  FROM terms WHERE until <> 'never'
)"""

# What happened, as far as rows show it. They do not show renewals, reinstatements and deletions.
# "license.expired" is yet to be written for licenses that have not passed the mark of `db.expiry`.
_SHOWN = """
issued AS (
  SELECT app_id, tier_id, created_at, revoked_at,
    CASE WHEN revoked_at < expires_at OR expires_at IS NULL THEN revoked_at ELSE expires_at END AS ended_at,
    CASE WHEN (revoked_at IS NULL OR revoked_at >= expires_at) AND (
      SELECT until > expires_at OR until = expires_at AND last_id >= licenses.id
      FROM watermarks WHERE name = 'expired'
    ) THEN expires_at END AS expired_at
  FROM licenses WHERE app_id = :app
), facts AS (
  SELECT app_id, tier_id, substr(created_at, 1, 10) AS day, 1 AS active, 1 AS issued, 0 AS renewed,
    0 AS reinstated, 0 AS expired, 0 AS revoked, 0 AS deleted, 0 AS customers_added, 0 AS customers_deleted
  FROM issued
  UNION ALL
  SELECT app_id, tier_id, substr(ended_at, 1, 10), -1, 0, 0, 0, 0, 0, 0, 0, 0
  FROM issued WHERE ended_at IS NOT NULL
  UNION ALL
  SELECT app_id, tier_id, substr(expired_at, 1, 10), 0, 0, 0, 0, 1, 0, 0, 0, 0
  FROM issued WHERE expired_at IS NOT NULL
  UNION ALL
  SELECT app_id, tier_id, substr(revoked_at, 1, 10), 0, 0, 0, 0, 0, 1, 0, 0, 0
  FROM issued WHERE revoked_at IS NOT NULL
  UNION ALL
  SELECT app_id, NULL, substr(created_at, 1, 10), 0, 0, 0, 0, 0, 0, 0, 1, 0
  FROM customers WHERE app_id = :app
)"""

_EXPANDED = f"""
daily AS (
  SELECT app_id, tier_id, day, {", ".join(f"sum({name}) AS {name}" for name in _COUNTED)}
  FROM facts GROUP BY app_id, tier_id, day
), expanded AS (
  SELECT app_id, CASE WHEN of_app = 1 THEN '{WHOLE_APP}' ELSE tier_id END AS tier_id, span,
    CASE span WHEN '{DAY}' THEN day ELSE substr(day, 1, 8) || '01' END AS day, {", ".join(_COUNTED)}
  FROM daily
  CROSS JOIN (SELECT 1 AS of_app UNION ALL SELECT 0) AS scopes
  CROSS JOIN (SELECT '{DAY}' AS span UNION ALL SELECT '{MONTH}') AS spans
  WHERE of_app = 1 OR tier_id IS NOT NULL
)"""  # noqa: S608  (constants)

# Rows of an app that is gone are not written. Rows are added in the order of their keys, so that transactions
# never deadlock.
_ADD = f"""
INSERT INTO app_days (app_id, tier_id, span, day, {", ".join(_COUNTED)})
SELECT expanded.app_id, tier_id, span, day, {", ".join(f"sum({name})" for name in _COUNTED)}
FROM expanded JOIN apps ON apps.id = expanded.app_id
WHERE apps.account_id IS NOT NULL
GROUP BY expanded.app_id, tier_id, span, day
HAVING {" OR ".join(f"sum({name}) <> 0" for name in _COUNTED)}
ORDER BY 1, 2, 3, 4
ON CONFLICT (app_id, tier_id, span, day) DO UPDATE SET
  {", ".join(f"{name} = app_days.{name} + excluded.{name}" for name in _COUNTED)}
"""  # noqa: S608  (constants)


def _adding(facts: str) -> TextClause:
    return text(f"WITH {facts},{_EXPANDED}{_ADD}")


_NEW = "position > :counted AND position <= :until"
_ADD_EVENTS = {
    is_sqlite: _adding(_TOLD.format(json="" if is_sqlite else "::json", chosen=_NEW))
    for is_sqlite in (True, False)
}
_ADD_ROWS = _adding(_SHOWN)
_PLACE = select(log.c.counted, log.c.head)
_MOVE = log.update().values(counted=bindparam("until", type_=BigInteger()))

HAS_UNCOUNTED: ScalarSelect[bool] = select(log.c.counted < log.c.head).correlate_except(log).scalar_subquery()
"""Whether there are events that have a position, but are not yet in the days of their apps."""


async def add_events(session: WriteSession, limit: int) -> int:
    """Add the next events to the days of their apps, at most `limit`, and return how many.

    On PostgreSQL, the caller holds the lock that numbers events.
    """
    counted, head = tuple((await session.execute(_PLACE)).one())
    until = min(head, counted + limit)
    if counted < until:
        await session.execute(_ADD_EVENTS[session.database.is_sqlite], {"counted": counted, "until": until})
        await session.execute(_MOVE, {"until": until})
    return int(until - counted)


async def add_rows(session: WriteSession, app_id: str) -> None:
    """Add an app's customers and licenses to its days, as far as their rows show what happened to them.

    Use this for rows that were stored without events.
    """
    await session.execute(_ADD_ROWS, {"app": app_id})


@dataclass(frozen=True, slots=True)
class Difference:
    """What is missing in the days of an app: active licenses and customers, from a day on.

    `tier_id` is that of a tier, or `WHOLE_APP`. Negative numbers mean that there are too many.
    """

    app_id: str
    tier_id: str
    day: str
    active: int
    customers: int


# What the days of all apps say about the licenses that are active at the end of today and later, and about
# customers, compared with the rows: how much has to be added on which day. The past is not compared, because
# rows do not show it. Events that wait to be added are added here, so the check works while servers run.
_DIFFERENCES = f"""
WITH {{told}},{_EXPANDED}, days AS (
  SELECT app_id, tier_id, day, active, customers_added - customers_deleted AS customers
  FROM expanded WHERE span = '{DAY}'
  UNION ALL
  SELECT app_id, tier_id, day, active, customers_added - customers_deleted
  FROM app_days WHERE span = '{DAY}'
), counted AS (
  SELECT app_id, tier_id, CASE WHEN expires_at IS NULL THEN '9' ELSE substr(expires_at, 1, 10) END AS until
  FROM licenses WHERE revoked_at IS NULL
  UNION ALL
  SELECT app_id, '{WHOLE_APP}', CASE WHEN expires_at IS NULL THEN '9' ELSE substr(expires_at, 1, 10) END
  FROM licenses WHERE revoked_at IS NULL
), compared AS (
  SELECT app_id, tier_id, CASE WHEN day > :today THEN day ELSE :today END AS day,
    -active AS active, -customers AS customers
  FROM days
  UNION ALL
  SELECT app_id, tier_id, :today, 1, 0 FROM counted WHERE until > :today
  UNION ALL
  SELECT app_id, tier_id, until, -1, 0 FROM counted WHERE until > :today AND until <> '9'
  UNION ALL
  SELECT app_id, '{WHOLE_APP}', :today, 0, 1 FROM customers
)
SELECT compared.app_id, tier_id, day, sum(active) AS active, sum(customers) AS customers
FROM compared JOIN apps ON apps.id = compared.app_id
WHERE apps.account_id IS NOT NULL AND tier_id IS NOT NULL AND {{chosen}}
GROUP BY compared.app_id, tier_id, day
HAVING sum(active) <> 0 OR sum(customers) <> 0
ORDER BY 1, 2, 3
"""  # noqa: S608  (constants)
_WAITING = "(position IS NULL OR position > (SELECT counted FROM log))"


def _comparing(*, is_sqlite: bool, of_app: bool) -> Select[Any]:
    told = _TOLD.format(json="" if is_sqlite else "::json", chosen=_WAITING)
    sql = _DIFFERENCES.format(told=told, chosen="compared.app_id = :app" if of_app else "true")
    texts = [bindparam(name, type_=Text()) for name in ("today", *(["app"] if of_app else []))]
    columns = [column(each.name, PlainText if each.type is str else Integer) for each in fields(Difference)]
    return select(text(sql).bindparams(*texts).columns(*columns).subquery())


_COMPARE = {
    (is_sqlite, of_app): _comparing(is_sqlite=is_sqlite, of_app=of_app)
    for is_sqlite in (True, False)
    for of_app in (True, False)
}
_MONTH_OF = "substr(day, 1, 8) || '01'"
# The rows of months that are not the sums of their days.
_MONTHS_OFF: Select[Any] = select(
    text(
        f"""
    SELECT DISTINCT app_id FROM (
      SELECT app_id, tier_id, {_MONTH_OF} AS day, {", ".join(_COUNTED)} FROM app_days WHERE span = '{DAY}'
      UNION ALL
      SELECT app_id, tier_id, day, {", ".join(f"-{name}" for name in _COUNTED)}
      FROM app_days WHERE span = '{MONTH}'
    ) AS compared
    GROUP BY app_id, tier_id, day HAVING {" OR ".join(f"sum({name}) <> 0" for name in _COUNTED)}
    ORDER BY app_id
    """  # noqa: S608  (constants)
    )
    .columns(column("app_id", PlainText))
    .subquery()
)
_HAS_DAYS = select(app_days.c.day).where(app_days.c.app_id == bindparam("app")).limit(1)
_FORGET_MONTHS = app_days.delete().where(app_days.c.app_id == bindparam("app"), app_days.c.span == MONTH)
_ADD_MONTHS = text(
    f"""
    INSERT INTO app_days (app_id, tier_id, span, day, {", ".join(_COUNTED)})
    SELECT app_id, tier_id, '{MONTH}', {_MONTH_OF}, {", ".join(f"sum({name})" for name in _COUNTED)}
    FROM app_days WHERE app_id = :app AND span = '{DAY}' GROUP BY app_id, tier_id, {_MONTH_OF}
    """  # noqa: S608  (constants)
)
_inserted = insert(app_days).values(parameters_of(app_days, app_days.c.keys()))
_CORRECT = _inserted.on_conflict_do_update(
    index_elements=list(app_days.primary_key),
    set_={name: app_days.c[name] + _inserted.excluded[name] for name in ("active", *_OF_CUSTOMERS)},
)


def _today() -> dict[str, object]:
    return {"today": clock.as_text(clock.now())[:10]}


async def differences(session: ReadSession) -> list[Difference]:
    """Compare the days of all apps with their licenses and customers, in one snapshot."""
    query = _COMPARE[session.database.is_sqlite, False]
    return [Difference(*row) for row in await session.rows(query, _today())]


async def apps_with_wrong_months(session: ReadSession) -> list[str]:
    """Return the ids of the apps whose months are not the sums of their days."""
    return [id for (id,) in await session.rows(_MONTHS_OFF, {})]


async def repair(session: WriteSession, app_id: str) -> None:
    """Correct the days of an app from today on, and the sums of its months.

    The past stays as it is. But if there are no days at all, they are made from rows (`add_rows`). The caller
    has locked the app, and events are not numbered until the transaction ends (`db.log.pause_numbering`).
    """
    if (await session.execute(_HAS_DAYS, {"app": app_id})).first() is None:
        await add_rows(session, app_id)
    query = _COMPARE[session.database.is_sqlite, True]
    found = await session.execute(query, {**_today(), "app": app_id})
    for each in [Difference(*tuple(row)) for row in found]:
        counted = dict.fromkeys(_COUNTED, 0) | {"active": each.active}
        counted |= {"customers_added": max(each.customers, 0), "customers_deleted": max(-each.customers, 0)}
        row = {"app_id": app_id, "tier_id": each.tier_id, "span": DAY, "day": each.day, **counted}
        await session.execute(_CORRECT, row)
    await session.execute(_FORGET_MONTHS, {"app": app_id})
    await session.execute(_ADD_MONTHS, {"app": app_id})


def _rows(row: Row, slots: EntrySlots, names: Collection[str]) -> Select[Any]:
    """Return the query for intervals, oldest first. `resolvers.statistics.intervals` fills the slots."""
    days, first, size, span, tier = slots[1:]
    assert days is not None
    assert first is not None
    assert span is not None
    listed = numbered_texts(slot_parameter(days)).table_valued("value", "place", name="listed")
    interval = listed.c.place if size is None else (listed.c.place - 1) // slot_parameter(size, Integer)
    asked = select(interval.label("interval"), listed.c.value.label("day")).subquery()
    of_app: ColumnElement[str] = literal_column(f"'{WHOLE_APP}'")
    of_tier = of_app if tier is None else _tier_id(row, tier)

    found = app_days.alias()
    source: FromClause = asked.outerjoin(
        found, _is_day(found, row, of_tier, slot_parameter(span), asked.c.day)
    )
    about = found
    if tier is not None and not ABOUT_CUSTOMERS.isdisjoint(names):  # customers have no tier
        about = app_days.alias()
        source = source.outerjoin(about, _is_day(about, row, of_app, slot_parameter(span), asked.c.day))

    def summed(column: ColumnElement[int]) -> ColumnElement[int]:
        return func.coalesce(column if size is None else func.sum(column), 0)

    counted: dict[str, ColumnElement[Any]] = {
        "from": asked.c.day if size is None else func.min(asked.c.day),
        **{name: summed(found.c[name]) for name in ("active", *HAPPENED)},
        **{name: summed(about.c[name]) for name in _OF_CUSTOMERS},
        "customers": summed(about.c.customers_added - about.c.customers_deleted),
    }
    of_interval = select(
        asked.c.interval, *(value.label(name) for name, value in counted.items() if name in names)
    ).select_from(source)
    if size is not None:
        of_interval = of_interval.group_by(asked.c.interval)
    each = of_interval.correlate_except(asked, found, about).subquery()

    columns: dict[str, ColumnElement[Any]] = {name: each.c[name] for name in counted if name in names}
    tables: FromClause = each
    for name, tier_id, change in (
        ("active", of_tier, app_days.c.active),
        ("customers", of_app, app_days.c.customers_added - app_days.c.customers_deleted),
    ):
        if name in names:  # a running sum
            before = _before(row, tier_id, first, change)
            since = func.sum(each.c[name]).over(order_by=each.c.interval, rows=(None, 0))
            columns[name] = (before.c.sum + since).label(name)
            tables = before.join(tables, literal_column("true"))
    return select(each.c.interval, *columns.values()).select_from(tables).order_by(each.c.interval)


def _is_day(
    days: FromClause, row: Row, tier_id: Any, span: ColumnElement[str], day: ColumnElement[str]
) -> ColumnElement[bool]:
    return and_(days.c.app_id == row["id"], days.c.tier_id == tier_id, days.c.span == span, days.c.day == day)


def _before(row: Row, tier_id: Any, first: Slot, number: ColumnElement[int]) -> FromClause:
    """Return a query for the sum of a number over all days before the first one, in the column `sum`.

    These are the earlier months, and the days of the same month.
    """
    first_day = slot_parameter(first)
    month = func.substr(first_day, literal_column("1"), literal_column("8")).op("||")(literal_column("'01'"))
    day = app_days.c.day
    earlier = [
        select(number.label("number"))
        .where(
            app_days.c.app_id == row["id"],
            app_days.c.tier_id == tier_id,
            app_days.c.span == literal_column(f"'{span}'"),
            *conditions,
        )
        .correlate_except(app_days)
        for span, conditions in ((MONTH, [day < month]), (DAY, [day >= month, day < first_day]))
    ]
    numbers = union_all(*earlier).subquery()
    return select(func.coalesce(func.sum(numbers.c.number), 0).label("sum")).subquery()


def _tier_id(row: Row, slug: Slot) -> ScalarSelect[str]:
    tiers = metadata.tables["tiers"].alias()  # its module imports that of apps, which imports this one
    return (
        select(tiers.c.id)
        .where(tiers.c.app_id == row["id"], tiers.c.slug == slot_parameter(slug))
        .correlate_except(tiers)
        .scalar_subquery()
    )


STATISTICS = Entries(
    attributes={
        "from": Kind.PLAIN,
        **dict.fromkeys(("active", *HAPPENED, *_OF_CUSTOMERS, "customers"), Kind.INTEGER),
    },
    rows=_rows,
    most=MOST_INTERVALS,
    about=dict.fromkeys((*_OF_CUSTOMERS, "customers"), "Customer"),
)
"""The intervals of an app, oldest first."""
