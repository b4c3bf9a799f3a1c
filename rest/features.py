"""Features at /api/v1."""

from datetime import datetime

from starlette.responses import Response

from db.shaping.selection import Scalar, Values
from resolvers import features
from resolvers.features import CreateFeature, UpdateFeature
from resolvers.reading import Json, Shape
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, APPS, found_in_app, page_in_app, query_in_app, require_app
from rest.envelopes import Answer, Meta, fields_of
from rest.operations import Call, operation
from rest.paging import PageQuery, page_shape

FEATURES = f"{APP}/features"
FEATURE = f"{FEATURES}/{{id}}"


class Feature(Answer):
    """Something that an app can do, switched on by tiers and by single licenses."""

    id: str
    name: str
    slug: str
    description: str | None
    created_at: datetime


class FeatureAnswer(Answer):
    """One feature."""

    data: Feature


class FeaturePage(Answer):
    """A page of features."""

    data: list[Feature]
    meta: Meta


_FIELDS = fields_of(Feature)
_ID = (Scalar("id", "id"),)


@operation("GET", FEATURES, scope=Scope.READ, query=PageQuery, answers={200: FeaturePage})
async def list_features(call: Call) -> Response:
    """List the features of an app, by slug."""
    query = await query_in_app(call, PageQuery)
    return await page_in_app(call, page_shape(query, "features", "Feature", _FIELDS))


@operation("POST", FEATURES, scope=Scope.WRITE, body=CreateFeature, answers={201: FeatureAnswer})
async def create_feature(call: Call) -> Response:
    """Create a feature. Its slug never changes."""
    await require_app(call)
    values = await call.body()
    slug = call.path["slug"]
    async with call.database.write() as session:
        id = await features.create_feature(call.viewer, session, slug, values)
    return envelopes.created(await _require(call, id), f"{APPS}/{slug}/features/{id}")


@operation("GET", FEATURE, scope=Scope.READ, answers={200: FeatureAnswer})
async def get_feature(call: Call) -> Response:
    """Get a feature."""
    return envelopes.one(await _require(call, call.path["id"]))


@operation("PUT PATCH", FEATURE, scope=Scope.WRITE, body=UpdateFeature, answers={200: FeatureAnswer})
async def update_feature(call: Call) -> Response:
    """Change a feature. Keys left out are unchanged, null clears; the slug never changes."""
    await _require(call, call.path["id"], _ID)
    values = await call.body()
    async with call.database.write() as session:
        id = await features.update_feature(call.viewer, session, call.path["id"], values)
    return envelopes.one(await _require(call, id))


@operation("DELETE", FEATURE, scope=Scope.WRITE, answers={204: None})
async def delete_feature(call: Call) -> Response:
    """Delete a feature that no tier and no license has."""
    await _require(call, call.path["id"], _ID)
    async with call.database.write() as session:
        await features.delete_feature(call.viewer, session, call.path["id"])
    return envelopes.nothing()


async def _require(call: Call, id: str, fields: tuple[Scalar, ...] = _FIELDS) -> Json:
    async with call.database.read() as session:
        has_app, feature = await features.feature_in_app(
            call.viewer, session, call.path["slug"], id, Shape(fields, Values())
        )
    return found_in_app("feature", has_app, feature)
