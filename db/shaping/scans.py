"""What reading may go through beyond what it answers: all rows of whoever a connection belongs to.

A filter is asked of one row after the other until a page is full, and a total counts all that pass: either
may read every row there is, however little it answers. What that costs is said by each filter
(`Condition.scan`), in objects as `schema.cost` counts them: how many could be answered in the time that it
takes to go through the rows of 100,000 customers, who have 300,000 licenses (`bench/worst.py`).
"""

from collections.abc import Iterable
from dataclasses import replace

from db.shaping.nouns import INDEX_SCAN, Noun, ToMany
from db.shaping.selection import AnyPart, Connection, Group, Part, Total, Typename, parts_of

FEW = 100
"""How many times fewer rows there are where a relation has but a few."""


def weighed(connection: Connection, noun: Noun, relation: ToMany | None) -> Connection:
    """A connection with what finding its page and counting its totals may cost.

    `relation` is what it is of its parent; None: it is over the whole account.
    """
    filters = [noun.filters[chosen.name] for chosen in connection.page.filters]
    costs = [condition.scan for condition in filters] or [0]
    has_few = relation is None or relation.few
    # Each filter is asked of each row.
    filtered = sum(costs) // (FEW if has_few else 1) if min(costs) else 0
    is_kept = has_few or (relation is not None and relation.total is not None)
    counted = filtered if filters or is_kept else INDEX_SCAN
    # Where an index finds all matches to count them, the page and the totals are cut from those.
    is_gathered = any(condition.index for condition in filters) and any(
        isinstance(part, Total) and part.at_most is None for part in parts_of(connection)
    )

    def weigh(part: Part) -> Part:
        match part:
            case Total():
                if is_gathered:
                    return replace(part, scan=INDEX_SCAN)
                return replace(part, scan=counted if part.at_most is None else filtered)
            case Group(parts=parts):
                return replace(part, parts=tuple(map(weigh, parts)))
            case _:
                return part

    finds_rows = is_gathered or any(not isinstance(part, Typename | Total) for part in connection.parts)
    return replace(connection, parts=tuple(map(weigh, connection.parts)), scan=filtered if finds_rows else 0)


def is_of_all(scan: int) -> bool:
    """Whether it is the cost of going through all rows of an app or a tier, and not of a few."""
    return scan >= INDEX_SCAN


def may_scan(parts: Iterable[AnyPart]) -> bool:
    """Whether any of these parts may go through all rows of an app or a tier."""
    return any(is_of_all(part.scan) for part in parts if isinstance(part, Connection | Total))
