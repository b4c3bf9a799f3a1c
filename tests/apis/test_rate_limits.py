"""Limits, on both APIs: what counts, what a request over a limit gets, and how the limits are reported."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from db.engine import Database
from tests.factories import Account, make_app, make_key
from tests.keyrings import SETTINGS
from tests.statements import Statements

VERIFY = "/api/v1/apps/nowhere/licenses/verify"
VERIFIED = 'verifyLicense(appSlug: "nowhere", by: {jti: "x"}) { valid }'
BATCH = 'verifyLicenses(appSlug: "nowhere", by: {jtis: ["x"]}) { valid }'


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "budget_burst": 1_000, "budget_per_second": 10}


@dataclass(frozen=True)
class Vendor:
    secret: str


@pytest.fixture
async def vendor(database: Database, account: Account) -> Vendor:
    """A vendor with the app atlas-studio, and a secret key."""
    await make_app(database, account, slug="atlas-studio")
    return Vendor(await make_key(database, account))


def from_address(address: str) -> dict[str, str]:
    """Return the header that a trusted proxy would set."""
    return {"X-Forwarded-For": address}


async def graph(client: httpx.AsyncClient, query: str, **headers: str) -> httpx.Response:
    return await client.post("/graphql", json={"query": query}, headers=headers)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def assert_limited(response: httpx.Response) -> None:
    assert response.status_code == 429, response.text
    assert 1 <= int(response.headers["retry-after"]) <= 60
    body = response.json()
    if "errors" in body:
        assert [error["extensions"]["code"] for error in body["errors"]] == ["RATE_LIMITED"]
        assert "data" not in body
    else:
        assert body["error"]["code"] == "rate_limited"


async def test_the_101st_verification_within_a_minute_is_refused(client: httpx.AsyncClient) -> None:
    for number in range(100):
        response = await client.get(VERIFY, params={"jti": "x"})
        assert response.status_code == 404
        assert response.headers["x-ratelimit-limit"] == "100"
        assert response.headers["x-ratelimit-remaining"] == str(99 - number)

    refused = await client.get(VERIFY, params={"jti": "x"})
    assert_limited(refused)
    assert refused.headers["x-ratelimit-remaining"] == "0"
    assert_limited(await graph(client, f"{{ {VERIFIED} }}"))
    # Other addresses, and batches, have counters of their own.
    other = await client.get(VERIFY, params={"jti": "x"}, headers=from_address("203.0.113.7"))
    assert other.status_code == 404
    assert (await graph(client, f"{{ {BATCH} }}")).status_code == 200


async def test_each_alias_counts_and_a_document_runs_as_a_whole_or_not_at_all(
    client: httpx.AsyncClient, app: Starlette, statements: Statements
) -> None:
    document = "{ " + " ".join(f"a{number}: {VERIFIED}" for number in range(10)) + " }"
    for _ in range(9):
        assert (await graph(client, document)).status_code == 200
    assert (await graph(client, f"{{ {VERIFIED} }}")).status_code == 200

    with statements.recorded(app.state.database) as sent:
        for media_type in ("application/json", "application/graphql-response+json"):
            response = await graph(client, document, Accept=media_type)
            assert_limited(response)
            assert "counts as 10" in response.json()["errors"][0]["message"]
    assert sent == []

    # What was refused does not count: nine more fit.
    nine = "{ " + " ".join(f"a{number}: {VERIFIED}" for number in range(9)) + " }"
    assert (await graph(client, nine)).status_code == 200
    assert_limited(await graph(client, f"{{ {VERIFIED} }}"))


async def test_batches_have_a_limit_of_their_own(client: httpx.AsyncClient) -> None:
    ten = "{ " + " ".join(f"a{number}: {BATCH}" for number in range(10)) + " }"
    assert (await graph(client, ten)).status_code == 200
    for _ in range(10):
        response = await client.post(f"{VERIFY}/batch", json={"jtis": ["x"]})
        assert response.status_code == 404
        assert response.headers["x-ratelimit-limit"] == "20"

    assert_limited(await client.post(f"{VERIFY}/batch", json={"jtis": ["x"]}))
    assert_limited(await graph(client, f"{{ {BATCH} }}"))


async def test_renewals_by_token_have_a_limit_of_their_own(client: httpx.AsyncClient) -> None:
    token = 'mutation { regenerateLicense(input: {currentToken: "x"}) { license { id } } }'
    path = "/api/v1/apps/nowhere/licenses/x/regenerate"
    for _ in range(10):
        assert (await graph(client, token)).status_code == 200
        assert (await client.post(path, json={"current_token": "x"})).status_code == 401

    assert_limited(await graph(client, token))
    assert_limited(await client.post(path, json={"current_token": "x"}))
    assert (await client.post(path, json={})).status_code == 401  # without a token, a key is needed


async def test_ipv6_addresses_count_by_their_64_network(client: httpx.AsyncClient) -> None:
    for number in range(100):
        here = from_address(f"2001:db8:1:2::{number:x}")
        assert (await client.get(VERIFY, params={"jti": "x"}, headers=here)).status_code == 404

    assert_limited(
        await client.get(VERIFY, params={"jti": "x"}, headers=from_address("2001:db8:1:2:ffff::1"))
    )
    other = await client.get(VERIFY, params={"jti": "x"}, headers=from_address("2001:db8:1:3::1"))
    assert other.status_code == 404


async def test_after_60_refused_keys_the_database_is_not_asked(
    client: httpx.AsyncClient, app: Starlette, vendor: Vendor, statements: Statements
) -> None:
    for number in range(60):
        refused = await graph(client, "{ __typename }", **bearer(f"sk_live_{number:032}"))
        assert refused.status_code == 401

    with statements.recorded(app.state.database) as sent:
        assert_limited(await graph(client, "{ __typename }", **bearer(f"sk_live_{99:032}")))
        assert_limited(await client.get("/api/v1/apps", headers=bearer(f"sk_live_{99:032}")))
        assert_limited(await client.get("/api/v1/apps", headers={"Authorization": "Basic x"}))
    assert sent == []
    assert sent.authentications == []

    elsewhere = from_address("203.0.113.7")
    assert (await client.get("/api/v1/apps", headers=bearer(vendor.secret) | elsewhere)).status_code == 200
    # A key that the server has just accepted is not a guess, so it works from the limited address, too.
    assert (await client.get("/api/v1/apps", headers=bearer(vendor.secret))).status_code == 200


async def test_good_keys_do_not_count_as_refused_keys(
    client: httpx.AsyncClient, database: Database, account: Account
) -> None:
    for _ in range(70):
        key = await make_key(database, account)
        assert (await client.get("/api/v1/apps", headers=bearer(key))).status_code == 200


class TestRequestsOfOneKey:
    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return {**SETTINGS, "rate_limit_per_minute": 3}

    async def test_requests_to_rest_are_limited_by_key(
        self, client: httpx.AsyncClient, database: Database, account: Account
    ) -> None:
        key, other = [await make_key(database, account) for _ in range(2)]
        for remaining in ("2", "1", "0"):
            response = await client.get("/api/v1/apps", headers=bearer(key))
            assert response.status_code == 200
            assert response.headers["x-ratelimit-limit"] == "3"
            assert response.headers["x-ratelimit-remaining"] == remaining
            assert re.fullmatch("[0-9]{10}", response.headers["x-ratelimit-reset"])

        refused = await client.get("/api/v1/apps", headers=bearer(key))
        assert_limited(refused)
        assert refused.headers["x-ratelimit-remaining"] == "0"
        assert (await client.get("/api/v1/apps", headers=bearer(other))).status_code == 200
        # Requests to the graph are limited by points instead.
        answer = await graph(client, "{ apps { totalCount } }", **bearer(key))
        assert answer.status_code == 200
        assert "x-ratelimit-limit" not in answer.headers


async def test_points_are_reported_and_what_was_not_needed_is_returned(
    client: httpx.AsyncClient, vendor: Vendor
) -> None:
    by_graph = await graph(client, "{ apps(first: 100) { nodes { slug } } }", **bearer(vendor.secret))
    data = by_graph.text[len('{"data":') : by_graph.text.index(',"extensions"')]
    actual = 1 + -(-len(data) // 128)
    cost = by_graph.json()["extensions"]["cost"]
    assert cost == {
        "requested": 100,
        "maximum": 1_000,
        "actual": actual,
        "available": 1_000 - actual,
        "restoreRate": 10,
    }
    assert by_graph.headers["ratelimit-policy"] == '"points";q=1000;w=100;qu="points"'
    assert by_graph.headers["ratelimit"] == f'"points";r={1_000 - actual};t=1'

    by_rest = await client.get("/api/v1/apps", params={"per_page": 100}, headers=bearer(vendor.secret))
    left = 1_000 - actual - (1 + -(-len(by_rest.content) // 128))
    assert by_rest.headers["ratelimit-policy"] == '"points";q=1000;w=100;qu="points"'
    assert by_rest.headers["ratelimit"] == f'"points";r={left};t={-(-(1_000 - left) // 10)}'


async def test_actual_is_never_more_than_what_was_requested(
    client: httpx.AsyncClient, vendor: Vendor
) -> None:
    answer = await graph(client, '{ app(slug: "atlas-studio") { publicKeyPem } }', **bearer(vendor.secret))

    assert answer.json()["extensions"]["cost"]["requested"] == 1
    assert answer.json()["extensions"]["cost"]["actual"] == 1


async def test_a_request_that_costs_more_than_is_left_is_not_executed(
    client: httpx.AsyncClient, app: Starlette, vendor: Vendor, statements: Statements
) -> None:
    key = await spent(client, app, vendor, left=50)
    query = "{ apps(first: 71) { nodes { id } } }"

    with statements.recorded(app.state.database) as sent:
        refused = await graph(client, query, **bearer(key))
        assert_limited(refused)
        assert refused.headers["retry-after"] == "3"
        assert refused.json()["extensions"]["cost"]["requested"] == 71
        assert refused.json()["extensions"]["cost"]["available"] == 50
        by_rest = await client.get("/api/v1/apps", params={"per_page": 71}, headers=bearer(key))
        assert_limited(by_rest)
        assert by_rest.headers["ratelimit"].startswith('"points";r=50;')
    assert sent == []

    assert (await graph(client, "{ apps(first: 40) { nodes { id } } }", **bearer(key))).status_code == 200


async def spent(client: httpx.AsyncClient, app: Starlette, vendor: Vendor, *, left: int) -> str:
    """Leave this number of points in the budget of the vendor's key, and return the key."""
    if not app.state.limits.budgets():
        assert (await graph(client, "{ __typename }", **bearer(vendor.secret))).status_code == 200
    (budget,) = app.state.limits.budgets()
    budget.take(budget.available_now() - left)
    return vendor.secret


