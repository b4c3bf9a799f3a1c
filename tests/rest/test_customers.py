"""Creating, changing and deleting customers."""

import asyncio
from datetime import datetime
from typing import Any

import httpx
import pytest

from db import clock
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from resolvers.purge import purge
from tests.factories import make_app, make_customer, make_license
from tests.rest.conftest import CUSTOMERS, LENA, SLUG, Vendor, created
from tests.rest.expecting import CUSTOMER_ID, CUSTOMER_KEYS, NOT_FOUND, error, invalid, stored, taken
from tests.statements import Statements

# Create


async def test_a_customer_is_created_with_its_location(api: httpx.AsyncClient, database: Database) -> None:
    before = clock.now()

    response = await api.post(CUSTOMERS, json=LENA)

    customer = response.json()["data"]
    assert response.status_code == 201
    assert list(customer) == CUSTOMER_KEYS
    assert customer == {"id": CUSTOMER_ID, **LENA, "created_at": customer["created_at"]}
    assert before <= datetime.fromisoformat(customer["created_at"]) <= clock.now()
    assert response.headers["location"] == f"/api/v1/apps/atlas-studio/customers/{customer['id']}"
    assert (await api.get(f"http://testserver{response.headers['location']}")).text == response.text
    assert [row["id"] for row in await stored(database, customers)] == [customer["id"]]


async def test_only_the_email_is_required(api: httpx.AsyncClient) -> None:
    unset: dict[str, Any] = {"name": None, "external_id": None, "metadata": {}}
    bodies: list[dict[str, Any]] = [{}, unset, {"name": "", "external_id": "", "metadata": None}]

    made = [await created(api, email=f"{n}@example.com", **body) for n, body in enumerate(bodies)]

    assert [{key: each[key] for key in unset} for each in made] == [unset] * len(bodies)


async def test_all_errors_of_a_body_are_reported_together(api: httpx.AsyncClient, database: Database) -> None:
    body = {"email": "lena", "name": 7, "external_id": "x" * 256, "metadata": []}

    assert error(await api.post(CUSTOMERS, json=body)) == invalid(
        email="is not a valid address",
        name="must be a string",
        external_id="is too long (maximum is 255 characters)",
        metadata="must be an object",
    )
    assert await stored(database, customers) == []


async def test_a_taken_email_or_external_id_is_a_conflict(api: httpx.AsyncClient, database: Database) -> None:
    lena = await created(api, **LENA)

    answers = [
        error(await api.post(CUSTOMERS, json=body))
        for body in (
            {"email": "lena@orbit.example"},
            {"email": "LENA@Orbit.Example"},
            {"email": "other@orbit.example", "external_id": "crm-8841"},
            {"email": "Lena@orbit.example", "external_id": "crm-8841"},
            {"email": "lena", "external_id": "crm-8841"},
        )
    ]

    assert answers == [
        taken("email"),
        taken("email"),
        taken("external_id"),
        taken("email", "external_id"),
        invalid(email="is not a valid address"),
    ]
    assert [row["id"] for row in await stored(database, customers)] == [lena["id"]]


async def test_external_ids_are_compared_exactly_and_may_be_missing_often(api: httpx.AsyncClient) -> None:
    for number, external_id in enumerate(["crm-1", "CRM-1", " crm-1", "crm-1 ", None, None]):
        made = await created(api, email=f"{number}@example.com", external_id=external_id)
        assert made["external_id"] == external_id


