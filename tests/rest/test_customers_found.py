"""Customers listed and looked up (contract 2.5 and 2.6)."""

from typing import Any

import httpx

from db.engine import Database
from tests.factories import make_app, make_customer, make_license
from tests.rest.conftest import CUSTOMERS, LENA, Vendor, created
from tests.rest.expecting import NOT_FOUND, error, invalid
from tests.statements import Statements


async def _emails(api: httpx.AsyncClient, query: str) -> list[str]:
    body = (await api.get(f"{CUSTOMERS}?{query}")).json()
    assert body["meta"]["total"] == len(body["data"])
    return [each["email"] for each in body["data"]]


# List


async def test_email_filters_by_a_part_in_any_letter_case(api: httpx.AsyncClient):
    for email in ("jane@example.com", "JANET@orbit.example", "bob@example.com"):
        await created(api, email=email)

    assert await _emails(api, "email=jan") == ["JANET@orbit.example", "jane@example.com"]
    assert await _emails(api, "email=EXAMPLE.COM") == ["bob@example.com", "jane@example.com"]
    assert await _emails(api, "email=%40orbit") == ["JANET@orbit.example"]
    assert await _emails(api, "email=nobody") == []
    assert await _emails(api, "email=") == ["bob@example.com", "JANET@orbit.example", "jane@example.com"]


async def test_the_email_filter_takes_its_text_literally(api: httpx.AsyncClient):
    for email in (
        "50%off@example.com",
        "a_b@example.com",
        "axb@example.com",
        "a/b@example.com",
        "o'b@example.com",
    ):
        await created(api, email=email)

    assert await _emails(api, "email=%25") == ["50%off@example.com"]
    assert await _emails(api, "email=_") == ["a_b@example.com"]
    assert await _emails(api, "email=a_b") == ["a_b@example.com"]
    assert await _emails(api, "email=/") == ["a/b@example.com"]
    assert await _emails(api, "email='") == ["o'b@example.com"]
    assert await _emails(api, "email=%5C") == []
    assert await _emails(api, "email=%25%25") == []


async def test_external_id_filters_exactly(api: httpx.AsyncClient):
    for number, external_id in enumerate(["crm-1", "CRM-1", "crm-11", "crm 1", None]):
        await created(api, email=f"{number}@example.com", external_id=external_id)

    assert await _emails(api, "external_id=crm-1") == ["0@example.com"]
    assert await _emails(api, "external_id=crm+1") == ["3@example.com"]
    assert await _emails(api, "external_id=crm") == []
    assert len(await _emails(api, "external_id=")) == 5


async def test_all_filters_must_hold_and_the_total_counts_what_passes(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
):
    await make_customer(database, await make_app(database, vendor.account), email="ida@orbit.example")
    made = [
        await created(api, email=f"{name}@orbit.example", external_id=name) for name in ("ana", "ivo", "max")
    ]
    await created(api, email="ivo@example.com")

    both = await api.get(f"{CUSTOMERS}?email=orbit&external_id=ivo")
    paged = await api.get(f"{CUSTOMERS}?email=ORBIT&page=2&per_page=2")

    assert both.json() == {"data": [made[1]], "meta": {"total": 1, "page": 1, "per_page": 20}}
    assert paged.json() == {"data": [made[0]], "meta": {"total": 3, "page": 2, "per_page": 2}}


async def test_an_empty_list(api: httpx.AsyncClient):
    response = await api.get(CUSTOMERS)

    assert (response.status_code, response.json()) == (
        200,
        {"data": [], "meta": {"total": 0, "page": 1, "per_page": 20}},
    )


async def test_the_list_of_an_app_that_is_not_there(api: httpx.AsyncClient):
    for slug in ("nothing", "%00", "Atlas-Studio", "%FF"):
        assert error(await api.get(f"/apps/{slug}/customers")) == NOT_FOUND, slug


# Look-ups


