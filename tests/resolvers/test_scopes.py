"""Who may do what: asked before anything else, of every resolver."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import pytest

from db.engine import Database
from db.shaping.selection import Connection, Nodes, Object, Page, Scalar, Values
from resolvers import apps, customers, features, licenses, reading, rotation, tiers
from resolvers.errors import Forbidden, Refused, Unauthenticated
from resolvers.reading import FieldShape, Shape, ShapeByNoun
from resolvers.viewer import Policy, Scope, Viewer, anonymous
from tests.factories import App, make_customer, make_feature, make_license, make_tier
from tests.resolvers.calling import everything, read, shape, write
from tests.statements import Statements

Write: TypeAlias = Callable[..., Awaitable[Any]]
VERBS = (
    *("create_", "update_", "delete_", "get_or_create_", "revoke_", "reinstate_", "regenerate_"),
    "rotate_",
)
CLOSED = Policy(public_keys_read_customers=False)


@dataclass
class Ids:
    """What there is to be changed and to be read."""

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


WRITES: dict[str, Callable[[Ids], tuple[Write, tuple[object, ...]]]] = {
    "create_app": lambda ids: (apps.create_app, ({"name": "New", "slug": "new"},)),
    "update_app": lambda ids: (apps.update_app, (ids.slug, {"name": "New"})),
    "delete_app": lambda ids: (apps.delete_app, (ids.slug,)),
    "create_customer": lambda ids: (customers.create_customer, (ids.slug, {"email": "new@example.com"})),
    "get_or_create_customer": lambda ids: (
        customers.get_or_create_customer,
        (ids.slug, {"email": "new@example.com"}),
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
    "revoke_license": lambda ids: (licenses.revoke_license, (ids.license, {})),
    "reinstate_license": lambda ids: (licenses.reinstate_license, (ids.license,)),
    "delete_license": lambda ids: (licenses.delete_license, (ids.license,)),
}


def public(viewer: Viewer, policy: Policy | None = None) -> Viewer:
    """The viewer of a public key of the same account."""
    policy = policy or Policy()
    scopes = {Scope.READ, Scope.READ_CUSTOMERS} if policy.public_keys_read_customers else {Scope.READ}
    return Viewer(viewer.account_id, frozenset(scopes), policy)


@pytest.mark.parametrize("name", WRITES)
async def test_who_may_not_write_is_refused_before_a_statement_is_sent(
    database: Database, statements: Statements, viewer: Viewer, ids: Ids, name: str
) -> None:
    resolver, arguments = WRITES[name](ids)
    # Not even told what is wrong with the input, nor whether there is such a thing.
    nonsense = tuple({"metadata": 1} if isinstance(each, dict) else "missing" for each in arguments)
    before = await everything(database)

    with statements.recorded(database) as sent:
        for given in (arguments, nonsense):
            with pytest.raises(Forbidden, match="A public key can read and not write"):
                await write(database, resolver, public(viewer), *given)
            with pytest.raises(Unauthenticated):
                await write(database, resolver, anonymous(Policy()), *given)

    assert sent == []
    assert await everything(database) == before


def test_every_write_is_here() -> None:
    written = {
        name
        for module in (apps, customers, features, licenses, rotation, tiers)
        for name, found in vars(module).items()
        # Those without a viewer are for whoever runs the installation.
        if name.startswith(VERBS) and next(iter(signature(found).parameters)) == "viewer"
    }

    assert set(WRITES) == written


def page_of(noun: str, *names: str) -> FieldShape:
    """A page of a connection, with these attributes of its nodes."""
    values = Values()
    page = Page("created_at", True, values.slot(20), backward=False, after=None, filters=())
    nodes = Nodes("nodes", tuple(Scalar(name, name) for name in names))
    return FieldShape(Connection("page", f"{noun.lower()}s", noun, page, (nodes,)), values)


def by_noun() -> ShapeByNoun:
    return ShapeByNoun(
        dict.fromkeys(("App", "Customer", "License", "Tier", "Feature"), (Scalar("id", "id"),)), Values()
    )


def license_with_customer() -> Shape:
    return Shape((Object("customer", "customer", "Customer", (Scalar("id", "id"),)),), Values())


def with_app() -> Shape:
    return Shape((Object("app", "app", "App", (Scalar("id", "id"),)),), Values())


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
async def test_public_key_reads_as_a_secret_one_does(
    database: Database, viewer: Viewer, ids: Ids, name: str
) -> None:
    def asked(by: Viewer) -> Awaitable[Any]:
        resolver, arguments = READS_WITHOUT_CUSTOMERS[name](ids)
        return read(database, resolver, by, *arguments)

    answer = await asked(viewer)
    assert ids.app in str(answer) or ids.license in str(answer)
    assert await asked(public(viewer)) == await asked(public(viewer, CLOSED)) == answer


@pytest.mark.parametrize("name", READS_OF_CUSTOMERS)
async def test_installation_may_keep_customers_from_public_keys(
    database: Database, viewer: Viewer, ids: Ids, name: str
) -> None:
    def asked(by: Viewer) -> Awaitable[Any]:
        resolver, arguments = READS_OF_CUSTOMERS[name](ids)
        return read(database, resolver, by, *arguments)

    answer = await asked(viewer)
    assert ids.customer in str(answer)
    assert await asked(public(viewer)) == answer
    with pytest.raises(Forbidden, match="does not let public keys read customers"):
        await asked(public(viewer, CLOSED))


async def test_tokens_of_licenses_are_for_secret_keys(database: Database, viewer: Viewer, ids: Ids) -> None:
    answers = [
        await read(database, licenses.license, by, ids.license, shape("token"))
        for by in (viewer, public(viewer), public(viewer, CLOSED))
    ]

    assert answers == ['{"token":"a.b.c"}', '{"token":null}', '{"token":null}']


@pytest.mark.parametrize("reads", [READS_WITHOUT_CUSTOMERS, READS_OF_CUSTOMERS])
async def test_without_a_key_nothing_is_read(
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
    assert str(Unauthenticated()) == "A valid API key is required: Authorization: Bearer sk_live_…"
