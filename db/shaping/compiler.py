"""The compiler: a selection becomes one SELECT that answers in finished JSON.

Every subquery is correlated explicitly, to its parent's row and to nothing else: left to itself, SQLAlchemy
would join the parent's table in again, silently, as a cartesian product.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, assert_never

from sqlalchemy import ColumnElement, FromClause, Integer, Select, Text, cast, select, union_all

from db.shaping.json import Member, constant, ids_in, json_object
from db.shaping.nouns import Kind, Noun
from db.shaping.pages import Needs, PageRows, slot_parameter
from db.shaping.selection import (
    Connection,
    ConnectionRead,
    Echo,
    EdgeCursor,
    EdgeNode,
    Edges,
    Field,
    FieldRead,
    Group,
    HasMore,
    Lookup,
    ManyRead,
    Nodes,
    Object,
    OneRead,
    PageCursor,
    Part,
    Read,
    Scalar,
    Total,
    Typename,
)


class Compiler:
    """Compiles selections over a set of nouns. It keeps nothing: caching is the caller's."""

    def __init__(self, nouns: Mapping[str, Noun]) -> None:
        self._nouns = nouns

    def compile(self, read: Read) -> Select[Any]:
        """The statement of a read. What its rows hold is said at each kind of read in `selection`."""
        match read:
            case OneRead(name, by, fields):
                noun, row = self._occurrence(name)
                return _found(noun, row, by, self._object(noun, row, fields))
            case FieldRead(name, by, field):
                noun, row = self._occurrence(name)
                return _found(noun, row, by, self._field(noun, row, field).value)
            case ConnectionRead(connection):
                return select(_as_text(self._connection(connection, None)))
            case ManyRead():
                return self._many(read)
            case _:
                assert_never(read)

    def _occurrence(self, name: str) -> tuple[Noun, FromClause]:
        noun = self._nouns[name]
        return noun, noun.table.alias()

    def _many(self, read: ManyRead) -> Select[Any]:
        branches = []
        for name, fields in read.fields_by_noun:
            noun, row = self._occurrence(name)
            answer = self._object(noun, row, fields)
            wanted = ids_in(row.c["id"], slot_parameter(read.ids))
            branches.append(
                select(row.c["id"].label("id"), _as_text(answer).label("answer")).where(
                    wanted, noun.owned(row.c)
                )
            )
        if len(branches) == 1:
            return branches[0]
        together = union_all(*branches).subquery()
        return select(together.c["id"], together.c["answer"])

    def _object(self, noun: Noun, row: FromClause, fields: Sequence[Field]) -> ColumnElement[Any]:
        return json_object([self._field(noun, row, field) for field in fields])

    def _field(self, noun: Noun, row: FromClause, field: Field) -> Member:
        match field:
            case Typename(key, name):
                return constant(key, name)
            case Scalar(key, name):
                attribute = noun.attributes[name]
                return Member(key, attribute.kind, attribute.expression(row.c))
            case Object(key):
                return Member(key, Kind.JSON, self._related(noun, row, field))
            case Connection(key):
                return Member(key, Kind.JSON, self._connection(field, (noun, row)))
            case _:
                assert_never(field)

    def _related(self, noun: Noun, parent: FromClause, field: Object) -> ColumnElement[Any]:
        """A single related object: the one a column points to, or one of many by a lookup."""
        target, row = self._occurrence(field.noun)
        answer = select(self._object(target, row, field.fields)).select_from(row)
        if field.by is None:
            answer = answer.where(row.c["id"] == parent.c[noun.objects[field.name].column])
        else:
            many = noun.connections[noun.singular[field.name]]
            answer = answer.where(row.c[many.column] == parent.c["id"], _matches(target, row, field.by))
        return answer.correlate(parent).scalar_subquery()

    def _connection(self, field: Connection, parent: tuple[Noun, FromClause] | None) -> ColumnElement[Any]:
        """A page of rows with what was asked about it. Without a parent: over all the account has."""
        noun = self._nouns[field.noun]
        needs = _needs(noun, field.page.backward, field.parts)
        reach = None if parent is None else (parent[0].connections[field.name], parent[1])
        rows = PageRows(noun, field.page, reach, needs)
        answer = select(json_object([self._part(rows, part) for part in field.parts]))
        aggregated = rows.aggregated()
        if aggregated is not None:
            answer = answer.select_from(aggregated)
        if parent is not None:
            answer = answer.correlate(parent[1])
        return answer.scalar_subquery()

    def _part(self, rows: PageRows, part: Part) -> Member:
        match part:
            case Typename(key, name):
                return constant(key, name)
            case Nodes(key, fields):
                return Member(key, Kind.JSON, rows.array(self._object(rows.noun, rows.rows, fields)))
            case Edges(key):
                return Member(key, Kind.JSON, rows.array(self._edge(rows, part)))
            case Group(key, parts):
                return Member(key, Kind.JSON, json_object([self._part(rows, child) for child in parts]))
            case Total(key):
                return Member(key, Kind.INTEGER, rows.total())
            case HasMore(key, forward):
                return Member(key, Kind.BOOLEAN, rows.has_more(forward))
            case PageCursor(key, last):
                return Member(key, Kind.PLAIN, rows.end_cursor(last))
            case Echo(key, slot):
                return Member(key, Kind.INTEGER, slot_parameter(slot, Integer))
            case _:
                assert_never(part)

    def _edge(self, rows: PageRows, edges: Edges) -> ColumnElement[Any]:
        members = []
        for part in edges.parts:
            match part:
                case Typename(key, name):
                    members.append(constant(key, name))
                case EdgeCursor(key):
                    members.append(Member(key, Kind.PLAIN, rows.cursor()))
                case EdgeNode(key, fields):
                    members.append(Member(key, Kind.JSON, self._object(rows.noun, rows.rows, fields)))
                case _:
                    assert_never(part)
        return json_object(members)


def _found(noun: Noun, row: FromClause, by: Lookup, answer: ColumnElement[Any]) -> Select[Any]:
    return select(_as_text(answer)).select_from(row).where(_matches(noun, row, by), noun.owned(row.c))


def _as_text(json: ColumnElement[Any]) -> ColumnElement[str]:
    # PostgreSQL's driver would parse a value of type json.
    return cast(json, Text)


def _matches(noun: Noun, row: FromClause, by: Lookup) -> ColumnElement[bool]:
    return row.c[noun.lookups[by.name].column] == slot_parameter(by.slot)


def _needs(noun: Noun, backward: bool, parts: Iterable[Part]) -> Needs:
    flat = list(_flattened(parts))
    columns: set[str] = set()
    for part in flat:
        if isinstance(part, Nodes | EdgeNode):
            columns.update(_columns(noun, part.fields))
    return Needs(
        columns=frozenset(columns),
        look_ahead=any(isinstance(part, HasMore) and part.forward != backward for part in flat),
        numbered=any(isinstance(part, PageCursor) for part in flat),
    )


def _flattened(parts: Iterable[Part]) -> Iterator[object]:
    for part in parts:
        yield part
        if isinstance(part, Group):
            yield from _flattened(part.parts)
        elif isinstance(part, Edges):
            yield from part.parts


def _columns(noun: Noun, fields: Sequence[Field]) -> Iterator[str]:
    """The columns of a row that its selected fields read."""
    for field in fields:
        match field:
            case Scalar(_, name):
                yield from noun.attributes[name].columns
            case Object(_, name, by=None):
                yield noun.objects[name].column
            case _:
                yield "id"
