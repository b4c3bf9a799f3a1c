"""`customers duplicates`: lists the customers of each app whose emails became equal in a migration."""

import asyncio
import json

from db import ids
from db.engine import Database
from tests.commands.conftest import Command
from tests.factories import make_account, make_app, make_customer

KEY = "a@xn--bcher-kva.example"


def twins(url: str) -> tuple[str, str]:
    """Create two customers with equal emails, as the migration leaves them, and return their ids.

    A customer of another app has an equal email, too.
    """

    async def make() -> tuple[str, str]:
        database = Database(url)
        account = await make_account(database)
        app, other = [await make_app(database, account, slug=slug) for slug in ("editor", "other")]
        older = await make_customer(database, app, email="a@bücher.example")
        id = ids.new_id(ids.CUSTOMER).id
        newer = await make_customer(database, app, id=id, email=KEY, key=f"{KEY} {id}")
        await make_customer(database, other, email="a@BÜCHER.example")
        await database.close()
        return older.id, newer.id

    return asyncio.run(make())


def test_no_customers_are_equal_in_a_new_database(command: Command, unmigrated_url: str) -> None:
    said = command("customers", "duplicates", DATABASE_URL=unmigrated_url)
    as_json = command("customers", "duplicates", "--json", DATABASE_URL=unmigrated_url)

    assert (said.returncode, said.stdout) == (0, "No two customers of an app have equal emails.\n")
    assert (as_json.returncode, as_json.stdout) == (0, "[]\n")


def test_equal_customers_are_listed_with_app_ids_and_emails(command: Command, database_url: str) -> None:
    older, newer = twins(database_url)

    said = command("customers", "duplicates", DATABASE_URL=database_url)
    as_json = command("customers", "duplicates", "--json", DATABASE_URL=database_url)

    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout == f"editor: {newer} ({KEY}) equals {older} (a@bücher.example)\n"
    assert json.loads(as_json.stdout) == [
        {
            "app_slug": "editor",
            "oldest_id": older,
            "oldest_email": "a@bücher.example",
            "id": newer,
            "email": KEY,
        }
    ]
