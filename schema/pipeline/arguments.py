"""Arguments that a statement depends on: how they are checked and bound in each request.

Some parts of the arguments, such as the order and the names of the filters, determine which statement is
sent. They become part of the selection. Values, such as cursors and the texts of filters, go into slots.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Protocol, TypeAlias

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLField,
    IntValueNode,
    Node,
    ObjectFieldNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import VariableValues

from db import clock, ids
from db.shaping.nouns import Entries, Noun, ToMany
from db.shaping.selection import At, EntrySlots, Filter, Lookup, Page, Slot, Sought, Value, Values
from db.statistics import MOST_INTERVALS
from resolvers import paging, search, statistics
from resolvers.errors import BadUserInput
from resolvers.inputs import is_storable
from resolvers.statistics import Interval
from schema.pipeline.collecting import arguments_at
from schema.pipeline.names import camel_case, snake_case

BoundArguments: TypeAlias = Page | Lookup | Sought | Slot | EntrySlots | None
"""The forms that bound arguments have in a selection."""


class Arguments(Protocol):
    """The arguments of one field in a document. A statement depends on them."""

    def bind(self, variables: VariableValues, values: Values) -> BoundArguments:
        """Check the arguments of a request, put their values into slots, and return the result.

        Raises GraphQLError.
        """

    def assume(self, assumption: "Assumption", values: Values) -> BoundArguments:
        """Bind the arguments when the values of variables are not known. Raises GraphQLError."""


@dataclass(frozen=True, slots=True)
class Assumption:
    """What is assumed about variables, to find the largest or the smallest cost that a document can have.

    Every page size that is a variable is `page_size`. If `is_largest` is true, every other number that is a
    variable has its largest value, and optional parts count: filters in variables, and fields whose
    directives have variables. If not, these numbers are 1, and such parts are left out.
    """

    page_size: int
    is_largest: bool


LARGEST, SMALLEST = Assumption(paging.MAX_SIZE, is_largest=True), Assumption(1, is_largest=False)

NO_VARIABLES = VariableValues({}, {})


@dataclass(frozen=True, slots=True)
class PageArguments:
    """The arguments of a connection. `relation` is None for a connection over the whole account."""

    noun: Noun
    relation: ToMany | None
    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> Page:
        """Return the page that these arguments select. Raises GraphQLError."""
        arguments = arguments_at(self.field, self.details, variables)
        try:
            return paging.page(self.noun, _page_arguments(self.noun, arguments), values, self.relation)
        except BadUserInput as error:
            raise located(error, self.details) from None

    def assume(self, assumption: Assumption, values: Values) -> Page:
        """Return a page of the assumed size, with the assumed filters. Raises GraphQLError."""
        nodes = {node.name.value: node.value for node in self.details[0].node.arguments or ()}
        sizes = nodes.get("first"), nodes.get("last")
        first, last = (_size_assumed(node, assumption) for node in sizes)
        if first is not None and any(isinstance(node, VariableNode) for node in sizes):
            last = None  # only one of them can have a value in a request
        try:
            page = paging.page(self.noun, paging.PageArguments(first=first, last=last), values, self.relation)
        except BadUserInput as error:
            raise located(error, self.details) from None
        filters = _filters_assumed(self.noun, nodes, assumption)
        return replace(page, filters=tuple(Filter(name, values.slot(None)) for name in filters))


@dataclass(frozen=True, slots=True)
class LookupArguments:
    """The argument that identifies one of many related objects: `by`, or an attribute such as `slug`."""

    noun: Noun
    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> Lookup:
        """Return the lookup of the object. Raises GraphQLError."""
        arguments = arguments_at(self.field, self.details, variables)
        ((name, text),) = arguments.get("by", arguments).items()
        attribute = snake_case(name)
        try:
            if attribute == "id":
                require_id(self.noun, text)
            if not is_storable(text):
                raise BadUserInput(attribute, "must not contain NUL or lone surrogates")
        except BadUserInput as error:
            raise located(error, self.details) from None
        return Lookup(attribute, values.slot(self.noun.lookups[attribute].bind(text)))

    def assume(self, assumption: Assumption, values: Values) -> Lookup:
        """Return a lookup by id. Every lookup has the same cost, because it finds at most one object."""
        return Lookup("id", values.slot(None))


@dataclass(frozen=True, slots=True)
class TotalArguments:
    """The argument `atMost` of a total."""

    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> Slot | None:
        """Return the slot of `atMost`, or None if it is absent. Raises GraphQLError."""
        bound = arguments_at(self.field, self.details, variables).get("atMost")
        try:
            return paging.at_most(bound, values)
        except BadUserInput as error:
            raise located(error, self.details) from None

    def assume(self, assumption: Assumption, values: Values) -> Slot | None:
        """Return the slot of a limit, or None if all rows may be counted."""
        return None if assumption.is_largest else values.slot(1)


@dataclass(frozen=True, slots=True)
class SizeArguments:
    """The only argument of a field with `Entries`: the maximum number of them."""

    entries: Entries
    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> EntrySlots:
        """Return the slot of the number. Raises GraphQLError."""
        arguments = arguments_at(self.field, self.details, variables)
        name = self.entries.argument
        try:
            return (paging.number(name, arguments[camel_case(name)], self.entries.most, values),)
        except BadUserInput as error:
            raise located(error, self.details) from None

    def assume(self, assumption: Assumption, values: Values) -> EntrySlots:
        """Return the slot of the largest or the smallest number."""
        return (values.slot(self.entries.most if assumption.is_largest else 1),)


@dataclass(frozen=True, slots=True)
class IntervalArguments:
    """The arguments of statistics: from when, until when, how long an interval is, and the tier."""

    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> EntrySlots:
        """Return the slots of the intervals. Raises GraphQLError."""
        arguments = arguments_at(self.field, self.details, variables)
        every, tier_slug = Interval(arguments["every"].value), arguments.get("tierSlug")
        try:
            return statistics.intervals(arguments["from"], arguments["to"], every, tier_slug, values)
        except BadUserInput as error:
            raise located(error, self.details) from None

    def assume(self, assumption: Assumption, values: Values) -> EntrySlots:
        """Return the slots of the largest or the smallest number of intervals."""
        return statistics.assumed(MOST_INTERVALS if assumption.is_largest else 1, values)


@dataclass(frozen=True, slots=True)
class SearchArguments:
    """The arguments of a search: what is sought, in which app, and how many hits are returned."""

    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> Sought | None:
        """Return what is sought. Raises GraphQLError."""
        arguments = arguments_at(self.field, self.details, variables)
        try:
            return search.sought(arguments["text"], arguments.get("appSlug"), arguments["first"], values)
        except BadUserInput as error:
            raise located(error, self.details) from None

    def assume(self, assumption: Assumption, values: Values) -> Sought:
        """Return a search for as many words and hits as the assumption allows."""
        nodes = {node.name.value: node.value for node in self.details[0].node.arguments or ()}
        size = _size_assumed(nodes.get("first"), assumption) or search.DEFAULT_HITS
        return search.assumed(min(size, search.MAX_HITS), values, is_largest=assumption.is_largest)


@dataclass(frozen=True, slots=True)
class SnapshotArguments:
    """The argument of a snapshot: its time."""

    field: GraphQLField
    details: FieldDetailsList

    def bind(self, variables: VariableValues, values: Values) -> Slot:
        """Return the slot of the time. It is checked when the snapshot is read (`resolvers.history`)."""
        return values.slot(At(clock.as_text(arguments_at(self.field, self.details, variables)["at"])))

    def assume(self, assumption: Assumption, values: Values) -> Slot:
        """Return the slot of any time."""
        return values.slot(At())


@dataclass(frozen=True, slots=True)
class ConstantArguments:
    """Arguments without variables.

    If the values begin at the same slot, binding has the same result in every request. The result is
    therefore kept for each first slot.
    """

    arguments: Arguments
    bound: dict[Slot, tuple[BoundArguments, tuple[Value, ...]]] = field(default_factory=dict, compare=False)

    def bind(self, variables: VariableValues, values: Values) -> BoundArguments:
        """Return the result of the arguments' own `bind`, which runs once for each first slot."""
        begin = len(values.items)
        if begin in self.bound:
            bound, items = self.bound[begin]
            values.items += items
        else:
            bound = self.arguments.bind(variables, values)
            self.bound[begin] = bound, tuple(values.items[begin:])
        return bound

    def assume(self, assumption: Assumption, values: Values) -> BoundArguments:
        """Return the result of `bind`, which does not depend on variables."""
        return self.bind(NO_VARIABLES, values)


