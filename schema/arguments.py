"""Arguments as resolvers take them."""

from dataclasses import fields
from enum import Enum
from typing import Any

import strawberry

IdArgument = strawberry.argument(description="Global id.")
InputArgument = strawberry.argument(description="What to do it with.")


def values_of(input: Any) -> dict[str, object]:
    """The fields of an input that were given, by their Python names; null is given, absent is not.

    Enums come as their values.
    """
    given = {field.name: getattr(input, field.name) for field in fields(input)}
    return {
        name: value.value if isinstance(value, Enum) else value
        for name, value in given.items()
        if value is not strawberry.UNSET
    }
