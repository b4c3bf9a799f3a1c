"""Durability: what happens to rows and unfinished work when a server is killed or stopped.

After kill -9, a restarted server has every acknowledged row, and finishes an interrupted purge. After
SIGTERM, a server finishes a write whose request it has begun to read.
"""

import asyncio
import json
import sqlite3
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Table, func, select
from sqlalchemy.engine import make_url

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from resolvers.counters import check
from tests.factories import Account, make_app, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import serving

pytestmark = pytest.mark.usefixtures("log_agrees")

MUTATION = """mutation($email: String!) {
  createCustomer(input: {appSlug: "atlas", email: $email}) { customer { id } userErrors { code } }
}"""
LOOK_UP = "query($id: ID!) { customer(id: $id) { email } }"


async def stream(client: httpx.AsyncClient, name: str, acknowledged: dict[str, str]) -> None:
    """Create customers until the server is gone. Record each confirmed customer in `acknowledged`."""
    number = 0
    while True:
        email = f"{name}-{number}@example.com"
        try:
            response = await client.post("/graphql", json={"query": MUTATION, "variables": {"email": email}})
        except httpx.TransportError:
            return
        acknowledged[response.json()["data"]["createCustomer"]["customer"]["id"]] = email
        number += 1


async def test_no_acknowledged_row_is_lost(
    tmp_path: Path, database_url: str, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    acknowledged: dict[str, str] = {}

    for life in range(3):
        before = len(acknowledged)
        with serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as server:
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
                streams = [stream(client, f"life{life}-{name}", acknowledged) for name in range(4)]
                writing = asyncio.gather(*streams)
                while len(acknowledged) < before + 40:  # noqa: ASYNC110  (it may be killed at any moment)
                    await asyncio.sleep(0.01)
                server.process.kill()
                await writing

    with serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            for id, email in acknowledged.items():
                response = await client.post("/graphql", json={"query": LOOK_UP, "variables": {"id": id}})
                assert response.json()["data"] == {"customer": {"email": email}}
    assert len(acknowledged) >= 120
    if database.is_sqlite:
        with sqlite3.connect(make_url(database_url).database or "") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.close()


async def test_an_interrupted_purge_of_an_app_is_finished_by_the_next_server(
    tmp_path: Path, database_url: str, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    for batch in Believable(app.id, 5_000, 3, clock.now()).batches(10_000):
        async with database.write() as session:
            await session.load(customers, CUSTOMER_COLUMNS, batch.customers)
            await session.load(licenses, LICENSE_COLUMNS, batch.licenses)
    delete = """mutation {
      deleteApp(input: {slug: "atlas"}) { deletedCustomerCount deletedLicenseCount }
    }"""

    with serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            answer = (await client.post("/graphql", json={"query": delete})).json()
            while await counted(database, licenses) == 15_000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            server.process.kill()
    assert answer["data"]["deleteApp"] == {"deletedCustomerCount": 5_000, "deletedLicenseCount": 15_000}
    assert await counted(database, apps) == 1
    await check(database)

    with serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY):
        async with asyncio.timeout(60):
            while await counted(database, apps):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert [await counted(database, table) for table in (customers, licenses)] == [0, 0]


async def counted(database: Database, table: Table) -> int:
    async with database.read() as session:
        found = await session.row(select(func.count()).select_from(table), {})
    return found[0] if found else 0


async def test_a_write_in_flight_is_finished_before_the_server_stops(
    tmp_path: Path, database_url: str, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")
    key = await make_key(database, account)
    body = json.dumps({"query": MUTATION, "variables": {"email": "last@example.com"}}).encode()
    head = (
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nExpect: 100-continue\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )

    with serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as server:
        url = httpx.URL(server.url)
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(head.encode())
        # The server has accepted the key and requested the body. Now it waits for the body.
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        server.process.terminate()
        await asyncio.sleep(0.5)
        assert server.process.poll() is None
        writer.write(body)
        answer = await reader.read()
        writer.close()
        assert server.process.wait(60) == 0

    outcome = json.loads(answer.rpartition(b"\r\n\r\n")[2])["data"]["createCustomer"]
    async with database.write() as session:
        stored = (await session.execute(select(customers.c.id, customers.c.email))).all()
    assert list(map(tuple, stored)) == [(outcome["customer"]["id"], "last@example.com")]
