"""Writes the query plans of the benchmark's workloads: one file per workload and database.

A diff of the files in `tests/bench/plans/` shows how a change to a statement or an index affects the plans.
`tests/bench/test_plans.py` checks the plans themselves.
"""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvloop

from asgi import logs
from bench import stores
from bench.datasets import Size
from bench.statements import noted
from bench.workloads import PAGES, SLUG, UNIQUE, WORKLOADS, DataSet, Variables, Workload
from db import clock, ids
from db.accounts import accounts
from db.apps import apps
from db.engine import Database
from db.keys import keys
from server import create_app
from settings import Settings
from tests.schema.plans import analyze, described

FOLDER = Path(__file__).with_name("plans")
SIZE = Size(customers=2_000, customers_elsewhere=900, licenses=10, licenses_elsewhere=1)
"""The size of the data: a tenth of the benchmark's number of customers.

Each app has about the same share of all customers as in the benchmark.
"""

# Fewer accounts would fit in so few blocks that a scan of all accounts would be the right plan.
_OTHER_ACCOUNTS = 500
_OF_EACH = 2  # the number of apps, and of keys, in each other account
_WIDTH = 110


def file_of(workload: str, database: str) -> Path:
    """Return the file for a workload's plans on a database."""
    return FOLDER / f"{workload}.{database}.txt"


async def statements(url: str, data: DataSet) -> Mapping[str, Sequence[str]]:
    """Return the SQL statements of each workload, without repeats.

    The first statement of each workload looks up the API key. The database must be migrated and filled with
    `data`. This function adds other accounts with apps and keys, because PostgreSQL rightly scans a very
    small table completely.
    """
    database = Database(url)
    try:
        await _add_others(database)
        await analyze(database)
    finally:
        await database.close()
    async with _client(url, data) as client:
        page = await _answer(client, PAGES, {"slug": SLUG, "first": 1, "after": None})
    after = page["data"]["app"]["customers"]["pageInfo"]["endCursor"]
    return {name: await _run_by(url, workload, data, after) for name, workload in WORKLOADS.items()}


async def write(url: str, data: DataSet, name: str) -> None:
    """Write the files of all workloads for one database."""
    ran = await statements(url, data)
    database = Database(url)
    try:
        for workload, own in ran.items():
            plans = [
                f"{textwrap.shorten(statement, _WIDTH, placeholder=' …')}\n\n"
                f"{textwrap.indent(await described(database, statement), '    ')}\n"
                for statement in own
            ]
            file_of(workload, name).write_text("\n\n".join(plans))
    finally:
        await database.close()


async def _add_others(database: Database) -> None:
    created = clock.as_text(clock.now())
    owners = [ids.new_id(ids.ACCOUNT).id for _ in range(_OTHER_ACCOUNTS)]
    owned = [(owner, f"{place}-{number}") for place, owner in enumerate(owners) for number in range(_OF_EACH)]
    async with database.write() as session:
        await session.load(
            accounts, ("id", "name", "created_at"), [(owner, owner, created) for owner in owners]
        )
        await session.load(
            apps,
            ("id", "account_id", "slug", "name", "name_folded", "created_at", "updated_at"),
            [(ids.new_id(ids.APP).id, owner, name, name, name, created, created) for owner, name in owned],
        )
        await session.load(
            keys,
            ("id", "account_id", "kind", "digest", "last4", "created_at"),
            [(ids.new_id(ids.KEY).id, owner, "secret", name, "0000", created) for owner, name in owned],
        )


async def _run_by(url: str, workload: Workload, data: DataSet, after: str) -> Sequence[str]:
    # Two requests per workload are enough. In W6, the first request is for an existing customer, and the
    # second for a new one.
    asked = workload.variables(data, after)[:2]
    async with _client(url, data) as client:
        with noted() as ran:
            for variables in asked:
                given = {name: str(value).replace(UNIQUE, "0123456789") for name, value in variables.items()}
                await _answer(client, workload.document, given, workload.path)
    return list(dict.fromkeys(query.sql for query, _ in ran))


@asynccontextmanager
async def _client(url: str, data: DataSet) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of a new application that has no keys cached yet."""
    app = create_app(Settings(database_url=url))
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app),
            base_url="http://127.0.0.1",
            headers={"Authorization": f"Bearer {data.token}"},
        ) as client:
            yield client
    finally:
        await app.state.database.close()


async def _answer(
    client: httpx.AsyncClient, document: str | None, variables: Variables, path: str | None = None
) -> Any:
    if document is None:
        response = await client.get(str(path))
    else:
        response = await client.post("/graphql", json={"query": document, "variables": variables})
    answer = response.json()
    assert response.status_code == 200, answer
    assert "errors" not in answer, answer
    return answer


def main() -> None:
    """Write the files for all databases."""
    logs.configure("error", "console")
    FOLDER.mkdir(exist_ok=True)
    for name in stores.NAMES:
        with (
            stores.opened(name, SIZE, with_peers=False) as store,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(write(store.url, store.data, name))


if __name__ == "__main__":
    main()
