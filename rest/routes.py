"""Every route: what is served is what is documented."""

from itertools import groupby
from operator import attrgetter

from rest import apps, customers, service
from rest.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    service.get_health,
    service.get_openapi,
    apps.list_apps,
    apps.create_app,
    apps.get_app,
    apps.update_app,
    apps.delete_app,
    customers.list_customers,
    customers.create_customer,
    # Words before ids: the first path that matches is taken.
    customers.get_or_create_customer,
    customers.get_customer_by_email,
    customers.get_customer_by_external_id,
    customers.get_customer,
    customers.update_customer,
    customers.delete_customer,
)

OPERATIONS_BY_PATH: dict[str, tuple[Operation, ...]] = {
    path: tuple(group) for path, group in groupby(OPERATIONS, attrgetter("path"))
}
