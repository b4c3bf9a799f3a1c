"""Nouns: the types of the graph that have a table, and how each of their fields is read in SQL."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Boolean, ColumnElement, Select, Table, bindparam
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from db.shaping.selection import EntrySlots
from db.types import UtcDateTime

# The columns of one alias of a noun's table. A statement may have several aliases of the same table.
Row: TypeAlias = Mapping[str, Any] | ReadOnlyColumnCollection[str, Any]

NOW: BindParameter[datetime] = bindparam("now", type_=UtcDateTime())
"""The time of the request."""

TOKENS: BindParameter[bool] = bindparam("tokens", type_=Boolean())
"""Whether the viewer may see the tokens of licenses."""

CUSTOMERS: BindParameter[bool] = bindparam("customers", type_=Boolean())
"""Whether the viewer may see customers."""


INDEX_SCAN, ROW_SCAN, SEARCH_SCAN = 500, 2_000, 4_000
"""The costs of scanning an index, the rows themselves, and a filter's own index (`db.shaping.scans`)."""


class Kind(Enum):
    """How a value becomes JSON."""

    TEXT = "text"
    PLAIN = "plain"  # text that never needs escaping: ids, times, slugs, enum names
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"


@dataclass(frozen=True)
class Attribute:
    """A field that is a column, or an expression of columns of its row.

    `is_subquery` is true if the expression reads other tables. `cost` is the cost that the field adds to its
    object.
    """

    kind: Kind
    columns: tuple[str, ...]
    expression: Callable[[Row], ColumnElement[Any]]
    nullable: bool = False
    is_subquery: bool = False
    cost: int = 0


def column(name: str, kind: Kind = Kind.PLAIN, *, nullable: bool = False) -> Attribute:
    """Return the declaration of a field that is a column."""
    return Attribute(kind, (name,), lambda row: row[name], nullable)


@dataclass(frozen=True)
class Embedded:
    """A field that is an object without an id, which consists of attributes of its noun's row."""

    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class ToOne:
    """A field that is one row of `noun`: the row whose id is in `column`.

    If the column is null, the field is null too. If `only_reached` is true, the field is also null if the
    tenant cannot reach the row, or the viewer may not see it.
    """

    noun: str
    column: str
    nullable: bool = False
    only_reached: bool = False


@dataclass(frozen=True)
class StoredTotal:
    """A stored count: the columns of the parent that are needed, and how the count is computed from them."""

    columns: tuple[str, ...]
    expression: Callable[[Row], ColumnElement[int]]


@dataclass(frozen=True)
class ToMany:
    """A field that lists the rows of `noun` whose `column` is this row's id.

    `total` is the number of rows, if the database stores this number. Otherwise the rows are counted. `few`
    means that reading all of the rows is always cheap. Rows whose `other_column` is this row's id are listed
    too: no row has the same id in both columns. `replaced_orders` maps the names of the noun's orders
    to those that this field uses in their place.
    """

    noun: str
    column: str
    total: StoredTotal | None = None
    few: bool = False
    other_column: str | None = None
    replaced_orders: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Through:
    """A field that lists all rows of `noun` that a `link` table connects to this row, sorted by one column.

    The columns `here` and `there` of the link table contain this row's id and the other row's id. A row is
    typically connected to about `typical` other rows.
    """

    noun: str
    link: Table
    here: str
    there: str
    order: str
    typical: int


@dataclass(frozen=True)
class ListedIn:
    """A field that lists the rows of `noun` whose ids are in `column`, a JSON array, sorted by one column.

    The array may have ids of rows that no longer exist. If the column is null, the field is null too. The
    field always costs as much as `typical` rows.
    """

    noun: str
    column: str
    order: str
    typical: int


@dataclass(frozen=True)
class Entries:
    """A field that lists rows that do not belong to any noun, such as the days on which a key was used.

    `rows` returns the rows of one object in order, given the slots of the field's arguments, and the
    attributes that it must have as columns. The first slot has the maximum number of rows, from 1 to `most`.
    `about` maps attributes that count rows of a noun to this noun. A viewer who may not read the noun may not
    read them.

    If the maximum number is the field's only argument, `argument` is its name.
    """

    attributes: Mapping[str, Kind]
    rows: Callable[[Row, EntrySlots, Collection[str]], Select[Any]]
    most: int
    argument: str = ""
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Breakdown:
    """A list in `Figures`: one number for each of some rows of `noun`, of which there are about `typical`.

    `rows` returns the rows of one object in order. Their column `id` is the id of the noun's row, or null for
    everything that belongs to no row of the noun. In the list, `target` is the noun's object, and each of
    `numbers` is a column of these rows.
    """

    noun: str
    target: str
    numbers: tuple[str, ...]
    rows: Callable[[Row], Select[Any]]
    typical: int


@dataclass(frozen=True)
class Figures:
    """A field that is an object of numbers about one object, which are counted together.

    `row` returns a query for one row. Each of `numbers` is a column of this row. The field costs `cost`, and
    each of its `breakdowns` costs this again for the counting.
    """

    numbers: tuple[str, ...]
    row: Callable[[Row], Select[Any]]
    breakdowns: Mapping[str, Breakdown]
    cost: int


