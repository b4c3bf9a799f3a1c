"""Licenses: a customer's right to use an app on one installation."""

import re
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
    Exists,
    ForeignKey,
    Index,
    Integer,
    ScalarSelect,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from db import apps, clock, ids, tokens
from db.customers import customers
from db.engine import WriteSession
from db.features import SLUG
from db.license_seen import BESIDE_LICENSES, last_verified_at
from db.log import OWN_EVENTS
from db.metadata import metadata
from db.shaping.images import image
from db.shaping.json import parsed
from db.shaping.nouns import (
    INDEX_SCAN,
    NOW,
    ROW_SCAN,
    SEARCH_SCAN,
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
from db.shaping.texts import contains, starts_with
from db.signing_keys import NEVER
from db.statements import locking
from db.tenancy import ACCOUNT, Tenant, is_customer, within_apps
from db.tiers import tiers
from db.types import JsonObject, PlainText, Texts, UtcDateTime


class LicenseStatus(StrEnum):
    """Whether a license may be used.

    No status is stored: it follows from `revoked_at`, `expires_at` and the time of the request.
    """

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


# The digits of a UUID, or its first ones, and where the groups of digits are that hyphens separate.
_HEX = re.compile("[0-9a-f]{1,32}")
_GROUPS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))

# "At most one active license per app and installation" depends on the time, so no index can enforce this
# rule. But an index can enforce that an installation has at most one *current* license, so `is_current` is
# stored. Before a license is issued, `is_current` is cleared on the installation's current license if that
# license is revoked or expired. The new license is then inserted as the current one.
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
    # No cascade: a tier cannot be deleted while a license has it. An app can still be deleted, because one
    # statement deletes both the app's tiers and its licenses.
    Column("tier_id", PlainText, ForeignKey("tiers.id")),
    # Features are stored as slugs, because the slug of a feature never changes. `features` are the features
    # in the license's token: `own_features`, and the features that the tier had when the token was issued.
    Column("features", Texts, nullable=False, server_default="[]"),
    Column("own_features", Texts, nullable=False, server_default="[]"),
    Column("version", Integer, nullable=False, server_default="1"),
    # When the license last moved to another installation. Null if it never moved.
    Column("moved_at", UtcDateTime),
    Index(None, "app_id", "id"),
    Index(None, "app_id", "expires_at", "id"),
    Index(None, "customer_id", "id"),
    Index(None, "customer_id", "expires_at", "id"),
    Index(None, "tier_id", "id"),
    Index(None, "tier_id", "expires_at", "id"),
    # The installation is the first column. Otherwise SQLite would use this index to find all licenses of an
    # app.
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
_expires = licenses.c.expires_at.is_not(None)
Index(
    "ix_licenses_expires_at_id",
    licenses.c.expires_at,
    licenses.c.id,
    sqlite_where=_expires,
    postgresql_where=_expires,
)


def status(row: Row, now: ColumnElement[Any] = NOW) -> ColumnElement[str]:
    """Return SQL for the status of a license.

    `resolvers.verdict` has the same rule in Python, and a test compares the two rules. The expression is flat
    and does not use `is_active`, because SQLite's parser limits how deeply expressions may be nested.
    """
    return case(
        (row["revoked_at"].is_not(None), LicenseStatus.REVOKED.value),
        (row["expires_at"] <= now, LicenseStatus.EXPIRED.value),
        else_=LicenseStatus.ACTIVE.value,
    )


def is_active(row: Row, now: ColumnElement[Any] = NOW) -> ColumnElement[bool]:
    """Return the condition that a license is active, which is cheaper than a comparison with the status."""
    unexpired = row["expires_at"].is_(None) | (row["expires_at"] > now)
    return row["revoked_at"].is_(None) & unexpired  # type: ignore[no-any-return]


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


def _is_trial(row: Row) -> Exists:
    """Return SQL for whether a license is a trial: whether its tier is a trial tier."""
    has_trial_tier = exists().where(tiers.c.id == row["tier_id"], tiers.c.trial)
    return has_trial_tier.correlate_except(tiers)


def _has_tier(row: Row, slug: BindParameter[str]) -> ColumnElement[bool]:
    named = select(tiers.c.id).where(tiers.c.app_id == row["app_id"], tiers.c.slug == slug)
    return row["tier_id"] == named.correlate_except(tiers).scalar_subquery()  # type: ignore[no-any-return]


