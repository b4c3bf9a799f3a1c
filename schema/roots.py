"""The root fields of an operation: what each is to answer, what it costs, whether it needs a key.

This is worked out in two steps, so that of a document seen before only the second is left. What an operation
selects, and where its arguments stand, depends on its text alone (and on the variables of its directives):
its `Outline`. Judging the arguments of one request gives the values of all slots and, where an argument
decides over the form of a statement (an order, a filter that is there or not), that form.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from graphql import (
    GraphQLField,
    GraphQLObjectType,
    OperationType,
    StringValueNode,
    get_named_type,
    get_nullable_type,
    is_list_type,
)
from graphql.execution.collect_fields import FieldDetailsList, collect_fields

from db.reads import NOUNS
from db.shaping.selection import Values, are_of_license
from resolvers import reading, verification
from resolvers.errors import BadUserInput
from resolvers.reading import Shape
from schema.context import AnyShape, PlainShape
from schema.cost import Cost, cost_of_mutation, costs_of
from schema.executor import SplicingExecutor
from schema.introspection import Introspection
from schema.names import snake_case
from schema.openness import OpenIf, always, open_if_of
from schema.selections import ArgumentSite, Form, Selections, arguments_at, located, require_id

ResponsePath: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Root:
    """A field that one statement answers: of a query, or of a mutation's payload.

    `asked_by` is where the ids stand that a query's field is asked by, if they do.
    """

    path: ResponsePath
    sites: tuple[ArgumentSite[Form], ...]
    asked_by: tuple[GraphQLField, FieldDetailsList] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a root is to answer, in one form of its statement. `shape` is without values."""

    shape: AnyShape
    costs: tuple[Cost, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """What an operation asks, whatever the values of its arguments.

    `fixed_cost` is that of mutations and introspection; `gates` are the root fields where arguments may say
    that no key is needed, None where one is needed anyway. `is_introspection`: it asks for the schema alone.
    """

    roots: tuple[Root, ...]
    fixed_cost: int
    gates: "tuple[Gate, ...] | None"
    is_introspection: bool

    def is_open(self, executor: SplicingExecutor) -> bool:
        """Whether a request needs no key, given its arguments."""
        return self.gates is not None and all(gate.is_open(executor) for gate in self.gates)


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """A root field that can be asked for without a key, if its arguments are such as `open_if` says."""

    field: GraphQLField
    details: FieldDetailsList
    open_if: OpenIf

    def is_open(self, executor: SplicingExecutor) -> bool:
        """Whether the field needs no key in this request."""
        return self.open_if(arguments_at(self.field, self.details, executor.variable_values))


@dataclass(slots=True)
class Judged:
    """The arguments of one request: the form each takes, the values, and how many objects a root asks for."""

    forms: list[Form] = field(default_factory=list)
    values: list[Values] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)


def judge(outline: Outline, executor: SplicingExecutor) -> Judged:
    """Judge the arguments of a request whose outline is known. Raises GraphQLError."""
    judged = Judged()
    for root in outline.roots:
        judged.counts.append(1 if root.asked_by is None else _count(*root.asked_by, executor))
        values = Values()
        judged.forms += [site.judge(executor.variable_values, values) for site in root.sites]
        judged.values.append(values)
    return judged


@dataclass(frozen=True, slots=True)
class Answers:
    """What each root of an outline is to answer, in one form of their statements."""

    outline: Outline
    roots: tuple[Answer, ...]

    def cost(self, judged: Judged) -> int:
        """The cost of the whole operation."""
        total = self.outline.fixed_cost
        for answer, values, count in zip(self.roots, judged.values, judged.counts, strict=True):
            total += count * max(cost.of(values.items) for cost in answer.costs)
        return total

    def shapes(self, judged: Judged) -> dict[ResponsePath, AnyShape]:
        """What the statements are to answer, by response path."""
        return {
            root.path: answer.shape.with_values(values)
            for root, answer, values in zip(self.outline.roots, self.roots, judged.values, strict=True)
        }


