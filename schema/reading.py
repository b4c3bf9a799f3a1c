"""Root fields that read: one resolver call, and the finished JSON handed to the executor."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Concatenate, TypeVar

import orjson
import strawberry

from db.engine import ReadSession
from resolvers.reading import Json
from resolvers.viewer import Viewer
from schema.context import PlainShape, context_of, shape_of
from schema.executor import Finished

T = TypeVar("T")


async def read(
    info: strawberry.Info,
    resolver: Callable[Concatenate[Viewer, ReadSession, ...], Awaitable[Json | list[Json | None] | None]],
    *arguments: object,
    viewer: Viewer | None = None,
) -> Any:
    """Call a resolver with what is selected here, and answer its JSON as it is.

    `viewer` is who reads; None: who asks.
    """
    context = context_of(info)
    async with context.database.read() as session:
        answer = await resolver(viewer or context.viewer, session, *arguments, shape_of(info))
    if isinstance(answer, list):
        return Finished([None if item is None else orjson.Fragment(item) for item in answer])
    return finished(answer)


def finished(answer: Json | None) -> Finished | None:
    """Finished JSON, as the executor takes it."""
    return None if answer is None else Finished(orjson.Fragment(answer))


async def read_plain(
    info: strawberry.Info,
    fields: Mapping[str, Callable[[T], Any]],
    resolver: Callable[Concatenate[Viewer, ReadSession, ...], Awaitable[T | list[T] | None]],
    *arguments: object,
) -> Any:
    """Call a resolver whose answer no statement writes, and answer what is selected here of it.

    `fields` takes each field, by its name in the graph, out of what the resolver answers, or out of each
    thing in the list.
    """
    context, shape = context_of(info), shape_of(info)
    assert isinstance(shape, PlainShape)
    async with context.database.read() as session:
        answer = await resolver(context.viewer, session, *arguments)

    def shown(found: T) -> dict[str, Any]:
        return {key: fields[name](found) for key, name in shape.fields}

    if isinstance(answer, list):
        return Finished([shown(each) for each in answer])
    return None if answer is None else Finished(shown(answer))
