"""Retention: events that are older than the installation keeps them are removed in the background."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from functools import partial

from db import clock, retention
from db.engine import Database
from resolvers.background import Background

ROWS_PER_TRANSACTION = 1_000

# Nobody waits for this work, so it is not done while a server starts.
_background = Background("retention", 3_600, after_s=60)


async def forget_events(database: Database, days: int) -> int:
    """Remove the events that are older than this number of days, and return how many were removed.

    With 0 days, events are kept for ever.
    """
    if not days:
        return 0
    before = clock.now() - timedelta(days=days)
    total, removed = 0, ROWS_PER_TRANSACTION
    while removed == ROWS_PER_TRANSACTION:
        started = time.perf_counter()
        async with database.write() as session:
            removed = await retention.forget_oldest(session, before, ROWS_PER_TRANSACTION)
        total += removed
        # Wait for as long as this batch took, so that other processes can write. SQLite does not queue the
        # writers of other processes.
        await asyncio.sleep(time.perf_counter() - started)
    return total


def forgetting_events(database: Database, days: int) -> AbstractAsyncContextManager[None]:
    """Remove old events while the block runs, once an hour."""
    return _background.running(database, partial(forget_events, database, days))
