"""Background work: when it runs, how it ends, and what it logs."""

import asyncio

import pytest
from structlog.testing import capture_logs

from db.engine import Database, StoreUnavailable
from resolvers import background
from resolvers.background import Background


async def test_work_runs_once_more_at_the_end_after_a_run_in_progress(database: Database) -> None:
    began, may_end, ended = asyncio.Event(), asyncio.Event(), []

    async def work() -> None:
        began.set()
        await may_end.wait()
        ended.append(True)

    async with Background("work", 60, at_end=True).running(database, work):
        await began.wait()
        asyncio.get_running_loop().call_later(0.1, may_end.set)

    assert len(ended) == 2


async def test_the_end_does_not_wait_long_for_work_that_hangs(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "LAST_SECONDS", 0.1)
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async with asyncio.timeout(5):
        async with Background("work", 60, at_end=True).running(database, work):
            await asyncio.sleep(0)

    assert cancelled == [True]


async def test_a_database_that_is_away_is_logged_once_until_it_is_back(database: Database) -> None:
    outcomes = iter([True, False, False, True, False])
    done = asyncio.Event()

    async def work() -> None:
        is_there = next(outcomes, None)
        if is_there is None:
            done.set()
        elif not is_there:
            raise StoreUnavailable

    with capture_logs() as log:
        async with Background("work", 0.01).running(database, work):
            await asyncio.wait_for(done.wait(), 5)

    assert [line["event"] for line in log] == ["work.postponed", "work.postponed"]


async def test_work_that_is_woken_while_the_server_stops_ends(database: Database) -> None:
    """The wake and the cancellation arrive at the same time, and neither is lost for the other."""
    background, ran = Background("work", 60), asyncio.Event()

    async def work() -> None:
        ran.set()

    async def serve() -> None:
        async with background.running(database, work):
            await ran.wait()
            await asyncio.sleep(0.01)  # until it waits to be woken
            background.begin_soon(database)

    serving = asyncio.create_task(serve())
    ended, _ = await asyncio.wait([serving], timeout=5)

    serving.cancel()
    assert ended
