"""What the contestants are asked about: an app with customers and licenses, and a key that may see them."""

from dataclasses import dataclass

import asyncpg

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, PAST, Believable
from db import apps, clock, ids, migrations
from db.customers import customers as customers_table
from db.engine import Database
from db.licenses import licenses as licenses_table
from resolvers.accounts import default_account
from resolvers.keys import KeyKind, create_key

ROWS_PER_TRANSACTION = 20_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """An app by its slug, and a secret key of its account."""

    slug: str
    token: str


async def load(url: str, *, customers: int, licenses_per_customer: int) -> DataSet:
    """Fill a database that has no tables yet."""
    await migrations.upgrade(url)
    database = Database(url)
    try:
        data = await _load(database, customers, licenses_per_customer)
    finally:
        await database.close()
    if not database.is_sqlite:
        await _settle(url)
    return data


async def _load(database: Database, customers: int, licenses_per_customer: int) -> DataSet:
    now = clock.now()
    slug, name = "bench", "Bench"
    new = ids.new_id(ids.APP, now - PAST)
    async with database.write() as session:
        account_id = await default_account(session)
        key = await create_key(session, KeyKind.SECRET)
        row = {
            "id": new.id,
            "account_id": account_id,
            "slug": slug,
            "name": name,
            "name_folded": name.casefold(),
            "created_at": new.created_at,
            "updated_at": new.created_at,
        }
        await apps.insert(session, row)
    believable = Believable(new.id, customers, licenses_per_customer, now)
    for batch in believable.batches(ROWS_PER_TRANSACTION):
        async with database.write() as session:
            await session.load(customers_table, CUSTOMER_COLUMNS, batch.customers)
            await session.load(licenses_table, LICENSE_COLUMNS, batch.licenses)
    return DataSet(slug, key.token)


async def _settle(url: str) -> None:
    """Do at once what PostgreSQL would do on its own soon after, so that it does not do it while measured."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
