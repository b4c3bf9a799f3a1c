"""Customers: an app's buyers. Within an app, each external id is unique, and so is the key of each email.

The key of an email (`db.emails.email_key`) is equal for emails that count as the same. When these keys were
introduced, some apps turned out to have several customers with the same email. All of them were kept. Of
customers with the same email, the oldest has the plain key, and the others are *duplicates*: their
`email_key` is the key, a space and the customer's id, so a lookup by email only finds the oldest customer.
When that customer is deleted or gets another email, the oldest duplicate gets the plain key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    cast,
    func,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import Select

from db import apps, clock, events, ids
from db.emails import email_key
from db.engine import Database, ReadSession, WriteSession
from db.events import Actor, EventType
from db.metadata import metadata
from db.shaping.compiler import Compiler, are_columns
from db.shaping.images import image
from db.shaping.nouns import (
    INDEX_SCAN,
    SEARCH_SCAN,
    Condition,
    Kind,
    Noun,
    Ordering,
    StoredTotal,
    ToMany,
    ToOne,
    Unique,
    column,
)
from db.shaping.selection import Field
from db.shaping.texts import contains, found_in_customers
from db.statements import if_free, locking, parameters_of
from db.tenancy import Tenant, is_customer, within_apps
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
    Column(
        "license_count", Integer, nullable=False, server_default="0"
    ),  # maintained by triggers (see `db.counters`)
    Column("email_key", PlainText, nullable=False),
    Column("version", Integer, nullable=False, server_default="1"),
    UniqueConstraint("app_id", "external_id"),
    Index("uq_customers_app_id_email_key", "app_id", "email_key", unique=True),
    Index(None, "app_id", "id"),
    Index(None, "app_id", "email_folded", "id"),
    Index(None, "app_id", "name_folded", "id"),
)


CUSTOMER = Noun(
    name="Customer",
    table=customers,
    prefix=ids.CUSTOMER,
    owned=lambda row: apps.owns(row["app_id"]),
    reached=lambda row: apps.reaches(row["app_id"]) & is_customer(row["id"]),
    attributes={
        "id": column("id"),
        "email": column("email", Kind.TEXT),
        "name": column("name", Kind.TEXT, nullable=True),
        "external_id": column("external_id", Kind.TEXT, nullable=True),
        "metadata": column("metadata", Kind.JSON),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
        "version": column("version", Kind.INTEGER),
    },
    subject="customer",
    image={name: name for name in ("id", "email", "name", "external_id", "metadata", "created_at")},
    objects={"app": ToOne("App", "app_id")},
    connections={
        "licenses": ToMany(
            "License",
            "customer_id",
            StoredTotal(("license_count",), lambda row: row["license_count"]),
            few=True,
        ),
        "events": ToMany("Event", "customer_id", other_column="other_customer_id"),
    },
    lookups={
        "id": Unique("id"),
        "email": Unique("email_key", email_key),
        "external_id": Unique("external_id"),
    },
    filters={
        "email": Condition(
            lambda row, value: contains(row["email_folded"], value),
            lambda text: fold(text.strip()),
            columns=("email_folded",),
            index=found_in_customers,
            scan=SEARCH_SCAN,
        ),
        "external_id": Condition(
            lambda row, value: row["external_id"] == value,
            lambda text: text if text.strip() else "",
            columns=("external_id",),
        ),
        "search": Condition(
            lambda row, value: or_(contains(row["email_folded"], value), contains(row["name_folded"], value)),
            fold,
            columns=("email_folded", "name_folded"),
            index=found_in_customers,
            scan=SEARCH_SCAN,
        ),
        # An id contains the creation time of its row, so each of these conditions is a range of an index that
        # ends in the id.
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
    customers.c.app_id == bindparam("app_id"), customers.c.email_key == bindparam("email_key")
)
_other = customers.alias()
# The key of a duplicate is the key of its email, a space and its id. "!" is the character after the space, so
# these bounds enclose the keys that begin with the customer's key and a space. Only the keys of duplicates
# begin like this, because no domain contains a space.
_oldest_duplicate = (
    select(func.min(_other.c.email_key))
    .where(
        _other.c.app_id == customers.c.app_id,
        _other.c.email_key > customers.c.email_key + " ",
        _other.c.email_key < customers.c.email_key + "!",
    )
    .scalar_subquery()
)
_FOR_UPDATE = locking(
    select(
        customers.c.id,
        customers.c.app_id,
        customers.c.email_key.label("unique_key"),
        customers.c.license_count,
        customers.c.version,
        apps.apps.c.signing_generation,
        _oldest_duplicate.label("oldest_duplicate"),
        image(CUSTOMER).label("image"),
    )
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .where(customers.c.id == bindparam("id"), within_apps(apps.apps.c)),
    apps.apps,
    customers,
)
_DELETE = customers.delete().where(customers.c.id == bindparam("id"))
_PROMOTE = (
    customers.update()
    .where(customers.c.app_id == bindparam("of_app"), customers.c.email_key == bindparam("old_key"))
    .values(email_key=bindparam("new_key"))
)
_duplicate = customers.alias("duplicate")
# The length of the email's own key: the duplicate's key without the space and the id.
_length = func.length(_duplicate.c.email_key) - func.length(_duplicate.c.id) - 1
_DUPLICATES = (
    select(apps.apps.c.slug, customers.c.id, customers.c.email, _duplicate.c.id, _duplicate.c.email)
    .select_from(_duplicate)
    .join(apps.apps, apps.apps.c.id == _duplicate.c.app_id)
    .join(
        customers,
        and_(
            customers.c.app_id == _duplicate.c.app_id,
            customers.c.email_key == func.substr(_duplicate.c.email_key, 1, _length),
        ),
    )
    .where(_duplicate.c.email_key.like("% " + _duplicate.c.id), apps.apps.c.slug.is_not(None))
    .order_by(apps.apps.c.slug, customers.c.id, _duplicate.c.id)
)
_compiler = Compiler({CUSTOMER.name: CUSTOMER})

_Making: TypeAlias = tuple[tuple[str, ...], tuple[Field, ...]]
"""The columns of a new customer, and the fields to return of it."""


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer, with the columns that are needed to change the customer."""

    id: str
    app_id: str
    unique_key: str
    license_count: int
    version: int
    signing_generation: int
    oldest_duplicate: str | None
    """The key of this customer's oldest duplicate, or None."""
    image: str

    @property
    def email_key(self) -> str:
        """The key of the customer's email. For a duplicate, this is the key without the space and the id."""
        return self.unique_key.removesuffix(f" {self.id}")


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A duplicate, and the oldest customer of the same app with the same email."""

    app_slug: str
    oldest_id: str
    oldest_email: str
    id: str
    email: str


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a customer. Returns False if its email or external id is taken in the app."""
    return await session.insert_if_free(customers, values)