async def test_email_and_external_id_may_repeat_across_apps(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    await make_app(database, vendor.account, slug="second")

    statuses = [
        (await api.post(f"/apps/{slug}/customers", json=body)).status_code
        for slug in (SLUG, "second")
        for body in (LENA, {"email": "LENA@orbit.example"})
    ]

    assert statuses == [201, 409, 201, 409]


async def test_creating_in_an_unknown_app(api: httpx.AsyncClient, database: Database) -> None:
    for slug in ("nothing", "Atlas-Studio", "%00", "a%20b", "x" * 64, "%F0%9F%A6%8A", "%FF"):
        for path in (f"/apps/{slug}/customers", f"/apps/{slug}/customers/get-or-create"):
            assert error(await api.post(path, json=LENA)) == NOT_FOUND, path
    assert await stored(database, customers) == []


# Get or create


async def test_get_or_create_creates_once_and_then_returns_the_customer_unchanged(
    api: httpx.AsyncClient, database: Database
) -> None:
    first = await api.post(f"{CUSTOMERS}/get-or-create", json=LENA)
    again = await api.post(
        f"{CUSTOMERS}/get-or-create",
        json={"email": " LENA@orbit.example ", "name": "X", "external_id": "crm-9", "metadata": {"a": 1}},
    )

    id = first.json()["data"]["id"]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["location"] == f"/api/v1{CUSTOMERS}/{id}"
    assert "location" not in again.headers
    assert again.text == first.text
    assert [row["id"] for row in await stored(database, customers)] == [id]


async def test_a_customer_is_returned_by_the_statement_that_finds_or_creates_it(
    api: httpx.AsyncClient, app: Any, database: Database, statements: Statements
) -> None:
    path = f"{CUSTOMERS}/get-or-create"
    sent = []
    for address, email in (
        (path, "first@example.com"),  # not checked: SQLite may run a new statement twice
        (path, "second@example.com"),
        (path, "Second@example.com"),
        (CUSTOMERS, "third@example.com"),
    ):
        with statements.recorded(app.state.database) as recording:
            await api.post(address, json={"email": email})
        sent.append((len(recording), recording.transactions))

    # Get-or-create first looks for the customer. PostgreSQL then inserts the customer and its event with one
    # statement, SQLite with two in a transaction.
    inserts, transaction = (2, ["BEGIN IMMEDIATE", "COMMIT"]) if database.is_sqlite else (1, [])
    assert sent[1:] == [(1 + inserts, transaction), (1, []), (inserts, transaction)]


async def test_get_or_create_validates_before_it_reads(api: httpx.AsyncClient, database: Database) -> None:
    await created(api, **LENA)

    answers = [
        error(await api.post(f"{CUSTOMERS}/get-or-create", json=body))
        for body in ({}, {"email": "lena"}, {**LENA, "metadata": 1})
    ]

    assert answers == [
        invalid(email="can't be blank"),
        invalid(email="is not a valid address"),
        invalid(metadata="must be an object"),
    ]
    assert len(await stored(database, customers)) == 1


async def test_get_or_create_of_a_new_email_with_a_taken_external_id_is_a_conflict(
    api: httpx.AsyncClient, database: Database
) -> None:
    await created(api, **LENA)

    answer = error(await api.post(f"{CUSTOMERS}/get-or-create", json={**LENA, "email": "new@example.com"}))

    assert answer == taken("external_id")
    assert len(await stored(database, customers)) == 1


async def test_fifty_get_or_creates_at_once_make_one_customer(
    api: httpx.AsyncClient, database: Database
) -> None:
    emails = ["Lena@orbit.example", "lena@ORBIT.example", "LENA@orbit.example"]

    answers = await asyncio.gather(
        *(api.post(f"{CUSTOMERS}/get-or-create", json={"email": emails[n % 3]}) for n in range(50))
    )

    (row,) = await stored(database, customers)
    assert sorted(each.status_code for each in answers) == [200] * 49 + [201]
    assert {each.json()["data"]["id"] for each in answers} == {row["id"]}


async def test_fifty_creates_at_once_make_one_customer(api: httpx.AsyncClient, database: Database) -> None:
    answers = await asyncio.gather(*(api.post(CUSTOMERS, json=LENA) for _ in range(50)))

    refused = [error(each) for each in answers if each.status_code != 201]
    assert refused == [taken("email", "external_id")] * 49
    assert len(await stored(database, customers)) == 1


# Update


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_update_changes_the_keys_that_are_present(
    api: httpx.AsyncClient, database: Database, method: str
) -> None:
    lena = await created(api, **LENA)
    path = f"{CUSTOMERS}/{lena['id']}"

    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"name": "Lena O."}, {"name": "Lena O."}),
        ({"email": " Lena@New.Example "}, {"email": "Lena@New.Example"}),
        ({"metadata": {"a": None}}, {"metadata": {"a": None}}),
        ({"external_id": "crm-1"}, {"external_id": "crm-1"}),
        (
            {"name": None, "external_id": None, "metadata": None},
            {"name": None, "external_id": None, "metadata": {}},
        ),
        ({"name": "L", "external_id": "2"}, {"name": "L", "external_id": "2"}),
        ({"name": "", "external_id": ""}, {"name": None, "external_id": None}),
        ({"id": "cus_1", "created_at": "2020-01-01T00:00:00Z", "unknown": 1}, {}),
    ]
    expected = lena
    for body, change in steps:
        response = await api.request(method, path, json=body)
        expected = expected | change
        assert (response.status_code, response.json()) == (200, {"data": expected}), body
        assert list(response.json()["data"]) == CUSTOMER_KEYS
    assert (await api.get(path)).json() == {"data": expected}
    assert len(await stored(database, customers)) == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_update_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, database: Database, method: str
) -> None:
    lena = await created(api, **LENA)
    await created(api, email="ivo@orbit.example", external_id="crm-1")
    before = await stored(database, customers)

    answers = [
        error(await api.request(method, f"{CUSTOMERS}/{lena['id']}", json={"name": "New", **body}))
        for body in (
            {"email": None},
            {"email": "", "metadata": "x"},
            {"email": "IVO@orbit.example"},
            {"external_id": "crm-1"},
            {"email": "ivo@orbit.example", "external_id": "crm-1"},
            {"email": "ivo@orbit.example", "external_id": 1},
        )
    ]

    assert answers == [
        invalid(email="can't be blank"),
        invalid(email="can't be blank", metadata="must be an object"),
        taken("email"),
        taken("external_id"),
        taken("email", "external_id"),
        invalid(external_id="must be a string"),
    ]
    assert await stored(database, customers) == before


