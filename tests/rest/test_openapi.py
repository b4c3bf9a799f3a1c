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
from starlette.routing import Route

from asgi.authentication import Authentication
from db.engine import Database
from resolvers.viewer import Policy, Scope
from rest.app import rest_app
from rest.customers import Customer
from rest.errors import STATUSES, Code
from rest.openapi import document
from rest.routes import OPERATIONS
from tests.rest.conftest import SLUG, Vendor
from tests.rest.expecting import APP_KEYS, CUSTOMER_KEYS

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(document())


def test_every_route_is_documented_and_every_documented_path_is_routed():
    # Making a database opens nothing.
    database = Database("sqlite:///nothing.db")
    app: Any = rest_app(database, Authentication(database, Policy()), max_body_bytes=0)
    routed = {route.path.removesuffix("/") for route in app.routes if isinstance(route, Route)}
    documented = document()["paths"]

    assert set(documented) == routed
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
    assert list(Customer.model_fields) == CUSTOMER_KEYS


def test_every_error_code_is_described():
    described = document()["components"]

    assert set(described["responses"]) == set(STATUSES) == set(Code)
    assert set(described["schemas"]["Code"]["enum"]) == set(Code)


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
        await api.post("/apps", json={"name": "Atlas Studio", "slug": SLUG})
    if known and "id" in case.path_parameters:
        made = await api.post(f"/apps/{SLUG}/customers/get-or-create", json={"email": "lena@orbit.example"})
        case.path_parameters["id"] = made.json()["data"]["id"]
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()

    response = await api.request(
        sent.method,
        sent.url,
        headers={**sent.headers, "Authorization": api.headers["Authorization"]},
        content=sent.body,
    )

    case.validate_response(response, checks=CHECKS)
