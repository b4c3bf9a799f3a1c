"""Reads: check that the viewer may see the selected fields, and fetch them in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import orjson

from db import clock, ids, reads
from db.engine import ReadSession
from db.shaping.selection import (
    ChildRead,
    Connection,
    ConnectionRead,
    FieldRead,
    Fields,
    Lookup,
    ManyRead,
    Object,
    OneRead,
    Read,
    Scalar,
    SearchRead,
    Selected,
    Value,
    nouns_of,
    parts_of,
    shows_only,
)
from resolvers import history
from resolvers.errors import BadUserInput, Forbidden
from resolvers.inputs import is_storable
from resolvers.viewer import NOT_OF_CUSTOMER, Scope, Viewer, as_list
from resolvers.visible import OF_CUSTOMER, OF_LICENSE

FieldsByNoun: TypeAlias = Mapping[str, Fields]
"""The selected fields of each type that the object may have. The object's id determines its type."""

Json: TypeAlias = str
"""JSON text that is copied into the response unchanged."""

MAX_IDS = 100

_READ = frozenset({Scope.READ})
_NEEDED: Mapping[str, frozenset[Scope]] = {
    "ApiKey": frozenset({Scope.MANAGE_KEYS}),
    "Customer": frozenset({Scope.READ, Scope.READ_CUSTOMERS}),
    "Event": frozenset({Scope.READ_EVENTS}),
    "RegisteredDocument": frozenset({Scope.MANAGE_KEYS}),
}
"""The scopes that reading a noun needs. All other nouns need READ."""

_ALL_NEEDED = _READ.union(*_NEEDED.values())


@dataclass(frozen=True, slots=True)
class Shown:
    """The selected fields of an object that has been read, and their values as JSON."""

    selected: Selected[Fields]
    json: Json


async def one(
    viewer: Viewer, session: ReadSession, noun: str, lookup: str, value: str, selected: Selected[Fields]
) -> Json | None:
    """Return the account's object whose attribute `lookup` has this value, or None."""
    by, values = _found_by(selected.values, noun, lookup, value)
    rows = await _rows(viewer, session, OneRead(noun, by, selected.selection), values)
    return rows[0][0] if rows else None


async def field_of(
    viewer: Viewer,
    session: ReadSession,
    noun: str,
    lookup: str,
    value: str,
    selected: Selected[Object | Connection],
) -> tuple[bool, Json | None]:
    """Find an object as `one` does. Return whether it exists, and the value of one of its fields."""
    by, values = _found_by(selected.values, noun, lookup, value)
    rows = await _rows(viewer, session, FieldRead(noun, by, selected.selection), values)
    return (True, rows[0][0]) if rows else (False, None)


async def one_in_app(
    viewer: Viewer,
    session: ReadSession,
    app_slug: str,
    noun: str,
    lookup: str,
    value: str,
    selected: Selected[Fields],
) -> tuple[bool, Json | None]:
    """Find an object in an app. Return whether the account has the app, and the object or None."""
    by, values = _found_by(selected.values, noun, lookup, value)
    field = Object(noun.lower(), noun.lower(), noun, selected.selection, by)
    return await field_of(viewer, session, "App", "slug", app_slug, Selected(field, values))


async def child_of_app(
    viewer: Viewer,
    session: ReadSession,
    app_slug: str,
    noun: str,
    lookup: str,
    value: str,
    selected: Selected[Fields],
) -> tuple[str, Json] | None:
    """Find an object in an app.

    Return its id and its JSON, or None if the object or the app does not exist.
    """
    by, values = _found_by(selected.values, noun, lookup, value)
    child = Object(noun.lower(), noun.lower(), noun, selected.selection, by)
    app, values = _found_by(values, "App", "slug", app_slug)
    rows = await _rows(viewer, session, ChildRead("App", app, child), values)
    return None if not rows else (str(rows[0][0]), str(rows[0][1]))


async def connection(viewer: Viewer, session: ReadSession, selected: Selected[Connection]) -> Json:
    """Return a page of the account's objects of one type."""
    rows = await _rows(viewer, session, ConnectionRead(selected.selection), selected.values)
    return rows[0][0] or "{}"


async def node(
    viewer: Viewer, session: ReadSession, id: str, selected: Selected[FieldsByNoun]
) -> Json | None:
    """Return the object with this id, of any type, or None."""
    return (await nodes(viewer, session, [id], selected))[0]


async def nodes(
    viewer: Viewer, session: ReadSession, wanted: Sequence[str], selected: Selected[FieldsByNoun]
) -> list[Json | None]:
    """Return objects by id, in the order of the ids, with None for each unknown id.

    Raises BadUserInput for more than `MAX_IDS` ids.
    """
    require_few(wanted)
    noun_by_id = {id: noun_of(id) for id in wanted}
    names = sorted({noun for noun in noun_by_id.values() if noun is not None})
    if not names:
        viewer.require(Scope.READ)
        return [None] * len(wanted)
    known = [id for id, noun in noun_by_id.items() if noun is not None]
    read = ManyRead(len(selected.values), tuple((name, selected.selection[name]) for name in names))
    rows = await _rows(viewer, session, read, (*selected.values, orjson.dumps(known).decode()))
    found = {row[0]: row[1] for row in rows}
    return [found.get(id) for id in wanted]


