"""Standing: how many of an app's licenses are active, expired and revoked at this moment.

Triggers (migration 0021) keep a total of how many licenses expire on each day, as they do for other totals.
So the standing is exact at every commit. The licenses that expire on one day, such as today, are found by
their index. All others are only added up.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Select,
    SmallInteger,
    Table,
    Text,
    and_,
    bindparam,
    case,
    column,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.engine import ReadSession, WriteSession
from db.metadata import metadata
from db.shaping.nouns import NOW, Breakdown, Figures, Row, StoredTotal
from db.types import PlainText

REVOKED, NEVER = "revoked", "never"
"""Values of `app_expiries.day` besides days: the license is revoked, or never expires. They sort last."""

NO_TIER = ""
"""The `app_expiries.tier_id` of licenses without a tier."""

STANDING_COST = 10
TYPICAL_TIERS = 5

# How many of an app's licenses expire on each day. `unseen` are those of them that were never verified.
# As in `app_counters`, a total can be spread over several shards.
app_expiries = Table(
    "app_expiries",
    metadata,
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("day", PlainText, primary_key=True),
    Column("tier_id", PlainText, primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("licenses", BigInteger, nullable=False),
    Column("unseen", BigInteger, nullable=False),
)


class days_later(FunctionElement[str]):  # noqa: N801
    """`days_later(moment, days)`: the time so many days after a time, as a text like all stored times."""

    name = "days_later"
    type = Text()
    inherit_cache = True


@compiles(days_later, "sqlite")
def _sqlite_later(element: days_later, compiler: SQLCompiler, **kw: Any) -> str:
    moment, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strftime('%Y-%m-%dT%H:%M:%SZ', {moment}, '+{days} days')"


@compiles(days_later, "postgresql")
def _postgresql_later(element: days_later, compiler: SQLCompiler, **kw: Any) -> str:
    moment, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((substr({moment}, 1, 10)::date + {days})::text || substr({moment}, 11))"


def _day(moment: ColumnElement[Any]) -> ColumnElement[str]:
    return func.substr(moment, literal_column("1"), literal_column("10"), type_=Text())


_ZERO: ColumnElement[int] = literal_column("0")
_ONE: ColumnElement[int] = literal_column("1")
_NO_TIER: ColumnElement[str] = literal_column(f"'{NO_TIER}'")
_REVOKED: ColumnElement[str] = literal_column(f"'{REVOKED}'")
_TODAY = _day(NOW)
_END_OF_TODAY = _TODAY.op("||")(literal_column("'T24'"))
_SOON, _LATER = (days_later(NOW, literal_column(days)) for days in ("7", "30"))


def _expiring(row: Row, after: ColumnElement[Any], until: ColumnElement[Any]) -> tuple[Any, Any]:
    """Return the table of licenses, and the condition of those that expire in a period if nothing changes."""
    licenses = metadata.tables["licenses"].alias()  # its module imports that of apps, which imports this one
    return licenses, and_(
        licenses.c.app_id == row["id"],
        licenses.c.expires_at > after,
        licenses.c.expires_at <= until,
        licenses.c.revoked_at.is_(None),
    )


def _never_verified(licenses: FromClause) -> ColumnElement[bool]:
    seen = metadata.tables["license_seen"].alias()
    return exists().where(seen.c.license_id == licenses.c.id, seen.c.at.is_(None)).correlate_except(seen)


def _sum(value: Any) -> ColumnElement[int]:
    return func.coalesce(func.sum(value), _ZERO)


def _row(row: Row, licenses: StoredTotal) -> Select[Any]:
    """Return the query for all numbers. `licenses` is the number of all licenses of the app."""
    days = app_expiries.alias()
    is_revoked = days.c.day == _REVOKED
    today, expires_today = _expiring(row, NOW, _END_OF_TODAY)
    soon, expires_soon = _expiring(row, _day(_SOON), _SOON)
    later, expires_later = _expiring(row, _day(_LATER), _LATER)
    parts = union_all(
        # Totals of licenses that will not expire today.
        select(
            case((is_revoked, _ZERO), else_=days.c.licenses).label("active"),
            case((is_revoked, days.c.licenses), else_=_ZERO).label("revoked"),
            case((days.c.day < _day(_SOON), days.c.licenses), else_=_ZERO).label("expiring_in7_days"),
            case((days.c.day < _day(_LATER), days.c.licenses), else_=_ZERO).label("expiring_in30_days"),
            case((is_revoked, _ZERO), else_=days.c.unseen).label("never_verified"),
        )
        .where(days.c.app_id == row["id"], days.c.day > _TODAY)
        .correlate_except(days),
        # Single licenses that will expire today, and on the last of the days.
        select(_ONE, _ZERO, _ONE, _ONE, case((_never_verified(today), _ONE), else_=_ZERO))
        .where(expires_today)
        .correlate_except(today),
        select(_ZERO, _ZERO, _ONE, _ZERO, _ZERO).where(expires_soon).correlate_except(soon),
        select(_ZERO, _ZERO, _ZERO, _ONE, _ZERO).where(expires_later).correlate_except(later),
    ).subquery()
    sums = [_sum(column).label(column.name) for column in parts.c]
    expired = licenses.expression(row) - _sum(parts.c.active) - _sum(parts.c.revoked)
    numbers: list[Any] = [*sums, expired.label("expired")]
    return select(*numbers).select_from(parts)


def _tiers(row: Row) -> Select[Any]:
    """Return the query for the active licenses of each tier, in the order of tiers. No tier comes last."""
    tiers = metadata.tables["tiers"].alias()
    days, listed = app_expiries.alias(), metadata.tables["tiers"].alias()
    today, expires_today = _expiring(row, NOW, _END_OF_TODAY)
    parts = union_all(
        select(days.c.tier_id.label("tier_id"), days.c.licenses.label("active"))
        .where(days.c.app_id == row["id"], days.c.day > _TODAY, days.c.day < _REVOKED)
        .correlate_except(days),
        select(func.coalesce(today.c.tier_id, _NO_TIER), _ONE).where(expires_today).correlate_except(today),
        select(listed.c.id, _ZERO).where(listed.c.app_id == row["id"]).correlate_except(listed),
    ).subquery()
    active = _sum(parts.c.active)
    return (
        select(tiers.c.id.label("id"), active.label("active"))
        .select_from(parts.outerjoin(tiers, tiers.c.id == parts.c.tier_id))
        .group_by(parts.c.tier_id, tiers.c.id, tiers.c.rank)
        .having(or_(tiers.c.id.is_not(None), active > _ZERO))
        .order_by(tiers.c.rank.is_(None), tiers.c.rank)
    )


def figures(licenses: StoredTotal) -> Figures:
    """Return the field `standing`, given how the number of an app's licenses is read."""
    numbers: Sequence[str] = (
        *("active", "expired", "revoked"),
        *("expiring_in7_days", "expiring_in30_days", "never_verified"),
    )
    return Figures(
        numbers=tuple(numbers),
        row=lambda row: _row(row, licenses),
        breakdowns={"by_tier": Breakdown("Tier", "tier", ("active",), _tiers, TYPICAL_TIERS)},
        cost=STANDING_COST,
    )


