"""Statistics of an app: what happened in each interval of days, and how many licenses it then had.

Intervals are whole days, weeks or months in UTC. Weeks begin on Monday (ISO 8601).
"""

from datetime import date
from enum import StrEnum

import orjson

from db.shaping.selection import EntrySlots, Values
from db.statistics import DAY, MONTH, MOST_INTERVALS
from resolvers.errors import BadUserInput
from resolvers.paging import check_text

_LAST = date.max.toordinal()


class Interval(StrEnum):
    """The length of the intervals."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def intervals(first: date, last: date, every: Interval, tier_slug: str | None, values: Values) -> EntrySlots:
    """Check which intervals to read, and put them into slots. Raises BadUserInput.

    The intervals are those from the one that contains the day `first` to the one that contains `last`.
    """
    if first > last:
        raise BadUserInput("from", "must not be after to")
    if tier_slug:
        check_text("tier_slug", tier_slug)
    begin, days_each = first, 1
    match every:
        case Interval.DAY:
            count = last.toordinal() - first.toordinal() + 1
        case Interval.WEEK:
            begin, days_each = date.fromordinal(first.toordinal() - first.weekday()), 7
            count = (last.toordinal() - begin.toordinal()) // 7 + 1
        case Interval.MONTH:
            begin = first.replace(day=1)
            count = (last.year - first.year) * 12 + last.month - first.month + 1
    if count > MOST_INTERVALS:
        raise BadUserInput("to", f"selects more than {MOST_INTERVALS} intervals")
    if every is Interval.MONTH:
        days = _months(begin, count)
    else:
        ordinals = range(begin.toordinal(), min(begin.toordinal() + count * days_each, _LAST + 1))
        days = [date.fromordinal(each).isoformat() for each in ordinals]
    return (
        values.slot(count),
        values.slot(orjson.dumps(days).decode()),
        values.slot(days[0]),
        values.slot(days_each) if days_each > 1 else None,
        values.slot(MONTH if every is Interval.MONTH else DAY),
        values.slot(tier_slug) if tier_slug else None,
    )


def assumed(count: int, values: Values) -> EntrySlots:
    """Return the slots of a number of intervals, to find out what they cost."""
    return (values.slot(count), *(values.slot(None) for _ in range(5)))


def _months(begin: date, count: int) -> list[str]:
    """Return the first days of months."""
    numbers = range(begin.year * 12 + begin.month - 1, begin.year * 12 + begin.month - 1 + count)
    return [date(number // 12, number % 12 + 1, 1).isoformat() for number in numbers]
