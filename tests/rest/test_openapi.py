"""The OpenAPI document describes every route, and responses match it."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import httpx
import jsonschema_rs
import pytest
import requests
import schemathesis
from graphql import GraphQLInputObjectType, GraphQLObjectType
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
from resolvers.customers import CreateCustomer
from resolvers.errors import Faults
from resolvers.inputs import check
from resolvers.viewer import ALL_SCOPES, Policy, Scope, as_list
from rest.app import rest_app
from rest.errors import STATUSES, Code
from rest.examples import of_body
from rest.openapi import document
from rest.routes import OPERATIONS, by_path
from rest.signing_keys import PEM as PEM_TYPE
from schema.graph import graphql_schema
from schema.pipeline.names import snake_case
from settings import Settings
from tests.descriptions import is_useful
from tests.factories import make_account, make_key, number_events
from tests.keyrings import KEYRING, SETTINGS
from tests.rest.conftest import SLUG, MakeClient, Vendor
from tests.rest.expecting import (
    APP_KEYS,
    CUSTOMER_KEYS,
    FEATURE_KEYS,
    LICENSE_KEYS,
    LICENSE_KEYS_WITHOUT_TOKEN,
    PEM,
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


async def test_every_route_is_documented_and_every_documented_path_is_routed() -> None:
    # A Database opens no connection when it is created.
    database = Database("sqlite:///nothing.db")
    app: Any = rest_app(database, KEYRING, Authentication(database, Policy()), max_body_bytes=0)
    documented = document()["paths"]

    # No route has the method BREW, so known paths return 405 and unknown paths return 404.
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


def test_operations_of_a_path_need_not_be_next_to_each_other() -> None:
    first, second, *_ = (each for each in OPERATIONS if each.path == "/api/v1/apps")
    other = next(each for each in OPERATIONS if each.path != first.path)

    assert by_path([first, other, second]) == {first.path: (first, second), other.path: (other,)}


def test_operations_have_unique_ids_and_a_summary() -> None:
    operations = [each for methods in document()["paths"].values() for each in methods.values()]

    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"] for each in operations)


def test_every_operation_that_needs_a_key_says_so() -> None:
    paths = document()["paths"]
    for operation in OPERATIONS:
        for method in operation.methods:
            described = paths[operation.path][method.lower()]
            statuses = set(described["responses"])
            assert bool(described["security"]) == (operation.scope is not None)
            assert {"401", "403"} & statuses == ({"401", "403"} if operation.scope else set())


def test_keys_and_bodies_that_are_optional() -> None:
    paths = document()["paths"]
    described = {path.rpartition("/")[2]: each["post"] for path, each in paths.items() if "post" in each}

    assert described["regenerate"]["security"] == [{"key": []}, {}]
    names = ("regenerate", "revoke", "rotate-keys")
    assert [described[name]["requestBody"]["required"] for name in names] == [False] * 3


def test_bodies_are_described_by_the_models_that_validate() -> None:
    described = document()
    create = described["paths"]["/api/v1/apps/{slug}/customers"]["post"]
    schemas = described["components"]["schemas"]

    assert create["requestBody"] == {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/CreateCustomer"},
                "example": of_body(CreateCustomer),
            }
        },
    }
    assert schemas["CreateCustomer"]["required"] == ["email"]
    assert schemas["CreateApp"]["required"] == ["name", "slug"]
    assert "default" not in str(schemas["UpdateCustomer"])


def test_resources_are_described_with_all_keys_in_order() -> None:
    schemas = document()["components"]["schemas"]

    assert list(schemas["Customer"]["properties"]) == schemas["Customer"]["required"] == CUSTOMER_KEYS
    assert list(schemas["App"]["properties"]) == schemas["App"]["required"] == APP_KEYS
    assert list(schemas["Tier"]["properties"]) == schemas["Tier"]["required"] == TIER_KEYS
    assert list(schemas["Feature"]["properties"]) == schemas["Feature"]["required"] == FEATURE_KEYS
    assert list(schemas["License"]["properties"]) == LICENSE_KEYS
    assert schemas["License"]["required"] == LICENSE_KEYS_WITHOUT_TOKEN
    assert list(schemas["VerifiedLicense"]["properties"]) == [*VERIFICATION_KEYS, "since"]
    assert schemas["VerifiedLicense"]["required"] == VERIFICATION_KEYS


def test_the_server_is_this_one_below_its_prefix() -> None:
    assert [each["url"] for each in document()["servers"]] == ["/"]
    assert [each["url"] for each in document("/tools/licenses")["servers"]] == ["/tools/licenses"]


def test_every_tag_is_declared_once_with_a_description() -> None:
    described = document()
    used = {tag for operation in _operations() for tag in operation["tags"]}

    assert {each["name"] for each in described["tags"]} == used
    assert len(described["tags"]) == len(used)
    assert all(is_useful(each["description"]) for each in described["tags"])


def _operations() -> list[dict[str, Any]]:
    return [each for methods in document()["paths"].values() for each in methods.values()]


def test_a_documented_default_means_the_same_as_leaving_the_parameter_out() -> None:
    found = []
    for operation in OPERATIONS:
        if operation.query is None:
            continue
        described = document()["paths"][operation.path][operation.methods[0].lower()]["parameters"]
        of_query = [each for each in described if each["in"] == "query"]
        required = {each["name"]: each["example"] for each in of_query if each["required"]}
        for each in of_query:
            if "default" in each["schema"]:
                default = each["schema"]["default"]
                assert jsonschema_rs.is_valid(each["schema"], default), (operation.path, each)
                given = {**required, each["name"]: str(default)}
                assert check(operation.query, given) == check(operation.query, required)
                found.append(each["name"])
    assert set(found) == {"page", "per_page", "limit", "every"}


BODIES = {each.body.__name__: each.body for each in OPERATIONS if each.body is not None}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_may_be_null_or_out_of_bounds_where_its_description_says_so(name: str) -> None:
    """A field accepts null, or a number near a bound, exactly when the field's schema does."""
    model, example = BODIES[name], of_body(BODIES[name])
    properties = document()["components"]["schemas"][name]["properties"]
    numbers = [
        bound + step
        for each in properties.values()
        for option in (each, *each.get("anyOf", ()))
        for bound in (option.get("minimum"), option.get("maximum"))
        if bound is not None
        for step in (-1, 0, 1)
    ]
    for field, schema in properties.items():
        for value in (None, *numbers):
            if (name, field, value) == ("NewApiKey", "scopes", None):
                continue  # The example's kind needs scopes, but other kinds accept null.
            try:
                check(model, {**example, field: value}, {"slug": "atlas-studio"})
                faulty = False
            except Faults as faults:
                faulty = any(fault.field[:1] == (field,) for fault in faults.faults)
            assert jsonschema_rs.is_valid(schema, value) != faulty, (field, value)


