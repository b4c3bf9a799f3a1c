"""The plans of the workloads: none reads a table from end to end, and every one is kept."""

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import text

from bench import datasets, plans, stores
from bench.workloads import WORKLOADS
from db import migrations
from db.engine import Database
from tests.schema.plans import faults

Ran = Mapping[str, Sequence[str]]


@pytest.fixture
async def ran(unmigrated_url: str) -> Ran:
    """The statements of each workload, run on a database that holds its data."""
    data = await datasets.load(unmigrated_url, plans.SIZE)
    await migrations.upgrade(unmigrated_url)
    return await plans.statements(unmigrated_url, data)


async def faults_of(url: str, ran: Ran) -> dict[str, list[str]]:
    database = Database(url)
    try:
        return {
            workload: [fault for statement in own for fault in await faults(database, statement)]
            for workload, own in ran.items()
        }
    finally:
        await database.close()


async def test_no_workload_reads_a_table_from_end_to_end(unmigrated_url: str, ran: Ran) -> None:
    assert all(len(own) > 1 for own in ran.values())  # the look-up of the key, and more
    assert await faults_of(unmigrated_url, ran) == {workload: [] for workload in WORKLOADS}


async def test_which_would_if_licenses_had_no_index_by_customer(unmigrated_url: str, ran: Ran) -> None:
    database = Database(unmigrated_url)
    async with database.write() as session:
        for index in ("ix_licenses_customer_id_id", "ix_licenses_customer_id_expires_at_id"):
            await session.execute(text(f"DROP INDEX {index}"))
    await database.close()

    found = await faults_of(unmigrated_url, ran)

    reading = {workload for workload, own in found.items() if any("licenses" in fault for fault in own)}
    # For a new customer SQLite also plans to look for licenses that already refer to it; it never has to.
    planned = {"W6"} if unmigrated_url.startswith("sqlite:") else set()
    assert reading == {"W1", "W2", "W3", "W5"} | planned


def test_every_plan_is_kept() -> None:
    kept = {file.name for file in plans.FOLDER.iterdir()}

    assert kept == {
        plans.file_of(workload, database).name for workload in WORKLOADS for database in stores.NAMES
    }
