"""One client for both doors, and the translation between them that the wire contract's section 10 makes."""

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx

Values: TypeAlias = dict[str, Any]

APP = "id name slug description webhookUrl createdAt"
CUSTOMER = "id email name externalId metadata createdAt"
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


@dataclass(frozen=True)
class Doors:
    """Both doors of one installation, entered with one key."""

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
        return refusal["extensions"]["code"]


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", name)


def camel_case(name: str) -> str:
    return re.sub("_([a-z])", lambda match: match[1].upper(), name)


def as_rest(node: Values | None) -> Values | None:
    """An object of the graph with the keys that REST gives it."""
    return None if node is None else {snake_case(key): value for key, value in node.items()}


def as_input(body: Values) -> Values:
    """A body of REST with the keys of the graph's inputs."""
    return {camel_case(key): value for key, value in body.items()}


def as_app(app: Values) -> Values:
    """An app of REST without what the graph does not show yet."""
    assert app.pop("public_key_pem") is None
    return app


def chosen(made: Values) -> Values:
    """A new object without what the server chose."""
    return {key: value for key, value in made.items() if key not in {"id", "created_at"}}


def translated(user_errors: list[Values]) -> tuple[int, str, dict[str, list[str]] | None]:
    """The answer of REST that user errors stand for, by the contract's second table."""
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
