"""The variables of a request: their coerced values, and the values that the client sent.

A literal of a JSON scalar may contain variables. Their values are stored as the client sent them: a DateTime
as text, an enum as its name. graphql-core only passes coerced values to a scalar. `Variables` therefore also
has the values that were sent.
"""

from typing import Any, cast

from graphql import Undefined, ValueNode, value_from_ast_untyped
from graphql.execution.values import VariableValues


class Variables(dict[str, Any]):
    """The coerced values by name, as graphql-core needs them. `as_sent` returns the original values."""

    def __init__(self, values: VariableValues) -> None:
        super().__init__(values.coerced)
        self._sources = values.sources

    def as_sent(self, name: str) -> Any:
        """Return the value that was sent for a variable, or its default, or Undefined if there is neither."""
        source = self._sources.get(name)
        if source is None or source.value is not Undefined:
            return Undefined if source is None else source.value
        default = source.signature.default
        return Undefined if default is None else value_from_ast_untyped(cast("ValueNode", default.literal))


def with_sent(values: VariableValues) -> VariableValues:
    """Return these values with `Variables`, so that scalars can also read what the client sent."""
    return values._replace(coerced=Variables(values))
