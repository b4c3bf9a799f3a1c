"""Every route: what is served is what is documented."""

from itertools import groupby
from operator import attrgetter

from rest import apps, customers, features, licenses, service, signing_keys, tiers, verification
from rest.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    service.get_health,
    service.get_openapi,
    apps.list_apps,
    apps.create_app,
    apps.get_app,
    apps.update_app,
    apps.delete_app,
    signing_keys.rotate_keys,
    signing_keys.get_public_key,
    signing_keys.get_key_set,
    tiers.list_tiers,
    tiers.create_tier,
    tiers.get_tier,
    tiers.update_tier,
    tiers.delete_tier,
    features.list_features,
    features.create_feature,
    features.get_feature,
    features.update_feature,
    features.delete_feature,
    customers.list_customers,
    customers.create_customer,
    # Words before ids: the first path that matches is taken.
    customers.get_or_create_customer,
    customers.get_customer_by_email,
    customers.get_customer_by_external_id,
    customers.get_customer,
    customers.update_customer,
    customers.delete_customer,
    licenses.list_licenses,
    licenses.create_license,
    licenses.get_license_by_installation,
    verification.verify_license,
    verification.verify_licenses,
    licenses.get_license,
    licenses.delete_license,
    licenses.regenerate_license,
    licenses.revoke_license,
)

OPERATIONS_BY_PATH: dict[str, tuple[Operation, ...]] = {
    path: tuple(group) for path, group in groupby(OPERATIONS, attrgetter("path"))
}
