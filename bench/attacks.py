"""Runs many attacks on a server at the same time, and measures how they affect an ordinary client.

``python -m bench.attacks [--customers N] [--seconds N] [--store NAME] [--attacks NAMES]``. By default:
100,000 customers, 60 seconds on each database, all attacks. A process attacks the server with

- request heads that arrive byte by byte or never end, and bodies that stop halfway,
- upgrades to HTTP/2 and WebSocket, with bodies that arrive later and look like requests,
- nested introspection and repeated fields, most of them without a key,
- as many scans as the limits allow, and more, by clients that wait and by clients that disconnect,
- a revoked key, in requests whose bodies arrive slowly.

Meanwhile, the client requests the dashboard and the health check. The dashboard's p99 must stay below
five times its value before the attacks, and every health check must take less than a second. The server must
stay below 250 MiB, and requests with the revoked key must not write any row. One second after the attacks,
the dashboard's p99 must be below the same limit. During and after the attacks, every request of this client
must succeed.
"""

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from bench import stores
from bench.contestants import CONTESTANTS, Running, started
from bench.datasets import Size
from bench.measuring import memory
from bench.stores import Store
from bench.workloads import SLUG

QUIET_S = 10
TIMES_P99 = 5
HEALTH_S = 1
MOST_MIB = 250
RECOVERY_S = 1

DASHBOARD = """query($slug: String!) { app(slug: $slug) { customers(first: 50) {
  totalCount nodes { id email licenses(first: 10) { totalCount nodes { id status } } } } } }"""
WRITE = """mutation { createCustomer(input: {appSlug: "%s", email: "attacker-%d@example.com"}) {
  userErrors { code } } }"""
WRITTEN = """query($slug: String!) { app(slug: $slug) {
  customers(first: 1, filter: {email: "attacker-"}) { totalCount } } }"""
_numbers = itertools.count()


@dataclass(frozen=True)
class Target:
    """The attacked server: its port, a valid key, and a revoked key."""

    port: int
    key: str
    revoked: str

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def send(self, *parts: bytes, pause: float, wait: float = 5) -> bytes:
        """Send bytes with pauses between them, and return the response, if any."""
        with suppress(OSError, TimeoutError):
            async with self.connected() as (reader, writer), asyncio.timeout(wait):
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                return await reader.read(65_536)
        return b""

    async def ask(self, query: str, key: str | None = None, patience: float = 30) -> None:
        body = json.dumps({"query": f"{query} # {next(_numbers)}"}).encode()
        await self.send(self.head(len(body), key) + body, pause=0, wait=patience)

    def head(self, length: int, key: str | None = None, extra: str = "") -> bytes:
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        return (
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"{extra}{authorization}Content-Length: {length}\r\n\r\n"
        ).encode()


async def slow_head(target: Target) -> None:
    head = target.head(10)
    await target.send(*(head[i : i + 1] for i in range(len(head))), pause=0.02, wait=30)


async def endless_head(target: Target) -> None:
    lines = (b"X-%d: %s\r\n" % (number, b"x" * 1_000) for number in range(10_000))
    await target.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n", *lines, pause=0, wait=30)


async def half_body(target: Target) -> None:
    await target.send(target.head(1_000) + b"{" * 500, pause=60, wait=40)


async def upgrade(target: Target) -> None:
    upgrading = (
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
    )
    inner = b"DELETE /api/v1/apps/%s HTTP/1.1\r\nHost: localhost\r\n" % SLUG.encode()
    inner += b"Authorization: Bearer %s\r\n\r\n" % target.key.encode()
    await target.send(target.head(len(inner), extra=upgrading), inner, pause=0.05)
    handshake = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    await target.send(b"GET /graphql HTTP/1.1\r\nHost: localhost\r\n" + handshake + b"\r\n", pause=0.05)


async def introspection(target: Target) -> None:
    outer = " ".join(f"a{i}:fields{{type{{...G ofType{{...G}}}}}}" for i in range(10))
    inner = " ".join(f"b{i}:fields{{type{{name ofType{{name}}}}}}" for i in range(10))
    await target.ask(
        f"{{__schema{{types{{...F}}}}}} fragment F on __Type{{{outer}}} fragment G on __Type{{{inner}}}"
    )
    aliases = " ".join(f"a{i}:__schema{{...S}}" for i in range(50))
    await target.ask(f"{{{aliases}}} fragment S on __Schema{{types{{fields{{name}}}}}}")


async def repetition(target: Target) -> None:
    await target.ask(f'{{ app(slug: "x") {{ {"customers { nodes { id } } " * 600} }} }}')
    await target.ask(f'{{ verifyLicense(appSlug: "x", by: {{jti: "y"}}) {{ {"valid reason " * 2_000} }} }}')
    await target.ask(f'{{ app(slug: "x") {{ {"customers { nodes { id } } " * 140} }} }}', target.key)


async def scan(target: Target, patience: float = 30) -> None:
    scans = " ".join(
        f'a{i}: customers(first: 1, filter: {{search: "an"}}) {{ totalCount }}' for i in range(100)
    )
    await target.ask(f'{{ app(slug: "{SLUG}") {{ {scans} }} }}', target.key, patience)
    allowed = " ".join(
        f'a{i}: customers(first: 1, filter: {{search: "{i}a"}}) {{ totalCount }}' for i in range(4)
    )
    await target.ask(f'{{ app(slug: "{SLUG}") {{ {allowed} }} }}', target.key, patience)


async def scan_and_hang_up(target: Target) -> None:
    await scan(target, patience=0.3)


async def revoked(target: Target) -> None:
    body = json.dumps({"query": WRITE % (SLUG, next(_numbers))}).encode()
    middle = len(body) // 2
    await target.send(target.head(len(body), target.revoked) + body[:middle], body[middle:], pause=1.5)


