"""The cost of introspection: half the number of fields in the result, counted before execution.

A few hundred bytes of fragments can request millions of fields. Counting visits each pair of a schema element
and a selection on that element only once. Counting is therefore fast, even if execution would be very slow.
"""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from graphql import GraphQLField, get_named_type, get_nullable_type, is_list_type
from graphql.execution.collect_fields import FieldDetailsList

from schema.pipeline.arguments import have_variable
from schema.pipeline.collecting import Collector, FieldArguments

FIELDS_PER_OBJECT = 2
MOST_STEPS = 40_000
"""The maximum number of fields, summed over all pairs. A document with more costs `BEYOND_EVERY_LIMIT`."""
BEYOND_EVERY_LIMIT = 1_000_000_000


class Introspection:
    """Counts the fields in the result of an operation's introspection."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._schema = collector.schema
        self._info = SimpleNamespace(schema=collector.schema)
        self._counts: dict[tuple[int, int], int] = {}
        self._steps = 0
        self._varying: dict[int, FieldArguments] = {}

    @property
    def varying(self) -> Iterable[FieldArguments]:
        """The arguments of fields below `__schema` and `__type`, if they contain variables."""
        return self._varying.values()

    def cost_of_schema(self, details: FieldDetailsList) -> int:
        """Return the cost of a `__schema` field."""
        return self._cost("__Schema", self._schema, details)

    def cost_of_type(self, name: str | None, details: FieldDetailsList) -> int:
        """Return the cost of a `__type` field.

        If the name of the type is in a variable, `name` is None. Then this is the cost of the most expensive
        type.
        """
        types = self._schema.type_map
        asked = types.keys() if name is None else types.keys() & {name}
        return max((self._cost("__Type", types[each], details) for each in asked), default=0)

    def _cost(self, meta_type: str, asked: Any, details: FieldDetailsList) -> int:
        count = self._count(self._schema.type_map[meta_type], asked, details)
        return (count + 1) // FIELDS_PER_OBJECT if self._steps <= MOST_STEPS else BEYOND_EVERY_LIMIT

    def _count(self, meta_type: Any, asked: Any, details: FieldDetailsList) -> int:
        # graphql-core returns named elements as (name, element) tuples, and creates new tuples each time. The
        # key therefore uses the identity of the element.
        key = id(asked[1] if isinstance(asked, tuple) else asked), id(details)
        if key not in self._counts:
            selected = self._collector.below(meta_type, details)
            self._steps += len(selected)
            for _, name, below in selected:
                if have_variable(below[0].node.arguments):
                    self._varying[id(below)] = FieldArguments(meta_type.fields[name], below)
            self._counts[key] = len(selected) + sum(
                self._count(get_named_type(field.type), part, below)
                for _, name, below in selected
                if below[0].node.selection_set is not None
                for field in [meta_type.fields[name]]
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