_COUNTED = f"""
SELECT licenses.app_id, coalesce(licenses.tier_id, '{NO_TIER}') AS tier_id, 1 AS licenses,
  CASE WHEN revoked_at IS NOT NULL THEN '{REVOKED}' WHEN expires_at IS NULL THEN '{NEVER}'
    ELSE substr(expires_at, 1, 10) END AS day,
  CASE WHEN at IS NULL THEN 1 ELSE 0 END AS unseen
FROM licenses LEFT JOIN license_seen ON license_id = licenses.id
"""  # noqa: S608  (constants)
_COMPARED = f"""
SELECT DISTINCT app_id FROM (
  SELECT app_id, day, tier_id, licenses, unseen FROM app_expiries
  UNION ALL
  SELECT app_id, day, tier_id, -licenses, -unseen FROM ({_COUNTED}) AS counted
) AS compared
GROUP BY app_id, day, tier_id HAVING sum(licenses) <> 0 OR sum(unseen) <> 0
ORDER BY app_id
"""  # noqa: S608  (constants)
_WRONG_APPS = select(text(_COMPARED).columns(column("app_id", PlainText)).subquery())
_FORGET = app_expiries.delete().where(app_expiries.c.app_id == bindparam("app"))
_COUNT = text(
    f"""
    INSERT INTO app_expiries (app_id, day, tier_id, shard, licenses, unseen)
    SELECT app_id, day, tier_id, 0, sum(licenses), sum(unseen) FROM ({_COUNTED}) AS counted
    WHERE app_id = :app GROUP BY app_id, day, tier_id
    """  # noqa: S608  (constants)
)
_STOP_NOTES = text("LOCK TABLE license_seen IN SHARE MODE")


async def apps_with_wrong_totals(session: ReadSession) -> list[str]:
    """Return the ids of the apps whose totals in `app_expiries` are wrong, all read in one snapshot."""
    return [id for (id,) in await session.rows(_WRONG_APPS, {})]


async def recount(session: WriteSession, app_id: str) -> None:
    """Count an app's licenses again. The caller has locked the app. Verifications are not noted meanwhile."""
    if not session.database.is_sqlite:
        await session.execute(_STOP_NOTES)
    await session.execute(_FORGET, {"app": app_id})
    await session.execute(_COUNT, {"app": app_id})
