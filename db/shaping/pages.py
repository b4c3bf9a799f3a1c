"""The page of a connection in SQL: which rows, in which order, and what is asked about them.

Rows are found by keyset: a condition on the order's value and the id, never by counting off, so a page stays
put while rows come and go. Nulls come last in both directions, and the id breaks ties in the order's own
direction, so that reading backward is exactly reading the reverse.

A page is a walk along an index from its place on, whatever the order and the direction. No index holds nulls
last in both directions, so an order that has nulls is read in two stretches, each a range of the one index:
the rows that have a value, and those that have none (`stretches`).

A filter may have an index of its own, over everybody's rows and in no order (`Condition.index`). Where all
matches are to be counted anyway, they are gathered once, and the page is cut from them. Else a page first
looks at the `WALKED` rows next to its place, and only if these do not fill it at the matches of the index: so
that what is common is found by walking, what is rare by the index, and neither takes long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    column,
    false,
    func,
    literal_column,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from db.shaping import cursors
from db.shaping.json import json_array
from db.shaping.nouns import Noun, Ordering, Row, Through, ToMany
from db.shaping.selection import After, Page, Slot

WALKED: ColumnElement[int] = literal_column("1000")
"""How many rows a page walks over before it asks an index of all rows."""

SEARCHED_DEPTH = 4
"""How deep a page may be nested for an index of all rows to be asked: SQLite's parser would not follow."""

_APP = "app_id"
_NUMBER, _FETCHED = "row_in_page", "rows_fetched"


def slot_parameter(slot: Slot, type_: Any = Text) -> BindParameter[Any]:
    """The bind parameter that stands for a slot."""
    return bindparam(f"v{slot}", type_=type_())


@dataclass(frozen=True, slots=True)
class Needs:
    """What the selected parts read of a page, known before it is built.

    `rows`: whether any part looks at rows; `columns`: of its rows; `end_cursors`: whether the cursors of the
    page's ends are asked for; `counted`: whether all rows that pass the filters are counted.
    """

    rows: bool
    columns: frozenset[str]
    end_cursors: bool
    counted: bool


