"""Templates of selections: what a field's statement returns, before the arguments of a request are known.

A template is a selection with an `Argument` in each place that depends on arguments. `fill` replaces each
`Argument` with the bound arguments (`schema.pipeline.arguments`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar, cast

from graphql import GraphQLField, GraphQLObjectType, get_named_type
from graphql.execution.collect_fields import FieldDetailsList

from db.reads import NOUNS
from db.search import HIT
from db.shaping.nouns import Breakdown, Figures, Noun, ToMany
from db.shaping.scans import scan_of_search, with_scan_costs
from db.shaping.selection import (
    BreakdownList,
    Connection,
    EdgeCursor,
    EdgeNode,
    EdgePart,
    Edges,
    EmbeddedObject,
    EntryList,
    EntrySlots,
    Field,
    Fields,
    FiguresObject,
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
    SearchRead,
    Slot,
    Snapshot,
    Sought,
    Total,
    Typename,
)
from resolvers.reading import FieldsByNoun
from schema.pipeline.arguments import (
    Arguments,
    BoundArguments,
    ConstantArguments,
    IntervalArguments,
    LookupArguments,
    PageArguments,
    SearchArguments,
    SizeArguments,
    SnapshotArguments,
    TotalArguments,
    have_variable,
)
from schema.pipeline.collecting import Collector
from schema.pipeline.names import snake_case

_CONNECTIONS = {f"{noun.name}Connection": noun for noun in NOUNS.values()}
_NODE = "Node"


@dataclass(frozen=True, slots=True)
class PlainFields:
    """The selected fields of an object that comes from a Python function.

    Each field has its response key, its name, and what is selected on the object that it returns, if any.
    """

    fields: "tuple[tuple[str, str, PlainFields | None], ...]"

    @property
    def objects(self) -> int:
        """Return the number of objects: this one and all objects below it."""
        return 1 + sum(below.objects for _, _, below in self.fields if below is not None)


Selection: TypeAlias = Fields | Connection | FieldsByNoun | SearchRead | PlainFields
"""What is selected at a root field, or on an object in a mutation's payload."""


@dataclass(frozen=True, slots=True)
class Argument:
    """A placeholder for the arguments with this index."""

    index: int


