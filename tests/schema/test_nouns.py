"""Objects of the graph: which fields they have, and how they are found. An account only finds its own."""

from datetime import UTC, datetime

import httpx
import pytest

from asgi.authentication import Authentication
from db.engine import Database
from resolvers.viewer import Policy
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from schema.pipeline.limits import Limits
from tests.factories import Account, make_account, make_app, make_customer, make_key, make_license
from tests.keyrings import KEYRING
from tests.schema.conftest import Graph

MOMENT = datetime(2026, 1, 23, 10, tzinfo=UTC)


async def test_every_field(graph: Graph, database: Database, account: Account) -> None:
    app = await make_app(
        database, account, slug="atlas", name="Atlas", description="Maps", webhook_url="https://x.example/h",
        created_at=MOMENT,
    )  # fmt: skip
    customer = await make_customer(
        database, app, email="Jane@example.com", name="Jane", external_id="cus_1",
        metadata={"b": 1, "a": [1.5]},        created_at=MOMENT,
    )  # fmt: skip
    license = await make_license(
        database,
        customer,
        expires_at=MOMENT,
        revoked_at=MOMENT,
        metadata={"seats": 10**30},
        created_at=MOMENT,
    )

    data = await graph.data(
        """query($id: ID!) { license(id: $id) {
          __typename id installationId status expiresAt revokedAt metadata createdAt updatedAt
          app { __typename id slug name description webhookUrl createdAt updatedAt }
          customer { __typename id email name externalId metadata createdAt updatedAt app { id } }
        } }""",
        id=license.id,
    )

    written = "2026-01-23T10:00:00Z"
    assert data["license"] == {
        "__typename": "License",
        "id": license.id,
        "installationId": license.installation_id,
        "status": "REVOKED",
        "expiresAt": written,
        "revokedAt": written,
        "metadata": {"seats": 10**30},
        "createdAt": written,
        "updatedAt": written,
        "app": {
            "__typename": "App",
            "id": app.id,
            "slug": "atlas",
            "name": "Atlas",
            "description": "Maps",
            "webhookUrl": "https://x.example/h",
            "createdAt": written,
            "updatedAt": written,
        },
        "customer": {
            "__typename": "Customer",
            "id": customer.id,
            "email": "Jane@example.com",
            "name": "Jane",
            "externalId": "cus_1",
            "metadata": {"b": 1, "a": [1.5]},
            "createdAt": written,
            "updatedAt": written,
            "app": {"id": app.id},
        },
    }
    assert list(data["license"]["customer"]["metadata"]) == ["b", "a"]


async def test_unset_fields_are_null_and_metadata_is_empty(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, app)

    data = await graph.data(
        """query($id: ID!) {
          customer(id: $id) { name externalId metadata }
          app(slug: "atlas") { description webhookUrl }
        }""",
        id=customer.id,
    )

    assert data == {
        "customer": {"name": None, "externalId": None, "metadata": {}},
        "app": {"description": None, "webhookUrl": None},
    }


async def test_a_customer_is_found_by_id_by_email_in_any_case_and_by_external_id(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, app, email="Jane@example.com", external_id="Ext")
    other = await make_customer(database, await make_app(database, account), email="jane@other.example")

    data = await graph.data(
        """query($id: ID!, $other: ID!) { app(slug: "atlas") {
          a: customer(by: {id: $id}) { id }
          b: customer(by: {email: "JANE@Example.COM"}) { id }
          c: customer(by: {externalId: "Ext"}) { id }
          d: customer(by: {externalId: "ext"}) { id }
          e: customer(by: {email: "jane"}) { id }
          f: customer(by: {id: $other}) { id }
        } }""",
        id=customer.id,
        other=other.id,
    )

    found = {"id": customer.id}
    assert data["app"] == {"a": found, "b": found, "c": found, "d": None, "e": None, "f": None}


