"""The projector: what a server does about events after they are committed, and when licenses expire.

On PostgreSQL, it gives events their positions: soon after this process commits some, and once a second for
those of processes that ended before they could do it. On both databases, it adds events to the statistics,
and writes the events of licenses that expire. On SQLite, it looks a second after this process commits events,
and when the next license expires, so that an idle server runs one statement a minute.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from db import expiry
from db import projector as stored
from db.engine import Database
from db.expiry import Mark
from db.projector import Waiting
from resolvers.background import INTERVAL_SECONDS, Background

INTERVAL_S = 1.0
"""How often a process looks for work on PostgreSQL. On SQLite, it looks this long after a commit."""

REST_S = 0.02
"""How long a process rests after each look, so that it numbers the events of many commits together."""

_MARKS = (Mark.EXPIRING, Mark.EXPIRED)  # in the order of the events of one license


def projecting(database: Database, expiring_days: int) -> AbstractAsyncContextManager[None]:
    """Project events, and write those of licenses that expire, in the background while the block runs."""
    return Projector(database, expiring_days).running()


class Projector:
    """Projects events, and writes those of licenses that expire. A server process has one.

    `expiring_days` is how many days before a license expires "license.expiring" is written. With 0, it is not
    written.
    """

    def __init__(self, database: Database, expiring_days: int) -> None:
        self._database = database
        self._expiring_days = expiring_days
        self._interval_s = INTERVAL_SECONDS if database.is_sqlite else INTERVAL_S
        self._background = Background("projector", self._interval_s, rest_s=REST_S)
        self._planned: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work in the background while the block runs."""
        self._database.recorded = self._notice
        async with self._background.running(self._database, self.run):
            yield
        if self._planned is not None:
            self._planned.cancel()

    async def run(self) -> bool:
        """Do at most one transaction of each kind of work that waits. Return False if nothing waited.

        If there was work, another run follows soon, because there may be more, or because another process is
        doing the same work and may end before it is done.
        """
        async with self._database.read() as session:
            waiting = await stored.waiting(session)
        is_behind = waiting.has_events
        if waiting.has_events:
            async with self._database.write() as session:
                projected = await stored.project(session)
            # On SQLite, each transaction waits for the disk, and other writers wait for it.
            if self._database.is_sqlite:
                is_behind = projected == stored.EVENTS_PER_TRANSACTION
        mark = next((mark for mark in _MARKS if self._seconds_to(mark, waiting) <= 0), None)
        if mark is not None:
            started = time.perf_counter()
            async with self._database.write() as session:
                await expiry.advance(session, mark, self._expiring_days)
            # Wait for as long as this took, so that other processes can write. SQLite does not queue the
            # writers of other processes.
            await asyncio.sleep(time.perf_counter() - started)
        if is_behind or mark is not None:
            self._background.begin_soon(self._database)
            return True
        self._plan(min(self._seconds_to(mark, waiting) for mark in _MARKS))
        return False

    def _seconds_to(self, mark: Mark, waiting: Waiting) -> float:
        """Return the seconds until the next license passes a mark. Infinity means that none will."""
        next_expiry = waiting.next_expiry[mark]
        if next_expiry is None:
            return float("inf")
        return (next_expiry - expiry.end_of(mark, waiting.now, self._expiring_days)).total_seconds()

    def _notice(self) -> None:
        """Begin soon, because this process committed events."""
        if self._database.is_sqlite:
            # The events have their positions already. They are added to the statistics a second later, those
            # of many commits together. And a new license may be the next one to expire.
            self._plan(INTERVAL_S)
        else:
            self._background.begin_soon(self._database)

    def _plan(self, seconds: float) -> None:
        """Begin after this time, unless that happens earlier anyway."""
        if seconds >= self._interval_s:
            return
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._planned is not None:
            if loop.time() < self._planned.when() <= at:
                return
            self._planned.cancel()
        self._planned = loop.call_at(at, self._background.begin_soon, self._database)
