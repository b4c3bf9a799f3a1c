"""The root fields of one request: what each is to answer, what it costs, whether it needs a key."""

from typing import Any

from graphql import GraphQLField, GraphQLObjectType, OperationType, get_named_type
from graphql.execution.collect_fields import FieldDetailsList, collect_fields
from graphql.execution.values import get_argument_values

from db.reads import NOUNS
from resolvers import reading
from resolvers.errors import BadUserInput
from schema.context import AnyShape
from schema.cost import MUTATION_COST, cost_of
from schema.executor import SplicingExecutor
from schema.selections import Selections, located, require_id


class Roots:
    """Goes over an operation's root fields once, before anything is executed.

    `shapes` are what the statements are to answer, by response path; `cost` is that of the whole operation;
    `are_open` says that no root field needs a key.

    Raises GraphQLError for an argument that cannot be understood, and LimitExceeded.
    """

    def __init__(self, executor: SplicingExecutor, max_fields: int) -> None:
        self.shapes: dict[tuple[str, ...], AnyShape] = {}
        self.cost = 0
        self.are_open = True
        self._executor = executor
        self._selections = Selections(executor, max_fields)
        is_mutation = executor.operation.operation is OperationType.MUTATION
        root = executor.schema.get_root_type(executor.operation.operation)
        assert root is not None
        for key, details in self._root_fields(root):
            name = details[0].node.name.value
            if name.startswith("__"):
                continue
            self.are_open = False
            if is_mutation:
                self._add_mutation(key, root.fields[name], details)
            else:
                self._add_query(key, root.fields[name], details)

    def _root_fields(self, root: GraphQLObjectType) -> list[tuple[str, FieldDetailsList]]:
        executor = self._executor
        collected = collect_fields(
            executor.schema, executor.fragments, executor.variable_values, root, executor.operation
        )
        return list(collected.grouped_field_set.items())

    def _add_query(self, key: str, field: GraphQLField, details: FieldDetailsList) -> None:
        arguments = get_argument_values(field, details[0].node, self._executor.variable_values)
        try:
            count = self._count(field, arguments)
        except BadUserInput as error:
            raise located(error, details) from None
        shape = self._selections.shape(field, details)
        assert shape is not None
        self.shapes[(key,)] = shape
        self.cost += cost_of(shape, count)

    @staticmethod
    def _count(field: GraphQLField, arguments: dict[str, Any]) -> int:
        """How many objects a root field asks for, having judged the ids it asks for them by."""
        if "ids" in arguments:
            reading.require_few(arguments["ids"])
            return len(arguments["ids"])
        noun = NOUNS.get(get_named_type(field.type).name)
        if noun is not None and "id" in arguments:
            require_id(noun, arguments["id"])
        return 1

    def _add_mutation(self, key: str, field: GraphQLField, details: FieldDetailsList) -> None:
        self.cost += MUTATION_COST
        payload = get_named_type(field.type)
        assert isinstance(payload, GraphQLObjectType)
        for child_key, child in self._executor.collect_subfields(payload, details).grouped_field_set.items():
            name = child[0].node.name.value
            shape = None if name == "__typename" else self._selections.shape(payload.fields[name], child)
            if shape is not None:
                self.shapes[key, child_key] = shape
                self.cost += cost_of(shape)
