"""Tiers: the levels that an app is sold at, each with a set of features."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from db import apps, events, features, ids, licenses, tiers
from db.engine import ReadSession, WriteSession
from db.events import EventType
from db.shaping.selection import Fields, Selected
from db.tiers import HIGHEST_POSITION, LOWEST_POSITION, TIER, StoredTier
from resolvers import reading
from resolvers.apps import require_app
from resolvers.errors import FaultCode, fault, unknown
from resolvers.inputs import (
    MAX_DURATION_DAYS,
    UNCHANGED,
    WITHOUT_FRACTION,
    Changes,
    Days,
    FeatureSlugs,
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

_Position = Annotated[int, Field(ge=LOWEST_POSITION, le=HIGHEST_POSITION), WITHOUT_FRACTION]
Position = Annotated[
    _Position,
    Field(
        description="Place among the app's tiers: lower positions come first. Tiers with the same position "
        "are sorted by slug."
    ),
]
NewPosition = Annotated[
    _Position | None,
    Field(
        description="Place among the app's tiers: lower positions come first. By default, a new tier comes "
        "last."
    ),
]


DefaultTerm = Annotated[
    Days | None,
    Field(
        description="Term of a license of this tier that is issued or renewed without one: a number of days, "
        f"1 to {MAX_DURATION_DAYS:,}. By default, each license needs a term of its own."
    ),
]
ChangedTerm = Annotated[
    Days | None,
    Field(
        description="Term of a license of this tier that is issued or renewed without one: a number of days, "
        f"1 to {MAX_DURATION_DAYS:,}, or null for none. Issued licenses keep their expiry."
    ),
]


class CreateTier(Input):
    """A new tier."""

    slug: SlugWithUnderscores
    name: Name
    position: NewPosition = None
    features: FeatureSlugs = Field([], description="Slugs of the app's features that the tier includes.")
    duration_days: DefaultTerm = None
    trial: bool = Field(
        False,
        description="Whether licenses of this tier are trials. Each customer and each installation can have "
        "only one trial of the app, whatever happens to it. This cannot be changed later.",
    )


class UpdateTier(Changes):
    """Changes to a tier. Fields left out keep their values.

    Only `features` and `durationDays` can be cleared with null. Existing tokens do not change.
    """

    slug: UnchangedSlug = UNCHANGED
    name: Name = UNCHANGED
    position: Position = UNCHANGED
    features: FeatureSlugs = Field(
        UNCHANGED,
        description="Slugs of all features that the tier includes after the change. They replace the "
        "tier's current features.",
    )
    duration_days: ChangedTerm = UNCHANGED


async def tier(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the tier with this id, or None."""
    return await reading.one(viewer, session, "Tier", "id", id, selected)


async def tier_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, id: str, selected: Selected[Fields]
) -> tuple[bool, Json | None]:
    """Find a tier of an app by its id. Return whether the account has the app, and the tier or None."""
    return await reading.one_in_app(viewer, session, app_slug, "Tier", "id", id, selected)


async def create_tier(
    viewer: Viewer,
    session: WriteSession,
    app_slug: str,
    values: Mapping[str, object],
) -> str:
    """Add a tier to an app and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CATALOG)
    given = check(CreateTier, values)
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
        "duration_days": given.duration_days,
        "trial": given.trial,
    }
    if not await tiers.insert(session, row):
        raise fault(FaultCode.TAKEN, "has already been taken", "slug")
    await tiers.set_features(session, new.id, feature_ids.values())
    await events.record(session, viewer.actor, TIER, new.id, EventType.TIER_CREATED)
    return new.id


async def update_tier(
    viewer: Viewer,
    session: WriteSession,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Change a tier and return its id. Raises Faults.

    A license keeps the features in its token until the token is regenerated.
    """
    viewer.require(Scope.WRITE_CATALOG)
    found = await _require_tier(viewer, session, id)
    changes = check(UpdateTier, values, {"slug": found.slug}).changes()
    require_version(found, if_version)
    if "position" in changes:
        changes["rank"] = tiers.rank(changes["position"], found.slug)
    included = changes.pop("features", None)
    feature_ids = None if included is None else await require_features(session, found.app_id, included)
    if feature_ids is None or list(feature_ids) == await tiers.feature_slugs(session, id):
        await events.change(session, viewer.actor, TIER, id, found.image, changes, EventType.TIER_UPDATED)
        return id
    await tiers.set_features(session, id, feature_ids.values())
    after = await events.apply(session, TIER, id, changes)
    differences = events.differences(found.image, after)
    await events.record(session, viewer.actor, TIER, id, EventType.TIER_UPDATED, changes=differences)
    return id


async def delete_tier(viewer: Viewer, session: WriteSession, id: str, if_version: Versions = None) -> str:
    """Delete a tier that no license has, and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CATALOG)
    found = await _require_tier(viewer, session, id)
    require_version(found, if_version)
    user = await licenses.find_with_tier(session, id)
    if user is not None:
        raise fault(FaultCode.IN_USE, "is in use by a license", "id", existing_id=user)
    await events.record(session, viewer.actor, TIER, id, EventType.TIER_DELETED)
    await tiers.delete(session, id)
    return id


async def require_features(session: WriteSession, app_id: str, slugs: Sequence[str]) -> Mapping[str, str]:
    """Return the ids of an app's features by slug, sorted by slug. Raises Faults if a slug is unknown."""
    found = await features.ids_for_key_share(
        session, app_id, sorted(filter(features.SLUG.fullmatch, set(slugs)))
    )
    missing = [slug for slug in dict.fromkeys(slugs) if slug not in found]
    if missing:
        raise fault(FaultCode.NOT_FOUND, f"do not all exist: {', '.join(missing)[:255]}", "features")
    return dict(sorted(found.items()))


async def _require_tier(viewer: Viewer, session: WriteSession, id: str) -> StoredTier:
    found = await tiers.find_for_update(session, viewer.tenant, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found
