"""Many changes of licenses on two servers: random ones, compared with a model, and concurrent ones.

All tests of a database share two servers. Each test ends with a check of the log of events.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from db.engine import Database
from resolvers.log_check import mismatches
from tests.apis.both import Values
from tests.apis.calling import mutate
from tests.apis.conftest import two_serving
from tests.apis.license_model import License, Model
from tests.apis.selling import (
    PATH,
    RENEW,
    UNLIMITED,
    GraphSeller,
    RestSeller,
    Seller,
    Shop,
    graph,
    in_seconds,
    later,
    moment,
    open_shop,
)

pytestmark = pytest.mark.usefixtures("log_agrees")

READ = """query ($id: ID!, $installation: UUID!) {
  node(id: $id) { ... on License {
    status expiresAt features installationId tier { id } customer { id } metadata } }
  app(slug: "atlas") { license(by: {installationId: $installation}) { id status } } }"""
ACTIVE = """{ app(slug: "atlas") {
  publicKeyPem
  licenses(first: 100, filter: {status: ACTIVE}) { nodes { id installationId expiresAt token } } } }"""
CREATE = """mutation ($customer: ID!, $installation: UUID!, $tier: ID!) {
  outcome: createLicense(input: {customerId: $customer, installationId: $installation, tierId: $tier}) {
    license { id } userErrors { code field } } }"""
REFUSALS = {409, 422}
"""A short term may have ended before its request arrives. Then the status is 422."""
LICENSES = 50
VERBS = ("update", "renew", "transfer", "revoke", "reinstate", "regenerate")
WEIGHTS = (45, 25, 5, 8, 10, 7)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, module_url: str) -> Iterator[Shop]:
    """A shop on two servers. Waiting for locks may take long, because many calls change one license."""
    folder, more = tmp_path_factory.mktemp("servers"), {**UNLIMITED, "LICENSEGRAPH_LOCK_TIMEOUT_S": "60"}
    with two_serving(folder, module_url, **more) as servers, open_shop(servers) as shop:
        yield shop


@pytest.fixture
async def log_agrees(shop: Shop, module_url: str) -> AsyncIterator[None]:
    """Checks, at the end of the test, that the log of events agrees with the tables.

    This is what `events check` does. All rows come from the servers, so each must have all of its events.
    """
    yield
    database = Database(module_url)
    try:
        assert [each async for each in mismatches(database)] == []
    finally:
        await database.close()


@pytest.fixture
async def clients(shop: Shop) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of both servers for concurrent calls."""
    limits = httpx.Limits(max_connections=100)
    opened = [
        httpx.AsyncClient(base_url=each.base_url, headers=each.headers, timeout=120, limits=limits)
        for each in shop.clients
    ]
    yield opened
    for client in opened:
        await client.aclose()


