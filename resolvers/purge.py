"""The purge: deleting an app hides it at once; its rows go afterwards, in the background, in batches."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import structlog
from sqlalchemy import Table

from db import apps
from db import purge as stored
from db.causes import cause_of
from db.customers import customers
from db.engine import Database, StoreUnavailable, WriteSession, driver_error
from db.licenses import licenses

T = TypeVar("T")

ROWS_PER_TRANSACTION = 1_000
INTERVAL_SECONDS = 60
"""How often a server looks for what other processes have deleted, or have left unfinished."""

log = structlog.get_logger("licensegraph.purge")

_wake: WeakKeyDictionary[Database, asyncio.Event] = WeakKeyDictionary()


async def purge(database: Database) -> int:
    """Remove all that deleted apps have left behind, and answer how many apps are gone for good.

    What another process is about to remove is left to it. May be broken off and begun again at any time.
    """
    async with database.read() as session:
        found = await stored.ownerless(session)
    return sum([await _purge_app(database, id) for id in found])


def begin_soon(database: Database) -> None:
    """Have the server of this process look now for what is to be purged. Without a server: nothing."""
    if database in _wake:
        _wake[database].set()


@asynccontextmanager
async def purging(database: Database) -> AsyncIterator[None]:
    """Purge in the background as long as the block runs. Leaving it waits for a batch that has begun."""
    task = asyncio.create_task(_keep_purging(database))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_purging(database: Database) -> None:
    wake = _wake[database] = asyncio.Event()
    while True:
        wake.clear()
        try:
            await purge(database)
        except StoreUnavailable as error:
            log.warning("purge.postponed", cause=str(cause_of(driver_error(error.__cause__ or error))))
        except Exception:
            # Whatever it is, requests can be answered, and the next look may find it mended.
            log.exception("purge.failed")
        with suppress(TimeoutError):
            await asyncio.wait_for(wake.wait(), INTERVAL_SECONDS)


async def _purge_app(database: Database, id: str) -> bool:
    """Remove a deleted app. False when another process is at it, or has removed it."""
    try:
        for table in (licenses, customers):
            after: str | None = ""
            while after is not None:
                started = time.perf_counter()
                after = await _to_its_end(_delete_batch(database, table, id, after))
                # For as long as it took others may write: on SQLite other processes have no place in a queue.
                await asyncio.sleep(time.perf_counter() - started)
        await _to_its_end(_delete_app(database, id))
    except _Elsewhere:
        return False
    log.info("app.purged", app=id)
    return True


class _Elsewhere(Exception):
    """Another process is at the app, or has removed it."""


@asynccontextmanager
async def _claimed(database: Database, id: str) -> AsyncIterator[WriteSession]:
    async with database.write() as session:
        if not await stored.claim(session, id):
            raise _Elsewhere
        yield session


async def _delete_batch(database: Database, table: Table, app_id: str, after: str) -> str | None:
    async with _claimed(database, app_id) as session:
        return await stored.delete_batch(session, table, app_id, after, ROWS_PER_TRANSACTION)


async def _delete_app(database: Database, id: str) -> None:
    async with _claimed(database, id) as session:
        await apps.delete(session, id)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Await something that being cancelled shall not break off in the middle."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
