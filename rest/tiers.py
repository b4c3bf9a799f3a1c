"""Tiers at /api/v1."""

from datetime import datetime
from typing import Annotated, ClassVar

from pydantic import Field
from starlette.responses import Response

from db.shaping.selection import Scalar, Selected
from resolvers import tiers
from resolvers.costs import MUTATION_COST
from resolvers.inputs import UNCHANGED
from resolvers.reading import Json
from resolvers.tiers import ChangedTerm, CreateTier, DefaultTerm, NewPosition, Position, UpdateTier
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, APPS, found_in_app, page_in_app, require_app
from rest.envelopes import ABOUT_META, Answer, AnyMeta, Shows, Versioned, cost_of, fields_of, with_version
from rest.numeric_strings import NUMERIC
from rest.operations import Call, operation
from rest.paging import PageQuery

TIERS = f"{APP}/tiers"
TIER = f"{TIERS}/{{id}}"


class Tier(Versioned):
    """A level at which an app is sold, with a set of features."""

    id: str = Field(description="Id, starting with tier_.")
    name: str = Field(description="Display name.")
    slug: str = Field(description="Name used in tokens, unique within the app. It never changes.")
    position: int = Field(description="Place among the app's tiers. Lower positions come first.")
    features: Annotated[list[str], Shows("feature_slugs")] = Field(
        description="Slugs of the tier's features, sorted."
    )
    created_at: datetime = Field(description="When the tier was created.")


class TierAnswer(Answer):
    """One tier."""

    data: Tier = Field(description="The tier.")


class TierPage(Answer):
    """A page of tiers."""

    data: list[Tier] = Field(description="Tiers on this page.")
    meta: AnyMeta = Field(description=ABOUT_META)


class NewTier(CreateTier):
    """A new tier."""

    position: Annotated[NewPosition, NUMERIC] = None
    duration_days: Annotated[DefaultTerm, NUMERIC] = None


class ChangedTier(UpdateTier):
    """Changes to a tier. Fields left out keep their values.

    Only `features` and `duration_days` can be cleared with null.
    """

    position: Annotated[Position, NUMERIC] = UNCHANGED
    duration_days: Annotated[ChangedTerm, NUMERIC] = UNCHANGED


class TiersQuery(PageQuery):
    """Selects a page of tiers."""

    noun: ClassVar[str] = "Tier"


_FIELDS = fields_of(Tier)
_ONE = with_version(_FIELDS)
_ID = (Scalar("id", "id"),)


@operation(
    "GET",
    TIERS,
    scope=Scope.READ,
    query=TiersQuery,
    check_first=require_app,
    cost=None,
    answers={200: TierPage},
)
async def list_tiers(call: Call) -> Response:
    """List tiers. Returns the tiers of an app, sorted by position, then by slug."""
    query = call.checked(TiersQuery, call.query)
    return await page_in_app(call, query.selection(_FIELDS))


@operation(
    "POST",
    TIERS,
    scope=Scope.WRITE_CATALOG,
    reads=Scope.READ,
    body=NewTier,
    check_first=require_app,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={201: TierAnswer},
)
async def create_tier(call: Call) -> Response:
    """Create a tier. Its slug cannot be changed later."""
    values = await call.body()
    slug = call.path["slug"]
    async with call.database.write() as session:
        id = await tiers.create_tier(call.viewer, session, slug, values)
    return envelopes.created(await _require(call, id), call.location(f"{APPS}/{slug}/tiers/{id}"))


@operation("GET", TIER, scope=Scope.READ, cost=1 + cost_of(_FIELDS), answers={200: TierAnswer})
async def get_tier(call: Call) -> Response:
    """Get a tier by id. A tier of another app counts as not found."""
    return envelopes.one(await _require(call, call.path["id"]))


@operation(
    "PUT PATCH",
    TIER,
    scope=Scope.WRITE_CATALOG,
    reads=Scope.READ,
    body=ChangedTier,
    conditional=True,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: TierAnswer},
)
async def update_tier(call: Call) -> Response:
    """Change a tier. PUT and PATCH do the same: fields left out keep their values."""
    await _require(call, call.path["id"], _ID)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        id = await tiers.update_tier(call.viewer, session, call.path["id"], values, if_version)
    return envelopes.one(await _require(call, id))


@operation(
    "DELETE",
    TIER,
    scope=Scope.WRITE_CATALOG,
    conditional=True,
    cost=MUTATION_COST,
    answers={204: None},
)
async def delete_tier(call: Call) -> Response:
    """Delete a tier. This fails with `conflict` if a license has the tier."""
    await _require(call, call.path["id"], _ID)
    if_version = call.if_version
    async with call.database.write() as session:
        await tiers.delete_tier(call.viewer, session, call.path["id"], if_version)
    return envelopes.nothing()


async def _require(call: Call, id: str, fields: tuple[Scalar, ...] = _ONE) -> Json:
    async with call.database.read() as session:
        has_app, tier = await tiers.tier_in_app(call.viewer, session, call.path["slug"], id, Selected(fields))
    return found_in_app("tier", has_app, tier)
