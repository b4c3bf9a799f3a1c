"""A selection: what one read is to answer, as a tree that holds no values.

Wherever a value of the request would stand (an id, a page size, a filter's text) the tree holds a `Slot`,
a place in the list of values made beside it. Two requests that differ in values alone make equal trees, so
the tree itself is the key under which its compiled statement is cached.

GraphQL makes selections from a document (`schema.selections`), REST has constant ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias, assert_never

Slot: TypeAlias = int
Value: TypeAlias = str | int | None


class Values:
    """The values of one request, in the order in which its selection met them."""

    def __init__(self) -> None:
        self.items: list[Value] = []

    def slot(self, value: Value) -> Slot:
        """Keep a value and answer its place."""
        self.items.append(value)
        return len(self.items) - 1


@dataclass(frozen=True, slots=True)
class Typename:
    """`__typename`: the name of the type that was asked."""

    key: str
    name: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """An attribute of a noun, by its name there, under the response key the caller chose."""

    key: str
    name: str
    cost: int = 0


@dataclass(frozen=True, slots=True)
class Lookup:
    """How one row is found among those in reach: a unique attribute of its noun and the value."""

    name: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Object:
    """A single related object. `by` picks one of many, as in `App.customer(by:)`; None: there is but one."""

    key: str
    name: str
    noun: str
    fields: "tuple[Field, ...]"
    by: Lookup | None = None


@dataclass(frozen=True, slots=True)
class ObjectList:
    """All related objects of a kind of which there are a few (about `typical`), in their one order."""

    key: str
    name: str
    noun: str
    fields: "tuple[Field, ...]"
    typical: int


@dataclass(frozen=True, slots=True)
class After:
    """The place a page starts behind: the slots of its id and of its sort value.

    `value` is None when the order is that of ids; `null` says that the sort value is null there.
    """

    id: Slot
    value: Slot | None
    null: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition of a noun's own, by name, with the slot of its value."""

    name: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Page:
    """Which rows of a connection, in which order.

    `backward` reads the last `size` rows before `after` (then a cursor of ``before``); the answer is in the
    connection's order all the same. `offset` skips rows, as REST's pages do.
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
    """An edge's row."""

    key: str
    fields: "tuple[Field, ...]"


@dataclass(frozen=True, slots=True)
class EdgeCursor:
    """An edge's cursor."""

    key: str


@dataclass(frozen=True, slots=True)
class Group:
    """An object that gathers parts of a connection: `pageInfo`, or REST's ``meta``."""

    key: str
    parts: "tuple[Part, ...]"


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows pass the filters, before paging; counted no further than `at_most`, if there is one.

    `scan` is what counting them may cost (`db.shaping.scans`).
    """

    key: str
    at_most: Slot | None = None
    scan: int = 0


@dataclass(frozen=True, slots=True)
class HasMore:
    """Whether rows lie beyond the page: behind it (`forward`) or before it."""

    key: str
    forward: bool


@dataclass(frozen=True, slots=True)
class PageCursor:
    """The cursor of the page's first row, or of its `last`."""

    key: str
    last: bool


@dataclass(frozen=True, slots=True)
class Echo:
    """A number of the request, answered as it came (REST's ``page`` and ``per_page``)."""

    key: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Connection:
    """Many related objects, a page at a time. `scan` is what finding a page may cost (`db.shaping.scans`)."""

    key: str
    name: str
    noun: str
    page: Page
    parts: "tuple[Part, ...]"
    scan: int = 0


Field: TypeAlias = Typename | Scalar | Object | ObjectList | Connection
EdgePart: TypeAlias = Typename | EdgeNode | EdgeCursor
Part: TypeAlias = Typename | Nodes | Edges | Group | Total | HasMore | PageCursor | Echo


@dataclass(frozen=True, slots=True)
class OneRead:
    """One object, found in the viewer's account by a unique attribute. Answers one row, or none."""

    noun: str
    by: Lookup
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class FieldRead:
    """The value of one field of an object: no row when the object is missing, a null when the field is."""

    noun: str
    by: Lookup
    field: Object | Connection


@dataclass(frozen=True, slots=True)
class ChildRead:
    """One of the many rows of an object, by what is unique among them: a row (id, JSON), or none."""

    noun: str
    by: Lookup
    child: Object


@dataclass(frozen=True, slots=True)
class ConnectionRead:
    """A page of all that the account has of one noun. Answers one row."""

    connection: Connection


@dataclass(frozen=True, slots=True)
class ManyRead:
    """Objects of several nouns by id: a row (id, JSON) for each that exists. `ids` holds a JSON array."""

    ids: Slot
    fields_by_noun: tuple[tuple[str, tuple[Field, ...]], ...]


Read: TypeAlias = OneRead | FieldRead | ChildRead | ConnectionRead | ManyRead
AnyPart: TypeAlias = Read | Field | Part | EdgePart


def shows_license_alone(read: Read) -> bool:
    """Whether a read is of one license, and shows nothing beside it but its tier and that one's features."""
    return isinstance(read, OneRead) and read.noun == "License" and are_of_license(read.fields)


def are_of_license(fields: tuple[Field, ...]) -> bool:
    """Whether the fields selected of a license, its tier or a feature lead to nothing else."""
    return all(
        are_of_license(field.fields)
        if isinstance(field, Object | ObjectList) and field.noun in {"Tier", "Feature"}
        else isinstance(field, Typename | Scalar)
        for field in fields
    )


def nouns_of(read: Read) -> frozenset[str]:
    """The names of all nouns whose rows a read may show."""
    return frozenset(_nouns(read))


def _nouns(read: Read) -> Iterator[str]:
    for part in parts_of(read):
        if isinstance(part, ManyRead):
            yield from (noun for noun, _ in part.fields_by_noun)
        else:
            noun: str | None = getattr(part, "noun", None)  # whatever shows rows says of which noun
            if noun is not None:
                yield noun


def parts_of(part: AnyPart) -> Iterator[AnyPart]:
    """A read, or a part of one, and all that is selected below it."""
    yield part
    for child in _below(part):
        yield from parts_of(child)


def _below(part: AnyPart) -> Iterable[AnyPart]:
    match part:
        case OneRead() | Object() | ObjectList() | Nodes() | EdgeNode():
            return part.fields
        case Connection() | Group() | Edges():
            return part.parts
        case FieldRead(field=field) | ChildRead(child=field):
            return (field,)
        case ConnectionRead(connection):
            return (connection,)
        case ManyRead(_, groups):
            return (field for _, fields in groups for field in fields)
        case Typename() | Scalar() | EdgeCursor() | Total() | HasMore() | PageCursor() | Echo():
            return ()
        case _:
            assert_never(part)
