"""Events: the log of changes. A change and its event are committed together, or not at all.

An event's `version` is the version of its subject after the change. Its `position` is its place in the log of
the whole installation. SQLite has one writer, so an event gets its position with its row. On PostgreSQL, a
writer that begins earlier may commit later, so positions are assigned after the commit, by one task at a
time (`db.projector`). Once a position can be read, no event appears at a lower one.

`data` is the subject after the change (before it, for a deletion), with the names of its fields in REST
(`Noun.image`). `changes` has the fields that changed, each with its old and its new value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    cast,
    false,
    func,
    literal_column,
    null,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import Insert, ReturningUpdate
from sqlalchemy.sql.functions import FunctionElement

from db import apps, clock, ids
from db.engine import WriteSession
from db.metadata import metadata
from db.shaping.images import image
from db.shaping.json import numbered_texts
from db.shaping.nouns import Noun, Row
from db.types import JsonObject, PlainText, UtcDateTime, json_text

events = Table(
    "events",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("position", BigInteger, unique=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    # No foreign keys to what the event is about: the log outlives it.
    Column("app_id", PlainText),
    Column("app_slug", PlainText),
    Column("customer_id", PlainText),
    Column("other_customer_id", PlainText),  # the customer that a license was transferred from
    Column("subject_type", PlainText, nullable=False),
    Column("subject_id", PlainText, nullable=False),
    Column("version", Integer, nullable=False),
    Column("type", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("actor_kind", PlainText, nullable=False),
    Column("actor_id", PlainText),
    Column("request_id", PlainText),
    Column("caused_by", PlainText),
    Column("data", PlainText, nullable=False),
    Column("changes", PlainText, nullable=False),
    Column("erased", Boolean, nullable=False, server_default=false()),
    UniqueConstraint("subject_id", "version"),
    Index(None, "account_id", "position"),
    Index(None, "app_id", "position"),
    Index(None, "customer_id", "position"),
)
_has_other_customer = events.c.other_customer_id.is_not(None)
Index(
    "ix_events_other_customer_id_position",
    events.c.other_customer_id,
    events.c.position,
    sqlite_where=_has_other_customer,
    postgresql_where=_has_other_customer,
)
_has_no_position = events.c.position.is_(None)
Index(
    "ix_events_without_position",
    events.c.id,
    sqlite_where=_has_no_position,
    postgresql_where=_has_no_position,
)

Index(
    "ix_events_deleted_apps",
    events.c.account_id,
    events.c.app_slug,
    sqlite_where=events.c.type == "app.deleted",
    postgresql_where=events.c.type == "app.deleted",
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("name", PlainText, primary_key=True),
    Column("until", UtcDateTime, nullable=False),
    Column("last_id", PlainText, nullable=False),
)


class ActorKind(StrEnum):
    """Who made a change: an API key, the holder of a license's token, a command, or the server itself."""

    KEY = "key"
    TOKEN = "token"  # noqa: S105  (a kind, not a password)
    COMMAND = "command"
    SYSTEM = "system"


class EventType(StrEnum):
    """What happened. The part before the dot is the subject."""

    APP_CREATED = "app.created"
    APP_UPDATED = "app.updated"
    APP_DELETED = "app.deleted"
    APP_KEYS_ROTATED = "app.keys_rotated"
    CUSTOMER_CREATED = "customer.created"
    CUSTOMER_UPDATED = "customer.updated"
    CUSTOMER_DELETED = "customer.deleted"
    LICENSE_CREATED = "license.created"
    LICENSE_UPDATED = "license.updated"
    LICENSE_RENEWED = "license.renewed"
    LICENSE_TRANSFERRED = "license.transferred"
    LICENSE_REGENERATED = "license.regenerated"
    LICENSE_REVOKED = "license.revoked"
    LICENSE_REINSTATED = "license.reinstated"
    LICENSE_DELETED = "license.deleted"
    LICENSE_EXPIRING = "license.expiring"
    LICENSE_EXPIRED = "license.expired"
    TIER_CREATED = "tier.created"
    TIER_UPDATED = "tier.updated"
    TIER_DELETED = "tier.deleted"
    FEATURE_CREATED = "feature.created"
    FEATURE_UPDATED = "feature.updated"
    FEATURE_DELETED = "feature.deleted"
    KEY_CREATED = "key.created"
    KEY_UPDATED = "key.updated"
    KEY_ROTATED = "key.rotated"
    KEY_REVOKED = "key.revoked"
    SESSION_CREATED = "session.created"
    DOCUMENTS_REGISTERED = "documents.registered"
    DOCUMENTS_DELETED = "documents.deleted"


