"""Scopes: every resolver that needs a key checks the viewer's scopes before anything else."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import pytest

from db.engine import Database
from db.shaping.selection import Connection, Fields, Nodes, Object, Page, Scalar, Selected, Values
from resolvers import (
    api_keys,
    apps,
    customer_sessions,
    customers,
    documents,
    features,
    licenses,
    reading,
    rotation,
    tiers,
)
from resolvers.documents import Checked
from resolvers.errors import Forbidden, Refused, Unauthenticated
from resolvers.reading import FieldsByNoun
from resolvers.viewer import KeyKind, Policy, Scope, Viewer, anonymous
from tests.factories import App, make_customer, make_feature, make_license, make_tier
from tests.resolvers.calling import everything, read, shape, write
from tests.statements import Statements

pytestmark = pytest.mark.surface

Write: TypeAlias = Callable[..., Awaitable[Any]]
VERBS = (
    *("create_", "update_", "delete_", "get_or_create_", "revoke_", "reinstate_", "regenerate_"),
    *("rotate_", "register_"),
)
CLOSED = Policy(public_keys_read_customers=False)


@dataclass
class Ids:
    """The ids of the objects that resolvers change and read."""

    slug: str
    app: str
    customer: str
    license: str
    tier: str
    feature: str


@pytest.fixture
async def ids(database: Database, app: App) -> Ids:
    customer = await make_customer(database, app)
    tier = await make_tier(database, app)
    license = await make_license(database, customer, tier=tier, token="a.b.c")
    feature = await make_feature(database, app)
    return Ids(app.slug, app.id, customer.id, license.id, tier.id, feature.id)


async def unchecked(_text: str) -> Checked:
    """Accept any text."""
    return Checked()


WRITES: dict[str, Callable[[Ids], tuple[Write, tuple[object, ...]]]] = {
    "create_app": lambda ids: (apps.create_app, ({"name": "New", "slug": "new"},)),
    "update_app": lambda ids: (apps.update_app, (ids.slug, {"name": "New"})),
    "delete_app": lambda ids: (apps.delete_app, (ids.slug,)),
    "create_customer": lambda ids: (customers.create_customer, (ids.slug, {"email": "new@example.com"})),
    "get_or_create_customer": lambda ids: (
        customers.get_or_create_customer,
        (ids.slug, {"email": "new@example.com"}),
    ),
    "create_customer_session": lambda ids: (
        customer_sessions.create_customer_session,
        (ids.customer, {}),
    ),
    "update_customer": lambda ids: (customers.update_customer, (ids.customer, {"name": "New"})),
    "delete_customer": lambda ids: (customers.delete_customer, (ids.customer,)),
    "create_license": lambda ids: (
        licenses.create_license,
        ({"customer_id": ids.customer, "forever": True},),
    ),
    "regenerate_license": lambda ids: (licenses.regenerate_license, (ids.license,)),
    "rotate_app_keys": lambda ids: (rotation.rotate_app_keys, (ids.slug,)),
    "create_tier": lambda ids: (tiers.create_tier, (ids.slug, {"slug": "new", "name": "New"})),
    "update_tier": lambda ids: (tiers.update_tier, (ids.tier, {"name": "New"})),
    "delete_tier": lambda ids: (tiers.delete_tier, (ids.tier,)),
    "create_feature": lambda ids: (features.create_feature, (ids.slug, {"slug": "new", "name": "New"})),
    "update_feature": lambda ids: (features.update_feature, (ids.feature, {"name": "New"})),
    "delete_feature": lambda ids: (features.delete_feature, (ids.feature,)),
    "register_documents": lambda ids: (
        documents.register_documents,
        (unchecked, {"set": "portal", "documents": [{"text": "{ __typename }"}]}),
    ),
    "delete_document_set": lambda ids: (documents.delete_document_set, ({"set": "portal"},)),
    "revoke_license": lambda ids: (licenses.revoke_license, (ids.license, {})),
    "reinstate_license": lambda ids: (licenses.reinstate_license, (ids.license,)),
    "delete_license": lambda ids: (licenses.delete_license, (ids.license,)),
    "create_api_key": lambda ids: (api_keys.create_api_key, ({"kind": "secret", "name": "New"},)),
    "update_api_key": lambda ids: (api_keys.update_api_key, ("key_1", {"name": "New"})),
    "rotate_api_key": lambda ids: (api_keys.rotate_api_key, ("key_1", {})),
    "revoke_api_key": lambda ids: (api_keys.revoke_api_key, ("key_1",)),
}


def public(viewer: Viewer, policy: Policy | None = None) -> Viewer:
    """Return the viewer of a public key of the same account."""
    policy = policy or Policy()
    scopes = {Scope.READ, Scope.READ_CUSTOMERS} if policy.public_keys_read_customers else {Scope.READ}
    return Viewer(viewer.tenant, frozenset(scopes), policy, kind=KeyKind.PUBLIC)


@pytest.mark.parametrize("name", WRITES)
async def test_a_viewer_without_the_scope_is_refused_before_any_statement(
    database: Database, statements: Statements, viewer: Viewer, ids: Ids, name: str
) -> None:
    resolver, arguments = WRITES[name](ids)
    # The error must not reveal whether the input is valid or the object exists.
    nonsense = tuple({"metadata": 1} if isinstance(each, dict) else "missing" for each in arguments)
    before = await everything(database)

    with statements.recorded(database) as sent:
        for given in (arguments, nonsense):
            with pytest.raises(Forbidden, match="A public key can"):
                await write(database, resolver, public(viewer), *given)
            with pytest.raises(Unauthenticated):
                await write(database, resolver, anonymous(Policy()), *given)

    assert sent == []
    assert await everything(database) == before


def test_every_write_is_tested_here() -> None:
    written = {
        name
        for module in (
            api_keys,
            apps,
            customer_sessions,
            customers,
            documents,
            features,
            licenses,
            rotation,
            tiers,
        )
        for name, found in vars(module).items()
        # Functions whose first parameter is not a viewer are for the operator.
        if name.startswith(VERBS) and next(iter(signature(found).parameters)) == "viewer"
    }

    assert set(WRITES) == written


def page_of(noun: str, *names: str) -> Selected[Connection]:
    """Return a selection of a page whose nodes have these attributes."""
    values = Values()
    page = Page("created_at", True, values.slot(20), backward=False, after=None, filters=())
    nodes = Nodes("nodes", tuple(Scalar(name, name) for name in names))
    return Selected(Connection("page", f"{noun.lower()}s", noun, page, (nodes,)), tuple(values.items))


def by_noun() -> Selected[FieldsByNoun]:
    return Selected(dict.fromkeys(("App", "Customer", "License", "Tier", "Feature"), (Scalar("id", "id"),)))


def license_with_customer() -> Selected[Fields]:
    return Selected((Object("customer", "customer", "Customer", (Scalar("id", "id"),)),))


def with_app() -> Selected[Fields]:
    return Selected((Object("app", "app", "App", (Scalar("id", "id"),)),))


READS_WITHOUT_CUSTOMERS: dict[str, Callable[[Ids], tuple[Write, tuple[object, ...]]]] = {
    "app": lambda ids: (apps.app, (ids.slug, shape("id"))),
    "app_by_id": lambda ids: (apps.app_by_id, (ids.app, shape("id"))),
    "all_apps": lambda ids: (apps.all_apps, (page_of("App", "id"),)),
    "license": lambda ids: (licenses.license, (ids.license, shape("id"))),
    "licenses of an app": lambda ids: (apps.field_of_app, (ids.slug, page_of("License", "id"))),
    "tier": lambda ids: (tiers.tier, (ids.tier, with_app())),
    "feature": lambda ids: (features.feature, (ids.feature, with_app())),
    "node": lambda ids: (reading.node, (ids.license, by_noun())),
}
READS_OF_CUSTOMERS: dict[str, Callable[[Ids], tuple[Write, tuple[object, ...]]]] = {
    "customer": lambda ids: (customers.customer, (ids.customer, shape("id"))),
    "customers of an app": lambda ids: (apps.field_of_app, (ids.slug, page_of("Customer", "id"))),
    "customer in an app": lambda ids: (
        customers.customer_in_app,
        (ids.slug, "id", ids.customer, shape("id")),
    ),
    "customer of a license": lambda ids: (licenses.license, (ids.license, license_with_customer())),
    "node": lambda ids: (reading.node, (ids.customer, by_noun())),
}


@pytest.mark.parametrize("name", READS_WITHOUT_CUSTOMERS)
async def test_public_key_reads_the_same_as_a_secret_one(
    database: Database, viewer: Viewer, ids: Ids, name: str
) -> None:
    def asked(by: Viewer) -> Awaitable[Any]:
        resolver, arguments = READS_WITHOUT_CUSTOMERS[name](ids)
        return read(database, resolver, by, *arguments)

    answer = await asked(viewer)
    assert ids.app in str(answer) or ids.license in str(answer)
    assert await asked(public(viewer)) == await asked(public(viewer, CLOSED)) == answer


@pytest.mark.parametrize("name", READS_OF_CUSTOMERS)
async def test_installation_may_hide_customers_from_public_keys(
    database: Database, viewer: Viewer, ids: Ids, name: str
) -> None:
    def asked(by: Viewer) -> Awaitable[Any]:
        resolver, arguments = READS_OF_CUSTOMERS[name](ids)
        return read(database, resolver, by, *arguments)

    answer = await asked(viewer)
    assert ids.customer in str(answer)
    assert await asked(public(viewer)) == answer
    with pytest.raises(Forbidden, match="cannot read customers"):
        await asked(public(viewer, CLOSED))


async def test_tokens_of_licenses_need_a_secret_key(database: Database, viewer: Viewer, ids: Ids) -> None:
    answers = [
        await read(database, licenses.license, by, ids.license, shape("token"))
        for by in (viewer, public(viewer), public(viewer, CLOSED))
    ]

    assert answers == ['{"token":"a.b.c"}', '{"token":null}', '{"token":null}']


@pytest.mark.parametrize("reads", [READS_WITHOUT_CUSTOMERS, READS_OF_CUSTOMERS])
async def test_without_a_key_nothing_can_be_read(
    database: Database, statements: Statements, ids: Ids, reads: dict[str, Any]
) -> None:
    with statements.recorded(database) as sent:
        for make in reads.values():
            resolver, arguments = make(ids)
            with pytest.raises(Unauthenticated):
                await read(database, resolver, anonymous(Policy()), *arguments)

    assert sent == []


def test_refusals_are_safe_to_show() -> None:
    assert issubclass(Forbidden, Refused)
    assert issubclass(Unauthenticated, Refused)
    with pytest.raises(Unauthenticated, match="An API key is required"):
        anonymous(Policy()).require(Scope.READ)