def test_null_metadata_and_the_bounds_of_a_duration_are_described() -> None:
    schemas = document()["components"]["schemas"]

    for name in ("CreateCustomer", "UpdateCustomer", "NewLicense"):
        assert {"type": "null"} in schemas[name]["properties"]["metadata"]["anyOf"], name
    assert {"type": "integer", "minimum": 1, "maximum": 36_500} in (
        schemas["NewLicense"]["properties"]["duration_days"]["anyOf"]
    )


def test_the_public_key_is_described_as_pem() -> None:
    described = document()
    answer = described["paths"]["/api/v1/apps/{slug}/public-key"]["get"]["responses"]["200"]

    assert list(answer["content"]) == ["application/x-pem-file"]
    assert answer["content"]["application/x-pem-file"]["example"] == PEM
    assert described["components"]["schemas"]["PublicKey"]["type"] == "string"


def _contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and description of every body of a request, response or error."""
    described = document()
    for operation in _operations():
        if "requestBody" in operation:
            yield operation["operationId"], operation["requestBody"]
        for status, response in operation["responses"].items():
            if "content" in response:
                yield f"{operation['operationId']} {status}", response
    yield from described["components"]["responses"].items()


def test_every_body_and_every_required_parameter_has_an_example_that_fits_its_schema() -> None:
    components = document()["components"]
    for name, described in _contents():
        for content in described["content"].values():
            jsonschema_rs.validate({**content["schema"], "components": components}, content["example"])
            if name in set(Code):
                assert content["example"]["error"]["code"] == name
    for operation in _operations():
        for each in operation.get("parameters", ()):
            assert "example" in each or not each["required"], (operation["operationId"], each["name"])
            if "example" in each:
                jsonschema_rs.validate(each["schema"], each["example"])


# Every operation, in an order that creates each object before it is used and deletes it afterwards.
JOURNEY = [
    "get_health",
    "get_openapi",
    "create_app",
    "list_apps",
    "get_app",
    "create_feature",
    "list_features",
    "get_feature",
    "create_tier",
    "list_tiers",
    "get_tier",
    "create_customer",
    "get_or_create_customer",
    "list_customers",
    "get_customer",
    "get_customer_by_email",
    "get_customer_by_external_id",
    "create_customer_session",
    "create_license",
    "list_licenses",
    "get_license",
    "get_license_by_installation",
    "verify_license",
    "verify_licenses",
    "regenerate_license",
    "rotate_keys",
    "get_public_key",
    "get_key_set",
    "revoke_license",
    "list_events",
    "list_app_events",
    "get_statistics",
    "reinstate_license",
    "create_api_key",
    "list_api_keys",
    "get_api_key",
    "rotate_api_key",
    "update_api_key",
    "revoke_api_key",
    "update_app",
    "update_tier",
    "update_feature",
    "update_customer",
    "update_license",
    "renew_license",
    "transfer_license",
    "delete_license",
    "delete_customer",
    "delete_tier",
    "delete_feature",
    "delete_app",
]
COUNTED_BY_SERVER = {
    *("active", "issued", "renewed", "reinstated", "expired", "revoked", "deleted"),
    *("customers_added", "customers_deleted", "customers"),
}
CHOSEN_BY_SERVER = {
    "key",
    "last4",
    "id",
    "created_at",
    "customer_id",
    "tier_id",
    "jti",
    "token",
    "public_key_pem",
    "expires_at",
    "revoked_at",
    "kid",
    "x",
    "request_id",
    "next",
    "to",  # in the changes of an event: the time of a revocation
}


def _learn(example: Any, actual: Any, learned: dict[str, str], key: str = "") -> None:
    """Compare a response with its example, and learn the actual values that the server chose.

    `learned` maps each value in the example to the actual one.
    """
    if isinstance(example, dict):
        assert isinstance(actual, dict), key
        assert list(actual) == list(example)
        for name in example:
            _learn(example[name], actual[name], learned, name)
    elif isinstance(example, list):
        # After a rotation, a key set has more keys than its example shows.
        assert len(actual) == len(example) or key == "keys"
        for one, other in zip(example, actual, strict=key != "keys"):
            _learn(one, other, learned, key)
    elif key in COUNTED_BY_SERVER:
        assert type(actual) is int, key
    elif key in CHOSEN_BY_SERVER and example is not None:
        assert isinstance(actual, type(example)), key
        learned[example] = actual
    else:
        assert actual == example, key


def _with(learned: Mapping[str, str], example: Any) -> Any:
    """Return an example with the actual values that the server chose."""
    if isinstance(example, dict):
        return {name: _with(learned, each) for name, each in example.items()}
    return learned.get(example, example) if isinstance(example, str) else example


async def test_every_example_works(database: Database, client_with: MakeClient) -> None:
    described: dict[str, tuple[str, str, dict[str, Any]]] = {
        each["operationId"]: (method, path, each)
        for path, methods in document()["paths"].items()
        for method, each in methods.items()
    }
    assert sorted(JOURNEY) == sorted(each.name for each in OPERATIONS)
    learned: dict[str, str] = {}
    token = await make_key(database, await make_account(database), name="crm sync")
    async with client_with(token) as api:
        for name in JOURNEY:
            await number_events(database)
            method, path, operation = described[name]
            given = {
                each["name"]: _with(learned, each.get("example")) for each in operation.get("parameters", ())
            }
            query = {each: value for each, value in given.items() if f"{{{each}}}" not in path and value}
            content = operation.get("requestBody", {}).get("content", {}).get("application/json")
            body = None if content is None else _with(learned, content["example"])

            url = f"http://testserver{path.format(**given)}"
            response = await api.request(method, url, params=query, json=body)

            answer = operation["responses"].get(str(response.status_code))
            assert answer is not None, f"{name}: {response.text}"
            if "content" in answer:
                media_type, shown = next(iter(answer["content"].items()))
                actual: Any = response.text if media_type == PEM_TYPE else response.json()
                if name == "get_openapi":
                    actual = {"openapi": actual["openapi"]}
                key = "public_key_pem" if media_type == PEM_TYPE else ""
                _learn(shown["example"], actual, learned, key)


def test_every_error_code_is_described() -> None:
    described = document()["components"]

    assert set(described["responses"]) == set(STATUSES) == set(Code)
    assert set(described["schemas"]["Code"]["enum"]) == set(Code)


def _undescribed(schema: Mapping[str, Any], name: str) -> Iterator[str]:
    """Yield each property of a schema, or of a schema nested in it, that has no useful description."""
    for key, each in schema.get("properties", {}).items():
        if not is_useful(each.get("description")):
            yield f"{name}.{key}"
        yield from _undescribed(each, f"{name}.{key}")
    for each in (*schema.get("anyOf", ()), *filter(None, (schema.get("items"),))):
        yield from _undescribed(each, name)


def test_every_operation_parameter_response_schema_and_property_is_described() -> None:
    described = document()
    bare = [] if is_useful(described["info"]["description"]) else ["info"]
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            name = f"{method} {path}"
            if not is_useful(operation["summary"]):
                bare.append(name)
            bare += [
                f"{name} ({each['name']})"
                for each in operation.get("parameters", ())
                if not is_useful(each.get("description"))
            ]
            for status, response in operation["responses"].items():
                if "$ref" not in response and not is_useful(response.get("description")):
                    bare.append(f"{name} {status}")
                headers = response.get("headers", {})
                bare += [
                    each
                    for each, it in headers.items()
                    if "$ref" not in it and not is_useful(it.get("description"))
                ]
    components = described["components"]
    parts = components["responses"] | components["schemas"] | components["headers"]
    for name, each in parts.items():
        if not is_useful(each.get("description")):
            bare.append(name)
        bare += _undescribed(each, name)

    assert bare == []


def test_an_input_is_described_the_same_in_the_graph() -> None:
    schemas = document()["components"]["schemas"]
    pairs = {
        "CreateAppInput": "CreateApp",
        "UpdateAppInput": "UpdateApp",
        "CreateCustomerInput": "CreateCustomer",
        "UpdateCustomerInput": "UpdateCustomer",
        "CreateTierInput": "NewTier",
        "UpdateTierInput": "ChangedTier",
        "CreateFeatureInput": "CreateFeature",
        "UpdateFeatureInput": "UpdateFeature",
        "RevokeLicenseInput": "RevokeLicense",
    }
    for graph_name, rest_name in pairs.items():
        of_graph = graphql_schema.type_map[graph_name]
        assert isinstance(of_graph, GraphQLInputObjectType)
        in_graph = {snake_case(name): field.description for name, field in of_graph.fields.items()}
        in_rest = {name: each["description"] for name, each in schemas[rest_name]["properties"].items()}
        # `slug` is not compared, because the graph's updates use it differently: `UpdateAppInput` identifies
        # the app by its slug, and the other updates have no slug. No update in the graph has
        # `signing_algorithm`, because an app's algorithm cannot be changed.
        in_rest.pop("slug", None)
        if graph_name.startswith("Update"):
            in_rest.pop("signing_algorithm", None)

        assert in_rest.items() <= in_graph.items(), graph_name


def test_a_resource_is_described_the_same_in_the_graph() -> None:
    schemas = document()["components"]["schemas"]
    # For these fields, the graph has objects, or values that differ from those in REST.
    different = {"License": {"token", "tier", "tier_id", "customer_id"}, "Tier": {"features"}}
    for name in ("App", "Customer", "License", "Tier", "Feature"):
        of_graph = graphql_schema.type_map[name]
        assert isinstance(of_graph, GraphQLObjectType)
        in_graph = {snake_case(field): it.description for field, it in of_graph.fields.items()}
        in_rest = {key: each["description"] for key, each in schemas[name]["properties"].items()}
        compared = in_rest.keys() - different.get(name, set())

        assert {key: in_rest[key] for key in compared} == {key: in_graph[key] for key in compared}, name


async def _made(api: httpx.AsyncClient, path: str) -> str:
    """Return the id of an object of the kind that a path names. If the app has none, create one first.

    API keys are always new.
    """
    if "/api-keys/" in path:
        new = {"kind": "restricted", "name": "CRM", "scopes": ["read"]}
        return str((await api.post("/api-keys", json=new)).json()["data"]["id"])
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


CASES = st.one_of(SCHEMA.as_strategy(GenerationMode.POSITIVE), SCHEMA.as_strategy(GenerationMode.NEGATIVE))
KNOWN = st.sampled_from([True, True, True, True, False])
KEYS = st.tuples(st.sets(st.sampled_from(as_list(ALL_SCOPES - {Scope.WRITE})), min_size=1), st.booleans())
"""Scopes of restricted keys, and whether the key is limited to the vendor's first app."""

