"""Root fields that read: one resolver call, and the finished JSON handed to the executor."""

from collections.abc import Awaitable, Callable
from typing import Any, Concatenate, ParamSpec

import orjson
import strawberry

from db.engine import ReadSession
from resolvers.reading import Json
from resolvers.viewer import Viewer
from schema.context import context_of, shape_of
from schema.executor import Finished

P = ParamSpec("P")


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
    return None if answer is None else Finished(orjson.Fragment(answer))