def have_variable(nodes: Iterable[Node] | None) -> bool:
    """Return True if any of these nodes contains a variable."""
    return any(
        isinstance(node, VariableNode)
        or have_variable(getattr(node, "fields", ()))
        or have_variable(getattr(node, "values", ()))
        or (isinstance(node, ArgumentNode | ObjectFieldNode) and have_variable([node.value]))
        for node in nodes or ()
    )


def require_id(noun: Noun, text: str) -> None:
    """Raise BadUserInput if an id cannot belong to this noun."""
    if ids.prefix_of(text) != noun.prefix:
        raise BadUserInput("id", f"is not the id of a {noun.name} ({noun.prefix}_…)")


def located(error: BadUserInput, details: FieldDetailsList) -> GraphQLError:
    """Return the error of an invalid argument, located at the argument's field."""
    node = details[0].node
    argument = camel_case(error.argument)
    return GraphQLError(
        f"{node.name.value}: {argument} {error}",
        nodes=[node],
        original_error=error,
        extensions={"argument": argument},
    )


def _size_assumed(node: ValueNode | None, assumption: Assumption) -> int | None:
    """Return the value of `first` or `last`: the assumed size for a variable, or None if there is none."""
    if isinstance(node, VariableNode):
        return assumption.page_size
    return int(node.value) if isinstance(node, IntValueNode) else None


