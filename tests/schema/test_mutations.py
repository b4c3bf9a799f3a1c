"""Mutations as clients see them: payloads, camelCase paths in userErrors, and one transaction per field."""

from typing import Any

import pytest

from db.engine import Database
from tests.factories import Account, make_app, make_customer, make_license
from tests.schema.conftest import Graph

ERRORS = "userErrors { code message field }"


async def test_an_app_s_life(graph: Graph) -> None:
    created = await graph.data(
        f"""mutation {{ createApp(input: {{name: "Atlas", slug: "atlas", webhookUrl: "https://a.example"}}) {{
          app {{ slug name description webhookUrl customers {{ totalCount }} }} {ERRORS} }} }}"""
    )
    updated = await graph.data(
        f"""mutation {{ updateApp(input: {{slug: "atlas", description: "Maps", webhookUrl: null}}) {{
          app {{ slug name description webhookUrl }} {ERRORS} }} }}"""
    )
    app = (await graph.data('{ app(slug: "atlas") { id } }'))["app"]
    deleted = await graph.data(
        f"""mutation {{ deleteApp(input: {{slug: "atlas"}}) {{
          deletedAppId deletedCustomerCount deletedLicenseCount {ERRORS} }} }}"""
    )

    assert created["createApp"] == {
        "app": {
            "slug": "atlas",
            "name": "Atlas",
            "description": None,
            "webhookUrl": "https://a.example",
            "customers": {"totalCount": 0},
        },
        "userErrors": [],
    }
    assert updated["updateApp"] == {
        "app": {"slug": "atlas", "name": "Atlas", "description": "Maps", "webhookUrl": None},
        "userErrors": [],
    }
    assert deleted["deleteApp"] == {
        "deletedAppId": app["id"],
        "deletedCustomerCount": 0,
        "deletedLicenseCount": 0,
        "userErrors": [],
    }
    assert await graph.data("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}


async def test_a_customer_s_life(graph: Graph, database: Database, account: Account) -> None:
    await make_app(database, account, slug="atlas")
    metadata = {"company": "Acme", "deep": {"list": [1, 2.50, None, {"x": "é"}]}, "big": 10**25}

    created = await graph.data(
        f"""mutation($input: CreateCustomerInput!) {{ createCustomer(input: $input) {{
          customer {{ id email name externalId metadata app {{ slug }} }} {ERRORS} }} }}""",
        input={
            "appSlug": "atlas",
            "email": "  Jane@EXAMPLE.com ",
            "name": "",
            "externalId": "x-1",
            "metadata": metadata,
        },
    )
    id = created["createCustomer"]["customer"]["id"]
    again = await graph.data(
        f"""mutation {{ getOrCreateCustomer(input: {{
          appSlug: "atlas", email: "JANE@example.com", name: "Other"
        }}) {{
          customer {{ id name }} created {ERRORS} }} }}"""
    )
    updated = await graph.data(
        f"""mutation($id: ID!) {{ updateCustomer(input: {{
          id: $id, name: "Jane", externalId: null, metadata: null
        }}) {{
          customer {{ email name externalId metadata }} {ERRORS} }} }}""",
        id=id,
    )
    await graph.data(
        "mutation($id: ID!) { createLicense(input: {customerId: $id, forever: true}) { license { id } } }",
        id=id,
    )
    deleted = await graph.data(
        f"""mutation($id: ID!) {{ deleteCustomer(input: {{id: $id}}) {{
          deletedCustomerId deletedLicenseCount {ERRORS} }} }}""",
        id=id,
    )

    assert created["createCustomer"] == {
        "customer": {
            "id": id,
            "email": "Jane@EXAMPLE.com",
            "name": None,
            "externalId": "x-1",
            "metadata": metadata,
            "app": {"slug": "atlas"},
        },
        "userErrors": [],
    }
    assert again["getOrCreateCustomer"] == {
        "customer": {"id": id, "name": None},
        "created": False,
        "userErrors": [],
    }
    assert updated["updateCustomer"] == {
        "customer": {"email": "Jane@EXAMPLE.com", "name": "Jane", "externalId": None, "metadata": {}},
        "userErrors": [],
    }
    assert deleted["deleteCustomer"] == {"deletedCustomerId": id, "deletedLicenseCount": 1, "userErrors": []}


async def test_a_license_s_life(graph: Graph, database: Database, account: Account) -> None:
    customer = await make_customer(database, await make_app(database, account))
    installation = "8F14E45F-CEEA-467F-A3B5-2D1B6F0C9E11"
    fields = f"license {{ id installationId status expiresAt }} {ERRORS}"

    created = await graph.data(
        f"""mutation($c: ID!, $i: UUID) {{ createLicense(input: {{
          customerId: $c, installationId: $i, expiresAt: "2999-01-01T01:00:00.9+01:00"
        }}) {{ {fields} }} }}""",
        c=customer.id,
        i=installation,
    )
    license = created["createLicense"]["license"]
    on_id = f"mutation($id: ID!) {{ a: %s(input: {{id: $id}}) {{ {fields} }} }}"
    revoked = await graph.data(on_id % "revokeLicense", id=license["id"])
    reinstated = await graph.data(on_id % "reinstateLicense", id=license["id"])
    wrong = await graph.data(on_id % "reinstateLicense", id=license["id"])
    deleted = await graph.data(
        f"mutation($id: ID!) {{ a: deleteLicense(input: {{id: $id}}) {{ deletedLicenseId {ERRORS} }} }}",
        id=license["id"],
    )

    assert license == {
        "id": license["id"],
        "installationId": installation.lower(),
        "status": "ACTIVE",
        "expiresAt": "2999-01-01T00:00:00Z",
    }
    assert revoked["a"] == {"license": {**license, "status": "REVOKED"}, "userErrors": []}
    assert reinstated["a"] == {"license": license, "userErrors": []}
    assert wrong["a"] == {
        "license": None,
        "userErrors": [{"code": "WRONG_STATE", "message": "is not revoked", "field": ["id"]}],
    }
    assert deleted["a"] == {"deletedLicenseId": license["id"], "userErrors": []}


async def test_all_errors_are_reported_together_and_nothing_is_written(
    graph: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")

    data = await graph.data(
        """mutation($input: CreateCustomerInput!) { createCustomer(input: $input) {
          customer { id } userErrors { code field } } }""",
        input={
            "appSlug": "atlas",
            "email": "nonsense",
            "name": "x" * 256,
            "externalId": "a\x00b",
            "metadata": {"ok": 1, "plan": {"a": {"b": {"c": {}}}}, "": 1},
        },
    )

    assert data["createCustomer"] == {
        "customer": None,
        "userErrors": [
            {"code": "INVALID", "field": ["email"]},
            {"code": "TOO_LONG", "field": ["name"]},
            {"code": "INVALID", "field": ["externalId"]},
            {"code": "INVALID", "field": ["metadata", "plan"]},
            {"code": "INVALID", "field": ["metadata", ""]},
        ],
    }
    assert (await graph.data('{ app(slug: "atlas") { customers { totalCount } } }'))["app"]["customers"][
        "totalCount"
    ] == 0


@pytest.mark.parametrize(
    ("term", "field"),
    [
        ({}, None),
        ({"forever": False}, None),
        ({"forever": True, "durationDays": 1}, None),
        ({"durationDays": 1, "expiresAt": "2999-01-01T00:00:00Z"}, None),
        ({"durationDays": 0}, ["durationDays"]),
        ({"durationDays": 36_501}, ["durationDays"]),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, ["expiresAt"]),
    ],
)
async def test_exactly_one_field_says_how_long_a_license_lasts(
    graph: Graph, database: Database, account: Account, term: dict[str, Any], field: list[str] | None
) -> None:
    customer = await make_customer(database, await make_app(database, account))

    data = await graph.data(
        """mutation($input: CreateLicenseInput!) { createLicense(input: $input) {
          license { id } userErrors { code field } } }""",
        input={"customerId": customer.id, **term},
    )

    assert data["createLicense"] == {"license": None, "userErrors": [{"code": "INVALID", "field": field}]}


async def test_a_second_active_license_is_refused_as_taken(
    graph: Graph, database: Database, account: Account
) -> None:
    customer = await make_customer(database, await make_app(database, account))
    license = await make_license(database, customer)

    data = await graph.data(
        """mutation($c: ID!, $i: UUID) {
          createLicense(input: {customerId: $c, installationId: $i, forever: true}) {
            userErrors { code field }
          }
        }""",
        c=customer.id,
        i=license.installation_id,
    )

    assert data["createLicense"]["userErrors"] == [{"code": "TAKEN", "field": ["installationId"]}]


async def test_each_field_is_a_transaction_and_they_run_in_document_order(
    graph: Graph, database: Database, account: Account
) -> None:
    data = await graph.data(
        """mutation {
          a: createApp(input: {name: "A", slug: "a"}) { app { slug } userErrors { code } }
          b: createApp(input: {name: "B", slug: "a"}) { app { slug } userErrors { code } }
          c: createCustomer(input: {appSlug: "a", email: "x@y.de"}) {
            customer { app { customers { totalCount } } }
          }
          d: deleteApp(input: {slug: "a"}) { __typename deletedCustomerCount }
        }"""
    )

    assert data == {
        "a": {"app": {"slug": "a"}, "userErrors": []},
        "b": {"app": None, "userErrors": [{"code": "TAKEN"}]},
        "c": {"customer": {"app": {"customers": {"totalCount": 1}}}},
        "d": {"__typename": "DeleteAppPayload", "deletedCustomerCount": 1},
    }


async def test_payload_objects_may_be_selected_twice_and_with_arguments(graph: Graph) -> None:
    data = await graph.data(
        """mutation($none: Boolean = false) { createApp(input: {name: "A", slug: "a"}) {
          one: app { slug ... @include(if: $none) { name } }
          two: app { customers(first: 1) { nodes { id } pageInfo { hasNextPage } } }
          ...P
        } }
        fragment P on CreateAppPayload { two: app { __typename } }"""
    )

    assert data["createApp"] == {
        "one": {"slug": "a"},
        "two": {"customers": {"nodes": [], "pageInfo": {"hasNextPage": False}}, "__typename": "App"},
    }


async def test_get_or_create_may_select_its_customer_several_times(
    graph: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")
    mutation = """mutation($more: Boolean!, $first: Int!) {
      a: getOrCreateCustomer(input: {appSlug: "atlas", email: "ada@example.com", name: "Ada"}) {
        created one: customer { email ... @include(if: $more) { name } }
        two: customer { licenses(first: $first) { totalCount nodes { id } } }
        three: customer { licenses(first: 1) { nodes { id } } ...F }
      }
      b: getOrCreateCustomer(input: {appSlug: "atlas", email: "Ada@example.com", name: "Other"}) {
        created customer { ...F } ... @skip(if: $more) { customer { email } }
      }
    }
    fragment F on Customer { name app { customers { totalCount } } }"""

    new = await graph.data(mutation, more=True, first=2)
    id = (await graph.data('{ app(slug: "atlas") { customer(by: {email: "ada@example.com"}) { id } } }'))[
        "app"
    ]["customer"]["id"]
    issue = """mutation($id: ID!) {
      createLicense(input: {customerId: $id, forever: true}) { license { id } } }"""
    licenses = [(await graph.data(issue, id=id))["createLicense"]["license"] for _ in range(3)]
    there = await graph.data(mutation, more=False, first=2)

    shared = {"name": "Ada", "app": {"customers": {"totalCount": 1}}}
    assert new == {
        "a": {
            "created": True,
            "one": {"email": "ada@example.com", "name": "Ada"},
            "two": {"licenses": {"totalCount": 0, "nodes": []}},
            "three": {"licenses": {"nodes": []}, **shared},
        },
        "b": {"created": False, "customer": shared},
    }
    assert there == {
        "a": {
            "created": False,
            "one": {"email": "ada@example.com"},
            "two": {"licenses": {"totalCount": 3, "nodes": licenses[:0:-1]}},
            "three": {"licenses": {"nodes": licenses[:1:-1]}, **shared},
        },
        "b": {"created": False, "customer": {**shared, "email": "ada@example.com"}},
    }


async def test_an_empty_id_or_slug_is_blank(graph: Graph) -> None:
    data = await graph.data(
        """mutation {
          a: updateApp(input: {slug: ""}) { userErrors { code field } }
          b: deleteApp(input: {slug: ""}) { userErrors { code field } }
          c: createCustomer(input: {appSlug: "", email: "a@b.de"}) { userErrors { code field } }
          d: updateCustomer(input: {id: ""}) { userErrors { code field } }
          e: createLicense(input: {customerId: "", forever: true}) { userErrors { code field } }
          f: revokeLicense(input: {id: ""}) { userErrors { code field } }
          g: deleteLicense(input: {id: ""}) { userErrors { code field } }
        }"""
    )

    fields = {"a": "slug", "b": "slug", "c": "appSlug", "e": "customerId"}
    assert data == {
        key: {"userErrors": [{"code": "BLANK", "field": [fields.get(key, "id")]}]} for key in "abcdefg"
    }
