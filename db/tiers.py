"""Tiers: the levels that an app is sold at, each with its features."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    ScalarSelect,
    Table,
    UniqueConstraint,
    bindparam,
    false,
    func,
    select,
)

from db import apps, ids
from db.engine import WriteSession
from db.features import features
from db.log import OWN_EVENTS
from db.metadata import metadata
from db.shaping.images import image
from db.shaping.json import json_array, json_string
from db.shaping.nouns import Attribute, Kind, Noun, Ordering, Row, Through, ToMany, ToOne, Unique, column
from db.statements import locking
from db.tenancy import Tenant, is_no_customer, within_apps
from db.types import PlainText, UtcDateTime

TYPICAL_FEATURES = 20
LOWEST_POSITION, HIGHEST_POSITION = -(2**31), 2**31 - 1

tiers = Table(
    "tiers",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("slug", PlainText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("position", Integer, nullable=False),
    Column("rank", PlainText, nullable=False),  # computed from position and slug by `rank`
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("duration_days", Integer),  # the term of a license for which no other term is given
    Column("trial", Boolean, nullable=False, server_default=false()),  # never changes (see `db.trials`)
    UniqueConstraint("app_id", "slug"),
    Index(None, "app_id", "rank", "id"),
)

tier_features = Table(
    "tier_features",
    metadata,
    Column("tier_id", PlainText, ForeignKey("tiers.id", ondelete="CASCADE"), primary_key=True),
    # No cascade: a feature cannot be deleted while a tier has it. An app can still be deleted, because one
    # statement deletes both the app's tiers and its features.
    Column("feature_id", PlainText, ForeignKey("features.id"), primary_key=True),
    Index(None, "feature_id"),
)


def rank(position: int, slug: str) -> str:
    """Return a text that sorts an app's tiers by position, and then by slug."""
    return f"{position - LOWEST_POSITION:010}.{slug}"


def _feature_slugs(row: Row) -> ScalarSelect[Any]:
    ordered = (
        select(features.c.slug)
        .join(tier_features, tier_features.c.feature_id == features.c.id)
        .where(tier_features.c.tier_id == row["id"])
        .order_by(features.c.slug)
        .correlate_except(features, tier_features)
        .subquery()
    )
    return select(json_array(json_string(ordered.c.slug))).scalar_subquery()


TIER = Noun(
    name="Tier",
    table=tiers,
    prefix=ids.TIER,
    owned=lambda row: apps.owns(row["app_id"]),
    reached=lambda row: apps.reaches(row["app_id"]) & is_no_customer(),
    attributes={
        "id": column("id"),
        "slug": column("slug"),
        "name": column("name", Kind.TEXT),
        "position": column("position", Kind.INTEGER),
        "feature_slugs": Attribute(
            Kind.JSON, ("id",), _feature_slugs, is_subquery=True, cost=TYPICAL_FEATURES
        ),
        "created_at": column("created_at"),
        "version": column("version", Kind.INTEGER),
        "duration_days": column("duration_days", Kind.INTEGER, nullable=True),
        "trial": column("trial", Kind.BOOLEAN),
    },
    subject="tier",
    image={
        "id": "id",
        "name": "name",
        "slug": "slug",
        "position": "position",
        "features": "feature_slugs",
        "created_at": "created_at",
        "duration_days": "duration_days",
        "trial": "trial",
    },
    objects={"app": ToOne("App", "app_id")},
    lists={"features": Through("Feature", tier_features, "tier_id", "feature_id", "slug", TYPICAL_FEATURES)},
    connections={"licenses": ToMany("License", "tier_id"), "events": OWN_EVENTS},
    lookups={"id": Unique("id"), "slug": Unique("slug")},
    orders={"position": Ordering("rank")},
    default_order=("position", False),
)

_FOR_UPDATE = locking(
    select(tiers.c.app_id, tiers.c.slug, tiers.c.version, image(TIER).label("image"))
    .join(apps.apps, apps.apps.c.id == tiers.c.app_id)
    .where(tiers.c.id == bindparam("id"), within_apps(apps.apps.c)),
    apps.apps,
    tiers,
)
_FOR_KEY_SHARE = (
    select(tiers.c.slug, tiers.c.duration_days, tiers.c.trial)
    .where(tiers.c.id == bindparam("id"), tiers.c.app_id == bindparam("app_id"))
    .with_for_update(read=True, key_share=True)
)
_FEATURES = (
    select(features.c.slug)
    .join(tier_features, tier_features.c.feature_id == features.c.id)
    .where(tier_features.c.tier_id == bindparam("id"))
    .order_by(features.c.slug)
)
_HIGHEST = select(func.max(tiers.c.position)).where(tiers.c.app_id == bindparam("app_id"))
_USING = select(tier_features.c.tier_id).where(tier_features.c.feature_id == bindparam("feature_id")).limit(1)
_EMPTY = tier_features.delete().where(tier_features.c.tier_id == bindparam("id"))
_DELETE = tiers.delete().where(tiers.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class StoredTier:
    """A tier, with the columns that are needed to change the tier."""

    app_id: str
    slug: str
    version: int
    image: str


@dataclass(frozen=True, slots=True)
class GrantedTier:
    """A tier, with the columns that are needed to issue a license with it."""

    slug: str
    duration_days: int | None
    trial: bool


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a tier. Returns False if its slug is taken in the app."""
    return await session.insert_if_free(tiers, values)


async def highest_position(session: WriteSession, app_id: str) -> int | None:
    """Return the position of an app's last tier, or None if the app has no tiers."""
    highest: int | None = (await session.execute(_HIGHEST, {"app_id": app_id})).scalar()
    return highest


async def find_for_update(session: WriteSession, tenant: Tenant, id: str) -> StoredTier | None:
    """Lock a tier until the transaction ends and return it, or None if the tenant has no such tier."""
    row = (await session.execute(_FOR_UPDATE, {"id": id, **tenant.parameters})).mappings().first()
    return None if row is None else StoredTier(**row)


async def find_for_key_share(session: WriteSession, app_id: str, id: str) -> GrantedTier | None:
    """Lock an app's tier against deletion and return it, or None if the app has no such tier.

    The lock lasts until the transaction ends.
    """
    row = (await session.execute(_FOR_KEY_SHARE, {"id": id, "app_id": app_id})).first()
    return None if row is None else GrantedTier(*tuple(row))


async def feature_slugs(session: WriteSession, id: str) -> Sequence[str]:
    """Return the slugs of a tier's features, sorted."""
    return list((await session.execute(_FEATURES, {"id": id})).scalars())


async def has_feature(session: WriteSession, feature_id: str) -> bool:
    """Return whether any tier has a feature."""
    return (await session.execute(_USING, {"feature_id": feature_id})).first() is not None


async def set_features(session: WriteSession, id: str, feature_ids: Iterable[str]) -> None:
    """Replace a tier's features."""
    await session.execute(_EMPTY, {"id": id})
    rows = [{"tier_id": id, "feature_id": feature_id} for feature_id in feature_ids]
    if rows:
        await session.execute(tier_features.insert().values(rows))


async def delete(session: WriteSession, id: str) -> None:
    """Delete a tier that no license has."""
    await session.execute(_DELETE, {"id": id})
