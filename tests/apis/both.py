"""One client for both APIs, and the translation between their formats."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

Values: TypeAlias = dict[str, Any]

APP = "id name slug description webhookUrl publicKeyPem createdAt"
CUSTOMER = "id email name externalId metadata createdAt"
TIER = "id name slug position features { slug } createdAt"
FEATURE = "id name slug description createdAt"
LICENSE = """id installationId token status tier { id slug } features expiresAt createdAt
             customer { id } jti revokedAt metadata"""
VERIFICATION = "valid status tier features expiresAt installationId"
ERRORS = "userErrors { code message field }"
BY_REST, BY_GRAPH = "by-rest", "by-graph"

CREATE_APP = f"""mutation ($input: CreateAppInput!) {{
  outcome: createApp(input: $input) {{ app {{ {APP} }} {ERRORS} }} }}"""
UPDATE_APP = f"""mutation ($input: UpdateAppInput!) {{
  outcome: updateApp(input: $input) {{ app {{ {APP} }} {ERRORS} }} }}"""
DELETE_APP = """mutation ($input: DeleteAppInput!) {
  outcome: deleteApp(input: $input) { deletedAppId deletedCustomerCount deletedLicenseCount
                                      userErrors { code message field } } }"""
CREATE = f"""mutation ($input: CreateCustomerInput!) {{
  outcome: createCustomer(input: $input) {{ customer {{ {CUSTOMER} }} {ERRORS} }} }}"""
GET_OR_CREATE = f"""mutation ($input: CreateCustomerInput!) {{
  outcome: getOrCreateCustomer(input: $input) {{
    customer {{ {CUSTOMER} }} created {ERRORS} }} }}"""
UPDATE = f"""mutation ($input: UpdateCustomerInput!) {{
  outcome: updateCustomer(input: $input) {{ customer {{ {CUSTOMER} }} {ERRORS} }} }}"""
DELETE = """mutation ($input: DeleteCustomerInput!) {
  outcome: deleteCustomer(input: $input) { deletedCustomerId deletedLicenseCount
                                           userErrors { code message field } } }"""

ROTATE = f"""mutation ($input: RotateAppKeysInput!) {{
  outcome: rotateAppKeys(input: $input) {{ app {{ {APP} }} licensesResigned {ERRORS} }} }}"""
CREATE_TIER = f"""mutation ($input: CreateTierInput!) {{
  outcome: createTier(input: $input) {{ tier {{ {TIER} }} {ERRORS} }} }}"""
UPDATE_TIER = f"""mutation ($input: UpdateTierInput!) {{
  outcome: updateTier(input: $input) {{ tier {{ {TIER} }} {ERRORS} }} }}"""
DELETE_TIER = f"""mutation ($input: DeleteTierInput!) {{
  outcome: deleteTier(input: $input) {{ deletedTierId {ERRORS} }} }}"""
CREATE_FEATURE = f"""mutation ($input: CreateFeatureInput!) {{
  outcome: createFeature(input: $input) {{ feature {{ {FEATURE} }} {ERRORS} }} }}"""
UPDATE_FEATURE = f"""mutation ($input: UpdateFeatureInput!) {{
  outcome: updateFeature(input: $input) {{ feature {{ {FEATURE} }} {ERRORS} }} }}"""
DELETE_FEATURE = f"""mutation ($input: DeleteFeatureInput!) {{
  outcome: deleteFeature(input: $input) {{ deletedFeatureId {ERRORS} }} }}"""
CREATE_LICENSE = f"""mutation ($input: CreateLicenseInput!) {{
  outcome: createLicense(input: $input) {{ license {{ {LICENSE} }} {ERRORS} }} }}"""
REGENERATE = f"""mutation ($input: RegenerateLicenseInput!) {{
  outcome: regenerateLicense(input: $input) {{ license {{ {LICENSE} }} {ERRORS} }} }}"""
REVOKE = f"""mutation ($input: RevokeLicenseInput!) {{
  outcome: revokeLicense(input: $input) {{ license {{ {LICENSE} }} {ERRORS} }} }}"""
REINSTATE = f"""mutation ($input: ReinstateLicenseInput!) {{
  outcome: reinstateLicense(input: $input) {{ license {{ {LICENSE} }} {ERRORS} }} }}"""
DELETE_LICENSE = f"""mutation ($input: DeleteLicenseInput!) {{
  outcome: deleteLicense(input: $input) {{ deletedLicenseId {ERRORS} }} }}"""


@dataclass(frozen=True)
class BothApis:
    """Both APIs of one server, called with the same key."""

    client: httpx.AsyncClient

    async def rest(self, method: str, path: str, body: object = None, **params: str) -> httpx.Response:
        return await self.client.request(method, f"/api/v1{path}", json=body, params=params)

    async def rest_data(self, path: str, **params: str) -> Any:
        response = await self.rest("GET", path, **params)
        assert response.status_code == 200, response.text
        return response.json()["data"]

    async def graph(self, query: str, **variables: Any) -> Any:
        response = await self.client.post("/graphql", json={"query": query, "variables": variables})
        assert "errors" not in response.json(), response.text
        return response.json()["data"]

    async def mutate(self, mutation: str, **input: Any) -> Any:
        return (await self.graph(mutation, input=input))["outcome"]

    async def graph_refusal(self, query: str, **variables: Any) -> str:
        response = await self.client.post("/graphql", json={"query": query, "variables": variables})
        (refusal,) = response.json()["errors"]
        return str(refusal["extensions"]["code"])


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def camel_case(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def as_rest(node: Values | None) -> Values | None:
    """Return an object from the graph with REST's names for its fields."""
    return None if node is None else {snake_case(key): value for key, value in node.items()}


def as_input(body: Values) -> Values:
    """Return a REST body with the graph's names for its fields."""
    return {camel_case(key): value for key, value in body.items()}


def as_tier(node: Values | None) -> Values | None:
    """Return a tier from the graph in REST's format."""
    tier = as_rest(node)
    return None if tier is None else {**tier, "features": [each["slug"] for each in tier["features"]]}


def as_license(node: Values | None) -> Values | None:
    """Return a license from the graph in REST's format."""
    license = as_rest(node)
    if license is None:
        return None
    tier, customer = license["tier"] or {"id": None, "slug": None}, license.pop("customer")
    return {
        **license,
        "status": license["status"].lower(),
        "tier": tier["slug"],
        "tier_id": tier["id"],
        "customer_id": customer["id"],
    }


def as_verification(node: Values) -> Values:
    """Return a verification from the graph in REST's format."""
    return {**(as_rest(node) or {}), "status": node["status"].lower()}


def chosen(made: Values) -> Values:
    """Return a created object without the values that the server chose."""
    servers = {"id", "created_at", "public_key_pem", "jti", "token", "revoked_at"}
    return {key: value for key, value in made.items() if key not in servers}


def translated(user_errors: list[Values]) -> tuple[int, str, dict[str, list[str]] | None]:
    """Return the REST error for these user errors: status, code and details."""
    codes = {each["code"] for each in user_errors}
    details: dict[str, list[str]] = {}
    for each in user_errors:
        messages = details.setdefault(snake_case(each["field"][0]), [])
        if each["message"] not in messages:
            messages.append(each["message"])
    if codes & {"BLANK", "INVALID", "TOO_LONG"}:
        return 422, "validation_error", details
    if codes == {"NOT_FOUND"}:
        return 404, "not_found", None
    assert codes <= {"TAKEN", "IN_USE", "WRONG_STATE"}, codes
    return 409, "conflict", details
