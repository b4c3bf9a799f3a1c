"""Clients that repeat a request with its idempotency key: each order has its effect exactly once.

Real processes are killed, a proxy loses responses, and many calls with one key arrive at once.
"""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import func, select

from db.engine import Database
from db.events import events
from db.idempotency import idempotency
from db.licenses import licenses
from tests.factories import Account, App, Customer, make_customer, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import serving

LOST = (httpx.TransportError, asyncio.TimeoutError)
ISSUE = """mutation($customer: ID!) {
  createLicense(input: {customerId: $customer, forever: true}) { license { id jti } userErrors { code } } }"""


@pytest.fixture
async def lena(database: Database, atlas: App) -> Customer:
    return await make_customer(database, atlas, email="lena@orbit.example")


class Shop:
    """Sends orders, each with its own idempotency key. An order issues a license."""

    def __init__(self, url: str, token: str, customer: Customer) -> None:
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}
        self.client = httpx.AsyncClient(base_url=url, headers=headers, timeout=60)
        self._customer = customer

    async def order(self, number: int) -> httpx.Response:
        """Send an order. Raises `LOST` if the response is lost."""
        body = {"query": ISSUE, "variables": {"customer": self._customer.id}}
        return await self.client.post("/graphql", json=body, headers={"Idempotency-Key": f"order-{number}"})

    async def order_until_done(self, number: int) -> httpx.Response:
        """Repeat an order until it is done."""
        while True:
            try:
                response = await self.order(number)
            except LOST:
                continue
            if response.json()["data"]["createLicense"] is not None:
                return response
            await asyncio.sleep(0.05)


def license_of(response: httpx.Response) -> dict[str, Any]:
    payload = response.json()["data"]["createLicense"]
    assert payload["userErrors"] == []
    license: dict[str, Any] = payload["license"]
    return license


async def count(database: Database, table: Any) -> int:
    async with database.read() as session:
        row = await session.row(select(func.count()).select_from(table), {})
    assert row is not None
    return int(row[0])


async def killed(
    folder: Path, database: Database, url: str, token: str, customer: Customer, *, seconds: float
) -> None:
    """Kill a server while 8 clients send orders. Then repeat the orders on another server."""
    variables = {"DATABASE_URL": url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    numbers, done, lost = itertools.count(), dict[int, dict[str, Any]](), set[int]()

    async def send(shop: Shop) -> None:
        for number in numbers:
            try:
                done[number] = license_of(await shop.order(number))
            except LOST:
                lost.add(number)
                return

    with serving(folder, **variables) as server:
        shop = Shop(server.url, token, customer)
        sending = [asyncio.create_task(send(shop)) for _ in range(8)]
        await asyncio.sleep(seconds)
        server.process.send_signal(signal.SIGKILL)
        await asyncio.gather(*sending)
    issued = await count(database, licenses)
    with serving(folder, **variables) as server:
        shop = Shop(server.url, token, customer)
        responses = {number: await shop.order_until_done(number) for number in sorted({*done, *lost})}

    assert len(lost) == 8
    assert len(done) <= issued <= len(done) + len(lost)
    for number, license in done.items():
        assert license_of(responses[number]) == license
        assert responses[number].headers["idempotency-replayed"] == "true"
    orders = len(done) + len(lost)
    assert len({license_of(each)["id"] for each in responses.values()}) == orders
    assert await count(database, licenses) == await count(database, idempotency) == orders
    assert await count(database, events) == orders


async def test_no_order_is_lost_or_doubled_when_the_server_is_killed(
    tmp_path: Path, database: Database, database_url: str, account: Account, lena: Customer
) -> None:
    token = await make_key(database, account)

    await killed(tmp_path, database, database_url, token, lena, seconds=0.3)


@pytest.mark.long
async def test_no_order_is_lost_or_doubled_when_the_server_is_killed_again_and_again(
    tmp_path: Path, database: Database, database_url: str, account: Account, atlas: App
) -> None:
    token = await make_key(database, account)
    lena = await make_customer(database, atlas, email="lena@orbit.example")

    await killed(tmp_path, database, database_url, token, lena, seconds=5)


async def test_50_calls_with_one_key_over_two_processes(
    clients: list[httpx.AsyncClient], database: Database, atlas: App, lena: Customer
) -> None:
    """All calls are the first one or its replay, except for those that do not want to wait any longer."""
    mutation = {"query": ISSUE, "variables": {"customer": lena.id}}
    customer = {"email": "ada@orbit.example"}
    calls = [("/graphql", mutation), (f"/api/v1/apps/{atlas.slug}/customers", customer)]

    async def sent(path: str, body: object) -> list[httpx.Response]:
        headers = {"Idempotency-Key": "order-1"}
        both = itertools.islice(itertools.cycle(clients), 50)
        return await asyncio.gather(*(each.post(path, json=body, headers=headers) for each in both))

    graph, rest = [await sent(path, body) for path, body in calls]

    answers = [each.json() for each in graph]
    done = [each for each in answers if "errors" not in each]
    codes = {error["extensions"]["code"] for each in answers for error in each.get("errors", ())}
    assert codes <= {"IDEMPOTENCY_IN_PROGRESS"}
    assert len({each["data"]["createLicense"]["license"]["id"] for each in done}) == 1
    assert Counter("idempotency" in each["extensions"] for each in done)[False] == 1
    assert {each.status_code for each in rest} <= {201, 409}
    assert {each.headers["retry-after"] for each in rest if each.status_code == 409} <= {"1"}
    assert len({each.content for each in rest if each.status_code == 201}) == 1
    assert await count(database, licenses) == 1
    assert await count(database, events) == 2


@asynccontextmanager
async def losing(url: str, every: int) -> AsyncIterator[str]:
    """Run a proxy that loses the response of one in `every` connections. Yield its URL."""
    target, numbers = urlsplit(url), itertools.count(1)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_lost = next(numbers) % every == 0
        to_read, to_write = await asyncio.open_connection(target.hostname, target.port)
        sending = asyncio.create_task(_pass_on(reader, to_write))
        answer = await to_read.read()  # until the server closes the connection
        sending.cancel()
        if not is_lost:
            writer.write(answer)
            await writer.drain()
        writer.close()
        to_write.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as proxy:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65_536):
        writer.write(part)
        await writer.drain()


@pytest.mark.parametrize(
    "orders", [pytest.param(60, id="short"), pytest.param(1_000, id="long", marks=pytest.mark.long)]
)
async def test_as_many_licenses_as_orders_although_responses_are_lost(
    tmp_path: Path, database: Database, database_url: str, account: Account, lena: Customer, orders: int
) -> None:
    token = await make_key(database, account)
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}

    with serving(tmp_path, **variables) as server:
        async with losing(server.url, every=3) as url:
            shop = Shop(url, token, lena)
            responses = []
            for first in range(0, orders, 10):
                batch = range(first, min(first + 10, orders))
                responses += await asyncio.gather(*map(shop.order_until_done, batch))

    assert len({license_of(each)["id"] for each in responses}) == orders
    assert await count(database, licenses) == orders
    assert sum("idempotency-replayed" in each.headers for each in responses) >= orders // 3
