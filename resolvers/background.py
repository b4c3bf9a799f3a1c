"""Background work of a server: it runs at startup, at an interval, and when `begin_soon` is called."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from weakref import WeakKeyDictionary

import structlog

from db.causes import cause_of
from db.engine import Database, StoreUnavailable, driver_error

INTERVAL_SECONDS = 60
"""How long a server waits before it looks again for work that other processes started or left unfinished."""

LAST_SECONDS = 2.0
"""How long a stopping server waits for the last run of its work."""


class Background:
    """One kind of background work. `name` appears in its log lines.

    The first run is `after_s` seconds after the start. Between two runs, there are at least `rest_s` seconds.
    With `at_end`, the work is done once more when the server stops.
    """

    def __init__(
        self,
        name: str,
        interval_s: float = INTERVAL_SECONDS,
        *,
        after_s: float = 0,
        rest_s: float = 0,
        at_end: bool = False,
    ) -> None:
        self._name = name
        self._after_s = after_s
        self._interval_s = interval_s
        self._rest_s = rest_s
        self._at_end = at_end
        self._wake: WeakKeyDictionary[Database, asyncio.Event] = WeakKeyDictionary()

    def begin_soon(self, database: Database) -> None:
        """Start the work now if a server is running in this process. Otherwise, do nothing."""
        if database in self._wake:
            self._wake[database].set()

    @asynccontextmanager
    async def running(self, database: Database, work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
        """Do the work in the background while the block runs. When the block ends, cancel the work.

        With `at_end`, the work is first done once more, for at most `LAST_SECONDS`.
        """
        runs = _Runs(self._name, work)
        task = asyncio.create_task(self._keep_working(database, runs))
        try:
            yield
        finally:
            if self._at_end:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LAST_SECONDS):
                        await runs.next()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _keep_working(self, database: Database, runs: "_Runs") -> None:
        wake = self._wake[database] = asyncio.Event()
        await asyncio.sleep(self._after_s)
        while True:
            wake.clear()
            await runs.next()
            await asyncio.sleep(self._rest_s)
            with suppress(TimeoutError):
                # Not `wait_for`: in Python 3.11, it loses a cancellation that comes together with the wake.
                async with asyncio.timeout(self._interval_s - self._rest_s):
                    await wake.wait()


class _Runs:
    """Runs of the same work, one after another."""

    def __init__(self, name: str, work: Callable[[], Awaitable[object]]) -> None:
        self._name = name
        self._work = work
        self._log = structlog.get_logger(f"licensegraph.{name}")
        self._turn = asyncio.Lock()
        self._is_postponed = False

    async def next(self) -> None:
        """Do the work. Failures are logged.

        If the database is unavailable, this is logged only once until the work succeeds again.
        """
        async with self._turn:
            try:
                await self._work()
                self._is_postponed = False
            except StoreUnavailable as error:
                if not self._is_postponed:
                    self._is_postponed = True
                    cause = str(cause_of(driver_error(error.__cause__ or error)))
                    self._log.warning(f"{self._name}.postponed", cause=cause)
            except Exception:
                # The loop goes on after a failure, because the next attempt may succeed.
                self._log.exception(f"{self._name}.failed")
