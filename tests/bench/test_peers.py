"""The peers in the benchmark are fair: they run few statements, and they check keys."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import event

from bench import datasets
from bench.datasets import Size
from bench.peers import fastapi_orm, handwritten, strawberry_orm
from bench.workloads import SLUG, WORKLOADS

SIZE = Size(customers=30, customers_elsewhere=12, licenses=12, licenses_elsewhere=6)


@asynccontextmanager
async def calling(app: Any, token: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://testserver", headers=headers
        ) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("name", "statements"),
    [
        ("W1", 3),  # the key, the customer, the page of licenses
        ("W2", 6),  # the key, the app, the customers' page and total, the licenses' pages and totals
        ("W4", 4),  # the key, the app, the customers' page and total
        ("W5", 4),  # the key, the apps, pages of customers, pages of licenses
    ],
)
async def test_strawberry_batches(unmigrated_url: str, name: str, statements: int) -> None:
    """Strawberry runs few statements. Their number does not grow with the number of rows."""
    data = await datasets.load(unmigrated_url, SIZE)
    workload = WORKLOADS[name]
    app = strawberry_orm.create_app(unmigrated_url)
    sent: list[str] = []
    event.listen(
        app.state.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: sent.append(statement),
    )
    async with calling(app, data.token) as client:
        body = {"query": workload.document, "variables": workload.variables(data, "")[0]}
        answer = (await client.post("/graphql", json=body)).json()
    assert "errors" not in answer
    assert len(sent) == statements


async def test_strawberry_creates_a_customer_once(unmigrated_url: str) -> None:
    data = await datasets.load(unmigrated_url, SIZE)
    variables = {"slug": SLUG, "email": "New@fjord.example"}
    async with calling(strawberry_orm.create_app(unmigrated_url), data.token) as client:
        body = {"query": WORKLOADS["W6"].document, "variables": variables}
        first, second = [(await client.post("/graphql", json=body)).json()["data"] for _ in range(2)]
    first, second = first["getOrCreateCustomer"], second["getOrCreateCustomer"]
    assert (first["created"], second["created"]) == (True, False)
    assert first["customer"] == second["customer"]


@pytest.mark.parametrize(
    ("create_app", "method", "path"),
    [
        (strawberry_orm.create_app, "POST", "/graphql"),
        (fastapi_orm.create_app, "GET", "/api/v1/apps/bench/customers"),
    ],
)
async def test_a_bad_key_is_refused(unmigrated_url: str, create_app: Any, method: str, path: str) -> None:
    await datasets.load(unmigrated_url, SIZE)
    async with calling(create_app(unmigrated_url), "sk_live_x") as client:
        refused = await client.request(method, path, json={"query": "{ __typename }"})
    assert refused.status_code == 401


async def test_the_hand_written_peer_refuses_a_bad_key() -> None:
    app = handwritten.App("sqlite:///unused.db")
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        refused = await client.post("/W1", json={}, headers={"Authorization": "Bearer sk_live_x"})
    assert refused.status_code == 401
