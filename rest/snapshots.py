"""Snapshots: `as_of` returns an object as it was at an earlier time. The object may be deleted by now."""

from datetime import datetime
from typing import Annotated

from pydantic import Field
from starlette.responses import Response

from db.reads import NOUNS
from resolvers import snapshots
from resolvers.inputs import Input, Moment
from resolvers.reading import Json
from rest import envelopes
from rest.envelopes import VERSION
from rest.errors import not_found
from rest.operations import Call
from rest.paging import WITH_PLUS


class AsOfQuery(Input):
    """The time of which to return the object."""

    as_of: Annotated[Moment | None, WITH_PLUS] = Field(
        None,
        description="Return the object as it was at the end of this second, without tokens. It may be "
        "deleted by now. The ETag is the version at that time. The time must not be before the history "
        "begins. Requires the scope `read_events`.",
    )


async def in_app(call: Call, noun: str, as_of: datetime) -> Response:
    """Return a response with the object in the path as it was. Raises Problem."""
    slug, id = call.path["slug"], call.path["id"]
    async with call.database.read() as session:
        found = await snapshots.snapshot_in_app(call.viewer, session, slug, noun, id, as_of, _keys(noun))
    return _one(noun, found)


async def of_app(call: Call, as_of: datetime) -> Response:
    """Return a response with the app in the path as it was. Raises Problem."""
    async with call.database.read() as session:
        found = await snapshots.snapshot_of_app(call.viewer, session, call.path["slug"], as_of, _keys("App"))
    return _one("App", found)


def _one(noun: str, found: Json | None) -> Response:
    if found is None:
        raise not_found(noun.lower())
    return envelopes.one(found)


def _keys(noun: str) -> list[str]:
    """Return the keys of the resource, which are those of the noun's image, and the version."""
    return [*(key for key in NOUNS[noun].image if key != "revoked_reason"), VERSION.name]
