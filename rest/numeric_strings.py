"""Numeric strings: some integers in a body may also be sent as strings, such as "365"."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from resolvers.inputs import Input

_NUMERIC = re.compile(r"-?[0-9]{1,18}")


def _number(value: object) -> object:
    return int(value) if isinstance(value, str) and _NUMERIC.fullmatch(value) else value


class _Numeric:
    """Makes an integer field also accept numeric strings, in validation and in the JSON schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_number, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        integer = handler(schema)
        about = {"description": integer.pop("description")} if "description" in integer else {}
        numeric = {"type": "string", "pattern": f"^{_NUMERIC.pattern}$"}
        return {"anyOf": [*integer.get("anyOf", [integer]), numeric], **about}


NUMERIC = _Numeric()
"""Marks an integer field of a body that may also be sent as a numeric string."""


def with_numbers(model: type[Input], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body in which numeric strings are numbers, for the fields that allow such strings."""
    return {**values, **{name: _number(values[name]) for name in _numeric_fields(model) if name in values}}


@cache
def _numeric_fields(model: type[Input]) -> tuple[str, ...]:
    return tuple(name for name, info in model.model_fields.items() if NUMERIC in info.metadata)
