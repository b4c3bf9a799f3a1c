"""From a document to selections: what each root field's one statement is to answer.

Fields are collected by graphql-core itself (fragments, type conditions, directives, merging), so that a
selection holds exactly what the executor would have walked, in the order in which it would have answered.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeAlias, TypeVar

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    Node,
    ObjectFieldNode,
    VariableNode,
    get_named_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import VariableValues, get_argument_values

from db import ids
from db.reads import NOUNS
from db.shaping.nouns import Noun
from db.shaping.scans import weighed
from db.shaping.selection import (
    Connection,
    EdgeCursor,
    EdgeNode,
    EdgePart,
    Edges,
    Field,
    Group,
    HasMore,
    Lookup,
    Nodes,
    Object,
    ObjectList,
    Page,
    PageCursor,
    Part,
    Scalar,
    Slot,
    Total,
    Typename,
    Value,
    Values,
)
from resolvers import paging
from resolvers.errors import BadUserInput
from resolvers.inputs import is_storable
from resolvers.reading import FieldShape, Shape, ShapeByNoun
from schema.context import AnyShape, PlainShape
from schema.executor import SplicingExecutor
from schema.names import camel_case, snake_case

_CONNECTIONS = {f"{noun.name}Connection": noun for noun in NOUNS.values()}
_NODE = "Node"


Form: TypeAlias = Page | Lookup | Slot | None
"""What an argument decides about the form of a statement; its values are in slots."""


F_co = TypeVar("F_co", bound=Form, covariant=True)


class ArgumentSite(Protocol[F_co]):
    """A place in a document where arguments stand that a statement depends on."""

    def judge(self, variables: VariableValues, values: Values) -> F_co:
        """Check the arguments of a request and put their values into slots. Raises GraphQLError."""


@dataclass(frozen=True, slots=True)
class _PageSite:
    """The arguments of a connection."""

    noun: Noun
    field: GraphQLField
    details: FieldDetailsList

    def judge(self, variables: VariableValues, values: Values) -> Page:
        arguments = arguments_at(self.field, self.details, variables)
        try:
            return paging.page(self.noun, _page_arguments(arguments), values)
        except BadUserInput as error:
            raise located(error, self.details) from None


@dataclass(frozen=True, slots=True)
class _LookupSite:
    """The arguments that find one row of a connection: `by`, or the attribute itself."""

    noun: Noun
    field: GraphQLField
    details: FieldDetailsList

    def judge(self, variables: VariableValues, values: Values) -> Lookup:
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


@dataclass(frozen=True, slots=True)
class _TotalSite:
    """The argument `atMost` of a total."""

    field: GraphQLField
    details: FieldDetailsList

    def judge(self, variables: VariableValues, values: Values) -> Slot | None:
        bound = arguments_at(self.field, self.details, variables).get("atMost")
        try:
            return paging.at_most(bound, values)
        except BadUserInput as error:
            raise located(error, self.details) from None


@dataclass(frozen=True, slots=True)
class _ConstantSite:
    """Arguments without a variable, judged once."""

    form: Form
    items: tuple[Value, ...]

    def judge(self, _variables: VariableValues, values: Values) -> Form:
        values.items += self.items
        return self.form


class Selections:
    """Makes the shapes of one request."""

    def __init__(self, executor: SplicingExecutor) -> None:
        self._executor = executor
        self.sites: list[ArgumentSite[Form]] = []
        """Where the arguments of the last shape stand, in the order in which they fill its slots."""
        self.forms: list[Form] = []
        """The form that each of them takes in this request."""

    def shape(self, field: GraphQLField, details: FieldDetailsList) -> AnyShape | None:
        """What a field's statement is to answer; None for a field that is not answered by one."""
        self.sites, self.forms = [], []
        named = get_named_type(field.type)
        values = Values()
        if named.name in NOUNS:
            return Shape(self._fields(NOUNS[named.name], named, details, values), values)
        if named.name in _CONNECTIONS:
            noun = _CONNECTIONS[named.name]
            connection = self._connection("", noun, field, details, values)
            return FieldShape(connection, values)
        if named.name == _NODE:
            return ShapeByNoun(dict(self._fields_by_noun(details, values)), values)
        return None

    def plain_shape(self, field: GraphQLField, details: FieldDetailsList) -> PlainShape:
        """What a field is to answer of objects that no statement writes, which hold scalars alone."""
        self.sites, self.forms = [], []
        selected = self._selected(get_named_type(field.type), details)
        return PlainShape(tuple((key, name) for key, name, _ in selected), Values())

    def _fields_by_noun(
        self, details: FieldDetailsList, values: Values
    ) -> Iterator[tuple[str, tuple[Field, ...]]]:
        for noun in NOUNS.values():
            yield noun.name, self._fields(noun, self._executor.schema.type_map[noun.name], details, values)

    def _selected(self, type: Any, details: FieldDetailsList) -> Iterator[tuple[str, str, FieldDetailsList]]:
        """The response key, the field's name and its nodes, in the order in which they are answered."""
        for key, found in self._executor.collect_subfields(type, details).grouped_field_set.items():
            yield key, found[0].node.name.value, found

    def _fields(self, noun: Noun, type: Any, details: FieldDetailsList, values: Values) -> tuple[Field, ...]:
        return tuple(
            Typename(key, noun.name)
            if name == "__typename"
            else self._field(noun, type, key, name, found, values)
            for key, name, found in self._selected(type, details)
        )

    def _field(
        self,
        noun: Noun,
        type: GraphQLObjectType,
        key: str,
        name: str,
        details: FieldDetailsList,
        values: Values,
    ) -> Field:
        field, attribute = type.fields[name], snake_case(name)
        if attribute in noun.attributes:
            return Scalar(key, attribute, noun.attributes[attribute].cost)
        target = get_named_type(field.type)
        if attribute in noun.connections:
            return self._connection(key, _CONNECTIONS[target.name], field, details, values, noun)
        child = NOUNS[target.name]
        if attribute in noun.lists:
            fields = self._fields(child, target, details, values)
            return ObjectList(key, attribute, child.name, fields, noun.lists[attribute].typical)
        by = None
        if attribute in noun.singular:
            by = self._judged(_LookupSite(child, field, details), details, values)
        return Object(key, attribute, child.name, self._fields(child, target, details, values), by)

    def _judged(self, site: ArgumentSite[F_co], details: FieldDetailsList, values: Values) -> F_co:
        """The form that the arguments at a site take, which is kept in mind with the site."""
        before = len(values.items)
        form = site.judge(self._executor.variable_values, values)
        varies = _has_variable(details[0].node.arguments)
        self.sites.append(site if varies else _ConstantSite(form, tuple(values.items[before:])))
        self.forms.append(form)
        return form

    def _connection(
        self,
        key: str,
        noun: Noun,
        field: GraphQLField,
        details: FieldDetailsList,
        values: Values,
        parent: Noun | None = None,
    ) -> Connection:
        page = self._judged(_PageSite(noun, field, details), details, values)
        name = snake_case(details[0].node.name.value) if parent else ""
        relation = parent.connections[name] if parent else None
        parts = tuple(self._parts(noun, get_named_type(field.type), details, values))
        return weighed(Connection(key, name, noun.name, page, parts), noun, relation)

    def _parts(self, noun: Noun, type: Any, details: FieldDetailsList, values: Values) -> Iterator[Part]:
        for key, name, found in self._selected(type, details):
            match name:
                case "__typename":
                    yield Typename(key, type.name)
                case "totalCount":
                    yield Total(key, self._judged(_TotalSite(type.fields[name], found), found, values))
                case "nodes":
                    yield Nodes(key, self._fields(noun, self._type(noun), found, values))
                case "edges":
                    yield Edges(
                        key,
                        tuple(self._edge_parts(noun, get_named_type(type.fields[name].type), found, values)),
                    )
                case "pageInfo":
                    yield Group(key, tuple(self._page_info(get_named_type(type.fields[name].type), found)))
                case _:
                    raise AssertionError(f"{type.name}.{name} has no place in the statement")

    def _edge_parts(
        self, noun: Noun, type: Any, details: FieldDetailsList, values: Values
    ) -> Iterator[EdgePart]:
        for key, name, found in self._selected(type, details):
            match name:
                case "__typename":
                    yield Typename(key, type.name)
                case "cursor":
                    yield EdgeCursor(key)
                case "node":
                    yield EdgeNode(key, self._fields(noun, self._type(noun), found, values))
                case _:
                    raise AssertionError(f"{type.name}.{name} has no place in the statement")

    def _page_info(self, type: Any, details: FieldDetailsList) -> Iterator[Part]:
        for key, name, _ in self._selected(type, details):
            match name:
                case "__typename":
                    yield Typename(key, type.name)
                case "hasNextPage" | "hasPreviousPage":
                    yield HasMore(key, forward=name == "hasNextPage")
                case "startCursor" | "endCursor":
                    yield PageCursor(key, last=name == "endCursor")
                case _:
                    raise AssertionError(f"{type.name}.{name} has no place in the statement")

    def _type(self, noun: Noun) -> Any:
        return self._executor.schema.type_map[noun.name]