_NOTHING: Mapping[str, Any] = MappingProxyType({})

DELETIONS = frozenset(
    {
        EventType.APP_DELETED,
        EventType.CUSTOMER_DELETED,
        EventType.LICENSE_DELETED,
        EventType.TIER_DELETED,
        EventType.FEATURE_DELETED,
    }
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a change, and the id of the request that asks for it.

    `id` is the id of an API key, the `jti` of a token, or the name of a command.
    """

    kind: ActorKind
    id: str | None = None
    request_id: str | None = None


def command(name: str) -> Actor:
    """Return the actor of a command, such as "keys revoke"."""
    return Actor(ActorKind.COMMAND, name)


SERVER = Actor(ActorKind.SYSTEM)
"""The actor of what the server does by itself."""


class _NewPosition(FunctionElement[int]):
    """The positions of new rows. On PostgreSQL they are null until the projector assigns them."""

    name = "new_position"
    type = BigInteger()
    inherit_cache = True


@compiles(_NewPosition, "sqlite")
def _sqlite_position(_element: _NewPosition, _compiler: SQLCompiler, **_kw: Any) -> str:
    # A trigger (migration 0017) moves the head.
    return "(SELECT head FROM log) + row_number() OVER ()"


@compiles(_NewPosition, "postgresql")
def _postgresql_position(_element: _NewPosition, _compiler: SQLCompiler, **_kw: Any) -> str:
    return "NULL::bigint"


COLUMNS = (
    "id",
    "position",
    "account_id",
    "app_id",
    "app_slug",
    "customer_id",
    "subject_type",
    "subject_id",
    "version",
    "type",
    "created_at",
    "actor_kind",
    "actor_id",
    "request_id",
    "caused_by",
    "other_customer_id",
    "data",
    "changes",
)


def of_row(
    noun: Noun,
    row: FromClause | None = None,
    event_id: ColumnElement[str] | None = None,
    *,
    created_at: ColumnElement[str] | None = None,
    deleted: bool = False,
    more: Sequence[str] = (),
) -> Select[Any]:
    """Return the query for the new event of each row: the values of `COLUMNS`.

    The rows are those of the noun's table, or of another source with the same columns. `event_id` and
    `created_at` are those of the event, by default the parameters with these names. A deletion counts as one
    more version.
    """
    row = noun.table if row is None else row
    columns = row.c
    app_id, app_slug, account_id = _owners(noun, columns)
    customer: Any = columns["id"] if noun.subject == "customer" else columns.get("customer_id", null())
    return select(
        _EVENT_ID if event_id is None else event_id,
        _NewPosition(),
        account_id,
        app_id,
        app_slug,
        customer,
        literal_column(f"'{noun.subject}'"),
        columns["id"],
        columns["version"] + (1 if deleted else 0),
        _parameter("type"),
        _parameter("created_at") if created_at is None else created_at,
        *map(_parameter, _PARAMETERS),
        image(noun, row, more),
        _parameter("changes"),
    ).select_from(row)


def _owners(noun: Noun, columns: Row) -> tuple[Any, Any, Any]:
    """Return SQL for the app's id, the app's slug and the account's id of a row."""
    if noun.table is apps.apps:
        return columns["id"], columns["slug"], columns["account_id"]
    if "app_id" not in columns:
        return null(), null(), columns["account_id"]
    # These are no join, because PostgreSQL could plan to read all apps for it.
    of_app = (
        select(apps.apps.c[name]).where(apps.apps.c.id == columns["app_id"]).correlate_except(apps.apps)
        for name in ("slug", "account_id")
    )
    return columns["app_id"], *(found.scalar_subquery() for found in of_app)


def _parameter(name: str) -> ColumnElement[Any]:
    # In a SELECT, a parameter has no type unless it is cast.
    column = events.c[name]
    return cast(bindparam(f"event_{name}", type_=column.type), column.type)


_PARAMETERS = ("actor_kind", "actor_id", "request_id", "caused_by", "other_customer_id")
_EVENT_ID = _parameter("id")
_ID = "row_id"
_ONE = bindparam("event_subject", type_=Text())
_MANY = bindparam("event_owner", type_=Text())


_last_version = select(func.max(events.c.version)).where(events.c.subject_id == _ONE).scalar_subquery()
_RECORDING_WITHOUT_ROW = events.insert().from_select(
    COLUMNS,
    select(
        _EVENT_ID,
        _NewPosition(),
        cast(bindparam("event_account", type_=Text()), Text),
        null(),
        null(),
        null(),
        cast(bindparam("event_subject_type", type_=Text()), Text),
        cast(_ONE, Text),
        func.coalesce(_last_version, 0) + 1,
        _parameter("type"),
        _parameter("created_at"),
        *map(_parameter, _PARAMETERS),
        _parameter("data"),
        _parameter("changes"),
    ),
)


def parameters(
    actor: Actor,
    type: EventType,
    subject_id: str | None = None,
    *,
    changes: Mapping[str, object] = _NOTHING,
    caused_by: str | None = None,
    other_customer_id: str | None = None,
) -> dict[str, object]:
    """Return the parameters of a statement that writes an event (`recording`). The event gets a new id."""
    now = clock.now()
    return {
        "event_id": ids.new_id(ids.EVENT).id,
        "event_type": type.value,
        "event_created_at": now,
        "event_actor_kind": actor.kind.value,
        "event_actor_id": actor.id,
        "event_request_id": actor.request_id,
        "event_caused_by": caused_by,
        "event_other_customer_id": other_customer_id,
        "event_changes": json_text(dict(changes)),
        "event_subject": subject_id,
        "now": now,
    }


@cache
def recording(noun: Noun, more: tuple[str, ...] = (), *, deleted: bool = False) -> Insert:
    """Return the statement that writes the event of one row. See `parameters` for its values."""
    event = of_row(noun, deleted=deleted, more=more).where(noun.table.c.id == _ONE)
    return events.insert().from_select(COLUMNS, event)


@cache
def _recording_all(noun: Noun, owner: str, *, deleted: bool) -> Insert:
    """Return the statement that writes one event for each row that has a value in the column `owner`.

    The ids of the events are the parameter "event_ids", a JSON array.
    """
    place = func.row_number().over(order_by=noun.table.c.id).label("place")
    found = select(noun.table, place).where(noun.table.c[owner] == _MANY).subquery()
    listed = numbered_texts(bindparam("event_ids", type_=Text())).table_valued(
        "value", "place", name="listed"
    )
    row = select(found, listed.c.value.label("event_id")).join(listed, listed.c.place == found.c.place)
    source = row.subquery()
    event = of_row(noun, source, source.c.event_id, deleted=deleted)
    return events.insert().from_select(COLUMNS, event)


async def record(
    session: WriteSession,
    actor: Actor,
    noun: Noun,
    id: str,
    type: EventType,
    *,
    changes: Mapping[str, object] = _NOTHING,
    more: Mapping[str, int] = _NOTHING,
    values: Mapping[str, object] = _NOTHING,
    other_customer_id: str | None = None,
) -> str:
    """Write the event of a change to the row with this id, and return the id of the event.

    Call this after a change, but before a deletion. `more` are numbers that the event's data has besides the
    row's fields. `values` are those of other parameters that the noun's image needs. The event is also in the
    history of the customer with the id `other_customer_id`.
    """
    event = parameters(actor, type, id, changes=changes, other_customer_id=other_customer_id)
    statement = recording(noun, tuple(more), deleted=type in DELETIONS)
    await session.execute(statement, {**values, **more, **event})
    session.has_events = True
    return str(event["event_id"])


async def record_deletions(
    session: WriteSession,
    actor: Actor,
    noun: Noun,
    owner: str,
    id: str,
    type: EventType,
    count: int,
    cause: str,
) -> None:
    """Write an event for each row that is deleted with the row that it belongs to.

    These are the `count` rows whose column `owner` is `id`. The owner is locked, so that there are no others.
    `cause` is the id of the event of the owner's deletion.
    """
    event_ids = [ids.new_id(ids.EVENT).id for _ in range(count)]
    event = parameters(actor, type, caused_by=cause)
    owned = {"event_owner": id, "event_ids": json_text(event_ids)}
    await session.execute(_recording_all(noun, owner, deleted=True), {**event, **owned})


async def record_without_row(
    session: WriteSession,
    actor: Actor,
    account_id: str,
    subject_type: str,
    subject_id: str,
    type: EventType,
    data: Mapping[str, object],
) -> None:
    """Write the event of a change to something that has no row of its own, such as a set of documents.

    Its version is one more than the last version in the log. The caller holds a lock, so that changes of one
    subject wait for each other.
    """
    subject = {"event_account": account_id, "event_subject_type": subject_type}
    event = parameters(actor, type, subject_id)
    await session.execute(_RECORDING_WITHOUT_ROW, {**event, **subject, "event_data": json_text(data)})
    session.has_events = True


async def change(
    session: WriteSession,
    actor: Actor,
    noun: Noun,
    id: str,
    before: str,
    changes: Mapping[str, object],
    type: EventType,
    *,
    unique: bool = False,
    values: Mapping[str, object] = _NOTHING,
) -> bool:
    """Change columns of the row with this id, and write the event. Return False if nothing changed.

    `before` is the image of the row, which the caller has locked. If the row has the same values already, it
    stays as it is, and there is no event. See `apply` for the other arguments.
    """
    old = orjson.loads(before)
    same = {name for name, value in changes.items() if isinstance(value, Mapping) and old.get(name) == value}
    new = {name: value for name, value in changes.items() if name not in same}
    if not new.keys() - {"updated_at"}:
        return False
    after = await _apply(session, noun, id, new, unique=unique, only_if_different=True, values=values)
    if after is None:
        return False
    await record(session, actor, noun, id, type, changes=differences(before, after), values=values)
    return True


async def apply(
    session: WriteSession,
    noun: Noun,
    id: str,
    changes: Mapping[str, object],
    *,
    unique: bool = False,
    values: Mapping[str, object] = _NOTHING,
) -> str:
    """Change columns of the row with this id, give it its next version, and return its image.

    The caller must then write the event. If `unique` is true, this may raise UniqueViolation, and the
    transaction can go on. `values` are those of other parameters that the noun's image needs.
    """
    return str(await _apply(session, noun, id, changes, unique=unique, values=values))


async def _apply(
    session: WriteSession,
    noun: Noun,
    id: str,
    changes: Mapping[str, object],
    *,
    unique: bool,
    values: Mapping[str, object],
    only_if_different: bool = False,
) -> str | None:
    statement = _updating(noun, tuple(changes), only_if_different=only_if_different)
    run = session.execute_unique if unique else session.execute
    given = {f"new_{name}": value for name, value in changes.items()}
    after: str | None = (await run(statement, {**values, **given, "now": clock.now(), _ID: id})).scalar()
    if after is not None and session.database.is_sqlite:
        # In RETURNING, SQLite 3.40 takes nulls for values: an active license would be shown as revoked.
        return await image_of(session, noun, id, values)
    return after


async def image_of(
    session: WriteSession, noun: Noun, id: str, values: Mapping[str, object] = _NOTHING
) -> str:
    """Return the image of the row with this id."""
    found = await session.execute(_reading(noun), {**values, "now": clock.now(), _ID: id})
    return str(found.scalar_one())


def differences(before: str, after: str) -> dict[str, object]:
    """Return the fields that differ between two images, each with its old and its new value."""
    old, new = orjson.loads(before), orjson.loads(after)
    return {key: {"from": old.get(key), "to": value} for key, value in new.items() if old.get(key) != value}


@cache
def _updating(noun: Noun, names: tuple[str, ...], *, only_if_different: bool) -> ReturningUpdate[Any]:
    table = noun.table
    # The parameters are not named after the columns, because SQLAlchemy does not allow that in a condition.
    new: dict[str, Any] = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
    updated = table.update().where(table.c.id == bindparam(_ID, type_=Text()))
    if only_if_different:
        compared = (name for name in names if name != "updated_at")
        updated = updated.where(or_(*(_differs(table.c[name], new[name]) for name in compared)))
    # Two casts of one parameter would otherwise give it two types.
    set_to = {name: cast(value, table.c[name].type) for name, value in new.items()}
    return updated.values({**set_to, "version": table.c.version + 1}).returning(image(noun))


def _differs(column: Column[Any], value: ColumnElement[Any]) -> ColumnElement[bool]:
    if isinstance(column.type, JsonObject):  # PostgreSQL's type json has no equality
        return cast(column, Text).is_distinct_from(cast(value, Text))
    return column.is_distinct_from(value)


@cache
def _reading(noun: Noun) -> Select[Any]:
    return select(image(noun)).where(noun.table.c.id == bindparam(_ID, type_=Text()))
