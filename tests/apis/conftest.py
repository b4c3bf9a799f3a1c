"""Fixtures for tests of both APIs.

`apis` is for tests that write to one app through REST and to another through GraphQL, and compare both.
`market` has apps of two accounts, for tests of what a key can reach. `servers` are two processes on one
database, for tests of concurrent calls. `log_agrees` checks the log of events at the end of a test.
`module_url` is a database that all tests of a module share.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from db.engine import Database
from tests.apis.both import BY_GRAPH, BY_REST, BothApis
from tests.apis.market import As, Caller, Market, fill_with_market, market_in
from tests.databases import PostgresTemplate, SqliteTemplate
from tests.factories import Account, App, make_account, make_app, make_key
from tests.keyrings import MASTER_KEY
from tests.log import check_log
from tests.processes import Server, serving


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database)


@pytest.fixture
async def apis(client: httpx.AsyncClient, database: Database, account: Account) -> BothApis:
    for slug in (BY_REST, BY_GRAPH):
        await make_app(database, account, slug=slug, name="Twin")
    client.headers["Authorization"] = f"Bearer {await make_key(database, account)}"
    return BothApis(client)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def module_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a migrated database for all tests of a module, empty at first.

    Tests that use it run on SQLite and on PostgreSQL.
    """
    template: SqliteTemplate | PostgresTemplate = request.getfixturevalue(f"{request.param}_template")
    with template.copied() as url:
        yield url


@pytest.fixture
def servers(tmp_path: Path, database_url: str, account: Account) -> Iterator[list[Server]]:
    """Two servers on one database. They create no example app, because the database has an account."""
    with two_serving(tmp_path, database_url) as servers:
        yield servers


@contextmanager
def two_serving(folder: Path, database_url: str, **more: str) -> Iterator[list[Server]]:
    """Run two servers on one database. `more` are further variables."""
    with ExitStack() as stack:
        folders = [folder / name for name in ("first", "second")]
        for each in folders:
            each.mkdir()
        variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY, **more}
        yield [stack.enter_context(serving(each, **variables)) for each in folders]


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, template: SqliteTemplate | PostgresTemplate
) -> Iterator[str]:
    """The URL of a database, which has the rows of the fixture `market` if a test uses it."""
    with template.copied(fill_with_market if "market" in request.fixturenames else None) as url:
        yield url


@pytest.fixture
def market(database_url: str) -> Market:
    return market_in(database_url)


@pytest.fixture
async def log_agrees(database_url: str) -> AsyncIterator[None]:
    """Checks, at the end of the test, that the log of events agrees with the tables."""
    yield
    await check_log(database_url)


@pytest.fixture
def by(client: httpx.AsyncClient) -> As:
    """A function that returns a caller that sends this token, or no key if the token is None."""
    return lambda token: Caller(client, token)


@pytest.fixture
async def secret(by: As, database: Database, market: Market) -> Caller:
    """A caller with a secret key of the market's account."""
    return by(await make_key(database, market.account))


@pytest.fixture
async def clients(
    servers: list[Server], database: Database, account: Account
) -> AsyncIterator[list[httpx.AsyncClient]]:
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    limits = httpx.Limits(max_connections=100)
    clients = [
        httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120, limits=limits)
        for server in servers
    ]
    yield clients
    for client in clients:
        await client.aclose()
