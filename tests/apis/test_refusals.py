"""Both APIs refuse the same requests, with errors that correspond to each other."""

from collections.abc import AsyncIterator

import httpx
import pytest

from db.apps import apps
from db.customers import customers
from db.engine import Database
from server import create_app
from settings import Settings
from tests.apis.both import (
    BY_GRAPH,
    BY_REST,
    CREATE,
    CREATE_APP,
    DELETE,
    DELETE_APP,
    GET_OR_CREATE,
    UPDATE,
    UPDATE_APP,
    BothApis,
    Values,
    as_input,
    translated,
)
from tests.factories import Account, make_key
from tests.keyrings import SETTINGS
from tests.rest.expecting import error, stored


async def test_an_app_is_not_created_if_its_key_would_wait_too_long_and_may_be_retried(
    apis: BothApis, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.keyring.KEYS_WAITING", 0)
    before = await stored(database, apps)

    there = await apis.client.post("/api/v1/apps", json={"name": "New", "slug": "new"})
    here = await apis.client.post(
        "/graphql",
        json={"query": 'mutation { createApp(input: {name: "New", slug: "new"}) { userErrors { code } } }'},
    )

    message = "Too many signing keys are being made. Try again later."
    assert error(there) == (503, "unavailable", None)
    assert there.json()["error"]["message"] == message
    assert here.status_code == 503
    (refusal,) = here.json()["errors"]
    assert (refusal["message"], refusal["extensions"]) == (message, {"code": "UNAVAILABLE"})
    assert there.headers["retry-after"] == here.headers["retry-after"] == "1"
    assert await stored(database, apps) == before


async def test_faults_of_a_customer_are_user_errors_in_graphql_and_details_in_rest(
    apis: BothApis, database: Database
) -> None:
    for slug in (BY_REST, BY_GRAPH):
        await apis.rest(
            "POST", f"/apps/{slug}/customers", {"email": "taken@example.com", "external_id": "crm-1"}
        )
    before = await stored(database, customers)
    bodies: list[Values] = [
        {"email": ""},
        {"email": " "},
        {"email": "jane"},
        {"email": "x" * 255},
        {"email": "a\x00@example.com"},
        {"email": "jane@example.com", "name": "x" * 256, "external_id": "x" * 256},
        {"email": "jane@example.com", "name": "\x00", "external_id": "\x00"},
        {"email": "jane@example.com", "metadata": {"a": {"b": {"c": {"d": {}}}}, "x" * 65: 1}},
        {"email": "jane@example.com", "metadata": {str(n): n for n in range(51)}},
        {"email": "jane@example.com", "metadata": {"a": "x" * 17_000}},
        {
            "email": "jane",
            "name": "x" * 256,
            "external_id": "x" * 256,
            "metadata": {"a": "\x00", "b": "\x00"},
        },
        {"email": "TAKEN@example.com"},
        {"email": "new@example.com", "external_id": "crm-1"},
        {"email": "TAKEN@example.com", "external_id": "crm-1"},
        {"email": "taken", "external_id": "crm-1"},
    ]
    seen = set()
    for body in bodies:
        created = error(await apis.rest("POST", f"/apps/{BY_REST}/customers", body))
        outcome = await apis.mutate(CREATE, appSlug=BY_GRAPH, **as_input(body))
        assert outcome["customer"] is None
        assert created == translated(outcome["userErrors"]), body
        seen |= {each["code"] for each in outcome["userErrors"]}

        found = await apis.rest("POST", f"/apps/{BY_REST}/customers/get-or-create", body)
        outcome = await apis.mutate(GET_OR_CREATE, appSlug=BY_GRAPH, **as_input(body))
        if outcome["userErrors"]:
            assert error(found) == translated(outcome["userErrors"]), body
        else:
            assert (found.status_code, outcome["created"]) == (200, False), body
    assert seen == {"BLANK", "INVALID", "TOO_LONG", "TAKEN"}
    assert await stored(database, customers) == before


async def test_faults_of_a_changed_customer(apis: BothApis, database: Database) -> None:
    ids = []
    for slug in (BY_REST, BY_GRAPH):
        await apis.rest(
            "POST", f"/apps/{slug}/customers", {"email": "taken@example.com", "external_id": "crm-1"}
        )
        made = await apis.rest("POST", f"/apps/{slug}/customers", {"email": "jane@example.com"})
        ids.append(made.json()["data"]["id"])
    before = await stored(database, customers)
    bodies: list[Values] = [
        {"email": None},
        {"email": ""},
        {"email": "jane", "name": "x" * 256},
        {"email": "taken@example.com"},
        {"email": "taken@example.com", "external_id": "crm-1"},
        {"email": "jane", "external_id": "crm-1"},
    ]
    for body in bodies:
        refused = error(await apis.rest("PATCH", f"/apps/{BY_REST}/customers/{ids[0]}", body))
        outcome = await apis.mutate(UPDATE, id=ids[1], **as_input(body))
        assert outcome["customer"] is None
        assert refused == translated(outcome["userErrors"]), body
    assert await stored(database, customers) == before


async def test_faults_of_an_app(apis: BothApis, database: Database) -> None:
    before = await stored(database, apps)
    bodies: list[Values] = [
        {"name": "", "slug": ""},
        {"name": "x" * 256, "slug": "x" * 64},
        {"name": "New", "slug": "Not A Slug", "description": "x" * 2001, "webhook_url": "nowhere"},
        {"name": "New", "slug": "new", "webhook_url": "http://x.example/"},
        {"name": "New", "slug": BY_REST},
        {"name": "", "slug": BY_REST},
    ]
    for body in bodies:
        refused = error(await apis.rest("POST", "/apps", body))
        outcome = await apis.mutate(CREATE_APP, **as_input(body))
        assert outcome["app"] is None
        assert refused == translated(outcome["userErrors"]), body
    for body in ({"name": None}, {"name": " ", "webhook_url": "nowhere"}, {"description": "\x00"}):
        refused = error(await apis.rest("PUT", f"/apps/{BY_REST}", body))
        outcome = await apis.mutate(UPDATE_APP, slug=BY_GRAPH, **as_input(body))
        assert refused == translated(outcome["userErrors"]), body
    assert await stored(database, apps) == before


async def test_unknown_objects(apis: BothApis) -> None:
    slugs, ids = ("nothing", "Not A Slug"), ("cus_00000000000000000000000000",)
    for slug in slugs:
        body = {"email": "jane@example.com"}
        outcomes = [
            (await apis.rest("POST", f"/apps/{slug}/customers", body), CREATE, {"appSlug": slug, **body}),
            (
                await apis.rest("POST", f"/apps/{slug}/customers/get-or-create", body),
                GET_OR_CREATE,
                {"appSlug": slug, **body},
            ),
            (
                await apis.rest("PUT", f"/apps/{slug}", {"name": "New"}),
                UPDATE_APP,
                {"slug": slug, "name": "New"},
            ),
            (await apis.rest("DELETE", f"/apps/{slug}"), DELETE_APP, {"slug": slug}),
        ]
        for response, mutation, input in outcomes:
            outcome = await apis.mutate(mutation, **input)
            assert error(response) == translated(outcome["userErrors"]) == (404, "not_found", None), input
    for id in ids:
        path = f"/apps/{BY_REST}/customers/{id}"
        changed = await apis.mutate(UPDATE, id=id, name="New")
        deleted = await apis.mutate(DELETE, id=id)
        assert error(await apis.rest("PUT", path, {"name": "New"})) == translated(changed["userErrors"])
        assert error(await apis.rest("DELETE", path)) == translated(deleted["userErrors"])


async def test_invalid_parameters(apis: BothApis) -> None:
    query = f"""query ($filter: CustomerFilter, $first: Int) {{
      app(slug: "{BY_REST}") {{ customers(first: $first, filter: $filter) {{ totalCount }} }} }}"""
    path = f"/apps/{BY_REST}/customers"
    for filter in (
        {"email": "x" * 256},
        {"email": "\x00"},
        {"external_id": "x" * 256},
        {"external_id": "\x00"},
    ):
        assert error(await apis.rest("GET", path, **filter))[:2] == (422, "validation_error")
        assert await apis.graph_refusal(query, filter=as_input(filter)) == "BAD_USER_INPUT"
    for size in (0, -1):
        assert error(await apis.rest("GET", path, per_page=str(size)))[:2] == (422, "validation_error")
        assert await apis.graph_refusal(query, first=size) == "BAD_USER_INPUT"


async def test_requests_without_a_valid_key(apis: BothApis) -> None:
    for header in (None, "Bearer nonsense", "Basic x"):
        if header is None:
            del apis.client.headers["Authorization"]
        else:
            apis.client.headers["Authorization"] = header

        rest = await apis.rest("GET", "/apps")
        graph = await apis.client.post("/graphql", json={"query": "{ apps { totalCount } }"})

        assert error(rest) == (401, "unauthorized", None)
        assert (graph.status_code, graph.json()["errors"][0]["extensions"]["code"]) == (
            401,
            "UNAUTHENTICATED",
        )
        assert rest.headers["www-authenticate"] == graph.headers["www-authenticate"] == "Bearer"


@pytest.fixture
async def closed_doors(
    database_url: str, apis: BothApis, database: Database, account: Account
) -> AsyncIterator[BothApis]:
    """Both APIs, called with a public key that may not read customers."""
    app = create_app(Settings(database_url=database_url, public_keys_read_customers=False, **SETTINGS))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://testserver",
            headers={"Authorization": f"Bearer {await make_key(database, account, kind='public')}"},
        ) as client,
    ):
        yield BothApis(client)


