"""Shared by the tests of the graph: an account with a key, and a client."""

from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import literal_column

from asgi.authentication import Authentication
from db.engine import Database
from db.shaping import search
from resolvers.viewer import Policy
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from schema.pipeline.limits import Limits
from tests.factories import Account, make_account, make_key
from tests.keyrings import KEYRING, SETTINGS


@dataclass(frozen=True)
class Graph:
    """Sends requests to `/graphql`, with a key if there is one."""

    client: httpx.AsyncClient
    token: str | None

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        body = {"query": query, "variables": variables}
        return await self.client.post("/graphql", json=body, headers={**authorization, **headers})

    async def data(self, query: str, **variables: Any) -> Any:
        """Send a query and return the response's data. Fails if the response has errors."""
        response = await self.post(query, variables)
        answer = response.json()
        assert response.status_code == 200, answer
        assert "errors" not in answer, answer
        return answer["data"]

    async def refusal(self, query: str, **variables: Any) -> tuple[str, str]:
        """Send a query and return the only error's code and message. Fails if a root field is not null."""
        answer = (await self.post(query, variables)).json()
        (error,) = answer["errors"]
        assert not answer.get("data") or set(answer["data"].values()) == {None}, answer
        return error["extensions"]["code"], error["message"]

    def with_token(self, token: str | None) -> "Graph":
        return replace(self, token=token)


UNLIMITED_COST = {**SETTINGS, "max_cost": 0, "budget_burst": 0}
"""Settings for tests with queries that have a high cost but read little data."""


def limited(graph: Graph, database: Database, limits: Limits, *, introspection: bool = True) -> Graph:
    """Return a client with the same key, for a graph with other limits."""
    api = GraphQLEndpoint(
        graphql_schema,
        database,
        KEYRING,
        Authentication(database, Policy()),
        limits=limits,
        introspection=introspection,
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://testserver")
    return Graph(client, graph.token)


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database)


@pytest.fixture
async def graph(client: httpx.AsyncClient, database: Database, account: Account) -> Graph:
    """A client with the secret key of `account`."""
    return Graph(client, await make_key(database, account))


@pytest.fixture(params=["1", "1000"], ids=["by the index", "by walking"])
def walked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set how many rows a search checks one by one before it uses an index."""
    monkeypatch.setattr(search, "WALK_LIMIT", literal_column(request.param))
