"""Deleting a customer with `erase`: afterwards, the database has no personal data of the customer."""

import json
from typing import Any

import pytest
from sqlalchemy import select

from db.engine import Database
from db.events import events
from db.idempotency import idempotency
from tests.apis.market import As, Caller, Market
from tests.databases import on_disk
from tests.factories import key_id, make_key, make_outcome
from tests.log import begin_log, check_log

PERSONAL = {
    "email": "Grace.Hopper@navy.example",
    "name": "Grace Hopper",
    "external_id": "crm-grace",
    "metadata": {"rank": "admiral"},
}
WORDS = ("Grace", "grace", "navy", "admiral", "cobol")
ERASED: dict[str, Any] = {"email": None, "name": None, "external_id": None, "metadata": {}}


METADATA = {"metadata": {"language": "cobol"}}
CREATE_LICENSE = (
    "mutation ($input: CreateLicenseInput!) { it: createLicense(input: $input) { license { id } } }"
)


async def make_history(caller: Caller) -> tuple[str, str]:
    """Create, change and use a customer of the app atlas. Return the ids of the customer and its license."""
    customer = (await caller.rest("POST", "/apps/atlas/customers", PERSONAL)).json()["data"]["id"]
    issued = await caller.data(CREATE_LICENSE, input={"customerId": customer, "forever": True, **METADATA})
    license = issued["it"]["license"]["id"]
    path = f"/apps/atlas/customers/{customer}"
    changed = await caller.rest("PATCH", path, {"email": "grace@navy.example", "metadata": {"rank": "cobol"}})
    session = await caller.rest("POST", f"{path}/sessions")
    assert (changed.status_code, session.status_code) == (200, 201)
    return customer, license


async def by_rest(caller: Caller, customer: str) -> None:
    response = await caller.rest("DELETE", f"/apps/atlas/customers/{customer}?erase=true")
    assert response.status_code == 204


async def by_graph(caller: Caller, customer: str) -> None:
    deletion = (
        f'mutation {{ it: deleteCustomer(input: {{id: "{customer}", erase: true}}) {{ deletedCustomerId }} }}'
    )
    assert await caller.data(deletion) == {"it": {"deletedCustomerId": customer}}


async def events_of(database: Database, customer: str) -> list[Any]:
    """Return the events of a customer and its licenses, oldest first."""
    query = select(events).where(events.c.customer_id == customer).order_by(events.c.id)
    async with database.write() as session:
        found = [dict(row) for row in (await session.execute(query)).mappings()]
    return [row | {name: json.loads(row[name]) for name in ("data", "changes")} for row in found]


@pytest.mark.parametrize("erase", [by_rest, by_graph])
async def test_nothing_personal_is_left_and_what_happened_stays(
    database: Database,
    database_url: str,
    market: Market,
    secret: Caller,
    erase: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("db.erasure.EVENTS_PER_STATEMENT", 2)
    await begin_log(database)
    customer, license = await make_history(secret)
    before = await events_of(database, customer)
    assert all(on_disk(database_url, word) for word in WORDS)

    await erase(secret, customer)

    after = await events_of(database, customer)
    assert [row["type"] for row in after] == [
        "customer.created",
        "license.created",
        "customer.updated",
        "session.created",
        "customer.deleted",
        "license.deleted",
    ]
    kept = ("id", "type", "created_at", "subject_id", "version", "actor_kind", "actor_id", "caused_by")
    assert [[row[name] for name in kept] for row in after[:4]] == [
        [row[name] for name in kept] for row in before
    ]
    assert all(row["erased"] for row in after)
    assert after[0]["data"] == before[0]["data"] | ERASED
    assert after[1]["data"] == before[1]["data"] | {"metadata": {}}
    assert after[2]["changes"] == {
        "email": {"from": None, "to": None},
        "metadata": {"from": {}, "to": {}},
    }
    assert after[4]["data"] == after[2]["data"] | {"license_count": 1}
    assert after[5]["subject_id"] == license
    assert [word for word in WORDS if on_disk(database_url, word)] == []
    await check_log(database_url)


async def test_only_the_customer_that_is_deleted_is_erased(
    database: Database, database_url: str, market: Market, secret: Caller
) -> None:
    await begin_log(database)
    ada = {"email": "ada@lovelace.example", "name": "Ada", "metadata": {"engine": "analytical"}}
    other = (await secret.rest("POST", "/apps/atlas/customers", ada)).json()["data"]["id"]
    customer, _ = await make_history(secret)
    before = await events_of(database, other)

    await by_rest(secret, customer)

    assert await events_of(database, other) == before
    assert [row["erased"] for row in before] == [False]


async def test_without_erase_the_events_keep_their_data(
    database: Database, market: Market, secret: Caller
) -> None:
    customer, _ = await make_history(secret)

    response = await secret.rest("DELETE", f"/apps/atlas/customers/{customer}?erase=false")

    found = await events_of(database, customer)
    assert response.status_code == 204
    assert (found[0]["data"]["email"], found[0]["erased"]) == (PERSONAL["email"], False)


@pytest.mark.parametrize("value", ["yes", "1", "True", ""])
async def test_an_unclear_erase_deletes_nothing(
    database: Database, market: Market, secret: Caller, value: str
) -> None:
    customer, _ = await make_history(secret)
    path = f"/apps/atlas/customers/{customer}"

    response = await secret.rest("DELETE", f"{path}?erase={value}")

    assert response.status_code == 422
    assert response.json()["error"]["details"] == {"erase": ["must be true or false"]}
    assert (await secret.rest("GET", path)).status_code == 200


async def test_stored_outcomes_about_the_customer_are_deleted(
    database: Database, market: Market, by: As
) -> None:
    token = await make_key(database, market.account)
    for key in ("about", "another"):
        await make_outcome(database, await key_id(database, token), key=key)
    customer, _ = await make_history(by(token))
    async with database.write() as session:
        about = idempotency.update().where(idempotency.c.key == "about").values(customer_id=customer)
        await session.execute(about)

    await by_rest(by(token), customer)

    async with database.write() as session:
        left = (await session.execute(select(idempotency.c.key))).scalars().all()
    assert left == ["another"]


async def test_an_erased_customer_can_be_created_again(
    database: Database, database_url: str, market: Market, secret: Caller
) -> None:
    await begin_log(database)
    customer, _ = await make_history(secret)
    await by_graph(secret, customer)

    again, _ = await make_history(secret)

    assert again != customer
    assert (await events_of(database, again))[0]["data"]["email"] == PERSONAL["email"]
    await check_log(database_url)
