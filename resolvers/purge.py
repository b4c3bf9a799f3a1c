"""The purge: deleting an app hides it immediately. Its rows are deleted later, in background batches."""

import asyncio
import time
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, TypeVar

import structlog

from db import apps
from db import purge as stored
from db.engine import Database, WriteSession
from db.log import pause_numbering
from resolvers.background import Background

T = TypeVar("T")

ROWS_PER_TRANSACTION = 1_000
RETRY_SECONDS = 1
"""How long after an app was skipped a server tries again to purge it."""

log = structlog.get_logger("licensegraph.purge")

_background = Background("purge")


async def purge(database: Database) -> int:
    """Delete the remaining rows of deleted apps, and return the number of apps that are now gone.

    Apps that another process has locked are skipped, and a server tries again soon. The purge can be
    interrupted and repeated at any time.
    """
    async with database.read() as session:
        found = await stored.ownerless(session)
    purged = [await _purge_app(database, id) for id in found]
    if not all(purged):
        # A request that waited for the deletion may still hold the lock of its app for a moment.
        asyncio.get_running_loop().call_later(RETRY_SECONDS, begin_soon, database)
    return sum(purged)


def begin_soon(database: Database) -> None:
    """Start the purge now if a server is running in this process. Otherwise, do nothing."""
    _background.begin_soon(database)


def purging(database: Database) -> AbstractAsyncContextManager[None]:
    """Purge in the background while the block runs. When the block ends, wait for a batch that has begun."""
    return _background.running(database, partial(purge, database))


async def _purge_app(database: Database, id: str) -> bool:
    """Delete the remaining rows of an app. Return False if another process deletes or has deleted them."""
    try:
        for table in stored.TABLES:
            after: str | None = ""
            while after is not None:
                started = time.perf_counter()
                after = await _to_its_end(_delete_batch(database, table, id, after))
                # Wait for as long as this batch took, so that other processes can write. SQLite does
                # not queue the writers of other processes.
                await asyncio.sleep(time.perf_counter() - started)
        await _to_its_end(_delete_app(database, id))
    except _Elsewhere:
        return False
    log.info("app.purged", app=id)
    return True


class _Elsewhere(Exception):
    """Another process is deleting the app, or has deleted it."""


async def _claim(session: WriteSession, id: str) -> None:
    """Lock an app until the transaction ends. Raises _Elsewhere."""
    if not await stored.lock(session, id):
        raise _Elsewhere


async def _delete_batch(database: Database, table: str, app_id: str, after: str) -> str | None:
    async with database.write() as session:
        await _claim(session, app_id)
        return await stored.delete_batch(session, table, app_id, after, ROWS_PER_TRANSACTION)


async def _delete_app(database: Database, id: str) -> None:
    async with database.write() as session:
        # The days of the app are deleted with it. The projector adds to them, and then locks the app.
        await pause_numbering(session)
        await _claim(session, id)
        await apps.delete(session, id)


async def _to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait until the work is finished, even if the caller is cancelled. The work is never interrupted."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