async def insert_alone(
    database: Database,
    tenant: Tenant,
    actor: Actor,
    app_slug: str,
    values: Mapping[str, object],
    fields: tuple[Field, ...],
) -> str | None:
    """Add a customer to the app with this slug, and write the event, in a transaction of its own.

    This is one statement on PostgreSQL, and one thread hop on SQLite.

    Returns the JSON of `fields`, which must satisfy `can_be_returned`. Returns None if the tenant has no
    such app, or if the email or external id is taken.
    """
    event = events.parameters(actor, EventType.CUSTOMER_CREATED, str(values["id"]))
    parameters = {**values, **event, "slug": app_slug, **tenant.parameters}
    making = (tuple(values), fields)
    if database.is_sqlite:
        query = await database.statements.query_of(making, _insertion, lambda _: False)
        then = database.statements.compile(events.recording(CUSTOMER))
    else:
        query = await database.statements.query_of(making, _recorded_insertion, lambda _: False)
        then = None
    rows = await database.execute(query, parameters, then)
    if not rows:
        return None
    database.recorded()
    return str(rows[0][0])


def can_be_returned(fields: tuple[Field, ...]) -> bool:
    """Return whether an insert can return these fields of a customer.

    An insert can only return columns of the new row.
    """
    return are_columns(CUSTOMER, fields)


def _insertion(making: _Making) -> ReturningInsert[Any]:
    columns, fields = making
    return if_free(_added(columns), _compiler.object_of(CUSTOMER.name, fields))


def _recorded_insertion(making: _Making) -> Select[Any]:
    columns, fields = making
    made = _added(columns).on_conflict_do_nothing().returning(*customers.c).cte("made")
    event = events.of_row(CUSTOMER, made)
    recorded = events.events.insert().from_select(events.COLUMNS, event).cte("recorded")
    made_json = _compiler.object_of(CUSTOMER.name, fields, made)
    return select(made_json).select_from(made).add_cte(recorded)


def _added(columns: tuple[str, ...]) -> Insert:
    # In a SELECT, a parameter has no type unless it is cast.
    values = [cast(value, value.type) for value in parameters_of(customers, columns).values()]
    app = apps.by_slug().with_only_columns(apps.apps.c.id, *values)
    locked = app.with_for_update(read=True, key_share=True)
    return pg_insert(customers).from_select(["app_id", *columns], locked)


async def find_by_email(session: WriteSession, app_id: str, email_key: str) -> str | None:
    """Return the id of the app's customer whose `email_key` is this key, or None."""
    return (await session.execute(_BY_EMAIL, {"app_id": app_id, "email_key": email_key})).scalar()


async def taken(
    session: WriteSession, app_id: str, unique: Mapping[str, object], but: str = ""
) -> dict[str, str | None]:
    """Return the columns in `unique` whose values another customer of the app already has.

    Each column is returned with the id of that other customer. Values that are None, and the customer with
    the id `but`, are ignored.
    """
    found: dict[str, str | None] = {}
    for name, value in unique.items():
        statement = select(customers.c.id).where(
            customers.c.app_id == app_id, customers.c[name] == value, customers.c.id != but
        )
        other = None if value is None else (await session.execute(statement)).scalar()
        if other is not None:
            found[name] = other
    return found


async def find_for_update(session: WriteSession, tenant: Tenant, id: str) -> StoredCustomer | None:
    """Lock a customer and return it. Returns None if the tenant has no such customer.

    Until the transaction ends, the customer's app cannot be deleted.
    """
    row = (await session.execute(_FOR_UPDATE, {"id": id, **tenant.parameters})).mappings().first()
    return None if row is None else StoredCustomer(**row)


async def give_up_email(session: WriteSession, customer: StoredCustomer) -> None:
    """Give the key of a customer's former email to the customer's oldest duplicate, if there is one."""
    if customer.oldest_duplicate is not None:
        keys = {"old_key": customer.oldest_duplicate, "new_key": customer.email_key}
        await session.execute(_PROMOTE, {"of_app": customer.app_id, **keys})


async def duplicates(session: ReadSession) -> Sequence[Duplicate]:
    """Return all duplicates, sorted by app, then by the oldest customer with the same email, then by age."""
    return [Duplicate(*row) for row in await session.rows(_DUPLICATES, {})]


async def delete(session: WriteSession, id: str) -> None:
    """Delete a customer. The customer's licenses and sessions are deleted with it."""
    await session.execute(_DELETE, {"id": id})
