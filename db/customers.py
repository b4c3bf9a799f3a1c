"""Customers: who bought. An email is unique in its app ignoring letter case, an external id exactly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    bindparam,
    cast,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert as insertion
from sqlalchemy.sql.dml import ReturningInsert

from db import apps, clock, ids
from db.engine import Database, WriteSession
from db.metadata import metadata
from db.shaping.compiler import Compiler, are_columns
from db.shaping.nouns import (
    GATHERED_SCAN,
    INDEX_SCAN,
    Condition,
    KeptTotal,
    Kind,
    Noun,
    Ordering,
    ToMany,
    ToOne,
    Unique,
    column,
)
from db.shaping.selection import Field
from db.shaping.texts import contains, found_in_customers
from db.statements import if_free, locking, parameters_of
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
    Column("license_count", Integer, nullable=False, server_default="0"),  # kept by triggers: db.counters
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
    connections={
        "licenses": ToMany(
            "License",
            "customer_id",
            KeptTotal(("license_count",), lambda row: row["license_count"]),
            few=True,
        )
    },
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
            scan=GATHERED_SCAN,
        ),
        "external_id": Condition(lambda row, value: row["external_id"] == value, columns=("external_id",)),
        "search": Condition(
            lambda row, value: or_(contains(row["email_folded"], value), contains(row["name_folded"], value)),
            fold,
            columns=("email_folded", "name_folded"),
            index=found_in_customers,
            scan=GATHERED_SCAN,
        ),
        # An id is its row's creation time, so that these are ranges of the indexes that end in the id.
        "created_after": Condition(
            lambda row, value: row["id"] >= value,
            lambda moment: ids.first_id(ids.CUSTOMER, clock.second_after(moment)),
            scan=INDEX_SCAN,
        ),
        "created_before": Condition(
            lambda row, value: row["id"] < value,
            lambda moment: ids.first_id(ids.CUSTOMER, clock.second_from(moment)),
            scan=INDEX_SCAN,
        ),
    },
    orders={
        "created_at": Ordering(),
        "email": Ordering("email_folded"),
        "name": Ordering("name_folded", nullable=True),
    },
)


_BY_EMAIL = select(customers.c.id).where(
    customers.c.app_id == bindparam("app_id"), customers.c.email_folded == bindparam("email_folded")
)
_FOR_UPDATE = locking(
    select(customers.c.app_id, customers.c.license_count, apps.apps.c.signing_generation)
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .where(customers.c.id == bindparam("id"), apps.APP.owned(apps.apps.c)),
    apps.apps,
    customers,
)
_DELETE = customers.delete().where(customers.c.id == bindparam("id"))
_compiler = Compiler({CUSTOMER.name: CUSTOMER})


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """What a change of a customer has to know about it."""

    app_id: str
    license_count: int
    signing_generation: int


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a customer. False when its email or its external id is taken in the app."""
    return await session.insert_if_free(customers, values)


async def insert_alone(
    database: Database,
    account_id: str,
    app_slug: str,
    values: Mapping[str, object],
    fields: tuple[Field, ...],
) -> str | None:
    """Add a customer to the app of this slug, in one statement that is a transaction of its own.

    Answers the JSON of `fields`, of which `can_be_returned` must hold. None when the account has no such app,
    or an email or external id is taken.
    """
    parameters = {**values, "slug": app_slug, "account": account_id}
    making = (tuple(values), fields)
    query = await database.statements.query_of(making, _insertion, lambda _: False)
    rows = await database.execute(query, parameters)
    return rows[0][0] if rows else None


def can_be_returned(fields: tuple[Field, ...]) -> bool:
    """Whether an insertion can answer these fields of its customer: nothing beyond the row is true yet."""
    return are_columns(CUSTOMER, fields)


def _insertion(making: tuple[tuple[str, ...], tuple[Field, ...]]) -> ReturningInsert[Any]:
    columns, fields = making
    # A parameter in a SELECT has no type but the one it is cast to.
    values = [cast(value, value.type) for value in parameters_of(customers, columns).values()]
    app = apps.by_slug().with_only_columns(apps.apps.c.id, *values)
    staying = app.with_for_update(read=True, key_share=True)
    adding = insertion(customers).from_select(["app_id", *columns], staying)
    return if_free(adding, _compiler.returned(CUSTOMER.name, fields))


async def find_by_email(session: WriteSession, app_id: str, email_folded: str) -> str | None:
    """The id of the customer with this email, or None."""
    return (await session.execute(_BY_EMAIL, {"app_id": app_id, "email_folded": email_folded})).scalar()


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


async def find_for_update(session: WriteSession, account_id: str, id: str) -> StoredCustomer | None:
    """A customer, locked until the transaction ends, and in an app that will not be deleted before."""
    row = (await session.execute(_FOR_UPDATE, {"id": id, "account": account_id})).mappings().first()
    return None if row is None else StoredCustomer(**row)


async def update(session: WriteSession, id: str, changes: Mapping[str, object]) -> None:
    """Change a customer. Raises UniqueViolation, leaving the transaction as it was before."""
    await session.update(customers, id, changes)


async def delete(session: WriteSession, id: str) -> None:
    """Delete a customer; the database deletes the licenses."""
    await session.execute(_DELETE, {"id": id})
