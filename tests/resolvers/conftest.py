"""A vendor, whoever else calls, and a clock that stands still."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from db import clock as real_clock
from db import ids
from db.engine import Database
from resolvers.keyring import Keyring
from resolvers.viewer import Policy, Scope, Viewer
from tests.factories import Account, App, make_account, make_app


@dataclass
class Clock:
    """What time it is, until the test says otherwise."""

    now: datetime = datetime(2026, 1, 23, 10, tzinfo=UTC)

    def passes(self, **time: int) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the project reads, and new ids with it."""
    clock, new_id = Clock(), ids.new_id
    monkeypatch.setattr(real_clock, "now", lambda: clock.now)
    monkeypatch.setattr(ids, "new_id", lambda prefix, at=None: new_id(prefix, at or clock.now))
    return clock


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database, name="Acme")


@pytest.fixture
async def app(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="editor")


@pytest.fixture
def viewer(account: Account, keyring: Keyring) -> Viewer:
    """The account's own secret key."""
    return viewer_of(account, Policy(keyring=keyring))


@pytest.fixture
async def stranger(database: Database, keyring: Keyring) -> Viewer:
    """The secret key of another account."""
    return viewer_of(await make_account(database, name="Stranger"), Policy(keyring=keyring))


@pytest.fixture
async def strangers_app(database: Database, stranger: Viewer) -> App:
    return await make_app(database, Account(stranger.account_id, "Stranger"), slug="strangers")


def viewer_of(account: Account, policy: Policy) -> Viewer:
    """A secret key."""
    return Viewer(account.id, frozenset(Scope) - {Scope.READ_LICENSE}, policy)