async def test_cost_only_returns_the_cost_and_executes_nothing(
    client: httpx.AsyncClient, app: Starlette, vendor: Vendor, statements: Statements
) -> None:
    await graph(client, "{ __typename }", **bearer(vendor.secret))
    query = "{ apps(first: 100) { nodes { customers(first: 100) { nodes { id } } } } }"
    body = {"query": query, "extensions": {"costOnly": True}}

    with statements.recorded(app.state.database) as sent:
        response = await client.post("/graphql", json=body, headers=bearer(vendor.secret))

    assert response.status_code == 200
    assert response.json() == {
        "data": None,
        "extensions": {
            "cost": {
                "requested": 10_100,
                "maximum": 1_000,
                "actual": 0,
                "available": 1_000,
                "restoreRate": 10,
            }
        },
    }
    assert sent == []


async def test_cost_only_must_be_true_or_false(client: httpx.AsyncClient, vendor: Vendor) -> None:
    body = {"query": "{ __typename }", "extensions": {"costOnly": "yes"}}
    response = await client.post("/graphql", json=body, headers=bearer(vendor.secret))

    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert "extensions.costOnly" in response.json()["errors"][0]["message"]


async def test_without_a_key_there_is_no_budget_of_points(client: httpx.AsyncClient) -> None:
    response = await graph(client, f"{{ {VERIFIED} }}")

    assert response.json()["extensions"]["cost"] == {
        "requested": 1,
        "maximum": 1_000,
        "actual": 1,
        "available": None,
        "restoreRate": None,
    }
    assert "ratelimit" not in response.headers


