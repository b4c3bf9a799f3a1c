"""The scalars of the graph."""

from datetime import datetime
from typing import Any, NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from db import clock
from resolvers.inputs import parse_moment, parse_uuid

DateTime = datetime
JSONObject = NewType("JSONObject", dict)  # type: ignore[type-arg]
UUID = NewType("UUID", str)


def _parse_moment(value: object) -> datetime:
    return parse_moment(_text("DateTime", value))


def _parse_uuid(value: object) -> str:
    return parse_uuid(_text("UUID", value))


def _parse_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise GraphQLError("JSONObject cannot be anything but an object.")
    return value


def _text(scalar: str, value: object) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"{scalar} must be written as a string.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="UTC timestamp, whole seconds, always written like 2026-01-23T10:00:00Z. "
        "As input any RFC 3339 timestamp with an offset is taken.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=clock.as_text,
        parse_value=_parse_moment,
    ),
    JSONObject: strawberry.scalar(
        name="JSONObject",
        description="A JSON object (never an array or a bare value).",
        serialize=lambda value: value,
        parse_value=_parse_object,
    ),
    UUID: strawberry.scalar(
        name="UUID",
        description="A UUID, always written in lower case with hyphens. As input any letter case is taken.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc9562",
        serialize=str,
        parse_value=_parse_uuid,
    ),
}
"""The definition of each scalar by the Python type that stands for it in annotations."""
