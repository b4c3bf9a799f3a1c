"""Tiers at /api/v1."""

from datetime import datetime
from typing import Annotated

from starlette.responses import Response

from db.shaping.selection import Scalar, Values
from resolvers import tiers
from resolvers.inputs import NUMERIC
from resolvers.reading import Json, Shape
from resolvers.tiers import CreateTier, Position, UpdateTier
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, APPS, found_in_app, page_in_app, query_in_app, require_app
from rest.envelopes import Answer, Meta, Shows, fields_of
from rest.operations import Call, operation
from rest.paging import PageQuery, page_shape

TIERS = f"{APP}/tiers"
TIER = f"{TIERS}/{{id}}"


class Tier(Answer):
    """A level that an app is sold at, with the slugs of its features."""

    id: str
    name: str
    slug: str
    position: int
    features: Annotated[list[str], Shows("feature_slugs")]
    created_at: datetime


class TierAnswer(Answer):
    """One tier."""

    data: Tier


class TierPage(Answer):
    """A page of tiers."""

    data: list[Tier]
    meta: Meta


class NewTier(CreateTier):
    """A new tier. Without a position it becomes the last one."""

    position: Annotated[Position | None, NUMERIC] = None


class ChangedTier(UpdateTier):
    """Changes to a tier. The slug never changes."""

    position: Annotated[Position, NUMERIC] = 0


_FIELDS = fields_of(Tier)
_ID = (Scalar("id", "id"),)


@operation("GET", TIERS, scope=Scope.READ, query=PageQuery, answers={200: TierPage})
async def list_tiers(call: Call) -> Response:
    """List the tiers of an app, by position and then by slug."""
    query = await query_in_app(call, PageQuery)
    return await page_in_app(call, page_shape(query, "tiers", "Tier", _FIELDS))


@operation("POST", TIERS, scope=Scope.WRITE, body=NewTier, answers={201: TierAnswer})
async def create_tier(call: Call) -> Response:
    """Create a tier. Its slug never changes."""
    await require_app(call)
    values = await call.body()
    slug = call.path["slug"]
    async with call.database.write() as session:
        id = await tiers.create_tier(call.viewer, session, slug, values, NewTier)
    return envelopes.created(await _require(call, id), f"{APPS}/{slug}/tiers/{id}")


@operation("GET", TIER, scope=Scope.READ, answers={200: TierAnswer})
async def get_tier(call: Call) -> Response:
    """Get a tier."""
    return envelopes.one(await _require(call, call.path["id"]))


@operation("PUT PATCH", TIER, scope=Scope.WRITE, body=ChangedTier, answers={200: TierAnswer})
async def update_tier(call: Call) -> Response:
    """Change a tier. Keys left out are unchanged; tokens keep their features until they are regenerated."""
    await _require(call, call.path["id"], _ID)
    values = await call.body()
    async with call.database.write() as session:
        id = await tiers.update_tier(call.viewer, session, call.path["id"], values, ChangedTier)
    return envelopes.one(await _require(call, id))


@operation("DELETE", TIER, scope=Scope.WRITE, answers={204: None})
async def delete_tier(call: Call) -> Response:
    """Delete a tier that no license has."""
    await _require(call, call.path["id"], _ID)
    async with call.database.write() as session:
        await tiers.delete_tier(call.viewer, session, call.path["id"])
    return envelopes.nothing()


async def _require(call: Call, id: str, fields: tuple[Scalar, ...] = _FIELDS) -> Json:
    async with call.database.read() as session:
        has_app, tier = await tiers.tier_in_app(
            call.viewer, session, call.path["slug"], id, Shape(fields, Values())
        )
    return found_in_app("tier", has_app, tier)
