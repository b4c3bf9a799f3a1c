"""The compiler: a selection becomes one SELECT that answers in finished JSON.

Every subquery is correlated explicitly, to its parent's row and to nothing else: left to itself, SQLAlchemy
would join the parent's table in again, silently, as a cartesian product.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, assert_never

from sqlalchemy import ColumnElement, CompoundSelect, FromClause, Integer, Select, select, union_all

from db.shaping.json import Member, constant, ids_in, json_object, json_or_null, json_text
from db.shaping.nouns import Kind, Noun, Row
from db.shaping.pages import LinkedRows, Needs, PageRows, Rows, slot_parameter
from db.shaping.selection import (
    ChildRead,
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
    ObjectList,
    OneRead,
    PageCursor,
    Part,
    Read,
    Scalar,
    Total,
    Typename,
    parts_of,
)

Statement: TypeAlias = Select[Any] | CompoundSelect[Any]

# What compiling takes, in units of about 10 µs: a scalar is 1. A filter may have a search written out.
_OBJECT, _CONNECTION, _FILTER = 30, 60, 200
_LONG = 500


def takes_long(read: Read) -> bool:
    """Whether compiling a read takes more than about 5 ms."""
    return sum(map(_effort, parts_of(read))) > _LONG


def _effort(part: object) -> int:
    match part:
        case Object() | ObjectList():
            return _OBJECT
        case Connection(page=page):
            return _CONNECTION + _FILTER * len(page.filters)
        case _:
            return 1


class Compiler:
    """Compiles selections over a set of nouns. It keeps nothing: caching is the caller's."""

    def __init__(self, nouns: Mapping[str, Noun]) -> None:
        self._nouns = nouns

    def compile(self, read: Read) -> Statement:
        """The statement of a read. What its rows hold is said at each kind of read in `selection`."""
        match read:
            case OneRead(name, by, fields):
                scope = _RowScope(*self._occurrence(name))
                return _found(scope, by, self._object(scope, fields))
            case FieldRead(name, by, field):
                scope = _RowScope(*self._occurrence(name))
                answer = (
                    self._related(scope, field)
                    if isinstance(field, Object)
                    else self._connection(field, scope)
                )
                return _found(scope, by, answer)
            case ChildRead(name, by, child):
                return self._child(_RowScope(*self._occurrence(name)), by, child)
            case ConnectionRead(connection):
                return select(json_text(self._connection(connection, None)))
            case ManyRead():
                return self._many(read)
            case _:
                assert_never(read)

    def returned(self, name: str, fields: Sequence[Field]) -> ColumnElement[str]:
        """The JSON of a row that a statement writes, for its RETURNING. Only of fields that `are_columns`."""
        noun = self._nouns[name]
        return json_text(self._object(_RowScope(noun, noun.table), fields))

    def _occurrence(self, name: str) -> tuple[Noun, FromClause]:
        noun = self._nouns[name]
        return noun, noun.table.alias()

    def _child(self, parent: "_RowScope", by: Lookup, child: Object) -> Statement:
        scope = _RowScope(*self._occurrence(child.noun))
        column = parent.noun.connections[parent.noun.singular[child.name]].column
        matches = _matches(parent.noun, parent.row, by), parent.noun.owned(parent.row.c)
        assert child.by is not None
        return (
            select(scope.row.c["id"], json_text(self._object(scope, child.fields)))
            .select_from(scope.tables())
            .where(
                scope.row.c[column] == select(parent.row.c["id"]).where(*matches).scalar_subquery(),
                _matches(scope.noun, scope.row, child.by),
            )
        )

    def _many(self, read: ManyRead) -> Statement:
        branches = []
        for name, fields in read.fields_by_noun:
            scope = _RowScope(*self._occurrence(name))
            answer = json_text(self._object(scope, fields)).label("answer")
            id = scope.row.c["id"]
            wanted = ids_in(id, slot_parameter(read.ids))
            found = select(id.label("id"), answer).select_from(scope.tables())
            branches.append(found.where(wanted, scope.noun.owned(scope.row.c)))
        return branches[0] if len(branches) == 1 else union_all(*branches)

    def _object(self, scope: "_Scope", fields: Sequence[Field]) -> ColumnElement[Any]:
        return json_object([self._field(scope, field) for field in fields])

    def _field(self, scope: "_Scope", field: Field) -> Member:
        match field:
            case Typename(key, name):
                return constant(key, name)
            case Scalar(key, name):
                attribute = scope.noun.attributes[name]
                value = (
                    scope.nested(attribute.expression(scope.row.c))
                    if attribute.is_subquery
                    else attribute.expression(scope.columns)
                )
                return Member(key, attribute.kind, value, attribute.nullable)
            case Object(key, name, by=by):
                may_be_null = by is not None or scope.noun.objects[name].nullable
                if not may_be_null and not isinstance(scope, _PageScope):
                    target = scope.pointed_to(name, self._nouns[field.noun])
                    return Member(key, Kind.JSON, self._object(target, field.fields))
                related = self._related(scope, field)
                return Member(key, Kind.JSON, scope.nested(json_or_null(related) if may_be_null else related))
            case ObjectList(key):
                return Member(key, Kind.JSON, scope.nested(self._list(scope, field)))
            case Connection(key):
                return Member(key, Kind.JSON, scope.nested(self._connection(field, scope)))
            case _:
                assert_never(field)

    def _related(self, parent: "_Scope", field: Object) -> ColumnElement[Any]:
        """A single related object: the one a column points to, or one of many by a lookup."""
        target, row = self._occurrence(field.noun)
        scope = _RowScope(target, row, depth=parent.depth + 1)
        answer = select(self._object(scope, field.fields)).select_from(scope.tables())
        if field.by is None:
            answer = answer.where(row.c["id"] == parent.row.c[parent.noun.objects[field.name].column])
        else:
            many = parent.noun.connections[parent.noun.singular[field.name]]
            answer = answer.where(*_one_of(target, row, many.column, parent.row, field.by))
        return answer.correlate(parent.row).scalar_subquery()

    def _list(self, parent: "_Scope", field: ObjectList) -> ColumnElement[Any]:
        rows = LinkedRows(
            self._nouns[field.noun],
            parent.noun.lists[field.name],
            parent.row,
            frozenset(_columns(self._nouns[field.noun], field.fields)),
            parent.depth + 1,
        )
        scope = _LinkedScope(rows, rows.noun, rows.source, rows.columns)
        answer = rows.array(self._object(scope, field.fields))
        return select(answer).select_from(rows.page()).correlate(parent.row).scalar_subquery()

    def _connection(self, field: Connection, parent: "_Scope | None") -> ColumnElement[Any]:
        """A page of rows with what was asked about it. Without a parent: over all the account has."""
        noun = self._nouns[field.noun]
        needs = _needs(noun, field.parts)
        reach = None if parent is None else (parent.noun.connections[field.name], parent.row)
        rows = PageRows(noun, field.page, reach, needs, depth=0 if parent is None else parent.depth + 1)
        members = [self._part(rows, part) for part in field.parts]
        answer = select(json_object(members, of_aggregates=True))
        if needs.rows:
            answer = answer.select_from(rows.page())
        if parent is not None:
            answer = answer.correlate(parent.row)
        return answer.scalar_subquery()

    def _part(self, rows: PageRows, part: Part) -> Member:
        match part:
            case Typename(key, name):
                return constant(key, name)
            case Nodes(key, fields):
                return Member(key, Kind.JSON, rows.array(self._object(_PageScope(rows), fields)))
            case Edges(key):
                return Member(key, Kind.JSON, rows.array(self._edge(rows, part)))
            case Group(key, parts):
                members = [self._part(rows, child) for child in parts]
                return Member(key, Kind.JSON, json_object(members, of_aggregates=True))
            case Total(key, at_most):
                return Member(key, Kind.INTEGER, rows.total(at_most))
            case HasMore(key, forward):
                return Member(key, Kind.BOOLEAN, rows.has_more(forward))
            case PageCursor(key, last):
                return Member(key, Kind.PLAIN, rows.end_cursor(last), nullable=True)
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
                    members.append(Member(key, Kind.JSON, self._object(_PageScope(rows), fields)))
                case _:
                    assert_never(part)
        return json_object(members)


