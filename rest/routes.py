"""All routes of the API. The OpenAPI document lists the same routes."""

from collections.abc import Sequence

from rest import (
    apps,
    customers,
    events,
    features,
    keys,
    license_changes,
    licenses,
    service,
    signing_keys,
    statistics,
    tiers,
    verification,
)
from rest.operations import Operation

OPERATIONS: tuple[Operation, ...] = (
    service.get_health,
    service.get_openapi,
    apps.list_apps,
    apps.create_app,
    apps.get_app,
    apps.update_app,
    apps.delete_app,
    statistics.get_statistics,
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
    # Fixed words come before ids, because the first path that matches is used.
    customers.get_or_create_customer,
    customers.get_customer_by_email,
    customers.get_customer_by_external_id,
    customers.get_customer,
    customers.update_customer,
    customers.delete_customer,
    customers.create_customer_session,
    licenses.list_licenses,
    licenses.create_license,
    licenses.get_license_by_installation,
    verification.verify_license,
    verification.verify_licenses,
    licenses.get_license,
    license_changes.update_license,
    licenses.delete_license,
    license_changes.renew_license,
    license_changes.transfer_license,
    licenses.regenerate_license,
    licenses.revoke_license,
    licenses.reinstate_license,
    events.list_events,
    events.list_app_events,
    keys.list_api_keys,
    keys.create_api_key,
    keys.get_api_key,
    keys.update_api_key,
    keys.revoke_api_key,
    keys.rotate_api_key,
)


def by_path(operations: Sequence[Operation]) -> dict[str, tuple[Operation, ...]]:
    """Return the operations of each path, in the order of the list.

    The operations of a path need not be next to each other in the list.
    """
    paths = dict.fromkeys(operation.path for operation in operations)
    return {path: tuple(each for each in operations if each.path == path) for path in paths}


OPERATIONS_BY_PATH = by_path(OPERATIONS)
