"""Builds one page of a connection from all rows: sorts them, applies the cursor, and cuts off the rest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cmp_to_key
from typing import Any, TypeAlias

from db import clock
from db.shaping import cursors
from db.shaping.cursors import Position
from tests.reference.rows import Row

Arguments: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """A sort order by one value of each row. `name` identifies the order in cursors.

    Rows with equal values are ordered by id. If `numbers` is true, the values are whole numbers, and no two
    rows have the same one.
    """

    name: str
    value: Callable[[Row], Any]
    numbers: bool = False


def _folded(text: str | None) -> str | None:
    return None if text is None else text.casefold()


def _moment(at: datetime | None) -> str | None:
    return None if at is None else clock.as_text(at)


ORDERS: Mapping[str, Mapping[str, Order]] = {
    "App": {
        "CREATED_AT": Order("created_at", lambda row: None),
        "NAME": Order("name", lambda row: _folded(row["name"])),
        "SLUG": Order("slug", lambda row: row["slug"]),
    },
    "Customer": {
        "CREATED_AT": Order("created_at", lambda row: None),
        "EMAIL": Order("email", lambda row: _folded(row["email"])),
        "NAME": Order("name", lambda row: _folded(row["name"])),
    },
    "License": {
        "CREATED_AT": Order("created_at", lambda row: None),
        "EXPIRES_AT": Order("expires_at", lambda row: _moment(row["expires_at"])),
        "LAST_VERIFIED_AT": Order("last_verified_at", lambda row: _moment(row["last_verified_at"])),
    },
    "Tier": {"POSITION": Order("position", lambda row: f"{row['position'] + 2**31:010}.{row['slug']}")},
    "Feature": {"SLUG": Order("slug", lambda row: row["slug"])},
    "ApiKey": {"CREATED_AT": Order("created_at", lambda row: None)},
    "RegisteredDocument": {"CREATED_AT": Order("created_at", lambda row: None)},
    "Event": {"POSITION": Order("position", lambda row: row["position"], numbers=True)},
}
"""The sort orders of each type, by their names in GraphQL.

Tiers and features have only one sort order each, so clients cannot choose.
"""

BY_VERSION = Order("version", lambda row: row["version"], numbers=True)
"""The sort order of the events of one subject."""

_NEWEST_FIRST = {"field": "CREATED_AT", "direction": "DESC"}
_UNASKED = {
    "Tier": {"field": "POSITION", "direction": "ASC"},
    "Feature": {"field": "SLUG", "direction": "ASC"},
    "Event": {"field": "POSITION", "direction": "DESC"},
}


@dataclass(frozen=True, slots=True)
class _Directed:
    """A sort order with a direction, for rows of one type."""

    kind: str
    order: Order
    descending: bool

    def position(self, row: Row) -> Position:
        if self.order.numbers:
            return Position(None, str(self.order.value(row)))
        return Position(self.order.value(row), row["id"])

    def earlier(self, one: Position, two: Position) -> bool:
        """Return whether position `one` comes before `two`: by value, then by id.

        Nulls are last in both directions.
        """
        if (one.value is None) != (two.value is None):
            return two.value is None
        if self.order.numbers:
            return int(one.id) > int(two.id) if self.descending else int(one.id) < int(two.id)
        left, right = (one.value or "", one.id), (two.value or "", two.id)
        return left > right if self.descending else left < right

    def sorted(self, rows: Iterable[Row]) -> list[Row]:
        def compare(one: Row, two: Row) -> int:
            return -1 if self.earlier(self.position(one), self.position(two)) else 1

        return sorted(rows, key=cmp_to_key(compare))

    def encode(self, row: Row) -> str:
        place = self.position(row)
        return cursors.encode(self._tag(), place.id, place.value)

    def decode(self, cursor: str) -> Position:
        return cursors.decode(self._tag(), cursor)

    def _tag(self) -> str:
        direction = "both" if self.order.numbers else "desc" if self.descending else "asc"
        return f"{self.kind}.{self.order.name}.{direction}"


def page(
    kind: str,
    rows: Iterable[Row],
    arguments: Arguments,
    make: Callable[[Row], dict[str, Any]],
    sorted_by: Order | None = None,
) -> dict[str, Any]:
    """Return a connection over rows that are already filtered. `sorted_by` replaces the requested order."""
    asked = arguments.get("orderBy") or _UNASKED.get(kind, _NEWEST_FIRST)
    order = _Directed(kind, sorted_by or ORDERS[kind][asked["field"]], asked["direction"] == "DESC")
    everything = order.sorted(rows)
    shown, has_previous, has_next = _cut(everything, order, arguments)
    return {
        "edges": [{"cursor": order.encode(row), "node": make(row)} for row in shown],
        "nodes": [make(row) for row in shown],
        "pageInfo": {
            "hasNextPage": has_next,
            "hasPreviousPage": has_previous,
            "startCursor": order.encode(shown[0]) if shown else None,
            "endCursor": order.encode(shown[-1]) if shown else None,
        },
        "totalCount": lambda _, atMost=None: min(len(everything), atMost or len(everything)),  # noqa: N803
    }


def _cut(rows: Sequence[Row], order: _Directed, arguments: Arguments) -> tuple[Sequence[Row], bool, bool]:
    """Return the page, and whether there are rows before it and after it."""
    first, last, after, before = (arguments.get(name) for name in ("first", "last", "after", "before"))
    if last is not None or (first is None and before is not None):
        size = last or 20
        end = None if before is None else order.decode(before)
        reached = [row for row in rows if end is None or order.earlier(order.position(row), end)]
        return reached[-size:], len(reached) > size, len(reached) < len(rows)
    size = first or 20
    start = None if after is None else order.decode(after)
    reached = [row for row in rows if start is None or order.earlier(start, order.position(row))]
    return reached[:size], len(reached) < len(rows), len(reached) > size
