"""Licenses: a customer's right to run an app on one installation."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    ScalarSelect,
    Table,
    Text,
    bindparam,
    case,
    func,
    literal,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from db import apps, clock, ids, tokens
from db.customers import customers
from db.engine import WriteSession
from db.features import SLUG
from db.metadata import metadata
from db.shaping.json import parsed
from db.shaping.nouns import (
    ACCOUNT,
    GATHERED_SCAN,
    INDEX_SCAN,
    NOW,
    ROW_SCAN,
    TOKENS,
    Attribute,
    Condition,
    Kind,
    Noun,
    Ordering,
    Row,
    ToOne,
    Unique,
    column,
)
from db.shaping.texts import contains
from db.signing_keys import NEVER
from db.statements import locking
from db.tiers import tiers
from db.types import JsonObject, PlainText, Slugs, UtcDateTime


class LicenseStatus(StrEnum):
    """Whether a license may be used. EXPIRED is worked out from `expires_at` when it is read."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


# "At most one active license per app and installation" depends on the clock, which no index can see.
# So what is stored is a fact the index can hold: whether a license is the current one of its installation.
# Issuing first retires a current license that is revoked or expired, then asks for the place.
licenses = Table(
    "licenses",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("customer_id", PlainText, ForeignKey("customers.id", ondelete="CASCADE"), nullable=False),
    Column("installation_id", PlainText, nullable=False),
    Column("is_current", Boolean, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Column("revoked_reason", PlainText),
    Column("metadata", JsonObject, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # No cascade: a tier that a license has cannot be deleted. With their app both go in one statement.
    Column("tier_id", PlainText, ForeignKey("tiers.id")),
    # By slug, which never changes: those in its token (the tier's of then, and its own), and its own alone.
    Column("features", Slugs, nullable=False, server_default="[]"),
    Column("own_features", Slugs, nullable=False, server_default="[]"),
    Index(None, "app_id", "id"),
    Index(None, "app_id", "expires_at", "id"),
    Index(None, "customer_id", "id"),
    Index(None, "customer_id", "expires_at", "id"),
    Index(None, "tier_id", "id"),
    Index(None, "tier_id", "expires_at", "id"),
    # The installation first: of an app alone SQLite would walk it, from one end of the table to the other.
    Index(None, "installation_id", "app_id", "id"),
)
Index(
    "uq_licenses_current_installation",
    licenses.c.app_id,
    licenses.c.installation_id,
    unique=True,
    sqlite_where=licenses.c.is_current,
    postgresql_where=licenses.c.is_current,
)


def status(row: Row) -> ColumnElement[str]:
    """The status as SQL: revoked, else expired from the very second of expiry on, else active."""
    return case(
        (row["revoked_at"].is_not(None), LicenseStatus.REVOKED.value),
        (row["expires_at"] <= NOW, LicenseStatus.EXPIRED.value),
        else_=LicenseStatus.ACTIVE.value,
    )


def is_active(row: Row) -> ColumnElement[bool]:
    """Whether the status is active, as a condition that costs less than the status does."""
    unexpired = row["expires_at"].is_(None) | (row["expires_at"] > NOW)
    return row["revoked_at"].is_(None) & unexpired  # type: ignore[no-any-return]


def _end(moment: datetime) -> str:
    """What the stored seconds before a moment are smaller than, and no others."""
    text = clock.as_text(moment)
    # Up to and with 10:00:00 is before 10:00:00.5: before whatever follows that second's own text.
    return f"{text}~" if moment.microsecond else text


def _generation(row: Row) -> ScalarSelect[int]:
    return (
        select(apps.apps.c.signing_generation)
        .where(apps.apps.c.id == row["app_id"])
        .correlate_except(apps.apps)
        .scalar_subquery()
    )


def _token(column: str) -> Callable[[Row], ScalarSelect[str]]:
    return lambda row: tokens.shown(column, row["id"], _generation(row))


def _tier_slug(row: Row) -> ScalarSelect[str]:
    return select(tiers.c.slug).where(tiers.c.id == row["tier_id"]).correlate_except(tiers).scalar_subquery()


def _has_tier(row: Row, slug: BindParameter[str]) -> ColumnElement[bool]:
    named = select(tiers.c.id).where(tiers.c.app_id == row["app_id"], tiers.c.slug == slug)
    return row["tier_id"] == named.correlate_except(tiers).scalar_subquery()  # type: ignore[no-any-return]


def _written(slug: str) -> str:
    """A slug as the array of a license's features holds it; one that is none, as no array does."""
    return f'"{slug}"' if SLUG.fullmatch(slug) else '""'


class found_by_feature(FunctionElement[Any]):  # noqa: N801
    """Whether the index of features (made by migration 0008) has a license, in any of the account's apps."""

    name = "found_by_feature"
    type = NullType()  # of a Boolean() SQLAlchemy would ask `= 1` on SQLite, and no index answers that
    inherit_cache = False

    def __init__(self, row: Row, written: BindParameter[str]) -> None:
        super().__init__(row["id"], row["app_id"], row["features"], written, ACCOUNT)


@compiles(found_by_feature, "sqlite")
def _sqlite_found(element: found_by_feature, compiler: SQLCompiler, **kw: Any) -> str:
    id, _, _, written, account = (compiler.process(clause, **kw) for clause in element.clauses)
    return (
        f"{id} IN (SELECT license_id FROM apps CROSS JOIN license_features "  # noqa: S608
        f"WHERE account_id = {account} AND app_id = apps.id AND feature = trim({written}, '\"'))"
    )


@compiles(found_by_feature, "postgresql")
def _postgresql_found(element: found_by_feature, compiler: SQLCompiler, **kw: Any) -> str:
    _, app_id, features, written, account = (compiler.process(clause, **kw) for clause in element.clauses)
    return (
        f"license_features({app_id}, {features}) && "  # noqa: S608
        f"ARRAY(SELECT id || ' ' || trim({written}, '\"') FROM apps WHERE account_id = {account})"
    )


def _active_first(row: Row) -> list[ColumnElement[Any]]:
    """Of an installation's licenses the active one, of which there is at most one; else the newest."""
    return [(row["is_current"] & is_active(row)).desc(), row["id"].desc()]


LICENSE = Noun(
    name="License",
    table=licenses,
    prefix=ids.LICENSE,
    owned=lambda row: apps.owns(row["app_id"]),
    attributes={
        "id": column("id"),
        "installation_id": column("installation_id"),
        "status": Attribute(Kind.PLAIN, ("revoked_at", "expires_at"), status),
        "status_word": Attribute(
            Kind.PLAIN, ("revoked_at", "expires_at"), lambda row: func.lower(status(row))
        ),
        "expires_at": column("expires_at", nullable=True),
        "revoked_at": column("revoked_at", nullable=True),
        "revoked_reason": column("revoked_reason", Kind.TEXT, nullable=True),
        "features": Attribute(Kind.JSON, ("features",), lambda row: parsed(row["features"])),
        "jti": Attribute(Kind.PLAIN, ("id", "app_id"), _token("jti"), is_subquery=True),
        # About as long as all the rest of a license together.
        "token": Attribute(
            Kind.PLAIN,
            ("id", "app_id"),
            lambda row: case((TOKENS, _token("token")(row))),
            nullable=True,
            is_subquery=True,
            cost=1,
        ),
        "customer_id": column("customer_id"),
        "tier_id": column("tier_id", nullable=True),
        "tier_slug": Attribute(Kind.PLAIN, ("tier_id",), _tier_slug, nullable=True, is_subquery=True),
        "metadata": column("metadata", Kind.JSON),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
    },
    objects={
        "app": ToOne("App", "app_id"),
        "customer": ToOne("Customer", "customer_id"),
        "tier": ToOne("Tier", "tier_id", nullable=True),
    },
    lookups={"id": Unique("id"), "installation_id": Unique("installation_id", preferred=_active_first)},
    filters={
        "status": Condition(
            lambda row, value: status(row) == value, columns=("revoked_at", "expires_at"), scan=ROW_SCAN
        ),
        "expires_before": Condition(
            lambda row, value: row["expires_at"] < value, _end, columns=("expires_at",), scan=2 * INDEX_SCAN
        ),
        "expires_after": Condition(
            lambda row, value: row["expires_at"] > value,
            clock.as_text,
            columns=("expires_at",),
            scan=2 * INDEX_SCAN,
        ),
        "customer_id": Condition(
            lambda row, value: row["customer_id"] == value, columns=("customer_id",), narrows=True
        ),
        "tier_id": Condition(
            lambda row, value: row["tier_id"] == value, columns=("tier_id",), narrows=True, scan=ROW_SCAN
        ),
        "tier_slug": Condition(_has_tier, columns=("tier_id", "app_id"), narrows=True, scan=ROW_SCAN),
        "feature": Condition(
            lambda row, value: contains(row["features"], value),
            _written,
            columns=("features",),
            index=found_by_feature,
            scan=GATHERED_SCAN,
        ),
    },
    orders={
        "created_at": Ordering(),
        "expires_at": Ordering("expires_at", nullable=True),
    },
)


_RETIRE = (
    licenses.update()
    .where(
        licenses.c.app_id == bindparam("of_app"),
        licenses.c.installation_id == bindparam("of_installation"),
        licenses.c.is_current,
        licenses.c.revoked_at.is_not(None) | (licenses.c.expires_at <= bindparam("at")),
    )
    .values(is_current=False)
)
# Who is to sign a token shares the app's lock with others who do; only its keys do not change meanwhile.
_OWNER = locking(
    select(customers.c.app_id, apps.apps.c.slug, apps.apps.c.signing_generation)
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .where(customers.c.id == bindparam("id"), apps.APP.owned(apps.apps.c)),
    apps.apps,
    customers,
    strength="SHARE",
)
_FOR_UPDATE = locking(
    select(
        licenses.c.id,
        licenses.c.app_id,
        licenses.c.installation_id,
        licenses.c.expires_at,
        licenses.c.revoked_at,
        licenses.c.tier_id,
        licenses.c.features,
        licenses.c.own_features,
        apps.apps.c.slug.label("app_slug"),
        apps.apps.c.signing_generation,
        tiers.c.slug.label("tier_slug"),
    )
    .join(customers, customers.c.id == licenses.c.customer_id)
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .join(tiers, tiers.c.id == licenses.c.tier_id, isouter=True)
    .where(licenses.c.id == bindparam("id"), apps.APP.owned(apps.apps.c)),
    apps.apps,
    customers,
    licenses,
    strength="SHARE",
)
_LAST_EXPIRY = select(func.max(func.coalesce(licenses.c.expires_at, literal(NEVER, UtcDateTime())))).where(
    licenses.c.customer_id == bindparam("customer_id")
)
_WITH_TIER = select(licenses.c.id).where(licenses.c.tier_id == bindparam("tier_id")).limit(1)
_WITH_FEATURE = (
    select(licenses.c.id)
    .where(
        licenses.c.app_id == bindparam("app_id"),
        contains(licenses.c.features, bindparam("written", type_=Text())),
    )
    .limit(1)
)
_DELETE = licenses.delete().where(licenses.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class Owner:
    """What issuing a license has to know about the customer it is for."""

    app_id: str
    app_slug: str
    signing_generation: int


@dataclass(frozen=True, slots=True)
class StoredLicense:
    """What a change of a license has to know about it."""

    id: str
    app_id: str
    installation_id: str
    expires_at: datetime | None
    revoked_at: datetime | None
    tier_id: str | None
    features: Sequence[str]
    own_features: Sequence[str]
    app_slug: str
    signing_generation: int
    tier_slug: str | None


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a license. False when another is the current one of its installation."""
    return await session.insert_if_free(licenses, values)


async def retire(session: WriteSession, app_id: str, installation_id: str, now: datetime) -> None:
    """Have the current license of an installation make room if it is revoked or expired."""
    await session.execute(_RETIRE, {"of_app": app_id, "of_installation": installation_id, "at": now})


async def find_owner(session: WriteSession, account_id: str, customer_id: str) -> Owner | None:
    """The customer whom a license is to be issued for, locked until the transaction ends; or None."""
    row = (await session.execute(_OWNER, {"id": customer_id, "account": account_id})).first()
    return None if row is None else Owner(*tuple(row))


async def find_for_update(session: WriteSession, account_id: str, id: str) -> StoredLicense | None:
    """A license, locked with its customer until the transaction ends.

    Whoever deletes it changes its customer's `license_count`, and whoever deletes its customer deletes it: in
    another order than app, customer, license the two would wait for each other.
    """
    row = (await session.execute(_FOR_UPDATE, {"id": id, "account": account_id})).mappings().first()
    return None if row is None else StoredLicense(**row)


async def update(session: WriteSession, id: str, changes: Mapping[str, object]) -> None:
    """Change a license. Raises UniqueViolation, leaving the transaction as it was before."""
    await session.update(licenses, id, changes)


async def delete(session: WriteSession, id: str) -> None:
    """Delete a license."""
    await session.execute(_DELETE, {"id": id})


async def last_expiry(session: WriteSession, customer_id: str) -> datetime | None:
    """When the last of a customer's licenses expires (`db.signing_keys.NEVER`: one never does)."""
    found: datetime | None = (await session.execute(_LAST_EXPIRY, {"customer_id": customer_id})).scalar()
    return found


async def has_tier(session: WriteSession, tier_id: str) -> bool:
    """Whether any license has a tier."""
    return (await session.execute(_WITH_TIER, {"tier_id": tier_id})).first() is not None


async def has_feature(session: WriteSession, app_id: str, slug: str) -> bool:
    """Whether any license of an app has a feature in its token. Looks at all of them if none has."""
    values = {"app_id": app_id, "written": _written(slug)}
    return (await session.execute(_WITH_FEATURE, values)).first() is not None