class Rows:
    """Rows that are answered together, and aggregates over them.

    Whatever is nested in a row (a related object, another connection) is a column of its own, computed once
    the rows are found (`nested`). Aggregates refer to columns by bare name: the rows are all that is in their
    SELECT.
    """

    def __init__(self, noun: Noun, source: FromClause, depth: int) -> None:
        self.noun = noun
        self.depth = depth
        """How many statements this one stands in."""
        self.source = source
        """The rows, as what is nested in them sees them."""
        self.columns: Row = {name: column(name) for name in source.c.keys()}  # noqa: SIM118
        """Their columns, as aggregates see them."""
        self._nested: list[ColumnElement[Any]] = []

    def nested(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        """Have something computed for each row, and answer the column it will be found in."""
        name = f"nested_{len(self._nested)}"
        self._nested.append(expression.label(name))
        return column(name)

    def page(self) -> FromClause:
        """What aggregates over the rows select from."""
        if not self._nested:
            return self.source
        return select(*self.source.c, *self._nested).select_from(self.source).subquery()

    def array(self, item: ColumnElement[Any]) -> ColumnElement[Any]:
        """The rows as a JSON array of `item`."""
        return json_array(item)


class LinkedRows(Rows):
    """All rows that a table of links joins to one row.

    As all of them are wanted, in an order of their own, whatever they point to is joined to them, and what is
    nested in them is computed where they are found. Each would take a statement more otherwise, and SQLite's
    parser follows only so deep (see `db.shaping.json`).
    """

    def __init__(
        self, noun: Noun, through: Through, parent: FromClause, columns: frozenset[str], depth: int
    ) -> None:
        row, link = noun.table.alias(), through.link.alias()
        super().__init__(noun, row, depth)
        self._parent = parent
        self._shown: list[ColumnElement[Any]] = [row.c[name] for name in sorted({"id", *columns})]
        self._is_linked = link.c[through.here] == parent.c["id"]
        self._order = row.c[through.order]
        self._tables: FromClause = row.join(link, link.c[through.there] == row.c["id"])
        self._pointed: dict[tuple[FromClause, str], tuple[FromClause, Row]] = {}

    def pointed_to(self, row: FromClause, column: str, target: Noun) -> tuple[FromClause, Row]:
        """The row that a column points to, and its columns as aggregates see them."""
        if (row, column) not in self._pointed:
            other = target.table.alias()
            self._tables = self._tables.join(other, other.c["id"] == row.c[column])
            named = _Named(other, f"pointed_{len(self._pointed)}", self._shown)
            self._pointed[row, column] = other, named
        return self._pointed[row, column]

    def page(self) -> FromClause:
        """What aggregates over the rows select from."""
        return (
            select(*self._shown, *self._nested)
            .select_from(self._tables)
            .where(self._is_linked)
            .order_by(self._order)
            .correlate(self._parent)
            .subquery()
        )


class _Named(dict[str, Any]):
    """Columns of a row by bare names of their own, each shown when it is first asked for."""

    def __init__(self, row: FromClause, prefix: str, shown: list[ColumnElement[Any]]) -> None:
        super().__init__()
        self._row = row
        self._prefix = prefix
        self._shown = shown

    def __missing__(self, name: str) -> ColumnElement[Any]:
        label = f"{self._prefix}_{name}"
        self._shown.append(self._row.c[name].label(label))
        self[name] = column(label)
        return self[name]  # type: ignore[no-any-return]


class PageRows(Rows):
    """The rows of one page of a connection."""

    def __init__(
        self,
        noun: Noun,
        page: Page,
        parent: tuple[ToMany, FromClause] | None,
        needs: Needs,
        *,
        depth: int = 0,
    ) -> None:
        self.noun = noun
        self._page = page
        self._parent = parent
        self._order = noun.orders[page.order]
        self._size = slot_parameter(page.size, Integer)
        self._filters = [(noun.filters[chosen.name], slot_parameter(chosen.slot)) for chosen in page.filters]
        has_few = parent is not None and parent[0].few
        self._indexed = (
            depth <= SEARCHED_DEPTH and not has_few and any(condition.index for condition, _ in self._filters)
        )
        self._columns = sorted(self._columns_read(needs))
        self._matches = (
            self._gathered().cte().prefix_with("MATERIALIZED") if self._indexed and needs.counted else None
        )
        super().__init__(noun, self._build(needs), depth)

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
        if self._page.after is None and self._kept is not None:
            return self._kept > self._size
        # In the reading direction: whether there are more rows than the page holds. Beside it, OFFSET has
        # PostgreSQL keep the order inside EXISTS, and so the index.
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
        """How many rows pass the filters, whatever the page; counted no further than `at_most`."""
        most = None if at_most is None else slot_parameter(at_most, Integer)
        if self._kept is not None:
            return self._kept if most is None else case((self._kept > most, most), else_=self._kept)
        if most is not None and self._indexed and self._matches is None:
            found = self._rows(Ordering(), None, later=True, inclusive=False, most=most, ordered=False)
            return select(func.count()).select_from(found.limit(most).subquery()).scalar_subquery()
        row = self._candidates()
        if most is None:
            counted = select(func.count()).select_from(row).where(*self._reach(row))
            return _correlated(counted, self._parent).scalar_subquery()
        few = _correlated(select(row.c["id"]).where(*self._reach(row)).limit(most), self._parent)
        return select(func.count()).select_from(few.subquery()).scalar_subquery()

    @property
    def _kept(self) -> ColumnElement[int] | None:
        """How many rows the connection is over, where the database keeps count of them."""
        if self._parent is None or self._page.filters:
            return None
        relation, parent = self._parent
        return None if relation.total is None else relation.total.expression(parent.c)

    def _build(self, needs: Needs) -> FromClause:
        page = self._page
        # Where cursors hold the id alone, those of the page's ends are found without numbers.
        numbered = needs.end_cursors and self._order.column is not None
        fetched = self._rows(
            self._order, page.after, later=not page.backward, inclusive=False, most=self._size
        )
        if isinstance(fetched, CompoundSelect):
            named: Row = {name: column(name) for name in self._columns}
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

    def _columns_read(self, needs: Needs) -> set[str]:
        """The columns that are read of a row of the page, or to tell whether it is one."""
        names = {"id", *needs.columns}
        if self._order.column is not None:
            names.add(self._order.column)
        for condition, _ in self._filters:
            names.update(condition.columns)
        return names

    def _rows(
        self,
        order: Ordering,
        after: After | None,
        *,
        later: bool,
        inclusive: bool,
        most: ColumnElement[int],
        ordered: bool = True,
    ) -> Select[Any] | CompoundSelect[Any]:
        """The rows on one side of a place, at least the nearest `most`; in order where it is one SELECT.

        Not `ordered`: any `most` of them, where there are so many.
        """
        ascending = later != self._page.descending
        row = self._candidates()
        beyond = partial(stretches, order, after=after, ascending=ascending, later=later, inclusive=inclusive)
        if not self._indexed or self._matches is not None:
            return _together(
                [self._walk(order, row, stretch, ascending).limit(most) for stretch in beyond(row)]
            )
        searched = [
            self._searched(order, row, beyond, number, ascending, most, ordered=ordered)
            for number in range(len(beyond(row)))
        ]
        rows = union_all(*(select(*found.c) for _, *both in searched for found in both))
        for steps, walked, rest in searched:
            rows = rows.add_cte(walked, *steps, rest, nest_here=True)
        return rows

    def _searched(
        self,
        order: Ordering,
        row: FromClause,
        beyond: Callable[[FromClause], list[list[ColumnElement[bool]]]],
        number: int,
        ascending: bool,
        most: ColumnElement[int],
        *,
        ordered: bool,
    ) -> tuple[list[CTE], CTE, CTE]:
        """What is needed first, then the rows among the first `WALKED` of a stretch, and those of the rest.

        The rest is looked up in the index, and only where it exists and is needed. The steps stand side by
        side in a WITH: one in another they would be too deep for SQLite's parser (see `db.shaping.json`).
        """
        nearest = self._walk(order, row, beyond(row)[number], ascending, indexed=False)
        looked_at = nearest.limit(WALKED).subquery()
        passing = select(*looked_at.c).where(*self._passes(looked_at, indexed=True)).limit(most)
        walked = passing.cte(nesting=True).prefix_with("MATERIALIZED")

        keys = [name for name in (order.column, "id") if name is not None]
        start = nearest.with_only_columns(*(row.c[name].label(f"start_{name}") for name in keys))
        start_rows = start.limit(1).offset(WALKED).cte(nesting=True)
        lacking = select(func.count()).select_from(walked.alias()).scalar_subquery() < most
        needed = select(*start_rows.c).where(lacking).cte(nesting=True)
        # Joined from the left, no row here means that the index is not asked at all; and OFFSET keeps both
        # databases from mixing the conditions that follow into the ones that the index answers.
        match = self._gathered(needed).offset(literal_column("0")).cte(nesting=True)

        def place(prefix: str) -> Any:
            # In a stretch there are only nulls, or none.
            return tuple_(*(func.coalesce(match.c[f"{prefix}{name}"], "") for name in keys))

        rest = self._walk(order, match, beyond(match)[number], ascending)
        rest = rest.where(_compared(place(""), place("start_"), ascending, inclusive=True)).limit(most)
        if not ordered:
            rest = rest.order_by(None)
        return [start_rows, needed, match], walked, rest.cte(nesting=True)

    def _walk(
        self,
        order: Ordering,
        row: FromClause,
        stretch: Sequence[ColumnElement[bool]],
        ascending: bool,
        *,
        indexed: bool | None = None,
    ) -> Select[Any]:
        """The rows of a stretch, in order or in its reverse."""
        walk = select(*(row.c[name] for name in self._columns)).where(
            *self._owned(row), *stretch, *self._passes(row, indexed=indexed)
        )
        if self._page.offset is not None:
            walk = walk.where(self._behind_offset(self._page.offset, row))
        # Nulls never mix with values in a stretch: this is the index's own order, or its reverse.
        keys = [row.c[name] for name in (order.column, "id") if name is not None]
        walk = walk.order_by(*(key.asc() if ascending else key.desc() for key in keys))
        return _correlated(walk, self._parent)

    def _gathered(self, needed: FromClause | None = None) -> Select[Any]:
        """All rows, whoever's they are, that the filters' own indexes find; beside each of `needed`."""
        row = self.noun.table.alias()
        owner = row.c.keys() if self._parent is None else [self._parent[0].column]
        found = select(*(row.c[name] for name in sorted({*self._columns, *owner})))
        conditions = [condition.index(row.c, value) for condition, value in self._filters if condition.index]
        if needed is None:
            return found.where(*conditions)
        return found.add_columns(*needed.c).select_from(needed.outerjoin(row, and_(*conditions)))

    def _candidates(self) -> FromClause:
        """Where rows are looked for: among all there are, or among those that have been gathered."""
        return self.noun.table.alias() if self._matches is None else self._matches.alias()

    def _behind_offset(self, offset: Slot, row: FromClause) -> ColumnElement[bool]:
        """The rows from the one on that an offset counts to, found by walking along the order's index."""
        passed = self._candidates()
        keys = [name for name in (self._order.column, "id") if name is not None]
        walk = (
            select(*(passed.c[name] for name in keys))
            .where(*self._reach(passed))
            .order_by(*self._ordering(passed.c, reverse=False))
        )
        start = _correlated(walk.limit(1).offset(slot_parameter(offset, Integer)), self._parent)
        here = row.c["id"] if len(keys) == 1 else tuple_(*(row.c[name] for name in keys))
        return _compared(here, start.scalar_subquery(), not self._page.descending, inclusive=True)

    def _token(self, id: ColumnElement[str], value: ColumnElement[Any] | None) -> ColumnElement[str]:
        return cursors.token(self.noun.cursor_tag(self._page.order, self._page.descending), id, value)

    def _reach(self, row: FromClause) -> list[ColumnElement[bool]]:
        """The rows this connection is over: its parent's, or the account's, that pass its filters."""
        return [*self._owned(row), *self._passes(row)]

    def _owned(self, row: FromClause) -> list[ColumnElement[bool]]:
        if self._parent is None:
            return [self.noun.owned(row.c)]
        relation, parent = self._parent
        column = row.c[relation.column]
        narrowed = not relation.few and any(condition.narrows for condition, _ in self._filters)
        return [(unindexed(column) if narrowed else column) == parent.c["id"]]

    def _passes(self, row: FromClause, *, indexed: bool | None = None) -> list[ColumnElement[bool]]:
        """The conditions of the filters that have an index of their own, of the others, or (None) of all."""
        columns = self._in_app(row)
        return [
            condition.sql(columns, value)
            for condition, value in self._filters
            if indexed is None or indexed == (condition.index is not None)
        ]

    def _in_app(self, row: FromClause) -> Row:
        """The columns of a row; of one of an app's, with the app's id as the app knows it, before any row."""
        if self._parent is None or self._parent[0].column != _APP:
            return row.c
        return {**row.c, _APP: self._parent[1].c["id"]}

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


class unindexed(FunctionElement[Any]):  # noqa: N801
    """A text column that is to be found by no index: of two SQLite takes any, PostgreSQL both."""

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


def _compared(left: Any, right: Any, ascending: bool, inclusive: bool) -> ColumnElement[bool]:
    if ascending:
        return left >= right if inclusive else left > right  # type: ignore[no-any-return]
    return left <= right if inclusive else left < right  # type: ignore[no-any-return]


def _correlated(statement: Select[Any], parent: tuple[ToMany, FromClause] | None) -> Select[Any]:
    return statement if parent is None else statement.correlate(parent[1])


def _together(walks: Sequence[Select[Any]]) -> Select[Any] | CompoundSelect[Any]:
    """The rows of several walks; not in their order, where there is more than one."""
    if len(walks) == 1:
        return walks[0]
    return union_all(*(select(*walk.subquery().c) for walk in walks))
