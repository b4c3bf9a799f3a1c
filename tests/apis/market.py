"""Three apps of two accounts, with customers, licenses, tiers, features and events of them, and a caller."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias

import httpx

from db import clock
from db.engine import Database
from db.urls import parse_url
from tests.factories import (
    Account,
    App,
    Customer,
    Feature,
    License,
    Tier,
    event_row,
    key_id,
    make_account,
    make_app,
    make_customer,
    make_document,
    make_events,
    make_feature,
    make_key,
    make_license,
    make_tier,
    number_events,
)


@dataclass(frozen=True)
class Stock:
    """An app, what is in it, and the id of a key that is limited to it.

    Each of the two customers has an active license with the tier, and a revoked license without a tier.
    Nothing uses the spare tier and the spare feature.
    """

    app: App
    feature: Feature
    tier: Tier
    ada: Customer
    bob: Customer
    of_ada: License
    of_bob: License
    revoked: Mapping[str, License]
    spare_tier: Tier
    spare_feature: Feature
    key_id: str

    def values(self, customer: Customer | None = None) -> dict[str, str]:
        """Return the values for requests about the app and one of its customers, by default Ada."""
        who = customer or self.ada
        license = self.of_ada if who is self.ada else self.of_bob
        return {
            "slug": self.app.slug,
            "app": self.app.id,
            "tier": self.tier.id,
            "spare_tier": self.spare_tier.id,
            "feature": self.feature.id,
            "spare_feature": self.spare_feature.id,
            "key": self.key_id,
            "feature_slug": self.feature.slug,
            "customer": who.id,
            "other_customer": (self.bob if who is self.ada else self.ada).id,
            "email": who.email,
            "external_id": f"crm-{who.email.partition('@')[0]}-{self.app.slug}",
            "license": license.id,
            "installation": license.installation_id,
            "jti": license.jti,
            "revoked": self.revoked[who.id].id,
            "token": f"token.of.{who.email}",
        }


@dataclass(frozen=True)
class Market:
    """Three apps: `atlas` and `borealis` belong to `account`, and `cirrus` belongs to another account."""

    account: Account
    atlas: Stock
    borealis: Stock
    cirrus: Stock


async def make_market(database: Database, suffix: str = "") -> Market:
    """Create the rows of a market.

    `suffix` is added to the name of `account`, and to the slugs and names of the apps.
    """
    account, other = await make_account(database, name=f"Acme{suffix}"), await make_account(database)
    await make_document(database, account)
    stocks = [
        await _make_stock(
            database, await make_app(database, owner, slug=slug + suffix, name=f"{slug.title()}{suffix}")
        )
        for slug, owner in (("atlas", account), ("borealis", account), ("cirrus", other))
    ]
    return Market(account, *stocks)


_MADE: dict[bool, Market] = {}


async def fill_with_market(url: str) -> None:
    """Create a market in a template of databases. `market_in` returns it."""
    database = Database(url)
    _MADE[database.is_sqlite] = await make_market(database)
    await database.close()


def market_in(url: str) -> Market:
    """Return the market in a copy of the template at this URL."""
    return _MADE[parse_url(url).is_sqlite]


async def _make_stock(database: Database, app: App) -> Stock:
    word = app.slug.replace("-", "_")
    feature = await make_feature(database, app, slug=f"{word}_sso")
    tier = await make_tier(database, app, slug=f"{word}_team", features=[feature])
    ada, bob = [
        await make_customer(
            database, app, email=f"{name}@{app.slug}.example", external_id=f"crm-{name}-{app.slug}"
        )
        for name in ("ada", "bob")
    ]
    of_ada, of_bob = [
        await make_license(
            database,
            each,
            tier=tier,
            token=f"token.of.{each.email}",
            expires_at=clock.now() + timedelta(days=365),
        )
        for each in (ada, bob)
    ]
    revoked = {each.id: await make_license(database, each, revoked_at=clock.now()) for each in (ada, bob)}
    spare_tier = await make_tier(database, app, slug=f"{word}_spare")
    spare_feature = await make_feature(database, app, slug=f"{word}_spare")
    owner = Account(app.account_id, "")
    key = await make_key(database, owner, kind="restricted", scopes=["manage_keys"], apps=[app])
    await make_events(
        database,
        [
            event_row(
                app.account_id,
                subject_type=subject_type,
                subject_id=subject_id,
                app=app,
                customer_id=customer.id,
                data={"id": subject_id, "email": customer.email},
            )
            for customer, license in ((ada, of_ada), (bob, of_bob))
            for subject_type, subject_id in (("customer", customer.id), ("license", license.id))
        ],
    )
    await number_events(database)
    return Stock(
        app,
        feature,
        tier,
        ada,
        bob,
        of_ada,
        of_bob,
        revoked,
        spare_tier,
        spare_feature,
        await key_id(database, key),
    )


@dataclass(frozen=True)
class Caller:
    """Calls both APIs with one key, or without a key."""

    client: httpx.AsyncClient
    token: str | None
    headers: Mapping[str, str] | None = None

    def with_headers(self, **headers: str) -> "Caller":
        return replace(self, headers=headers)

    async def post(self, query: str, **variables: Any) -> httpx.Response:
        body = {"query": query, "variables": variables}
        return await self.client.post("/graphql", json=body, headers=self._headers())

    async def data(self, query: str, **variables: Any) -> Any:
        """Send a query and return the response's data. Fails if the response has errors."""
        answer = (await self.post(query, **variables)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def code(self, query: str, **variables: Any) -> str:
        """Send a query and return the code of the only error. Fails if a root field is not null."""
        answer = (await self.post(query, **variables)).json()
        (error,) = answer["errors"]
        assert set((answer.get("data") or {}).values()) <= {None}, answer
        return str(error["extensions"]["code"])

    async def rest(self, method: str, path: str, body: object = None) -> httpx.Response:
        url = path if path.startswith("/api/") else f"/api/v1{path}"
        return await self.client.request(method, url, json=body, headers=self._headers())

    def _headers(self) -> Mapping[str, str]:
        key = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        return {**key, **(self.headers or {})}


As: TypeAlias = Callable[[str | None], Caller]
"""Returns a caller that sends this token, or no key if the token is None."""
