"""A vendor with an app, and clients that carry keys."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
import pytest
from starlette.applications import Starlette

from db.engine import Database
from tests.factories import Account, App, make_account, make_app, make_key

SLUG = "atlas-studio"
CUSTOMERS = f"/apps/{SLUG}/customers"
LENA = {
    "email": "lena@orbit.example",
    "name": "Lena Ortiz",
    "external_id": "crm-8841",
    "metadata": {"region": "eu", "seats": 12},
}


@dataclass(frozen=True)
class Vendor:
    account: Account
    app: App
    secret: str
    public: str


MakeClient: TypeAlias = Callable[[str], httpx.AsyncClient]


async def make_vendor(database: Database, *, slug: str) -> Vendor:
    """An account with one app and a key of each kind."""
    account = await make_account(database)
    app = await make_app(database, account, slug=slug, name="Atlas Studio")
    secret = await make_key(database, account)
    public = await make_key(database, account, kind="public")
    return Vendor(account, app, secret, public)


async def created(api: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    """A customer of the app `SLUG`, made through the door."""
    response = await api.post(CUSTOMERS, json=fields)
    assert response.status_code == 201, response.text
    customer: dict[str, Any] = response.json()["data"]
    return customer


@pytest.fixture
async def vendor(database: Database) -> Vendor:
    """The vendor of the app `SLUG`."""
    return await make_vendor(database, slug=SLUG)


@pytest.fixture
async def client_with(app: Starlette) -> MakeClient:
    """Makes a client of /api/v1 that carries a key."""
    return lambda token: httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://testserver/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    )


@pytest.fixture
async def api(client_with: MakeClient, vendor: Vendor) -> AsyncIterator[httpx.AsyncClient]:
    """The vendor's client, with the secret key."""
    async with client_with(vendor.secret) as client:
        yield client


@pytest.fixture
async def reader(client_with: MakeClient, vendor: Vendor) -> AsyncIterator[httpx.AsyncClient]:
    """The vendor's client, with the public key."""
    async with client_with(vendor.public) as client:
        yield client


@pytest.fixture
async def stranger(client_with: MakeClient, database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """The client of another account, with a secret key."""
    other = await make_vendor(database, slug="another-app")
    async with client_with(other.secret) as client:
        yield client
