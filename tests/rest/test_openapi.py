"""The OpenAPI document: it says what is served, and what is served is as it says."""

from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from asgi.authentication import Authentication
from db.engine import Database
from resolvers.viewer import Policy, Scope
from rest.app import rest_app
from rest.errors import STATUSES, Code
from rest.openapi import document
from rest.routes import OPERATIONS
from tests.rest.conftest import SLUG, Vendor
from tests.rest.expecting import (
    APP_KEYS,
    CUSTOMER_KEYS,
    FEATURE_KEYS,
    LICENSE_KEYS,
    LICENSE_KEYS_WITHOUT_TOKEN,
    TIER_KEYS,
    VERIFICATION_KEYS,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(document())


async def test_every_route_is_documented_and_every_documented_path_is_routed():
    # Making a database opens nothing.
    database = Database("sqlite:///nothing.db")
    app: Any = rest_app(database, Authentication(database, Policy()), max_body_bytes=0)
    documented = document()["paths"]

    # A method that no path knows tells the paths that are known from those that are not.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client:
        for path in documented:
            for asked in (path, f"{path}/"):
                answer = await client.request("BREW", asked.format(slug="s", id="i"))
                assert answer.status_code == 405, asked
                allowed = {method.upper() for method in documented[path]}
                assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == allowed, asked
            assert (await client.request("BREW", f"{path}x/y")).status_code == 404
    assert {(path, method.upper()) for path, methods in documented.items() for method in methods} == {
        (each.path, method) for each in OPERATIONS for method in each.methods
    }


def test_operations_have_ids_of_their_own_and_a_summary():
    operations = [each for methods in document()["paths"].values() for each in methods.values()]

    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"] for each in operations)


def test_a_key_is_asked_for_wherever_it_is_needed():
    paths = document()["paths"]
    for operation in OPERATIONS:
        for method in operation.methods:
            described = paths[operation.path][method.lower()]
            statuses = set(described["responses"])
            assert bool(described["security"]) == (operation.scope is not None)
            assert ("401" in statuses) == (operation.scope is not None)
            assert ("403" in statuses) == (operation.scope in {Scope.WRITE, Scope.READ_CUSTOMERS})


def test_who_has_a_token_needs_no_key_to_regenerate_and_no_body_has_to_be_sent():
    paths = document()["paths"]
    described = {path.rpartition("/")[2]: each["post"] for path, each in paths.items() if "post" in each}

    assert described["regenerate"]["security"] == [{"key": []}, {}]
    assert {name: described[name]["requestBody"]["required"] for name in ("regenerate", "revoke")} == {
        "regenerate": False,
        "revoke": False,
    }
    assert "requestBody" not in described["rotate-keys"]


def test_bodies_are_described_by_the_models_that_validate():
    described = document()
    create = described["paths"]["/api/v1/apps/{slug}/customers"]["post"]
    schemas = described["components"]["schemas"]

    assert create["requestBody"] == {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/CreateCustomer"}}},
    }
    assert schemas["CreateCustomer"]["required"] == ["email"]
    assert schemas["CreateApp"]["required"] == ["name", "slug"]
    assert "default" not in str(schemas["UpdateCustomer"])


def test_resources_are_described_key_by_key_in_their_order():
    schemas = document()["components"]["schemas"]

    assert list(schemas["Customer"]["properties"]) == schemas["Customer"]["required"] == CUSTOMER_KEYS
    assert list(schemas["App"]["properties"]) == schemas["App"]["required"] == APP_KEYS
    assert list(schemas["Tier"]["properties"]) == schemas["Tier"]["required"] == TIER_KEYS
    assert list(schemas["Feature"]["properties"]) == schemas["Feature"]["required"] == FEATURE_KEYS
    assert list(schemas["License"]["properties"]) == LICENSE_KEYS
    assert schemas["License"]["required"] == LICENSE_KEYS_WITHOUT_TOKEN
    assert list(schemas["VerifiedLicense"]["properties"]) == VERIFICATION_KEYS


def test_every_error_code_is_described():
    described = document()["components"]

    assert set(described["responses"]) == set(STATUSES) == set(Code)
    assert set(described["schemas"]["Code"]["enum"]) == set(Code)


async def _made(api: httpx.AsyncClient, path: str) -> str:
    """The id of an object of the noun that a path names, made if the app has none."""
    of_app = f"/apps/{SLUG}"
    slug = {"slug": "team", "name": "Team"}
    found = await api.get(f"{of_app}/{path.split('/')[5]}")
    if found.json()["data"]:
        return str(found.json()["data"][0]["id"])
    made: httpx.Response
    match path.split("/")[5]:
        case "tiers" | "features" as noun:
            made = await api.post(f"{of_app}/{noun}", json=slug)
        case "licenses":
            body = {
                "installation_id": "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11",
                "customer_id": await _made(api, path.replace("licenses", "customers")),
                "tier_id": await _made(api, path.replace("licenses", "tiers")),
                "forever": True,
            }
            made = await api.post(f"{of_app}/licenses", json=body)
        case _:
            made = await api.post(f"{of_app}/customers", json={"email": "lena@orbit.example"})
    return str(made.json()["data"]["id"])


@given(
    case=st.one_of(SCHEMA.as_strategy(GenerationMode.POSITIVE), SCHEMA.as_strategy(GenerationMode.NEGATIVE)),
    known=st.sampled_from([True, True, True, True, False]),
)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
async def test_what_is_served_is_as_it_is_described(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, case: Case, known: bool
):
    if known and "slug" in case.path_parameters:
        case.path_parameters["slug"] = SLUG
        app = {"name": "Atlas Studio", "slug": SLUG, "signing_algorithm": "EdDSA"}
        await api.post("/apps", json=app)
    if known and "id" in case.path_parameters:
        case.path_parameters["id"] = await _made(api, case.path)
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()

    response = await api.request(
        sent.method,
        sent.url,
        headers={**sent.headers, "Authorization": api.headers["Authorization"]},
        content=sent.body,
    )

    case.validate_response(response, checks=CHECKS)
