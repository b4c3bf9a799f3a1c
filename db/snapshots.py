"""Snapshots: what a subject was at an earlier time, in the form of its image (`Noun.image`).

A snapshot shows the subject's last event that is not later than the time. If there is none, it shows the
first later event with its changes undone, and if there is no event at all, the row. Nothing therefore has to
be written for subjects that are older than the log. Events of one subject are ordered by version: their times
may come from several hosts.

A rotation gives licenses new tokens without events, so `jti` may be that of the last event.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    union_all,
)

from db import clock
from db.apps import APP, apps, reaches
from db.engine import ReadSession
from db.events import DELETIONS, EventType, events
from db.shaping.json import Member, json_object, json_text, member, member_text
from db.shaping.nouns import Kind, Noun
from db.tenancy import Tenant, within_apps

_Read: TypeAlias = Callable[[ColumnElement[Any], str], ColumnElement[Any]]

_ID = bindparam("id", type_=Text())
_AT = bindparam("at", type_=Text())
_SLUG = bindparam("slug", type_=Text())
_DELETIONS: Sequence[ColumnElement[str]] = [literal_column(f"'{each.value}'") for each in sorted(DELETIONS)]
_APP_DELETED: ColumnElement[str] = literal_column(f"'{EventType.APP_DELETED.value}'")
_VERSION = "version"


def of_row(noun: Noun, row: FromClause, at: ColumnElement[str]) -> ColumnElement[Any]:
    """Return SQL for the snapshot of a row, as JSON. It is null if the row did not exist then.

    `at` is a time as text (`db.clock.as_text`). It must not be in the future.
    """
    event = events.alias()
    found = _of_event(noun, event, row.c["id"], at, tuple(noun.image))
    fallback = _image(noun, row, at, tuple(noun.image))
    return func.coalesce(found.correlate_except(event).scalar_subquery(), fallback)


async def find(
    session: ReadSession,
    tenant: Tenant,
    noun: Noun,
    id: str,
    at: datetime,
    *,
    scopes: Mapping[str, str],
    keys: Sequence[str] | None = None,
    app_slug: str | None = None,
) -> str | None:
    """Return the snapshot of a subject, which may be deleted by now, or None if it did not exist then.

    `keys` are those of the image to return, by default all of them. If they include "version", the snapshot
    has the version of the subject at that time. If `app_slug` is given, the subject must be in this app.
    `scopes` has the values of `db.keys.SECRET_SCOPES` and `PUBLIC_SCOPES`.
    """
    query = _finding(noun, tuple(noun.image if keys is None else keys), in_app=app_slug is not None)
    values = {**tenant.parameters, **scopes, "id": id, "at": clock.as_text(at), "slug": app_slug}
    row = await session.row(query, values)
    return None if row is None else row[0]


async def ids_of_app(session: ReadSession, tenant: Tenant, slug: str) -> Sequence[str]:
    """Return the ids of the app with this slug and of deleted apps that had it, newest first."""
    return [row[0] for row in await session.rows(_APPS_BY_SLUG, {**tenant.parameters, "slug": slug})]


@cache
def _finding(noun: Noun, keys: tuple[str, ...], *, in_app: bool) -> Select[Any]:
    event, row = events.alias(), noun.table.alias()
    deletion = events.alias()
    app = {"account_id": event.c.account_id, "id": event.c.app_id}
    # Deleting an app writes no events for what is in it.
    app_is_deleted = exists().where(
        deletion.c.subject_id == event.c.app_id, deletion.c.type == _APP_DELETED, deletion.c.created_at <= _AT
    )
    found = _of_event(noun, event, _ID, _AT, keys).where(
        event.c.subject_type == literal_column(f"'{noun.subject}'"),
        within_apps(app),
        ~app_is_deleted.correlate_except(deletion),
    )
    fallback = select(_image(noun, row, _AT, keys)).where(row.c["id"] == _ID, _is_reached(noun, row))
    if in_app:
        found = found.where(event.c.app_slug == _SLUG)
        named = exists().where(apps.c.id == row.c["app_id"], apps.c.slug == _SLUG)
        fallback = fallback.where(named.correlate_except(apps))
    return select(json_text(func.coalesce(found.scalar_subquery(), fallback.scalar_subquery())))


def _is_reached(noun: Noun, row: FromClause) -> ColumnElement[bool]:
    if noun is APP:
        return within_apps(row.c)
    if "app_id" in row.c:
        return reaches(row.c["app_id"])
    return within_apps({"account_id": row.c["account_id"], "id": null()})


_with_slug = union_all(
    select(apps.c.id).where(apps.c.slug == _SLUG, within_apps(apps.c)),
    select(events.c.subject_id).where(
        events.c.app_slug == _SLUG,
        events.c.type == _APP_DELETED,
        within_apps({"account_id": events.c.account_id, "id": events.c.app_id}),
    ),
).subquery()
_APPS_BY_SLUG = select(_with_slug.c.id).order_by(_with_slug.c.id.desc())


def _of_event(
    noun: Noun, event: FromClause, id: ColumnElement[Any], at: ColumnElement[str], keys: Sequence[str]
) -> Select[Any]:
    """Return the query for a snapshot from events. `event` is an alias of the table of events."""
    earlier, any_time = events.alias(), events.alias()
    last = (
        select(func.max(earlier.c.version))
        .where(earlier.c.subject_id == id, earlier.c.created_at <= at)
        .correlate_except(earlier)
        .scalar_subquery()
    )
    first = (
        select(func.min(any_time.c.version))
        .where(any_time.c.subject_id == id)
        .correlate_except(any_time)
        .scalar_subquery()
    )
    is_later = event.c.created_at > at
    return select(json_object(list(_members_of_event(noun, event, is_later, at, keys)))).where(
        event.c.subject_id == id,
        event.c.version == func.coalesce(last, first),
        or_(is_later, event.c.type.not_in(_DELETIONS)),
        member_text(event.c.data, "created_at") <= at,
    )


def _members_of_event(
    noun: Noun,
    event: FromClause,
    is_later: ColumnElement[bool],
    at: ColumnElement[str],
    keys: Sequence[str],
) -> Iterator[Member]:
    def value(key: str, read: _Read) -> ColumnElement[Any]:
        """Return the value after the event or, if the event is later than the time, before it."""
        change = member(event.c.changes, key)
        is_undone = and_(is_later, change.is_not(None))
        return case((is_undone, read(change, "from")), else_=read(event.c.data, key))

    for key in keys:
        if key == _VERSION:
            yield Member(key, Kind.INTEGER, event.c.version - case((is_later, 1), else_=0))
        elif key in noun.timed:
            columns = {name: value(name, member_text) for name in noun.image}
            yield Member(key, Kind.PLAIN, noun.timed[key](columns, at))
        else:
            yield Member(key, Kind.JSON, value(key, member), nullable=True)


def _image(noun: Noun, row: FromClause, at: ColumnElement[str], keys: Sequence[str]) -> ColumnElement[Any]:
    """Return the image of a row, which has no events, or null if the row did not exist then."""
    members = []
    for key in keys:
        attribute = noun.attributes[noun.image.get(key, key)]
        sql = noun.timed[key](row.c, at) if key in noun.timed else attribute.expression(row.c)
        members.append(Member(key, attribute.kind, sql, attribute.nullable))
    return case((row.c["created_at"] <= at, json_object(members)))