def _true_or_false(value: bool) -> str:
    """Return a truth value as a text. Both databases compare texts in the same way."""
    return "true" if value else "false"


def _written(slug: str) -> str:
    """Return a slug as it is written in the array of features.

    For an invalid slug, this is a text that occurs in no array.
    """
    return f'"{slug}"' if SLUG.fullmatch(slug) else '""'


class found_by_feature(FunctionElement[Any]):  # noqa: N801
    """Whether the index of features (migration 0008) lists a license of the account under a feature."""

    name = "found_by_feature"
    # With Boolean(), SQLAlchemy would append `= 1` on SQLite, and SQLite would then not use any index.
    type = NullType()
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


def _start(text: str) -> str:
    """Return the start of an installation id or of a `jti` as it is stored.

    An installation id may be in any letter case, with or without hyphens or braces, and a URN.
    """
    text = text.strip()
    digits = re.sub("^urn:uuid:|[-{}]", "", text.lower())
    if not _HEX.fullmatch(digits):
        return text
    return "-".join(filter(None, (digits[start:end] for start, end in _GROUPS)))


def _starts(row: Row, start: BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that a license's installation id, or the `jti` of one of its tokens, starts so."""
    of_license = tokens.tokens.c.license_id == row["id"], tokens.tokens.c.generation <= _generation(row)
    # With EXISTS, PostgreSQL would first find all tokens that start so, and those can be very many.
    named = select(tokens.tokens.c.jti).where(*of_license, starts_with(tokens.tokens.c.jti, start)).limit(1)
    has_token = named.correlate_except(tokens.tokens).scalar_subquery().is_not(None)
    return starts_with(row["installation_id"], start) | has_token


class found_by_start(FunctionElement[Any]):  # noqa: N801
    """Whether the indexes of installation ids and of `jti`s find a license by the start of either."""

    name = "found_by_start"
    # With Boolean(), SQLAlchemy would append `= 1` on SQLite, and SQLite would then not use any index.
    type = NullType()
    inherit_cache = False

    def __init__(self, row: Row, start: BindParameter[str]) -> None:
        installation_id, jti = licenses.alias(), tokens.tokens.alias()
        found = union_all(
            select(installation_id.c.id).where(starts_with(installation_id.c.installation_id, start)),
            select(jti.c.license_id).where(starts_with(jti.c.jti, start)),
        )
        super().__init__(row["id"], found.scalar_subquery())


@compiles(found_by_start, "sqlite")
def _sqlite_found_by_start(element: found_by_start, compiler: SQLCompiler, **kw: Any) -> str:
    id, found = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{id} IN {found}"


@compiles(found_by_start, "postgresql")
def _postgresql_found_by_start(element: found_by_start, compiler: SQLCompiler, **kw: Any) -> str:
    id, found = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{id} = ANY (ARRAY{found})"


def _active_first(row: Row) -> list[ColumnElement[Any]]:
    """Return an order that puts an installation's active license first, and then the newest licenses.

    Within an app, an installation has at most one active license.
    """
    return [(row["is_current"] & is_active(row)).desc(), row["id"].desc()]


LICENSE = Noun(
    name="License",
    table=licenses,
    prefix=ids.LICENSE,
    owned=lambda row: apps.owns(row["app_id"]),
    reached=lambda row: apps.reaches(row["app_id"]) & is_customer(row["customer_id"]),
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
        # A license from before tokens were stored may have none.
        "jti_or_null": Attribute(
            Kind.PLAIN, ("id", "app_id"), _token("jti"), nullable=True, is_subquery=True
        ),
        # The field has a cost because a token is about as long as the rest of the license.
        "token": Attribute(
            Kind.PLAIN,
            ("id", "app_id"),
            lambda row: case((TOKENS, _token("token")(row))),
            nullable=True,
            is_subquery=True,
            cost=1,
        ),
        # In REST, `customer_id` and `tier_slug` stand for a customer and a tier, and cost as much as these.
        "customer_id": Attribute(Kind.PLAIN, ("customer_id",), lambda row: row["customer_id"], cost=1),
        "tier_id": column("tier_id", nullable=True),
        "tier_slug": Attribute(Kind.PLAIN, ("tier_id",), _tier_slug, nullable=True, is_subquery=True, cost=1),
        "metadata": column("metadata", Kind.JSON),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
        "version": column("version", Kind.INTEGER),
        "last_verified_at": Attribute(Kind.PLAIN, ("id",), last_verified_at, nullable=True, is_subquery=True),
        "trial": Attribute(Kind.BOOLEAN, ("tier_id",), _is_trial, is_subquery=True),
    },
    subject="license",
    image={
        "id": "id",
        "installation_id": "installation_id",
        "status": "status_word",
        "tier": "tier_slug",
        "features": "features",
        "expires_at": "expires_at",
        "created_at": "created_at",
        "customer_id": "customer_id",
        "tier_id": "tier_id",
        "jti": "jti_or_null",
        "revoked_at": "revoked_at",
        "revoked_reason": "revoked_reason",
        "metadata": "metadata",
    },
    timed={"status": lambda row, at: func.lower(status(row, at))},
    objects={
        "app": ToOne("App", "app_id"),
        "customer": ToOne("Customer", "customer_id"),
        "tier": ToOne("Tier", "tier_id", nullable=True),
    },
    connections={"events": OWN_EVENTS},
    lookups={"id": Unique("id"), "installation_id": Unique("installation_id", preferred=_active_first)},
    filters={
        "status": Condition(
            lambda row, value: status(row) == value, columns=("revoked_at", "expires_at"), scan=ROW_SCAN
        ),
        "expires_before": Condition(
            lambda row, value: row["expires_at"] < value,
            clock.as_end,
            columns=("expires_at",),
            scan=2 * INDEX_SCAN,
            without_null="expires_at",
        ),
        "expires_after": Condition(
            lambda row, value: row["expires_at"] > value,
            clock.as_text,
            columns=("expires_at",),
            scan=2 * INDEX_SCAN,
            without_null="expires_at",
        ),
        "installation_id": Condition(
            lambda row, value: row["installation_id"] == value, columns=("installation_id",), selective=True
        ),
        "customer_id": Condition(
            lambda row, value: row["customer_id"] == value, columns=("customer_id",), selective=True
        ),
        "tier_id": Condition(
            lambda row, value: row["tier_id"] == value, columns=("tier_id",), selective=True, scan=ROW_SCAN
        ),
        "tier_slug": Condition(_has_tier, columns=("tier_id", "app_id"), selective=True, scan=ROW_SCAN),
        "trial": Condition(
            lambda row, value: or_(
                and_(value == "true", _is_trial(row)), and_(value == "false", not_(_is_trial(row)))
            ),
            _true_or_false,
            columns=("tier_id",),
            scan=ROW_SCAN,
        ),
        "feature": Condition(
            lambda row, value: contains(row["features"], value),
            _written,
            columns=("features",),
            index=found_by_feature,
            scan=SEARCH_SCAN,
        ),
        "verified_before": Condition(
            lambda row, value: last_verified_at(row) < value,
            clock.as_end,
            scan=2 * ROW_SCAN,
            without_null="last_verified_at",
        ),
        "verified_after": Condition(
            lambda row, value: last_verified_at(row) > value,
            clock.as_text,
            scan=2 * ROW_SCAN,
            without_null="last_verified_at",
        ),
        "verified": Condition(
            lambda row, value: or_(
                and_(value == "true", last_verified_at(row).is_not(None)),
                and_(value == "false", last_verified_at(row).is_(None)),
            ),
            _true_or_false,
            scan=2 * ROW_SCAN,
        ),
        "search": Condition(
            _starts, _start, columns=("installation_id", "app_id"), index=found_by_start, scan=SEARCH_SCAN
        ),
    },
    orders={
        "created_at": Ordering(),
        "expires_at": Ordering("expires_at", nullable=True),
        "last_verified_at": Ordering("last_verified_at", nullable=True, beside=BESIDE_LICENSES),
    },
)


