"""Locks for changes to licenses that affect more than the license and its customer."""

from typing import Any

from sqlalchemy import Select, Text, bindparam, or_, select

from db.apps import apps
from db.customers import customers
from db.engine import WriteSession
from db.licenses import licenses
from db.tenancy import Tenant, within_apps

_LICENSE = bindparam("license", type_=Text())
_APP: Select[Any] = (
    select(apps.c.id)
    .join(licenses, licenses.c.app_id == apps.c.id)
    .where(licenses.c.id == _LICENSE, within_apps(apps.c))
    .with_for_update(key_share=True, of=apps)
)
_owner = select(licenses.c.customer_id).where(licenses.c.id == _LICENSE).scalar_subquery()
_CUSTOMERS = (
    select(customers.c.id)
    .where(
        customers.c.app_id == bindparam("app", type_=Text()),
        or_(customers.c.id == _owner, customers.c.id == bindparam("customer", type_=Text())),
    )
    .order_by(customers.c.id)
    .with_for_update()
)


async def lock_customers(session: WriteSession, tenant: Tenant, license_id: str, customer_id: str) -> bool:
    """Lock a license's customer and another customer of its app, in the order of their ids.

    Returns whether the other customer exists, or False if the tenant has no such license. Until the
    transaction ends, no other transaction can change licenses of the app, so the license keeps its customer.
    """
    app_id = (await session.execute(_APP, {"license": license_id, **tenant.parameters})).scalar()
    if app_id is None:
        return False
    values = {"app": app_id, "license": license_id, "customer": customer_id}
    return customer_id in (await session.execute(_CUSTOMERS, values)).scalars().all()
