"""Apps: the products that a vendor sells licenses for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    ScalarSelect,
    Select,
    SmallInteger,
    Table,
    Text,
    bindparam,
    cast,
    exists,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from db import ids, standing
from db.engine import ReadSession, WriteSession
from db.log import head_cursor
from db.metadata import metadata
from db.shaping.images import image
from db.shaping.json import ids_in
from db.shaping.nouns import (
    Attribute,
    Kind,
    Noun,
    Ordering,
    Row,
    StoredTotal,
    ToMany,
    Unique,
    column,
)
from db.signing_keys import PUBLIC_COLUMNS, PublicKey, signing_keys
from db.statistics import STATISTICS
from db.tenancy import ACCOUNT, Tenant, is_no_customer, within_apps
from db.types import PlainText, UtcDateTime, json_text

MOST_SIGNING_KEYS = 100
"""How many of an app's signing keys are listed at most: the newest ones."""

apps = Table(
    "apps",
    metadata,
    Column("id", PlainText, primary_key=True),
    # If `account_id` and `slug` are null, the app is deleted: no request finds it. `resolvers.purge` removes
    # everything in the app, and then the app's own row.
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE")),
    Column("slug", PlainText, unique=True),
    Column("name", PlainText, nullable=False),
    Column("name_folded", PlainText, nullable=False),
    Column("description", PlainText),
    Column("webhook_url", PlainText),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("signing_algorithm", PlainText, nullable=False, server_default="RS256"),
    Column("signing_generation", Integer, nullable=False, server_default="1"),  # see `db.signing_keys`
    Column("version", Integer, nullable=False, server_default="1"),
    CheckConstraint("(account_id IS NULL) = (slug IS NULL)", name="owner_has_slug"),
    Index(None, "account_id", "id"),
    Index(None, "account_id", "name_folded", "id"),
    Index(None, "account_id", "slug", "id"),
)

# The slugs of deleted apps, with their accounts. Installed software still requests public keys by these
# slugs, and must not get the keys of another account's app. Therefore only the same account may use such a
# slug again. If that account is removed, no account may.
retired_slugs = Table(
    "retired_slugs",
    metadata,
    Column("slug", PlainText, primary_key=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="SET NULL")),
    Index(None, "account_id"),
)

# The numbers of an app's customers and licenses. Each number is the sum over the app's rows in this table. A
# single row means nothing by itself, and its values may be negative. Triggers (migration 0002) change the
# rows in the transaction that adds or removes customers or licenses, so the sums are exact at every commit.
# On PostgreSQL an app can have several rows, so that concurrent inserts rarely wait for each other. SQLite
# has one writer, so one row per app is enough.
app_counters = Table(
    "app_counters",
    metadata,
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("customers", BigInteger, nullable=False),
    Column("licenses", BigInteger, nullable=False),
)


