"""What a request brings to its resolvers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import strawberry
from graphql.pyutils import Path

from asgi.request_log import Record
from db.engine import Database
from db.shaping.selection import Values
from resolvers.reading import FieldShape, Shape, ShapeByNoun
from resolvers.viewer import Viewer


@dataclass(frozen=True, slots=True)
class PlainShape:
    """What is to be answered of an object that no statement writes: response keys, and names of fields."""

    fields: tuple[tuple[str, str], ...]
    values: Values

    def with_values(self, values: Values) -> "PlainShape":
        """The same, of another request."""
        return PlainShape(self.fields, values)


AnyShape: TypeAlias = Shape | FieldShape | ShapeByNoun | PlainShape


@dataclass(slots=True)
class Context:
    """One request: who asks, of which database, and what is to be answered at which response path.

    `record` is what the log is told of it.
    """

    viewer: Viewer
    database: Database
    shapes: Mapping[tuple[str, ...], AnyShape] = field(default_factory=dict)
    record: Record = field(default_factory=Record)


def context_of(info: strawberry.Info) -> Context:
    """The request a resolver runs in."""
    return cast("Context", info.context)


def shape_of(info: strawberry.Info) -> AnyShape:
    """What is to be answered at the resolver's place in the response."""
    return context_of(info).shapes[_path(info)]


def shapes_below(info: strawberry.Info) -> list[Shape]:
    """What is to be answered of the objects in the payload at the resolver's place in the response."""
    here = _path(info)
    return [
        shape
        for path, shape in context_of(info).shapes.items()
        if path[:-1] == here and isinstance(shape, Shape)
    ]


def _path(info: strawberry.Info) -> tuple[str, ...]:
    keys: list[str] = []
    path: Path | None = info.path
    while path is not None:
        keys.append(str(path.key))
        path = path.prev
    return tuple(reversed(keys))
