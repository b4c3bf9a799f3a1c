"""The query plans of the workloads: no workload reads a whole table, and each has a file per database."""

from collections.abc import Mapping, Sequence

import pytest
from sqlalchemy import text

from bench import datasets, stores
from bench.workloads import WORKLOADS
from db import migrations
from db.engine import Database
from tests.bench import plans
from tests.schema.plans import faults

Ran = Mapping[str, Sequence[str]]


@pytest.fixture
async def ran(unmigrated_url: str) -> Ran:
    """The statements that each workload runs."""
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


async def test_no_workload_reads_a_whole_table(unmigrated_url: str, ran: Ran) -> None:
    assert all(len(own) > 1 for own in ran.values())  # the key lookup, and at least one other statement
    assert await faults_of(unmigrated_url, ran) == {workload: [] for workload in WORKLOADS}


async def test_workloads_read_all_licenses_without_an_index_by_customer(
    unmigrated_url: str, ran: Ran
) -> None:
    database = Database(unmigrated_url)
    async with database.write() as session:
        for index in ("ix_licenses_customer_id_id", "ix_licenses_customer_id_expires_at_id"):
            await session.execute(text(f"DROP INDEX {index}"))
    await database.close()

    found = await faults_of(unmigrated_url, ran)

    reading = {workload for workload, own in found.items() if any("licenses" in fault for fault in own)}
    # When a customer is inserted, SQLite also plans a search for licenses that refer to the new customer, but
    # never runs this search.
    planned = {"W6"} if unmigrated_url.startswith("sqlite:") else set()
    assert reading == {"W1", "W2", "W3", "W5"} | planned


def test_there_is_a_file_for_every_workload_and_database() -> None:
    kept = {file.name for file in plans.FOLDER.iterdir()}

    assert kept == {
        plans.file_of(workload, database).name for workload in WORKLOADS for database in stores.NAMES
    }
