"""The cost of a document: the most objects it could return, worked out before anything is asked.

A connection counts its page size once for each of `nodes` and `edges` that is selected, a list what it
typically holds, every level multiplies, a `totalCount` adds 1 wherever it stands, a single object 1, and a
license's `token` as much again. What may go through all rows, whatever it returns, adds what that costs
(`db.shaping.scans`). A mutation adds 10, one that makes a signing key 2,000.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from graphql import GraphQLField

from db.shaping.scans import is_of_all
from db.shaping.selection import (
    Connection,
    EdgeNode,
    Edges,
    Field,
    Group,
    Nodes,
    Object,
    ObjectList,
    Part,
    Scalar,
    Slot,
    Total,
    Value,
)
from resolvers.reading import FieldShape, Shape
from schema.context import AnyShape, PlainShape

MUTATION_COST = 10
SIGNING_KEY_COST = 2_000
"""What a mutation costs that makes a signing key: an RSA key takes up to seconds of a processor."""

_METADATA = "cost"


def costs(cost: int) -> dict[str, int]:
    """The metadata of a mutation that costs other than `MUTATION_COST`."""
    return {_METADATA: cost}


def cost_of_mutation(field: GraphQLField) -> int:
    """What a mutation costs, whatever it answers."""
    cost: int = field.extensions["strawberry-definition"].metadata.get(_METADATA, MUTATION_COST)
    return cost


@dataclass(frozen=True, slots=True)
class Cost:
    """A cost as far as it is known without values: `fixed` objects, and of each connection its rows.

    A connection is the slot of its size and what one of its rows costs. `scans` is what scanning costs below
    objects that are all different: as they have different rows, it costs no more for many than for one.
    """

    fixed: int
    connections: "tuple[tuple[Slot, Cost], ...]" = ()
    scans: int = 0

    def of(self, values: Sequence[Value]) -> int:
        """The number, given the values of the slots."""
        rows = sum(cast("int", values[slot]) * row.of(values) for slot, row in self.connections)
        return self.fixed + self.scans + rows

    def shared(self) -> "Cost":
        """The same below an object that others may lead to as well: its rows are gone through for each."""
        return Cost(self.fixed + self.scans, self.connections)


def costs_of(shape: AnyShape) -> tuple[Cost, ...]:
    """The cost of a shape; of one whose type is not known yet, that for each type it may be of."""
    match shape:
        case Shape(fields, _):
            return (_sum(1, _fields(fields)),)
        case FieldShape(field, _):
            return (_sum(0, _fields([field])),)
        case PlainShape():
            return (Cost(1),)
        case _:
            return tuple(_sum(1, _fields(fields)) for fields in shape.fields.values())


def _sum(fixed: int, costs: Iterable[Cost]) -> Cost:
    parts = list(costs)
    return Cost(
        fixed + sum(part.fixed for part in parts),
        tuple(connection for part in parts for connection in part.connections),
        sum(part.scans for part in parts),
    )


def _times(count: int, cost: Cost) -> Cost:
    return Cost(count * cost.fixed, tuple((size, _times(count, row)) for size, row in cost.connections))


def _fields(fields: Iterable[Field]) -> Iterator[Cost]:
    for field in fields:
        match field:
            case Scalar(cost=cost):
                yield Cost(cost)
            case Object(fields=below, by=by):
                found = _sum(1, _fields(below))
                yield found.shared() if by is None else found
            case ObjectList(fields=below, typical=typical):
                yield _times(typical, _sum(1, _fields(below)).shared())
            case Connection():
                yield _connection(field)
            case _:
                pass


def _connection(connection: Connection) -> Cost:
    totals = [part for part in connection.parts if isinstance(part, Total)]
    scans = [connection.scan, *(total.scan for total in totals)]
    of_all = sum(scan for scan in scans if is_of_all(scan))
    of_few = sum(scans) - of_all  # for each parent again
    row = _sum(0, _rows(connection.parts))
    rows = ((connection.page.size, Cost(row.fixed, row.connections)),)
    return Cost(len(totals) + of_few, rows, row.scans + of_all)


def _rows(parts: Iterable[Part]) -> Iterator[Cost]:
    """What each of the lists in a connection costs, a row."""
    for part in parts:
        match part:
            case Nodes(fields=fields):
                yield _sum(1, _fields(fields))
            case Edges(parts=edge_parts):
                nodes = [part for part in edge_parts if isinstance(part, EdgeNode)]
                yield _sum(0, (_sum(1, _fields(node.fields)) for node in nodes)) if nodes else Cost(1)
            case Group(parts=below):
                yield from _rows(below)
            case _:
                pass
