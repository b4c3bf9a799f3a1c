"""Reads the log and the tables side by side, to check that they agree (`resolvers.log_check`).

Each function returns one batch, read by one statement and therefore in one snapshot. A change and its event
are committed together, so in a snapshot they always agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    or_,
    select,
)

from db import clock, ids
from db.apps import APP, apps, retired_slugs
from db.customers import CUSTOMER
from db.documents import SUBJECT, documents
from db.engine import ReadSession
from db.events import ActorKind, EventType, events
from db.features import FEATURE
from db.keys import KEY_OF_ANY_ACCOUNT
from db.licenses import LICENSE
from db.log import log
from db.shaping.images import image
from db.shaping.nouns import Noun
from db.tiers import TIER
from db.types import UtcDateTime

NOUNS = (APP, CUSTOMER, LICENSE, TIER, FEATURE, KEY_OF_ANY_ACCOUNT)
"""The nouns whose rows are subjects of events."""

# The scopes of a key without stored scopes come from the settings. Its image has null in place of them.
_NO_SCOPES = {"secret_scopes": "null", "public_scopes": "null"}

_AFTER = bindparam("after", type_=Text())
_END = bindparam("end", type_=Text())
_SINCE = bindparam("since", type_=UtcDateTime())
_LIMIT = bindparam("limit", type_=Integer())


@dataclass(frozen=True, slots=True)
class LogState:
    """Which events the log has: since when, from which position on, and up to which.

    `first_id` is the id of the event at the first position. `gaps_until` see `db.events.log`.
    """

    since: datetime
    head: int
    gaps_until: int
    first: int | None
    first_id: str | None
    last: int | None


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of events: its versions in the log, its last event, and its row.

    `in_order` is false if a later version has an earlier position. `loaded_at` is when a command created the
    subject's app: such a command also loads rows that have no events. `version` and `image` are None if there
    is no row, or if it is in a deleted app.
    """

    id: str
    first: int
    last: int
    count: int
    in_order: bool
    type: str
    data: str
    erased: bool
    app_is_deleted: bool
    loaded_at: datetime | None
    version: int | None
    image: str | None


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A row without events."""

    id: str
    version: int
    loaded_at: datetime | None


@dataclass(frozen=True, slots=True)
class DocumentSet:
    """A set of registered documents: its versions in the log, its last event, and the number of its rows."""

    id: str
    first: int
    last: int
    count: int
    in_order: bool
    type: str
    data: str
    documents: int


_first = select(func.min(events.c.position)).scalar_subquery()
_STATE = select(
    log.c.since,
    log.c.head,
    log.c.gaps_until,
    _first,
    select(events.c.id).where(events.c.position == _first).scalar_subquery(),
    select(func.max(events.c.position)).scalar_subquery(),
)
_POSITIONS = (
    select(events.c.position)
    .where(events.c.position > bindparam("after", type_=events.c.position.type))
    .order_by(events.c.position)
    .limit(_LIMIT)
)
_FIRST_SINCE = select(func.min(events.c.position)).where(events.c.created_at >= _SINCE)
_RETIRED = select(retired_slugs.c.slug).where(retired_slugs.c.slug == bindparam("slug", type_=Text()))


async def state(session: ReadSession) -> LogState:
    """Return which events the log has."""
    return LogState(*tuple((await session.rows(_STATE, {}))[0]))


async def positions(session: ReadSession, after: int, limit: int) -> Sequence[int]:
    """Return the first `limit` positions of events after this one."""
    return [position for (position,) in await session.rows(_POSITIONS, {"after": after, "limit": limit})]


async def first_since(session: ReadSession, since: datetime) -> int | None:
    """Return the first position of the events since a time, or None if there are none."""
    found: int | None = (await session.rows(_FIRST_SINCE, {"since": since}))[0][0]
    return found


async def is_retired(session: ReadSession, slug: str) -> bool:
    """Return whether an app with this slug has been deleted."""
    return bool(await session.rows(_RETIRED, {"slug": slug}))


async def subjects(
    session: ReadSession, noun: Noun, after: str, since: datetime | None, limit: int
) -> Sequence[Subject]:
    """Return the first `limit` subjects after this id that have events, and have one since this time."""
    values = {**_range(noun.prefix, after), "since": since, "limit": limit, "now": clock.now(), **_NO_SCOPES}
    rows = await session.rows(_subjects(noun, limited=since is not None), values)
    return [Subject(*row) for row in rows]


async def unrecorded(
    session: ReadSession, noun: Noun, after: str, since: datetime, limit: int
) -> Sequence[Unrecorded]:
    """Return the first `limit` rows after this id that have no events, except those that need none.

    A row in a deleted app needs none, and neither does one that was created before this time and has not
    changed since.
    """
    values = {"after": after, "since": since, "limit": limit}
    return [Unrecorded(*row) for row in await session.rows(_unrecorded(noun), values)]


async def document_sets(
    session: ReadSession, after: str, since: datetime | None, limit: int
) -> Sequence[DocumentSet]:
    """Return the first `limit` sets of documents after this id that have events, as `subjects` does."""
    values = {**_range(ids.ACCOUNT, after), "since": since, "limit": limit}
    rows = await session.rows(_document_sets(limited=since is not None), values)
    return [DocumentSet(*row) for row in rows]


def _range(prefix: str, after: str) -> Mapping[str, str]:
    """Return the bounds of ids with a prefix that come after an id. "`" is the character after "_"."""
    return {"after": after or f"{prefix}_", "end": f"{prefix}`"}


def _batch(subject: str, *, limited: bool) -> Any:
    """Return the subquery for a batch of subjects, with their first and last version in the log."""
    found = (
        select(
            events.c.subject_id,
            func.min(events.c.version).label("first"),
            func.max(events.c.version).label("last"),
            func.count().label("count"),
        )
        .where(events.c.subject_type == subject, events.c.subject_id > _AFTER, events.c.subject_id < _END)
        .group_by(events.c.subject_id)
        .order_by(events.c.subject_id)
        .limit(_LIMIT)
    )
    return (found.having(func.max(events.c.created_at) >= _SINCE) if limited else found).subquery("batch")


def _in_order(subject_id: ColumnElement[str]) -> ColumnElement[bool]:
    earlier, later = events.alias("earlier"), events.alias("later")
    wrong = or_(
        earlier.c.position > later.c.position, earlier.c.position.is_(None) & later.c.position.is_not(None)
    )
    found = (
        exists()
        .select_from(earlier.join(later, later.c.subject_id == earlier.c.subject_id))
        .where(earlier.c.subject_id == subject_id, later.c.version == earlier.c.version + 1, wrong)
    )
    return ~found.correlate_except(earlier, later)


def _loaded_at(app_id: ColumnElement[str]) -> ColumnElement[Any]:
    created = events.alias("created")
    return (
        select(created.c.created_at)
        .where(
            created.c.subject_id == app_id,
            created.c.type == EventType.APP_CREATED.value,
            created.c.actor_kind == ActorKind.COMMAND.value,
        )
        .correlate_except(created)
        .scalar_subquery()
    )


def _is_deleted(app_id: ColumnElement[str]) -> ColumnElement[bool]:
    deleted = events.alias("deleted")
    return (
        exists()
        .where(deleted.c.subject_id == app_id, deleted.c.type == EventType.APP_DELETED.value)
        .correlate_except(deleted)
    )


@cache
def _subjects(noun: Noun, *, limited: bool) -> Select[Any]:
    batch, row = _batch(noun.subject, limited=limited), noun.table.c
    exists_ = row.account_id.is_not(None) if noun is APP else row.id.is_not(None)
    return (
        select(
            batch.c.subject_id,
            batch.c["first"],
            batch.c["last"],
            batch.c["count"],
            _in_order(batch.c.subject_id),
            events.c.type,
            events.c.data,
            events.c.erased,
            _is_deleted(events.c.app_id),
            _loaded_at(events.c.app_id),
            case((exists_, row.version)),
            case((exists_, image(noun))),
        )
        .select_from(batch)
        .join(events, and_(events.c.subject_id == batch.c.subject_id, events.c.version == batch.c["last"]))
        .outerjoin(noun.table, row.id == batch.c.subject_id)
        .order_by(batch.c.subject_id)
    )


@cache
def _unrecorded(noun: Noun) -> Select[Any]:
    row = noun.table.c
    recorded = exists().where(events.c.subject_id == row.id).correlate_except(events)
    is_older = (row.version == 1) & (row.created_at <= _SINCE)
    in_app = "app_id" in row
    query = select(row.id, row.version, _loaded_at(row.app_id) if in_app else null())
    if in_app:
        query = query.join(apps, apps.c.id == row.app_id)
    if in_app or noun is APP:
        query = query.where(apps.c.account_id.is_not(None))
    return query.where(row.id > _AFTER, ~recorded, ~is_older).order_by(row.id).limit(_LIMIT)


@cache
def _document_sets(*, limited: bool) -> Select[Any]:
    batch = _batch(SUBJECT, limited=limited)
    name = func.substr(batch.c.subject_id, func.length(events.c.account_id) + literal(2, Integer()))
    count = (
        select(func.count())
        .where(documents.c.account_id == events.c.account_id, documents.c.set == name)
        .correlate_except(documents)
        .scalar_subquery()
    )
    return (
        select(
            batch.c.subject_id,
            batch.c["first"],
            batch.c["last"],
            batch.c["count"],
            _in_order(batch.c.subject_id),
            events.c.type,
            events.c.data,
            count,
        )
        .select_from(batch)
        .join(events, and_(events.c.subject_id == batch.c.subject_id, events.c.version == batch.c["last"]))
        .order_by(batch.c.subject_id)
    )
