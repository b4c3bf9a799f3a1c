"""The documents in GraphiQL's first tabs run unchanged on a new installation."""

import json
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from commands.first_start import begin
from db.engine import Database
from resolvers.keyring import Keyring
from schema.graphiql import TABS
from tests.schema.conftest import Graph

DOCUMENTS = sorted(TABS.glob("*.graphql"))


@pytest.fixture
async def fresh(client: AsyncClient, database: Database, keyring: Keyring) -> Graph:
    """A client of a new installation, with the key that the server printed at its first start."""
    return Graph(client, await begin(database, keyring))


def variables_of(document: Path) -> dict[str, Any]:
    variables: dict[str, Any] = json.loads(document.with_suffix(".json").read_text())
    return variables


@pytest.mark.parametrize("document", DOCUMENTS, ids=[document.stem for document in DOCUMENTS])
async def test_every_first_tab_runs(fresh: Graph, document: Path) -> None:
    data = await fresh.data(document.read_text(), **variables_of(document))

    (answer,) = data.values()
    assert answer is not None
    assert answer.get("userErrors", []) == []


async def test_the_dashboard_is_nested_and_needs_no_variables(fresh: Graph) -> None:
    document = TABS / "dashboard.graphql"

    data = await fresh.data(document.read_text())

    assert data == await fresh.data(document.read_text(), **variables_of(document))
    assert data["app"]["name"] == "My App"
    customers = data["app"]["customers"]
    assert customers["totalCount"] == len(customers["nodes"]) == 5
    assert [node["licenses"]["totalCount"] for node in customers["nodes"]] == [1, 1, 1, 3, 1]


async def test_the_mutation_creates_the_customer_once(fresh: Graph) -> None:
    document = TABS / "get_or_create.graphql"

    first = await fresh.data(document.read_text(), **variables_of(document))
    second = await fresh.data(document.read_text(), **variables_of(document))

    assert first["getOrCreateCustomer"]["created"] is True
    assert second["getOrCreateCustomer"]["created"] is False
    assert first["getOrCreateCustomer"]["customer"] == second["getOrCreateCustomer"]["customer"]


async def test_paging_ends_after_all_customers(fresh: Graph) -> None:
    document = TABS / "paging.graphql"
    variables = variables_of(document)
    pages: list[Any] = []

    while not pages or pages[-1]["pageInfo"]["hasNextPage"]:
        data = await fresh.data(document.read_text(), **variables)
        pages.append(data["app"]["customers"])
        variables["after"] = pages[-1]["pageInfo"]["endCursor"]

    assert [[node["email"] for node in page["nodes"]] for page in pages] == [
        ["jonas@fjord.example", "lena@orbit.example"],
        ["mei.tanaka@harbor.example", "office@papermill.example"],
        ["sam.okafor@brightfield.example"],
    ]