def _filters_assumed(noun: Noun, nodes: Mapping[str, ValueNode], assumption: Assumption) -> Iterator[str]:
    """Yield the names of a connection's filters.

    A filter whose value is a literal always counts. A filter whose value is a variable only counts for the
    largest cost, and only if its `scan` is not 0.
    """
    given = nodes.get("filter")
    for name, node in nodes.items():
        if snake_case(name) in noun.filters and not isinstance(node, VariableNode):
            yield snake_case(name)
    if isinstance(given, ObjectValueNode):
        for each in given.fields:
            name = snake_case(each.name.value)
            if not isinstance(each.value, VariableNode) or (
                assumption.is_largest and noun.filters[name].scan
            ):
                yield name
    elif isinstance(given, VariableNode) and assumption.is_largest:
        # A filter whose `scan` is 0 finds its rows directly, so it only makes a read cheaper.
        yield from (name for name, condition in noun.filters.items() if condition.scan)


def _plain(value: Any) -> Any:
    """Return a value with enums replaced by their values."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value.value if isinstance(value, Enum) else value


def _page_arguments(noun: Noun, arguments: dict[str, Any]) -> paging.PageArguments:
    order = arguments.get("orderBy")
    given = {**arguments, **(arguments.get("filter") or {})}
    return paging.PageArguments(
        first=arguments.get("first"),
        after=arguments.get("after"),
        last=arguments.get("last"),
        before=arguments.get("before"),
        filters=tuple(
            (snake_case(name), _plain(value))
            for name, value in given.items()
            if value is not None and snake_case(name) in noun.filters
        ),
        order=None if order is None else (order["field"].value, order["direction"].value == "DESC"),
    )
