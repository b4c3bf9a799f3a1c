"""Features at /api/v1."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field
from starlette.responses import Response

from db.shaping.selection import Scalar, Selected
from resolvers import features
from resolvers.costs import MUTATION_COST
from resolvers.features import CreateFeature, UpdateFeature
from resolvers.reading import Json
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, APPS, found_in_app, page_in_app, require_app
from rest.envelopes import ABOUT_META, Answer, AnyMeta, Versioned, cost_of, fields_of, with_version
from rest.operations import Call, operation
from rest.paging import PageQuery

FEATURES = f"{APP}/features"
FEATURE = f"{FEATURES}/{{id}}"


class Feature(Versioned):
    """Part of an app that tiers and individual licenses can enable."""

    id: str = Field(description="Id, starting with feat_.")
    name: str = Field(description="Display name.")
    slug: str = Field(description="Name used in tokens, unique within the app. It never changes.")
    description: str | None = Field(description="Description, if there is one.")
    created_at: datetime = Field(description="When the feature was created.")


class FeatureAnswer(Answer):
    """One feature."""

    data: Feature = Field(description="The feature.")


class FeaturePage(Answer):
    """A page of features."""

    data: list[Feature] = Field(description="Features on this page.")
    meta: AnyMeta = Field(description=ABOUT_META)


class FeaturesQuery(PageQuery):
    """Selects a page of features."""

    noun: ClassVar[str] = "Feature"


_FIELDS = fields_of(Feature)
_ONE = with_version(_FIELDS)
_ID = (Scalar("id", "id"),)


@operation(
    "GET",
    FEATURES,
    scope=Scope.READ,
    query=FeaturesQuery,
    check_first=require_app,
    cost=None,
    answers={200: FeaturePage},
)
async def list_features(call: Call) -> Response:
    """List features. Returns the features of an app, sorted by slug."""
    query = call.checked(FeaturesQuery, call.query)
    return await page_in_app(call, query.selection(_FIELDS))


@operation(
    "POST",
    FEATURES,
    scope=Scope.WRITE_CATALOG,
    reads=Scope.READ,
    body=CreateFeature,
    check_first=require_app,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={201: FeatureAnswer},
)
async def create_feature(call: Call) -> Response:
    """Create a feature. Its slug cannot be changed later."""
    values = await call.body()
    slug = call.path["slug"]
    async with call.database.write() as session:
        id = await features.create_feature(call.viewer, session, slug, values)
    return envelopes.created(await _require(call, id), call.location(f"{APPS}/{slug}/features/{id}"))


@operation("GET", FEATURE, scope=Scope.READ, cost=1 + cost_of(_FIELDS), answers={200: FeatureAnswer})
async def get_feature(call: Call) -> Response:
    """Get a feature by id. A feature of another app counts as not found."""
    return envelopes.one(await _require(call, call.path["id"]))


@operation(
    "PUT PATCH",
    FEATURE,
    scope=Scope.WRITE_CATALOG,
    reads=Scope.READ,
    body=UpdateFeature,
    conditional=True,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: FeatureAnswer},
)
async def update_feature(call: Call) -> Response:
    """Change a feature. PUT and PATCH do the same: fields left out keep their values."""
    await _require(call, call.path["id"], _ID)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        id = await features.update_feature(call.viewer, session, call.path["id"], values, if_version)
    return envelopes.one(await _require(call, id))


@operation(
    "DELETE",
    FEATURE,
    scope=Scope.WRITE_CATALOG,
    conditional=True,
    cost=MUTATION_COST,
    answers={204: None},
)
async def delete_feature(call: Call) -> Response:
    """Delete a feature. This fails with `conflict` if a tier or a license has the feature."""
    await _require(call, call.path["id"], _ID)
    if_version = call.if_version
    async with call.database.write() as session:
        await features.delete_feature(call.viewer, session, call.path["id"], if_version)
    return envelopes.nothing()


async def _require(call: Call, id: str, fields: tuple[Scalar, ...] = _ONE) -> Json:
    async with call.database.read() as session:
        has_app, feature = await features.feature_in_app(
            call.viewer, session, call.path["slug"], id, Selected(fields)
        )
    return found_in_app("feature", has_app, feature)
