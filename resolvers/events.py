"""Events: reading the record of what happened, as lists and as a feed."""

from typing import Annotated

from pydantic import Field

from db import history, ids
from db.apps import APP
from db.engine import ReadSession
from db.events import EventType
from db.history import EVENT
from db.log import CURSOR_TAG
from db.shaping import cursors
from db.shaping.scans import with_scan_costs
from db.shaping.selection import (
    After,
    Connection,
    EndId,
    Fields,
    Group,
    HasMore,
    Nodes,
    Page,
    Selected,
    Values,
)
from resolvers import paging, reading
from resolvers.errors import FaultCode, Faults, fault
from resolvers.inputs import Input, Moment
from resolvers.paging import FilterText
from resolvers.reading import Json
from resolvers.viewer import Scope, Viewer

START = "start"
"""The place in a feed before the first event."""

OfTypes = Annotated[list[EventType], Field(description="What happened. One of these types.")]
OfSubject = Annotated[FilterText, Field(description="Id of the object that changed.")]


class EventFilters(Input):
    """Selects events that meet all given conditions. Empty strings and lists are ignored."""

    types: OfTypes = []
    subject_id: OfSubject = ""
    actor_id: FilterText = Field("", description="Id of the API key that made the change.")
    happened_after: Moment | None = Field(None, description="Happened after this time (exclusive).")
    happened_before: Moment | None = Field(None, description="Happened before this time (exclusive).")


async def all_events(viewer: Viewer, session: ReadSession, selected: Selected[Connection]) -> Json:
    """Return a page of the account's events."""
    return await reading.connection(viewer, session, selected)


async def place_of(viewer: Viewer, session: ReadSession, after: str) -> int | None:
    """Return the position after which a feed continues, or None for `START`. Raises Faults.

    `after` is the id of an event, a cursor, or `START`.
    """
    viewer.require(Scope.READ_EVENTS)
    if after == START:
        return None
    if ids.prefix_of(after) != ids.EVENT:
        try:
            return cursors.decode_number(CURSOR_TAG, after)
        except cursors.InvalidCursor:
            raise _unknown_place("is not the id of an event, a cursor of events, or start") from None
    is_known, position = await history.position_of(session, viewer.account_id, after)
    if not is_known:
        raise _unknown_place("is not the id of an event that is still kept")
    if position is None:
        raise _unknown_place("is the id of an event that is not in the feed yet; try again later")
    return position


def feed(
    size: int,
    after: tuple[str, int | None] | None,
    filters: tuple[tuple[str, paging.FilterValue], ...],
    fields: Fields,
    *,
    in_app: bool,
) -> Selected[Connection]:
    """Return the selection of a part of a feed: `data` has events, and `meta` where to continue.

    `after` is what the caller sent, and the position that it stands for (`place_of`): the events after that
    position are returned, oldest first. If `after` is None, the newest events are returned, newest first.
    Raises BadUserInput.
    """
    values = Values()
    text, position = (START, None) if after is None else after
    forward = after is not None
    place = None if position is None else After(id=None, value=values.slot(position), null=False)
    page = Page(
        order="position",
        descending=not forward,
        size=values.slot(size),
        after=place,
        filters=tuple(paging.filters(EVENT, filters, values)),
    )
    # The newest event is where the feed continues. It comes last or first on the page.
    meta = EndId("next", last=forward, otherwise=values.slot(text)), HasMore("has_more", forward=forward)
    parts = Nodes("data", fields), Group("meta", meta)
    relation = APP.connections["events"] if in_app else None
    selected = with_scan_costs(Connection("events", "events", "Event", page, parts), EVENT, relation)
    return Selected(selected, tuple(values.items))


def _unknown_place(message: str) -> Faults:
    return fault(FaultCode.INVALID, message, "after")
