"""The two APIs agree on apps and customers.

Writes go to two apps of one account: one app is changed through REST, the other through GraphQL. The
responses and the stored rows must be the same, except for ids and times.
"""

import httpx
import pytest

from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from resolvers.purge import purge
from tests.apis.both import (
    APP,
    BY_GRAPH,
    BY_REST,
    CREATE,
    CREATE_APP,
    CUSTOMER,
    DELETE,
    DELETE_APP,
    GET_OR_CREATE,
    UPDATE,
    UPDATE_APP,
    BothApis,
    Values,
    as_input,
    as_rest,
    chosen,
)
from tests.factories import Account, make_account, make_app, make_customer, make_license
from tests.rest.expecting import error, stored


@pytest.fixture
async def people(apis: BothApis) -> list[Values]:
    """Customers of the app `BY_REST`, oldest first."""
    bodies: list[Values] = [
        {
            "email": "Jane@example.com",
            "name": "Jane",
            "external_id": "crm-1",
            "metadata": {"z": 1, "a": [2.5]},
        },
        {"email": "joe@orbit.example", "name": None, "external_id": "CRM-1"},
        {"email": "50%_off@example.com", "name": "ß 🦊 \"'\\"},
        {"email": "lena+tag@orbit.example", "external_id": "crm 2"},
    ]
    return [(await apis.rest("POST", f"/apps/{BY_REST}/customers", body)).json()["data"] for body in bodies]


async def test_apps(apis: BothApis, database: Database, account: Account) -> None:
    await make_app(database, account, name="Third", description="…", webhook_url="https://x.example/")
    await make_app(database, await make_account(database), name="Foreign")

    listed = await apis.rest("GET", "/apps", per_page="2")
    graph = (await apis.graph(f"{{ apps(first: 2) {{ totalCount nodes {{ {APP} }} }} }}"))["apps"]

    assert listed.json()["data"] == [as_rest(node) for node in graph["nodes"]]
    assert listed.json()["meta"]["total"] == graph["totalCount"] == 3
    for slug in (BY_REST, BY_GRAPH):
        one = (await apis.graph(f"query ($slug: String!) {{ app(slug: $slug) {{ {APP} }} }}", slug=slug))[
            "app"
        ]
        assert await apis.rest_data(f"/apps/{slug}") == as_rest(one)
    for slug in ("nothing", "By-Rest", "", "\x00", "x" * 300):
        one = (await apis.graph(f"query ($slug: String!) {{ app(slug: $slug) {{ {APP} }} }}", slug=slug))[
            "app"
        ]
        assert one is None
        if slug:
            path = httpx.URL(f"/apps/{slug!s}".replace("\x00", "%00"))
            assert error(await apis.rest("GET", str(path))) == (404, "not_found", None), slug


async def test_customers(apis: BothApis, people: list[Values]) -> None:
    query = f"""query ($slug: String!, $filter: CustomerFilter) {{
      app(slug: $slug) {{
        customers(first: 3, filter: $filter) {{ totalCount nodes {{ {CUSTOMER} }} }} }} }}"""
    filters: list[dict[str, str]] = [
        {},
        {"email": "EXAMPLE"},
        {"email": "%"},
        {"email": "_"},
        {"email": ""},
        {"email": "nobody"},
        {"external_id": "crm-1"},
        {"external_id": "crm"},
        {"external_id": "crm 2"},
        {"external_id": ""},
        {"email": "orbit", "external_id": "CRM-1"},
    ]
    for wanted in filters:
        listed = await apis.rest("GET", f"/apps/{BY_REST}/customers", **wanted, per_page="3")
        app = (await apis.graph(query, slug=BY_REST, filter=as_input(wanted)))["app"]

        assert listed.json()["data"] == [as_rest(node) for node in app["customers"]["nodes"]], wanted
        assert listed.json()["meta"]["total"] == app["customers"]["totalCount"], wanted
    assert (await apis.graph(query, slug="nothing"))["app"] is None
    assert (await apis.rest("GET", "/apps/nothing/customers")).status_code == 404


async def test_one_customer(
    apis: BothApis, people: list[Values], database: Database, account: Account
) -> None:
    query = (
        f"""query ($by: CustomerRef!) {{ app(slug: "{BY_REST}") {{ customer(by: $by) {{ {CUSTOMER} }} }} }}"""
    )
    elsewhere = await make_customer(database, await make_app(database, account), email="else@example.com")
    path = f"/apps/{BY_REST}/customers"
    cases = [
        *(({"id": each["id"]}, f"{path}/{each['id']}", {}) for each in people),
        *(({"email": each["email"]}, f"{path}/by-email", {"email": each["email"]}) for each in people),
        ({"email": "JANE@EXAMPLE.COM"}, f"{path}/by-email", {"email": "JANE@EXAMPLE.COM"}),
        ({"externalId": "crm-1"}, f"{path}/by-external-id", {"external_id": "crm-1"}),
        ({"externalId": "CRM-1"}, f"{path}/by-external-id", {"external_id": "CRM-1"}),
        ({"id": elsewhere.id}, f"{path}/{elsewhere.id}", {}),
        ({"email": "else@example.com"}, f"{path}/by-email", {"email": "else@example.com"}),
        ({"email": "jane"}, f"{path}/by-email", {"email": "jane"}),
        ({"externalId": "Crm-1"}, f"{path}/by-external-id", {"external_id": "Crm-1"}),
    ]
    found = 0
    for by, address, params in cases:
        response = await apis.rest("GET", address, **params)
        node = as_rest((await apis.graph(query, by=by))["app"]["customer"])

        found += node is not None
        assert (response.json().get("data"), response.status_code) == (node, 404 if node is None else 200), by
    assert found == 11