async def test_nodes_are_returned_in_the_order_of_their_ids_with_null_for_unknown_ones(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account)
    customer = await make_customer(database, app)
    license = await make_license(database, customer)
    ids = [license.id, "cus_01h455vb4pex5vsknk084sn02q", app.id, "nonsense", customer.id, license.id]

    data = await graph.data(
        """query($ids: [ID!]!, $one: ID!) {
          nodes(ids: $ids) { id __typename ... on Customer { app { id } } ...L ... on Node { again: id } }
          node(id: $one) { id ... { __typename } }
          none: nodes(ids: []) { id }
        }
        fragment L on License { status }""",
        ids=ids,
        one=app.id,
    )

    of_license = {"id": license.id, "__typename": "License", "status": "ACTIVE", "again": license.id}
    assert data["nodes"] == [
        of_license,
        None,
        {"id": app.id, "__typename": "App", "again": app.id},
        None,
        {"id": customer.id, "__typename": "Customer", "app": {"id": app.id}, "again": customer.id},
        of_license,
    ]
    assert data["node"] == {"id": app.id, "__typename": "App"}
    assert data["none"] == []


async def test_another_account_s_objects_do_not_exist(
    graph: Graph, database: Database, account: Account
) -> None:
    stranger = graph.with_token(await make_key(database, await make_account(database)))
    app = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, app, email="jane@example.com")
    license = await make_license(database, customer)
    query = """query($app: ID!, $customer: ID!, $license: ID!) {
      app(slug: "atlas") { id }
      apps { totalCount }
      customer(id: $customer) { id }
      license(id: $license) { id }
      node(id: $app) { id }
      nodes(ids: [$app, $customer, $license]) { id }
    }"""
    ids = {"app": app.id, "customer": customer.id, "license": license.id}

    assert await stranger.data(query, **ids) == {
        "app": None,
        "apps": {"totalCount": 0},
        "customer": None,
        "license": None,
        "node": None,
        "nodes": [None, None, None],
    }
    assert (await graph.data(query, **ids))["nodes"] == [{"id": id} for id in ids.values()]


async def test_another_account_s_objects_cannot_be_changed(
    graph: Graph, database: Database, account: Account
) -> None:
    stranger = graph.with_token(await make_key(database, await make_account(database)))
    app = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, app, email="jane@example.com")
    license = await make_license(database, customer)
    mutation = """mutation($customer: ID!, $license: ID!) {
      a: updateApp(input: {slug: "atlas", name: "Mine"}) { userErrors { code field } }
      b: deleteApp(input: {slug: "atlas"}) { deletedCustomerCount userErrors { code field } }
      c: createCustomer(input: {appSlug: "atlas", email: "x@y.de"}) { userErrors { code field } }
      d: updateCustomer(input: {id: $customer, name: "Mine"}) { userErrors { code field } }
      e: deleteCustomer(input: {id: $customer}) { deletedLicenseCount userErrors { code field } }
      f: createLicense(input: {customerId: $customer, forever: true}) { userErrors { code field } }
      g: revokeLicense(input: {id: $license}) { userErrors { code field } }
      h: reinstateLicense(input: {id: $license}) { userErrors { code field } }
      i: deleteLicense(input: {id: $license}) { userErrors { code field } }
    }"""
    whole = """query($id: ID!) { license(id: $id) {
      status updatedAt customer { name updatedAt } app { name updatedAt customers { totalCount } }
    } }"""
    before = await graph.data(whole, id=license.id)

    data = await stranger.data(mutation, customer=customer.id, license=license.id)

    errors = {key: payload["userErrors"] for key, payload in data.items()}
    fields = {"a": "slug", "b": "slug", "c": "appSlug", "f": "customerId"}
    assert errors == {key: [{"code": "NOT_FOUND", "field": [fields.get(key, "id")]}] for key in "abcdefghi"}
    assert await graph.data(whole, id=license.id) == before


@pytest.mark.parametrize("forbidden", ["customers { totalCount }", "licenses { nodes { customer { id } } }"])
async def test_an_installation_may_hide_customers_from_public_keys(
    graph: Graph, database: Database, account: Account, forbidden: str
) -> None:
    await make_app(database, account, slug="atlas")
    closed = Authentication(database, Policy(public_keys_read_customers=False))
    api = GraphQLEndpoint(graphql_schema, database, KEYRING, closed, limits=Limits())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://testserver")
    public = Graph(client, await make_key(database, account, kind="public"))
    query = f'{{ app(slug: "atlas") {{ slug licenses {{ totalCount }} {forbidden} }} }}'

    code, _ = await public.refusal(query)

    assert code == "FORBIDDEN"
    assert await Graph(client, graph.token).data(query)
    assert await public.data('{ app(slug: "atlas") { licenses { nodes { id } } } }')