def owns(app_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the app with this id belongs to the tenant's account.

    Everything in an app has this condition as `Noun.owned`.
    """
    return exists().where(apps.c.id == app_id, apps.c.account_id == ACCOUNT).correlate_except(apps)


def reaches(app_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that the app with this id is one that the tenant can reach (`within_apps`)."""
    return exists().where(apps.c.id == app_id, within_apps(apps.c)).correlate_except(apps)


def total(counted: str, app_id: Any) -> ScalarSelect[int]:
    """Return SQL for the number of "customers" or "licenses" of the app with this id."""
    stored = func.coalesce(func.sum(app_counters.c[counted]), 0, type_=BigInteger())
    # On PostgreSQL, the sum of a bigint column is of type numeric.
    return (
        select(cast(stored, BigInteger))
        .where(app_counters.c.app_id == app_id)
        .correlate_except(app_counters)
        .scalar_subquery()
    )


def _public_key_pem(row: Row) -> ScalarSelect[str]:
    return (
        select(signing_keys.c.public_key_pem)
        .where(signing_keys.c.app_id == row["id"], signing_keys.c.generation == row["signing_generation"])
        .correlate_except(signing_keys)
        .scalar_subquery()
    )


_LICENSES = StoredTotal(("id",), lambda app: total("licenses", app["id"]))

APP = Noun(
    name="App",
    table=apps,
    prefix=ids.APP,
    owned=lambda row: row["account_id"] == ACCOUNT,
    reached=lambda row: within_apps(row) & is_no_customer(),
    entered=within_apps,
    attributes={
        "id": column("id"),
        "slug": column("slug"),
        "name": column("name", Kind.TEXT),
        "description": column("description", Kind.TEXT, nullable=True),
        "webhook_url": column("webhook_url", Kind.TEXT, nullable=True),
        "signing_algorithm": column("signing_algorithm"),
        "public_key_pem": Attribute(
            Kind.TEXT, ("id", "signing_generation"), _public_key_pem, is_subquery=True
        ),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
        "version": column("version", Kind.INTEGER),
        "changes_cursor": Attribute(Kind.PLAIN, (), lambda _: head_cursor(), is_subquery=True),
    },
    subject="app",
    image={
        name: name
        for name in ("id", "name", "slug", "description", "webhook_url", "public_key_pem", "created_at")
    },
    connections={
        "customers": ToMany(
            "Customer", "app_id", StoredTotal(("id",), lambda app: total("customers", app["id"]))
        ),
        "licenses": ToMany("License", "app_id", _LICENSES),
        "tiers": ToMany("Tier", "app_id", few=True),
        "features": ToMany("Feature", "app_id", few=True),
        "events": ToMany("Event", "app_id"),
    },
    entries={"statistics": STATISTICS},
    figures={"standing": standing.figures(_LICENSES)},
    singular={"customer": "customers", "license": "licenses", "tier": "tiers", "feature": "features"},
    lookups={"id": Unique("id"), "slug": Unique("slug")},
    orders={
        "created_at": Ordering(),
        "name": Ordering("name_folded"),
        "slug": Ordering("slug"),
    },
)


def by_slug() -> Select[str]:
    """Return the query for the id of the tenant's app whose slug is the parameter "slug"."""
    return select(apps.c.id).where(apps.c.slug == bindparam("slug"), within_apps(apps.c))


_FOR_UPDATE = (
    select(apps.c.id, apps.c.signing_algorithm, apps.c.version, image(APP).label("image"))
    .where(apps.c.slug == bindparam("slug"), within_apps(apps.c))
    .with_for_update(of=apps)
)
_OF_ACCOUNT = (
    select(apps.c.id, apps.c.slug).where(apps.c.account_id == ACCOUNT).order_by(apps.c.id).with_for_update()
)
_FOR_KEY_SHARE = by_slug().with_for_update(read=True, key_share=True)
_SIGNING = select(apps.c.id, apps.c.slug, apps.c.signing_algorithm, apps.c.signing_generation)
_BY_ID = _SIGNING.where(apps.c.id == bindparam("id"), apps.c.slug.is_not(None))
# Inserts that only reference the app, such as a new customer, do not wait for this lock.
_LOCK = _BY_ID.with_for_update(key_share=True)
_LOCK_SHARED = _BY_ID.with_for_update(read=True)
_RETIRED = select(retired_slugs.c.slug).where(
    retired_slugs.c.slug == bindparam("slug"), retired_slugs.c.account_id.is_distinct_from(ACCOUNT)
)
_TAKEN = select(union_all(select(apps.c.slug).where(apps.c.slug == bindparam("slug")), _RETIRED).subquery())
_RETIRE = (
    insert(retired_slugs)
    .values(slug=bindparam("slug"), account_id=bindparam("account_id"))
    .on_conflict_do_nothing()
)
_SIGNING_BY_SLUG = _SIGNING.where(apps.c.slug == bindparam("slug"))
_OWN_SIGNING = _SIGNING_BY_SLUG.where(within_apps(apps.c))
_SIGNING_KEYS = (
    select(apps.c.signing_generation, signing_keys.c.created_at, *PUBLIC_COLUMNS)
    .outerjoin(signing_keys, (signing_keys.c.app_id == apps.c.id) & signing_keys.c.dropped_at.is_(None))
    .where(apps.c.slug == bindparam("slug"), within_apps(apps.c), is_no_customer())
    .order_by(signing_keys.c.generation.desc())
    .limit(MOST_SIGNING_KEYS)
)
_UNSIGNED = _SIGNING.where(
    apps.c.slug.is_not(None),
    ~exists().where(signing_keys.c.app_id == apps.c.id).correlate_except(signing_keys),
).order_by(apps.c.id)
_WITHOUT_NEXT_KEY = _SIGNING.where(
    apps.c.slug.is_not(None),
    ~exists()
    .where(signing_keys.c.app_id == apps.c.id, signing_keys.c.generation > apps.c.signing_generation)
    .correlate_except(signing_keys),
).order_by(apps.c.id)


_IDS_OF_SLUGS = select(apps.c.slug, apps.c.id).where(
    ids_in(apps.c.slug, bindparam("slugs", type_=Text())), within_apps(apps.c)
)


@dataclass(frozen=True, slots=True)
class OwnedApp:
    """The id and the slug of an account's app."""

    id: str
    slug: str


@dataclass(frozen=True, slots=True)
class StoredApp:
    """An app, with the columns that are needed to change the app."""

    id: str
    signing_algorithm: str
    version: int
    image: str


@dataclass(frozen=True, slots=True)
class Totals:
    """How many customers and licenses an app has."""

    customers: int
    licenses: int


@dataclass(frozen=True, slots=True)
class SigningApp:
    """An app, with the columns that are needed to sign the app's tokens."""

    id: str
    slug: str
    algorithm: str
    generation: int


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A signing key of an app, and the generation of the app's current key."""

    public: PublicKey
    current: int
    created_at: datetime


async def add(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add an app. Returns False if its slug is taken, or belonged to another account's deleted app."""
    if not await session.insert_if_free(apps, values):
        return False
    # The check comes after the insert, because the insert waits for any transaction that is retiring the
    # slug.
    parameters = {"slug": values["slug"], "account": values["account_id"]}
    is_retired = (await session.execute(_RETIRED, parameters)).first() is not None
    if is_retired:
        await session.execute(apps.delete().where(apps.c.id == values["id"]))
    return not is_retired


async def find_for_update(session: WriteSession, tenant: Tenant, slug: str) -> StoredApp | None:
    """Lock an app and return it, or None if the tenant has no app with this slug.

    Until the transaction ends, nothing can be added to the app.
    """
    row = (await session.execute(_FOR_UPDATE, {"slug": slug, **tenant.parameters})).mappings().first()
    return None if row is None else StoredApp(**row)


async def find_for_key_share(session: WriteSession, tenant: Tenant, slug: str) -> str | None:
    """Lock an app against deletion and return its id, or None if the tenant has no app with this slug.

    The lock lasts until the transaction ends.
    """
    return (await session.execute(_FOR_KEY_SHARE, {"slug": slug, **tenant.parameters})).scalar()


async def of_account_for_update(session: WriteSession, account_id: str) -> Sequence[OwnedApp]:
    """Return the apps of an account, and lock them until the transaction ends."""
    rows = await session.execute(_OF_ACCOUNT, {"account": account_id})
    return [OwnedApp(**row) for row in rows.mappings()]


async def totals(session: WriteSession, app_id: str) -> Totals:
    """Return how many customers and licenses an app has."""
    statement = select(*(total(counted, app_id).label(counted) for counted in ("customers", "licenses")))
    return Totals(**(await session.execute(statement)).mappings().one())


async def disown(session: WriteSession, account_id: str, slug: str, app_id: str) -> None:
    """Remove an app's account and slug, so that no request finds the app any more.

    The slug stays reserved for the account.
    """
    await session.execute(_RETIRE, {"slug": slug, "account_id": account_id})
    await session.execute(apps.update().where(apps.c.id == app_id).values(account_id=None, slug=None))


async def delete(session: WriteSession, app_id: str) -> None:
    """Delete an app. The database deletes everything in it, which can take a long time."""
    await session.execute(apps.delete().where(apps.c.id == app_id))


async def is_taken(session: ReadSession, account_id: str, slug: str) -> bool:
    """Return whether a slug is taken for an account.

    A slug is taken if any account has an app with this slug, or if a deleted app of another account had it.
    """
    return await session.row(_TAKEN, {"slug": slug, "account": account_id}) is not None


async def for_signing(session: ReadSession, slug: str, tenant: Tenant | None = None) -> SigningApp | None:
    """Return the tenant's app with this slug, or None.

    If no tenant is given, the app may belong to any account.
    """
    if tenant is None:
        row = await session.row(_SIGNING_BY_SLUG, {"slug": slug})
    else:
        row = await session.row(_OWN_SIGNING, {"slug": slug, **tenant.parameters})
    return None if row is None else SigningApp(*row)


async def published_keys(session: ReadSession, tenant: Tenant, slug: str) -> list[ListedKey] | None:
    """Return the signing keys of an app that have not been dropped, newest first.

    At most `MOST_SIGNING_KEYS` keys are returned. Returns None if the tenant has no app with this slug, or is
    limited to one customer.
    """
    rows = await session.rows(_SIGNING_KEYS, {"slug": slug, **tenant.parameters})
    if not rows:
        return None
    return [
        ListedKey(PublicKey(*key), current, created_at)
        for current, created_at, *key in rows
        if key[0] is not None
    ]


async def ids_of(session: WriteSession, tenant: Tenant, slugs: Sequence[str]) -> Mapping[str, str]:
    """Return the ids of the apps with these slugs, by slug. Leaves out apps that the tenant cannot reach."""
    values = {**tenant.parameters, "slugs": json_text(slugs)}
    rows = (await session.execute(_IDS_OF_SLUGS, values)).mappings()
    return {row["slug"]: row["id"] for row in rows}


async def lock(session: WriteSession, id: str) -> SigningApp | None:
    """Lock an app and return it. Returns None if the app does not exist or is deleted.

    Until the transaction ends, no other transaction can change the app, or lock it with `lock` or
    `lock_shared`. Therefore no other transaction can add a token.
    """
    row = (await session.execute(_LOCK, {"id": id})).first()
    return None if row is None else SigningApp(*tuple(row))


async def lock_shared(session: WriteSession, id: str) -> SigningApp | None:
    """Lock an app with a shared lock and return it. Returns None if the app does not exist or is deleted.

    Until the transaction ends, other transactions can share this lock, but cannot change or `lock` the app.
    """
    row = (await session.execute(_LOCK_SHARED, {"id": id})).first()
    return None if row is None else SigningApp(*tuple(row))


async def without_signing_keys(session: ReadSession) -> Sequence[SigningApp]:
    """Return the apps that have no signing key yet."""
    return [SigningApp(*row) for row in await session.rows(_UNSIGNED, {})]


async def without_next_signing_key(session: ReadSession) -> Sequence[SigningApp]:
    """Return the apps whose next signing key has not been created yet."""
    return [SigningApp(*row) for row in await session.rows(_WITHOUT_NEXT_KEY, {})]
