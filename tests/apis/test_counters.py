"""Counters under load: they stay right if one of two servers is killed, and can be repaired during writes."""

import asyncio
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from db.apps import app_counters, apps, total
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from resolvers.counters import check, repair
from tests.factories import Account, make_app, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import serving

pytestmark = pytest.mark.usefixtures("log_agrees")

SLUGS = ["atlas", "borea"]
MUTATIONS = {
    "createApp": "CreateAppInput! app",
    "deleteApp": "DeleteAppInput! deletedAppId",
    "createCustomer": "CreateCustomerInput! customer",
    "deleteCustomer": "DeleteCustomerInput! deletedCustomerId",
    "createLicense": "CreateLicenseInput! license",
    "deleteLicense": "DeleteLicenseInput! deletedLicenseId",
    "revokeLicense": "RevokeLicenseInput! license",
    "reinstateLicense": "ReinstateLicenseInput! license",
}
# There are only a few installations, so that many licenses are for the same one.
INSTALLATIONS = [f"8f14e45f-ceea-467f-a3b5-2d1b6f0c9e{number:02}" for number in range(5)]


class Writer:
    """Sends random mutations, one after another, and stops early if the server is gone."""

    def __init__(self, client: httpx.AsyncClient, seed: int, known: dict[str, list[str]]) -> None:
        self._client = client
        self._chance = random.Random(seed)
        self._known = known
        self._seed = seed
        self.answered = 0

    async def write(self, times: int) -> None:
        try:
            for number in range(times):
                await self._mutate(*self._next(number))
                self.answered += 1
        except httpx.TransportError:
            return

    def _next(self, number: int) -> tuple[str, dict[str, object]]:
        chance = self._chance
        slug = chance.choice(SLUGS)
        weights = {
            "createCustomer": 6.0,
            "createLicense": 8,
            "deleteCustomer": 2,
            "deleteLicense": 4,
            "revokeLicense": 3,
            "reinstateLicense": 2,
            "deleteApp": 0.3,
            "createApp": 1,
        }
        name = chance.choices(list(weights), list(weights.values()))[0]
        match name:
            case "createApp":
                # EdDSA keys take almost no time to create.
                return name, {"slug": slug, "name": slug, "signingAlgorithm": "EDDSA"}
            case "deleteApp":
                return name, {"slug": slug}
            case "createCustomer":
                return name, {"appSlug": slug, "email": f"{self._seed}-{number}@example.com"}
            case "createLicense":
                owner = {"customerId": self._any("customer"), "forever": True}
                return name, owner | ({"installationId": chance.choice(INSTALLATIONS)} if number % 2 else {})
            case "deleteCustomer":
                return name, {"id": self._any("customer")}
            case _:
                return name, {"id": self._any("license")}

    def _any(self, noun: str) -> str:
        # Use only recent ids: these rows probably still exist, and other writers use them too.
        return self._chance.choice(self._known[noun][-12:] or ["x"])

    async def _mutate(self, name: str, input: dict[str, object]) -> None:
        type_, noun = MUTATIONS[name].split()
        fields = f"{noun} {{ id }}" if noun in {"app", "customer", "license"} else noun
        query = f"mutation ($input: {type_}) {{ outcome: {name}(input: $input) {{ {fields} }} }}"
        response = await self._client.post("/graphql", json={"query": query, "variables": {"input": input}})
        answer: dict[str, Any] = response.json()
        assert (response.status_code, "errors" in answer) == (200, False), answer
        if name.startswith("create") and answer["data"]["outcome"][noun]:
            self._known[noun].append(answer["data"]["outcome"][noun]["id"])


async def test_counters_are_right_after_a_server_is_killed_during_writes(
    tmp_path: Path, database_url: str, database: Database, account: Account
) -> None:
    for slug in SLUGS:
        await make_app(database, account, slug=slug)
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    known: dict[str, list[str]] = defaultdict(list)

    with (
        serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as doomed,
        serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as other,
    ):
        async with (
            httpx.AsyncClient(base_url=doomed.url, headers=headers, timeout=60) as first,
            httpx.AsyncClient(base_url=other.url, headers=headers, timeout=60) as second,
        ):
            writers = [Writer(first if seed < 8 else second, seed, known) for seed in range(16)]
            writing = asyncio.gather(*(writer.write(60) for writer in writers))
            while not writing.done() and sum(writer.answered for writer in writers[:8]) < 150:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            doomed.process.kill()
            await writing

    assert [writer.answered for writer in writers[8:]] == [60] * 8
    assert sum(writer.answered for writer in writers[:8]) < 8 * 60
    await check(database)
    async with database.write() as session:
        for slug in SLUGS:
            app_id = select(apps.c.id).where(apps.c.slug == slug).scalar_subquery()
            for table in (customers, licenses):
                counted = select(func.count()).where(table.c.app_id == app_id).scalar_subquery()
                kept, there = tuple((await session.execute(select(total(table.name, app_id), counted))).one())
                assert kept == there
        assert (await session.execute(select(func.count()).select_from(licenses))).scalar_one() > 0


async def test_counters_are_repaired_while_others_write(
    tmp_path: Path, database_url: str, database: Database, account: Account
) -> None:
    for slug in SLUGS:
        await make_app(database, account, slug=slug)
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    known: dict[str, list[str]] = defaultdict(list)

    with serving(tmp_path, DATABASE_URL=database_url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as server:
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            writers = [Writer(client, seed, known) for seed in range(6)]
            writing = asyncio.gather(*(writer.write(50) for writer in writers))
            repaired = 0
            while not writing.done():
                async with database.write() as session:
                    # Lock the apps first, as every writer does. Apps that are added later are not locked. Do
                    # not change their counters, because this test could then deadlock with a writer.
                    locked = await session.execute(select(apps.c.id).order_by(apps.c.id).with_for_update())
                    ids = list(locked.scalars())
                    counted = app_counters.update().where(app_counters.c.app_id.in_(ids))
                    await session.execute(counted.values(customers=app_counters.c.customers + 1))
                    owned = customers.update().where(customers.c.app_id.in_(ids))
                    await session.execute(owned.values(license_count=customers.c.license_count + 2))
                repaired += len(await repair(database))
            await writing

    assert repaired > 2
    await check(database)
