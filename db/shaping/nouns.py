"""How a noun declares, once, the way each of its fields is found in SQL."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, TypeAlias

from sqlalchemy import BindParameter, Boolean, ColumnElement, Table, Text, bindparam
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from db.types import UtcDateTime

# The columns of one occurrence of a noun's table in a statement; a table may occur many times.
Row: TypeAlias = Mapping[str, Any] | ReadOnlyColumnCollection[str, Any]

ACCOUNT: BindParameter[str] = bindparam("account", type_=Text())
"""The viewer's account, a condition of every read."""

NOW: BindParameter[datetime] = bindparam("now", type_=UtcDateTime())
"""The moment of the request."""

TOKENS: BindParameter[bool] = bindparam("tokens", type_=Boolean())
"""Whether the viewer may see the tokens of licenses."""


INDEX_SCAN, ROW_SCAN, GATHERED_SCAN = 500, 2_000, 4_000
"""What reading costs (`db.shaping.scans`): of an index, of the rows, or of all that a filter's own index has
found."""


class Kind(Enum):
    """How a value becomes JSON."""

    TEXT = "text"
    PLAIN = "plain"  # text that never needs escaping: ids, timestamps, slugs, enum names
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"


@dataclass(frozen=True)
class Attribute:
    """A field that is a column, or an expression over columns of its row.

    `is_subquery` says that the expression looks into other tables. `cost` is what the field adds to the cost
    of its object.
    """

    kind: Kind
    columns: tuple[str, ...]
    expression: Callable[[Row], ColumnElement[Any]]
    nullable: bool = False
    is_subquery: bool = False
    cost: int = 0


def column(name: str, kind: Kind = Kind.PLAIN, *, nullable: bool = False) -> Attribute:
    """Declare a field that is a column."""
    return Attribute(kind, (name,), lambda row: row[name], nullable)


@dataclass(frozen=True)
class ToOne:
    """A field that is the row of `noun` whose id stands in `column`; where that is null, so is the field."""

    noun: str
    column: str
    nullable: bool = False


@dataclass(frozen=True)
class KeptTotal:
    """A count that the database keeps: the parent's columns that it is read from, and how."""

    columns: tuple[str, ...]
    expression: Callable[[Row], ColumnElement[int]]


@dataclass(frozen=True)
class ToMany:
    """A field that is the rows of `noun` whose `column` holds this row's id.

    `total` is how many they are, where the database keeps it; else they are counted. `few`: so few that they
    are read one by one, whatever is asked of them.
    """

    noun: str
    column: str
    total: KeptTotal | None = None
    few: bool = False


@dataclass(frozen=True)
class Through:
    """A field that is all rows of `noun` which a `link` table joins to this row, in the order of one column.

    `here` and `there` are the link's columns of the two ids. There are about `typical` of them.
    """

    noun: str
    link: Table
    here: str
    there: str
    order: str
    typical: int


@dataclass(frozen=True)
class Ordering:
    """An order by a column and then by id. `column` None is the order of creation, which is that of ids."""

    column: str | None = None
    nullable: bool = False


@dataclass(frozen=True)
class Condition:
    """A filter: its SQL, and how the caller's value (a text, or a moment) becomes the one that is bound.

    `columns`: what the SQL reads of a row beside its id. `index`: a condition that holds for all rows which
    pass, and perhaps for some more, and is answered by an index over everybody's rows. `narrows` says that an
    index finds what passes faster than all rows of whoever the connection belongs to. `scan` is what reading
    by it may cost (`db.shaping.scans`); 0: it finds a few rows at once.
    """

    sql: Callable[[Row, BindParameter[Any]], ColumnElement[bool]]
    bind: Callable[[Any], str] = str
    columns: tuple[str, ...] = ()
    index: Callable[[Row, BindParameter[Any]], ColumnElement[bool]] | None = None
    narrows: bool = False
    scan: int = 0


@dataclass(frozen=True)
class Unique:
    """A way to find one row: a unique column, and how the caller's value becomes the one compared with it.

    Where the column alone is not unique, the first row in the order of `preferred` is found.
    """

    column: str
    bind: Callable[[str], str] = str
    preferred: Callable[[Row], Sequence[ColumnElement[Any]]] | None = None


@dataclass(frozen=True)
class Noun:
    """A type of the graph and its table.

    `owned` is the tenancy condition: true for rows of the account bound as `ACCOUNT`, and the one place it
    is written for this noun. `singular` names the fields that are one of a connection's rows, found by a
    lookup (`App.customer` among `App.customers`). `default_order` is the order, and whether it descends, of
    connections that ask for none.
    """

    name: str
    table: Table
    prefix: str
    owned: Callable[[Row], ColumnElement[bool]]
    attributes: Mapping[str, Attribute]
    objects: Mapping[str, ToOne] = field(default_factory=dict)
    lists: Mapping[str, Through] = field(default_factory=dict)
    connections: Mapping[str, ToMany] = field(default_factory=dict)
    singular: Mapping[str, str] = field(default_factory=dict)
    lookups: Mapping[str, Unique] = field(default_factory=dict)
    filters: Mapping[str, Condition] = field(default_factory=dict)
    orders: Mapping[str, Ordering] = field(default_factory=dict)
    default_order: tuple[str, bool] = ("created_at", True)

    def cursor_tag(self, order: str, descending: bool) -> str:
        """What a cursor of this noun in this order begins with."""
        return f"{self.name}.{order}.{'desc' if descending else 'asc'}"
