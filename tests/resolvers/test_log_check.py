"""The check of the log while others write: what they do meanwhile is never reported."""

import asyncio
import itertools

import pytest

from db.engine import Database
from resolvers import customers, licenses
from resolvers.log_check import mismatches
from resolvers.viewer import Viewer
from tests.factories import App
from tests.log import begin_log
from tests.resolvers.calling import write

CHECKS = 10


async def live(database: Database, viewer: Viewer, app: App, name: str) -> None:
    """Create, change and delete a customer and its license, again and again."""
    for number in itertools.count():
        values = {"email": f"{name}{number}@x.example"}
        customer = (await customers.create_customer(viewer, database, app.slug, values)).id
        terms = {"customer_id": customer, "forever": True}
        license = await write(database, licenses.create_license, viewer, terms)
        await write(database, customers.update_customer, viewer, customer, {"name": f"{name} {number}"})
        await write(database, licenses.revoke_license, viewer, license, {})
        await write(database, customers.delete_customer, viewer, customer, erase=number % 2 == 0)


@pytest.mark.parametrize("size", [1, 500])
async def test_the_log_and_the_tables_agree_while_others_write(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("resolvers.log_check.SUBJECTS_PER_BATCH", 50 * size)
    monkeypatch.setattr("resolvers.log_check.POSITIONS_PER_BATCH", 7 * size)
    await begin_log(database)
    async with asyncio.TaskGroup() as group:
        writers = [group.create_task(live(database, viewer, app, name)) for name in ("ada", "bob", "eve")]
        found = [line for _ in range(CHECKS) for line in [each async for each in mismatches(database)]]
        for writer in writers:
            writer.cancel()

    assert found == []
    assert [each async for each in mismatches(database)] == []
