"""Features: what an app can do, switched on by tiers and by single licenses."""

from collections.abc import Mapping

from db import apps, features, ids, licenses, tiers
from db.engine import ReadSession, WriteSession
from db.features import MOST_IN_APP, StoredFeature
from resolvers import reading
from resolvers.apps import require_app
from resolvers.errors import FaultCode, fault, unknown
from resolvers.inputs import (
    Description,
    Input,
    Name,
    SlugWithUnderscores,
    UnchangedSlug,
    check,
    is_storable,
)
from resolvers.reading import Json, Shape
from resolvers.viewer import Scope, Viewer


class CreateFeature(Input):
    """A new feature of an app."""

    slug: SlugWithUnderscores
    name: Name
    description: Description = None


class UpdateFeature(Input):
    """Changes to a feature: a field left out is unchanged, null clears it. The slug never changes."""

    slug: UnchangedSlug = ""
    name: Name = ""
    description: Description = None


async def feature(viewer: Viewer, session: ReadSession, id: str, shape: Shape) -> Json | None:
    """The feature of this id, or None."""
    return await reading.one(viewer, session, "Feature", "id", id, shape)


async def feature_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, id: str, shape: Shape
) -> tuple[bool, Json | None]:
    """The feature of this id in an app: whether there is such an app, and the feature or None."""
    return await reading.one_in_app(viewer, session, app_slug, "Feature", "id", id, shape)


async def create_feature(
    viewer: Viewer, session: WriteSession, app_slug: str, values: Mapping[str, object]
) -> str:
    """Add a feature to an app and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    given = check(CreateFeature, values)
    app_id = await require_app(viewer, session, app_slug)
    await apps.lock(session, app_id)
    if await features.count(session, app_id) >= MOST_IN_APP:
        raise fault(
            FaultCode.WRONG_STATE, f"has {MOST_IN_APP} features already, the most there can be", "app_slug"
        )
    new = ids.new_id(ids.FEATURE)
    row = {
        "id": new.id,
        "app_id": app_id,
        "slug": given.slug,
        "name": given.name,
        "description": given.description,
        "created_at": new.created_at,
    }
    if not await features.insert(session, row):
        raise fault(FaultCode.TAKEN, "has already been taken", "slug")
    return new.id


async def update_feature(viewer: Viewer, session: WriteSession, id: str, values: Mapping[str, object]) -> str:
    """Change a feature and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    found = await _require_feature(viewer, session, id)
    given = check(UpdateFeature, values, {"slug": found.slug})
    changes = given.model_dump(include=given.model_fields_set - {"slug"})
    if changes:
        await features.update(session, id, changes)
    return id


async def delete_feature(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Delete a feature that no tier and no license has, and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    found = await _require_feature(viewer, session, id)
    if await tiers.has_feature(session, id) or await licenses.has_feature(session, found.app_id, found.slug):
        raise fault(FaultCode.IN_USE, "is in use by a tier or a license", "id")
    await features.delete(session, id)
    return id


async def _require_feature(viewer: Viewer, session: WriteSession, id: str) -> StoredFeature:
    found = await features.find_for_update(session, viewer.account_id, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found
