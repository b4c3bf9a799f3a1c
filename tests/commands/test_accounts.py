"""`accounts`: lists, renames and removes accounts."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest
from sqlalchemy import func, select

from db.apps import apps
from db.customers import customers
from db.engine import Database
from tests.commands.conftest import Command
from tests.factories import make_account, make_app, make_customer, make_key, make_license
from tests.processes import run, serving


async def call(command: Command, url: str, *arguments: str) -> CompletedProcess[str]:
    """Run a command on a database in another thread, because the command needs its own event loop."""
    return await asyncio.to_thread(command, *arguments, DATABASE_URL=url)


async def test_accounts_are_listed_with_what_they_have(
    command: Command, database: Database, database_url: str
) -> None:
    acme, bolt = [await make_account(database, name=name) for name in ("Acme", "Bolt")]
    await make_app(database, acme)
    await make_key(database, acme)
    await make_key(database, acme)

    listed = json.loads((await call(command, database_url, "accounts", "list", "--json")).stdout)
    table = (await call(command, database_url, "accounts", "list")).stdout.splitlines()

    assert [list(account.values())[:4] for account in listed] == [
        [acme.id, "Acme", 1, 2],
        [bolt.id, "Bolt", 0, 0],
    ]
    assert list(listed[0]) == ["id", "name", "apps", "keys", "created_at"]
    assert [line.split()[:4] for line in table] == [
        ["ID", "NAME", "APPS", "KEYS"],
        [acme.id, "Acme", "1", "2"],
        [bolt.id, "Bolt", "0", "0"],
    ]


async def test_a_renamed_account_keeps_its_keys(
    command: Command, database: Database, database_url: str
) -> None:
    account = await make_account(database, name="Acme")
    await make_key(database, account)

    done = await call(command, database_url, "accounts", "rename", "Acme", "Acme Ltd")

    assert (done.returncode, done.stdout) == (0, "Renamed the account Acme to Acme Ltd.\n")
    keys = json.loads((await call(command, database_url, "keys", "list", "--json")).stdout)
    assert [key["account"] for key in keys] == ["Acme Ltd"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["rename", "Acne", "Any"], 1, "name does not exist (there are: Acme, Bolt)"),
        (["rename", "Acme", "Bolt"], 1, "new_name has already been taken"),
        (["rename", "Acme", " "], 2, "NEW_NAME can't be blank"),
        (["remove", "acme"], 1, "name does not exist (there are: Acme, Bolt)"),
        (
            ["remove", "Acme"],
            1,
            "name has apps: atlas. --delete-apps deletes them, with their customers and licenses",
        ),
    ],
)
async def test_what_cannot_be_done_is_an_error_of_one_line(
    command: Command, database: Database, database_url: str, arguments: list[str], code: int, said: str
) -> None:
    account = await make_account(database, name="Acme")
    await make_app(database, account, slug="atlas")
    await make_account(database, name="Bolt")
    before = (await call(command, database_url, "accounts", "list", "--json")).stdout

    done = await call(command, database_url, "accounts", *arguments)

    assert (done.returncode, done.stdout, done.stderr) == (code, "", f"licensegraph: {said}\n")
    assert (await call(command, database_url, "accounts", "list", "--json")).stdout == before


def test_the_only_account_is_not_removed(command: Command, unmigrated_url: str) -> None:
    command("keys", "create", "--kind", "secret", DATABASE_URL=unmigrated_url)

    done = command("accounts", "remove", "default", "--delete-apps", DATABASE_URL=unmigrated_url)

    assert (done.returncode, done.stderr) == (
        1,
        "licensegraph: name is the only account, and one must stay\n",
    )


async def test_a_removed_account_is_gone_for_every_running_server(
    tmp_path: Path, database: Database, database_url: str
) -> None:
    account, other = [await make_account(database, name=name) for name in ("Acme", "Bolt")]
    app = await make_app(database, account, slug="atlas")
    for _ in range(2):
        await make_license(database, await make_customer(database, app))
    key, others_key = [await make_key(database, each) for each in (account, other)]
    variables = {"DATABASE_URL": database_url}
    with serving(tmp_path, **variables) as server:
        url = f"{server.url}/api/v1/apps"
        assert [status(url, each) for each in (key, others_key)] == [200, 200]

        done = await asyncio.to_thread(
            run, tmp_path, "accounts", "remove", "Acme", "--delete-apps", **variables
        )
        await asyncio.sleep(1)  # longer than a server may cache a key

        assert [status(url, each) for each in (key, others_key)] == [401, 200]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {others_key}"}) as client:
            assert (await client.get(f"{url}/atlas/jwks.json")).status_code == 404
            taken = await client.post(url, json={"name": "Atlas", "slug": "atlas"})
        assert (taken.status_code, taken.json()["error"]["details"]) == (
            409,
            {"slug": ["has already been taken"]},
        )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "Removed the account Acme and its keys.\n"
        "Deleted its apps with 2 customers and 2 licenses. Their slugs stay reserved: atlas.\n"
        "A running server removes their rows in the background.\n"
    )
    with serving(tmp_path, **variables):  # a new server deletes the rows that are left
        async with database.read() as session:
            for _ in range(100):
                counts = [
                    (await session.rows(select(func.count()).select_from(table), {}))[0][0]
                    for table in (apps, customers)
                ]
                if counts == [0, 0]:
                    break
                await asyncio.sleep(0.1)
    assert counts == [0, 0]


def status(url: str, key: str) -> int:
    return httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code
