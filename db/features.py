"""Features: parts of an app that tiers and licenses enable."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    bindparam,
    func,
    select,
)

from db import apps, ids
from db.engine import WriteSession
from db.log import OWN_EVENTS
from db.metadata import metadata
from db.shaping.images import image
from db.shaping.nouns import Kind, Noun, Ordering, ToOne, Unique, column
from db.statements import locking
from db.tenancy import Tenant, is_no_customer, within_apps
from db.types import PlainText, UtcDateTime

MOST_IN_APP = 200

SLUG = re.compile(r"[a-z0-9_]{1,63}")
"""The pattern for the slugs of features and tiers."""

features = Table(
    "features",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("slug", PlainText, nullable=False),
    Column("name", PlainText, nullable=False),
    Column("description", PlainText),
    Column("created_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    UniqueConstraint("app_id", "slug"),
    Index(None, "app_id", "slug", "id"),
)

FEATURE = Noun(
    name="Feature",
    table=features,
    prefix=ids.FEATURE,
    owned=lambda row: apps.owns(row["app_id"]),
    reached=lambda row: apps.reaches(row["app_id"]) & is_no_customer(),
    attributes={
        "id": column("id"),
        "slug": column("slug"),
        "name": column("name", Kind.TEXT),
        "description": column("description", Kind.TEXT, nullable=True),
        "created_at": column("created_at"),
        "version": column("version", Kind.INTEGER),
    },
    subject="feature",
    image={name: name for name in ("id", "name", "slug", "description", "created_at")},
    objects={"app": ToOne("App", "app_id")},
    connections={"events": OWN_EVENTS},
    lookups={"id": Unique("id"), "slug": Unique("slug")},
    orders={"slug": Ordering("slug")},
    default_order=("slug", False),
)

_FOR_UPDATE = locking(
    select(features.c.app_id, features.c.slug, features.c.version, image(FEATURE).label("image"))
    .join(apps.apps, apps.apps.c.id == features.c.app_id)
    .where(features.c.id == bindparam("id"), within_apps(apps.apps.c)),
    apps.apps,
    features,
)
_COUNT = select(func.count()).where(features.c.app_id == bindparam("app_id"))
_DELETE = features.delete().where(features.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class StoredFeature:
    """A feature, with the columns that are needed to change the feature."""

    app_id: str
    slug: str
    version: int
    image: str


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a feature. Returns False if its slug is taken in the app."""
    return await session.insert_if_free(features, values)


async def count(session: WriteSession, app_id: str) -> int:
    """Return how many features an app has."""
    return int((await session.execute(_COUNT, {"app_id": app_id})).scalar_one())


async def find_for_update(session: WriteSession, tenant: Tenant, id: str) -> StoredFeature | None:
    """Lock a feature until the transaction ends and return it, or None if the tenant has no such feature."""
    row = (await session.execute(_FOR_UPDATE, {"id": id, **tenant.parameters})).mappings().first()
    return None if row is None else StoredFeature(**row)


async def ids_for_key_share(session: WriteSession, app_id: str, slugs: Sequence[str]) -> Mapping[str, str]:
    """Return the ids of an app's features with these slugs, by slug.

    Until the transaction ends, these features cannot be deleted.
    """
    if not slugs:
        return {}
    named = (
        select(features.c.slug, features.c.id)
        .where(features.c.app_id == app_id, features.c.slug.in_(slugs))
        .with_for_update(read=True, key_share=True)
    )
    return {row.slug: row.id for row in await session.execute(named)}


async def delete(session: WriteSession, id: str) -> None:
    """Delete a feature that no tier and no license has."""
    await session.execute(_DELETE, {"id": id})