class Trader:
    """Makes random calls, and compares each outcome with the model."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self._random = random.Random(seed)
        self._sellers: list[Seller] = [RestSeller(shop), GraphSeller(shop)]
        seller = self._sellers[0]
        self._customers = [seller.customer() for _ in range(5)]
        self._tiers = [seller.tier(features=["export"])["id"] for _ in range(3)]
        self._installations = [str(uuid4()) for _ in range(LICENSES)]
        self.model = Model({tier: ["export"] for tier in self._tiers})
        self.seen: Counter[str] = Counter()
        for number, installation in enumerate(self._installations):
            self._issue(seller, installation, **({} if number % 2 else {"expires_at": in_seconds(2)}))
        # Begin when every other license has expired, so that calls meet expired licenses from the start.
        time.sleep(2)

    def _issue(self, seller: Seller, installation: str, **term: Any) -> None:
        customer, tier = self._random.choice(self._customers), self._random.choice(self._tiers)
        made = seller.license(customer_id=customer, tier_id=tier, installation_id=installation, **term)
        self.model.licenses[made["id"]] = License(
            customer, tier, (), ("export",), installation, _seconds(made["expires_at"]), metadata={}
        )

    def step(self) -> None:
        """Make one call. The server and the model must agree on its outcome, the license and its seat."""
        if self._random.random() < 0.05:
            tier, features = self._random.choice(self._tiers), self._features()
            self._random.choice(self._sellers).change_tier(tier, features=features)
            self.model.tiers[tier] = features
            return
        id = self._random.choice(list(self.model.licenses))
        verb, values = self._call()
        seller = self._random.choice(self._sellers)
        before, began = self.model.licenses[id], _now()
        outcome = seller.call(verb, id, **values)
        answered = _now()
        expected = [self.model.after(id, verb, values, now) for now in range(began, answered + 1)]
        said = f"{verb} {values} of {before}"
        if outcome.wrong is not None:
            wrong = [each for each in expected if not isinstance(each, License)]
            assert outcome.wrong in [seller.wrong(**each) for each in wrong], said
            self.seen.update(f"{verb} {code}" for each in wrong[:1] for code in each.values())
        else:
            found = [each for each in expected if isinstance(each, License)]
            assert found, said
            end = outcome.done["expires_at"]
            agreeing = [each for each in found if each.expires_at == _seconds(end)]
            assert agreeing, f"{said} expires at {end}, not {found[0].expires_at}"
            self.model.licenses[id] = agreeing[0]
            self.seen[f"{verb} {before.status(began)}"] += 1
        self._compare(id, began, said)

    def _compare(self, id: str, began: int, said: str) -> None:
        expected = self.model.licenses[id]
        client = self._random.choice(self._sellers).client
        read = graph(client, READ, id=id, installation=expected.installation_id)
        moments = range(began, _now() + 1)
        shown = read["node"]
        assert shown["status"].lower() in {expected.status(now) for now in moments}, said
        assert {
            "customer_id": shown["customer"]["id"],
            "tier_id": shown["tier"] and shown["tier"]["id"],
            "features": tuple(shown["features"]),
            "installation_id": shown["installationId"],
            "expires_at": _seconds(shown["expiresAt"]),
            "metadata": shown["metadata"],
        } == {
            "customer_id": expected.customer_id,
            "tier_id": expected.tier_id,
            "features": expected.features,
            "installation_id": expected.installation_id,
            "expires_at": expected.expires_at,
            "metadata": expected.metadata,
        }, said
        seated = read["app"]["license"]
        holder = seated["id"] if seated["status"] == "ACTIVE" else None
        assert holder in {self.model.holder(expected.installation_id, now) for now in moments}, said

    def _call(self) -> tuple[str, Values]:
        (verb,) = self._random.choices(VERBS, WEIGHTS)
        match verb:
            case "update":
                return verb, self._changes()
            case "renew":
                start = self._random.choice(["expiry", "now", "expiry_or_now"])
                return verb, {"from": start, **self._term("until", forever=0.05)}
            case "transfer":
                return verb, {"customer_id": self._random.choice(self._customers)}
            case _:
                return verb, {}

    def _changes(self) -> Values:
        changes: Values = {
            "tier_id": self._random.choice([*self._tiers, None]),
            "features": self._features(),
            "installation_id": self._random.choice(self._installations),
            "metadata": {"number": self._random.randrange(3)},
        }
        names = self._random.sample(list(changes), self._random.choice([0, 1, 1, 2, 4]))
        term = self._term("expires_at", forever=0.1) if self._random.random() < 0.5 else {}
        return {name: changes[name] for name in names} | term

    def _term(self, end: str, forever: float) -> Values:
        """Return a term. Every other one ends in a second or two, so that licenses expire."""
        if self._random.random() < forever:
            return {"forever": True}
        if self._random.random() < 0.5:
            return {"duration_days": self._random.randint(1, 60)}
        return {end: in_seconds(self._random.randint(2, 3))}

    def _features(self) -> tuple[str, ...]:
        return tuple(sorted(self._random.sample(["beta", "export", "sso"], self._random.randrange(3))))


def _now() -> int:
    return int(time.time())


def _seconds(text: str | None) -> int | None:
    return None if text is None else int(moment(text).timestamp())


@pytest.mark.parametrize("calls", [200, pytest.param(5_000, marks=pytest.mark.long)])
def test_a_model_predicts_the_outcome_of_random_calls(shop: Shop, calls: int) -> None:
    trader = Trader(shop, seed=calls)

    for _ in range(calls):
        trader.step()

    common = {"update active", "update expired", "renew active", "renew expired", "update TAKEN"}
    assert common <= trader.seen.keys(), trader.seen


async def test_100_renewals_with_one_idempotency_key_add_one_term(
    clients: list[httpx.AsyncClient], shop: Shop
) -> None:
    seller = RestSeller(shop)
    license = seller.license()

    async def renew(number: int) -> httpx.Response:
        url = f"{PATH}/licenses/{license['id']}/renew"
        headers = {"Idempotency-Key": "order-1"}
        return await clients[number % 2].post(url, json={"duration_days": 30}, headers=headers)

    responses = await asyncio.gather(*map(renew, range(100)))

    done = [each for each in responses if each.status_code == 200]
    assert len({each.content for each in done}) == 1
    assert sum("idempotency-replayed" not in each.headers for each in done) == 1
    # The others do not want to wait any longer.
    assert {each.status_code for each in responses} <= {200, 409}
    assert {each.headers["retry-after"] for each in responses if each.status_code == 409} <= {"1"}
    state = seller.state(license["id"])
    assert state["expires_at"] == later(license["expires_at"], 30)
    assert state["events"] == ["LICENSE_RENEWED", "LICENSE_CREATED"]


async def test_each_of_100_renewals_adds_its_term(clients: list[httpx.AsyncClient], shop: Shop) -> None:
    seller = RestSeller(shop)
    license = seller.license()
    input = {"id": license["id"], "durationDays": 1, "from": "EXPIRY"}

    outcomes = await asyncio.gather(*(mutate(clients[each % 2], RENEW, input=input) for each in range(100)))

    assert all(each["userErrors"] == [] for each in outcomes)
    ends = [later(license["expires_at"], days) for days in range(101)]
    assert {each["license"]["expiresAt"] for each in outcomes} <= {*ends[1:]}
    assert sorted(each["previousExpiresAt"] for each in outcomes) == ends[:100]
    state = seller.state(license["id"])
    assert (state["expires_at"], state["version"]) == (ends[100], 101)
    assert seller.claims(state["token"])["exp"] == _seconds(ends[100])


class Crowd:
    """Renews, changes, issues, revokes and rotates at once, on few installations of one app.

    Nothing is reinstated, so a license that was revoked must stay revoked.
    """

    def __init__(self, clients: list[httpx.AsyncClient], shop: Shop) -> None:
        self._clients = clients
        self._random = random.Random(17)
        self._customer = RestSeller(shop).customer()
        self._tiers = [shop.team["id"], shop.pro["id"]]
        self._installations = [str(uuid4()) for _ in range(4)]
        self.licenses: list[str] = []
        self.revoked: set[str] = set()
        """Licenses whose revocation was confirmed."""
        self.seen: Counter[str] = Counter()

    async def issue(self) -> None:
        installation, tier = self._random.choice(self._installations), self._random.choice(self._tiers)
        body = {"customer_id": self._customer, "installation_id": installation, "tier_id": tier}
        made = await self._client.post(f"{PATH}/licenses", json={**body, **self._term("expires_at")})
        self.seen[f"issue {made.status_code}"] += 1
        if made.is_success:
            self.licenses.append(made.json()["data"]["id"])
        else:
            assert made.status_code in REFUSALS, made.text

    async def change(self) -> None:
        """Renew or change a license. This must fail if the license was revoked before."""
        id, installation = self._random.choice(self.licenses), self._random.choice(self._installations)
        method, path, body = self._random.choice(
            [
                ("POST", "/renew", self._term("until")),
                ("POST", "/renew", self._term("until")),
                ("PATCH", "", self._term("expires_at")),
                ("PATCH", "", {"installation_id": installation}),
                ("PATCH", "", {"installation_id": installation, "duration_days": 30}),
            ]
        )
        was_revoked = id in self.revoked
        response = await self._client.request(method, f"{PATH}/licenses/{id}{path}", json=body)
        assert response.status_code in {200, *REFUSALS}, response.text
        self.seen[f"{method} {response.status_code}"] += 1
        if was_revoked and response.is_success:
            # A license keeps its installation if it is moved to where it is.
            assert response.json()["data"]["status"] == "revoked"

    async def revoke(self) -> None:
        id = self._random.choice(self.licenses)
        response = await self._client.post(f"{PATH}/licenses/{id}/revoke")
        assert response.status_code == 200, response.text
        self.revoked.add(id)

    async def rotate(self) -> None:
        response = await self._client.post(f"{PATH}/rotate-keys")
        assert response.status_code == 200, response.text

    async def look(self) -> None:
        """Read all active licenses at one moment, and check them."""
        revoked = set(self.revoked)
        app = (await self._client.post("/graphql", json={"query": ACTIVE})).json()["data"]["app"]
        active = [each for each in app["licenses"]["nodes"] if each["installationId"] in self._installations]
        assert len({each["installationId"] for each in active}) == len(active)
        assert not revoked & {each["id"] for each in active}
        for each in active:
            # The license may have expired since it was read.
            claims = jwt.decode(
                each["token"],
                app["publicKeyPem"],
                algorithms=["EdDSA"],
                audience="atlas",
                options={"verify_exp": False},
            )
            stated = claims["lic_id"], claims["sub"], claims.get("exp")
            assert stated == (each["id"], each["installationId"], _seconds(each["expiresAt"]))
        self.seen[f"look {len(active)}"] += 1

    @property
    def _client(self) -> httpx.AsyncClient:
        return self._random.choice(self._clients)

    def _term(self, end: str) -> Values:
        """Return a term. Two in three end in a second or two."""
        return self._random.choice(
            [{end: in_seconds(2)}, {end: in_seconds(3)}, {"duration_days": 30}],
        )


@pytest.mark.parametrize("rounds", [12, pytest.param(200, marks=pytest.mark.long)])
async def test_renewing_revoking_expiring_and_rotating_at_once(
    clients: list[httpx.AsyncClient], shop: Shop, rounds: int
) -> None:
    """A revoked license is never active, and an installation never has two active licenses."""
    crowd = Crowd(clients, shop)
    await crowd.issue()

    async def repeat(times: int, *actions: Any) -> None:
        for number in range(times):
            await actions[number % len(actions)]()

    await asyncio.gather(
        *(repeat(2 * rounds, crowd.issue, crowd.change, crowd.change) for _ in range(5)),
        repeat(rounds, crowd.change, crowd.change, crowd.revoke),
        repeat(rounds // 5, crowd.rotate),
        *(repeat(rounds, crowd.look) for _ in range(2)),
    )

    await crowd.look()
    seller = RestSeller(shop)
    assert crowd.revoked
    assert {seller.state(id)["status"] for id in crowd.revoked} == {"revoked"}
    assert {"issue 201", "issue 409", "POST 200", "POST 409", "PATCH 200"} <= crowd.seen.keys()


@pytest.fixture
def trial_tier(shop: Shop) -> str:
    return str(RestSeller(shop).tier(trial=True, duration_days=14)["id"])


async def test_one_of_50_clients_starts_the_trial_of_an_installation(
    clients: list[httpx.AsyncClient], shop: Shop, trial_tier: str
) -> None:
    seller, installation = RestSeller(shop), str(uuid4())
    customers = [seller.customer() for _ in range(50)]

    outcomes = await asyncio.gather(
        *(
            mutate(client, CREATE, customer=customer, installation=installation, tier=trial_tier)
            for customer, client in zip(customers, clients * 25, strict=True)
        )
    )

    (made,) = [each["license"]["id"] for each in outcomes if each["license"]]
    refused = [each["userErrors"] for each in outcomes if not each["license"]]
    # The installation also has an active license.
    assert {error["code"] for errors in refused for error in errors} <= {"TRIAL_USED", "TAKEN"}
    assert all("TRIAL_USED" in [error["code"] for error in errors] for errors in refused)
    assert {tuple(error["field"]) for errors in refused for error in errors} == {("installationId",)}
    assert seller.state(made)["trial"] is True


async def test_one_of_50_clients_starts_the_trial_of_a_customer(
    clients: list[httpx.AsyncClient], shop: Shop, trial_tier: str
) -> None:
    seller = RestSeller(shop)
    customer = seller.customer()
    bodies = [
        {"customer_id": customer, "installation_id": str(uuid4()), "tier_id": trial_tier} for _ in range(50)
    ]

    responses = await asyncio.gather(
        *(
            client.post(f"{PATH}/licenses", json=body)
            for body, client in zip(bodies, clients * 25, strict=True)
        )
    )

    assert Counter(each.status_code for each in responses) == {201: 1, 409: 49}
    details = [each.json()["error"]["details"] for each in responses if each.status_code == 409]
    assert {name for each in details for name in each} - {"existing_id"} == {"customer_id"}
    assert seller.licenses_of(customer) == 1
