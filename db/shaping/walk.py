"""The walk: reads the rows of a connection along the index of an order.

Paging is by keyset: a condition on the order's column and the id determines where a page starts. A page
therefore does not shift while rows are added or removed. Only REST's numbered pages start after a number of
skipped rows (`Page.offset`). Nulls come last in ascending and in descending order. The id breaks ties and is
sorted in the same direction as the column, so one index serves both directions.

No index has nulls last in both directions. An order with nulls is therefore read as two ranges of its one
index: the rows that have a value, and the rows that have none (`ranges_beyond`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    Text,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.shaping.nouns import Beside, Condition, Noun, Ordering, Row, ToMany
from db.shaping.selection import After, Page, Slot
from db.shaping.slots import slot_parameter

Parent: TypeAlias = tuple[ToMany, FromClause]
"""The parent of a connection: the relation from the parent to the connection's rows, and the parent's row."""

_ACCOUNT, _APP = "account_id", "app_id"


class Walk:
    """Reads the rows of one connection along the index of an order.

    `parent` is None for a connection over the whole account. `columns` are the columns to select. If
    `matches` is given, rows are read from this CTE instead of the noun's table.
    """

    def __init__(
        self,
        noun: Noun,
        page: Page,
        parent: Parent | None,
        columns: Sequence[str],
        matches: FromClause | None = None,
    ) -> None:
        self.noun = noun
        self.page = page
        self.parent = parent
        self.order = order_of(noun, page)
        self.columns = columns
        self.filters: list[tuple[Condition, BindParameter[Any]]] = [
            (noun.filters[chosen.name], slot_parameter(chosen.slot)) for chosen in page.filters
        ]
        given = {chosen.name for chosen in page.filters}
        self._otherwise = [
            condition.otherwise
            for name, condition in noun.filters.items()
            if condition.otherwise is not None and name not in given
        ]
        self._matches = matches

    def source(self) -> FromClause:
        """Return a new alias of the table or CTE from which rows are read."""
        if self._matches is not None:
            return self._matches.alias()
        if self.order.beside is not None:
            return _joined(self.noun, self.order, self.order.beside)
        return self.noun.table.alias()

    def rows(
        self, order: Ordering, after: After | None, *, later: bool, inclusive: bool, most: ColumnElement[int]
    ) -> Select[Any] | CompoundSelect[Any]:
        """Return the rows on one side of a place: at least the nearest `most` rows.

        The order of the rows is guaranteed only if the result is a single SELECT.
        """
        ascending = self.ascends(later)
        row = self.source()
        ranges = ranges_beyond(order, row, after, ascending=ascending, later=later, inclusive=inclusive)
        walks = [
            self.in_range(order, row, range, ascending, owner=owner).limit(most)
            for range in ranges
            for owner in self._owners
        ]
        if len(walks) == 1:
            return walks[0]
        return union_all(*(select(*walk.subquery().c) for walk in walks))

    def in_range(
        self,
        order: Ordering,
        row: FromClause,
        range: Sequence[ColumnElement[bool]],
        ascending: bool,
        *,
        indexed: bool | None = None,
        owner: str | None = None,
    ) -> Select[Any]:
        """Return the connection's rows in one range of the order's index, sorted.

        `indexed` has the same meaning as in `passes`. `owner` is the column with the parent's id, if not any
        column with it counts.
        """
        walk = select(*(row.c[name] for name in self.columns)).where(
            *self._owned(row, owner), *range, *self.passes(row, indexed=indexed)
        )
        if self.page.offset is not None:
            walk = walk.where(self._from_offset(self.page.offset, row))
        # A range never contains both nulls and values, so this order is the index's own order or its reverse.
        keys = [row.c[name] for name in order.keys]
        walk = walk.order_by(*(key.asc() if ascending else key.desc() for key in keys))
        return self.correlated(walk)

    def conditions(self, row: FromClause) -> list[ColumnElement[bool]]:
        """Return the conditions for a row to be in the connection: its parent or account, and all filters."""
        return [*self._owned(row), *self.passes(row)]

    def passes(self, row: FromClause, *, indexed: bool | None = None) -> list[ColumnElement[bool]]:
        """Return the conditions of the connection's filters.

        `indexed` selects the filters that have an index of their own (True), the filters that have none
        (False), or all filters (None). Unless it is True, the conditions for filters that are not given
        (`Condition.otherwise`) are included.
        """
        columns = self._with_known_app(row)
        has_direct = any(condition.finds_few for condition, _ in self.filters)
        found = [
            condition.sql(
                columns
                if condition.finds_few or not has_direct
                else _unindexed_in(columns, condition.columns),
                value,
            )
            for condition, value in self.filters
            if indexed is None or indexed == (condition.index is not None)
        ]
        return found if indexed else [*found, *(otherwise(row.c) for otherwise in self._otherwise)]

    def ascends(self, later: bool) -> bool:
        """Return whether the order ascends when rows are read toward later rows (`later`) or earlier rows."""
        return later != self.page.descending

    def order_by(self, row: Row, *, reverse: bool) -> list[ColumnElement[Any]]:
        """Return the expressions of ORDER BY for the connection's order, or for its reverse."""
        descending = self.page.descending != reverse
        keys = [row[name].desc() if descending else row[name].asc() for name in self.order.keys]
        if self.order.nullable:
            keys[0] = keys[0].nulls_first() if reverse else keys[0].nulls_last()
        return keys

    def correlated(self, statement: Select[Any]) -> Select[Any]:
        """Return the statement, correlated to the parent's row if there is a parent."""
        return statement if self.parent is None else statement.correlate(self.parent[1])

    def _from_offset(self, offset: Slot, row: FromClause) -> ColumnElement[bool]:
        """Return the condition for the rows that follow the first `offset` rows.

        A walk along the order's index finds the first row after the offset.
        """
        passed = self.source()
        keys = self.order.keys
        walk = (
            select(*(passed.c[name] for name in keys))
            .where(*self.conditions(passed))
            .order_by(*self.order_by(passed.c, reverse=False))
        )
        start = self.correlated(walk.limit(1).offset(slot_parameter(offset, Integer)))
        here = row.c[keys[0]] if len(keys) == 1 else tuple_(*(row.c[name] for name in keys))
        return compared(here, start.scalar_subquery(), not self.page.descending, inclusive=True)

    @property
    def _owners(self) -> list[str | None]:
        """The columns of the parent's id, each of which has an index of its own."""
        if self.parent is None or self.parent[0].other_column is None:
            return [None]
        return [self.parent[0].column, self.parent[0].other_column]

    def _owned(self, row: FromClause, owner: str | None = None) -> list[ColumnElement[bool]]:
        """Return the conditions for a row to be in the connection if there are no filters."""
        owners = self._owners if owner is None else [owner]
        found = [or_(*(self._is_owned(row, each) for each in owners))]
        if self.parent is not None and self.noun.visible is not None:
            found.append(self.noun.visible(row.c))
        if self.order.numbers:
            found.append(row.c[self.order.keys[0]].is_not(None))
        return found

    def _is_owned(self, row: FromClause, owner: str | None) -> ColumnElement[bool]:
        is_selective = any(condition.selective for condition, _ in self.filters)
        if self.parent is None:
            is_searched = is_selective and self.noun.numerous
            return self.noun.owned(_unindexed_in(row.c, [_ACCOUNT]) if is_searched else row.c)
        relation, parent = self.parent
        name = owner or relation.column
        column = row.c.get(_copied(name), row.c[name])
        return (unindexed(column) if is_selective and not relation.few else column) == parent.c["id"]

    def _with_known_app(self, row: FromClause) -> Row:
        """Return a row's columns.

        If the parent is an app, the parent's id replaces the row's `app_id`, because the parent's id is known
        beforehand.
        """
        if self.parent is None or self.parent[0].column != _APP:
            return row.c
        return {**row.c, _APP: self.parent[1].c["id"]}


