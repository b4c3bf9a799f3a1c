"""Reads the log forwards, for a command that prints its events."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, Text, bindparam, or_, select, type_coerce

from db.apps import apps
from db.engine import ReadSession
from db.events import events
from db.keys import keys
from db.log import log

_APP = bindparam("app", type_=Text())
_HEAD = select(log.c.head)
_POSITION_OF = select(events.c.position).where(events.c.id == bindparam("id", type_=Text()))
# Also for an app that is deleted: its events have the slug.
_APP_WITH_SLUG = (
    select(events.c.app_id)
    .where(events.c.app_slug == bindparam("slug", type_=Text()))
    .order_by(events.c.position.desc())
    .limit(1)
)
_LIVE_APP = select(apps.c.id).where(apps.c.slug == bindparam("slug", type_=Text()))
_AFTER = (
    select(
        events.c.position,
        events.c.id,
        events.c.type,
        type_coerce(events.c.created_at, Text()),
        events.c.app_slug,
        events.c.subject_type,
        events.c.subject_id,
        events.c.version,
        events.c.actor_kind,
        events.c.actor_id,
        keys.c.name,
        events.c.request_id,
        events.c.caused_by,
        events.c.data,
        events.c.changes,
    )
    .outerjoin(keys, keys.c.id == events.c.actor_id)
    .where(
        events.c.position > bindparam("after", type_=BigInteger()),
        or_(_APP.is_(None), events.c.app_id == _APP),
    )
    .order_by(events.c.position)
    .limit(bindparam("limit", type_=Integer()))
)


async def head(session: ReadSession) -> int:
    """Return the last position of the log."""
    return int((await session.rows(_HEAD, {}))[0][0])


async def position_of(session: ReadSession, event_id: str) -> int | None:
    """Return the position of an event, or None if there is no such event, or it has no position yet."""
    row = await session.row(_POSITION_OF, {"id": event_id})
    return None if row is None else row[0]


async def app_with_slug(session: ReadSession, slug: str) -> str | None:
    """Return the id of the app with this slug, even if it is deleted, or None if the log has no such app."""
    row = await session.row(_LIVE_APP, {"slug": slug}) or await session.row(_APP_WITH_SLUG, {"slug": slug})
    return None if row is None else row[0]


async def after(
    session: ReadSession, position: int, app_id: str | None, limit: int
) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """Return the first `limit` events after a position, each with its own position, as REST shows them.

    With `app_id`, only the events of this app are returned.
    """
    rows = await session.rows(_AFTER, {"after": position, "app": app_id, "limit": limit})
    return [(row[0], _shown(*row[1:])) for row in rows]


def _shown(
    id: str,
    type: str,
    created_at: str,
    app: str | None,
    subject_type: str,
    subject_id: str,
    version: int,
    actor_kind: str,
    actor_id: str | None,
    actor_name: str | None,
    request_id: str | None,
    caused_by: str | None,
    data: str,
    changes: str,
) -> Mapping[str, Any]:
    return {
        "id": id,
        "type": type,
        "created_at": created_at,
        "app": app,
        "subject": {"type": subject_type, "id": subject_id},
        "version": version,
        "actor": {"kind": actor_kind, "id": actor_id, "name": actor_name},
        "request_id": request_id,
        "caused_by": caused_by,
        "data": json.loads(data),
        "changes": json.loads(changes),
    }