ATTACKS: dict[Callable[[Target], Coroutine[Any, Any, None]], int] = {
    slow_head: 50,
    endless_head: 2,
    half_body: 100,
    upgrade: 4,
    introspection: 2,
    repetition: 2,
    scan: 4,
    scan_and_hang_up: 10,
    revoked: 4,
}
"""Each attack, and the number of clients that run it at the same time."""


def attack(target: Target, seconds: float, names: Sequence[str]) -> None:
    """Run all named attacks at the same time, for `seconds`."""

    async def forever(act: Callable[[Target], Coroutine[Any, Any, None]]) -> None:
        while True:
            await act(target)
            await asyncio.sleep(0.05)

    async def everything() -> None:
        chosen = [act for act, times in ATTACKS.items() if act.__name__ in names for _ in range(times)]
        tasks = [asyncio.create_task(forever(act)) for act in chosen]
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*tasks)

    os.nice(10)  # a real attacker has its own machine
    asyncio.run(everything())


@dataclass
class Seen:
    """The responses to one client: their durations in seconds, and how many had each status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98]

    def __str__(self) -> str:
        if not self.seconds:
            return "nothing"
        counted = ", ".join(f"{count} × {status}" for status, count in sorted(self.statuses.items()))
        p50, p99, slowest = statistics.median(self.seconds), self.p99, max(self.seconds)
        times = f"p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f}, slowest {slowest * 1000:.1f}"
        return f"{counted}; {times}"


async def watch(client: httpx.AsyncClient, running: Running, seconds: float) -> tuple[Seen, Seen, int]:
    """Request the dashboard and the health check for `seconds`.

    Return the responses of the dashboard, those of the health check, and the server's peak memory in bytes.
    """
    dashboards, healths, most = Seen(), Seen(), 0
    ends = time.monotonic() + seconds

    async def ask(seen: Seen, pause: float, **request: Any) -> None:
        while time.monotonic() < ends:
            begun = time.monotonic()
            try:
                status = (await client.request(**request)).status_code
            except httpx.HTTPError as error:
                print(f"  {type(error).__name__}: {error}")
                status = 0
            seen.seconds.append(time.monotonic() - begun)
            seen.statuses[status] += 1
            await asyncio.sleep(pause)

    async def weigh() -> None:
        nonlocal most
        while time.monotonic() < ends:
            most = max(most, sum(memory(running.process)))
            await asyncio.sleep(0.5)

    question = {"query": DASHBOARD, "variables": {"slug": SLUG}}
    await asyncio.gather(
        ask(dashboards, 0.02, method="POST", url="/graphql", json=question),
        ask(healths, 0.2, method="GET", url="/api/health"),
        weigh(),
    )
    return dashboards, healths, most


async def tried(store: Store, running: Running, seconds: float, names: Sequence[str]) -> bool:
    """Attack a server, and print the results. Return True if the server stayed within all limits."""
    target = Target(running.port, store.data.token, _revoked_key(store))
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{running.port}",
        headers={"Authorization": f"Bearer {store.data.token}"},
        timeout=30,
    ) as client:
        quiet, _, _ = await watch(client, running, QUIET_S)
        attacker = multiprocessing.get_context("spawn").Process(target=attack, args=(target, seconds, names))
        attacker.start()
        await asyncio.sleep(2)
        dashboards, healths, most = await watch(client, running, seconds - 2)
        await asyncio.to_thread(attacker.join)
        await asyncio.sleep(RECOVERY_S)
        after, health_after, _ = await watch(client, running, 3)
        written = await client.post("/graphql", json={"query": WRITTEN, "variables": {"slug": SLUG}})
        rows = written.json()["data"]["app"]["customers"]["totalCount"]
    allowed = TIMES_P99 * quiet.p99
    good = {
        f"dashboard, p99 below {allowed * 1000:.1f} ms": dashboards.p99 < allowed
        and set(dashboards.statuses) == {200},
        "health": max(healths.seconds) < HEALTH_S and set(healths.statuses) == {200},
        f"memory below {MOST_MIB} MiB": most < MOST_MIB << 20,
        "a second after": after.p99 < allowed and set(after.statuses) | set(health_after.statuses) == {200},
        "nothing written with the revoked key": rows == 0,
    }
    found = (dashboards, healths, f"{most >> 20} MiB", after, rows)
    print(f"{store.name}: quiet: {quiet}")
    for (name, is_good), seen in zip(good.items(), found, strict=True):
        print(f"  {'ok' if is_good else 'FAILED':6} {name}: {seen}")
    return all(good.values())


def _revoked_key(store: Store) -> str:
    def keys(*command: str) -> str:
        called = [sys.executable, CONTESTANTS[0].command[1], "keys", *command]
        environment = {"DATABASE_URL": store.url, "PATH": ""}
        run = subprocess.run(
            called, env=environment, cwd=store.folder, check=True, stdout=subprocess.PIPE, text=True
        )
        return run.stdout.strip()

    token = keys("create", "--kind", "secret")
    keys("revoke", token)
    return token


def _on(store: Store, seconds: float, names: Sequence[str]) -> bool:
    with started(CONTESTANTS[0], store) as running:
        return asyncio.run(tried(store, running, seconds, names))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.attacks")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--store", choices=stores.NAMES)
    names = [act.__name__ for act in ATTACKS]
    parser.add_argument("--attacks", nargs="+", choices=names, default=names)
    given = parser.parse_args()
    found = []
    for name in [given.store] if given.store else stores.NAMES:
        with stores.opened(name, Size(given.customers, 100, 3, 3), with_peers=False) as store:
            found.append(_on(store, given.seconds, given.attacks))
    sys.exit(0 if all(found) else 1)


if __name__ == "__main__":
    main()
