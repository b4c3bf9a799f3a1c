"""Features: parts of an app that tiers and single licenses enable."""

from collections.abc import Mapping

from db import apps, events, features, ids, licenses, tiers
from db.engine import ReadSession, WriteSession
from db.events import EventType
from db.features import FEATURE, MOST_IN_APP, StoredFeature
from db.shaping.selection import Fields, Selected
from resolvers import reading
from resolvers.apps import require_app
from resolvers.errors import FaultCode, fault, unknown
from resolvers.inputs import (
    UNCHANGED,
    Changes,
    Description,
    Input,
    Name,
    SlugWithUnderscores,
    UnchangedSlug,
    check,
    is_storable,
)
from resolvers.reading import Json
from resolvers.versions import Versions, require_version
from resolvers.viewer import Scope, Viewer


class CreateFeature(Input):
    """A new feature."""

    slug: SlugWithUnderscores
    name: Name
    description: Description = None


class UpdateFeature(Changes):
    """Changes to a feature. Fields left out keep their values.

    Only the description can be cleared with null.
    """

    slug: UnchangedSlug = UNCHANGED
    name: Name = UNCHANGED
    description: Description = UNCHANGED


async def feature(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the feature with this id, or None."""
    return await reading.one(viewer, session, "Feature", "id", id, selected)


async def feature_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, id: str, selected: Selected[Fields]
) -> tuple[bool, Json | None]:
    """Find a feature of an app by its id. Return whether the account has the app, and the feature or None."""
    return await reading.one_in_app(viewer, session, app_slug, "Feature", "id", id, selected)


async def create_feature(
    viewer: Viewer, session: WriteSession, app_slug: str, values: Mapping[str, object]
) -> str:
    """Add a feature to an app and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CATALOG)
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
    await events.record(session, viewer.actor, FEATURE, new.id, EventType.FEATURE_CREATED)
    return new.id


async def update_feature(
    viewer: Viewer,
    session: WriteSession,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Change a feature and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CATALOG)
    found = await _require_feature(viewer, session, id)
    given = check(UpdateFeature, values, {"slug": found.slug})
    require_version(found, if_version)
    changes = given.changes()
    await events.change(session, viewer.actor, FEATURE, id, found.image, changes, EventType.FEATURE_UPDATED)
    return id


async def delete_feature(viewer: Viewer, session: WriteSession, id: str, if_version: Versions = None) -> str:
    """Delete a feature that no tier and no license has, and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CATALOG)
    found = await _require_feature(viewer, session, id)
    require_version(found, if_version)
    in_tier = await tiers.has_feature(session, id)
    user = None if in_tier else await licenses.find_with_feature(session, found.app_id, found.slug)
    if in_tier or user is not None:
        raise fault(FaultCode.IN_USE, "is in use by a tier or a license", "id", existing_id=user)
    await events.record(session, viewer.actor, FEATURE, id, EventType.FEATURE_DELETED)
    await features.delete(session, id)
    return id


async def _require_feature(viewer: Viewer, session: WriteSession, id: str) -> StoredFeature:
    found = await features.find_for_update(session, viewer.tenant, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found