def order_of(noun: Noun, page: Page) -> Ordering:
    """Return the order of a page. It has no nulls if a filter excludes them, and is then a single range."""
    order = noun.orders[page.order]
    if order.nullable and any(noun.filters[each.name].without_null == order.column for each in page.filters):
        return replace(order, nullable=False)
    return order


def _joined(noun: Noun, order: Ordering, beside: Beside) -> FromClause:
    """Return the rows of a noun, joined with the table beside it.

    The id and the order's column come from that table, so that its index sorts the rows. Its copies of the
    noun's columns have names of their own (`_copied`). All other columns come from the noun's table.
    """
    assert order.column is not None
    row, other = noun.table.alias(), beside.table.alias()
    columns = {**row.c, "id": other.c[beside.id], order.column: other.c[beside.column]}
    columns |= {_copied(column.name): column for column in other.c if column.name in row.c}
    is_same = row.c["id"] == other.c[beside.id]
    return select(*(column.label(name) for name, column in columns.items())).where(is_same).subquery()


def _copied(name: str) -> str:
    return f"copied_{name}"


def ranges_beyond(
    order: Ordering, row: FromClause, after: After | None, *, ascending: bool, later: bool, inclusive: bool
) -> list[list[ColumnElement[bool]]]:
    """Return the conditions for the rows on one side of a place, as ranges of the order's index.

    If `after` is None, the ranges contain all rows. Each range is a list of conditions that a single index
    range scan can answer. In a range, the order's column is null either in every row or in none. `ascending`
    is the direction in the index. `later` is true for the side that comes later in the connection, where
    nulls come last. If `inclusive` is true, a row at the place itself is in one of the ranges.
    """
    id = row.c["id"]
    if order.only_column is not None:
        return [[] if after is None else [_beyond(order, row, after, ascending, inclusive)]]
    assert order.column is not None
    value = row.c[order.column]
    valued, null = value.is_not(None), value.is_(None)
    if after is None:
        return [[valued], [null]] if order.nullable else [[]]
    assert after.id is not None
    id_there = slot_parameter(after.id)
    if after.null:
        tied = [null, compared(id, id_there, ascending, inclusive)]
        return [tied] if later else [[valued], tied]
    assert after.value is not None
    place = tuple_(slot_parameter(after.value), id_there)
    beyond = [compared(tuple_(value, id), place, ascending, inclusive)]
    return [beyond, [null]] if order.nullable and later else [beyond]


