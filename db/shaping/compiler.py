"""The compiler: a selection becomes one SELECT that returns finished JSON.

Every subquery is explicitly correlated to its parent's row, and to nothing else. Without this, SQLAlchemy
would silently add the parent's table to the subquery again, as a cartesian product.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, assert_never

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Integer,
    Label,
    Select,
    and_,
    case,
    column,
    select,
    union_all,
)

from db.shaping.json import Member, constant, ids_in, json_array, json_object, json_or_null, json_text
from db.shaping.nouns import Attribute, Kind, ListedIn, Noun, Row
from db.shaping.pages import Needs, PageRows
from db.shaping.rows import LinkedRows, Rows
from db.shaping.selection import (
    BreakdownList,
    ChildRead,
    Connection,
    ConnectionRead,
    Echo,
    EdgeCursor,
    EdgeNode,
    Edges,
    EmbeddedObject,
    EndId,
    EntryList,
    Field,
    FieldRead,
    FiguresObject,
    Group,
    HasMore,
    Lookup,
    ManyRead,
    NextCursor,
    Nodes,
    Object,
    ObjectList,
    OneRead,
    PageCursor,
    Part,
    Read,
    Scalar,
    SearchRead,
    Snapshot,
    Sought,
    Total,
    Typename,
    parts_of,
)
from db.shaping.slots import slot_parameter

Statement: TypeAlias = Select[Any] | CompoundSelect[Any]
SnapshotOf: TypeAlias = Callable[[Noun, FromClause, ColumnElement[str]], ColumnElement[Any]]
"""Returns SQL for the JSON of a row as it was at a time (`db.snapshots.of_row`)."""
HitsOf: TypeAlias = Callable[[Sought, bool], FromClause]
"""Returns the hits of a search, in order, given whether the tenant is one customer (`db.search.hits`)."""

# Compile times, in units of about 10 µs. A scalar takes 1 unit. A filter counts as 200 units, because a
# filter may need a search.
_OBJECT, _CONNECTION, _FILTER = 30, 60, 200
_LONG = 500


def takes_long(read: Read) -> bool:
    """Return whether compiling a read takes more than about 5 ms."""
    return sum(map(_effort, parts_of(read))) > _LONG


def _effort(part: object) -> int:
    match part:
        case Object() | ObjectList() | EntryList() | FiguresObject() | BreakdownList() | Snapshot():
            return _OBJECT
        case Connection(page=page):
            return _CONNECTION + _FILTER * len(page.filters)
        case SearchRead(sought=Sought(words=words)):
            return _CONNECTION + 2 * _FILTER * len(words)
        case _:
            return 1


class Compiler:
    """Compiles selections of a set of nouns. Statements are not cached here: callers do that.

    `snapshot` is needed for selections with snapshots, and `hit` and `hits` are needed for searches: the noun
    of hits, and how they are found.

    If `limited` is true, the statements are for tenants that cannot reach their whole account: they check
    `Noun.reached` instead of `Noun.owned`.
    """

    def __init__(
        self,
        nouns: Mapping[str, Noun],
        *,
        limited: bool = False,
        snapshot: SnapshotOf | None = None,
        hit: Noun | None = None,
        hits: HitsOf | None = None,
    ) -> None:
        self._nouns = {name: _as_found(noun, limited=limited) for name, noun in nouns.items()}
        self._snapshot = snapshot
        self._hit = hit
        self._hits = hits
        self._limited = limited

    def compile(self, read: Read) -> Statement:
        """Return the statement of a read.

        The classes of reads in `db.shaping.selection` document the rows that the statement returns.
        """
        match read:
            case OneRead(name, by, fields):
                scope = _RowScope(*self._aliased(name))
                return _select_one(scope, by, self._object(scope, fields))
            case FieldRead(name, by, field):
                scope = _RowScope(*self._aliased(name))
                if isinstance(field, Connection):
                    return _select_one(scope, by, self._connection(field, scope))
                if self._limited and scope.noun.entered is not None:
                    entered = replace(scope.noun, owned=scope.noun.entered)
                    scope = _RowScope(entered, scope.row)
                return _select_one(scope, by, self._related(scope, field))
            case ChildRead(name, by, child):
                return self._child(_RowScope(*self._aliased(name)), by, child)
            case ConnectionRead(connection):
                return select(json_text(self._connection(connection, None)))
            case ManyRead():
                return self._many(read)
            case SearchRead():
                return self._search(read)
            case _:
                assert_never(read)

    def object_of(
        self, name: str, fields: Sequence[Field], row: FromClause | None = None, more: Sequence[Member] = ()
    ) -> ColumnElement[str]:
        """Return the JSON of a row of the noun's table or, if it is given, of another source of such rows.

        The fields must be scalars. The members in `more` follow them.
        """
        noun = self._nouns[name]
        scope = _RowScope(noun, noun.table if row is None else row)
        return json_text(json_object([*(self._field(scope, field) for field in fields), *more]))

    def _aliased(self, name: str) -> tuple[Noun, FromClause]:
        noun = self._nouns[name]
        return noun, noun.table.alias()

    def _child(self, parent: "_RowScope", by: Lookup, child: Object) -> Statement:
        scope = _RowScope(*self._aliased(child.noun))
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
            scope = _RowScope(*self._aliased(name))
            result = json_text(self._object(scope, fields)).label("answer")
            id = scope.row.c["id"]
            wanted = ids_in(id, slot_parameter(read.ids))
            found = select(id.label("id"), result).select_from(scope.tables())
            branches.append(found.where(wanted, scope.noun.owned(scope.row.c)))
        return branches[0] if len(branches) == 1 else union_all(*branches)

    def _search(self, read: SearchRead) -> Statement:
        assert self._hit is not None
        assert self._hits is not None
        assert read.sought is not None
        rows = Rows(self._hit, self._hits(read.sought, read.of_customer), 0)
        found = rows.array(self._object(_PageScope(rows), read.fields))
        return select(json_text(found)).select_from(rows.page())

    def _object(self, scope: "_Scope", fields: Sequence[Field]) -> ColumnElement[Any]:
        return json_object([self._field(scope, field) for field in fields])

    def _field(self, scope: "_Scope", field: Field) -> Member:
        match field:
            case Typename(key, name):
                return constant(key, name)
            case Scalar(key, name):
                return _attribute(scope, key, scope.noun.attributes[name])
            case EmbeddedObject(key, name, fields):
                attributes = scope.noun.embedded[name].attributes
                members = [
                    constant(part.key, part.name)
                    if isinstance(part, Typename)
                    else _attribute(scope, part.key, attributes[part.name])
                    for part in fields
                ]
                return Member(key, Kind.JSON, json_object(members))
            case Object(key, name, by=by):
                may_be_null = by is not None or scope.noun.objects[name].nullable
                if not may_be_null and not isinstance(scope, _PageScope):
                    target = scope.pointed_to(name, self._nouns[field.noun])
                    return Member(key, Kind.JSON, self._object(target, field.fields))
                related = self._related(scope, field)
                return Member(key, Kind.JSON, scope.nested(json_or_null(related) if may_be_null else related))
            case ObjectList(key, name):
                is_nullable = isinstance(scope.noun.lists[name], ListedIn)
                return Member(key, Kind.JSON, scope.nested(self._list(scope, field)), is_nullable)
            case EntryList(key):
                return Member(key, Kind.JSON, scope.nested(_entries(scope, field)))
            case FiguresObject(key):
                return Member(key, Kind.JSON, scope.nested(self._figures(scope, field)))
            case Snapshot(key, at):
                assert self._snapshot is not None
                found = self._snapshot(scope.noun, scope.row, slot_parameter(at))
                return Member(key, Kind.JSON, scope.nested(found), nullable=True)
            case Connection(key):
                return Member(key, Kind.JSON, scope.nested(self._connection(field, scope)))
            case _:
                assert_never(field)

    def _related(self, parent: "_Scope", field: Object) -> ColumnElement[Any]:
        """Return the JSON of one related object.

        A column of the parent's row points to the object, or a lookup (`field.by`) finds the object in one of
        the parent's connections.
        """
        target, row = self._aliased(field.noun)
        scope = _RowScope(target, row, depth=parent.depth + 1)
        result = select(self._object(scope, field.fields)).select_from(scope.tables())
        if field.by is None:
            relation = parent.noun.objects[field.name]
            result = result.where(row.c["id"] == parent.row.c[relation.column])
            if relation.only_reached:
                result = result.where(target.owned(row.c))
        else:
            many = parent.noun.connections[parent.noun.singular[field.name]]
            result = result.where(
                *_one_of(target, row, many.column, parent.row, field.by, limited=self._limited)
            )
        return result.correlate(parent.row).scalar_subquery()

    def _figures(self, parent: "_Scope", field: FiguresObject) -> ColumnElement[Any]:
        figures = parent.noun.figures[field.name]
        row = figures.row(parent.row.c).correlate(parent.row).subquery()
        members = []
        for part in field.fields:
            match part:
                case Typename(key, name):
                    members.append(constant(key, name))
                case Scalar(key, name):
                    members.append(Member(key, Kind.INTEGER, row.c[name]))
                case BreakdownList(key):
                    members.append(Member(key, Kind.JSON, self._breakdown(parent, field.name, part)))
                case _:
                    assert_never(part)
        return select(json_object(members)).select_from(row).scalar_subquery()

    def _breakdown(self, parent: "_Scope", figures: str, field: BreakdownList) -> ColumnElement[Any]:
        breakdown = parent.noun.figures[figures].breakdowns[field.name]
        entries = breakdown.rows(parent.row.c).correlate(parent.row).subquery()
        members: list[Member] = []
        targets: list[Label[Any]] = []
        for part in field.fields:
            match part:
                case Typename(key, name):
                    members.append(constant(key, name))
                case Scalar(key, name):
                    members.append(Member(key, Kind.INTEGER, column(name)))
                case Object(key):
                    scope = _RowScope(*self._aliased(part.noun), depth=parent.depth + 3)
                    target = select(self._object(scope, part.fields)).select_from(scope.tables())
                    target = target.where(scope.row.c["id"] == entries.c["id"]).correlate(entries)
                    targets.append(json_or_null(target.scalar_subquery()).label(f"target_{len(targets)}"))
                    members.append(Member(key, Kind.JSON, column(targets[-1].name)))
                case _:
                    assert_never(part)
        rows = select(*(entries.c[name] for name in breakdown.numbers), *targets).select_from(entries)
        return select(json_array(json_object(members))).select_from(rows.subquery()).scalar_subquery()

    def _list(self, parent: "_Scope", field: ObjectList) -> ColumnElement[Any]:
        relation = parent.noun.lists[field.name]
        rows = LinkedRows(
            self._nouns[field.noun],
            relation,
            parent.row,
            frozenset(_columns(self._nouns[field.noun], field.fields)),
            parent.depth + 1,
        )
        scope = _LinkedScope(rows, rows.noun, rows.source, rows.columns)
        result = rows.array(self._object(scope, field.fields))
        found = select(result).select_from(rows.page()).correlate(parent.row).scalar_subquery()
        if isinstance(relation, ListedIn):
            return case((parent.row.c[relation.column].is_not(None), found))
        return found

    def _connection(self, field: Connection, parent: "_Scope | None") -> ColumnElement[Any]:
        """Return a connection's JSON. Without a parent, the connection covers the whole account."""
        noun = self._nouns[field.noun]
        needs = _needs(noun, field.parts)
        reach = None if parent is None else (parent.noun.connections[field.name], parent.row)
        rows = PageRows(noun, field.page, reach, needs, depth=0 if parent is None else parent.depth + 1)
        members = [self._part(rows, part) for part in field.parts]
        result = select(json_object(members, of_aggregates=True))
        if needs.rows:
            result = result.select_from(rows.page())
        if parent is not None:
            result = result.correlate(parent.row)
        return result.scalar_subquery()

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
            case NextCursor(key, suffix):
                return Member(key, Kind.PLAIN, rows.next_cursor(suffix), nullable=True)
            case EndId(key, last, otherwise):
                return Member(key, Kind.TEXT, rows.end_id(last, otherwise))
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


