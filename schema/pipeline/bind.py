"""Bind: turn a plan and the arguments of one request into selections, their values and the cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from graphql.execution.values import VariableValues

from asgi.idempotency import parse_key
from db.reads import NOUNS
from db.shaping.cost import Cost, cost_of_object, cost_of_page, cost_of_search
from db.shaping.selection import Connection, SearchRead, Selected, Value, Values
from resolvers.errors import BadUserInput
from schema.pipeline.arguments import (
    NO_VARIABLES,
    Assumption,
    BoundArguments,
    have_variable,
    located,
    require_id,
)
from schema.pipeline.collecting import FieldArguments
from schema.pipeline.plan import Plan, Planned, ResponsePath
from schema.pipeline.root_fields import KEY_ARGUMENT, declared
from schema.pipeline.selections import PlainFields, Selection, fill

Variant: TypeAlias = "tuple[tuple[BoundArguments, ...], ...]"
"""The bound arguments of each field of a plan. Requests with equal variants send the same statements."""


@dataclass(frozen=True, slots=True)
class RequestArguments:
    """For each field of a plan: its bound arguments, their values, and how many objects it requests."""

    variant: Variant
    values: tuple[tuple[Value, ...], ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filled:
    """A field of a plan in one variant: its selection, and its cost for each possible type of object."""

    selection: Selection
    costs: tuple[Cost, ...]


@dataclass(frozen=True, slots=True)
class Bound:
    """The selection of a request at each response path, and the total cost of the request."""

    selected: dict[ResponsePath, Selected[Selection]]
    cost: int


def arguments_of(plan: Plan, variables: VariableValues) -> RequestArguments:
    """Check and bind the arguments of a request. Raises GraphQLError if an argument is invalid."""
    for each in plan.varying:
        each.of(variables)
    for each in plan.keyed:
        _check_key(each, variables)
    variant, values, counts = [], [], []
    for field in plan.fields:
        counts.append(_count(field, variables))
        found = Values()
        variant.append(tuple([arguments.bind(variables, found) for arguments in field.arguments]))
        values.append(tuple(found.items))
    return RequestArguments(tuple(variant), tuple(values), tuple(counts))


def filled(plan: Plan, variant: Variant) -> tuple[Filled, ...]:
    """Return the fields of a plan, filled with the bound arguments of a variant."""
    found = []
    for field, bound in zip(plan.fields, variant, strict=True):
        selection = fill(field.template, field.noun, bound)
        found.append(Filled(selection, _costs_of(selection)))
    return tuple(found)


def bind(plan: Plan, arguments: RequestArguments, fields: Sequence[Filled]) -> Bound:
    """Combine the fields of a variant with the values of one request."""
    selected = {}
    cost = plan.fixed_cost
    for planned, field, values, count in zip(
        plan.fields, fields, arguments.values, arguments.counts, strict=True
    ):
        selected[planned.path] = Selected(field.selection, values)
        cost += count * max([each.of(values) for each in field.costs])
    return Bound(selected, cost)


def assumed_cost(plan: Plan, assumption: Assumption) -> int:
    """Return the cost of a plan under an assumption about its variables. Raises GraphQLError."""
    cost = plan.fixed_cost
    for field in plan.fields:
        found = Values()
        bound = [arguments.assume(assumption, found) for arguments in field.arguments]
        count, values = _assumed_count(field, assumption), tuple(found.items)
        selection = fill(field.template, field.noun, bound)
        cost += count * max([each.of(values) for each in _costs_of(selection)])
    return cost


def needs_key(plan: Plan, variables: VariableValues) -> bool:
    """Return True if a request with these variables needs a key."""
    return plan.open_fields is None or not all(
        open_field.open_if(open_field.arguments.of(variables)) for open_field in plan.open_fields
    )


def _costs_of(selection: Selection) -> tuple[Cost, ...]:
    """Return the costs of a selection, one for each type that the object may have."""
    match selection:
        case tuple():
            return (cost_of_object(selection),)
        case Connection():
            return (cost_of_page(selection),)
        case SearchRead():
            return (cost_of_search(selection),)
        case PlainFields():
            return (Cost(selection.objects),)
        case _:
            return tuple(map(cost_of_object, selection.values()))


def _assumed_count(planned: Planned, assumption: Assumption) -> int:
    if planned.root is None or not have_variable(planned.root.details[0].node.arguments):
        return _count(planned, NO_VARIABLES)
    return declared(planned.root.field).most if assumption.is_largest else 1


def _check_key(field: FieldArguments, variables: VariableValues) -> None:
    """Raise GraphQLError if a mutation's idempotency key has the wrong form."""
    key = field.of(variables).get(KEY_ARGUMENT)
    try:
        if key is not None:
            parse_key(key)
    except ValueError as error:
        raise located(BadUserInput(KEY_ARGUMENT, str(error)), field.details) from None


def _count(planned: Planned, variables: VariableValues) -> int:
    """Return the number of objects that a field requests.

    Raises GraphQLError, for example for an id of another type.
    """
    if planned.root is None:
        return 1
    field, details = planned.root.field, planned.root.details
    arguments = planned.root.of(variables)
    try:
        count = declared(field).count
        if count is not None:
            return count(arguments)
        require_id(NOUNS[planned.noun], arguments["id"])
    except BadUserInput as error:
        raise located(error, details) from None
    return 1
