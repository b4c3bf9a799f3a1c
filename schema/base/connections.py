"""Relay connections with edges and pageInfo, plus `nodes` as a shortcut and `totalCount`."""

from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

import strawberry

from resolvers.paging import DEFAULT_SIZE, MAX_SIZE

T = TypeVar("T")


def answered_by_root() -> Any:
    """Stand in for a resolver that is never called.

    The field is below a root field, whose statement already returns this value.
    """
    raise AssertionError("the executor went below a finished result (see schema/pipeline/execute.py)")


@strawberry.interface(description="An object with an id that `node` and `nodes` can look up.")
class Node:
    id: strawberry.ID = strawberry.field(description="Globally unique id. Its prefix shows the type.")


@strawberry.type(description="Position of a page in its connection.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="True if there are more rows after this page.")
    has_previous_page: bool = strawberry.field(description="True if there are rows before this page.")
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first row. Null if the page is empty."
    )
    end_cursor: str | None = strawberry.field(
        description="Cursor of the last row. Null if the page is empty."
    )


@strawberry.type(description="One row of a connection, with its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="Position of the row in the sort order of the list. A cursor stays valid if rows are "
        "added or deleted, even if its own row is deleted."
    )
    node: T = strawberry.field(description="The object in this row.")


AtMost = Annotated[
    int | None, strawberry.argument(description="Stop counting at this number. It must be at least 1.")
]


@strawberry.type(description="One page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="Rows on the page, each with a cursor.")
    nodes: list[T] = strawberry.field(description="Objects on the page: a shortcut for edges { node }.")
    page_info: PageInfo = strawberry.field(description="Position of this page in the whole list.")

    @strawberry.field(
        description="Number of rows that match the filter, on all pages. The number is exact unless "
        "counting stops at atMost. Rows are only counted if this field is selected."
    )
    def total_count(self, at_most: AtMost = strawberry.UNSET) -> int:
        return answered_by_root()


First = Annotated[
    int | None,
    strawberry.argument(
        description=f"Return the first N rows, 1 to {MAX_SIZE}. If neither first nor last is given, the "
        f"page has up to {DEFAULT_SIZE} rows."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(
        description="Return rows after this cursor. Not allowed together with last or before."
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description=f"Return the last N rows, 1 to {MAX_SIZE}. Not allowed together with first."
    ),
]
Before = Annotated[
    str | None,
    strawberry.argument(
        description="Return rows before this cursor. Not allowed together with first or after."
    ),
]


@strawberry.enum(description="Sort direction. Rows without a value come last in both directions.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value(
        "ASC", description="Ascending: smallest, earliest or alphabetically first value first."
    )
    DESC = strawberry.enum_value(
        "DESC", description="Descending: largest, latest or alphabetically last value first."
    )