@dataclass(frozen=True)
class Beside:
    """A table beside the table of a noun, with one row for each of the noun's rows.

    `id` is the column with the id of the noun's row, and `column` has a value that the noun can be sorted by.
    The table also has a copy of each column that leads to an owner of the noun, under the same name.
    """

    table: Table
    id: str
    column: str


@dataclass(frozen=True)
class Ordering:
    """An order by a column and then by id.

    If `column` is None, the order is by id only, which is the order of creation.

    If `numbers` is true, the column numbers the rows: it has whole numbers, and no two rows of a connection
    have the same one. Then the order is by the column only, and a cursor is a number, which is valid in both
    directions. Rows without a number are left out.

    If `beside` is given, the column is not in the noun's table but in this one, whose indexes are used.
    `column` is then the name of an attribute of the noun with the same value.
    """

    column: str | None = None
    nullable: bool = False
    numbers: bool = False
    beside: Beside | None = None

    @property
    def only_column(self) -> str | None:
        """The column that alone decides the order, or None if rows are sorted by a column and then by id."""
        return "id" if self.column is None else self.column if self.numbers else None

    @property
    def keys(self) -> list[str]:
        """The columns that rows are sorted by."""
        return [self.only_column or self.column or "", *([] if self.only_column else ["id"])]


@dataclass(frozen=True)
class Condition:
    """A filter: its SQL, and how the caller's value becomes the bound value.

    The caller's value is a text, a list of texts, a time, or true or false.

    `columns` are the columns that the SQL reads, besides the id. `index` is a condition that an index over
    the rows of all accounts can answer. This condition is true for every row that passes the filter, and may
    be true for other rows too. `selective` means that the table's index on the filter's column finds the rows
    faster than the index for the connection's parent. `scan` is the cost of reading with this filter
    (`db.shaping.scans`), or 0 if the filter finds a few rows directly. `otherwise` is true for the rows that
    are found if the filter is not given. If `otherwise` is None, all rows are found. `without_null` is a
    column, or the column of an order, that is null in no row that passes.
    """

    sql: Callable[[Row, BindParameter[Any]], ColumnElement[bool]]
    bind: Callable[[Any], str] = str
    columns: tuple[str, ...] = ()
    index: Callable[[Row, BindParameter[Any]], ColumnElement[bool]] | None = None
    selective: bool = False
    scan: int = 0
    otherwise: Callable[[Row], ColumnElement[bool]] | None = None
    without_null: str | None = None

    @property
    def finds_few(self) -> bool:
        """Whether the index on the filter's column directly finds the rows that pass, which are few."""
        return self.selective and self.scan == 0


@dataclass(frozen=True)
class Unique:
    """A way to find one row: a column, and how the caller's value becomes the bound value.

    If several rows can have the same value in the column, the first row in the order `preferred` is found.
    """

    column: str
    bind: Callable[[str], str] = str
    preferred: Callable[[Row], Sequence[ColumnElement[Any]]] | None = None


@dataclass(frozen=True, eq=False)
class Noun:
    """A type of the graph and its table.

    `owned`, `reached` and `entered` are tenancy conditions (`db.tenancy`). `owned` is true for rows of the
    account, and `reached` for those of them that the tenant can reach. `entered` is true for rows in which
    the tenant can look up an object that it can reach, even if it cannot reach the row itself. By default,
    these are the rows that it can reach. `visible` is true for the rows that the viewer may see, if not all:
    no read finds the other rows.

    An account can have very many rows if `numerous` is true.

    `singular` maps each field that finds one row of a connection to that connection (`App.customer` to
    `App.customers`). `default_order` is the order of connections for which none is selected, and whether this
    order is descending.

    Changes of the noun's rows are events (`db.events`), whose subject is `subject`. An event shows a row by
    its `image`: names of fields in REST, each with the attribute that has its value. `timed` are those
    fields of the image that change with the clock, each with SQL for its value at a time.
    """

    name: str
    table: Table
    prefix: str
    owned: Callable[[Row], ColumnElement[bool]]
    reached: Callable[[Row], ColumnElement[bool]]
    attributes: Mapping[str, Attribute]
    embedded: Mapping[str, Embedded] = field(default_factory=dict)
    objects: Mapping[str, ToOne] = field(default_factory=dict)
    lists: Mapping[str, Through | ListedIn] = field(default_factory=dict)
    entries: Mapping[str, Entries] = field(default_factory=dict)
    figures: Mapping[str, Figures] = field(default_factory=dict)
    connections: Mapping[str, ToMany] = field(default_factory=dict)
    singular: Mapping[str, str] = field(default_factory=dict)
    lookups: Mapping[str, Unique] = field(default_factory=dict)
    filters: Mapping[str, Condition] = field(default_factory=dict)
    orders: Mapping[str, Ordering] = field(default_factory=dict)
    default_order: tuple[str, bool] = ("created_at", True)
    entered: Callable[[Row], ColumnElement[bool]] | None = None
    visible: Callable[[Row], ColumnElement[bool]] | None = None
    numerous: bool = False
    subject: str = ""
    image: Mapping[str, str] = field(default_factory=dict)
    timed: Mapping[str, Callable[[Row, ColumnElement[Any]], ColumnElement[str]]] = field(default_factory=dict)

    def cursor_tag(self, order: str, descending: bool) -> str:
        """Return the tag that cursors of this noun in this order contain."""
        direction = "both" if self.orders[order].numbers else "desc" if descending else "asc"
        return f"{self.name}.{order}.{direction}"
