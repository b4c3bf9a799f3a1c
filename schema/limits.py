"""Limits that make the door safe to leave open. 0 switches one off.

Those of the document's form are judged right after parsing, before validation walks it; the cost, which needs
the variables, before any SQL.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
)


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
    """Raise LimitExceeded for a document that nests, aliases or asks too much."""
    measure = _Measure(document)
    for operation in measure.operations:
        _refuse_beyond(limits.max_root_fields, measure.root_fields(operation), "root fields")
        _refuse_beyond(limits.max_depth, measure.depth(operation.selection_set), "levels of depth")
    _refuse_beyond(limits.max_aliases, measure.aliases(), "aliases")


def _refuse_beyond(limit: int, found: int, what: str) -> None:
    if limit and found > limit:
        raise LimitExceeded(f"The document has more than {limit} {what}.")


class _Measure:
    """Measures a document that nothing is known of yet: its fragments may be missing or go in circles."""

    def __init__(self, document: DocumentNode) -> None:
        self._document = document
        self.operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        self._fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self._depth_by_fragment: dict[str, int] = {}
        self._fields_by_fragment: dict[str, int] = {}

    def depth(self, selections: SelectionSetNode | None) -> int:
        """The levels of fields below a selection set; introspection does not count."""
        return max(map(self._depth_of, selections.selections), default=0) if selections else 0

    def _depth_of(self, node: SelectionNode) -> int:
        match node:
            case FieldNode(name=name) if name.value.startswith("__"):
                return 0
            case FieldNode(selection_set=below):
                return 1 + self.depth(below)
            case FragmentSpreadNode(name=name):
                return self._once(self._depth_by_fragment, name.value, self.depth)
            case _:
                return self.depth(getattr(node, "selection_set", None))

    def root_fields(self, operation: OperationDefinitionNode) -> int:
        """How many fields an operation asks at its root, fragments unfolded."""
        return self._fields(operation.selection_set)

    def _fields(self, selections: SelectionSetNode | None) -> int:
        return sum(map(self._fields_of, selections.selections)) if selections else 0

    def _fields_of(self, node: SelectionNode) -> int:
        match node:
            case FieldNode():
                return 1
            case FragmentSpreadNode(name=name):
                return self._once(self._fields_by_fragment, name.value, self._fields)
            case _:
                return self._fields(getattr(node, "selection_set", None))

    def aliases(self) -> int:
        """How many aliases the document is written with."""
        return sum(
            1
            for definition in self._document.definitions
            for node in _fields_below(getattr(definition, "selection_set", None))
            if node.alias is not None
        )

    def _once(
        self, known: dict[str, int], name: str, measure: Callable[[SelectionSetNode | None], int]
    ) -> int:
        """The measure of a fragment, taken once. Inside itself it counts nothing."""
        if name not in known:
            known[name] = 0
            fragment = self._fragments.get(name)
            known[name] = measure(fragment.selection_set) if fragment else 0
        return known[name]


def _fields_below(selections: SelectionSetNode | None) -> Iterator[FieldNode]:
    for node in selections.selections if selections else ():
        if isinstance(node, FieldNode):
            yield node
        yield from _fields_below(getattr(node, "selection_set", None))
