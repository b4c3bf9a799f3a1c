"""The scalars of the graph."""

from datetime import date, datetime
from typing import Any, NewType

import strawberry
from graphql import (
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    value_from_ast_untyped,
)
from strawberry.types.scalar import ScalarDefinition

from db import clock
from resolvers.inputs import parse_day, parse_moment, parse_uuid
from schema.pipeline.variables import Variables

DateTime = datetime
Date = date
JSONObject = NewType("JSONObject", dict)  # type: ignore[type-arg]
UUID = NewType("UUID", str)


def _parse_moment(value: object) -> datetime:
    return parse_moment(_text(value))


def _parse_day(value: object) -> date:
    return parse_day(_text(value))


def _parse_uuid(value: object) -> str:
    return parse_uuid(_text(value))


def _parse_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004  (as for all invalid values)
    return value


def _parse_object_literal(literal: ValueNode, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    # During validation, `variables` is None. The check works without them: whether the literal is an object
    # does not depend on the variables inside.
    return _parse_object(_json(literal, variables if isinstance(variables, Variables) else None))


def _json(literal: ValueNode, variables: Variables | None) -> Any:
    """Return the JSON value of a literal, or Undefined for a variable without a value.

    Inside the literal, an object key whose variable has no value is left out. A list item whose variable has
    no value becomes null.
    """
    match literal:
        case VariableNode():
            return Undefined if variables is None else variables.as_sent(literal.name.value)
        case ObjectValueNode():
            members = {field.name.value: _json(field.value, variables) for field in literal.fields}
            return {key: value for key, value in members.items() if value is not Undefined}
        case ListValueNode():
            items = [_json(each, variables) for each in literal.values]
            return [None if each is Undefined else each for each in items]
        case _:
            return value_from_ast_untyped(literal)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004
    return value


SCALARS: dict[object, ScalarDefinition] = {
    DateTime: strawberry.scalar(
        name="DateTime",
        description="Point in time. Output is always UTC with whole seconds, such as 2026-01-23T10:00:00Z. "
        "Input is any RFC 3339 timestamp with an offset.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=clock.as_text,
        parse_value=_parse_moment,
    ),
    Date: strawberry.scalar(
        name="Date",
        description="A day in UTC, such as 2026-01-23.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=date.isoformat,
        parse_value=_parse_day,
    ),
    JSONObject: strawberry.scalar(
        name="JSONObject",
        description="A JSON object. It may contain any JSON values, but cannot be of another type itself.",
        serialize=lambda value: value,
        parse_value=_parse_object,
        parse_literal=_parse_object_literal,
    ),
    UUID: strawberry.scalar(
        name="UUID",
        description="A UUID. Output is always lower case with hyphens. Input may be upper or lower case, "
        "with or without hyphens, in braces, or a URN.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc9562",
        serialize=str,
        parse_value=_parse_uuid,
    ),
}
"""The definition of each scalar, by the Python type that annotations use for it."""