_RETIRE = (
    licenses.update()
    .where(
        licenses.c.app_id == bindparam("of_app"),
        licenses.c.installation_id == bindparam("of_installation"),
        licenses.c.is_current,
        not_(is_active(licenses.c, bindparam("at", type_=UtcDateTime()))),
    )
    .values(is_current=False)
)
_CURRENT = select(licenses.c.id).where(
    licenses.c.app_id == bindparam("app_id"),
    licenses.c.installation_id == bindparam("installation_id"),
    licenses.c.is_current,
)
# Transactions that add tokens share the lock on the app. This lock prevents changes to the app, especially to
# its current key.
_OWNER = locking(
    select(customers.c.app_id, apps.apps.c.slug, apps.apps.c.signing_generation)
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .where(customers.c.id == bindparam("id"), within_apps(apps.apps.c)),
    apps.apps,
    customers,
    strength="SHARE",
)
_FOR_UPDATE = locking(
    select(
        licenses.c.id,
        licenses.c.app_id,
        licenses.c.customer_id,
        licenses.c.installation_id,
        licenses.c.expires_at,
        licenses.c.revoked_at,
        licenses.c.tier_id,
        licenses.c.features,
        licenses.c.own_features,
        licenses.c.version,
        apps.apps.c.slug.label("app_slug"),
        apps.apps.c.signing_generation,
        tiers.c.slug.label("tier_slug"),
        tiers.c.duration_days,
        func.coalesce(tiers.c.trial, false()).label("trial"),
        image(LICENSE).label("image"),
    )
    .join(customers, customers.c.id == licenses.c.customer_id)
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .join(tiers, tiers.c.id == licenses.c.tier_id, isouter=True)
    .where(licenses.c.id == bindparam("id"), within_apps(apps.apps.c), is_customer(licenses.c.customer_id)),
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
    """A customer's app, with the columns that are needed to issue a license."""

    app_id: str
    app_slug: str
    signing_generation: int


@dataclass(frozen=True, slots=True)
class StoredLicense:
    """A license, its app and its tier, with the columns that are needed to change the license.

    `duration_days` is the default term of the tier, and `trial` says whether it is a trial tier.
    """

    id: str
    app_id: str
    customer_id: str
    installation_id: str
    expires_at: datetime | None
    revoked_at: datetime | None
    tier_id: str | None
    features: Sequence[str]
    own_features: Sequence[str]
    version: int
    app_slug: str
    signing_generation: int
    tier_slug: str | None
    duration_days: int | None
    trial: bool
    image: str


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a license. Returns False if its installation has a current license."""
    return await session.insert_if_free(licenses, values)


async def retire(session: WriteSession, app_id: str, installation_id: str, now: datetime) -> None:
    """Clear `is_current` on an installation's current license if that license is revoked or expired."""
    await session.execute(_RETIRE, {"of_app": app_id, "of_installation": installation_id, "at": now})


async def find_current(session: WriteSession, app_id: str, installation_id: str) -> str | None:
    """Return the id of an installation's current license, or None."""
    values = {"app_id": app_id, "installation_id": installation_id}
    found: str | None = (await session.execute(_CURRENT, values)).scalar()
    return found


async def find_owner_for_update(session: WriteSession, tenant: Tenant, customer_id: str) -> Owner | None:
    """Lock the customer that a license is to be issued to, lock the app against changes, and return the app.

    Returns None if the tenant has no such customer. The locks last until the transaction ends.
    """
    row = (await session.execute(_OWNER, {"id": customer_id, **tenant.parameters})).first()
    return None if row is None else Owner(*tuple(row))


async def find_for_update(session: WriteSession, tenant: Tenant, id: str) -> StoredLicense | None:
    """Lock a license and its customer, lock the app against changes, and return the license, or None.

    The locks last until the transaction ends. Deleting a license changes its customer's `license_count`, and
    deleting a customer deletes its licenses. Two such transactions could deadlock. Locks are therefore always
    taken in this order: app, customer, license.
    """
    parameters = {"id": id, "now": clock.now(), **tenant.parameters}
    row = (await session.execute(_FOR_UPDATE, parameters)).mappings().first()
    return None if row is None else StoredLicense(**row)


async def delete(session: WriteSession, id: str) -> None:
    """Delete a license."""
    await session.execute(_DELETE, {"id": id})


async def last_expiry(session: WriteSession, customer_id: str) -> datetime | None:
    """Return the latest expiry of a customer's licenses, or None if the customer has no licenses.

    If any of them never expires, this is `db.signing_keys.NEVER`.
    """
    found: datetime | None = (await session.execute(_LAST_EXPIRY, {"customer_id": customer_id})).scalar()
    return found


async def find_with_tier(session: WriteSession, tier_id: str) -> str | None:
    """Return the id of any license that has a tier, or None if no license has the tier."""
    found: str | None = (await session.execute(_WITH_TIER, {"tier_id": tier_id})).scalar()
    return found


async def find_with_feature(session: WriteSession, app_id: str, slug: str) -> str | None:
    """Return the id of any of an app's licenses whose token has the feature with this slug, or None.

    If no license has the feature, this reads all licenses of the app.
    """
    values = {"app_id": app_id, "written": _written(slug)}
    found: str | None = (await session.execute(_WITH_FEATURE, values)).scalar()
    return found
