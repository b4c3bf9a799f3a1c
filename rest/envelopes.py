"""Response bodies: `data` has one resource, or a page of resources with `meta` next to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from db.reads import NOUNS
from db.shaping.cost import cost_of_object
from db.shaping.selection import EmbeddedObject, Scalar
from resolvers.reading import Json

BASE = "/api/v1"
VERSION = Scalar("version", "version")


class JsonResponse(Response):
    """A response whose content is already JSON."""

    media_type = "application/json; charset=utf-8"

    def __init__(
        self, content: Json | bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status, headers)


class Answer(BaseModel):
    """A JSON object in a response. The fields of a subclass are the keys of the object, in this order."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Shows:
    """Annotates a key of a resource with the noun's attribute that has its value, if the two names differ."""

    attribute: str


class Versioned(Answer):
    """A resource that has versions. A response with one of them has its version as the ETag."""


class Meta(Answer):
    """Page number, page size, and the number of items on all pages."""

    total: int = Field(description="Number of matching items on all pages.")
    page: int = Field(description="Page number, starting at 1.")
    per_page: int = Field(description="Maximum number of items on a page.")


class CursorMeta(Answer):
    """Page size and the cursor of the next page, for lists that are read with `cursor`."""

    per_page: int = Field(description="Maximum number of items on a page.")
    next_cursor: str | None = Field(
        description="Value of `cursor` for the next page. Null if this is the last page."
    )


AnyMeta: TypeAlias = Meta | CursorMeta
ABOUT_META = (
    "Number and size of the page, and the total. With `cursor`: its size, and the cursor of the next page."
)


def fields_of(resource: type[Answer], *, without: str | None = None) -> tuple[Scalar, ...]:
    """Return what to select for the keys of a resource, except for the key `without`.

    The class of the resource has the same name as its noun. A key has the same name as the attribute that it
    shows, unless `Shows` names another attribute.
    """
    attributes = NOUNS[resource.__name__].attributes
    names = _shown(resource)
    return tuple(Scalar(key, name, attributes[name].cost) for key, name in names.items() if key != without)


def objects_of(resource: type[Answer]) -> tuple[Scalar | EmbeddedObject, ...]:
    """Like `fields_of`, for a resource some of whose keys are objects (`Noun.embedded`)."""
    noun = NOUNS[resource.__name__]
    return tuple(
        EmbeddedObject(key, name, tuple(Scalar(*each) for each in _shown(_type_of(resource, key)).items()))
        if name in noun.embedded
        else Scalar(key, name, noun.attributes[name].cost)
        for key, name in _shown(resource).items()
    )


def _shown(resource: type[Answer]) -> dict[str, str]:
    """Return the name of the attribute that each key of a resource shows."""
    return {
        key: next((each.attribute for each in info.metadata if isinstance(each, Shows)), key)
        for key, info in resource.model_fields.items()
    }


def _type_of(resource: type[Answer], key: str) -> type[Answer]:
    found = resource.model_fields[key].annotation
    assert isinstance(found, type)
    assert issubclass(found, Answer)
    return found


def with_version(fields: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    """Return what to select for a response with one resource (see `one`)."""
    return (*fields, VERSION)


def cost_of(fields: tuple[Scalar, ...]) -> int:
    """Return the cost of one resource with these keys."""
    return cost_of_object(fields).of(())


def one(resource: Json) -> Response:
    """Return a response with one resource, which was read with its version (`with_version`)."""
    shown, tag = _split(resource)
    return JsonResponse(_data(shown), 200, {"ETag": tag})


def created(resource: Json, location: str) -> Response:
    """Return a response with a new resource, as `one` does, and its location (see `Call.location`)."""
    shown, tag = _split(resource)
    return JsonResponse(_data(shown), 201, {"Location": location, "ETag": tag})


def unversioned(resource: Json | bytes, location: str | None = None) -> Response:
    """Return a response with a resource that has no versions. A new resource has a location."""
    if location is None:
        return JsonResponse(_data(resource))
    return JsonResponse(_data(resource), 201, {"Location": location})


def page(envelope: Json) -> Response:
    """Return a response with a page. The database writes the envelope (see `rest.paging`)."""
    return JsonResponse(envelope)


def is_empty(envelope: Json) -> bool:
    """Return True if a page has no resources. PostgreSQL writes spaces around the colon."""
    return envelope.startswith(('{"data":[]', '{"data" : []'))


def nothing() -> Response:
    """Return the empty response to a deletion."""
    return Response(status_code=204)


def _split(resource: Json) -> tuple[Json, str]:
    """Take the version out of a resource that was read with it. Return the resource and its ETag.

    The version is the last member, so nothing inside the resource can be mistaken for it. PostgreSQL may
    write spaces around the colon and the commas.
    """
    shown, _, version = resource.rpartition('"version"')
    return shown.rstrip(", ") + "}", f'"{version.strip(": }")}"'


def _data(resource: Json | bytes) -> bytes:
    return b'{"data":%b}' % (resource if isinstance(resource, bytes) else resource.encode())