class TemplateBuilder:
    """Builds the template of one field. `arguments` are those that the template depends on, in order."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.arguments: list[Arguments] = []

    def of(self, field: GraphQLField, details: FieldDetailsList) -> Selection | None:
        """Return the template of a field, or None if no statement returns its value."""
        named = get_named_type(field.type)
        if named.name in NOUNS:
            return self._fields(NOUNS[named.name], named, details)
        if named.name in _CONNECTIONS:
            return self._connection("", _CONNECTIONS[named.name], field, details, None)
        if named.name == HIT.name:
            sought: Any = self._argument(SearchArguments(field, details), details)
            return SearchRead(self._fields(HIT, named, details), sought)
        if named.name == _NODE:
            return {noun.name: self._fields(noun, self._type(noun), details) for noun in NOUNS.values()}
        return None

    def plain(self, field: GraphQLField, details: FieldDetailsList) -> PlainFields:
        """Return the template of a field whose objects come from a Python function."""
        type = cast("GraphQLObjectType", get_named_type(field.type))
        selected = self._collector.below(type, details)
        return PlainFields(
            tuple((key, name, self._plain_below(type, name, found)) for key, name, found in selected)
        )

    def _plain_below(
        self, type: GraphQLObjectType, name: str, details: FieldDetailsList
    ) -> PlainFields | None:
        field = type.fields.get(name)  # None for __typename
        if field is None or not isinstance(get_named_type(field.type), GraphQLObjectType):
            return None
        return self.plain(field, details)

    def _fields(self, noun: Noun, type: Any, details: FieldDetailsList) -> Fields:
        return tuple(
            Typename(key, noun.name) if name == "__typename" else self._field(noun, type, key, name, found)
            for key, name, found in self._collector.below(type, details)
        )

    def _field(self, noun: Noun, type: Any, key: str, name: str, details: FieldDetailsList) -> Field:
        field, attribute = type.fields[name], snake_case(name)
        if attribute in noun.attributes:
            return Scalar(key, attribute, noun.attributes[attribute].cost)
        target = get_named_type(field.type)
        if attribute in noun.embedded:
            return EmbeddedObject(key, attribute, tuple(self._plain_fields(target, details)))
        if attribute in noun.entries:
            entries = noun.entries[attribute]
            arguments = (
                SizeArguments(entries, field, details)
                if entries.argument
                else IntervalArguments(field, details)
            )
            slots: Any = self._argument(arguments, details)
            shown = tuple(self._plain_fields(target, details))
            counted = (entries.about.get(part.name) for part in shown if isinstance(part, Scalar))
            return EntryList(key, attribute, shown, slots, next(filter(None, counted), None))
        if attribute in noun.figures:
            return self._figures(noun.figures[attribute], target, key, attribute, details)
        if attribute == "snapshot":
            at: Any = self._argument(SnapshotArguments(field, details), details)
            return Snapshot(key, at)
        if attribute in noun.connections:
            relation = noun.connections[attribute]
            return self._connection(key, _CONNECTIONS[target.name], field, details, relation, attribute)
        child = NOUNS[target.name]
        if attribute in noun.lists:
            fields = self._fields(child, target, details)
            return ObjectList(key, attribute, child.name, fields, noun.lists[attribute].typical)
        by: Any = None
        if attribute in noun.singular:
            by = self._argument(LookupArguments(child, field, details), details)
        return Object(key, attribute, child.name, self._fields(child, target, details), by)

    def _figures(
        self, figures: Figures, type: Any, key: str, name: str, details: FieldDetailsList
    ) -> FiguresObject:
        def part(key: str, name: str, found: FieldDetailsList) -> Typename | Scalar | BreakdownList:
            if name == "__typename":
                return Typename(key, type.name)
            breakdown = figures.breakdowns.get(snake_case(name))
            if breakdown is None:
                return Scalar(key, snake_case(name))
            entry = get_named_type(type.fields[name].type)
            fields = tuple(self._breakdown_fields(breakdown, entry, found))
            return BreakdownList(key, snake_case(name), breakdown.noun, fields, breakdown.typical)

        parts = tuple(part(*each) for each in self._collector.below(type, details))
        return FiguresObject(key, name, parts, figures.cost)

    def _breakdown_fields(
        self, breakdown: Breakdown, type: Any, details: FieldDetailsList
    ) -> Iterator[Typename | Scalar | Object]:
        noun = NOUNS[breakdown.noun]
        for key, name, found in self._collector.below(type, details):
            if name == "__typename":
                yield Typename(key, type.name)
            elif name == breakdown.target:
                yield Object(key, name, noun.name, self._fields(noun, self._type(noun), found))
            else:
                yield Scalar(key, snake_case(name))

    def _plain_fields(self, type: Any, details: FieldDetailsList) -> Iterator[Typename | Scalar]:
        for key, name, _ in self._collector.below(type, details):
            yield Typename(key, type.name) if name == "__typename" else Scalar(key, snake_case(name))

    def _connection(
        self,
        key: str,
        noun: Noun,
        field: GraphQLField,
        details: FieldDetailsList,
        relation: ToMany | None,
        name: str = "",
    ) -> Connection:
        page: Any = self._argument(PageArguments(noun, relation, field, details), details)
        return Connection(
            key, name, noun.name, page, tuple(self._parts(noun, get_named_type(field.type), details))
        )

    def _argument(self, arguments: Arguments, details: FieldDetailsList) -> Argument:
        varies = have_variable(details[0].node.arguments)
        self.arguments.append(arguments if varies else ConstantArguments(arguments))
        return Argument(len(self.arguments) - 1)

    def _parts(self, noun: Noun, type: Any, details: FieldDetailsList) -> Iterator[Part]:
        for key, name, found in self._collector.below(type, details):
            match name:
                case "__typename":
                    yield Typename(key, type.name)
                case "totalCount":
                    at_most: Any = self._argument(TotalArguments(type.fields[name], found), found)
                    yield Total(key, at_most)
                case "nodes":
                    yield Nodes(key, self._fields(noun, self._type(noun), found))
                case "edges":
                    edge = get_named_type(type.fields[name].type)
                    yield Edges(key, tuple(self._edge_parts(noun, edge, found)))
                case "pageInfo":
                    yield Group(key, tuple(self._page_info(get_named_type(type.fields[name].type), found)))
                case _:
                    raise AssertionError(f"{type.name}.{name} has no place in the statement")

    def _edge_parts(self, noun: Noun, type: Any, details: FieldDetailsList) -> Iterator[EdgePart]:
        for key, name, found in self._collector.below(type, details):
            match name:
                case "__typename":
                    yield Typename(key, type.name)
                case "cursor":
                    yield EdgeCursor(key)
                case "node":
                    yield EdgeNode(key, self._fields(noun, self._type(noun), found))
                case _:
                    raise AssertionError(f"{type.name}.{name} has no place in the statement")

    def _page_info(self, type: Any, details: FieldDetailsList) -> Iterator[Part]:
        for key, name, _ in self._collector.below(type, details):
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
        return self._collector.schema.type_map[noun.name]


def fill(template: Selection, noun: str, bound: Sequence[BoundArguments]) -> Selection:
    """Return the selection for a template and bound arguments. `noun` is the noun of the field."""
    match template:
        case tuple():
            return _filled_fields(NOUNS[noun], template, bound)
        case Connection():
            return _filled_connection(None, template, bound)
        case SearchRead(fields=fields):
            sought = cast("Sought | None", bound[cast("Argument", template.sought).index])
            return SearchRead(_filled_fields(HIT, fields, bound), sought, scan=scan_of_search(sought))
        case PlainFields():
            return template
        case _:
            return {name: _filled_fields(NOUNS[name], fields, bound) for name, fields in template.items()}


def _filled_fields(noun: Noun, fields: Fields, bound: Sequence[BoundArguments]) -> Fields:
    return tuple(_filled_field(noun, field, bound) for field in fields)


def _filled_field(noun: Noun, field: Field, bound: Sequence[BoundArguments]) -> Field:
    match field:
        case Object():
            by = bound[field.by.index] if isinstance(field.by, Argument) else None
            fields = _filled_fields(NOUNS[field.noun], field.fields, bound)
            return Object(field.key, field.name, field.noun, fields, cast("Lookup | None", by))
        case ObjectList():
            return replace(field, fields=_filled_fields(NOUNS[field.noun], field.fields, bound))
        case EntryList():
            return replace(field, slots=cast("EntrySlots", bound[cast("Argument", field.slots).index]))
        case FiguresObject():
            return replace(field, fields=tuple(_filled_figure(part, bound) for part in field.fields))
        case Snapshot():
            return replace(field, at=cast("Slot", bound[cast("Argument", field.at).index]))
        case Connection():
            return _filled_connection(noun.connections[field.name], field, bound)
        case _:
            return field


F = TypeVar("F", Typename | Scalar | BreakdownList, Typename | Scalar | Object)


def _filled_figure(part: F, bound: Sequence[BoundArguments]) -> F:
    match part:
        case BreakdownList():
            return replace(part, fields=tuple(_filled_figure(each, bound) for each in part.fields))
        case Object():
            return replace(part, fields=_filled_fields(NOUNS[part.noun], part.fields, bound))
        case _:
            return part


def _filled_connection(
    relation: ToMany | None, connection: Connection, bound: Sequence[BoundArguments]
) -> Connection:
    noun = NOUNS[connection.noun]
    page = cast("Page", bound[cast("Argument", connection.page).index])
    parts = tuple(_filled_part(noun, part, bound) for part in connection.parts)
    return with_scan_costs(
        Connection(connection.key, connection.name, connection.noun, page, parts), noun, relation
    )


P = TypeVar("P", Part, EdgePart)


def _filled_part(noun: Noun, part: P, bound: Sequence[BoundArguments]) -> P:
    match part:
        case Nodes() | EdgeNode():
            return replace(part, fields=_filled_fields(noun, part.fields, bound))
        case Edges():
            return replace(part, parts=tuple(_filled_part(noun, each, bound) for each in part.parts))
        case Total():
            return Total(part.key, cast("Slot | None", bound[cast("Argument", part.at_most).index]))
        case _:
            return part