def _as_found(noun: Noun, *, limited: bool) -> Noun:
    """Return a noun whose condition `owned` is true for exactly the rows that reads may find."""
    owned, visible = noun.reached if limited else noun.owned, noun.visible
    return replace(noun, owned=owned if visible is None else lambda row: and_(owned(row), visible(row)))


def are_columns(noun: Noun, fields: Sequence[Field]) -> bool:
    """Return whether a noun's selected fields need nothing but columns of the noun's own row."""
    return all(
        isinstance(field, Typename)
        or (isinstance(field, Scalar) and not noun.attributes[field.name].is_subquery)
        for field in fields
    )


class _RowScope:
    """The scope of an object: the noun and the row from which the object's fields are read.

    Columns of the row may point to the rows of other objects, which are joined. Each of them is joined only
    once, even if it is selected several times. Joins may change the order of rows, but this does not matter:
    there is only one row, or the rows are found by their ids (`ManyRead`).
    """

    def __init__(self, noun: Noun, row: FromClause, joins: "_Joins | None" = None, *, depth: int = 0) -> None:
        self.noun = noun
        self.depth = depth
        """The number of SELECTs around the SELECT that reads the row."""
        self.row = row
        self.columns: Row = row.c
        self._joins = joins or _Joins(row)

    def nested(self, expression: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the expression unchanged: a nested subquery is written where its value is used."""
        return expression

    def pointed_to(self, name: str, target: Noun) -> "_RowScope":
        """Return the scope of the object that a column of the row points to."""
        row = self._joins.to(self.row, self.noun.objects[name].column, target)
        return _RowScope(target, row, self._joins, depth=self.depth)

    def tables(self) -> FromClause:
        """Return the row's table, joined with all tables that the selected objects need."""
        return self._joins.tables


class _Joins:
    """A table and the tables that are joined to it."""

    def __init__(self, row: FromClause) -> None:
        self.tables = row
        self._joined: dict[tuple[FromClause, str], FromClause] = {}

    def to(self, row: FromClause, column: str, target: Noun) -> FromClause:
        """Return the row that a column points to, and join it unless it is joined already."""
        if (row, column) not in self._joined:
            other = target.table.alias()
            self._joined[row, column] = other
            self.tables = self.tables.join(other, other.c["id"] == row.c[column])
        return self._joined[row, column]


class _PageScope:
    """The scope of the objects of a page, one for each row. Nested subqueries become columns of the page."""

    def __init__(self, rows: Rows) -> None:
        self.noun = rows.noun
        self.depth = rows.depth
        self.row = rows.source
        self.columns = rows.columns
        self.nested = rows.nested


class _LinkedScope:
    """The scope of the objects of linked rows, and of rows that columns of linked rows point to."""

    def __init__(self, rows: LinkedRows, noun: Noun, row: FromClause, columns: Row) -> None:
        self.noun = noun
        self.depth = rows.depth
        self.row = row
        self.columns = columns
        self.nested = rows.nested
        self._rows = rows

    def pointed_to(self, name: str, target: Noun) -> "_LinkedScope":
        """Return the scope of the object that a column of the row points to."""
        pointed = self._rows.pointed_to(self.row, self.noun.objects[name].column, target)
        return _LinkedScope(self._rows, target, *pointed)


_Scope: TypeAlias = _RowScope | _PageScope | _LinkedScope


def _attribute(scope: _Scope, key: str, attribute: Attribute) -> Member:
    value = (
        scope.nested(attribute.expression(scope.row.c))
        if attribute.is_subquery
        else attribute.expression(scope.columns)
    )
    return Member(key, attribute.kind, value, attribute.nullable)


def _entries(parent: _Scope, field: EntryList) -> ColumnElement[Any]:
    """Return the JSON array of the rows of an `EntryList`."""
    entries = parent.noun.entries[field.name]
    names = [part.name for part in field.fields if isinstance(part, Scalar)]
    rows = entries.rows(parent.row.c, field.slots, names).correlate(parent.row).subquery()
    members = [
        constant(part.key, part.name)
        if isinstance(part, Typename)
        else Member(part.key, entries.attributes[part.name], rows.c[part.name])
        for part in field.fields
    ]
    return select(json_array(json_object(members))).select_from(rows).scalar_subquery()


def _select_one(scope: _RowScope, by: Lookup, result: ColumnElement[Any]) -> Select[Any]:
    matches = _matches(scope.noun, scope.row, by)
    return select(json_text(result)).select_from(scope.tables()).where(matches, scope.noun.owned(scope.row.c))


def _matches(noun: Noun, row: FromClause, by: Lookup) -> ColumnElement[bool]:
    return row.c[noun.lookups[by.name].column] == slot_parameter(by.slot)


def _one_of(
    noun: Noun, row: FromClause, column: str, parent: FromClause, by: Lookup, *, limited: bool
) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions for the row that a lookup finds among the parent's rows."""

    def matches(row: FromClause) -> Iterator[ColumnElement[bool]]:
        yield row.c[column] == parent.c["id"]
        yield _matches(noun, row, by)
        if limited or noun.visible is not None:
            yield noun.owned(row.c)

    preferred = noun.lookups[by.name].preferred
    if preferred is None:
        yield from matches(row)
    else:
        found = noun.table.alias()
        first = select(found.c["id"]).where(*matches(found)).order_by(*preferred(found.c)).limit(1)
        yield row.c["id"] == first.correlate(parent).scalar_subquery()


def _needs(noun: Noun, parts: Iterable[Part]) -> Needs:
    flat = list(_flattened(parts))
    columns: set[str] = set()
    for part in flat:
        if isinstance(part, Nodes | EdgeNode):
            columns.update(_columns(noun, part.fields))
    return Needs(
        rows=any(isinstance(part, Nodes | Edges | PageCursor | NextCursor | EndId) for part in flat),
        columns=frozenset(columns),
        end_cursors=any(isinstance(part, PageCursor | NextCursor) for part in flat),
        end_ids=any(isinstance(part, EndId) for part in flat),
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
    """Yield the columns that a row's selected fields read."""
    for field in fields:
        match field:
            case Scalar(_, name):
                yield from noun.attributes[name].columns
            case EmbeddedObject(_, name, below):
                attributes = noun.embedded[name].attributes
                for part in below:
                    yield from () if isinstance(part, Typename) else attributes[part.name].columns
            case Snapshot():
                for name in noun.image.values():
                    yield from noun.attributes[name].columns
            case Object(_, name, by=None):
                yield noun.objects[name].column
            case ObjectList(_, name) if isinstance(relation := noun.lists[name], ListedIn):
                yield from ("id", relation.column)
            case Connection(_, name) if (total := noun.connections[name].total) is not None:
                yield from ("id", *total.columns)
            case _:
                yield "id"
