"""A real server, and the data of one test: an account with two keys, and what the test creates."""

import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from subprocess import Popen
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import delete

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock, ids
from db.accounts import accounts
from db.apps import apps, retired_slugs
from db.customers import customers
from db.engine import Database
from db.events import command
from db.licenses import licenses
from db.tokens import tokens
from resolvers.keys import revoke_key
from resolvers.viewer import Policy
from tests import factories
from tests.databases import stopped
from tests.factories import Account, App, Customer, Feature, License, Tier
from tests.keyrings import MASTER_KEY
from tests.processes import Server, ready, start
from tests.web.chromium import PATIENCE

_TOKEN_COLUMNS = ("jti", "license_id", "number", "generation", "token")
_LICENSE_ID = LICENSE_COLUMNS.index("id")

P = ParamSpec("P")
T = TypeVar("T")


class Installation:
    """A running server and its database, where tests create their data. Call `close` at the end.

    `variables` are added to the server's environment. The database is used in a separate thread, because
    Playwright runs its own event loop in the thread of the tests.
    """

    def __init__(self, folder: Path, database_url: str, portal: BlockingPortal, **variables: str) -> None:
        self._folder = folder
        self._database_url = database_url
        self._variables = variables
        self._portal = portal
        self._database = portal.call(_opened, database_url)
        self._process: Popen[str] | None = None
        self._server: Server | None = None
        # Without an account, this would be a new installation, and the server would create an app.
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
        """Call a factory, or any other function that takes the database as its first argument."""

        async def called() -> T:
            return await call(self._database, *arguments, **named)

        return self._portal.call(called)

    def start(self, **variables: str) -> None:
        """Start the server if it is not running, at the same address each time.

        `variables` are added to its environment until it stops.
        """
        if self._process is not None:
            return
        port = 0 if self._server is None else httpx.URL(self._server.url).port or 0
        self._process = start(
            self._folder,
            "--no-migrate",
            "--port",
            str(port),
            DATABASE_URL=self._database_url,
            LICENSEGRAPH_MASTER_KEY=MASTER_KEY,
            **{**self._variables, **variables},
        )
        self._server = ready(self._process)

    def stop(self) -> None:
        """Stop the server after it has responded to all requests."""
        if self._process is not None:
            with self._process as process:
                process.terminate()
            self._process = None

    @contextmanager
    def without_database(self) -> Iterator[None]:
        """Make the PostgreSQL database unavailable while the block runs."""
        with self._portal.wrap_async_context_manager(stopped(self._database_url)):
            yield

    def close(self) -> None:
        """Kill the server, and close the database."""
        if self._process is not None:
            with self._process as process:
                process.kill()
        self._portal.call(self._database.close)


class Site:
    """A server, and a new account for one test. No account has an app when the site is created.

    `key` is a secret key of the account, and `public_key` is a public key.
    """

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.account: Account = installation.make(factories.make_account)
        self.key = self.make_key()
        self.public_key = self.make_key(kind="public")

    @property
    def url(self) -> str:
        return self._installation.url

    def make_key(self, **fields: Any) -> str:
        """Create another key of the account, a secret one by default, and return the key."""
        return self._installation.make(factories.make_key, self.account, **fields)

    def make_app(self, slug: str = "atlas", name: str = "Atlas", **fields: Any) -> App:
        return self._installation.make(factories.make_app, self.account, slug=slug, name=name, **fields)

    def make_signing_key(self, app: App, generation: int, **fields: Any) -> str:
        return self._installation.make(factories.make_signing_key, app, generation, **fields)

    def make_feature(self, app: App, **fields: Any) -> Feature:
        return self._installation.make(factories.make_feature, app, **fields)

    def make_tier(self, app: App, **fields: Any) -> Tier:
        return self._installation.make(factories.make_tier, app, **fields)

    def make_customer(self, app: App, **fields: Any) -> Customer:
        return self._installation.make(factories.make_customer, app, **fields)

    def make_license(self, customer: Customer, **fields: Any) -> License:
        """Create a license with `tests.factories`, which allows dates in the past.

        Its token is not signed.
        """
        return self._installation.make(factories.make_license, customer, **fields)

    def note_verified(self, license: License, at: datetime) -> None:
        """Note that a license was verified."""
        self._installation.make(factories.note_verified, license, at)

    def make_customers(self, app: App, count: int, *, licenses_each: int = 0) -> None:
        """Create realistic customers. This takes less than a second for thousands of them.

        They were added in the past two years. Their licenses have no tier, and the texts of their tokens are
        not stored.
        """
        self._installation.make(_load_believable, app.id, count, licenses_each)

    def graph(self, document: str, /, **variables: Any) -> Any:
        """Send an operation to the graph with the secret key, and return the data.

        Raises AssertionError if the response has `errors`. The data may have `userErrors`.
        """
        answer = self._ask(self.key, document, variables).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def graph_with(self, key: str, document: str) -> Any:
        """Send a query to the graph with another key, and return the data.

        Raises AssertionError if the response has `errors`.
        """
        answer = self._ask(key, document, {}).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def make_usage_of(self, key: str, **fields: Any) -> None:
        """Record how much a key was used in one minute."""
        id = self._installation.make(factories.key_id, key)
        self._installation.make(factories.make_usage, id, **fields)

    def revoke(self, key: str) -> None:
        """Revoke a key, and wait until the server refuses the key."""
        self._installation.make(_revoke, key)
        self.wait_until_refused(key)

    def wait_until_refused(self, key: str) -> None:
        """Wait until the server refuses a key that was revoked or replaced."""
        self._wait(lambda: self._ask(key, "{ __typename }", {}).status_code == 401)

    def wait_for_scopes(self, key: str, *scopes: str) -> None:
        """Wait until the server knows that a key has these scopes and no others."""
        query = "{ viewer { scopes } }"
        self._wait(lambda: self.graph_with(key, query) == {"viewer": {"scopes": list(scopes)}})

    def _wait(self, has_changed: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not has_changed():
            assert time.monotonic() < deadline, "the server does not know yet that the key has changed"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server after it has responded to all requests."""
        self._installation.stop()

    def start(self) -> None:
        """Start the server again, at the same address."""
        self._installation.start()

    @contextmanager
    def with_settings(self, **variables: str) -> Iterator[None]:
        """Run the server with these settings while the block runs."""
        self._installation.stop()
        self._installation.start(**variables)
        try:
            yield
        finally:
            self._installation.stop()
            self._installation.start()

    def without_database(self) -> AbstractContextManager[None]:
        """Make the PostgreSQL database unavailable while the block runs."""
        return self._installation.without_database()

    def _ask(self, key: str, document: str, variables: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}"}
        body = {"query": document, "variables": variables}
        return httpx.post(f"{self.url}/graphql", json=body, headers=headers, timeout=60)


@contextmanager
def installed(folder: Path, database_url: str, **variables: str) -> Iterator[Installation]:
    """Run a server on a migrated database. `variables` are added to its environment."""
    with start_blocking_portal() as portal:
        installation = Installation(folder, database_url, portal, **variables)
        try:
            yield installation
        finally:
            installation.close()


@contextmanager
def visited(installation: Installation) -> Iterator[Site]:
    """Yield a site with a new account and its keys, but no apps.

    At the end, start the server again if the test has stopped it, and delete all data.
    """
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
        await revoke_key(session, command("keys revoke"), Policy(), key)


async def _empty(database: Database) -> None:
    async with database.write() as session:
        for table in (tokens, licenses, customers, apps, accounts, retired_slugs):
            await session.execute(delete(table))