_Key: TypeAlias = tuple[set[Scope], bool]


async def _send(api: httpx.AsyncClient, case: Case[Any], token: str, *, known: bool) -> httpx.Response:
    """Send a request with a key. If `known`, the objects in its path are first created through `api`."""
    if known and "slug" in case.path_parameters:
        case.path_parameters["slug"] = SLUG
        app = {"name": "Atlas Studio", "slug": SLUG, "signing_algorithm": "EdDSA"}
        await api.post("/apps", json=app)
    if known and "id" in case.path_parameters:
        case.path_parameters["id"] = await _made(api, case.path)
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()

    assert sent.method
    assert sent.url
    headers: dict[str, Any] = {**sent.headers, "Authorization": f"Bearer {token}"}
    assert sent.body is None or isinstance(sent.body, str | bytes)
    return await api.request(sent.method, sent.url, headers=headers, content=sent.body)


@given(case=CASES, known=KNOWN)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
async def test_responses_match_their_description(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, case: Case[Any], known: bool
) -> None:
    response = await _send(api, case, vendor.secret, known=known)

    case.validate_response(response, checks=CHECKS)


@pytest.fixture(name="settings")
def settings_of_app(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """The usual settings, but without limits per minute for a `long` test, which would reach them."""
    is_long = request.node.get_closest_marker("long") is not None
    names = [each for each in Settings.model_fields if each.endswith("_per_minute")] if is_long else []
    return {**SETTINGS, **dict.fromkeys(names, 0)}


async def _check_restricted(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, case: Case[Any], *, known: bool, key: _Key
) -> None:
    scopes, is_limited = key
    apps = [vendor.app] if is_limited else None
    token = await make_key(database, vendor.account, kind="restricted", scopes=sorted(scopes), apps=apps)

    response = await _send(api, case, token, known=known)

    # The key is always valid, but a license's token in the body may not be.
    assert response.status_code != 401 or case.path.endswith("/regenerate")
    case.validate_response(response, checks=CHECKS)


@given(case=CASES, known=KNOWN, key=KEYS)
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
async def test_responses_to_a_restricted_key_match_their_description(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, case: Case[Any], known: bool, key: _Key
) -> None:
    await _check_restricted(api, database, vendor, case, known=known, key=key)


@pytest.mark.long
@given(case=CASES, known=KNOWN, key=KEYS)
@settings(max_examples=1_000, suppress_health_check=list(HealthCheck))
async def test_a_thousand_responses_to_a_restricted_key_match_their_description(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, case: Case[Any], known: bool, key: _Key
) -> None:
    await _check_restricted(api, database, vendor, case, known=known, key=key)
