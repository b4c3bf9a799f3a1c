"""Measures how long the database takes for statistics and the standing of an app with very many licenses.

``python -m bench.statistics URL [LICENSES]``, 1,000,000 by default. The database at the URL must be empty.
Prints the milliseconds of single statements, without HTTP, and their plans.
"""

import asyncio
import random
import sys
import time
from datetime import date, timedelta
from statistics import median, quantiles
from typing import Any

from sqlalchemy import text

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, TIERS, Believable
from db import clock, migrations, reads
from db.customers import customers as customers_table
from db.deadlines import UNLIMITED
from db.engine import Database
from db.licenses import licenses as licenses_table
from db.shaping.selection import (
    BreakdownList,
    EntryList,
    Field,
    FiguresObject,
    Lookup,
    Object,
    OneRead,
    Scalar,
    Values,
)
from db.statistics import STATISTICS, add_rows
from db.tenancy import Tenant
from resolvers.statistics import Interval, intervals
from tests.factories import make_account, make_app, make_tier
from tests.schema.plans import analyze, described

LICENSES = 1_000_000
ROWS = 20_000
ROUNDS = 300
NUMBERS = ("active", "expired", "revoked", "expiring_in7_days", "expiring_in30_days", "never_verified")

# One connection loads all rows. Here, the totals are spread over all shards, as many connections do it.
SPREAD = """
INSERT INTO app_expiries
SELECT app_id, day, tier_id, (shard + more) % 4, licenses / 4, unseen / 4
FROM app_expiries CROSS JOIN generate_series(1, 3) AS more
"""


async def fill(database: Database, count: int) -> tuple[str, str]:
    """Create an app with tiers and so many licenses. Return the ids of its account and of the app."""
    account = await make_account(database)
    app = await make_app(database, account, slug="large")
    tiers = [(await make_tier(database, app, slug=slug)).id for slug, *_ in TIERS]
    for batch in Believable(app.id, count // 2, 2, clock.now()).batches(ROWS):
        async with database.write() as session:
            await session.load(customers_table, CUSTOMER_COLUMNS, batch.customers)
            rows = [(*row, random.choice((*tiers, None))) for row in batch.licenses]
            await session.load(licenses_table, (*LICENSE_COLUMNS, "tier_id"), rows)
    async with database.write() as session:
        await add_rows(session, app.id)
        if not database.is_sqlite:
            await session.execute(text(SPREAD))
    await analyze(database)
    return account.id, app.id


def _year(first: date) -> tuple[Field, Values]:
    values = Values()
    slots = intervals(first, first + timedelta(days=364), Interval.DAY, None, values)
    fields = tuple(Scalar(name, name) for name in STATISTICS.attributes)
    return EntryList("statistics", "statistics", fields, slots), values


def _standing() -> tuple[Field, Values]:
    tier = Object("tier", "tier", "Tier", (Scalar("name", "name"),))
    entry = BreakdownList("by_tier", "by_tier", "Tier", (tier, Scalar("active", "active")), 5)
    return FiguresObject(
        "standing", "standing", (*(Scalar(name, name) for name in NUMBERS), entry), 10
    ), Values()


async def measure(
    database: Database, account: str, app: str, name: str, field: Field, values: Values
) -> None:
    """Print how long the statement of a field takes, and its plan."""
    read = OneRead("App", Lookup("id", len(values.items)), (field,))
    options: dict[str, Any] = {"tokens": True, "customers": True, "scopes": {}}
    taken = []
    for _ in range(ROUNDS):
        async with database.read() as session:
            begun = time.perf_counter()
            ((found,),) = await reads.rows(
                session, Tenant(account), read, [*values.items, app], clock.now(), **options
            )
            taken.append((time.perf_counter() - begun) * 1000)
    late = quantiles(taken, n=20)[18]
    print(f"{name}: median {median(taken):.2f} ms, 95 % {late:.2f} ms, {len(found):,} bytes")
    statement = database.statements.compile(reads._compile(read)).sql  # noqa: SLF001
    print(await described(database, statement), end="\n\n")


async def main(url: str, count: int) -> None:
    await migrations.upgrade(url)
    database = Database(url, timeouts=UNLIMITED)
    begun = time.perf_counter()
    account, app = await fill(database, count)
    print(f"{count:,} licenses loaded in {time.perf_counter() - begun:.0f} s")
    today = clock.now().date()
    for name, (field, values) in {
        "a year by day, past": _year(today - timedelta(days=364)),
        "a year by day, future": _year(today + timedelta(days=1)),
        "standing": _standing(),
    }.items():
        await measure(database, account, app, name, field, values)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else LICENSES))