async def test_requests_without_the_scope(closed_doors: BothApis, database: Database) -> None:
    before = await stored(database, apps), await stored(database, customers)
    customers_query = f'{{ app(slug: "{BY_REST}") {{ customers {{ totalCount }} }} }}'
    mutations: list[tuple[str, str, str, Values, Values]] = [
        ("POST", "/apps", CREATE_APP, {"name": "New", "slug": "new"}, {}),
        ("PUT", f"/apps/{BY_REST}", UPDATE_APP, {"name": "New"}, {"slug": BY_REST}),
        ("DELETE", f"/apps/{BY_REST}", DELETE_APP, {}, {"slug": BY_REST}),
        ("POST", f"/apps/{BY_REST}/customers", CREATE, {"email": "a@example.com"}, {"appSlug": BY_REST}),
    ]

    assert (await closed_doors.rest("GET", "/apps")).status_code == 200
    assert len((await closed_doors.graph("{ apps { nodes { id } } }"))["apps"]["nodes"]) == 2
    assert error(await closed_doors.rest("GET", f"/apps/{BY_REST}/customers")) == (403, "forbidden", None)
    assert await closed_doors.graph_refusal(customers_query) == "FORBIDDEN"
    for method, path, mutation, body, address in mutations:
        assert error(await closed_doors.rest(method, path, body)) == (403, "forbidden", None)
        assert await closed_doors.graph_refusal(mutation, input={**body, **address}) == "FORBIDDEN"
    assert (await stored(database, apps), await stored(database, customers)) == before
