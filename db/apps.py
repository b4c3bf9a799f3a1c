"""Apps: what a vendor sells licenses for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    bindparam,
    cast,
    exists,
    func,
    select,
    union_all,
)
from sqlalchemy.dialects.postgresql import insert

from db import ids
from db.engine import ReadSession, WriteSession
from db.metadata import metadata
from db.shaping.nouns import (
    ACCOUNT,
    Attribute,
    KeptTotal,
    Kind,
    Noun,
    Ordering,
    Row,
    ToMany,
    Unique,
    column,
)
from db.signing_keys import signing_keys
from db.types import PlainText, UtcDateTime

apps = Table(
    "apps",
    metadata,
    Column("id", PlainText, primary_key=True),
    # Both null: the app is deleted, and hidden by that. It stays until `db.purge` has removed what is in it.
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
    CheckConstraint("(account_id IS NULL) = (slug IS NULL)", name="owner_has_slug"),
    Index(None, "account_id", "id"),
    Index(None, "account_id", "name_folded", "id"),
    Index(None, "account_id", "slug", "id"),
)

# The slugs that deleted apps had, and whose they were: software that is out there still asks for their keys,
# and must not be given somebody else's. They stay their account's, which may use them again.
retired_slugs = Table(
    "retired_slugs",
    metadata,
    Column("slug", PlainText, primary_key=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Index(None, "account_id"),
)

# How many customers and licenses an app has: the sums over its rows here. Triggers keep them (migration 0002)
# in the transaction that changes what they count, so they are exact at every commit. A single row may be
# negative and means nothing. On PostgreSQL they are several, so that two who add to one app do not wait for
# each other; on SQLite, which has one writer, it is one.
app_counters = Table(
    "app_counters",
    metadata,
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("customers", BigInteger, nullable=False),
    Column("licenses", BigInteger, nullable=False),
)


def owns(app_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the app of this id is the account's: the tenancy of all that lives inside an app."""
    return exists().where(apps.c.id == app_id, apps.c.account_id == ACCOUNT).correlate_except(apps)


def total(counted: str, app_id: Any) -> ScalarSelect[int]:
    """How many "customers" or "licenses" the app of this id has."""
    kept = func.coalesce(func.sum(app_counters.c[counted]), 0, type_=BigInteger())
    # PostgreSQL sums big integers into a numeric.
    return (
        select(cast(kept, BigInteger))
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


APP = Noun(
    name="App",
    table=apps,
    prefix=ids.APP,
    owned=lambda row: row["account_id"] == ACCOUNT,
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
    },
    connections={
        "customers": ToMany(
            "Customer", "app_id", KeptTotal(("id",), lambda app: total("customers", app["id"]))
        ),
        "licenses": ToMany("License", "app_id", KeptTotal(("id",), lambda app: total("licenses", app["id"]))),
        "tiers": ToMany("Tier", "app_id", few=True),
        "features": ToMany("Feature", "app_id", few=True),
    },
    singular={"customer": "customers", "license": "licenses", "tier": "tiers", "feature": "features"},
    lookups={"id": Unique("id"), "slug": Unique("slug")},
    orders={
        "created_at": Ordering(),
        "name": Ordering("name_folded"),
        "slug": Ordering("slug"),
    },
)


def by_slug() -> Select[str]:
    """The id of the account's app whose slug is the parameter "slug", if it has one."""
    return select(apps.c.id).where(apps.c.slug == bindparam("slug"), apps.c.account_id == ACCOUNT)


_FOR_UPDATE = by_slug().with_for_update()
_STAYING = by_slug().with_for_update(read=True, key_share=True)
_SIGNING = select(apps.c.id, apps.c.slug, apps.c.signing_algorithm, apps.c.signing_generation)
_BY_ID = _SIGNING.where(apps.c.id == bindparam("id"), apps.c.slug.is_not(None))
# Who only refers to the app, as a new customer does, is not kept waiting.
_LOCK = _BY_ID.with_for_update(key_share=True)
_HOLD = _BY_ID.with_for_update(read=True)
_RETIRED = select(retired_slugs.c.slug).where(
    retired_slugs.c.slug == bindparam("slug"), retired_slugs.c.account_id != ACCOUNT
)
_TAKEN = select(union_all(select(apps.c.slug).where(apps.c.slug == bindparam("slug")), _RETIRED).subquery())
_RETIRE = (
    insert(retired_slugs)
    .values(slug=bindparam("slug"), account_id=bindparam("account_id"))
    .on_conflict_do_nothing()
)
_SIGNING_BY_SLUG = _SIGNING.where(apps.c.slug == bindparam("slug"))
_OWN_SIGNING = _SIGNING_BY_SLUG.where(apps.c.account_id == ACCOUNT)
_UNSIGNED = _SIGNING.where(
    apps.c.slug.is_not(None),
    ~exists().where(signing_keys.c.app_id == apps.c.id).correlate_except(signing_keys),
).order_by(apps.c.id)
_SET_GENERATION = (
    apps.update().where(apps.c.id == bindparam("app_id")).values(signing_generation=bindparam("generation"))
)


