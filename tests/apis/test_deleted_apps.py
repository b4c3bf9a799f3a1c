"""A deleted app and everything in it disappear from both APIs immediately, before any rows are deleted."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import func, select
from starlette.applications import Starlette

from db.customers import customers
from db.engine import Database
from resolvers.purge import purge
from tests.apis.both import BY_GRAPH, BY_REST, CREATE_APP, DELETE_APP, BothApis
from tests.factories import Account, make_account, make_app, make_customer, make_key, make_license

FOUND = """query ($app: ID!, $customer: ID!, $license: ID!, $slug: String!) {
  node(id: $app) { id }
  nodes(ids: [$customer, $license]) { id }
  customer(id: $customer) { id }
  license(id: $license) { id }
  app(slug: $slug) { id }
  apps { totalCount nodes { slug } }
}"""
NOT_FOUND = [{"code": "NOT_FOUND"}]


@pytest.mark.parametrize("slug", [BY_REST, BY_GRAPH])
async def test_nothing_in_it_is_found_or_changed(
    apis: BothApis, database: Database, account: Account, slug: str
) -> None:
    app = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, app, email="ada@example.com")
    license = await make_license(database, customer)
    ids = {"app": app.id, "customer": customer.id, "license": license.id, "slug": "atlas"}

    if slug == BY_REST:
        assert (await apis.rest("DELETE", "/apps/atlas")).status_code == 204
    else:
        deleted = await apis.mutate(DELETE_APP, slug="atlas")
        assert (deleted["deletedCustomerCount"], deleted["deletedLicenseCount"]) == (1, 1)

    async with database.write() as session:
        assert (await session.execute(select(func.count()).select_from(customers))).scalar_one() == 1
    assert await apis.graph(FOUND, **ids) == {
        "node": None,
        "nodes": [None, None],
        "customer": None,
        "license": None,
        "app": None,
        "apps": {"totalCount": 2, "nodes": [{"slug": BY_GRAPH}, {"slug": BY_REST}]},
    }
    for path in ("", "/customers", f"/customers/{customer.id}"):
        assert (await apis.rest("GET", f"/apps/atlas{path}")).status_code == 404
    assert [row["slug"] for row in await apis.rest_data("/apps")] == [BY_GRAPH, BY_REST]
    for mutation, input in (
        ("deleteApp", {"slug": "atlas"}),
        ("updateApp", {"slug": "atlas", "name": "Atlas"}),
        ("createCustomer", {"appSlug": "atlas", "email": "bob@example.com"}),
        ("getOrCreateCustomer", {"appSlug": "atlas", "email": "ada@example.com"}),
        ("updateCustomer", {"id": customer.id, "name": "Ada"}),
        ("deleteCustomer", {"id": customer.id}),
        ("createLicense", {"customerId": customer.id, "forever": True}),
        ("revokeLicense", {"id": license.id}),
        ("reinstateLicense", {"id": license.id}),
        ("deleteLicense", {"id": license.id}),
    ):
        type_ = "CreateCustomer" if mutation == "getOrCreateCustomer" else mutation[0].upper() + mutation[1:]
        fields = f"outcome: {mutation}(input: $input) {{ userErrors {{ code }} }}"
        query = f"mutation ($input: {type_}Input!) {{ {fields} }}"
        assert (await apis.mutate(query, **input))["userErrors"] == NOT_FOUND, mutation


async def test_its_account_may_use_the_slug_again_for_an_empty_app(
    apis: BothApis, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    await make_customer(database, app, email="ada@example.com", external_id="crm-1")
    await apis.mutate(DELETE_APP, slug="atlas")

    made = await apis.mutate(CREATE_APP, name="Atlas", slug="atlas")
    body = {"email": "ada@example.com", "external_id": "crm-1"}
    again = await apis.rest("POST", "/apps/atlas/customers", body)

    assert (made["userErrors"], again.status_code) == ([], 201)
    assert [row["email"] for row in await apis.rest_data("/apps/atlas/customers")] == ["ada@example.com"]


@pytest.fixture
async def stranger(app: Starlette, database: Database) -> AsyncIterator[BothApis]:
    """Both APIs, called with a key of another account."""
    other = await make_account(database)
    headers = {"Authorization": f"Bearer {await make_key(database, other)}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
        yield BothApis(client)


@pytest.mark.parametrize("is_purged", [False, True])
async def test_its_slug_stays_with_its_account(
    apis: BothApis, stranger: BothApis, database: Database, is_purged: bool
) -> None:
    await apis.mutate(CREATE_APP, name="Atlas", slug="atlas")
    in_use = await stranger.mutate(CREATE_APP, name="Mine now", slug="atlas")
    in_use_by_rest = await stranger.rest("POST", "/apps", {"name": "Mine now", "slug": "atlas"})
    await apis.mutate(DELETE_APP, slug="atlas")
    if is_purged:
        await purge(database)

    refused = await stranger.mutate(CREATE_APP, name="Mine now", slug="atlas")
    refused_by_rest = await stranger.rest("POST", "/apps", {"name": "Mine now", "slug": "atlas"})

    assert refused == in_use
    assert [error["code"] for error in refused["userErrors"]] == ["TAKEN"]
    assert (refused_by_rest.status_code, refused_by_rest.json()) == (409, in_use_by_rest.json())
    assert (await stranger.rest("GET", "/apps/atlas/jwks.json")).status_code == 404
    assert await stranger.rest_data("/apps") == []
    for _ in range(2):
        again = await apis.mutate(CREATE_APP, name="Atlas", slug="atlas")
        assert again["userErrors"] == []
        assert (await stranger.rest("GET", "/apps/atlas/jwks.json")).status_code == 200
        await apis.mutate(DELETE_APP, slug="atlas")
    assert (await stranger.mutate(CREATE_APP, name="Mine", slug="atlas"))["userErrors"] == in_use[
        "userErrors"
    ]
