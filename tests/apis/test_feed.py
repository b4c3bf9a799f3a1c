"""The feed of events: anyone can rebuild everything from it, and follow it without missing anything."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url

from db.engine import Database
from db.events import events
from tests.apis.calling import count, mutate
from tests.apis.conftest import two_serving
from tests.factories import Account
from tests.log import check_log
from tests.processes import Server

OFF = {"LICENSEGRAPH_RATE_LIMIT_PER_MINUTE": "0", "LICENSEGRAPH_BUDGET_PER_SECOND": "0"}
CREATE_APP = """mutation {
  outcome: createApp(input: {name: "Atlas", slug: "atlas", signingAlgorithm: EDDSA}) { userErrors { code } }
}"""
CREATE_CUSTOMER = """mutation($email: String!) {
  outcome: createCustomer(input: {appSlug: "atlas", email: $email}) { customer { id } userErrors { code } }
}"""
UPDATE_CUSTOMER = """mutation($id: ID!, $name: String) {
  outcome: updateCustomer(input: {id: $id, name: $name}) { customer { id } userErrors { code } }
}"""
CREATE_LICENSE = """mutation($id: ID!) {
  outcome: createLicense(input: {customerId: $id, forever: true}) { license { id } userErrors { code } }
}"""
CHANGE_LICENSE = "mutation($id: ID!) { outcome: %s(input: {id: $id}) { userErrors { code } } }"
APP = "/api/v1/apps/atlas"
CLIENTS = 8
WRITERS = 12


@pytest.fixture
def servers(tmp_path: Path, database_url: str, account: Account) -> Iterator[list[Server]]:
    with two_serving(tmp_path, database_url, **OFF) as servers:
        yield servers


class Vendor:
    """Sends random operations, by REST and by the graph, about what earlier operations have made."""

    def __init__(self, clients: list[httpx.AsyncClient], seed: int) -> None:
        self._clients = clients
        self._random = random.Random(seed)
        self._customers: list[str] = []
        self._licenses: list[str] = []
        self._number = 0

    async def operate(self) -> None:
        """Send one operation. It may be refused, because others delete what this one changes."""
        operation = self._random.choice(
            (
                *(self._create_customer, self._create_customer, self._update_customer),
                *(self._create_license, self._create_license, self._change_license, self._change_license),
                *(self._delete_customer, self._delete_license, self._change_catalog, self._update_app),
            )
        )
        await operation(self._random.choice(self._clients))

    def _any(self, ids: list[str]) -> str:
        return self._random.choice(ids) if ids else "none"

    async def _create_customer(self, client: httpx.AsyncClient) -> None:
        self._number += 1
        email = f"{self._number}.{self._random.randrange(10**9)}@example.com"
        if self._random.random() < 0.5:
            made = await mutate(client, CREATE_CUSTOMER, email=email)
            self._customers.append(made["customer"]["id"])
        else:
            response = await client.post(f"{APP}/customers", json={"email": email, "metadata": {"a": [1]}})
            self._customers.append(response.json()["data"]["id"])

    async def _update_customer(self, client: httpx.AsyncClient) -> None:
        id, name = self._any(self._customers), self._random.choice([None, "Ada", "Lena"])
        if self._random.random() < 0.5:
            await mutate(client, UPDATE_CUSTOMER, id=id, name=name)
        else:
            await client.put(f"{APP}/customers/{id}", json={"name": name})

    async def _delete_customer(self, client: httpx.AsyncClient) -> None:
        await client.delete(f"{APP}/customers/{self._any(self._customers)}")

    async def _create_license(self, client: httpx.AsyncClient) -> None:
        customer = self._any(self._customers)
        if self._random.random() < 0.5:
            made = (await mutate(client, CREATE_LICENSE, id=customer))["license"]
        else:
            body = {"customer_id": customer, "duration_days": 30}
            made = (await client.post(f"{APP}/licenses", json=body)).json().get("data")
        if made is not None:
            self._licenses.append(made["id"])

    async def _change_license(self, client: httpx.AsyncClient) -> None:
        id, change = self._any(self._licenses), self._random.choice(["revoke", "reinstate", "regenerate"])
        if self._random.random() < 0.5:
            await mutate(client, CHANGE_LICENSE % f"{change}License", id=id)
        else:
            await client.post(f"{APP}/licenses/{id}/{change}")

    async def _delete_license(self, client: httpx.AsyncClient) -> None:
        await client.delete(f"{APP}/licenses/{self._any(self._licenses)}")

    async def _change_catalog(self, client: httpx.AsyncClient) -> None:
        kind = self._random.choice(["tiers", "features"])
        listed = (await client.get(f"{APP}/{kind}")).json()["data"]
        if not listed or self._random.random() < 0.4:
            await client.post(f"{APP}/{kind}", json={"slug": f"s{self._random.randrange(50)}", "name": "S"})
        elif self._random.random() < 0.6:
            body = {"name": self._random.choice(["One", "Two"])}
            await client.put(f"{APP}/{kind}/{self._random.choice(listed)['id']}", json=body)
        else:
            await client.delete(f"{APP}/{kind}/{self._random.choice(listed)['id']}")

    async def _update_app(self, client: httpx.AsyncClient) -> None:
        await client.put(APP, json={"description": self._random.choice([None, "One", "Two"])})


async def pages(client: httpx.AsyncClient, path: str) -> list[Any]:
    """Return the items of all pages of a list."""
    found: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = (await client.get(path, params={"cursor": cursor, "per_page": 100})).json()
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    return found


async def feed(client: httpx.AsyncClient, total: int) -> list[Any]:
    """Read the feed from its start, until it has shown this number of events."""
    found: list[Any] = []
    after = "start"
    async with asyncio.timeout(60):
        while len(found) < total:
            page = (await client.get("/api/v1/events", params={"after": after, "limit": 100})).json()
            found += page["data"]
            after = page["meta"]["next"]
            if not page["meta"]["has_more"]:
                await asyncio.sleep(0.05)
    return found


def rebuilt(found: list[Any]) -> dict[tuple[str, str], Any]:
    """Return what the feed says that there is, by type and id. Checks that versions have no gaps."""
    state: dict[tuple[str, str], Any] = {}
    versions: dict[tuple[str, str], int] = {}
    for event in found:
        subject = event["subject"]["type"], event["subject"]["id"]
        assert event["version"] == versions.get(subject, 0) + 1, event
        versions[subject] = event["version"]
        if event["type"].endswith(".deleted"):
            del state[subject]
        else:
            state[subject] = event["data"]
    return state


@pytest.mark.parametrize("operations", [200, pytest.param(2_000, marks=pytest.mark.long)])
async def test_the_state_that_is_rebuilt_from_the_feed_is_what_the_api_returns(
    clients: list[httpx.AsyncClient], database: Database, database_url: str, operations: int
) -> None:
    assert await mutate(clients[0], CREATE_APP) == {"userErrors": []}
    vendor = Vendor(clients, operations)

    async def work() -> None:
        for _ in range(operations // CLIENTS):
            await vendor.operate()

    await asyncio.gather(*(work() for _ in range(CLIENTS)))

    found = await feed(clients[0], await count(database, events))
    state = rebuilt(found)
    shown = {("app", app["id"]): app for app in await pages(clients[1], "/api/v1/apps")}
    for type in ("customer", "license", "tier", "feature"):
        path = f"{APP}/{type}s"
        listed = (await clients[1].get(path)).json()["data"]
        listed = listed if type in {"tier", "feature"} else await pages(clients[1], path)
        shown |= {(type, each["id"]): each for each in listed}
    assert state.keys() == shown.keys()
    for subject, resource in shown.items():
        assert {key: state[subject][key] for key in resource} == resource
    assert len(found) > operations / 3
    await check_log(database_url)


@asynccontextmanager
async def writing_elsewhere(database_url: str) -> AsyncIterator[None]:
    """Keep a transaction that has written open in another database of the same PostgreSQL server."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        yield
        return
    other = await asyncpg.connect(url.set(database="postgres").render_as_string(hide_password=False))
    async with other.transaction():
        await other.execute("CREATE TEMPORARY TABLE held (id integer) ON COMMIT DROP")
        await other.execute("INSERT INTO held VALUES (1)")
        yield
    await other.close()


