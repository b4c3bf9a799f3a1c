"""A selection: what one read returns, as a tree that contains no values of the request.

In place of a value (an id, a page size, a filter's text), the tree has a slot. A slot is an index into a list
of values, which is built together with the tree. Requests that differ only in their values have equal trees,
so the tree is the cache key of its compiled statement.

GraphQL builds selections from a document. REST's selections have fixed fields.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeAlias, TypeVar, assert_never

Slot: TypeAlias = int
Value: TypeAlias = str | int | None
EntrySlots: TypeAlias = tuple[Slot, *tuple[Slot | None, ...]]
"""The slots of the arguments of an `EntryList`. The first one has the maximum number of rows."""


class At(str):
    """The value of a snapshot's slot: its time as text (`db.clock.as_text`)."""

    __slots__ = ()


S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Selected(Generic[S_co]):
    """A selection of one request, with the values of its slots in order."""

    selection: S_co
    values: tuple[Value, ...] = ()


class Values:
    """The values of one request, in the order of its selection's slots."""

    def __init__(self) -> None:
        self.items: list[Value] = []

    def slot(self, value: Value) -> Slot:
        """Add a value and return its slot."""
        self.items.append(value)
        return len(self.items) - 1


@dataclass(frozen=True, slots=True)
class Typename:
    """`__typename`: the name of the object's type."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """An attribute of a noun, by its name in `Noun.attributes`.

    `key` is the key in the response, and `cost` is the cost of the attribute.
    """

    key: str
    name: str
    cost: int = 0


@dataclass(frozen=True, slots=True)
class EmbeddedObject:
    """An object that consists of attributes of its noun's row (`db.shaping.nouns.Embedded`)."""

    key: str
    name: str
    fields: "tuple[Typename | Scalar, ...]"


@dataclass(frozen=True, slots=True)
class Lookup:
    """How one row is found: the name of a lookup in the noun's `lookups`, and the slot of the value."""

    name: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Object:
    """A single related object.

    `by` selects one of many objects, as in `App.customer(by:)`. If `by` is None, there is only one object.
    """

    key: str
    name: str
    noun: str
    fields: "tuple[Field, ...]"
    by: Lookup | None = None


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All related objects, in a fixed order. There are typically about `typical` objects."""

    key: str
    name: str
    noun: str
    fields: "tuple[Field, ...]"
    typical: int


@dataclass(frozen=True, slots=True)
class EntryList:
    """Rows that do not belong to any noun (`db.shaping.nouns.Entries`).

    `noun` is the noun whose rows some of the selected fields count (`Entries.about`), or None.
    """

    key: str
    name: str
    fields: "tuple[Typename | Scalar, ...]"
    slots: EntrySlots
    noun: str | None = None


@dataclass(frozen=True, slots=True)
class BreakdownList:
    """A list in an object of numbers, with about `typical` entries (`db.shaping.nouns.Breakdown`)."""

    key: str
    name: str
    noun: str
    fields: "tuple[Typename | Scalar | Object, ...]"
    typical: int


@dataclass(frozen=True, slots=True)
class FiguresObject:
    """An object of numbers that are counted together (`db.shaping.nouns.Figures`)."""

    key: str
    name: str
    fields: "tuple[Typename | Scalar | BreakdownList, ...]"
    cost: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The object as it was at the time in a slot (`At`). This is read from the object's events."""

    key: str
    at: Slot
    noun: ClassVar[str] = "Event"


@dataclass(frozen=True, slots=True)
class After:
    """The place after which a page starts, as slots of the id and the sort value.

    `null` is true if the sort value is null. `value` is None if `null` is true or the order is by id only.
    `id` is None if the order's column numbers the rows (`Ordering.numbers`).
    """

    id: Slot | None
    value: Slot | None
    null: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """One of a noun's filters, by name, with the slot of the filter's value."""

    name: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a connection are read, and in which order.

    With `backward`, the last `size` rows before `after` are read: `after` then comes from the ``before``
    cursor. The rows are still returned in the connection's order. `offset` is the number of rows to skip, for
    REST's pages.
    """

    order: str
    descending: bool
    size: Slot
    backward: bool = False
    after: After | None = None
    offset: Slot | None = None
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Nodes:
    """The page's rows, as objects."""

    key: str
    fields: "tuple[Field, ...]"