async def test_the_budget_of_the_viewer(client: httpx.AsyncClient, vendor: Vendor) -> None:
    query = "{ viewer { __typename budget { __typename capacity left: available restoreRate } } }"
    answer = await graph(client, query, **bearer(vendor.secret))

    assert answer.json()["data"] == {
        "viewer": {
            "__typename": "Viewer",
            "budget": {"__typename": "Budget", "capacity": 1_000, "left": 998, "restoreRate": 10},
        }
    }
    assert answer.json()["extensions"]["cost"]["requested"] == 2


class TestLimitsThatAreOff:
    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        off = ["rate", "verify", "batch", "renewal", "refused"]
        return {
            **SETTINGS,
            **{f"{name}_limit_per_minute": 0 for name in off},
            "budget_burst": 0,
        }

    async def test_nothing_is_limited_or_reported(self, client: httpx.AsyncClient, vendor: Vendor) -> None:
        for _ in range(101):
            response = await client.get(VERIFY, params={"jti": "x"})
            assert response.status_code == 404
        assert "x-ratelimit-limit" not in response.headers
        for number in range(61):
            refused = await graph(client, "{ __typename }", **bearer(f"sk_live_{number:032}"))
            assert refused.status_code == 401

        answer = await graph(
            client, "{ viewer { budget { capacity available restoreRate } } }", **bearer(vendor.secret)
        )
        assert answer.json()["data"]["viewer"]["budget"] == {"capacity": 0, "available": 0, "restoreRate": 0}
        assert answer.json()["extensions"]["cost"] == {
            "requested": 2,
            "maximum": 20_000,
            "actual": 2,
            "available": None,
            "restoreRate": None,
        }
        assert "ratelimit" not in answer.headers


