"""How both databases go about the workloads: the plan of every statement that the application runs for one.

`bench/plans/` keeps them, to be read, and to show in a difference what a change does to them. Whether they
are good is for `tests/bench/test_plans.py`.
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
"""A tenth of the customers, in the same proportions, so that an app's share of the table is the same."""

_OTHER_ACCOUNTS = 50
_OF_EACH = 10  # apps, and keys
_WIDTH = 110


def file_of(workload: str, database: str) -> Path:
    """Where the plans of a workload on a database are kept."""
    return FOLDER / f"{workload}.{database}.txt"


async def statements(url: str, data: DataSet) -> Mapping[str, Sequence[str]]:
    """What each workload runs, each statement once, the look-up of the key included.

    The database is migrated and holds the data. Other accounts are added, with apps and keys: PostgreSQL
    would rightly read all of a table that is a page long.
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
    """Write the plans on one database to its files."""
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
    # In W6 the first customer is there, and the second is new.
    asked = workload.variables(data, after)[:2]
    async with _client(url, data) as client:
        with noted() as ran:
            for variables in asked:
                given = {name: str(value).replace(UNIQUE, "0123456789") for name, value in variables.items()}
                await _answer(client, workload.document, given, workload.path)
    return list(dict.fromkeys(query.sql for query, _ in ran))


@asynccontextmanager
async def _client(url: str, data: DataSet) -> AsyncIterator[httpx.AsyncClient]:
    """Calls an application of its own, which has yet to look up the key."""
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
    """Write all plans."""
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
