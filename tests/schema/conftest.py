"""What tests of the graph share: an account with a key, and a way to ask."""

from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import literal_column

from asgi.authentication import Authentication
from db.engine import Database
from db.shaping import pages
from resolvers.viewer import Policy
from schema.door import GraphQLDoor
from schema.limits import Limits
from tests.factories import Account, make_account, make_key
from tests.keyrings import SETTINGS


@dataclass(frozen=True)
class Graph:
    """Asks `/graphql` with a key."""

    client: httpx.AsyncClient
    token: str | None

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, **headers: str
    ) -> httpx.Response:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        body = {"query": query, "variables": variables}
        return await self.client.post("/graphql", json=body, headers={**authorization, **headers})

    async def data(self, query: str, **variables: Any) -> Any:
        """The data of a document that is answered without an error."""
        response = await self.post(query, variables)
        answer = response.json()
        assert response.status_code == 200, answer
        assert "errors" not in answer, answer
        return answer["data"]

    async def refusal(self, query: str, **variables: Any) -> tuple[str, str]:
        """The code and message of the one error of a document of which nothing is answered."""
        answer = (await self.post(query, variables)).json()
        (error,) = answer["errors"]
        assert not answer.get("data") or set(answer["data"].values()) == {None}, answer
        return error["extensions"]["code"], error["message"]

    def with_token(self, token: str | None) -> "Graph":
        return replace(self, token=token)


UNLIMITED_COST = {**SETTINGS, "max_cost": 0}
"""The settings of tests that ask what costs much, of little data."""


def limited(graph: Graph, database: Database, limits: Limits, *, introspection: bool = True) -> Graph:
    """The same graph within other limits."""
    door = GraphQLDoor(
        database, Authentication(database, Policy()), limits=limits, introspection=introspection
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://testserver")
    return Graph(client, graph.token)


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database)


@pytest.fixture
async def graph(client: httpx.AsyncClient, database: Database, account: Account) -> Graph:
    """Asks with the secret key of `account`."""
    return Graph(client, await make_key(database, account))


@pytest.fixture(params=["1", "1000"], ids=["by the index", "by walking"])
def walked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set how many rows pages walk over before they use an index."""
    monkeypatch.setattr(pages, "WALKED", literal_column(request.param))
