"""Both doors of an installation with two apps: writes are done in each through one door, and compared."""

import httpx
import pytest

from db.engine import Database
from tests.doors.both import BY_GRAPH, BY_REST, Doors
from tests.factories import Account, make_account, make_app, make_key


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database)


@pytest.fixture
async def doors(client: httpx.AsyncClient, database: Database, account: Account) -> Doors:
    for slug in (BY_REST, BY_GRAPH):
        await make_app(database, account, slug=slug, name="Twin")
    client.headers["Authorization"] = f"Bearer {await make_key(database, account)}"
    return Doors(client)
