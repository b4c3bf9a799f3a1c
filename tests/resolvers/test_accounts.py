"""Removing an account: what stays behind, and what concurrent requests and removals do."""

import asyncio
from typing import Any

import pytest

from db import apps as stored_apps
from db import projector
from db.accounts import accounts
from db.apps import apps, retired_slugs
from db.engine import Database
from resolvers.accounts import remove_account
from resolvers.apps import create_app
from resolvers.customers import create_customer
from resolvers.errors import Faults, Unauthenticated
from resolvers.viewer import Policy
from tests.factories import Account, make_account, make_app, make_key
from tests.keyrings import KEYRING
from tests.resolvers.calling import faults_of, rows, write
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


async def test_an_account_is_removed_while_a_server_counts_its_events(
    database: Database, database_url: str, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The projector locks the events, and then the app. The removal must not do it the other way round."""
    await make_account(database, name="Bolt")
    app = await make_app(database, account, slug="atlas")
    await write(
        database, create_customer, viewer_of(account, Policy()), app.slug, {"email": "lena@orbit.example"}
    )
    other, disown, projecting = Database(database_url), stored_apps.disown, []

    async def project() -> None:
        async with other.write() as session:
            await projector.project(session)

    async def disown_and_project(*arguments: Any) -> None:
        await disown(*arguments)
        projecting.append(asyncio.create_task(project()))
        await asyncio.sleep(0.3)

    monkeypatch.setattr(stored_apps, "disown", disown_and_project)

    removed = await remove_account(database, "Acme", delete_apps=True)
    await projecting[0]
    await other.close()

    assert removed.app_slugs == ["atlas"]
    assert [each["name"] for each in await rows(database, accounts)] == ["Bolt"]


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
