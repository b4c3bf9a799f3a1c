"""The practical limit: for every workload, SQL that returns JSON (one statement, or at most two in W6).

There is almost no other code: no GraphQL, routing or validation. Clients POST the variables as JSON to a path
such as /W1. The results are the same as the other contestants'. On SQLite, statements run on the event loop,
because a thread would only add cost.
"""

import hashlib
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

import asyncpg
import orjson
import uuid_utils

from bench.peers.listening import serve
from bench.workloads import WORKLOADS

POOL_SIZE = 10  # the same as in Licensegraph

Answer = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""A function that runs the statements of a named workload with these parameters, and returns JSON."""

_KEYS = "SELECT digest, account_id FROM keys WHERE revoked_at IS NULL"
_OK = [(b"content-type", b"application/json")]


class App:
    """The ASGI application. It opens its database when the ASGI lifespan starts."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._accounts: dict[bytes, str] = {}
        self._answer: Answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await self._open()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        account_id = self._accounts.get(_digest(scope["headers"]))
        if account_id is None:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body"})
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message["body"]
            more = message.get("more_body", False)
        parameters = orjson.loads(body)
        parameters["account"] = account_id
        parameters["now"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = (await self._answer(scope["path"][1:], parameters)).encode()
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_OK, (b"content-length", b"%d" % len(answer))],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    async def _open(self) -> None:
        is_sqlite = self._url.startswith("sqlite:")
        self._answer, keys = await (_open_sqlite if is_sqlite else _open_postgresql)(self._url)
        self._accounts = {bytes.fromhex(digest): account_id for digest, account_id in keys}


def _digest(headers: Any) -> bytes:
    for name, value in headers:
        if name == b"authorization":
            return hashlib.sha256(value[7:]).digest()
    return b""


def new_id() -> str:
    """Return an id for a new customer."""
    return f"cus_{uuid_utils.uuid7()}"


async def _open_sqlite(url: str) -> tuple[Answer, list[Any]]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-16000"):
        connection.execute(f"PRAGMA {pragma}")

    async def answer(name: str, parameters: Mapping[str, Any]) -> str:
        for statement in WORKLOADS[name].statements["sqlite"]:
            if ":new_id" in statement:
                parameters = {**parameters, "new_id": new_id()}
            rows = connection.execute(statement, parameters).fetchall()
            if rows:
                return str(rows[0][0])
        raise LookupError(name)

    return answer, connection.execute(_KEYS).fetchall()


async def _open_postgresql(url: str) -> tuple[Answer, list[Any]]:
    pool = await asyncpg.create_pool(url, min_size=POOL_SIZE, max_size=POOL_SIZE, reset=_leave)
    statements = {
        name: [_numbered(statement) for statement in workload.statements["postgresql"]]
        for name, workload in WORKLOADS.items()
    }

    async def answer(name: str, parameters: Mapping[str, Any]) -> str:
        async with pool.acquire() as connection:
            for statement, names in statements[name]:
                if "new_id" in names:
                    parameters = {**parameters, "new_id": new_id()}
                found = await connection.fetchval(statement, *[parameters[name] for name in names])
                if found is not None:
                    return str(found)
        raise LookupError(name)

    return answer, await pool.fetch(_KEYS)


async def _leave(_connection: Any) -> None:
    """Do nothing. No statement here changes the state of a connection, so there is nothing to reset."""


def _numbered(statement: str) -> tuple[str, list[str]]:
    """Return a statement with PostgreSQL's numbered parameters, and the parameters' names in order."""
    numbers: dict[str, int] = {}
    counter = count(1)

    def number(found: re.Match[str]) -> str:
        name = found[1]
        if name not in numbers:
            numbers[name] = next(counter)
        return f"${numbers[name]}::text"

    return re.sub(r"(?<!:):(\w+)", number, statement), list(numbers)


if __name__ == "__main__":
    serve(App)
