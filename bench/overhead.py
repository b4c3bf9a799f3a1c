"""What is added around the statement: microseconds of CPU for one request of W1, in one process, no network.

Two things are run by turns, so often each: the whole application, called as a server would call it, and a
read session that runs the very statement which the application ran for the request. The difference is all
around the statement: HTTP's form, the key, the document, its arguments, the answer and the log line.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any
from unittest.mock import patch

import uvloop

from asgi import logs
from bench import stores
from bench.datasets import Size
from bench.statements import Values, noted
from bench.workloads import WORKLOADS, DataSet
from db.engine import Query
from server import create_app
from settings import Settings

_ROUNDS = 5
_SIZE = Size(customers=2_000, customers_elsewhere=10, licenses=10, licenses_elsewhere=5)


@dataclass(frozen=True, slots=True)
class Overhead:
    """Microseconds of CPU for one request, and for its statement alone: the least of some rounds."""

    request_us: float
    statement_us: float

    @property
    def overhead_us(self) -> float:
        return self.request_us - self.statement_us


async def overhead(url: str, data: DataSet, calls: int) -> Overhead:
    """Measure on a migrated database that holds the data."""
    app = create_app(Settings(database_url=url))
    database = app.state.database
    messages = cycle(_messages(data))
    try:
        ran = await _statements_of(app, next(messages))
        query, values = ran[-1]  # before it, the key is looked up

        async def request() -> None:
            await _answered(app, next(messages))

        async def statement() -> None:
            async with database.read() as session:
                await session.rows(query, values)

        rounds = [(await _spent(request, calls), await _spent(statement, calls)) for _ in range(_ROUNDS)]
    finally:
        await database.close()
    return Overhead(*(min(times) for times in zip(*rounds, strict=True)))


async def _spent(call: Callable[[], Awaitable[None]], calls: int) -> float:
    """Microseconds of CPU for one call, threads included."""
    before = time.process_time()
    for _ in range(calls):
        await call()
    return (time.process_time() - before) / calls * 1e6


async def _statements_of(app: Any, message: tuple[dict[str, Any], bytes]) -> list[tuple[Query, Values]]:
    """What a request runs. It is asked before, so that caches are as they are later."""
    await _answered(app, message)
    with noted() as ran:
        await _answered(app, message)
    return ran


def _messages(data: DataSet) -> list[tuple[dict[str, Any], bytes]]:
    """Requests of W1, as scope and body."""
    workload = WORKLOADS["W1"]
    found = []
    for variables in workload.variables(data, ""):
        body = json.dumps({"query": workload.document, "variables": variables}).encode()
        headers = [
            (b"host", b"127.0.0.1:4000"),
            (b"authorization", f"Bearer {data.token}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/graphql",
            "raw_path": b"/graphql",
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 4_000),
        }
        found.append((scope, body))
    return found


async def _answered(app: Any, message: tuple[dict[str, Any], bytes]) -> None:
    scope, body = message
    answer = b""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(sent: dict[str, Any]) -> None:
        nonlocal answer
        answer += sent.get("body", b"")

    await app(dict(scope), receive, send)
    assert b'"licenses"' in answer, answer


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000, help="a round (1,000)")
    parser.add_argument("--database", choices=(*stores.NAMES, "both"), default="both", help="(both)")
    given = parser.parse_args(arguments)
    with Path(os.devnull).open("w") as nowhere, patch.object(sys, "stderr", nowhere):
        logs.configure("info", "console")  # a line a request is written, as it is when serving
        for database in stores.NAMES if given.database == "both" else (given.database,):
            with (
                stores.opened(database, _SIZE, with_peers=False) as store,
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                found = runner.run(overhead(store.url, store.data, given.calls))
            print(
                f"{database}: a request {found.request_us:.0f} µs of CPU, its statement"
                f" {found.statement_us:.0f} µs, all around it {found.overhead_us:.0f} µs",
                flush=True,
            )


if __name__ == "__main__":
    main()
