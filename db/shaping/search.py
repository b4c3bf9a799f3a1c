"""The search: finds the rows of a connection if a filter has an index over the rows of all accounts.

Such an index (`Condition.index`) has no order. If all matches are counted anyway, they are found once
(`all_matches`), and the page is read from these matches. Otherwise a page first checks the `WALK_LIMIT` rows
next to its place, and uses the index only if these rows do not fill the page (`Search`). Common values are
found by the walk and rare values by the index, and both ways are fast.
"""

from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    and_,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)

from db.shaping.nouns import Ordering
from db.shaping.selection import After
from db.shaping.walk import Walk, compared, ranges_beyond

WALK_LIMIT: ColumnElement[int] = literal_column("1000")
"""How many rows a page walks over before it uses the filters' own indexes."""

SEARCH_DEPTH = 4
"""The greatest depth at which a page is searched.

SQLite's parser cannot handle a search at greater depths.
"""


def is_searched(walk: Walk, depth: int) -> bool:
    """Return whether the filters' own indexes are used to find a connection's rows."""
    has_few = walk.parent is not None and walk.parent[0].few
    return depth <= SEARCH_DEPTH and not has_few and any(condition.index for condition, _ in walk.filters)


def all_matches(walk: Walk, needed: FromClause | None = None) -> Select[Any]:
    """Return all rows that the filters' own indexes find, even if they are outside the connection.

    If `needed` is given, each row is returned with the columns of `needed`. If `needed` has no row, no rows
    are found.
    """
    row = walk.noun.table.alias()
    owner = row.c.keys() if walk.parent is None else [walk.parent[0].column]
    found = select(*(_value(walk, row, name) for name in sorted({*walk.columns, *owner})))
    conditions = [condition.index(row.c, value) for condition, value in walk.filters if condition.index]
    if needed is None:
        return found.where(*conditions)
    return found.add_columns(*needed.c).select_from(needed.outerjoin(row, and_(*conditions)))


def _value(walk: Walk, row: FromClause, name: str) -> ColumnElement[Any]:
    """Return a column of a row. If the column is beside the noun's table, read it by the row's id."""
    return row.c[name] if name in row.c else walk.noun.attributes[name].expression(row.c).label(name)


class Search:
    """Reads the rows of one connection, first with a short walk, and then with the filters' own indexes."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def rows(
        self,
        order: Ordering,
        after: After | None,
        *,
        later: bool,
        inclusive: bool,
        most: ColumnElement[int],
        ordered: bool = True,
    ) -> CompoundSelect[Any]:
        """Return matches on one side of a place, unsorted.

        If `ordered` is true, the nearest `most` matches are among the returned rows. If not, the returned
        rows include any `most` matches.
        """
        ascending = self._walk.ascends(later)
        row = self._walk.source()

        def beyond(row: FromClause) -> list[list[ColumnElement[bool]]]:
            return ranges_beyond(order, row, after, ascending=ascending, later=later, inclusive=inclusive)

        # All CTEs are in one WITH. If each CTE contained the next, the nesting would be too deep for SQLite's
        # parser (see `db.shaping.json`).
        found: list[CTE] = []
        ctes: list[list[CTE]] = []
        for number, range in enumerate(beyond(row)):
            nearest = self._walk.in_range(order, row, range, ascending, indexed=False)
            walked = self._walked(nearest, most)
            needed, steps = _rest_if_needed(order, row, nearest, walked, most)
            match = self._matches_of(needed)
            rest = self._rest(order, match, beyond(match)[number], ascending, most, ordered=ordered)
            found += [walked, rest]
            ctes.append([walked, *steps, match, rest])
        rows = union_all(*(select(*cte.c) for cte in found))
        for group in ctes:
            rows = rows.add_cte(*group, nest_here=True)
        return rows

    def _walked(self, nearest: Select[Any], most: ColumnElement[int]) -> CTE:
        """Return the matches among the first `WALK_LIMIT` rows of a range."""
        looked_at = nearest.limit(WALK_LIMIT).subquery()
        passing = select(*looked_at.c).where(*self._walk.passes(looked_at, indexed=True)).limit(most)
        return passing.cte(nesting=True).prefix_with("MATERIALIZED")

    def _matches_of(self, needed: CTE) -> CTE:
        """Return all matches of the filters' own indexes if `needed` has a row."""
        # If `needed` is empty, the join does not read the index at all. OFFSET keeps both databases from
        # merging later conditions with the conditions for the index.
        return all_matches(self._walk, needed).offset(literal_column("0")).cte(nesting=True)

    def _rest(
        self,
        order: Ordering,
        match: CTE,
        range: list[ColumnElement[bool]],
        ascending: bool,
        most: ColumnElement[int],
        *,
        ordered: bool,
    ) -> CTE:
        """Return the matches in the part of a range that was not walked."""

        def place(prefix: str) -> Any:
            # In a range, either all values are null or no value is null. The "" that replaces null is
            # therefore never compared with a value.
            return tuple_(*(func.coalesce(match.c[f"{prefix}{name}"], "") for name in order.keys))

        rest = self._walk.in_range(order, match, range, ascending)
        rest = rest.where(compared(place(""), place("start_"), ascending, inclusive=True)).limit(most)
        if not ordered:
            rest = rest.order_by(None)
        return rest.cte(nesting=True)


def _rest_if_needed(
    order: Ordering, row: FromClause, nearest: Select[Any], walked: CTE, most: ColumnElement[int]
) -> tuple[CTE, list[CTE]]:
    """Return a CTE with the first row after the walked part, and a list of all CTEs to declare.

    The returned CTE is also in the list. It has no row if the walk reached the end or found enough matches.
    """
    start = nearest.with_only_columns(*(row.c[name].label(f"start_{name}") for name in order.keys))
    start_rows = start.limit(1).offset(WALK_LIMIT).cte(nesting=True)
    lacking = select(func.count()).select_from(walked.alias()).scalar_subquery() < most
    needed = select(*start_rows.c).where(lacking).cte(nesting=True)
    return needed, [start_rows, needed]
