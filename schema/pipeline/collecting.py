"""The fields that an operation selects, as graphql-core collects them.

Fragments, type conditions and directives are applied, and fields with the same response key are merged. A
plan therefore has exactly the fields that graphql-core would execute, in the order of the response.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import GraphQLError, GraphQLField, GraphQLObjectType, GraphQLSchema, OperationDefinitionNode
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    collect_fields,
    collect_subfields,
)
from graphql.execution.values import VariableValues, get_argument_values

from schema.pipeline.input_errors import error_of_arguments, error_of_switch


class Collected(NamedTuple):
    """A selected field: its response key, its name, and its nodes in the document."""

    key: str
    name: str
    details: FieldDetailsList


@dataclass(frozen=True, slots=True)
class FieldArguments:
    """The arguments of one field in a document."""

    field: GraphQLField
    details: FieldDetailsList

    def of(self, variables: VariableValues) -> dict[str, Any]:
        """Return the values of the arguments in a request, by name. Raises GraphQLError."""
        return arguments_at(self.field, self.details, variables)


class Collector:
    """Collects the fields of one operation. `switches` are the values of the variables in its directives."""

    def __init__(
        self,
        schema: GraphQLSchema,
        operation: OperationDefinitionNode,
        fragments: dict[str, FragmentDetails],
        switches: Mapping[str, Any],
    ) -> None:
        self.schema = schema
        self.operation = operation
        self._fragments = fragments
        self._variables = VariableValues({}, dict(switches))
        # A key includes the identity of a list of nodes. The list is kept in the value, so that no other list
        # can get the same identity.
        self._below: dict[tuple[str, int], tuple[FieldDetailsList, list[Collected]]] = {}

    def root(self, type: GraphQLObjectType) -> Iterator[Collected]:
        """Return the root fields of the operation."""
        with _switches_checked():
            collected = collect_fields(self.schema, self._fragments, self._variables, type, self.operation)
        return _listed(collected.grouped_field_set)

    def below(self, type: GraphQLObjectType, details: FieldDetailsList) -> list[Collected]:
        """Return the fields that are selected on an object of this type."""
        key = type.name, id(details)
        if key not in self._below:
            with _switches_checked():
                collected = collect_subfields(
                    self.schema, self._fragments, self._variables, self.operation, type, details
                )
            self._below[key] = details, list(_listed(collected.grouped_field_set))
        return self._below[key][1]


@contextmanager
def _switches_checked() -> Iterator[None]:
    """Replace graphql-core's errors about variables in @skip and @include with our own."""
    try:
        yield
    except GraphQLError as error:
        raise error_of_switch(error) from None


def _listed(grouped: Mapping[str, FieldDetailsList]) -> Iterator[Collected]:
    for key, details in grouped.items():
        yield Collected(key, details[0].node.name.value, details)


def arguments_at(field: Any, details: FieldDetailsList, variables: VariableValues) -> dict[str, Any]:
    """Return the values of a field's arguments in a request, by name. Raises GraphQLError."""
    node, _, fragment_variables = details[0]
    try:
        return get_argument_values(field, node, variables, fragment_variables)
    except GraphQLError as error:
        raise error_of_arguments(field, node, variables) or error from None
