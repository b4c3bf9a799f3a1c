"""The cost of a document: the most objects it could return, worked out before anything is asked.

A connection counts its page size once for each of `nodes` and `edges` that is selected, every level
multiplies, a `totalCount` adds 1 wherever it stands, a single object 1. A mutation adds 10.
"""

from collections.abc import Iterable

from db.shaping.selection import (
    Connection,
    EdgeNode,
    EdgePart,
    Edges,
    Field,
    Group,
    Nodes,
    Object,
    Part,
    Total,
    Values,
)
from resolvers.reading import FieldShape, Shape
from schema.context import AnyShape

MUTATION_COST = 10


def cost_of(shape: AnyShape, count: int = 1) -> int:
    """The cost of a shape that is answered for `count` objects."""
    match shape:
        case Shape(fields, values):
            return count * (1 + _fields(fields, values))
        case FieldShape(field, values):
            return count * _fields([field], values)
        case _:
            dearest = max(_fields(fields, shape.values) for fields in shape.fields.values())
            return count * (1 + dearest)


def _fields(fields: Iterable[Field], values: Values) -> int:
    total = 0
    for field in fields:
        match field:
            case Object(fields=below):
                total += 1 + _fields(below, values)
            case Connection(page=page, parts=parts):
                size = values.items[page.size]
                assert isinstance(size, int)
                total += sum(_part(part, size, values) for part in parts)
            case _:
                pass
    return total


def _part(part: Part | EdgePart, size: int, values: Values) -> int:
    match part:
        case Nodes(fields=fields) | EdgeNode(fields=fields):
            return size * (1 + _fields(fields, values))
        case Edges(parts=parts):
            return max(size, sum(_part(child, size, values) for child in parts))
        case Group(parts=parts):
            return sum(_part(child, size, values) for child in parts)
        case Total():
            return 1
        case _:
            return 0