@dataclass(frozen=True, slots=True)
class Totals:
    """How many customers and licenses an app has."""

    customers: int
    licenses: int


@dataclass(frozen=True, slots=True)
class SigningApp:
    """An app, as whoever signs its tokens has to know it."""

    id: str
    slug: str
    algorithm: str
    generation: int


async def add(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add an app. False when its slug is taken, or was another account's."""
    if not await session.insert_if_free(apps, values):
        return False
    # Only now: whoever was just giving up the slug has been waited for, and what they retired is seen.
    asked = {"slug": values["slug"], "account": values["account_id"]}
    is_retired = (await session.execute(_RETIRED, asked)).first() is not None
    if is_retired:
        await session.execute(apps.delete().where(apps.c.id == values["id"]))
    return not is_retired


async def update(
    session: WriteSession, account_id: str, slug: str, changes: Mapping[str, object]
) -> str | None:
    """Change an app and answer its id, or None when the account has none of this slug."""
    statement = (
        apps.update()
        .where(apps.c.slug == slug, apps.c.account_id == account_id)
        .values(changes)
        .returning(apps.c.id)
    )
    return (await session.execute(statement)).scalar()


async def find_for_update(session: WriteSession, account_id: str, slug: str) -> str | None:
    """The id of an app, locked: nothing is added to it until the transaction ends."""
    return (await session.execute(_FOR_UPDATE, {"slug": slug, "account": account_id})).scalar()


async def find(session: WriteSession, account_id: str, slug: str) -> str | None:
    """The id of an app, which will not be deleted before the transaction ends; or None."""
    return (await session.execute(_STAYING, {"slug": slug, "account": account_id})).scalar()


async def totals(session: WriteSession, app_id: str) -> Totals:
    """How much an app holds."""
    statement = select(*(total(counted, app_id).label(counted) for counted in ("customers", "licenses")))
    return Totals(**(await session.execute(statement)).mappings().one())


async def disown(session: WriteSession, account_id: str, slug: str, app_id: str) -> None:
    """Take an app away from its account, and its slug from it: nobody finds it any more.

    The slug stays the account's.
    """
    await session.execute(_RETIRE, {"slug": slug, "account_id": account_id})
    await session.execute(apps.update().where(apps.c.id == app_id).values(account_id=None, slug=None))


async def delete(session: WriteSession, app_id: str) -> None:
    """Delete an app; the database deletes everything in it, however long that takes."""
    await session.execute(apps.delete().where(apps.c.id == app_id))


async def is_taken(session: ReadSession, account_id: str, slug: str) -> bool:
    """Whether any account has an app of this slug, or another than this one had."""
    return await session.row(_TAKEN, {"slug": slug, "account": account_id}) is not None


async def for_signing(session: ReadSession, slug: str, account_id: str | None = None) -> SigningApp | None:
    """The account's app of this slug, or None. Without an account: whoever's it is."""
    if account_id is None:
        row = await session.row(_SIGNING_BY_SLUG, {"slug": slug})
    else:
        row = await session.row(_OWN_SIGNING, {"slug": slug, "account": account_id})
    return None if row is None else SigningApp(*row)


async def lock(session: WriteSession, id: str) -> SigningApp | None:
    """An app, locked until the transaction ends, or None. Nobody else locks it or signs its tokens."""
    row = (await session.execute(_LOCK, {"id": id})).first()
    return None if row is None else SigningApp(*tuple(row))


async def hold(session: WriteSession, id: str) -> SigningApp | None:
    """An app that nobody changes or locks until the transaction ends, or None. Several may hold it."""
    row = (await session.execute(_HOLD, {"id": id})).first()
    return None if row is None else SigningApp(*tuple(row))


async def without_signing_keys(session: ReadSession) -> Sequence[SigningApp]:
    """The apps that have no signing key yet."""
    return [SigningApp(*row) for row in await session.rows(_UNSIGNED, {})]


async def set_generation(session: WriteSession, id: str, generation: int) -> None:
    """Make another generation of an app's signing keys the current one."""
    await session.execute(_SET_GENERATION, {"app_id": id, "generation": generation})
