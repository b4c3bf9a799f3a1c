"""The shared fixtures: each test has its own database, and statements are recorded."""

import re

from sqlalchemy import delete, select, update

from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.migrations import upgrade
from tests.factories import make_account, make_app, make_customer, make_key, make_license
from tests.statements import Statements


async def test_each_test_has_a_migrated_database_of_its_own(database: Database) -> None:
    async with database.read() as session:
        assert list(await session.rows(select(apps.c.id), {})) == []

    await make_app(database, await make_account(database), slug="the-same-in-every-test")


async def test_the_next_test_has_an_empty_database_too(database: Database, database_url: str) -> None:
    await make_app(database, await make_account(database), slug="the-same-in-every-test")

    assert await upgrade(database_url) is False


async def test_an_unmigrated_database_has_no_tables(unmigrated_url: str) -> None:
    assert await upgrade(unmigrated_url) is True


async def test_a_key_is_shown_as_a_token(database: Database) -> None:
    account = await make_account(database)

    assert re.fullmatch(r"sk_live_[0-9A-Za-z]{32}", await make_key(database, account))
    assert re.fullmatch(r"pk_live_[0-9A-Za-z]{32}", await make_key(database, account, kind="public"))


async def test_reads_are_counted_on_new_and_on_used_connections(
    database: Database, statements: Statements
) -> None:
    for _ in range(2):
        with statements.recorded(database) as sent:
            async with database.read() as session:
                await session.rows(select(apps.c.id), {})
                await session.rows(select(apps.c.id), {})

        assert [statement.split()[:2] for statement in sent] == [["SELECT", "apps.id"]] * 2
        assert sent.transactions == []


async def test_writes_are_counted_apart_from_their_transaction(
    database: Database, statements: Statements
) -> None:
    app = await make_app(database, await make_account(database))

    with statements.recorded(database) as sent:
        await make_customer(database, app)
        async with database.write() as session:
            await session.execute(update(apps).values(name="New"))
            await session.execute(select(customers.c.id))

    assert [statement.split(None, 1)[0] for statement in sent] == ["INSERT", "UPDATE", "SELECT"]
    assert len(sent.transactions) == 4


async def test_a_cascade_is_part_of_its_statement(database: Database, statements: Statements) -> None:
    app = await make_app(database, await make_account(database))
    for _ in range(3):
        await make_license(database, await make_customer(database, app))

    with statements.recorded(database) as sent:
        async with database.write() as session:
            await session.execute(delete(apps))

    assert len(sent) == 1
    async with database.read() as session:
        assert list(await session.rows(select(licenses.c.id), {})) == []


async def test_another_database_is_not_recorded(
    database: Database, database_url: str, statements: Statements
) -> None:
    other = Database(database_url)
    statements.watch(other)

    with statements.recorded(database) as sent:
        await make_account(other)

    await other.close()
    assert sent == []
    assert sent.transactions == []
