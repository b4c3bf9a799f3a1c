"""Checks and repairs counters.

An app's customers and licenses are counted in `app_counters`, a customer's licenses in
`customers.license_count`, and the licenses that expire on each day in `app_expiries`. Triggers maintain these
counters on every write. Counters are wrong only if a change bypassed the triggers: a table was restored or
truncated on its own, or a counter was changed by hand. The statistics (`app_days`) are also wrong if rows
were changed without events.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, literal, select

from db import standing, statistics
from db.apps import app_counters, apps, total
from db.customers import customers
from db.engine import ReadSession, WriteSession
from db.licenses import licenses
from db.log import pause_numbering

_customers_in_app = select(func.count()).where(customers.c.app_id == apps.c.id).scalar_subquery()
_licenses_in_app = select(func.count()).where(licenses.c.app_id == apps.c.id).scalar_subquery()
_licenses_of_customer = (
    select(func.count())
    .where(licenses.c.customer_id == customers.c.id)
    .correlate_except(licenses)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class AppMismatch:
    """An app whose counters are wrong, with the stored and the actual numbers."""

    id: str
    stored_customers: int
    customers: int
    stored_licenses: int
    licenses: int


@dataclass(frozen=True, slots=True)
class CustomerMismatch:
    """A customer whose counter is wrong, with the stored and the actual number."""

    id: str
    app_id: str
    stored_licenses: int
    licenses: int


_APPS = select(
    apps.c.id,
    total("customers", apps.c.id),
    _customers_in_app,
    total("licenses", apps.c.id),
    _licenses_in_app,
).order_by(apps.c.id)
_MISMATCHED_CUSTOMERS = (
    select(customers.c.id, customers.c.app_id, customers.c.license_count, _licenses_of_customer)
    .where(customers.c.license_count != _licenses_of_customer)
    .order_by(customers.c.id)
)


async def app_mismatches(session: ReadSession) -> Sequence[AppMismatch]:
    """Return the apps whose counters are wrong, all read in one snapshot."""
    found = [AppMismatch(*row) for row in await session.rows(_APPS, {})]
    return [
        app for app in found if (app.stored_customers, app.stored_licenses) != (app.customers, app.licenses)
    ]


async def customer_mismatches(session: ReadSession) -> Sequence[CustomerMismatch]:
    """Return the customers whose counters are wrong, all read in one snapshot."""
    return [CustomerMismatch(*row) for row in await session.rows(_MISMATCHED_CUSTOMERS, {})]


async def recount(session: WriteSession, app_id: str) -> None:
    """Recount an app's customers and licenses in all counters and totals, and repair its statistics.

    Other writes to the app wait until the transaction ends.
    """
    await pause_numbering(session)  # before the app is locked, as the projector does
    if (
        await session.execute(select(apps.c.id).where(apps.c.id == app_id).with_for_update())
    ).first() is None:
        return
    await session.execute(app_counters.delete().where(app_counters.c.app_id == app_id))
    counted = select(apps.c.id, literal(0), _customers_in_app, _licenses_in_app).where(apps.c.id == app_id)
    await session.execute(app_counters.insert().from_select(list(app_counters.c), counted))
    await session.execute(
        customers.update()
        .where(customers.c.app_id == app_id, customers.c.license_count != _licenses_of_customer)
        .values(license_count=_licenses_of_customer)
    )
    await standing.recount(session, app_id)
    await statistics.repair(session, app_id)
