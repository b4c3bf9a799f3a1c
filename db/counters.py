"""Counters: looking whether they are right, and making them so.

What is counted where: an app's customers and licenses in `app_counters`, a customer's licenses in
`customers.license_count`. Triggers keep both, whoever writes. They are off only when something went past the
triggers: a table restored or emptied by itself, a counter changed by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, literal, select

from db.apps import app_counters, apps, total
from db.customers import customers
from db.engine import ReadSession, WriteSession
from db.licenses import licenses

_customers_in_app = select(func.count()).where(customers.c.app_id == apps.c.id).scalar_subquery()
_licenses_in_app = select(func.count()).where(licenses.c.app_id == apps.c.id).scalar_subquery()
_licenses_of_customer = (
    select(func.count())
    .where(licenses.c.customer_id == customers.c.id)
    .correlate_except(licenses)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True)
class OffApp:
    """An app whose counters do not say what is there."""

    id: str
    kept_customers: int
    customers: int
    kept_licenses: int
    licenses: int


@dataclass(frozen=True, slots=True)
class OffCustomer:
    """A customer whose counter does not say what is there."""

    id: str
    app_id: str
    kept_licenses: int
    licenses: int


_APPS = select(
    apps.c.id,
    total("customers", apps.c.id),
    _customers_in_app,
    total("licenses", apps.c.id),
    _licenses_in_app,
).order_by(apps.c.id)
_OFF_CUSTOMERS = (
    select(customers.c.id, customers.c.app_id, customers.c.license_count, _licenses_of_customer)
    .where(customers.c.license_count != _licenses_of_customer)
    .order_by(customers.c.id)
)


async def off_apps(session: ReadSession) -> Sequence[OffApp]:
    """The apps whose counters are off, as of one moment."""
    found = [OffApp(*row) for row in await session.rows(_APPS, {})]
    return [app for app in found if (app.kept_customers, app.kept_licenses) != (app.customers, app.licenses)]


async def off_customers(session: ReadSession) -> Sequence[OffCustomer]:
    """The customers whose counters are off, as of one moment."""
    return [OffCustomer(*row) for row in await session.rows(_OFF_CUSTOMERS, {})]


async def recount(session: WriteSession, app_id: str) -> None:
    """Count anew what an app has, and each of its customers. Who writes in the app waits until it is done."""
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
