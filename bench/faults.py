"""Causes many faults at the same time, and measures how they affect another client.

``python -m bench.faults [CUSTOMERS]``, 100,000 by default. For 16 seconds, a server on each database suffers
all of these faults at the same time:

- Another session locks a row that ten writers need. On SQLite, another process holds the file's write lock.
- Ten clients repeatedly request long scans and disconnect.
- On PostgreSQL, all sessions of the server are terminated twice a second, and the network goes silent for ten
  seconds.

Meanwhile, another client requests the dashboard and the health check. On SQLite, every response to it must be
a 200. On PostgreSQL, and for the writers, a 503 is allowed too. Every response must arrive within its
deadline. One second after the faults end, the server must respond normally again.
"""

import asyncio
import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx

from bench import stores
from bench.contestants import CONTESTANTS, started
from bench.datasets import Size
from bench.stores import Store
from bench.workloads import SLUG

CUSTOMERS = 100_000
SECONDS = 16
SILENT_SECONDS = 10
DEADLINE_S = 10
HEALTH_S = 1
SLACK_S = 1.5  # extra time, for a busy machine
RECOVERY_S = 1

DASHBOARD = """query($slug: String!) { app(slug: $slug) { customers(first: 50) {
  totalCount nodes { id email licenses(first: 10) { totalCount nodes { id status } } } } } }"""
RENAME = """mutation($id: ID!) { updateCustomer(input: {id: $id, name: "Someone"}) {
  customer { name } userErrors { code } } }"""
SCAN = "{{ app(slug: {slug}) {{ {fields} }} }}".format(
    slug=json.dumps(SLUG),
    fields=" ".join(
        f'a{number}: customers(first: 1, filter: {{search: "a{number % 10}"}}) {{ totalCount }}'
        for number in range(50)
    ),
)


@dataclass
class Seen:
    """The responses to one client: for each status, their number and the slowest time."""

    statuses: Counter[int] = field(default_factory=Counter)
    slowest: dict[int, float] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] += 1
        self.slowest[status] = max(self.slowest.get(status, 0), seconds)

    def __str__(self) -> str:
        return ", ".join(
            f"{count} × {status} (slowest {self.slowest[status]:.2f} s)"
            for status, count in sorted(self.statuses.items())
        )

    def is_good(self, allowed: set[int], deadline: float) -> bool:
        return set(self.statuses) <= allowed and max(self.slowest.values()) < deadline + SLACK_S


