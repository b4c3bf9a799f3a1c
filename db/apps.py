"""Apps: what a vendor sells licenses for."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, ForeignKey, Index, Table, exists, null, select

from db import ids
from db.engine import WriteSession
from db.metadata import metadata
from db.shaping.nouns import ACCOUNT, Attribute, Kind, Noun, Ordering, ToMany, Unique, column
from db.types import PlainText, UtcDateTime

apps = Table(
    "apps",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("slug", PlainText, nullable=False, unique=True),
    Column("name", PlainText, nullable=False),
    Column("name_folded", PlainText, nullable=False),
    Column("description", PlainText),
    Column("webhook_url", PlainText),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Index(None, "account_id", "id"),
    Index(None, "account_id", "name_folded", "id"),
    Index(None, "account_id", "slug", "id"),
)


def owns(app_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the app of this id is the account's: the tenancy of all that lives inside an app."""
    return exists().where(apps.c.id == app_id, apps.c.account_id == ACCOUNT).correlate_except(apps)


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
        "customers": ToMany("Customer", "app_id"),
        "licenses": ToMany("License", "app_id"),
    },
    singular={"customer": "customers"},
    lookups={"id": Unique("id"), "slug": Unique("slug")},
    orders={
        "created_at": Ordering(),
        "name": Ordering("name_folded"),
        "slug": Ordering("slug"),
    },
)


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
    statement = (
        select(apps.c.id).where(apps.c.slug == slug, apps.c.account_id == account_id).with_for_update()
    )
    return (await session.execute(statement)).scalar()


async def find(session: WriteSession, account_id: str, slug: str) -> str | None:
    """The id of an app, which will not be deleted before the transaction ends; or None."""
    statement = (
        select(apps.c.id)
        .where(apps.c.slug == slug, apps.c.account_id == account_id)
        .with_for_update(read=True, key_share=True)
    )
    return (await session.execute(statement)).scalar()


async def delete(session: WriteSession, app_id: str) -> None:
    """Delete an app; the database deletes everything in it."""
    await session.execute(apps.delete().where(apps.c.id == app_id))