# Calls of REST, each with an operation of the graph that costs the same number of points.
APP = "id name slug description webhookUrl publicKeyPem createdAt"
CUSTOMER = "id email name externalId metadata createdAt"
TIER = "id name slug position features { slug } createdAt"
FEATURE = "id name slug description createdAt"
UNTOKENED = """id installationId status tier { id slug } features expiresAt createdAt customer { id } jti
               revokedAt metadata"""
LICENSE = f"token {UNTOKENED}"
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
IN_APP = 'app(slug: "atlas-studio")'
PAGE = "totalCount nodes"
MUTATED = {
    ("POST", "/apps"): f'createApp(input: {{name: "a", slug: "b"}}) {{ app {{ {APP} }} }}',
    ("PATCH", "/apps/atlas-studio"): f'updateApp(input: {{slug: "x"}}) {{ app {{ {APP} }} }}',
    ("DELETE", "/apps/x"): 'deleteApp(input: {slug: "x"}) { deletedAppId }',
    ("POST", "/apps/x/rotate-keys"): 'rotateAppKeys(input: {appSlug: "x"}) { app { publicKeyPem } }',
    ("POST", "/apps/atlas-studio/customers"): (
        f'createCustomer(input: {{appSlug: "x", email: "a@b.example"}}) {{ customer {{ {CUSTOMER} }} }}'
    ),
    ("DELETE", "/apps/atlas-studio/customers/x"): 'deleteCustomer(input: {id: "x"}) { deletedCustomerId }',
    ("POST", "/apps/atlas-studio/tiers"): (
        f'createTier(input: {{appSlug: "x", name: "a", slug: "b"}}) {{ tier {{ {TIER} }} }}'
    ),
    (
        "PATCH",
        "/apps/atlas-studio/features/x",
    ): f'updateFeature(input: {{id: "x"}}) {{ feature {{ {FEATURE} }} }}',
    ("POST", "/apps/atlas-studio/licenses/x/regenerate"): (
        f'regenerateLicense(input: {{id: "x"}}) {{ license {{ {LICENSE} }} }}'
    ),
    ("POST", "/apps/atlas-studio/licenses/x/revoke"): (
        f'revokeLicense(input: {{id: "x"}}) {{ license {{ {UNTOKENED} }} }}'
    ),
}
READ = {
    ("GET", "/apps?per_page=7"): f"apps(first: 7) {{ {PAGE} {{ {APP} }} }}",
    ("GET", "/apps/atlas-studio"): f"{IN_APP} {{ {APP} }}",
    ("GET", "/apps/atlas-studio/public-key"): f"{IN_APP} {{ publicKeyPem }}",
    ("GET", "/apps/atlas-studio/customers"): f"{IN_APP} {{ customers {{ {PAGE} {{ {CUSTOMER} }} }} }}",
    ("GET", "/apps/atlas-studio/customers?email=an"): (
        f'{IN_APP} {{ customers(filter: {{email: "an"}}) {{ {PAGE} {{ {CUSTOMER} }} }} }}'
    ),
    ("GET", "/apps/atlas-studio/customers/by-email?email=a@b.example"): (
        f'{IN_APP} {{ customer(by: {{email: "a@b.example"}}) {{ {CUSTOMER} }} }}'
    ),
    ("GET", "/apps/atlas-studio/tiers"): f"{IN_APP} {{ tiers {{ {PAGE} {{ {TIER} }} }} }}",
    ("GET", "/apps/atlas-studio/features?per_page=3"): (
        f"{IN_APP} {{ features(first: 3) {{ {PAGE} {{ {FEATURE} }} }} }}"
    ),
    ("GET", "/apps/atlas-studio/licenses?status=active&per_page=50"): (
        f"{IN_APP} {{ licenses(first: 50, filter: {{status: ACTIVE}}) {{ {PAGE} {{ {UNTOKENED} }} }} }}"
    ),
    (
        "GET",
        "/apps/atlas-studio/licenses/x",
    ): f'{IN_APP} {{ license(by: {{installationId: "{INSTALLATION}"}}) {{ {LICENSE} }} }}',
    ("GET", "/apps/atlas-studio/licenses/verify?jti=x"): VERIFIED,
}


