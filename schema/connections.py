"""Connections: Relay's edges and pageInfo, with `nodes` as a shortcut and `totalCount`."""

from enum import Enum
from typing import Annotated, Any, Generic, TypeVar

import strawberry

from resolvers.paging import DEFAULT_SIZE, MAX_SIZE

T = TypeVar("T")


def answered_by_root() -> Any:
    """The body of a field below a root field: the root field's one statement has answered it already."""
    raise AssertionError("the executor walked into an answer that was finished (see schema/executor.py)")


@strawberry.interface(description="Anything with an id that `node` and `nodes` can find again.")
class Node:
    id: strawberry.ID = strawberry.field(description="Global id; its prefix tells the type.")


@strawberry.type(description="Where a page lies in its connection.")
class PageInfo:
    has_next_page: bool = strawberry.field(description="Whether more rows come after this page.")
    has_previous_page: bool = strawberry.field(description="Whether rows come before this page.")
    start_cursor: str | None = strawberry.field(
        description="Cursor of the first edge; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(description="Cursor of the last edge; null on an empty page.")


@strawberry.type(description="One row of a connection, with its cursor.")
class Edge(Generic[T]):
    cursor: str = strawberry.field(
        description="The row's place in this order. It stays valid when rows come and go, its own included."
    )
    node: T = strawberry.field(description="The row itself.")


AtMost = Annotated[
    int | None, strawberry.argument(description="Count no further than this, a number of at least 1.")
]


@strawberry.type(description="One page of a list.")
class Connection(Generic[T]):
    edges: list[Edge[T]] = strawberry.field(description="The page's rows, each with its cursor.")
    nodes: list[T] = strawberry.field(description="The page's rows alone: a shortcut for edges { node }.")
    page_info: PageInfo = strawberry.field(description="Where this page lies.")

    @strawberry.field(
        description="How many rows pass the filter, on all pages. Worked out only when selected, and exact "
        "however many there are; with atMost, counting ends there and the answer is at most that."
    )
    def total_count(self, at_most: AtMost = strawberry.UNSET) -> int:
        return answered_by_root()


First = Annotated[
    int | None,
    strawberry.argument(
        description=f"The first so many rows, 1 to {MAX_SIZE}; {DEFAULT_SIZE} without first and last."
    ),
]
After = Annotated[str | None, strawberry.argument(description="Start behind this cursor; goes with first.")]
Last = Annotated[
    int | None,
    strawberry.argument(description=f"The last so many rows, 1 to {MAX_SIZE}; not together with first."),
]
Before = Annotated[str | None, strawberry.argument(description="End before this cursor; goes with last.")]


@strawberry.enum(description="Which way an order runs. Rows without a value come last in both.")
class OrderDirection(Enum):
    ASC = strawberry.enum_value("ASC", description="Smallest, earliest or first letter first.")
    DESC = strawberry.enum_value("DESC", description="Largest, latest or last letter first.")
