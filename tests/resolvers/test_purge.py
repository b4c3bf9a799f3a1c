"""The purge deletes the rows of deleted apps in batches, while other writes and other purges run."""

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeAlias

import pytest
import structlog
from sqlalchemy import text
from structlog.typing import EventDict

from db import purge as stored
from db import statistics
from db.apps import app_counters, apps
from db.customers import customers
from db.engine import Database, ReadSession, StoreUnavailable
from db.licenses import licenses
from resolvers import purge as module
from resolvers.apps import create_app, delete_app
from resolvers.counters import check
from resolvers.customers import create_customer
from resolvers.purge import begin_soon, purge, purging
from resolvers.viewer import Viewer
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.resolvers.calling import rows, write

BATCH = 4

Log: TypeAlias = list[EventDict]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_TRANSACTION", BATCH)


async def fill(database: Database, app: App) -> None:
    """Create ten customers with two licenses each.

    A purge deletes these licenses in five batches, and the customers in three. Then it deletes the app.
    """
    for _ in range(10):
        owner = await make_customer(database, app)
        for _ in range(2):
            await make_license(database, owner)


async def sizes(database: Database) -> list[int]:
    return [len(await rows(database, table)) for table in (apps, customers, licenses)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_no_transaction_deletes_more_than_a_batch(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    assert await sizes(database) == [1, 10, 20]
    left = []
    delete_batch = module._delete_batch

    async def watched(*arguments: Any) -> object:
        outcome = await delete_batch(*arguments)
        left.append(await sizes(database))
        return outcome

    monkeypatch.setattr(module, "_delete_batch", watched)

    assert await purge(database) == 1

    assert left == [
        *([1, 10, number] for number in (16, 12, 8, 4, 0, 0)),
        *([1, number, 0] for number in (6, 2, 0, 0)),
    ]
    assert await sizes(database) == [0, 0, 0]
    async with database.write() as session:
        assert (await session.execute(app_counters.select())).all() == []
    assert await purge(database) == 0


async def test_rows_of_other_apps_are_kept(
    database: Database, account: Account, viewer: Viewer, app: App
) -> None:
    other = await make_app(database, account)
    for each in (app, other):
        await fill(database, each)
    async with database.write() as session:
        await statistics.add_rows(session, other.id)
    before = [await rows(database, table) for table in (apps, customers, licenses)]
    await write(database, delete_app, viewer, app.slug)

    assert await purge(database) == 1

    after = [await rows(database, table) for table in (apps, customers, licenses)]
    assert after[0] == [row for row in before[0] if row["id"] == other.id]
    assert after[1:] == [[row for row in table if row["app_id"] == other.id] for table in before[1:]]
    await check(database)


async def test_an_interrupted_purge_is_finished_by_the_next(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    delete_batch, batches = module._delete_batch, iter(range(3))

    async def away(*arguments: Any) -> object:
        if next(batches, None) is None:
            raise StoreUnavailable
        return await delete_batch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, "_delete_batch", away)
        with pytest.raises(StoreUnavailable):
            await purge(database)
    assert await sizes(database) == [1, 10, 8]

    assert await purge(database) == 1
    assert await sizes(database) == [0, 0, 0]


async def test_others_write_between_two_batches(
    database: Database, account: Account, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await make_app(database, account)
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    delete_batch = module._delete_batch
    seen: list[list[int]] = []

    async def watched(*arguments: Any) -> object:
        outcome = await delete_batch(*arguments)
        await write(database, create_customer, viewer, other.slug, {"email": f"{len(seen)}@example.com"})
        seen.append(await sizes(database))
        return outcome

    monkeypatch.setattr(module, "_delete_batch", watched)
    await purge(database)

    assert [counts[1] - place for place, counts in enumerate(seen, 1)] == [10] * 6 + [6, 2, 0, 0]
    await check(database)


async def test_concurrent_purges_do_the_work_once(
    database: Database, database_url: str, viewer: Viewer, account: Account
) -> None:
    made = [await make_app(database, account) for _ in range(3)]
    for app in made:
        await fill(database, app)
        await write(database, delete_app, viewer, app.slug)
    others = [Database(database_url) for _ in range(3)]

    purged = await asyncio.gather(*(purge(each) for each in (database, *others)))

    # Some work may be left: two processes can each skip an app because the other one holds a lock on it.
    while await purge(database):
        pass
    assert sum(purged) <= 3
    assert await sizes(database) == [0, 0, 0]
    for other in others:
        await other.close()


async def test_a_slug_is_free_and_its_deleted_app_is_hidden_before_the_purge(
    database: Database, viewer: Viewer, app: App
) -> None:
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    again = await write(database, create_app, viewer, {"name": "Again", "slug": app.slug})
    await write(database, delete_app, viewer, app.slug)
    new = await write(database, create_app, viewer, {"name": "Again", "slug": app.slug})

    found = {row["id"]: (row["account_id"], row["slug"]) for row in await rows(database, apps)}
    assert found == {app.id: (None, None), again: (None, None), new: (viewer.account_id, app.slug)}

    assert await purge(database) == 2
    assert [row["id"] for row in await rows(database, apps)] == [new]


@pytest.mark.parametrize("column", ["account_id", "slug"])
async def test_an_app_has_both_an_owner_and_a_slug_or_neither(
    database: Database, app: App, column: str
) -> None:
    with pytest.raises(Exception, match="ck_apps_owner_has_slug"):
        async with database.write() as session:
            await session.execute(text(f"UPDATE apps SET {column} = NULL"))


# The purge in a server


@pytest.fixture
def log() -> Iterator[Log]:
    with structlog.testing.capture_logs() as log:
        yield log


async def test_a_server_purges_old_apps_at_start_and_new_ones_at_once(
    database: Database, account: Account, viewer: Viewer, app: App, log: Log
) -> None:
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    second = await make_app(database, account)

    async with purging(database):
        await until(lambda: len(log) == 1)
        assert await sizes(database) == [1, 0, 0]
        await write(database, delete_app, viewer, second.slug)
        await until(lambda: len(log) == 2)

    assert [(line["event"], line["app"]) for line in log] == [
        ("app.purged", app.id),
        ("app.purged", second.id),
    ]
    assert await sizes(database) == [0, 0, 0]


async def test_a_deletion_that_is_rolled_back_starts_no_purge(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[object] = []
    monkeypatch.setattr("resolvers.apps.begin_soon", woken.append)

    async def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr("db.apps.disown", fail)
        with pytest.raises(RuntimeError):
            await delete_app(viewer, database, app.slug)
    assert woken == []

    await write(database, delete_app, viewer, app.slug)
    assert woken == [database]


async def test_a_server_that_stops_ends_the_batch_and_leaves_the_rest(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    delete_batch, begun = module._delete_batch, asyncio.Event()

    async def slow(*arguments: Any) -> object:
        begun.set()
        await asyncio.sleep(0.05)
        return await delete_batch(*arguments)

    monkeypatch.setattr(module, "_delete_batch", slow)
    async with purging(database):
        await begun.wait()

    assert await sizes(database) == [1, 10, 16]
    assert log == []


async def test_a_server_tries_again_soon_if_another_transaction_has_locked_the_app(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database, app)
    await write(database, delete_app, viewer, app.slug)
    lock, attempts = stored.lock, []

    async def locked_at_first(*arguments: Any) -> bool:
        attempts.append(arguments)
        return len(attempts) > 1 and await lock(*arguments)

    monkeypatch.setattr(stored, "lock", locked_at_first)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.05)
    async with purging(database), asyncio.timeout(10):
        while await sizes(database) != [0, 0, 0]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_server_tries_again_if_the_database_was_unavailable(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch, log: Log
) -> None:
    await write(database, delete_app, viewer, app.slug)
    failures = iter([StoreUnavailable(), ZeroDivisionError()])
    ownerless = stored.ownerless

    async def away(session: ReadSession) -> object:
        for failure in failures:
            raise failure
        return await ownerless(session)

    monkeypatch.setattr(stored, "ownerless", away)

    def has_lines(number: int) -> bool:
        return len(log) == number

    async with purging(database):
        for seen in (1, 2):
            await until(partial(has_lines, seen))
            await asyncio.sleep(0)
            begin_soon(database)
        await until(partial(has_lines, 3))

    assert [line["event"] for line in log] == ["purge.postponed", "purge.failed", "app.purged"]
    assert await sizes(database) == [0, 0, 0]


async def test_without_a_server_no_purge_starts(database: Database) -> None:
    begin_soon(database)
