"""The page of a connection in SQL: its rows in order, their cursors, totals, and whether there are more.

A page is found by a walk along the index of its order (`db.shaping.walk`). If a filter has an index of its
own, the page can also be found by a search (`db.shaping.search`).
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    case,
    column,
    false,
    func,
    literal_column,
    select,
)

from db.shaping import cursors
from db.shaping.nouns import Noun, Ordering, Row
from db.shaping.rows import Rows
from db.shaping.search import Search, all_matches, is_searched
from db.shaping.selection import After, Page, Slot
from db.shaping.slots import slot_parameter
from db.shaping.walk import Parent, Walk, order_of

_NUMBER, _FETCHED = "row_in_page", "rows_fetched"


@dataclass(frozen=True, slots=True)
class Needs:
    """The rows and columns that the selected parts of a page need, known before the page is built.

    `rows` is true if any part reads rows. `columns` are the columns of these rows. `end_cursors` is true if
    the cursor of the first or last row is selected, and `end_ids` if its id is. `counted` is true if all
    matching rows are counted.
    """

    rows: bool
    columns: frozenset[str]
    end_cursors: bool
    end_ids: bool
    counted: bool


class PageRows(Rows):
    """The rows of one page of a connection."""

    def __init__(
        self, noun: Noun, page: Page, parent: Parent | None, needs: Needs, *, depth: int = 0
    ) -> None:
        self.noun = noun
        self._page = page
        self._parent = parent
        self._order = order_of(noun, page)
        self._size = slot_parameter(page.size, Integer)
        self._columns = sorted(self._columns_read(needs))
        walk = Walk(noun, page, parent, self._columns)
        self._search: Search | None = None
        if is_searched(walk, depth):
            if needs.counted:
                matches = all_matches(walk).cte().prefix_with("MATERIALIZED")
                walk = Walk(noun, page, parent, self._columns, matches)
            else:
                self._search = Search(walk)
        self._walk = walk
        super().__init__(noun, self._build(needs), depth)

    def cursor(self) -> ColumnElement[str]:
        """Return SQL for the cursor of each row."""
        key, *rest = (self.columns[name] for name in reversed(self._order.keys))
        return self._token(key, *rest)

    def end_cursor(self, last: bool) -> ColumnElement[str]:
        """Return SQL for the cursor of the page's first or last row, null if the page is empty."""
        only = self._order.only_column
        if only is not None:
            end = func.min if last == self._page.descending else func.max
            return self._token(end(self.columns[only]))
        return self._at_end(self.cursor(), last)

    def end_id(self, last: bool, otherwise: Slot) -> ColumnElement[str]:
        """Return SQL for the id of the page's first or last row, or a text if the page is empty."""
        return func.coalesce(self._at_end(self.columns["id"], last), slot_parameter(otherwise))

    def next_cursor(self, suffix: Slot) -> ColumnElement[str]:
        """Return SQL for the last row's cursor and a suffix, null if no rows come after the page."""
        cursor = self.end_cursor(last=True).concat(slot_parameter(suffix))
        return case((self.has_more(forward=True), cursor))

    def has_more(self, forward: bool) -> ColumnElement[bool]:
        """Return the condition that there are rows after the page (`forward`) or before it."""
        beyond_page = forward != self._page.backward
        if self._page.after is None and not beyond_page:
            return false()
        if self._page.after is None and self._stored_total is not None:
            return self._stored_total > self._size
        # To look beyond the page, skip its rows. With OFFSET, PostgreSQL also keeps the order inside EXISTS
        # and therefore uses the order's index.
        skipped: ColumnElement[int] = self._size if beyond_page else literal_column("0")
        rows = self._rows(
            self._order,
            self._page.after,
            later=forward,
            inclusive=not beyond_page,
            most=skipped + literal_column("1"),
        )
        return rows.limit(1).offset(skipped).exists()

    def total(self, at_most: Slot | None) -> ColumnElement[int]:
        """Return SQL for the number of rows that pass the filters, regardless of the page.

        Counting stops at `at_most`, unless this is None.
        """
        most = None if at_most is None else slot_parameter(at_most, Integer)
        if self._stored_total is not None:
            if most is None:
                return self._stored_total
            return case((self._stored_total > most, most), else_=self._stored_total)
        if most is not None and self._search is not None:
            found = self._search.rows(Ordering(), None, later=True, inclusive=False, most=most, ordered=False)
            return select(func.count()).select_from(found.limit(most).subquery()).scalar_subquery()
        row = self._walk.source()
        conditions = self._walk.conditions(row)
        if most is None:
            counted = select(func.count()).select_from(row).where(*conditions)
            return self._walk.correlated(counted).scalar_subquery()
        first = self._walk.correlated(select(row.c["id"]).where(*conditions).limit(most))
        return select(func.count()).select_from(first.subquery()).scalar_subquery()

    @property
    def _stored_total(self) -> ColumnElement[int] | None:
        """The number of the connection's rows, or None if the database does not store this number."""
        if self._parent is None or self._page.filters:
            return None
        relation, parent = self._parent
        return None if relation.total is None else relation.total.expression(parent.c)

    def _at_end(self, value: ColumnElement[Any], last: bool) -> ColumnElement[Any]:
        """Return SQL for a value of the page's first or last row, null if the page is empty."""
        # Rows are numbered from 1 in the order in which they are read. When reading backward, the last row of
        # the page is number 1.
        wanted = self.columns[_FETCHED] if last != self._page.backward else 1
        return func.max(value).filter(self.columns[_NUMBER] == wanted)

    def _build(self, needs: Needs) -> FromClause:
        page = self._page
        # If one column decides the order, the cursors of the first and last row do not need row numbers.
        numbered = needs.end_ids or (needs.end_cursors and self._order.only_column is None)
        fetched = self._rows(
            self._order, page.after, later=not page.backward, inclusive=False, most=self._size
        )
        if isinstance(fetched, CompoundSelect):
            named: Row = {name: column(name) for name in self._columns}
            fetched = fetched.order_by(*self._walk.order_by(named, reverse=page.backward)).limit(self._size)
        rows = fetched.subquery()
        if not page.backward and not numbered:
            return rows
        cut = select(*rows.c)
        if numbered:
            order = self._walk.order_by(rows.c, reverse=page.backward)
            number = func.row_number().over(order_by=order).label(_NUMBER)
            cut = cut.add_columns(number, func.count().over().label(_FETCHED))
        # If the page is read forward, no ORDER BY is needed, because rows come in the order in which they are
        # numbered.
        return (
            cut.order_by(*self._walk.order_by(rows.c, reverse=False)) if page.backward else cut
        ).subquery()

    def _columns_read(self, needs: Needs) -> set[str]:
        """Return the columns that are selected, that sort the rows, or that a filter reads."""
        names = {"id", *self._order.keys, *needs.columns}
        for chosen in self._page.filters:
            names.update(self.noun.filters[chosen.name].columns)
        return names

    def _rows(
        self, order: Ordering, after: After | None, *, later: bool, inclusive: bool, most: ColumnElement[int]
    ) -> Select[Any] | CompoundSelect[Any]:
        reader = self._search or self._walk
        return reader.rows(order, after, later=later, inclusive=inclusive, most=most)

    def _token(self, key: ColumnElement[Any], value: ColumnElement[Any] | None = None) -> ColumnElement[str]:
        return cursors.token(self.noun.cursor_tag(self._page.order, self._page.descending), key, value)
