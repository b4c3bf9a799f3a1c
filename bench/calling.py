"""Calls the application in this process, as a server would, to measure CPU without a network."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import uvloop
from starlette.types import ASGIApp

from asgi import logs
from bench import stores
from bench.datasets import Size
from bench.stores import Store

_SIZE = Size(customers=2_000, customers_elsewhere=10, licenses=10, licenses_elsewhere=5)


@dataclass(frozen=True, slots=True)
class Call:
    """A request that can be sent many times."""

    scope: dict[str, Any]
    body: bytes

    async def answer(self, app: ASGIApp) -> bytes:
        """Send the request and return the body of the response."""
        parts: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": self.body, "more_body": False}

        async def send(sent: Any) -> None:
            parts.append(sent.get("body", b""))

        await app(dict(self.scope), receive, send)
        return b"".join(parts)


def call(
    method: str,
    url: str,
    *,
    token: str | None = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    body: bytes = b"",
) -> Call:
    """Return a request for `url`, a path with an optional query string. `body` is JSON."""
    path, query = urlsplit(url).path, urlsplit(url).query
    headers = [(b"host", b"127.0.0.1:4000"), *headers]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 4_000),
    }
    return Call(scope, body)


async def spent(work: Callable[[], Awaitable[object]], times: int) -> float:
    """Return the mean CPU time of one call of `work` in microseconds, over all threads of the process."""
    before = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - before) / times * 1e6


@dataclass(frozen=True, slots=True)
class Measurement:
    """The database to measure on, the number of calls per round, and the event loop to use."""

    store: Store
    calls: int
    runner: asyncio.Runner


def measurements(prog: str, about: str | None, arguments: Sequence[str] | None) -> Iterator[Measurement]:
    """Parse the command line, and yield a measurement for each database that it selects."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--calls", type=int, default=1_000, help="calls per round (1,000)")
    parser.add_argument("--database", choices=(*stores.NAMES, "both"), default="both", help="(both)")
    given = parser.parse_args(arguments)
    with Path(os.devnull).open("w") as nowhere, patch.object(sys, "stderr", nowhere):
        logs.configure("info", "console")  # one log line per request, as in a real server
        for database in stores.NAMES if given.database == "both" else (given.database,):
            with (
                stores.opened(database, _SIZE, with_peers=False) as store,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                yield Measurement(store, given.calls, runner)