async def test_create_customer(apis: BothApis, database: Database) -> None:
    bodies: list[Values] = [
        {"email": "jane@example.com"},
        {
            "email": " Jane.Doe@EXAMPLE.com ",
            "name": "Jane",
            "external_id": "x" * 255,
            "metadata": {"b": 1, "a": {}},
        },
        {"email": "żółw@example.com", "name": "", "external_id": "", "metadata": {}},
        {"email": "joe@example.com", "name": None, "external_id": None, "metadata": None},
        {"email": "big@example.com", "metadata": {"n": 2**70, "f": 1.5, "t": [True, None]}},
    ]
    for body in bodies:
        response = await apis.rest("POST", f"/apps/{BY_REST}/customers", body)
        outcome = await apis.mutate(CREATE, appSlug=BY_GRAPH, **as_input(body))

        assert response.status_code == 201, body
        assert outcome["userErrors"] == [], body
        assert chosen(response.json()["data"]) == chosen(as_rest(outcome["customer"]) or {}), body
    await _stored_alike(database)


async def test_get_or_create_customer(apis: BothApis, database: Database) -> None:
    path = f"/apps/{BY_REST}/customers/get-or-create"

    first = await apis.rest("POST", path, {"email": "jane@example.com", "name": "Jane"})
    again = await apis.mutate(GET_OR_CREATE, appSlug=BY_REST, email="JANE@example.com", name="Other")
    made = await apis.mutate(GET_OR_CREATE, appSlug=BY_REST, email="joe@example.com", name="Joe")
    found = await apis.rest("POST", path, {"email": "Joe@Example.com", "name": "Other"})

    assert (first.status_code, again["created"]) == (201, False)
    assert as_rest(again["customer"]) == first.json()["data"]
    assert (made["created"], found.status_code) == (True, 200)
    assert found.json()["data"] == as_rest(made["customer"])
    assert len(await stored(database, customers)) == 2


async def test_update_customer(apis: BothApis, database: Database) -> None:
    body = {"email": "jane@example.com", "name": "Jane", "external_id": "crm-1", "metadata": {"a": 1}}
    ids = [
        (await apis.rest("POST", f"/apps/{slug}/customers", body)).json()["data"]["id"]
        for slug in (BY_REST, BY_GRAPH)
    ]
    steps: list[Values] = [
        {},
        {"name": "Janet"},
        {"email": "JANE@Example.com"},
        {"name": None},
        {"external_id": None, "metadata": None},
        {"external_id": "crm-2", "metadata": {"b": [1]}},
        {"external_id": "", "name": ""},
    ]
    for step in steps:
        response = await apis.rest("PUT", f"/apps/{BY_REST}/customers/{ids[0]}", step)
        outcome = await apis.mutate(UPDATE, id=ids[1], **as_input(step))

        assert response.status_code == 200, step
        assert outcome["userErrors"] == [], step
        assert chosen(response.json()["data"]) == chosen(as_rest(outcome["customer"]) or {}), step
    await _stored_alike(database)


async def test_delete_customer(apis: BothApis, database: Database, account: Account) -> None:
    app = await make_app(database, account)
    twins = [await make_customer(database, app) for _ in range(2)]
    for twin in twins:
        for _ in range(3):
            await make_license(database, twin)

    response = await apis.rest("DELETE", f"/apps/{app.slug}/customers/{twins[0].id}")
    left = len(await stored(database, licenses))
    outcome = await apis.mutate(DELETE, id=twins[1].id)

    assert (response.status_code, left) == (204, 3)
    assert outcome == {"deletedCustomerId": twins[1].id, "deletedLicenseCount": 3, "userErrors": []}
    assert await stored(database, customers) == await stored(database, licenses) == []


async def test_create_update_and_delete_app(apis: BothApis, database: Database) -> None:
    steps: list[Values] = [
        {"name": "New", "description": "Text", "webhook_url": "https://x.example/hook"},
        {"description": None},
        {"webhook_url": ""},
        {},
    ]
    made = await apis.rest("POST", "/apps", {"name": "Old", "slug": "new-by-rest"})
    outcome = await apis.mutate(CREATE_APP, name="Old", slug="new-by-graph")
    answers = [(made.json()["data"], as_rest(outcome["app"]))]
    for step in steps:
        changed = await apis.rest("PUT", "/apps/new-by-rest", step)
        outcome = await apis.mutate(UPDATE_APP, slug="new-by-graph", **as_input(step))
        answers.append((changed.json()["data"], as_rest(outcome["app"])))
    deleted = await apis.rest("DELETE", "/apps/new-by-rest")
    outcome = await apis.mutate(DELETE_APP, slug="new-by-graph")

    for by_rest, by_graph in answers:
        assert chosen(by_rest) == chosen({**(by_graph or {}), "slug": "new-by-rest"})
    assert deleted.status_code == 204
    assert (outcome["deletedCustomerCount"], outcome["userErrors"]) == (0, [])
    await purge(database)
    assert [row["slug"] for row in await stored(database, apps)] == [BY_REST, BY_GRAPH]


async def _stored_alike(database: Database) -> None:
    """Check that both apps have the same customers, except for ids and times."""
    ids = {row["slug"]: row["id"] for row in await stored(database, apps)}
    held: dict[str, list[Values]] = {slug: [] for slug in ids}
    for row in await stored(database, customers):
        slug = next(slug for slug, id in ids.items() if id == row["app_id"])
        held[slug].append(
            {
                key: value
                for key, value in row.items()
                if key not in {"id", "app_id", "created_at", "updated_at"}
            }
        )
    assert held[BY_REST] == held[BY_GRAPH] != []