@dataclass(frozen=True, slots=True)
class Edges:
    """The page's rows, as edges."""

    key: str
    parts: "tuple[EdgePart, ...]"


@dataclass(frozen=True, slots=True)
class EdgeNode:
    """An edge's row, as an object."""

    key: str
    fields: "tuple[Field, ...]"


@dataclass(frozen=True, slots=True)
class EdgeCursor:
    """An edge's cursor."""

    key: str


@dataclass(frozen=True, slots=True)
class Group:
    """An object that groups parts of a connection: `pageInfo`, or REST's ``meta``."""

    key: str
    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows pass the filters, regardless of the page. Counting stops at `at_most`, if it is set.

    `scan` is the cost of counting (`db.shaping.scans`).
    """

    key: str
    at_most: Slot | None = None
    scan: int = 0


@dataclass(frozen=True, slots=True)
class HasMore:
    """Whether there are rows after the page (`forward`) or before it."""

    key: str
    forward: bool


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The cursor of the page's first row, or of its last row if `last` is true."""

    key: str
    last: bool


@dataclass(frozen=True, slots=True)
class NextCursor:
    """The cursor of the page's last row, followed by the text of a slot.

    Null if no rows come after the page.
    """

    key: str
    suffix: Slot


@dataclass(frozen=True, slots=True)
class EndId:
    """The id of the page's first row, or of its last row if `last` is true.

    If the page is empty, this is the text of the slot `otherwise`.
    """

    key: str
    last: bool
    otherwise: Slot


@dataclass(frozen=True, slots=True)
class Echo:
    """A number from the request, returned unchanged (REST's ``page`` and ``per_page``)."""

    key: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Connection:
    """Many related objects, a page at a time. `scan` is the cost of finding a page (`db.shaping.scans`)."""

    key: str
    name: str
    noun: str
    page: Page
    parts: "tuple[Part, ...]"
    scan: int = 0


Field: TypeAlias = (
    Typename
    | Scalar
    | EmbeddedObject
    | Object
    | ObjectList
    | EntryList
    | FiguresObject
    | Snapshot
    | Connection
)
Fields: TypeAlias = tuple[Field, ...]
EdgePart: TypeAlias = Typename | EdgeNode | EdgeCursor
Part: TypeAlias = Typename | Nodes | Edges | Group | Total | HasMore | PageCursor | NextCursor | EndId | Echo


@dataclass(frozen=True, slots=True)
class OneRead:
    """One object, found in the viewer's account by a unique attribute. Returns one row, or no row."""

    noun: str
    by: Lookup
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class FieldRead:
    """The value of one field of an object.

    Returns no row if the object does not exist, and null if the field is null.
    """

    noun: str
    by: Lookup
    field: Object | Connection


@dataclass(frozen=True, slots=True)
class ChildRead:
    """One of an object's many related objects, found by a unique attribute.

    Returns one row (id, JSON), or no row.
    """

    noun: str
    by: Lookup
    child: Object


