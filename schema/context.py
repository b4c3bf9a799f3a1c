"""What a request brings to its resolvers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import strawberry
from graphql.pyutils import Path

from db.engine import Database
from resolvers.reading import FieldShape, Shape, ShapeByNoun
from resolvers.viewer import Viewer

AnyShape: TypeAlias = Shape | FieldShape | ShapeByNoun


@dataclass(slots=True)
class Context:
    """One request: who asks, of which database, and what is to be answered at which response path."""

    viewer: Viewer
    database: Database
    shapes: Mapping[tuple[str, ...], AnyShape] = field(default_factory=dict)


def context_of(info: strawberry.Info) -> Context:
    """The request a resolver runs in."""
    return cast("Context", info.context)


def shape_of(info: strawberry.Info) -> AnyShape:
    """What is to be answered at the resolver's place in the response."""
    keys: list[str] = []
    path: Path | None = info.path
    while path is not None:
        keys.append(str(path.key))
        path = path.prev
    return context_of(info).shapes[tuple(reversed(keys))]
