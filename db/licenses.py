"""Licenses: a customer's right to run an app on one installation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, Column, ColumnElement, ForeignKey, Index, Table, bindparam, case, select

from db import apps, clock, ids
from db.customers import customers
from db.engine import WriteSession, locking
from db.metadata import metadata
from db.shaping.nouns import NOW, Attribute, Condition, Kind, Noun, Ordering, Row, ToOne, Unique, column
from db.types import JsonObject, PlainText, UtcDateTime


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
    Index(None, "app_id", "id"),
    Index(None, "app_id", "expires_at", "id"),
    Index(None, "customer_id", "id"),
    Index(None, "customer_id", "expires_at", "id"),
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


def _end(moment: datetime) -> str:
    """What the stored seconds before a moment are smaller than, and no others."""
    text = clock.as_text(moment)
    # Up to and with 10:00:00 is before 10:00:00.5: before whatever follows that second's own text.
    return f"{text}~" if moment.microsecond else text


LICENSE = Noun(
    name="License",
    table=licenses,
    prefix=ids.LICENSE,
    owned=lambda row: apps.owns(row["app_id"]),
    attributes={
        "id": column("id"),
        "installation_id": column("installation_id"),
        "status": Attribute(Kind.PLAIN, ("revoked_at", "expires_at"), status),
        "expires_at": column("expires_at", nullable=True),
        "revoked_at": column("revoked_at", nullable=True),
        "metadata": column("metadata", Kind.JSON),
        "created_at": column("created_at"),
        "updated_at": column("updated_at"),
    },
    objects={"app": ToOne("App", "app_id"), "customer": ToOne("Customer", "customer_id")},
    lookups={"id": Unique("id")},
    filters={
        "status": Condition(lambda row, value: status(row) == value, columns=("revoked_at", "expires_at")),
        "expires_before": Condition(
            lambda row, value: row["expires_at"] < value, _end, columns=("expires_at",)
        ),
        "expires_after": Condition(
            lambda row, value: row["expires_at"] > value, clock.as_text, columns=("expires_at",)
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
_FOR_UPDATE = locking(
    select(licenses.c.app_id, licenses.c.installation_id, licenses.c.expires_at, licenses.c.revoked_at)
    .join(customers, customers.c.id == licenses.c.customer_id)
    .join(apps.apps, apps.apps.c.id == customers.c.app_id)
    .where(licenses.c.id == bindparam("id"), apps.APP.owned(apps.apps.c)),
    apps.apps,
    customers,
    licenses,
)
_DELETE = licenses.delete().where(licenses.c.id == bindparam("id"))


@dataclass(frozen=True, slots=True)
class StoredLicense:
    """What a change of a license has to know about it."""

    app_id: str
    installation_id: str
    expires_at: datetime | None
    revoked_at: datetime | None


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a license. False when another is the current one of its installation."""
    return await session.insert_if_free(licenses, values)


async def retire(session: WriteSession, app_id: str, installation_id: str, now: datetime) -> None:
    """Have the current license of an installation make room if it is revoked or expired."""
    await session.execute(_RETIRE, {"of_app": app_id, "of_installation": installation_id, "at": now})


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