@pytest.mark.parametrize(("seconds", "late_s"), [(2, 10), pytest.param(10, 1, marks=pytest.mark.long)])
async def test_who_follows_the_feed_misses_nothing_and_sees_nothing_twice(
    clients: list[httpx.AsyncClient], database: Database, database_url: str, seconds: int, late_s: int
) -> None:
    """12 writers write, and a transaction of another database stays open.

    Only the long test expects that events are in time, because it needs processors that are free.
    """
    assert await mutate(clients[0], CREATE_APP) == {"userErrors": []}
    committed: dict[str, float] = {}
    seen: dict[str, float] = {}
    until = time.monotonic() + seconds

    async def write(writer: int) -> None:
        number = 0
        while time.monotonic() < until:
            number += 1
            client = clients[(writer + number) % 2]
            made = await mutate(client, CREATE_CUSTOMER, email=f"{writer}.{number}@example.com")
            committed[made["customer"]["id"]] = time.monotonic()

    async def follow(is_over: Callable[[], bool]) -> None:
        after = "start"
        while not is_over():
            page = (await clients[0].get("/api/v1/events", params={"after": after, "limit": 100})).json()
            after = page["meta"]["next"]
            for event in page["data"]:
                if event["type"] == "customer.created":
                    assert event["subject"]["id"] not in seen
                    seen[event["subject"]["id"]] = time.monotonic()
            await asyncio.sleep(0.02)

    async with writing_elsewhere(database_url):
        writing = asyncio.gather(*map(write, range(WRITERS)))
        async with asyncio.timeout(seconds + 60):
            await follow(lambda: writing.done() and len(seen) >= len(committed))
            await writing

    assert seen.keys() == committed.keys()
    assert max(seen[id] - committed[id] for id in committed) < late_s
    assert await count(database, events) == len(committed) + 1
