"""Answers: one resource in `data`, or a page of them with `meta`, made from finished JSON."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from db.shaping.selection import Scalar
from resolvers.reading import Json

BASE = "/api/v1"


class JsonResponse(Response):
    """An answer of finished JSON."""

    media_type = "application/json; charset=utf-8"

    def __init__(
        self, content: Json | bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(content, status, headers)


class Answer(BaseModel):
    """What an answer holds: exactly these keys, in this order."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class Shows:
    """Beside a key's type: the attribute of the noun that it shows, where that has another name."""

    attribute: str


class Meta(Answer):
    """Which page of how much."""

    total: int = Field(description="How many match, on all pages.")
    page: int = Field(description="The page, counted from 1.")
    per_page: int = Field(description="How many a page holds.")


def fields_of(resource: type[Answer], *, without: str | None = None) -> tuple[Scalar, ...]:
    """The selection of a resource: its keys (but one), which are its noun's attributes (see `Shows`)."""
    return tuple(
        Scalar(key, next((each.attribute for each in info.metadata if isinstance(each, Shows)), key))
        for key, info in resource.model_fields.items()
        if key != without
    )


def one(resource: Json | bytes) -> Response:
    """One resource."""
    return JsonResponse(_data(resource))


def created(resource: Json, path: str) -> Response:
    """A resource that this call has made, and the path where it is found."""
    return JsonResponse(_data(resource), 201, {"Location": path})


def page(envelope: Json) -> Response:
    """A page, whose envelope the store has written (see `rest.paging`)."""
    return JsonResponse(envelope)


def nothing() -> Response:
    """The answer to a delete."""
    return Response(status_code=204)


def _data(resource: Json | bytes) -> bytes:
    return b'{"data":%b}' % (resource if isinstance(resource, bytes) else resource.encode())