def are_columns(noun: Noun, fields: Sequence[Field]) -> bool:
    """Whether the fields selected of a noun are found in the columns of its own row."""
    return all(
        isinstance(field, Typename)
        or (isinstance(field, Scalar) and not noun.attributes[field.name].is_subquery)
        for field in fields
    )


class _RowScope:
    """Where the objects of one row are made: the row's own, and those its columns point to.

    The latter are joined, each once however often it is selected. As there is one row, there is no order
    that a join could disturb.
    """

    def __init__(self, noun: Noun, row: FromClause, joins: "_Joins | None" = None, *, depth: int = 0) -> None:
        self.noun = noun
        self.depth = depth
        """How many statements this one stands in."""
        self.row = row
        self.columns: Row = row.c
        self._joins = joins or _Joins(row)

    def nested(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        """A nested subquery stands where its value is wanted."""
        return expression

    def pointed_to(self, name: str, target: Noun) -> "_RowScope":
        """The scope of the object that a column of the row points to."""
        row = self._joins.to(self.row, self.noun.objects[name].column, target)
        return _RowScope(target, row, self._joins, depth=self.depth)

    def tables(self) -> FromClause:
        """The row's table with all that was joined to it."""
        return self._joins.tables


class _Joins:
    """A table and what has been joined to it."""

    def __init__(self, row: FromClause) -> None:
        self.tables = row
        self._joined: dict[tuple[FromClause, str], FromClause] = {}

    def to(self, row: FromClause, column: str, target: Noun) -> FromClause:
        """The row that a column points to."""
        if (row, column) not in self._joined:
            other = target.table.alias()
            self._joined[row, column] = other
            self.tables = self.tables.join(other, other.c["id"] == row.c[column])
        return self._joined[row, column]


class _PageScope:
    """Where an object is made for each row of a page. What is nested in it is a column of the page."""

    def __init__(self, rows: Rows) -> None:
        self.noun = rows.noun
        self.depth = rows.depth
        self.row = rows.source
        self.columns = rows.columns
        self.nested = rows.nested


class _LinkedScope:
    """Where an object is made for each of some linked rows, or for what their columns point to."""

    def __init__(self, rows: LinkedRows, noun: Noun, row: FromClause, columns: Row) -> None:
        self.noun = noun
        self.depth = rows.depth
        self.row = row
        self.columns = columns
        self.nested = rows.nested
        self._rows = rows

    def pointed_to(self, name: str, target: Noun) -> "_LinkedScope":
        """The scope of the object that a column of the row points to."""
        pointed = self._rows.pointed_to(self.row, self.noun.objects[name].column, target)
        return _LinkedScope(self._rows, target, *pointed)


_Scope: TypeAlias = _RowScope | _PageScope | _LinkedScope


def _found(scope: _RowScope, by: Lookup, answer: ColumnElement[Any]) -> Select[Any]:
    matches = _matches(scope.noun, scope.row, by)
    return select(json_text(answer)).select_from(scope.tables()).where(matches, scope.noun.owned(scope.row.c))


def _matches(noun: Noun, row: FromClause, by: Lookup) -> ColumnElement[bool]:
    return row.c[noun.lookups[by.name].column] == slot_parameter(by.slot)


def _one_of(
    noun: Noun, row: FromClause, column: str, parent: FromClause, by: Lookup
) -> Iterator[ColumnElement[bool]]:
    """Whether a row is the one that a lookup finds among those of its parent."""
    preferred = noun.lookups[by.name].preferred
    if preferred is None:
        yield row.c[column] == parent.c["id"]
        yield _matches(noun, row, by)
    else:
        found = noun.table.alias()
        first = (
            select(found.c["id"])
            .where(found.c[column] == parent.c["id"], _matches(noun, found, by))
            .order_by(*preferred(found.c))
            .limit(1)
        )
        yield row.c["id"] == first.correlate(parent).scalar_subquery()


def _needs(noun: Noun, parts: Iterable[Part]) -> Needs:
    flat = list(_flattened(parts))
    columns: set[str] = set()
    for part in flat:
        if isinstance(part, Nodes | EdgeNode):
            columns.update(_columns(noun, part.fields))
    return Needs(
        rows=any(isinstance(part, Nodes | Edges | PageCursor) for part in flat),
        columns=frozenset(columns),
        end_cursors=any(isinstance(part, PageCursor) for part in flat),
        counted=any(isinstance(part, Total) and part.at_most is None for part in flat),
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
            case Connection(_, name) if (total := noun.connections[name].total) is not None:
                yield from ("id", *total.columns)
            case _:
                yield "id"
