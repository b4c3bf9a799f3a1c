"""The page of a connection in SQL: which rows, in which order, and what is asked about them.

Rows are found by keyset: a condition on the order's value and the id, never by counting off, so a page stays
put while rows come and go. Nulls come last in both directions, and the id breaks ties in the order's own
direction, so that reading backward is exactly reading the reverse.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    column,
    false,
    func,
    or_,
    select,
    tuple_,
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
        page, row = self._page, self.noun.table.alias()
        beyond_page = forward != page.backward
        if page.after is None and not beyond_page:
            return false()
        if page.after is None and self._kept is not None:
            return self._kept > self._size
        rows = select(1).select_from(row).where(*self._reach(row))
        if page.after is not None:
            rows = rows.where(self._beyond(row, page.after, later=forward, inclusive=not beyond_page))
        if beyond_page:
            # More rows than the page holds, in whatever order: nothing is sorted or counted for this.
            rows = rows.limit(1).offset(self._size)
        return _correlated(rows, self._parent).exists()

    def total(self) -> ColumnElement[int]:
        """How many rows pass the filters, whatever the page."""
        if self._kept is not None:
            return self._kept
        row = self.noun.table.alias()
        counted = select(func.count()).select_from(row).where(*self._reach(row))
        return _correlated(counted, self._parent).scalar_subquery()

    @property
    def _kept(self) -> ColumnElement[int] | None:
        """How many rows the connection is over, where the database keeps count of them."""
        if self._parent is None or self._page.filters:
            return None
        relation, parent = self._parent
        return None if relation.total is None else relation.total.expression(parent.c)

    def _build(self, needs: Needs) -> FromClause:
        page, row = self._page, self.noun.table.alias()
        names = {"id", *needs.columns}
        if self._order.column is not None:
            names.add(self._order.column)
        fetched = select(*(row.c[name] for name in sorted(names))).where(*self._reach(row))
        if page.after is not None:
            fetched = fetched.where(self._beyond(row, page.after, later=not page.backward, inclusive=False))
        fetched = fetched.order_by(*self._ordering(row, reverse=page.backward)).limit(self._size)
        if page.offset is not None:
            fetched = fetched.offset(slot_parameter(page.offset, Integer))
        rows: FromClause = _correlated(fetched, self._parent).subquery()
        if needs.end_cursors and self._order.column is not None:
            # Where cursors hold the id alone, those of the page's ends are found without numbers.
            order = self._ordering(rows, reverse=page.backward)
            number = func.row_number().over(order_by=order).label(_NUMBER)
            # They come in the order they are numbered by.
            rows = select(*rows.c, number, func.count().over().label(_FETCHED)).subquery()
        if page.backward:
            return select(*rows.c).order_by(*self._ordering(rows, reverse=False)).subquery()
        return rows

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

    def _ordering(self, row: FromClause, *, reverse: bool) -> list[ColumnElement[Any]]:
        descending = self._page.descending != reverse
        keys: list[ColumnElement[Any]] = []
        if self._order.column is not None:
            value = row.c[self._order.column]
            key = value.desc() if descending else value.asc()
            if self._order.nullable:
                key = key.nulls_first() if reverse else key.nulls_last()
            keys.append(key)
        keys.append(row.c["id"].desc() if descending else row.c["id"].asc())
        return keys

    def _beyond(self, row: FromClause, after: After, *, later: bool, inclusive: bool) -> ColumnElement[bool]:
        """The rows on one side of a place in the order: the later ones or the earlier ones."""
        return beyond(
            self._order,
            row,
            after,
            ascending=later != self._page.descending,
            later=later,
            inclusive=inclusive,
        )


def beyond(
    order: Ordering, row: FromClause, after: After, *, ascending: bool, later: bool, inclusive: bool
) -> ColumnElement[bool]:
    """The keyset condition: rows whose value and id lie beyond a place, upward (`ascending`) or downward.

    `later` tells on which side of the place the nulls are: they come last in every order.
    """
    id, id_there = row.c["id"], slot_parameter(after.id)
    if order.column is None:
        return _compared(id, id_there, ascending, inclusive)
    value = row.c[order.column]
    if after.null:
        tied = and_(value.is_(None), _compared(id, id_there, ascending, inclusive))
        return tied if later else or_(value.is_not(None), tied)
    assert after.value is not None
    value_there = slot_parameter(after.value)
    if not order.nullable:
        return _compared(tuple_(value, id), tuple_(value_there, id_there), ascending, inclusive)
    strictly = _compared(value, value_there, ascending, inclusive=False)
    tied = and_(value == value_there, _compared(id, id_there, ascending, inclusive))
    return or_(strictly, tied, value.is_(None)) if later else or_(strictly, tied)


def _compared(left: Any, right: Any, ascending: bool, inclusive: bool) -> ColumnElement[bool]:
    if ascending:
        return left >= right if inclusive else left > right  # type: ignore[no-any-return]
    return left <= right if inclusive else left < right  # type: ignore[no-any-return]


def _correlated(statement: Select[Any], parent: tuple[ToMany, FromClause] | None) -> Select[Any]:
    return statement if parent is None else statement.correlate(parent[1])
