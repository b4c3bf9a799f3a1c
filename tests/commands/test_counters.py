"""`counters`: compares stored totals with the rows that they count, and repairs wrong totals."""

import asyncio

from sqlalchemy import text

from db import clock
from db.engine import Database
from tests.commands.conftest import Command
from tests.factories import App, Customer, make_account, make_app, make_customer, make_license


def spoilt(url: str) -> tuple[App, Customer]:
    """Create an app and a customer with wrong counters, and return both."""

    async def spoil() -> tuple[App, Customer]:
        database = Database(url)
        account = await make_account(database)
        app, other = await make_app(database, account), await make_app(database, account)
        customer = await make_customer(database, other)
        await make_license(database, customer)
        for statement in (
            f"INSERT INTO app_counters (app_id, shard, customers, licenses) VALUES ('{app.id}', 0, 3, -1)",
            "UPDATE customers SET license_count = 0",
        ):
            async with database.write() as session:
                await session.execute(text(statement))
        await database.close()
        return app, customer

    return asyncio.run(spoil())


def test_a_new_database_has_every_counter_right(command: Command, unmigrated_url: str) -> None:
    for action in ("check", "repair"):
        done = command("counters", action, DATABASE_URL=unmigrated_url)

        assert (done.returncode, done.stdout, done.stderr) == (0, "All counters are correct.\n", "")


def test_wrong_counters_are_named_and_repaired(command: Command, database_url: str) -> None:
    app, customer = spoilt(database_url)

    found = command("counters", "check", DATABASE_URL=database_url)
    repaired = command("counters", "repair", DATABASE_URL=database_url)
    again = command("counters", "check", DATABASE_URL=database_url)

    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == (
        f"licensegraph: {app.id} has 0 customers and 0 licenses, its counters say 3 and -1\n"
        f"licensegraph: {customer.id} in {customer.app_id} has 1 licenses, its counter says 0\n"
        f"licensegraph: {customer.app_id} lacks 1 active licenses and 1 customers on "
        f"{clock.as_text(clock.now())[:10]} in the statistics\n"
    )
    assert (repaired.returncode, repaired.stderr) == (0, "")
    assert repaired.stdout == "".join(
        f"Corrected the counters of {id}.\n" for id in sorted([app.id, customer.app_id])
    )
    assert (again.returncode, again.stdout) == (0, "All counters are correct.\n")