class TestWhatRestCosts:
    @pytest.fixture
    def settings(self) -> Mapping[str, Any]:
        return {**SETTINGS, "budget_burst": 100_000, "budget_per_second": 1}

    @pytest.mark.parametrize(
        ("call", "field"),
        [(call, f"{{ {field} }}") for call, field in READ.items()]
        + [(call, f"mutation {{ {field} }}") for call, field in MUTATED.items()],
        ids=[" ".join(call) for call in (*READ, *MUTATED)],
    )
    async def test_a_call_costs_as_much_as_its_equivalent_in_the_graph(
        self, client: httpx.AsyncClient, app: Starlette, vendor: Vendor, call: tuple[str, str], field: str
    ) -> None:
        asked = {"query": field, "extensions": {"costOnly": True}}
        answer = await client.post("/graphql", json=asked, headers=bearer(vendor.secret))
        assert "errors" not in answer.json(), answer.text
        cost = answer.json()["extensions"]["cost"]["requested"]
        (method, path), headers = call, bearer(vendor.secret)
        body: object = None if method in {"GET", "DELETE"} else {}

        await spent(client, app, vendor, left=cost - 1)
        assert_limited(await client.request(method, f"/api/v1{path}", headers=headers, json=body))
        await spent(client, app, vendor, left=cost)
        passed = await client.request(method, f"/api/v1{path}", headers=headers, json=body)
        assert passed.status_code != 429


async def test_a_batch_costs_one_point_for_each_license(
    client: httpx.AsyncClient, app: Starlette, vendor: Vendor
) -> None:
    path = "/api/v1/apps/atlas-studio/licenses/verify/batch"
    body = {"jtis": [f"lic_{number}" for number in range(10)]}
    await spent(client, app, vendor, left=9)
    assert_limited(await client.post(path, json=body, headers=bearer(vendor.secret)))
    await spent(client, app, vendor, left=10)
    assert (await client.post(path, json=body, headers=bearer(vendor.secret))).status_code == 200
