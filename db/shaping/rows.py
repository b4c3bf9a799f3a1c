"""Rows that are returned together, and aggregates over these rows."""

from typing import Any

from sqlalchemy import ColumnElement, FromClause, and_, column, select

from db.shaping.json import ids_in, json_array
from db.shaping.nouns import ListedIn, Noun, Row, Through


class Rows:
    """Rows that are returned together, and aggregates over these rows.

    Everything that is nested in a row (a related object, another connection) becomes a column of its own
    (`nested`). These columns are computed only after the rows are found. Aggregates use bare column names,
    because their SELECT reads nothing but these rows.
    """

    def __init__(self, noun: Noun, source: FromClause, depth: int) -> None:
        self.noun = noun
        self.depth = depth
        """The number of SELECTs around the SELECT that this object builds."""
        self.source = source
        """The rows that nested subqueries refer to."""
        self.columns: Row = {name: column(name) for name in source.c.keys()}  # noqa: SIM118
        """The columns of the rows that aggregates refer to."""
        self._nested: list[ColumnElement[Any]] = []

    def nested(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        """Add a column that is computed for each row, and return it."""
        name = f"nested_{len(self._nested)}"
        self._nested.append(expression.label(name))
        return column(name)

    def page(self) -> FromClause:
        """Return the FROM clause of the aggregates, with the nested columns that were added so far."""
        if not self._nested:
            return self.source
        return select(*self.source.c, *self._nested).select_from(self.source).subquery()

    def array(self, item: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the rows as a JSON array in which each row is `item`."""
        return json_array(item)


class LinkedRows(Rows):
    """All rows that a link table connects to one row, or whose ids are in a column of that row.

    All of these rows are returned, in a fixed order. The same SELECT can therefore join the rows that they
    point to and compute nested columns. Otherwise, each of these steps would add one more level of SELECT,
    and SQLite's parser has a depth limit (see `db.shaping.json`).
    """

    def __init__(
        self,
        noun: Noun,
        relation: Through | ListedIn,
        parent: FromClause,
        columns: frozenset[str],
        depth: int,
    ) -> None:
        row = noun.table.alias()
        super().__init__(noun, row, depth)
        self._parent = parent
        self._selected: list[ColumnElement[Any]] = [row.c[name] for name in sorted({"id", *columns})]
        self._order = row.c[relation.order]
        self._tables: FromClause = row
        if isinstance(relation, ListedIn):
            # No foreign key limits the ids in the column, so the tenancy condition is checked here.
            self._is_linked = and_(ids_in(row.c["id"], parent.c[relation.column]), noun.owned(row.c))
        else:
            link = relation.link.alias()
            self._is_linked = link.c[relation.here] == parent.c["id"]
            self._tables = row.join(link, link.c[relation.there] == row.c["id"])
        self._joined: dict[tuple[FromClause, str], tuple[FromClause, Row]] = {}

    def pointed_to(self, row: FromClause, column: str, target: Noun) -> tuple[FromClause, Row]:
        """Join the row that a column points to, and return this row and its columns for aggregates."""
        if (row, column) not in self._joined:
            other = target.table.alias()
            self._tables = self._tables.join(other, other.c["id"] == row.c[column])
            named = _PrefixedColumns(other, f"pointed_{len(self._joined)}", self._selected)
            self._joined[row, column] = other, named
        return self._joined[row, column]

    def page(self) -> FromClause:
        """Return the FROM clause of the aggregates, with the nested columns that were added so far."""
        return (
            select(*self._selected, *self._nested)
            .select_from(self._tables)
            .where(self._is_linked)
            .order_by(self._order)
            .correlate(self._parent)
            .subquery()
        )


class _PrefixedColumns(dict[str, Any]):
    """The columns of a joined row, under prefixed labels. Each column is selected when it is first used."""

    def __init__(self, row: FromClause, prefix: str, selected: list[ColumnElement[Any]]) -> None:
        super().__init__()
        self._row = row
        self._prefix = prefix
        self._selected = selected

    def __missing__(self, name: str) -> ColumnElement[Any]:
        label = f"{self._prefix}_{name}"
        self._selected.append(self._row.c[name].label(label))
        self[name] = column(label)
        return self[name]  # type: ignore[no-any-return]
