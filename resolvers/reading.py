"""Reads: who may see what was selected, and the one statement that answers it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import orjson

from db import clock, ids, reads
from db.engine import ReadSession
from db.shaping.selection import (
    ChildRead,
    Connection,
    ConnectionRead,
    Field,
    FieldRead,
    Lookup,
    ManyRead,
    Object,
    OneRead,
    Read,
    Values,
    nouns_of,
    shows_license_alone,
)
from resolvers.errors import BadUserInput
from resolvers.inputs import is_storable
from resolvers.viewer import Scope, Viewer

Json: TypeAlias = str
"""Finished JSON text, to be spliced into an answer as it is."""

MAX_IDS = 100


@dataclass(frozen=True, slots=True)
class Shape:
    """What is to be answered of an object: its fields, and the values of their slots."""

    fields: tuple[Field, ...]
    values: Values

    def with_values(self, values: Values) -> "Shape":
        """The same, of another request."""
        return Shape(self.fields, values)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a shape asks of an object, as it was read."""

    shape: Shape
    json: Json


@dataclass(frozen=True, slots=True)
class FieldShape:
    """What is to be answered of one field of an object, and the values of its slots."""

    field: Object | Connection
    values: Values

    def with_values(self, values: Values) -> "FieldShape":
        """The same, of another request."""
        return FieldShape(self.field, values)


@dataclass(frozen=True, slots=True)
class ShapeByNoun:
    """What is to be answered of an object whose type its id tells, for each type it may be of."""

    fields: Mapping[str, tuple[Field, ...]]
    values: Values

    def with_values(self, values: Values) -> "ShapeByNoun":
        """The same, of another request."""
        return ShapeByNoun(self.fields, values)


async def one(
    viewer: Viewer, session: ReadSession, noun: str, lookup: str, value: str, shape: Shape
) -> Json | None:
    """The object that a unique attribute finds in the viewer's account, or None."""
    by = found_by(shape.values, noun, lookup, value)
    rows = await _rows(viewer, session, OneRead(noun, by, shape.fields), shape.values)
    return rows[0][0] if rows else None


async def field_of(
    viewer: Viewer, session: ReadSession, noun: str, lookup: str, value: str, shape: FieldShape
) -> tuple[bool, Json | None]:
    """One field of an object: whether there is such an object, and the field's value."""
    by = found_by(shape.values, noun, lookup, value)
    rows = await _rows(viewer, session, FieldRead(noun, by, shape.field), shape.values)
    return (True, rows[0][0]) if rows else (False, None)


async def one_in_app(
    viewer: Viewer,
    session: ReadSession,
    app_slug: str,
    noun: str,
    lookup: str,
    value: str,
    shape: Shape,
) -> tuple[bool, Json | None]:
    """The object that an attribute finds in an app: whether there is such an app, and the object or None."""
    name, by = noun.lower(), found_by(shape.values, noun, lookup, value)
    field = Object(name, name, noun, shape.fields, by)
    return await field_of(viewer, session, "App", "slug", app_slug, FieldShape(field, shape.values))


async def child_of_app(
    viewer: Viewer,
    session: ReadSession,
    app_slug: str,
    noun: str,
    lookup: str,
    value: str,
    shape: Shape,
) -> tuple[str, Json] | None:
    """The id and the object that an attribute, unique among those of an app, finds there, or None."""
    name, by = noun.lower(), found_by(shape.values, noun, lookup, value)
    child = Object(name, name, noun, shape.fields, by)
    app = found_by(shape.values, "App", "slug", app_slug)
    rows = await _rows(viewer, session, ChildRead("App", app, child), shape.values)
    return None if not rows else (str(rows[0][0]), str(rows[0][1]))


async def connection(viewer: Viewer, session: ReadSession, shape: FieldShape) -> Json:
    """A page of all that the account has of a noun."""
    assert isinstance(shape.field, Connection)
    rows = await _rows(viewer, session, ConnectionRead(shape.field), shape.values)
    return rows[0][0] or "{}"


async def node(viewer: Viewer, session: ReadSession, id: str, shape: ShapeByNoun) -> Json | None:
    """The object of this id, of whatever type, or None."""
    return (await nodes(viewer, session, [id], shape))[0]


async def nodes(
    viewer: Viewer, session: ReadSession, wanted: Sequence[str], shape: ShapeByNoun
) -> list[Json | None]:
    """Objects by id, in the order asked, None for each that is unknown. At most `MAX_IDS`."""
    viewer.require(Scope.READ)
    require_few(wanted)
    noun_by_id = {id: _noun_of(id) for id in wanted}
    names = sorted({noun for noun in noun_by_id.values() if noun is not None})
    if not names:
        return [None] * len(wanted)
    known = [id for id, noun in noun_by_id.items() if noun is not None]
    slot = shape.values.slot(orjson.dumps(known).decode())
    read = ManyRead(slot, tuple((name, shape.fields[name]) for name in names))
    rows = await _rows(viewer, session, read, shape.values)
    found = {row[0]: row[1] for row in rows}
    return [found.get(id) for id in wanted]


def require_few(wanted: Sequence[str]) -> None:
    """Refuse more ids than `nodes` takes. Raises BadUserInput."""
    if len(wanted) > MAX_IDS:
        raise BadUserInput("ids", f"holds more than {MAX_IDS} ids")


def _noun_of(id: str) -> str | None:
    prefix = ids.prefix_of(id)
    noun = reads.NOUN_BY_PREFIX.get(prefix) if prefix else None
    return noun.name if noun else None


def found_by(values: Values, noun: str, lookup: str, value: str) -> Lookup:
    """A lookup of this value, put into a slot. What no database can hold is found nowhere."""
    bind = reads.NOUNS[noun].lookups[lookup].bind
    return Lookup(lookup, values.slot(bind(value) if is_storable(value) else None))


def require(viewer: Viewer, read: Read) -> None:
    """Refuse a viewer who may not see all that a read shows. Raises Unauthenticated and Forbidden."""
    if Scope.READ_LICENSE in viewer.scopes and shows_license_alone(read):
        return
    viewer.require(Scope.READ)
    if Scope.READ_CUSTOMERS not in viewer.scopes and "Customer" in nouns_of(read):
        viewer.require(Scope.READ_CUSTOMERS)


def require_shape(viewer: Viewer, noun: str, shape: Shape) -> None:
    """As `require`, of an object before it is known which. Raises Unauthenticated and Forbidden."""
    require(viewer, OneRead(noun, Lookup("id", 0), shape.fields))


async def _rows(
    viewer: Viewer, session: ReadSession, read: Read, values: Values
) -> Sequence[tuple[Json | None, ...]]:
    require(viewer, read)
    tokens = Scope.READ_TOKENS in viewer.scopes
    return await reads.rows(session, viewer.account_id, read, values.items, clock.now(), tokens=tokens)
