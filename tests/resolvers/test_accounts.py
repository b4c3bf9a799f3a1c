"""Removing an account: what stays behind, and what concurrent requests and removals do."""

import asyncio

import pytest

from db.accounts import accounts
from db.apps import apps, retired_slugs
from db.engine import Database
from resolvers.accounts import remove_account
from resolvers.apps import create_app
from resolvers.errors import Faults, Unauthenticated
from resolvers.viewer import Policy
from tests.factories import Account, make_account, make_app, make_key
from tests.keyrings import KEYRING
from tests.resolvers.calling import faults_of, rows
from tests.resolvers.conftest import viewer_of


async def test_slugs_of_deleted_apps_stay_reserved_without_their_account(
    database: Database, account: Account
) -> None:
    other = await make_account(database, name="Bolt")
    await make_app(database, account, slug="atlas")

    removed = await remove_account(database, "Acme", delete_apps=True)

    assert (removed.app_slugs, removed.customer_count, removed.license_count) == (["atlas"], 0, 0)
    assert await rows(database, retired_slugs) == [{"slug": "atlas", "account_id": None}]
    with pytest.raises(Faults) as raised:
        await create_app(viewer_of(other, Policy()), database, KEYRING, {"name": "Atlas", "slug": "atlas"})
    assert faults_of(raised.value) == [("TAKEN", "slug")]


async def test_an_app_that_is_created_while_its_account_is_removed_is_refused(
    database: Database, account: Account
) -> None:
    """The key is valid when the request begins, but the account is removed before the app is created."""
    await make_account(database, name="Bolt")
    await remove_account(database, "Acme", delete_apps=False)

    with pytest.raises(Unauthenticated, match="unknown, expired or revoked"):
        await create_app(viewer_of(account, Policy()), database, KEYRING, {"name": "Atlas", "slug": "atlas"})

    assert await rows(database, apps) == []


async def test_accounts_that_are_removed_at_once_leave_one(database: Database, database_url: str) -> None:
    names = ["Acme", "Bolt", "Cargo"]
    for name in names:
        account = await make_account(database, name=name)
        await make_app(database, account)
        await make_key(database, account)
    databases = [Database(database_url) for _ in names]

    outcomes = await asyncio.gather(
        *(remove_account(each, name, delete_apps=True) for each in databases for name in names),
        return_exceptions=True,
    )

    assert len(await rows(database, accounts)) == 1
    assert len([each for each in outcomes if not isinstance(each, Exception)]) == 2
    assert all(isinstance(each, Faults) for each in outcomes if isinstance(each, Exception)), outcomes
    for each in databases:
        await each.close()
