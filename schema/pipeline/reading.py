"""How a field is read: one function in `resolvers` returns JSON, and the executor uses it unchanged."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, TypeAlias, cast

import orjson
import strawberry

from db.engine import ReadSession
from db.shaping.selection import Fields, Selected
from resolvers.reading import Json
from resolvers.viewer import Viewer
from schema.pipeline.context import context_of, path_of, selected_at
from schema.pipeline.execute import Finished
from schema.pipeline.selections import PlainFields

Below: TypeAlias = Callable[[Viewer, ReadSession, Selected[Fields]], Awaitable[Json | None]]

_NOTHING: Mapping[str, Below] = {}


async def read(
    info: strawberry.Info,
    resolver: Callable[Concatenate[Viewer, ReadSession, ...], Awaitable[Json | list[Json | None] | None]],
    *arguments: object,
    viewer: Viewer | None = None,
) -> Any:
    """Call a resolver with the selection at this field, and return its JSON unchanged.

    By default, `viewer` is the viewer of the request.
    """
    context = context_of(info)
    async with context.database.read() as session:
        answer = await resolver(viewer or context.viewer, session, *arguments, selected_at(info))
    if isinstance(answer, list):
        return Finished([_spliced(item) for item in answer])
    return finished(answer)


def finished(answer: Json | None) -> Finished | None:
    """Return JSON in the form that the executor uses unchanged. None stays None."""
    return None if answer is None else Finished(orjson.Fragment(answer))


@dataclass(frozen=True, slots=True)
class PlainObject:
    """A field whose value is another Python object: how to find that object, and its fields."""

    find: Callable[[Any], Any]
    fields: "PlainObjectFields"


PlainObjectFields: TypeAlias = Mapping[str, Callable[[Any], Any] | PlainObject]


async def read_plain(
    info: strawberry.Info,
    fields: PlainObjectFields,
    resolver: Callable[Concatenate[Viewer, ReadSession, ...], Awaitable[object]],
    *arguments: object,
    below: Mapping[str, Below] = _NOTHING,
) -> Any:
    """Call a resolver that returns Python objects, and return the selected fields of these objects.

    `fields` maps the name of each field in the graph to a function that returns the field's value for an
    object, or to a `PlainObject`. The resolver may return one object or a list. `below` has the fields that
    are objects of a noun, each with its own resolver. If only these are selected, `resolver` is not called.
    """
    context, selection = context_of(info), selected_at(info).selection
    assert isinstance(selection, PlainFields)
    async with context.database.read() as session:
        nouns: dict[str, Any] = {}
        for key, name, _ in selection.fields if below else ():
            if name in below:
                selected = cast("Selected[Fields]", context.selected[*path_of(info), key])
                nouns[key] = _spliced(await below[name](context.viewer, session, selected))
        if nouns and len(nouns) == len(selection.fields):
            return Finished(nouns)
        answer = await resolver(context.viewer, session, *arguments)
    if isinstance(answer, list):
        return Finished([_shown(each, selection, fields, nouns) for each in answer])
    return None if answer is None else Finished(_shown(answer, selection, fields, nouns))


def _shown(
    found: object, selection: PlainFields, fields: PlainObjectFields, nouns: Mapping[str, Any]
) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, name, below in selection.fields:
        if key in nouns:
            shown[key] = nouns[key]
            continue
        field = fields[name]
        if isinstance(field, PlainObject):
            assert below is not None
            shown[key] = _shown(field.find(found), below, field.fields, {})
        else:
            shown[key] = field(found)
    return shown


def _spliced(json: Json | None) -> orjson.Fragment | None:
    return None if json is None else orjson.Fragment(json)
