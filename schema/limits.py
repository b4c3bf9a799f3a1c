"""Limits that make the door safe to leave open. 0 switches one off.

Those of the document's form are judged right after parsing, before validation walks it; the cost, which needs
the variables, before any SQL.
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

INTROSPECTION_DEPTH = 20
"""How deep introspection may go: the documents of the common clients have up to 15 levels."""

COMPARISONS = 10_000
"""How many pairs of fields may stand for the same field of the response: validation compares all of them."""

MOST_VALUES = 10_000
"""How many values the variables of a request may hold, those inside of lists and objects included."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a request may be."""

    max_tokens: int = 5_000
    max_depth: int = 15
    max_aliases: int = 100
    max_root_fields: int = 50
    max_cost: int = 20_000
    max_body_bytes: int = 1_048_576


class LimitExceeded(GraphQLError):
    """A document is beyond a limit of its form."""


def check_form(document: DocumentNode, limits: Limits) -> None:
    """Raise LimitExceeded for a document that nests, aliases, repeats or asks too much.

    Fragments count wherever they are spread. All of a document together unfolds to no more fields than it may
    have tokens.
    """
    unfolding = _Unfolding(document, limits)
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            fields = unfolding.fields_of(definition)
            _refuse_beyond(limits.max_root_fields, sum(map(len, fields.values())), "root fields")
            unfolding.unfold(fields, 1, limits.max_depth)
    # Validation reads those that are spread nowhere, too.
    for definition in document.definitions:
        if isinstance(definition, FragmentDefinitionNode) and definition.name.value not in unfolding.spread:
            unfolding.unfold(unfolding.fields_of(definition), 1, limits.max_depth)
    if limits.max_aliases:
        _refuse_beyond(limits.max_aliases, _aliases(document), "aliases")


def check_variables(variables: Mapping[str, Any]) -> None:
    """Raise LimitExceeded for variables that would take long to coerce."""
    waiting: list[Any] = [variables]
    held = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping | list):
            held += len(value)
            if held > MOST_VALUES:
                raise LimitExceeded(f"variables hold more than {MOST_VALUES} values.")
            waiting += value.values() if isinstance(value, Mapping) else value


def root_fields(document: DocumentNode, operation: OperationDefinitionNode, limits: Limits) -> set[str]:
    """The names of the fields that an operation asks at its root. Raises LimitExceeded."""
    fields = _Unfolding(document, limits).fields_of(operation)
    return {node.name.value for nodes in fields.values() for node, _ in nodes}


_Fragments: TypeAlias = frozenset[str]
_Fields: TypeAlias = dict[str, list[tuple[FieldNode, _Fragments]]]
"""The fields selected of one object, by response key, each with the fragments that it stands in."""


class _Unfolding:
    """Unfolds a document of which nothing is known yet: its fragments may be missing or go in circles.

    Fields of one response key are taken together, as if all of them were of one type.
    """

    def __init__(self, document: DocumentNode, limits: Limits) -> None:
        self._limits = limits
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._selections = 0
        self._comparisons = 0
        self.spread: set[str] = set()
        """The fragments that are spread anywhere in what was unfolded."""

    def fields_of(self, definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Fields:
        """The fields at the root of an operation or a fragment. Raises LimitExceeded."""
        return self._grouped([(definition.selection_set, frozenset())])

    def unfold(self, fields: _Fields, depth: int, max_depth: int) -> None:
        """Unfold the fields of an object that stands at this depth. Raises LimitExceeded."""
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
