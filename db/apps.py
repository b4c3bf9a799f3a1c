"""Apps: what a vendor sells licenses for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    ScalarSelect,
    Select,
    SmallInteger,
    Table,
    bindparam,
    cast,
    exists,
    func,
    null,
    select,
)

from db import ids
from db.engine import WriteSession
from db.metadata import metadata
from db.shaping.nouns import ACCOUNT, Attribute, KeptTotal, Kind, Noun, Ordering, ToMany, Unique, column
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
    CheckConstraint("(account_id IS NULL) = (slug IS NULL)", name="owner_has_slug"),
    Index(None, "account_id", "id"),
    Index(None, "account_id", "name_folded", "id"),
    Index(None, "account_id", "slug", "id"),
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
        # Null until apps have signing keys.
        "public_key_pem": Attribute(Kind.JSON, (), lambda _: null(), nullable=True),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
    },
    connections={
        "customers": ToMany(
            "Customer", "app_id", KeptTotal(("id",), lambda app: total("customers", app["id"]))
        ),
        "licenses": ToMany("License", "app_id", KeptTotal(("id",), lambda app: total("licenses", app["id"]))),
    },
    singular={"customer": "customers"},
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


@dataclass(frozen=True, slots=True)
class Totals:
    """How many customers and licenses an app has."""

    customers: int
    licenses: int


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add an app. False when its slug is taken."""
    return await session.insert_if_free(apps, values)


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


async def disown(session: WriteSession, app_id: str) -> None:
    """Take an app away from its account, and its slug from it: nobody finds it any more."""
    await session.execute(apps.update().where(apps.c.id == app_id).values(account_id=None, slug=None))


async def delete(session: WriteSession, app_id: str) -> None:
    """Delete an app; the database deletes everything in it, however long that takes."""
    await session.execute(apps.delete().where(apps.c.id == app_id))
