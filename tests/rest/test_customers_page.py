"""The example requests on the page Customers of the documentation of the API that ours is compatible with.

Only the host, the slug and the key are changed.
"""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette

from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from resolvers.purge import purge
from tests.factories import make_account, make_app, make_customer, make_key, make_license
from tests.rest.expecting import CUSTOMER_ID, CUSTOMER_KEYS, MOMENT, stored

JANE = """{
    "email": "jane@example.com",
    "name": "Jane Smith",
    "external_id": "cus_stripe_123",
    "metadata": {
      "company": "Acme Corp",
      "plan": "annual"
    }
  }"""

# The response must match byte for byte, except for the two values that the server chooses.
ANSWER = (
    '{{"data":{{"id":"{id}","email":"jane@example.com","name":"Jane Smith","external_id":"cus_stripe_123",'
    '"metadata":{{"company":"Acme Corp","plan":"annual"}},"created_at":"{created_at}"}}}}'
)


@pytest.fixture
async def curl(app: Starlette, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    account = await make_account(database)
    await make_app(database, account, slug="my-app")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://localhost:4000",
        headers={
            "Authorization": f"Bearer {await make_key(database, account)}",
            "Content-Type": "application/json",
        },
    ) as client:
        yield client


async def test_creating_customers(curl: httpx.AsyncClient) -> None:
    response = await curl.post("/api/v1/apps/my-app/customers", content=JANE)

    customer = response.json()["data"]
    assert response.status_code == 201
    assert response.text == ANSWER.format(id=customer["id"], created_at=customer["created_at"])
    assert customer["id"] == CUSTOMER_ID
    assert customer["created_at"] == MOMENT


async def test_get_or_create_returns_the_existing_customer(curl: httpx.AsyncClient) -> None:
    made = await curl.post("/api/v1/apps/my-app/customers", content=JANE)

    response = await curl.post(
        "/api/v1/apps/my-app/customers/get-or-create",
        content="""{
    "email": "jane@example.com",
    "name": "Jane Smith"
  }""",
    )

    assert response.status_code == 200
    assert response.text == made.text


async def test_get_or_create_otherwise_creates_a_new_one(curl: httpx.AsyncClient) -> None:
    response = await curl.post(
        "/api/v1/apps/my-app/customers/get-or-create",
        content="""{
    "email": "jane@example.com",
    "name": "Jane Smith"
  }""",
    )

    assert response.status_code == 201
    assert response.json() == {
        "data": {
            "id": CUSTOMER_ID,
            "email": "jane@example.com",
            "name": "Jane Smith",
            "external_id": None,
            "metadata": {},
            "created_at": MOMENT,
        }
    }


@pytest.mark.parametrize(
    ("query", "page", "per_page"),
    [("email=jane", 1, 20), ("external_id=cus_stripe_123", 1, 20), ("page=1&per_page=20", 1, 20)],
)
async def test_filtering_and_pagination(
    curl: httpx.AsyncClient, query: str, page: int, per_page: int
) -> None:
    made = (await curl.post("/api/v1/apps/my-app/customers", content=JANE)).json()["data"]

    response = await curl.get(f"/api/v1/apps/my-app/customers?{query}")

    body = response.json()
    assert response.status_code == 200
    assert body == {"data": [made], "meta": {"total": 1, "page": page, "per_page": per_page}}
    assert list(body) == ["data", "meta"]
    assert list(body["meta"]) == ["total", "page", "per_page"]
    assert list(body["data"][0]) == CUSTOMER_KEYS


@pytest.mark.parametrize(
    "path", ["{id}", "by-email?email=jane@example.com", "by-external-id?external_id=cus_stripe_123"]
)
async def test_customer_lookup(curl: httpx.AsyncClient, path: str) -> None:
    made = await curl.post("/api/v1/apps/my-app/customers", content=JANE)

    response = await curl.get(f"/api/v1/apps/my-app/customers/{path.format(id=made.json()['data']['id'])}")

    assert response.status_code == 200
    assert response.text == made.text


async def test_cascade_deletion(curl: httpx.AsyncClient, database: Database) -> None:
    account = await make_account(database)
    curl.headers["Authorization"] = f"Bearer {await make_key(database, account)}"
    app = await make_app(database, account, slug="cascade")
    first, second = await make_customer(database, app), await make_customer(database, app)
    for customer in (first, first, second):
        await make_license(database, customer)

    of_customer = await curl.delete(f"/api/v1/apps/cascade/customers/{first.id}")
    left = [row["customer_id"] for row in await stored(database, licenses)]
    of_app = await curl.delete("/api/v1/apps/cascade")

    assert (of_customer.status_code, left) == (204, [second.id])
    assert of_app.status_code == 204
    await purge(database)
    assert await stored(database, customers) == []
    assert await stored(database, licenses) == []
