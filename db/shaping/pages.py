"""The page of a connection in SQL: which rows, in which order, and what is asked about them.

Rows are found by keyset: a condition on the order's value and the id, never by counting off, so a page stays
put while rows come and go. Nulls come last in both directions, and the id breaks ties in the order's own
direction, so that reading backward is exactly reading the reverse.

A page is a walk along an index from its place on, whatever the order and the direction. No index holds nulls
last in both directions, so an order that has nulls is read in two stretches, each a range of the one index:
the rows that have a value, and those that have none (`stretches`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    GenerativeSelect,
    Integer,
    Select,
    Text,
    bindparam,
    column,
    false,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)

from db.shaping import cursors
from db.shaping.json import json_array
from db.shaping.nouns import Noun, Ordering, Row, ToMany
from db.shaping.selection import After, Page, Slot

_NUMBER, _FETCHED = "row_in_page", "rows_fetched"


def slot_parameter(slot: Slot, type_: Any = Text) -> BindParameter[Any]:
    """The bind parameter that stands for a slot."""
    return bindparam(f"v{slot}", type_=type_())


@dataclass(frozen=True, slots=True)
class Needs:
    """What the selected parts read of a page, known before it is built.

    `rows`: whether any part looks at rows; `columns`: of its rows; `end_cursors`: whether the cursors of the
    page's ends are asked for.
    """

    rows: bool
    columns: frozenset[str]
    end_cursors: bool


class PageRows:
    """The rows of one page, and aggregates over them.

    Whatever is nested in a row (a related object, another connection) is a column of its own, computed once
    the page is cut (`nested`). Aggregates refer to the page's columns by bare name: the page is all that is
    in their SELECT.
    """

    def __init__(
        self, noun: Noun, page: Page, parent: tuple[ToMany, FromClause] | None, needs: Needs
    ) -> None:
        self.noun = noun
        self._page = page
        self._parent = parent
        self._order = noun.orders[page.order]
        self._size = slot_parameter(page.size, Integer)
        self._nested: list[ColumnElement[Any]] = []
        self.source: FromClause = self._build(needs)
        """The page's rows, as what is nested in them sees them."""
        self.columns: Row = {name: column(name) for name in self.source.c.keys()}  # noqa: SIM118
        """The page's columns, as aggregates see them."""

    def nested(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        """Have something computed for each row of the page, and answer the column it will be found in."""
        name = f"nested_{len(self._nested)}"
        self._nested.append(expression.label(name))
        return column(name)

    def page(self) -> FromClause:
        """What aggregates over the page select from."""
        if not self._nested:
            return self.source
        return select(*self.source.c, *self._nested).select_from(self.source).subquery()

    def array(self, item: ColumnElement[Any]) -> ColumnElement[Any]:
        """The page's rows as a JSON array of `item`."""
        return json_array(item)

    def cursor(self) -> ColumnElement[str]:
        """The cursor of a row."""
        value = None if self._order.column is None else self.columns[self._order.column]
        return self._token(self.columns["id"], value)

    def end_cursor(self, last: bool) -> ColumnElement[str]:
        """The cursor of the page's first row or of its last, null when the page is empty."""
        if self._order.column is None:
            end = func.min if last == self._page.descending else func.max
            return self._token(end(self.columns["id"]), None)
        # Rows are numbered as they were fetched, which backward is from the last row on.
        wanted = self.columns[_FETCHED] if last != self._page.backward else 1
        return func.max(self.cursor()).filter(self.columns[_NUMBER] == wanted)

    def has_more(self, forward: bool) -> ColumnElement[bool]:
        """Whether rows lie behind the page (`forward`) or before it."""
        beyond_page = forward != self._page.backward
        if self._page.after is None and not beyond_page:
            return false()
        walks = self._walks(["id"], later=forward, inclusive=not beyond_page)
        # In the reading direction: whether there are more rows than the page holds. Beside it, OFFSET has
        # PostgreSQL keep the order inside EXISTS, and so the index.
        skipped = self._size if beyond_page else literal_column("0")
        return _together(walks).limit(1).offset(skipped).exists()

    def total(self) -> ColumnElement[int]:
        """How many rows pass the filters, whatever the page."""
        row = self.noun.table.alias()
        counted = select(func.count()).select_from(row).where(*self._reach(row))
        return _correlated(counted, self._parent).scalar_subquery()

    def _build(self, needs: Needs) -> FromClause:
        page = self._page
        names = {"id", *needs.columns}
        if self._order.column is not None:
            names.add(self._order.column)
        # Where cursors hold the id alone, those of the page's ends are found without numbers.
        numbered = needs.end_cursors and self._order.column is not None
        walks = self._walks(sorted(names), later=not page.backward, inclusive=False)
        fetched = _together([walk.limit(self._size) for walk in walks])
        if len(walks) > 1:
            named: Row = {name: column(name) for name in names}
            fetched = fetched.order_by(*self._ordering(named, reverse=page.backward)).limit(self._size)
        rows = fetched.subquery()
        if not page.backward and not numbered:
            return rows
        cut = select(*rows.c)
        if numbered:
            order = self._ordering(rows.c, reverse=page.backward)
            number = func.row_number().over(order_by=order).label(_NUMBER)
            cut = cut.add_columns(number, func.count().over().label(_FETCHED))
        # Left without an order, they come in the one they are numbered by.
        return (cut.order_by(*self._ordering(rows.c, reverse=False)) if page.backward else cut).subquery()

    def _walks(self, names: Iterable[str], *, later: bool, inclusive: bool) -> list[Select[Any]]:
        """The rows on one side of the page's place, the nearest first: a SELECT for each stretch of them."""
        row = self.noun.table.alias()
        ascending = later != self._page.descending
        found = stretches(
            self._order, row, self._page.after, ascending=ascending, later=later, inclusive=inclusive
        )
        walks = []
        for stretch in found:
            walk = select(*(row.c[name] for name in names)).where(*self._reach(row), *stretch)
            if self._page.offset is not None:
                walk = walk.where(self._behind_offset(row, self._page.offset))
            # Nulls never mix with values in a stretch: this is the index's own order, or its reverse.
            keys = [row.c[name] for name in (self._order.column, "id") if name is not None]
            walk = walk.order_by(*(key.asc() if ascending else key.desc() for key in keys))
            walks.append(_correlated(walk, self._parent))
        return walks

    def _behind_offset(self, row: FromClause, offset: Slot) -> ColumnElement[bool]:
        """The rows from the one on that an offset counts to, found by walking ids alone along their index."""
        assert self._order.column is None
        passed = self.noun.table.alias()
        ids = (
            select(passed.c["id"])
            .where(*self._reach(passed))
            .order_by(*self._ordering(passed.c, reverse=False))
        )
        start = _correlated(ids.limit(1).offset(slot_parameter(offset, Integer)), self._parent)
        return _compared(row.c["id"], start.scalar_subquery(), not self._page.descending, inclusive=True)

    def _token(self, id: ColumnElement[str], value: ColumnElement[Any] | None) -> ColumnElement[str]:
        return cursors.token(self.noun.cursor_tag(self._page.order, self._page.descending), id, value)

    def _reach(self, row: FromClause) -> list[ColumnElement[bool]]:
        """The rows this connection is over: its parent's, or the account's, that pass its filters."""
        if self._parent is None:
            conditions = [self.noun.owned(row.c)]
        else:
            relation, parent = self._parent
            conditions = [row.c[relation.column] == parent.c["id"]]
        for chosen in self._page.filters:
            conditions.append(self.noun.filters[chosen.name].sql(row.c, slot_parameter(chosen.slot)))
        return conditions

    def _ordering(self, row: Row, *, reverse: bool) -> list[ColumnElement[Any]]:
        descending = self._page.descending != reverse
        keys: list[ColumnElement[Any]] = []
        if self._order.column is not None:
            value = row[self._order.column]
            key = value.desc() if descending else value.asc()
            if self._order.nullable:
                key = key.nulls_first() if reverse else key.nulls_last()
            keys.append(key)
        keys.append(row["id"].desc() if descending else row["id"].asc())
        return keys


def stretches(
    order: Ordering, row: FromClause, after: After | None, *, ascending: bool, later: bool, inclusive: bool
) -> list[list[ColumnElement[bool]]]:
    """The rows beyond a place, upward (`ascending`) or downward, or all: as ranges of the order's index.

    Each is a list of conditions that an index answers as one range, in which there are either only nulls or
    none. `later` tells on which side of the place the nulls are: they come last in every order.
    """
    id = row.c["id"]
    if order.column is None:
        return [[] if after is None else [_compared(id, slot_parameter(after.id), ascending, inclusive)]]
    value = row.c[order.column]
    valued, null = value.is_not(None), value.is_(None)
    if after is None:
        return [[valued], [null]] if order.nullable else [[]]
    id_there = slot_parameter(after.id)
    if after.null:
        tied = [null, _compared(id, id_there, ascending, inclusive)]
        return [tied] if later else [[valued], tied]
    assert after.value is not None
    place = tuple_(slot_parameter(after.value), id_there)
    beyond = [_compared(tuple_(value, id), place, ascending, inclusive)]
    return [beyond, [null]] if order.nullable and later else [beyond]


def _compared(left: Any, right: Any, ascending: bool, inclusive: bool) -> ColumnElement[bool]:
    if ascending:
        return left >= right if inclusive else left > right  # type: ignore[no-any-return]
    return left <= right if inclusive else left < right  # type: ignore[no-any-return]


def _correlated(statement: Select[Any], parent: tuple[ToMany, FromClause] | None) -> Select[Any]:
    return statement if parent is None else statement.correlate(parent[1])


def _together(walks: Sequence[Select[Any]]) -> GenerativeSelect:
    """The rows of several walks; not in their order, where there is more than one."""
    if len(walks) == 1:
        return walks[0]
    return union_all(*(select(*walk.subquery().c) for walk in walks))
