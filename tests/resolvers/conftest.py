"""A vendor, other callers, and a clock that stands still."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from db import clock as real_clock
from db import ids
from db.engine import Database
from db.tenancy import Tenant
from resolvers.viewer import ALL_SCOPES, Policy, Viewer
from tests.factories import Account, App, make_account, make_app


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    now: datetime = datetime(2026, 1, 23, 10, tzinfo=UTC)

    def passes(self, **time: int) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that replaces the project's own, also for new ids."""
    return stopped(monkeypatch)


def stopped(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Replace the project's clock by one that stands still, also for new ids."""
    clock, new_id = Clock(), ids.new_id
    monkeypatch.setattr(real_clock, "now", lambda: clock.now)
    monkeypatch.setattr(ids, "new_id", lambda prefix, at=None: new_id(prefix, at or clock.now))
    return clock


@pytest.fixture
def database(_database: Database) -> Database:
    """An open database. In these tests, `app` is a row and not the application."""
    return _database


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database, name="Acme")


@pytest.fixture
async def app(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="editor")


@pytest.fixture
def viewer(account: Account) -> Viewer:
    """The viewer of the account's secret key."""
    return viewer_of(account, Policy())


@pytest.fixture
async def stranger(database: Database) -> Viewer:
    """The viewer of another account's secret key."""
    return viewer_of(await make_account(database, name="Stranger"), Policy())


@pytest.fixture
async def strangers_app(database: Database, stranger: Viewer) -> App:
    return await make_app(database, Account(stranger.account_id, "Stranger"), slug="strangers")


def viewer_of(account: Account, policy: Policy) -> Viewer:
    """Return the viewer of an account's secret key."""
    return Viewer(Tenant(account.id), ALL_SCOPES, policy)
