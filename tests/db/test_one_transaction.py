"""One transaction for all blocks of an operation, on both databases."""

from contextlib import suppress

import pytest
from sqlalchemy import select, update

from db.customers import customers
from db.engine import Database, ReadSession, WriteSession
from db.one_transaction import OneTransaction
from tests.factories import App, make_account, make_app, make_customer

RENAME = update(customers).values(name="Lena")


@pytest.fixture
async def atlas(database: Database) -> App:
    app = await make_app(database, await make_account(database), slug="atlas")
    await make_customer(database, app, name="Ada")
    return app


class Begun:
    """Counts how often the first step of a transaction runs."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self, session: WriteSession) -> None:
        self.times += 1


async def nothing() -> None:
    """The check before work that is apart."""


async def name_in(session: ReadSession) -> str:
    async with session:
        row = await session.row(select(customers.c.name), {})
    assert row is not None
    return str(row[0])


async def test_it_begins_with_the_first_block_that_writes(database: Database, atlas: App) -> None:
    begun = Begun()
    async with OneTransaction(database, begun, nothing) as transaction:
        before = await name_in(transaction.read())
        assert begun.times == 0
        for _ in range(2):
            async with transaction.write() as session:
                await session.execute(RENAME)

        assert begun.times == 1
        assert (before, await name_in(transaction.read())) == ("Ada", "Lena")
        assert await name_in(database.read()) == "Ada"
    assert await name_in(database.read()) == "Lena"


async def test_an_error_rolls_back_every_block(database: Database, atlas: App) -> None:
    with suppress(RuntimeError):
        async with OneTransaction(database, Begun(), nothing) as transaction:
            async with transaction.write() as session:
                await session.execute(RENAME)
            raise RuntimeError

    assert await name_in(database.read()) == "Ada"


async def test_a_block_that_failed_cannot_be_ignored(database: Database, atlas: App) -> None:
    async with OneTransaction(database, Begun(), nothing) as transaction:
        with pytest.raises(RuntimeError):
            async with transaction.write():
                raise RuntimeError
        with pytest.raises(AssertionError):
            async with transaction.write():
                pass


async def test_work_apart_is_committed_at_once(database: Database, atlas: App) -> None:
    async with OneTransaction(database, Begun(), nothing) as transaction:
        apart = await transaction.apart()
        async with apart.write() as session:
            await session.execute(RENAME)
        assert await name_in(database.read()) == "Lena"


async def test_nothing_is_done_apart_if_the_check_before_it_fails(database: Database, atlas: App) -> None:
    async def fails() -> None:
        raise RuntimeError

    async with OneTransaction(database, Begun(), fails) as transaction:
        with pytest.raises(RuntimeError):
            await transaction.apart()


async def test_work_after_the_commit_gets_the_database(database: Database, atlas: App) -> None:
    seen: list[tuple[Database, str]] = []

    async def look(committed: Database) -> None:
        seen.append((committed, await name_in(committed.read())))

    async with OneTransaction(database, Begun(), nothing) as transaction:
        await transaction.after_commit(look)
        async with transaction.write() as session:
            await session.execute(RENAME)
        assert seen == []
    await database.after_commit(look)

    assert seen == [(database, "Lena")] * 2


async def test_work_after_the_commit_is_left_out_if_there_is_none(database: Database, atlas: App) -> None:
    seen: list[Database] = []
    with suppress(RuntimeError):
        async with OneTransaction(database, Begun(), nothing) as transaction:
            await transaction.after_commit(seen.append)
            raise RuntimeError

    assert seen == []


async def test_events_are_noted_after_the_commit(database: Database, atlas: App) -> None:
    told: list[None] = []
    database.recorded = lambda: told.append(None)
    async with OneTransaction(database, Begun(), nothing) as transaction:
        async with transaction.write():
            pass
        transaction.recorded()
        assert told == []

    assert told == [None]