async def test_a_customer_is_found_by_id_email_and_external_id(
    api: httpx.AsyncClient, reader: httpx.AsyncClient
):
    made = await api.post(CUSTOMERS, json=LENA)
    await created(api, email="other@orbit.example")
    id = made.json()["data"]["id"]

    for path in (
        id,
        "by-email?email=lena@orbit.example",
        "by-email?email=LENA%40ORBIT.EXAMPLE",
        "by-external-id?external_id=crm-8841",
    ):
        found = await reader.get(f"{CUSTOMERS}/{path}")
        assert (found.status_code, found.text) == (200, made.text), path


async def test_what_is_looked_up_and_is_not_there(api: httpx.AsyncClient, database: Database, vendor: Vendor):
    await created(api, **LENA)
    second = await make_app(database, vendor.account, slug="second")
    elsewhere = await make_customer(database, second, email="ivo@orbit.example", external_id="crm-1")
    license = await make_license(database, elsewhere)

    paths = [
        elsewhere.id,
        license.id,
        vendor.app.id,
        "cus_00000000000000000000000000",
        "1",
        "lena@orbit.example",
        "%00",
        "%FF",
        "'",
        "x" * 5000,
        "by-email?email=ivo@orbit.example",
        "by-email?email=lena",
        "by-email?email=%25",
        "by-email?email=lena@orbit.example%20",
        f"by-email?email={'x' * 5000}",
        "by-external-id?external_id=CRM-8841",
        "by-external-id?external_id=crm-1",
        f"by-external-id?external_id={'x' * 5000}",
    ]
    assert {path: error(await api.get(f"{CUSTOMERS}/{path}")) for path in paths} == dict.fromkeys(
        paths, NOT_FOUND
    )
    for path in ("by-email?email=lena@orbit.example", "by-external-id?external_id=crm-8841"):
        assert error(await api.get(f"/apps/nothing/customers/{path}")) == NOT_FOUND


async def test_a_look_up_needs_its_parameter(api: httpx.AsyncClient):
    text = "must not contain NUL or lone surrogates"
    for path, name in (("by-email", "email"), ("by-external-id", "external_id")):
        answers = [
            error(await api.get(f"{CUSTOMERS}/{path}{query}"))
            for query in ("", f"?{name}", f"?{name}=", f"?{name}=%00", f"?{name}=%FF", f"?{name}=%ED%A0%80")
        ]
        assert answers == [invalid(**{name: "can't be blank"})] * 3 + [invalid(**{name: text})] * 3


async def test_a_plus_sign_that_was_not_encoded_is_found_all_the_same(api: httpx.AsyncClient):
    tagged = await created(api, email="lena+a+b@orbit.example")
    await created(api, email="lena@orbit.example", external_id="crm+1")

    found = [
        (await api.get(f"{CUSTOMERS}/by-email?email={email}")).json()["data"]
        for email in ("lena+a+b@orbit.example", "lena%2Ba%2Bb@orbit.example", "LENA%20a+b@orbit.example")
    ]

    assert found == [tagged] * 3
    assert error(await api.get(f"{CUSTOMERS}/by-email?email=le+na@orbit.example")) == NOT_FOUND
    assert error(await api.get(f"{CUSTOMERS}/by-external-id?external_id=crm+1")) == NOT_FOUND
    assert (await api.get(f"{CUSTOMERS}/by-external-id?external_id=crm%2B1")).status_code == 200


async def test_words_of_the_contract_are_never_taken_for_ids(api: httpx.AsyncClient):
    assert error(await api.get(f"{CUSTOMERS}/by-email"))[0] == 422
    assert error(await api.get(f"{CUSTOMERS}/by-external-id"))[0] == 422
    for word in ("by-email", "by-external-id", "get-or-create"):
        for method in ("PUT", "PATCH", "DELETE"):
            answer = error(await api.request(method, f"{CUSTOMERS}/{word}", json={"name": "x"}))
            assert answer == (405, "method_not_allowed", None)


async def test_a_look_up_is_one_statement_beside_authentication(
    api: httpx.AsyncClient, app: Any, statements: Statements
):
    lena = await created(api, **LENA)

    for path in (
        lena["id"],
        "cus_nothing",
        "by-email?email=lena@orbit.example",
        "by-external-id?external_id=crm-8841",
    ):
        with statements.recorded(app.state.database) as sent:
            await api.get(f"{CUSTOMERS}/{path}")
        assert len(sent) == 1, path
