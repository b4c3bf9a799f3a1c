"""Limits on the size and the cost of a request. 0 turns a limit off.

The limits on a document's form are checked right after parsing, before validation visits every node. The cost
depends on the variables, so it is checked later, but before any SQL is sent.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)

from schema.pipeline.errors import Code, RequestRefused

INTROSPECTION_DEPTH = 20
"""The maximum depth of introspection. Common clients send documents with up to 15 levels."""

COMPARISONS = 10_000
"""The maximum number of pairs of fields with the same place in the response.

Validation compares all of these pairs.
"""

MOST_VALUES = 10_000
"""The maximum number of values in the variables of a request, including those inside lists and objects."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits on the size and the cost of a request."""

    max_tokens: int = 5_000
    max_depth: int = 15
    max_aliases: int = 100
    max_root_fields: int = 50
    max_cost: int = 20_000
    max_body_bytes: int = 1_048_576


class LimitExceeded(GraphQLError):
    """A document or its variables exceed a limit."""


def check_form(document: DocumentNode, limits: Limits) -> None:
    """Raise LimitExceeded if a document has too many fields, levels, aliases or repetitions.

    A fragment counts for every place in the response where it is spread, but its aliases count only once.
    With all fragments expanded, a document may have at most `max_tokens` selections.
    """
    unfolding = _Unfolding(document, limits)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            fields = unfolding.fields_of(definition)
            _refuse_beyond(limits.max_root_fields, sum(map(len, fields.values())), "root fields")
            unfolding.unfold(fields, 1, limits.max_depth)
    # Validation also visits fragments that are never spread.
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode) and definition.name.value not in unfolding.spread:
            unfolding.unfold(unfolding.fields_of(definition), 1, limits.max_depth)
    if limits.max_aliases:
        _refuse_beyond(limits.max_aliases, _aliases(document), "aliases")


def check_variables(variables: Mapping[str, Any]) -> None:
    """Raise LimitExceeded if the variables have too many values, because coercing them would take long."""
    waiting: list[Any] = [variables]
    held = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping | list):
            held += len(value)
            if held > MOST_VALUES:
                raise LimitExceeded(f"variables hold more than {MOST_VALUES} values.")
            waiting += value.values() if isinstance(value, Mapping) else value


def check_cost(cost: int, limits: Limits) -> None:
    """Raise RequestRefused if the cost of a request is above the limit."""
    maximum = limits.max_cost
    if maximum and cost > maximum:
        error = GraphQLError(
            f"The document could return {cost} objects; at most {maximum} are allowed. "
            "Ask for smaller pages.",
            extensions={"cost": {"requested": cost, "maximum": maximum}},
        )
        raise RequestRefused([error], Code.COST_LIMIT_EXCEEDED)


def root_fields(document: DocumentNode, operation: OperationDefinitionNode, limits: Limits) -> set[str]:
    """Return the names of an operation's root fields. Raises LimitExceeded."""
    fields = _Unfolding(document, limits).fields_of(operation)
    return {node.name.value for nodes in fields.values() for node, _ in nodes}


_Fragments: TypeAlias = frozenset[str]
_Fields: TypeAlias = dict[str, list[tuple[FieldNode, _Fragments]]]
"""The fields selected on one object, by response key, each with the fragments that contain it."""


class _Unfolding:
    """Expands fragments before validation, when fragments may still be missing or form cycles.

    Fields with the same response key are treated as one field, even if the types of their objects differ.
    """

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._selections = 0
        self._comparisons = 0
        self.spread: set[str] = set()
        """The fragments that have been spread so far."""

    def fields_of(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Fields:
        """Return the fields at the root of an operation or a fragment. Raises LimitExceeded."""
        return self._grouped([(definition.selection_set, frozenset())])

    def unfold(self, fields: _Fields, depth: int, max_depth: int) -> None:
        """Expand the fields of an object at this depth. Raises LimitExceeded."""
        for key, nodes in fields.items():
            self._comparisons += len(nodes) * (len(nodes) - 1) // 2
            if self._limits.max_tokens and self._comparisons > COMPARISONS:
                raise LimitExceeded(f"The document selects the same fields too often, {key} among them.")
            is_introspection = nodes[0][0].name.value.startswith("__")
            if not is_introspection:
                _refuse_beyond(max_depth, depth, "levels of depth")
            below = [(node.selection_set, inside) for node, inside in nodes if node.selection_set]
            if below:
                self.unfold(
                    self._grouped(below), depth + 1, INTROSPECTION_DEPTH if is_introspection else max_depth
                )

    def _grouped(self, sets: Iterable[tuple[SelectionSetNode, _Fragments]]) -> _Fields:
        found: _Fields = {}
        seen: set[str] = set()
        for selected, inside in sets:
            for field, around in self._selected(selected, inside, seen):
                key = field.alias.value if field.alias else field.name.value
                found.setdefault(key, []).append((field, around))
        return found

    def _selected(
        self, selected: SelectionSetNode, inside: _Fragments, seen: set[str]
    ) -> Iterator[tuple[FieldNode, _Fragments]]:
        for node in selected.selections:
            self._selections += 1
            if self._limits.max_tokens and self._selections > self._limits.max_tokens:
                raise LimitExceeded(f"The document unfolds to more than {self._limits.max_tokens} fields.")
            if isinstance(node, FieldNode):
                yield node, inside
            elif isinstance(node, InlineFragmentNode):
                yield from self._selected(node.selection_set, inside, seen)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen | inside:
                name = node.name.value
                seen.add(name)
                self.spread.add(name)
                if name in self._fragments:
                    yield from self._selected(self._fragments[name].selection_set, inside | {name}, seen)


def _refuse_beyond(limit: int, found: int, what: str) -> None:
    if limit and found > limit:
        raise LimitExceeded(f"The document has more than {limit} {what}.")


def _aliases(document: DocumentNode) -> int:
    return sum(
        field.alias is not None
        for definition in document.definitions
        for field in _fields_below(getattr(definition, "selection_set", None))
    )


def _fields_below(selections: SelectionSetNode | None) -> Iterator[FieldNode]:
    for node in selections.selections if selections else ():
        if isinstance(node, FieldNode):
            yield node
        yield from _fields_below(getattr(node, "selection_set", None))