async def many(
    viewer: Viewer, session: ReadSession, noun: str, ids: Sequence[str], selected: Selected[Fields]
) -> list[Json | None]:
    """Return the account's objects of one noun by id, in the order of the ids: None for each unknown id."""
    read = ManyRead(len(selected.values), ((noun, selected.selection),))
    rows = await _rows(viewer, session, read, (*selected.values, orjson.dumps(ids).decode()))
    found = {row[0]: row[1] for row in rows}
    return [found.get(id) for id in ids]


async def hits(viewer: Viewer, session: ReadSession, selected: Selected[SearchRead]) -> Json:
    """Return the hits of a search, as a JSON array."""
    read = replace(selected.selection, of_customer=viewer.is_customer)
    if read.sought is None:
        require(viewer, read)
        return "[]"
    ((found,),) = await _rows(viewer, session, read, selected.values)
    return found or "[]"


def require_few(wanted: Sequence[str]) -> None:
    """Raise BadUserInput if there are more ids than `nodes` accepts."""
    if len(wanted) > MAX_IDS:
        raise BadUserInput("ids", f"holds more than {MAX_IDS} ids")


def noun_of(id: str) -> str | None:
    """Return the name of the noun that an id with this prefix belongs to, or None."""
    prefix = ids.prefix_of(id)
    noun = reads.NOUN_BY_PREFIX.get(prefix) if prefix else None
    return noun.name if noun else None


def _found_by(
    values: tuple[Value, ...], noun: str, lookup: str, value: str
) -> tuple[Lookup, tuple[Value, ...]]:
    """Append a lookup's value to the values of a read. Return the lookup with its slot, and all values.

    A value that the databases cannot store is replaced by None, which matches no object.
    """
    bind = reads.NOUNS[noun].lookups[lookup].bind
    return Lookup(lookup, len(values)), (*values, bind(value) if is_storable(value) else None)


def require(viewer: Viewer, read: Read) -> None:
    """Raise Unauthenticated or Forbidden if the viewer may not see everything that a read returns."""
    if _is_of_license(viewer, read):
        return
    if viewer.scopes >= _ALL_NEEDED:
        return
    if viewer.is_customer:
        viewer.require(Scope.READ)
        if not shows_only(read, OF_CUSTOMER):
            raise Forbidden(NOT_OF_CUSTOMER)
        return
    needed = frozenset[Scope]().union(*(_NEEDED.get(noun, _READ) for noun in nouns_of(read)))
    for scope in as_list(needed):
        viewer.require(scope)


def require_history(viewer: Viewer, noun: str | None) -> None:
    """Raise Unauthenticated or Forbidden if the viewer may not read a noun's events."""
    for scope in as_list(_NEEDED["Event"] | _NEEDED.get(noun or "", _READ)):
        viewer.require(scope)


def require_selected(viewer: Viewer, noun: str, selected: Selected[Fields]) -> None:
    """Like `require`, for one object whose id need not be known. Raises Unauthenticated and Forbidden."""
    require(viewer, OneRead(noun, Lookup("id", 0), selected.selection))


def _is_of_license(viewer: Viewer, read: Read) -> bool:
    """Return whether the viewer has a license's token, and a read only shows what that token may show."""
    return (
        Scope.READ_LICENSE in viewer.scopes
        and isinstance(read, OneRead)
        and read.noun == "License"
        and shows_only(read, OF_LICENSE)
    )


async def _rows(
    viewer: Viewer, session: ReadSession, read: Read, values: Sequence[Value]
) -> Sequence[tuple[Json | None, ...]]:
    require(viewer, read)
    values = await history.bound(viewer, session, values)
    tokens = _shows_tokens(viewer, read)
    return await reads.rows(
        session,
        viewer.tenant,
        read,
        values,
        clock.now(),
        tokens=tokens,
        customers=Scope.READ_CUSTOMERS in viewer.scopes,
        scopes=viewer.policy.scope_parameters,
    )


def _shows_tokens(viewer: Viewer, read: Read) -> bool:
    """Return whether a read may return tokens.

    The holder of a license's token may read the token of that license, but not those of other licenses.
    """
    if Scope.READ_TOKENS in viewer.scopes:
        return True
    if Scope.READ_LICENSE not in viewer.scopes or not isinstance(read, OneRead) or read.noun != "License":
        return False
    below = (part for field in read.fields if not isinstance(field, Scalar) for part in parts_of(field))
    return not any(isinstance(part, Scalar) and part.name == "token" for part in below)
