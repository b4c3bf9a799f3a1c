"""Tiers: the levels that an app is sold at, each with a set of features."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from db import apps, features, ids, licenses, tiers
from db.engine import ReadSession, WriteSession
from db.tiers import HIGHEST_POSITION, LOWEST_POSITION, StoredTier
from resolvers import reading
from resolvers.apps import require_app
from resolvers.errors import FaultCode, fault, unknown
from resolvers.inputs import (
    FeatureSlugs,
    Input,
    Name,
    SlugWithUnderscores,
    UnchangedSlug,
    check,
    is_storable,
)
from resolvers.reading import Json, Shape
from resolvers.viewer import Scope, Viewer

Position = Annotated[int, Field(ge=LOWEST_POSITION, le=HIGHEST_POSITION)]


class CreateTier(Input):
    """A new tier of an app. Without a position it becomes the last one."""

    slug: SlugWithUnderscores
    name: Name
    position: Position | None = None
    features: FeatureSlugs = []


class UpdateTier(Input):
    """Changes to a tier: a field left out is unchanged. The slug never changes."""

    slug: UnchangedSlug = ""
    name: Name = ""
    position: Position = 0
    features: FeatureSlugs = []


async def tier(viewer: Viewer, session: ReadSession, id: str, shape: Shape) -> Json | None:
    """The tier of this id, or None."""
    return await reading.one(viewer, session, "Tier", "id", id, shape)


async def tier_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, id: str, shape: Shape
) -> tuple[bool, Json | None]:
    """The tier of this id in an app: whether there is such an app, and the tier or None."""
    return await reading.one_in_app(viewer, session, app_slug, "Tier", "id", id, shape)


async def create_tier(
    viewer: Viewer,
    session: WriteSession,
    app_slug: str,
    values: Mapping[str, object],
    model: type[CreateTier] = CreateTier,
) -> str:
    """Add a tier to an app and answer its id. Raises Faults. `model` is the input as the door takes it."""
    viewer.require(Scope.WRITE)
    given = check(model, values)
    app_id = await require_app(viewer, session, app_slug)
    await apps.lock(session, app_id)
    feature_ids = await require_features(session, app_id, given.features)
    position = given.position
    if position is None:
        highest = await tiers.highest_position(session, app_id)
        position = 1 if highest is None else highest + 1
        if position > HIGHEST_POSITION:
            raise fault(FaultCode.BLANK, "must be given: the last one is taken", "position")
    new = ids.new_id(ids.TIER)
    row = {
        "id": new.id,
        "app_id": app_id,
        "slug": given.slug,
        "name": given.name,
        "position": position,
        "rank": tiers.rank(position, given.slug),
        "created_at": new.created_at,
    }
    if not await tiers.insert(session, row):
        raise fault(FaultCode.TAKEN, "has already been taken", "slug")
    await tiers.set_features(session, new.id, feature_ids.values())
    return new.id


async def update_tier(
    viewer: Viewer,
    session: WriteSession,
    id: str,
    values: Mapping[str, object],
    model: type[UpdateTier] = UpdateTier,
) -> str:
    """Change a tier and answer its id. Raises Faults. `model` is the input as the door takes it.

    Licenses keep the features that are in their tokens until these are made anew.
    """
    viewer.require(Scope.WRITE)
    found = await _require_tier(viewer, session, id)
    given = check(model, values, {"slug": found.slug})
    changes = given.model_dump(include=given.model_fields_set & {"name", "position"})
    if "position" in changes:
        changes["rank"] = tiers.rank(given.position, found.slug)
    if "features" in given.model_fields_set:
        feature_ids = await require_features(session, found.app_id, given.features)
        await tiers.set_features(session, id, feature_ids.values())
    if changes:
        await tiers.update(session, id, changes)
    return id


async def delete_tier(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Delete a tier that no license has, and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    await _require_tier(viewer, session, id)
    if await licenses.has_tier(session, id):
        raise fault(FaultCode.IN_USE, "is in use by a license", "id")
    await tiers.delete(session, id)
    return id


async def require_features(session: WriteSession, app_id: str, slugs: Sequence[str]) -> Mapping[str, str]:
    """The features of an app that these slugs name, id by slug, in the order of slugs. Raises Faults."""
    found = await features.ids_of(session, app_id, sorted(filter(features.SLUG.fullmatch, set(slugs))))
    missing = [slug for slug in dict.fromkeys(slugs) if slug not in found]
    if missing:
        raise fault(FaultCode.NOT_FOUND, f"do not all exist: {', '.join(missing)[:255]}", "features")
    return dict(sorted(found.items()))


async def _require_tier(viewer: Viewer, session: WriteSession, id: str) -> StoredTier:
    found = await tiers.find_for_update(session, viewer.account_id, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found
