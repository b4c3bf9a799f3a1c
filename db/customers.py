"""Customers: who bought. An email is unique in its app ignoring letter case, an external id exactly."""

from collections.abc import Mapping

from sqlalchemy import Column, ForeignKey, Index, Table, UniqueConstraint, func, or_, select

from db import apps, clock, ids
from db.engine import WriteSession
from db.metadata import metadata
from db.shaping.nouns import Condition, Kind, Noun, Ordering, ToMany, ToOne, Unique, column
from db.shaping.texts import contains, found_in_customers
from db.types import JsonObject, PlainText, UtcDateTime, fold

customers = Table(
    "customers",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("email", PlainText, nullable=False),
    Column("email_folded", PlainText, nullable=False),
    Column("name", PlainText),
    Column("name_folded", PlainText),
    Column("external_id", PlainText),
    Column("metadata", JsonObject, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    UniqueConstraint("app_id", "email_folded"),
    UniqueConstraint("app_id", "external_id"),
    Index(None, "app_id", "id"),
    Index(None, "app_id", "name_folded", "id"),
)


CUSTOMER = Noun(
    name="Customer",
    table=customers,
    prefix=ids.CUSTOMER,
    owned=lambda row: apps.owns(row["app_id"]),
    attributes={
        "id": column("id"),
        "email": column("email", Kind.TEXT),
        "name": column("name", Kind.TEXT, nullable=True),
        "external_id": column("external_id", Kind.TEXT, nullable=True),
        "metadata": column("metadata", Kind.JSON),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
    },
    objects={"app": ToOne("App", "app_id")},
    connections={"licenses": ToMany("License", "customer_id")},
    lookups={
        "id": Unique("id"),
        "email": Unique("email_folded", fold),
        "external_id": Unique("external_id"),
    },
    filters={
        "email": Condition(
            lambda row, value: contains(row["email_folded"], value),
            fold,
            columns=("email_folded",),
            index=found_in_customers,
        ),
        "external_id": Condition(lambda row, value: row["external_id"] == value, columns=("external_id",)),
        "search": Condition(
            lambda row, value: or_(contains(row["email_folded"], value), contains(row["name_folded"], value)),
            fold,
            columns=("email_folded", "name_folded"),
            index=found_in_customers,
        ),
        # An id is its row's creation time, so that these are ranges of the indexes that end in the id.
        "created_after": Condition(
            lambda row, value: row["id"] >= value,
            lambda moment: ids.first_id(ids.CUSTOMER, clock.second_after(moment)),
        ),
        "created_before": Condition(
            lambda row, value: row["id"] < value,
            lambda moment: ids.first_id(ids.CUSTOMER, clock.second_from(moment)),
        ),
    },
    orders={
        "created_at": Ordering(),
        "email": Ordering("email_folded"),
        "name": Ordering("name_folded", nullable=True),
    },
)


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a customer. False when its email or its external id is taken in the app."""
    return await session.insert_if_free(customers, values)


async def find_by_email(session: WriteSession, app_id: str, email_folded: str) -> str | None:
    """The id of the customer with this email, or None."""
    statement = select(customers.c.id).where(
        customers.c.app_id == app_id, customers.c.email_folded == email_folded
    )
    return (await session.execute(statement)).scalar()


async def taken(session: WriteSession, app_id: str, unique: Mapping[str, object], but: str = "") -> list[str]:
    """Which of these unique columns' values other customers of the app hold. `but` is the id left out."""
    found = []
    for name, value in unique.items():
        statement = select(customers.c.id).where(
            customers.c.app_id == app_id, customers.c[name] == value, customers.c.id != but
        )
        if value is not None and (await session.execute(statement)).first() is not None:
            found.append(name)
    return found


async def find_for_update(session: WriteSession, account_id: str, id: str) -> str | None:
    """The app's id of a customer, which is locked: no license is added to it until the transaction ends."""
    statement = (
        select(customers.c.app_id)
        .where(customers.c.id == id, apps.owns(customers.c.app_id))
        .with_for_update(of=customers)
    )
    return (await session.execute(statement, {"account": account_id})).scalar()


async def find_app(session: WriteSession, account_id: str, id: str) -> str | None:
    """The app's id of a customer, who will not be deleted before the transaction ends; or None."""
    statement = (
        select(customers.c.app_id)
        .join(apps.apps, apps.apps.c.id == customers.c.app_id)
        .where(customers.c.id == id, apps.owns(customers.c.app_id))
        # The app first, as its deletion does: in the other order the two would wait for each other.
        .with_for_update(read=True, key_share=True, of=[apps.apps, customers])
    )
    return (await session.execute(statement, {"account": account_id})).scalar()


async def update(session: WriteSession, id: str, changes: Mapping[str, object]) -> None:
    """Change a customer. Raises UniqueViolation, leaving the transaction as it was before."""
    await session.execute_unique(customers.update().where(customers.c.id == id).values(changes))


async def delete(session: WriteSession, id: str) -> None:
    """Delete a customer; the database deletes the licenses."""
    await session.execute(customers.delete().where(customers.c.id == id))


async def count_in_app(session: WriteSession, app_id: str) -> int:
    """How many customers an app has. They are locked: who deletes them next deletes as many."""
    locked = select(customers.c.id).where(customers.c.app_id == app_id).with_for_update().subquery()
    statement = select(func.count()).select_from(locked)
    total: int = (await session.execute(statement)).scalar_one()
    return total