@dataclass(frozen=True, slots=True)
class ConnectionRead:
    """A page of one noun's objects across the account. Returns one row."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class ManyRead:
    """Objects of several nouns, by id. `ids` is the slot of a JSON array of ids.

    Returns one row (id, JSON) for each object that exists.
    """

    ids: Slot
    fields_by_noun: tuple[tuple[str, tuple[Field, ...]], ...]


@dataclass(frozen=True, slots=True)
class Sought:
    """What a search looks for, as slots (`db.search`).

    `size` is the largest number of hits, and `app` the slug of the only app that is searched, or None for all
    apps. `exact` has the ways in which whole values are looked up, each with a JSON array of these values.
    `beginnings` are beginnings of emails and names, as a JSON array of ranges, or None. `words` are texts
    that emails and names contain.
    """

    size: Slot
    app: Slot | None
    exact: tuple[tuple[str, Slot], ...]
    beginnings: Slot | None
    words: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class SearchRead:
    """The hits of a search: customers, some of them with a license. Returns one row, a JSON array.

    If `sought` is None, nothing is found. `of_customer` is true if the tenant is one customer. `scan` is the
    cost of searching emails and names (`db.shaping.scans`).
    """

    fields: tuple[Field, ...]
    sought: Sought | None
    of_customer: bool = False
    scan: int = 0
    noun: ClassVar[str] = "Customer"


Read: TypeAlias = OneRead | FieldRead | ChildRead | ConnectionRead | ManyRead | SearchRead
AnyPart: TypeAlias = Read | Field | BreakdownList | Part | EdgePart


Visible: TypeAlias = Mapping[str, Collection[str]]
"""The fields that may be shown, by the name of their noun. Nothing else may be shown."""


def shows_only(read: Read, visible: Visible) -> bool:
    """Return whether a read shows nothing but visible fields of one object, of objects by id, or of hits."""
    match read:
        case OneRead(noun, _, fields) | FieldRead(field=Object(noun=noun, fields=fields)):
            return are_visible(noun, fields, visible)
        case ManyRead(_, groups):
            return all(are_visible(noun, fields, visible) for noun, fields in groups)
        case SearchRead(fields=fields):
            return are_visible("SearchHit", fields, visible)
        case _:
            return False


def are_visible(noun: str, fields: Iterable[Field], visible: Visible) -> bool:
    """Return whether all these fields of a noun, and everything selected below them, are visible."""
    shown = visible.get(noun)
    return shown is not None and all(_is_visible(field, shown, visible) for field in fields)


def _is_visible(field: Field, shown: Collection[str], visible: Visible) -> bool:
    match field:
        case Typename():
            return True
        case Scalar(name=name):
            return name in shown
        case Object(name=name, noun=noun) | ObjectList(name=name, noun=noun):
            return name in shown and are_visible(noun, field.fields, visible)
        case Connection(name=name, noun=noun):
            return name in shown and all(are_visible(noun, fields, visible) for fields in _rows(field.parts))
        case _:
            return False


def _rows(parts: Iterable[Part | EdgePart]) -> Iterator[Fields]:
    """Yield the fields of a connection's rows."""
    for part in parts:
        if isinstance(part, Nodes | EdgeNode):
            yield part.fields
        elif isinstance(part, Edges):
            yield from _rows(part.parts)


def roots_of(read: Read) -> Iterable[str]:
    """Return the names of the nouns whose objects a read begins with."""
    match read:
        case ConnectionRead(connection):
            return (connection.noun,)
        case ManyRead(_, groups):
            return [noun for noun, _ in groups]
        case _:
            return (read.noun,)


def nouns_of(read: Read) -> frozenset[str]:
    """Return the names of all nouns whose rows a read may return."""
    return frozenset(_nouns(read))


def _nouns(read: Read) -> Iterator[str]:
    for part in parts_of(read):
        if isinstance(part, ManyRead):
            yield from (noun for noun, _ in part.fields_by_noun)
        else:
            noun: str | None = getattr(part, "noun", None)  # every part that returns rows of a noun has one
            if noun is not None:
                yield noun


def parts_of(part: AnyPart) -> Iterator[AnyPart]:
    """Yield a read, or a part of a read, and everything that is selected below it."""
    yield part
    for child in _below(part):
        yield from parts_of(child)


def _below(part: AnyPart) -> Iterable[AnyPart]:
    match part:
        case OneRead() | EmbeddedObject() | Object() | ObjectList() | EntryList() | Nodes() | EdgeNode():
            return part.fields
        case FiguresObject() | BreakdownList() | SearchRead():
            return part.fields
        case Connection() | Group() | Edges():
            return part.parts
        case FieldRead(field=field) | ChildRead(child=field):
            return (field,)
        case ConnectionRead(connection):
            return (connection,)
        case ManyRead(_, groups):
            return (field for _, fields in groups for field in fields)
        case Typename() | Scalar() | Snapshot() | EdgeCursor():
            return ()
        case Total() | HasMore() | PageCursor() | NextCursor() | EndId() | Echo():
            return ()
        case _:
            assert_never(part)
