"""A server as people run it, and what a test has on it: an account with two keys, and whatever it makes."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import delete

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock, ids
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.tokens import tokens
from resolvers.keys import revoke_key
from tests import factories
from tests.factories import Account, App, Customer, Feature, License, Tier
from tests.keyrings import MASTER_KEY
from tests.processes import Server, ready, start
from tests.web.chromium import PATIENCE

_TOKEN_COLUMNS = ("jti", "license_id", "number", "generation", "token")
_LICENSE_ID = LICENSE_COLUMNS.index("id")

P = ParamSpec("P")
T = TypeVar("T")


class Installation:
    """A server, and its database for those who arrange data there. To be closed.

    `variables` are of the server's environment. The database lives on a thread of its own: where a test
    runs, Playwright's event loop does.
    """

    def __init__(self, folder: Path, database_url: str, portal: BlockingPortal, **variables: str) -> None:
        self._folder = folder
        self._database_url = database_url
        self._variables = variables
        self._portal = portal
        self._database = portal.call(_opened, database_url)
        self._process: Popen[str] | None = None
        self._server: Server | None = None
        # With an account there, it is not a new installation, for which the server would make an app.
        self.make(factories.make_account)
        self.start()

    @property
    def url(self) -> str:
        assert self._server is not None
        return self._server.url

    def make(
        self,
        call: Callable[Concatenate[Database, P], Awaitable[T]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Call a factory, or anything else that takes the database first."""

        async def called() -> T:
            return await call(self._database, *arguments, **named)

        return self._portal.call(called)

    def start(self) -> None:
        """Start the server where it was before."""
        if self._process is not None:
            return
        port = 0 if self._server is None else httpx.URL(self._server.url).port or 0
        self._process = start(
            self._folder,
            "--no-migrate",
            port=port,
            DATABASE_URL=self._database_url,
            LICENSEGRAPH_MASTER_KEY=MASTER_KEY,
            **self._variables,
        )
        self._server = ready(self._process)

    def stop(self) -> None:
        """Stop the server, after it has answered what it was asked."""
        if self._process is not None:
            with self._process as process:
                process.terminate()
            self._process = None

    def close(self) -> None:
        """Stop it whatever it does."""
        if self._process is not None:
            with self._process as process:
                process.kill()
        self._portal.call(self._database.close)


class Site:
    """What a test has of an installation: nobody else's rows are there.

    `key` is a secret key and `public_key` a public one, of the same account.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.account: Account = installation.make(factories.make_account)
        self.key = installation.make(factories.make_key, self.account)
        self.public_key = installation.make(factories.make_key, self.account, kind="public")

    @property
    def url(self) -> str:
        return self._installation.url

    def make_app(self, slug: str = "atlas", name: str = "Atlas", **fields: Any) -> App:
        return self._installation.make(factories.make_app, self.account, slug=slug, name=name, **fields)

    def make_feature(self, app: App, **fields: Any) -> Feature:
        return self._installation.make(factories.make_feature, app, **fields)

    def make_tier(self, app: App, **fields: Any) -> Tier:
        return self._installation.make(factories.make_tier, app, **fields)

    def make_customer(self, app: App, **fields: Any) -> Customer:
        return self._installation.make(factories.make_customer, app, **fields)

    def make_license(self, customer: Customer, **fields: Any) -> License:
        """Make a license as `tests.factories` does: of any dates, but without a signed token."""
        return self._installation.make(factories.make_license, customer, **fields)

    def make_customers(self, app: App, count: int, *, licenses_each: int = 0) -> None:
        """Make believable customers of the past two years, thousands in a second.

        Licenses have no tier, and tokens that are not signed.
        """
        self._installation.make(_load_believable, app.id, count, licenses_each)

    def graph(self, document: str, /, **variables: Any) -> Any:
        """Ask the graph with the secret key, and answer the data. Raises AssertionError for errors."""
        answer = self._ask(self.key, document, variables).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def revoke(self, key: str) -> None:
        """Revoke a key, and wait until the server knows."""
        self._installation.make(_revoke, key)
        deadline = time.monotonic() + PATIENCE
        while self._ask(key, "{ __typename }", {}).status_code != 401:
            assert time.monotonic() < deadline, "a revoked key still serves"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, after it has answered what it was asked."""
        self._installation.stop()

    def start(self) -> None:
        """Start the server again, at the same address."""
        self._installation.start()

    def _ask(self, key: str, document: str, variables: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        body = {"query": document, "variables": variables}
        return httpx.post(f"{self.url}/graphql", json=body, headers=headers, timeout=60)


@contextmanager
def installed(folder: Path, database_url: str, **variables: str) -> Iterator[Installation]:
    """A server on a migrated database. `variables` are of its environment."""
    with start_blocking_portal() as portal:
        installation = Installation(folder, database_url, portal, **variables)
        try:
            yield installation
        finally:
            installation.close()


@contextmanager
def visited(installation: Installation) -> Iterator[Site]:
    """An empty site, emptied afterwards, with its server running."""
    try:
        yield Site(installation)
    finally:
        installation.start()
        installation.make(_empty)


async def _opened(url: str) -> Database:
    return Database(url, pool_size=2)


async def _load_believable(database: Database, app_id: str, count: int, licenses_each: int) -> None:
    async with database.write() as session:
        for batch in Believable(app_id, count, licenses_each, clock.now()).batches(20_000):
            await session.load(customers, CUSTOMER_COLUMNS, batch.customers)
            await session.load(licenses, LICENSE_COLUMNS, batch.licenses)
            rows = [(ids.new_id(ids.LICENSE).id, row[_LICENSE_ID], 1, 1, None) for row in batch.licenses]
            await session.load(tokens, _TOKEN_COLUMNS, rows)


async def _revoke(database: Database, key: str) -> None:
    async with database.write() as session:
        await revoke_key(session, key)


async def _empty(database: Database) -> None:
    async with database.write() as session:
        for table in (tokens, licenses, customers, apps, accounts):
            await session.execute(delete(table))