async def test_an_update_to_the_same_values_is_not_a_conflict(api: httpx.AsyncClient) -> None:
    lena = await created(api, **LENA)

    response = await api.put(f"{CUSTOMERS}/{lena['id']}", json={**LENA, "email": "LENA@orbit.example"})

    assert (response.status_code, response.json()) == (200, {"data": {**lena, "email": "LENA@orbit.example"}})


async def test_a_customer_is_only_changed_and_deleted_through_its_own_app(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    lena = await created(api, **LENA)
    await make_app(database, vendor.account, slug="second")
    before = await stored(database, customers)

    for method in ("GET", "PUT", "PATCH", "DELETE"):
        for path in (f"/apps/second/customers/{lena['id']}", f"/apps/nothing/customers/{lena['id']}"):
            assert error(await api.request(method, path, json={"name": "New"})) == NOT_FOUND
    assert await stored(database, customers) == before


# Delete


async def test_deleting_a_customer_deletes_its_licenses_and_no_others(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    lena, ivo = await make_customer(database, vendor.app), await make_customer(database, vendor.app)
    kept = await make_license(database, ivo)
    for _ in range(3):
        await make_license(database, lena)

    response = await api.delete(f"{CUSTOMERS}/{lena.id}")

    assert (response.status_code, response.content) == (204, b"")
    assert [row["id"] for row in await stored(database, customers)] == [ivo.id]
    assert [row["id"] for row in await stored(database, licenses)] == [kept.id]
    assert error(await api.delete(f"{CUSTOMERS}/{lena.id}")) == NOT_FOUND
    assert error(await api.get(f"{CUSTOMERS}/{lena.id}")) == NOT_FOUND


async def test_deleting_an_app_deletes_its_customers_and_licenses_and_no_others(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    second = await make_app(database, vendor.account, slug="second")
    for app in (vendor.app, second):
        await make_license(database, await make_customer(database, app))

    response = await api.delete(f"/apps/{SLUG}")

    assert (response.status_code, response.content) == (204, b"")
    await purge(database)
    assert [row["id"] for row in await stored(database, apps)] == [second.id]
    assert [row["app_id"] for row in await stored(database, customers)] == [second.id]
    assert [row["app_id"] for row in await stored(database, licenses)] == [second.id]