class Survey:
    """Goes over an operation's root fields, once for each form of its statements, before any is executed.

    Raises GraphQLError for an argument that cannot be understood.
    """

    def __init__(self, executor: SplicingExecutor) -> None:
        self._executor = executor
        self._selections = Selections(executor)
        self._introspection = Introspection(executor)
        self._roots: list[Root] = []
        self._answers: list[Answer] = []
        self.judged = Judged()
        fixed_cost = 0
        is_introspection = True
        gates: list[Gate] | None = []
        is_mutation = executor.operation.operation is OperationType.MUTATION
        type = executor.schema.get_root_type(executor.operation.operation)
        assert type is not None
        for key, details in self._root_fields(type):
            name = details[0].node.name.value
            if name.startswith("__"):
                fixed_cost += self._cost_of_introspection(name, details)
                continue
            is_introspection = False
            field, known = type.fields[name], len(self._answers)
            if is_mutation:
                fixed_cost += cost_of_mutation(field)
                self._add_mutation(key, field, details)
            else:
                self._add_query(key, field, details)
            found = _gates(field, details, [answer.shape for answer in self._answers[known:]])
            gates = None if gates is None or found is None else gates + found
        self.outline = Outline(
            tuple(self._roots),
            fixed_cost,
            None if gates is None else tuple(gates),
            is_introspection,
        )
        self.answers = Answers(self.outline, tuple(self._answers))

    def _root_fields(self, root: GraphQLObjectType) -> list[tuple[str, FieldDetailsList]]:
        executor = self._executor
        collected = collect_fields(
            executor.schema, executor.fragments, executor.variable_values, root, executor.operation
        )
        return list(collected.grouped_field_set.items())

    def _cost_of_introspection(self, name: str, details: FieldDetailsList) -> int:
        match name:
            case "__schema":
                return self._introspection.cost_of_schema(details)
            case "__type":
                (argument,) = details[0].node.arguments or ()
                literal = argument.value.value if isinstance(argument.value, StringValueNode) else None
                return self._introspection.cost_of_type(literal, details)
            case _:
                return 0

    def _add_query(self, key: str, field: GraphQLField, details: FieldDetailsList) -> None:
        asked_by = (field, details) if _is_asked_by_ids(field) else None
        count = 1 if asked_by is None else _count(*asked_by, self._executor)
        shape = self._selections.shape(field, details) or self._selections.plain_shape(field, details)
        self._add((key,), shape, count, asked_by)

    def _add_mutation(self, key: str, field: GraphQLField, details: FieldDetailsList) -> None:
        payload = get_named_type(field.type)
        assert isinstance(payload, GraphQLObjectType)
        for child_key, child in self._executor.collect_subfields(payload, details).grouped_field_set.items():
            name = child[0].node.name.value
            shape = None if name == "__typename" else self._selections.shape(payload.fields[name], child)
            if shape is not None:
                self._add((key, child_key), shape, 1, None)

    def _add(
        self,
        path: ResponsePath,
        shape: AnyShape,
        count: int,
        asked_by: tuple[GraphQLField, FieldDetailsList] | None,
    ) -> None:
        self._roots.append(Root(path, tuple(self._selections.sites), asked_by))
        self._answers.append(Answer(shape.with_values(Values()), costs_of(shape)))
        self.judged.forms += self._selections.forms
        self.judged.values.append(shape.values)
        self.judged.counts.append(count)


def _gates(field: GraphQLField, details: FieldDetailsList, shapes: Iterable[AnyShape]) -> list[Gate] | None:
    """What a request without a key has to pass, or None: it does not. Nobody gets beyond a license so."""
    open_if = open_if_of(field)
    shows_no_more = all(
        isinstance(shape, PlainShape) or (isinstance(shape, Shape) and are_of_license(shape.fields))
        for shape in shapes
    )
    if open_if is None or not shows_no_more:
        return None
    return [] if open_if is always else [Gate(field, details, open_if)]


def _is_asked_by_ids(field: GraphQLField) -> bool:
    """Whether a root field takes ids: one to be judged, or a list that tells how many objects it finds."""
    return not field.args.keys().isdisjoint({"id", "ids"}) or is_list_type(get_nullable_type(field.type))


def _count(field: GraphQLField, details: FieldDetailsList, executor: SplicingExecutor) -> int:
    """How many objects a root field asks for, having judged the ids it asks for them by."""
    arguments: dict[str, Any] = arguments_at(field, details, executor.variable_values)
    try:
        if "ids" in arguments:
            reading.require_few(arguments["ids"])
            return len(arguments["ids"])
        proofs = next(iter(arguments.get("by", {}).items()), None)
        if proofs is not None and isinstance(proofs[1], list):
            verification.require_few(snake_case(proofs[0]), proofs[1])
            return len(proofs[1])
        noun = NOUNS.get(get_named_type(field.type).name)
        if noun is not None and "id" in arguments:
            require_id(noun, arguments["id"])
    except BadUserInput as error:
        raise located(error, details) from None
    return 1
