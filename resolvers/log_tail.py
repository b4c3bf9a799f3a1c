"""Follows the log of events. A command uses this module; requests do not."""

from asyncio import sleep
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from db import ids
from db import log_tail as stored
from db.engine import Database, ReadSession
from db.log import CURSOR_TAG
from db.shaping import cursors
from db.shaping.cursors import InvalidCursor
from resolvers.errors import FaultCode, fault, unknown
from resolvers.events import START
from resolvers.inputs import is_storable

EVENTS_PER_READ = 500
LOOKS_EVERY_S = 1.0


async def follow(
    database: Database, app_slug: str | None, after: str | None
) -> AsyncIterator[Mapping[str, Any]]:
    """Yield events in the order of their positions, and wait for more. Never ends.

    `after` is the id of an event, a cursor or `START`. None means after the last event. Raises Faults.
    """
    async with database.read() as session:
        app_id = None if app_slug is None else await _app(session, app_slug)
        position = await _position(session, after)
        while True:
            head = await stored.head(session)
            while position < head:
                found = await stored.after(session, position, app_id, EVENTS_PER_READ)
                for position, event in found:  # noqa: B007  (the last one is where the next read starts)
                    yield event
                if len(found) < EVENTS_PER_READ:
                    # The rest up to this head is in other apps.
                    position = max(position, head)
            await sleep(LOOKS_EVERY_S)


async def _app(session: ReadSession, slug: str) -> str:
    found = await stored.app_with_slug(session, slug) if is_storable(slug) else None
    if found is None:
        raise unknown(slug, "app")
    return found


async def _position(session: ReadSession, after: str | None) -> int:
    if after is None:
        return await stored.head(session)
    if after == START:
        return 0
    if ids.prefix_of(after) == ids.EVENT:
        found = await stored.position_of(session, after)
        if found is not None:
            return found
    with suppress(InvalidCursor):
        return cursors.decode_number(CURSOR_TAG, after)
    raise fault(FaultCode.INVALID, f"must be the id of an event, a cursor or {START}", "after")
