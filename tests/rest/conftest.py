"""A vendor with an app, and clients with and without a key."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import httpx
import pytest
from starlette.applications import Starlette

from db.engine import Database
from tests.factories import (
    Account,
    App,
    Customer,
    Tier,
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_tier,
)

SLUG = "atlas-studio"
CUSTOMERS = f"/apps/{SLUG}/customers"
TIERS = f"/apps/{SLUG}/tiers"
FEATURES = f"/apps/{SLUG}/features"
LICENSES = f"/apps/{SLUG}/licenses"
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
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
    """Create an account with one app, a secret key and a public key."""
    account = await make_account(database)
    app = await make_app(database, account, slug=slug, name="Atlas Studio")
    secret = await make_key(database, account)
    public = await make_key(database, account, kind="public")
    return Vendor(account, app, secret, public)


async def created(api: httpx.AsyncClient, **fields: object) -> dict[str, Any]:
    """Create a customer of the app `SLUG` through REST, and return it."""
    response = await api.post(CUSTOMERS, json=fields)
    assert response.status_code == 201, response.text
    customer: dict[str, Any] = response.json()["data"]
    return customer


@dataclass(frozen=True)
class Offer:
    """A customer and a tier for licenses of the app `SLUG`."""

    lena: Customer
    team: Tier

    @property
    def body(self) -> dict[str, Any]:
        """The request body for a license of `INSTALLATION`."""
        return {
            "installation_id": INSTALLATION,
            "customer_id": self.lena.id,
            "tier_id": self.team.id,
            "duration_days": 90,
        }


async def issued(api: httpx.AsyncClient, offer: Offer, **fields: object) -> dict[str, Any]:
    """Issue a license of the app `SLUG` through REST, and return it."""
    response = await api.post(LICENSES, json={**offer.body, **fields})
    assert response.status_code == 201, response.text
    license: dict[str, Any] = response.json()["data"]
    return license


@pytest.fixture
async def offer(database: Database, vendor: Vendor) -> Offer:
    """A customer, and a tier with the features export and sso.

    The app also has the feature beta_api, which is in no tier.
    """
    features = [await make_feature(database, vendor.app, slug=slug) for slug in ("sso", "export")]
    await make_feature(database, vendor.app, slug="beta_api")
    team = await make_tier(database, vendor.app, slug="team", features=features)
    return Offer(await make_customer(database, vendor.app, email="lena@orbit.example"), team)


@pytest.fixture
async def anyone(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client of /api/v1 without a key."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/api/v1") as client:
        yield client


@pytest.fixture
async def vendor(database: Database) -> Vendor:
    """The vendor of the app `SLUG`."""
    return await make_vendor(database, slug=SLUG)


@pytest.fixture
async def client_with(app: Starlette) -> MakeClient:
    """A function that returns a client of /api/v1 with a given key."""
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
    """A client with the secret key of another account."""
    other = await make_vendor(database, slug="another-app")
    async with client_with(other.secret) as client:
        yield client