class Network:
    """A TCP proxy in front of PostgreSQL that can go silent: connections stay open, but no bytes pass."""

    def __init__(self, socket_file: Path) -> None:
        self._socket_file = socket_file
        self._passes = asyncio.Event()
        self._passes.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        yield server.sockets[0].getsockname()[1]
        server.close()
        for task in self._tasks:
            task.cancel()

    async def be_silent(self, seconds: float) -> None:
        self._passes.clear()
        await asyncio.sleep(seconds)
        self._passes.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passes.wait()
        there, back = await asyncio.open_unix_connection(str(self._socket_file))
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass_on(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._passes.wait()
                target.write(data)
                await target.drain()
        target.close()


@dataclass(frozen=True)
class Server:
    """The tested server, a client for it, and the id of a customer."""

    store: Store
    client: httpx.AsyncClient
    customer_id: str

    async def ask(self, seen: Seen, call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        begun = time.monotonic()
        response = await call()
        seen.add(response.status_code, time.monotonic() - begun)
        return response

    def dashboard(self) -> Awaitable[httpx.Response]:
        return self._graph(DASHBOARD, {"slug": SLUG})

    def health(self) -> Awaitable[httpx.Response]:
        return self.client.get("/api/health")

    def rename(self) -> Awaitable[httpx.Response]:
        return self._graph(RENAME, {"id": self.customer_id})

    async def scan_and_hang_up(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                await self._graph(SCAN, {})

    def _graph(self, query: str, variables: dict[str, object]) -> Awaitable[httpx.Response]:
        return self.client.post("/graphql", json={"query": query, "variables": variables})


async def _forever(*calls: Callable[[], Awaitable[object]], pause: float = 0.02) -> None:
    while True:
        await asyncio.gather(*(call() for call in calls))
        await asyncio.sleep(pause)


async def _hold_lock(server: Server) -> None:
    """Hold the lock that writers need, until this task is cancelled."""
    if server.store.name == "sqlite":
        connection = sqlite3.connect(server.store.url.removeprefix("sqlite:///"), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            await asyncio.Event().wait()
        finally:
            connection.close()
    connection = await asyncpg.connect(server.store.plain_url)
    try:
        async with connection.transaction():
            await connection.execute("SELECT FROM customers WHERE id = $1 FOR UPDATE", server.customer_id)
            await asyncio.Event().wait()
    finally:
        await connection.close()


async def _end_sessions(url: str) -> None:
    """Terminate the tested server's sessions twice a second, but not the session that holds the lock."""
    connection = await asyncpg.connect(url)
    while True:
        await asyncio.sleep(0.5)
        await connection.fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'licensegraph'"
        )


async def tried(server: Server, *faults: Coroutine[Any, Any, None]) -> bool:
    """Cause all faults at the same time, and print the results. Return True if all limits were met."""
    dashboards, healths, writes, after = Seen(), Seen(), Seen(), Seen()
    writers = [lambda: server.ask(writes, server.rename)] * 10
    tasks = [
        asyncio.create_task(each)
        for each in (
            _hold_lock(server),
            _forever(*writers),
            _forever(*[server.scan_and_hang_up] * 10, pause=1),
            _forever(lambda: server.ask(dashboards, server.dashboard)),
            _forever(lambda: server.ask(healths, server.health)),
            *faults,
        )
    ]
    await asyncio.wait(tasks, timeout=SECONDS, return_when=asyncio.FIRST_EXCEPTION)
    for task in tasks:
        task.cancel()
    failures = [
        each for each in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(each, Exception)
    ]
    await asyncio.sleep(RECOVERY_S)
    health = await server.ask(after, server.health)
    for call in (server.dashboard, server.rename):
        await server.ask(after, call)

    allowed = {200} if server.store.name == "sqlite" else {200, 503}
    good = {
        "dashboard": dashboards.is_good(allowed, DEADLINE_S),
        "health": healths.is_good(allowed, HEALTH_S),
        "writes": writes.is_good({200, 503}, DEADLINE_S),
        "a second after": after.is_good({200}, HEALTH_S) and "writes" not in health.json()["data"],
    }
    print(f"{server.store.name}:")
    for (name, is_good), seen in zip(good.items(), (dashboards, healths, writes, after), strict=True):
        print(f"  {'ok' if is_good else 'FAILED':6} {name}: {seen}")
    for failure in failures:
        print(f"  {type(failure).__name__}: {failure}")
    return all(good.values()) and not failures


async def _on(store: Store) -> bool:
    if store.name == "sqlite":
        async with _serving(store) as server:
            return await tried(server)
    query = parse_qs(urlsplit(store.url).query)
    network = Network(Path(query["host"][0]) / ".s.PGSQL.5432")
    async with network.listening() as port:
        through = f"postgresql://postgres@127.0.0.1:{port}/licensegraph"
        async with _serving(replace(store, url=through, plain_url=store.url)) as server:
            return await tried(server, _end_sessions(store.url), network.be_silent(SILENT_SECONDS))


@asynccontextmanager
async def _serving(store: Store) -> AsyncIterator[Server]:
    context = started(CONTESTANTS[0], store)
    running = await asyncio.to_thread(context.__enter__)
    headers = {"Authorization": f"Bearer {store.data.token}"}
    limits = httpx.Limits(max_connections=None)
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{running.port}", headers=headers, limits=limits, timeout=60
        ) as client:
            yield Server(store, client, store.data.customer_ids[0])
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def main() -> None:
    customers = int(sys.argv[1]) if sys.argv[1:] else CUSTOMERS
    found = []
    for name in stores.NAMES:
        with stores.opened(name, Size(customers, 100, 3, 3), with_peers=False) as store:
            found.append(asyncio.run(_on(store)))
    sys.exit(0 if all(found) else 1)


if __name__ == "__main__":
    main()
