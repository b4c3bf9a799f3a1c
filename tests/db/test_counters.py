"""Counters agree with count(*) after every statement that changes the rows they count."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, func, select, text

from db import counters, ids, standing
from db.accounts import accounts
from db.apps import app_counters, apps, total
from db.counters import AppMismatch, CustomerMismatch
from db.customers import customers
from db.engine import Database, WriteSession
from db.license_seen import license_seen
from db.licenses import licenses
from db.standing import app_expiries
from db.tiers import tiers
from tests.factories import make_account, make_app, make_customer, make_license


async def off(database: Database) -> tuple[object, object, object]:
    async with database.read() as session:
        return (
            await counters.app_mismatches(session),
            await counters.customer_mismatches(session),
            await standing.apps_with_wrong_totals(session),
        )


async def execute(database: Database, statement: str, **values: object) -> None:
    async with database.write() as session:
        await session.execute(text(statement), values)


@dataclass
class Statements:
    """Runs all kinds of statements on random rows. The caller may roll back the transaction."""

    session: WriteSession
    chance: random.Random
    account_id: str

    async def some(self, table: Table, at_most: int = 1) -> list[Any]:
        found = (await self.session.execute(select(table).order_by(table.c.id))).all()
        return self.chance.sample(found, min(len(found), at_most))

    async def add_app(self) -> None:
        id = ids.new_id(ids.APP).id
        row = {
            "id": id,
            "account_id": self.account_id,
            "slug": id.replace("_", "-"),
            "name": "",
            "name_folded": "",
        }
        await self.session.execute(apps.insert().values(row | moments()))
        tier = {
            "id": ids.new_id(ids.TIER).id,
            "app_id": id,
            "slug": "",
            "name": "",
            "position": 0,
            "rank": "",
        }
        await self.session.execute(tiers.insert().values(**tier, created_at=moments()["created_at"]))

    async def add_customers(self) -> None:
        for app in await self.some(apps):
            rows = [customer(app.id) for _ in range(self.chance.randint(1, 3))]
            await self.session.execute(customers.insert().values(rows))

    async def add_a_customer_that_is_there(self) -> None:
        for found in await self.some(customers):
            again = customer(found.app_id) | {"email_key": found.email_key}
            assert not await self.session.insert_if_free(customers, again)

    async def add_licenses(self) -> None:
        rows = [
            license(owner)
            for owner in await self.some(customers, 3)
            for _ in range(self.chance.randint(1, 3))
        ]
        if rows:
            await self.session.execute(licenses.insert().values(rows))

    async def load(self) -> None:
        rows = [license(owner) for owner in await self.some(customers, 3)]
        if rows:
            stored = [tuple({**row, "metadata": "{}", **texts()}.values()) for row in rows]
            await self.session.load(licenses, list(rows[0]), stored)

    async def delete(self, table: Table, at_most: int) -> None:
        found = [row.id for row in await self.some(table, at_most)]
        await self.session.execute(table.delete().where(table.c.id.in_(found)))

    async def delete_app(self) -> None:
        await self.delete(apps, 1)

    async def delete_customers(self) -> None:
        await self.delete(customers, 2)

    async def delete_licenses(self) -> None:
        await self.delete(licenses, 4)

    async def move_customers(self) -> None:
        for app in await self.some(apps):
            moved = [row.id for row in await self.some(customers, 2)]
            await self.session.execute(
                customers.update().where(customers.c.id.in_(moved)).values(app_id=app.id)
            )

    async def move_licenses(self) -> None:
        for owner in await self.some(customers):
            moved = [row.id for row in await self.some(licenses, 3)]
            to = {"customer_id": owner.id, "app_id": owner.app_id}
            await self.session.execute(licenses.update().where(licenses.c.id.in_(moved)).values(to))

    async def change_terms(self) -> None:
        """Change when licenses expire, whether they are revoked, and their tiers."""
        for found in await self.some(licenses, 4):
            of_app = [tier.id for tier in await self.some(tiers, 9) if tier.app_id == found.app_id]
            times = (None, datetime(2026, 1, 23, tzinfo=UTC), datetime(2027, 1, 23, tzinfo=UTC))
            changes: dict[str, object] = {
                "expires_at": self.chance.choice(times),
                "revoked_at": self.chance.choice(times),
                "tier_id": self.chance.choice((None, *of_app)),
            }
            name = self.chance.choice(list(changes))
            changed = licenses.update().where(licenses.c.id == found.id)
            await self.session.execute(changed.values({name: changes[name]}))

    async def verify(self) -> None:
        verified = [row.id for row in await self.some(licenses, 5)]
        noted = license_seen.update().where(license_seen.c.license_id.in_(verified))
        await self.session.execute(noted.values(at=moments()["created_at"]))


def moments() -> dict[str, object]:
    now = ids.new_id(ids.APP).created_at
    return {"created_at": now, "updated_at": now}


def texts() -> dict[str, str]:
    return {"created_at": "2026-01-23T10:00:00Z", "updated_at": "2026-01-23T10:00:00Z"}


def customer(app_id: str) -> dict[str, object]:
    id = ids.new_id(ids.CUSTOMER).id
    email = {"email": id, "email_folded": id, "email_key": id}
    return {"id": id, "app_id": app_id, "metadata": {}, **email, **moments()}


def license(owner: Any) -> dict[str, object]:
    id = ids.new_id(ids.LICENSE).id
    return {
        "id": id,
        "app_id": owner.app_id,
        "customer_id": owner.id,
        "installation_id": id,
        "is_current": True,
        "metadata": {},
        **moments(),
    }


# More statements add rows than delete them.
KINDS: list[Callable[[Statements], Awaitable[None]]] = [
    Statements.add_app,
    *[Statements.add_customers] * 4,
    Statements.add_a_customer_that_is_there,
    *[Statements.add_licenses] * 4,
    Statements.load,
    Statements.delete_app,
    Statements.delete_customers,
    *[Statements.delete_licenses] * 2,
    Statements.move_customers,
    Statements.move_licenses,
    *[Statements.change_terms] * 3,
    *[Statements.verify] * 2,
]


class RolledBack(Exception):
    """Raised by the test itself, to roll back a transaction."""


@pytest.mark.parametrize("seed", range(8))
async def test_counters_are_right_after_any_statement(database: Database, seed: int) -> None:
    chance = random.Random(seed)
    account = await make_account(database)
    for _ in range(3):
        await make_app(database, account)

    for _ in range(60):
        try:
            async with database.write() as session:
                statements = Statements(session, chance, account.id)
                for kind in chance.choices(KINDS, k=chance.randint(1, 3)):
                    await kind(statements)
                if chance.random() < 0.2:
                    raise RolledBack
        except RolledBack:
            pass
        assert await off(database) == ([], [], [])


async def test_counters_of_deleted_apps_are_deleted(database: Database) -> None:
    account = await make_account(database)
    for _ in range(2):
        await make_license(database, await make_customer(database, await make_app(database, account)))

    async with database.write() as session:
        await session.execute(accounts.delete())

    async with database.write() as session:
        for table in (apps, customers, licenses, app_counters, app_expiries):
            assert (await session.execute(select(func.count()).select_from(table))).scalar_one() == 0


async def test_connections_to_postgresql_count_in_rows_of_their_own(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    app = await make_app(database, await make_account(database))
    async with database.write() as one, database.write() as other:
        for session in (one, other):
            # If both connections used the same counter row, the second one would wait for the first one and
            # time out.
            await session.execute(text("SET LOCAL lock_timeout = '5s'"))
            await session.execute(customers.insert().values(customer(app.id)))

    async with database.write() as session:
        counts = (await session.execute(select(app_counters.c.customers))).scalars().all()
        assert (await session.execute(select(total("customers", app.id)))).scalar_one() == 2
    await database.close()
    assert sorted(counts) == [1, 1]


async def test_wrong_counters_are_found_and_counted_again(database: Database) -> None:
    account = await make_account(database)
    right, wrong, empty = [await make_app(database, account) for _ in range(3)]
    for app in (right, wrong):
        await make_license(database, await make_customer(database, app))
    lost = await make_customer(database, wrong)
    await execute(database, "DELETE FROM app_counters WHERE app_id = :id", id=wrong.id)
    await execute(
        database,
        "INSERT INTO app_counters (app_id, shard, customers, licenses) VALUES (:id, 3, -1, 2)",
        id=empty.id,
    )
    await execute(database, "UPDATE customers SET license_count = 7 WHERE id = :id", id=lost.id)
    await execute(database, "UPDATE app_expiries SET unseen = 0 WHERE app_id = :id", id=right.id)

    assert await off(database) == (
        [
            AppMismatch(wrong.id, stored_customers=0, customers=2, stored_licenses=0, licenses=1),
            AppMismatch(empty.id, stored_customers=-1, customers=0, stored_licenses=2, licenses=0),
        ],
        [CustomerMismatch(lost.id, wrong.id, stored_licenses=7, licenses=0)],
        [right.id],
    )

    for app in (right, wrong, empty):
        async with database.write() as session:
            await counters.recount(session, app.id)
    assert await off(database) == ([], [], [])


async def test_a_deleted_app_is_not_counted_again(database: Database) -> None:
    async with database.write() as session:
        await counters.recount(session, "app_01h455vb4pex5vsknk084sn02q")

    async with database.write() as session:
        assert (await session.execute(select(func.count()).select_from(app_counters))).scalar_one() == 0
