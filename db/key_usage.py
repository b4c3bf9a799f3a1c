"""Fields of a key that show its usage: when it was last used, and the sums of each day."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    Text,
    case,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.shaping.nouns import NOW, Entries, Kind, Row
from db.shaping.selection import EntrySlots
from db.shaping.slots import slot_parameter
from db.usage import usage

MOST_DAYS = 90
"""For how many days usage can be read. `resolvers.usage` keeps it as long."""


class first_of_days(FunctionElement[str]):  # noqa: N801
    """`first_of_days(moment, days)`: the first day of the `days` days that end with the day of `moment`.

    The result is a text such as 2026-01-23.
    """

    name = "first_of_days"
    type = Text()
    inherit_cache = False


@compiles(first_of_days, "sqlite")
def _sqlite_first(element: first_of_days, compiler: SQLCompiler, **kw: Any) -> str:
    moment, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"date({moment}, (1 - {days}) || ' days')"


@compiles(first_of_days, "postgresql")
def _postgresql_first(element: first_of_days, compiler: SQLCompiler, **kw: Any) -> str:
    moment, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"((substr({moment}, 1, 10)::date + 1 - {days})::text)"


def last_used_at(row: Row) -> ScalarSelect[Any]:
    """Return SQL for the time of a key's last request."""
    newest = select(usage.c.last_at).where(usage.c.subject == row["id"]).order_by(usage.c.minute.desc())
    return newest.limit(1).correlate_except(usage).scalar_subquery()


def _of_days(row: Row, slots: EntrySlots, _names: Collection[str]) -> Select[Any]:
    days = slot_parameter(slots[0], Integer)
    # The text of a time begins with its day. If the minutes of a day were added up to one row, the `minute`
    # of this row is the beginning of the day.
    day = func.substr(usage.c.minute, literal_column("1"), literal_column("10")).label("day")
    sums = {name: _sum(name) for name in ("requests", "points", "refused")}
    # Points that were used on one day may be refunded on the next, so the sum of a day may be negative.
    sums["points"] = case((sums["points"] < 0, 0), else_=sums["points"])
    return (
        select(day, *(total.label(name) for name, total in sums.items()))
        .where(usage.c.subject == row["id"], usage.c.minute >= first_of_days(NOW, days))
        .group_by(day)
        .order_by(day)
    )


def _sum(name: str) -> ColumnElement[int]:
    return cast(func.sum(usage.c[name]), BigInteger)


USAGE = Entries(
    attributes={
        "day": Kind.PLAIN,
        "requests": Kind.INTEGER,
        "points": Kind.INTEGER,
        "refused": Kind.INTEGER,
    },
    rows=_of_days,
    argument="days",
    most=MOST_DAYS,
)
"""The days on which a key was used, oldest first."""
