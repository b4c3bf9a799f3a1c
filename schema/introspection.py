"""What introspection costs: half of the fields that it answers, counted before any of them is.

A few hundred bytes of fragments ask for millions of fields. They are counted by going once through each pair
of a part of the schema and what is selected of it, which takes little where answering would take very long.
"""

from types import SimpleNamespace
from typing import Any

from graphql import GraphQLField, get_named_type, get_nullable_type, is_list_type
from graphql.execution.collect_fields import FieldDetailsList

from schema.executor import SplicingExecutor

FIELDS_PER_OBJECT = 2
MOST_STEPS = 40_000
"""How many selected fields are looked at. A document that has more costs `BEYOND_EVERY_LIMIT`."""
BEYOND_EVERY_LIMIT = 1_000_000_000


class Introspection:
    """Counts the fields that an operation's introspection answers."""

    def __init__(self, executor: SplicingExecutor) -> None:
        self._executor = executor
        self._info = SimpleNamespace(schema=executor.schema)
        self._counts: dict[tuple[int, int], int] = {}
        self._steps = 0

    def cost_of_schema(self, details: FieldDetailsList) -> int:
        """The cost of a field `__schema`."""
        return self._cost("__Schema", self._executor.schema, details)

    def cost_of_type(self, name: str | None, details: FieldDetailsList) -> int:
        """The cost of a field `__type`, of the type of this name; None: of whichever costs most."""
        types = self._executor.schema.type_map
        asked = types.keys() if name is None else types.keys() & {name}
        return max((self._cost("__Type", types[each], details) for each in asked), default=0)

    def _cost(self, meta_type: str, asked: Any, details: FieldDetailsList) -> int:
        count = self._count(self._executor.schema.type_map[meta_type], asked, details)
        return (count + 1) // FIELDS_PER_OBJECT if self._steps <= MOST_STEPS else BEYOND_EVERY_LIMIT

    def _count(self, meta_type: Any, asked: Any, details: FieldDetailsList) -> int:
        # A part with a name comes as a pair that is made anew each time.
        key = id(asked[1] if isinstance(asked, tuple) else asked), id(details)
        if key not in self._counts:
            selected = self._executor.collect_subfields(meta_type, details).grouped_field_set.values()
            self._steps += len(selected)
            self._counts[key] = len(selected) + sum(
                self._count(get_named_type(field.type), part, below)
                for below in selected
                if below[0].node.selection_set is not None
                for field in [meta_type.fields[below[0].node.name.value]]
                for part in self._parts(field, asked)
            )
        return self._counts[key]

    def _parts(self, field: GraphQLField, asked: Any) -> list[Any]:
        if self._steps > MOST_STEPS:
            return []
        assert field.resolve is not None
        deprecated = {"includeDeprecated": True} if "includeDeprecated" in field.args else {}
        found = field.resolve(asked, self._info, **deprecated)
        if found is None:
            return []
        return list(found) if is_list_type(get_nullable_type(field.type)) else [found]