def arguments_at(field: GraphQLField, details: FieldDetailsList, variables: VariableValues) -> dict[str, Any]:
    """The arguments that a field is given in a request, by name."""
    node, _, fragment_variables = details[0]
    return get_argument_values(field, node, variables, fragment_variables)


def _has_variable(nodes: Iterable[Node] | None) -> bool:
    return any(
        isinstance(node, VariableNode)
        or _has_variable(getattr(node, "fields", ()))
        or _has_variable(getattr(node, "values", ()))
        or (isinstance(node, ArgumentNode | ObjectFieldNode) and _has_variable([node.value]))
        for node in nodes or ()
    )


def require_id(noun: Noun, text: str) -> None:
    """Refuse an id that cannot be one of this noun's. Raises BadUserInput."""
    if ids.prefix_of(text) != noun.prefix:
        raise BadUserInput("id", f"is not the id of a {noun.name} ({noun.prefix}_…)")


def _page_arguments(arguments: dict[str, Any]) -> paging.PageArguments:
    order = arguments.get("orderBy")
    return paging.PageArguments(
        first=arguments.get("first"),
        after=arguments.get("after"),
        last=arguments.get("last"),
        before=arguments.get("before"),
        filters=tuple(
            (snake_case(name), value.value if isinstance(value, Enum) else value)
            for name, value in (arguments.get("filter") or {}).items()
            if value is not None
        ),
        order=None if order is None else (order["field"].value, order["direction"].value == "DESC"),
    )


def located(error: BadUserInput, details: FieldDetailsList) -> GraphQLError:
    """A refused argument as an error of the field that it stands at."""
    node = details[0].node
    argument = camel_case(error.argument)
    return GraphQLError(
        f"{node.name.value}: {argument} {error}",
        nodes=[node],
        original_error=error,
        extensions={"argument": argument},
    )
