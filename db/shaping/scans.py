"""The cost of scans: a scan visits rows that it does not return.

A filter is checked on one row after another until the page is full. A total counts every row that passes the
filters. Both may visit all rows of the connection's app or tier, even if few rows are returned. Each filter
declares its cost (`Condition.scan`). The unit is that of costs in GraphQL. The figures were measured with
100,000 customers and 300,000 licenses (`bench/worst.py`): a scan of all rows costs as much as the objects
that can be returned in the same time.
"""

from collections.abc import Iterable
from dataclasses import replace

from db.shaping.nouns import INDEX_SCAN, SEARCH_SCAN, Noun, ToMany
from db.shaping.selection import (
    AnyPart,
    Connection,
    Group,
    Part,
    SearchRead,
    Sought,
    Total,
    Typename,
    parts_of,
)

SMALL_RELATION_DIVISOR = 100
"""How many times cheaper a scan is if its relation has few rows (`ToMany.few`)."""


def with_scan_costs(connection: Connection, noun: Noun, relation: ToMany | None) -> Connection:
    """Return the connection with the `scan` costs of the connection and of its totals.

    `relation` is the parent's relation, or None for a connection over the whole account.
    """
    filters = [noun.filters[chosen.name] for chosen in connection.page.filters]
    costs = [condition.scan for condition in filters] or [0]
    has_few = not noun.numerous if relation is None else relation.few
    # All filters are checked on each row, unless one of the filters finds its rows directly.
    filtered = sum(costs) // (SMALL_RELATION_DIVISOR if has_few else 1) if min(costs) else 0
    is_count_cheap = has_few or (relation is not None and relation.total is not None)
    counted = filtered if filters or is_count_cheap else INDEX_SCAN
    # If all matches are counted, a filter's own index finds all of them, and the page and the totals are read
    # from these matches.
    finds_all_matches = any(condition.index for condition in filters) and any(
        isinstance(part, Total) and part.at_most is None for part in parts_of(connection)
    )

    def with_cost(part: Part) -> Part:
        match part:
            case Total():
                if finds_all_matches:
                    return replace(part, scan=INDEX_SCAN)
                return replace(part, scan=counted if part.at_most is None else filtered)
            case Group(parts=parts):
                return replace(part, parts=tuple(map(with_cost, parts)))
            case _:
                return part

    finds_rows = finds_all_matches or any(not isinstance(part, Typename | Total) for part in connection.parts)
    parts = tuple(map(with_cost, connection.parts))
    return replace(connection, parts=parts, scan=filtered if finds_rows else 0)


def scan_of_search(sought: Sought | None) -> int:
    """Return the cost of searching emails and names for the words of a search.

    The first word costs as much as a filter that searches texts. Further words only cost a part of that: once
    there are enough hits, no more words are searched for, and otherwise each of them finds few rows.
    """
    words = 0 if sought is None else len(sought.words)
    return SEARCH_SCAN + (words - 1) * INDEX_SCAN if words else 0


def is_full_scan(scan: int) -> bool:
    """Return whether a scan may visit all rows of an app or a tier, and not only a relation with few rows."""
    return scan >= INDEX_SCAN


def may_scan(parts: Iterable[AnyPart]) -> bool:
    """Return whether any of these parts may visit all rows of an app or a tier."""
    return any(is_full_scan(part.scan) for part in parts if isinstance(part, Connection | Total | SearchRead))