def _beyond(
    order: Ordering, row: FromClause, after: After, ascending: bool, inclusive: bool
) -> ColumnElement[bool]:
    """Return the condition for the rows on one side of a place, in an order by one column only."""
    if order.numbers:
        assert after.value is not None
        # Numbers in cursors may be larger than those that the column can have.
        there = slot_parameter(after.value, BigInteger)
    else:
        assert after.id is not None
        there = slot_parameter(after.id)
    return compared(row.c[order.keys[0]], there, ascending, inclusive)


def compared(left: Any, right: Any, ascending: bool, inclusive: bool) -> ColumnElement[bool]:
    """Return the condition that `left` comes after `right` in an ascending or descending order.

    With `inclusive`, the condition is also true if both are equal.
    """
    if ascending:
        return left >= right if inclusive else left > right  # type: ignore[no-any-return]
    return left <= right if inclusive else left < right  # type: ignore[no-any-return]


def _unindexed_in(columns: Row, names: Sequence[str]) -> Row:
    """Return a row's columns, written so that no index on the columns with these names is used.

    This is for a page with a filter that finds a few rows directly. The index of that filter is the better
    one, but SQLite cannot know this. An index on `app_id` can still be used.
    """
    return {**columns, **{name: unindexed(columns[name]) for name in names if name != _APP}}


class unindexed(FunctionElement[Any]):  # noqa: N801
    """A text column, written in a form that prevents the use of an index on the column.

    If two indexes fit, SQLite may choose the wrong index, and PostgreSQL combines both.
    """

    name = "unindexed"
    type = Text()
    inherit_cache = False


@compiles(unindexed, "sqlite")
def _sqlite_unindexed(element: unindexed, compiler: SQLCompiler, **kw: Any) -> str:
    (column,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"+{column}"


@compiles(unindexed, "postgresql")
def _postgresql_unindexed(element: unindexed, compiler: SQLCompiler, **kw: Any) -> str:
    (column,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({column} || '')"
