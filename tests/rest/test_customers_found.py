"""Listing customers and looking them up."""

from typing import Any

import httpx
import pytest

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


async def test_email_filters_by_a_part_and_ignores_case(api: httpx.AsyncClient) -> None:
    for email in ("jane@example.com", "JANET@orbit.example", "bob@example.com"):
        await created(api, email=email)

    assert await _emails(api, "email=jan") == ["JANET@orbit.example", "jane@example.com"]
    assert await _emails(api, "email=EXAMPLE.COM") == ["bob@example.com", "jane@example.com"]
    assert await _emails(api, "email=%40orbit") == ["JANET@orbit.example"]
    assert await _emails(api, "email=nobody") == []
    assert await _emails(api, "email=") == ["bob@example.com", "JANET@orbit.example", "jane@example.com"]


async def test_the_email_filter_takes_its_text_literally(api: httpx.AsyncClient) -> None:
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


async def test_external_id_filters_exactly(api: httpx.AsyncClient) -> None:
    for number, external_id in enumerate(["crm-1", "CRM-1", "crm-11", "crm 1", None]):
        await created(api, email=f"{number}@example.com", external_id=external_id)

    assert await _emails(api, "external_id=crm-1") == ["0@example.com"]
    assert await _emails(api, "external_id=crm+1") == ["3@example.com"]
    assert await _emails(api, "external_id=crm") == []
    assert len(await _emails(api, "external_id=")) == 5


async def test_rows_must_pass_all_filters_and_the_total_counts_them(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    await make_customer(database, await make_app(database, vendor.account), email="ida@orbit.example")
    made = [
        await created(api, email=f"{name}@orbit.example", external_id=name) for name in ("ana", "ivo", "max")
    ]
    await created(api, email="ivo@example.com")

    both = await api.get(f"{CUSTOMERS}?email=orbit&external_id=ivo")
    paged = await api.get(f"{CUSTOMERS}?email=ORBIT&page=2&per_page=2")

    assert both.json() == {"data": [made[1]], "meta": {"total": 1, "page": 1, "per_page": 20}}
    assert paged.json() == {"data": [made[0]], "meta": {"total": 3, "page": 2, "per_page": 2}}


async def test_an_empty_list(api: httpx.AsyncClient) -> None:
    response = await api.get(CUSTOMERS)

    assert (response.status_code, response.json()) == (
        200,
        {"data": [], "meta": {"total": 0, "page": 1, "per_page": 20}},
    )


async def test_the_list_of_an_unknown_app(api: httpx.AsyncClient) -> None:
    for slug in ("nothing", "%00", "Atlas-Studio", "%FF"):
        assert error(await api.get(f"/apps/{slug}/customers")) == NOT_FOUND, slug


# Look-ups


async def test_a_customer_is_found_by_id_email_and_external_id(
    api: httpx.AsyncClient, reader: httpx.AsyncClient
) -> None:
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


async def test_unknown_customers_are_not_found(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
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


async def test_a_look_up_needs_its_parameter(api: httpx.AsyncClient) -> None:
    text = "must not contain NUL or lone surrogates"
    values = ("", "=", "=+", "=%20%09", "=%00", "=%FF", "=%ED%A0%80")
    for path, name in (("by-email", "email"), ("by-external-id", "external_id")):
        answers = [
            error(await api.get(f"{CUSTOMERS}/{path}{query}"))
            for query in ("", *(f"?{name}{value}" for value in values))
        ]
        assert answers == [invalid(**{name: "can't be blank"})] * 5 + [invalid(**{name: text})] * 3


@pytest.mark.parametrize(
    "email",
    [
        "lena+a+b@orbit.example",
        "lena%2Ba%2Bb@orbit.example",
        "LENA%20a+b@orbit.example",
        "lena+a+b@orbit.example%20",
        "%0Alena+a+b@orbit.example%0D%0A",
    ],
)
async def test_an_email_with_a_plus_sign_that_was_not_encoded_is_found(
    api: httpx.AsyncClient, email: str
) -> None:
    tagged = await created(api, email="lena+a+b@orbit.example")
    await created(api, email="lena@orbit.example")

    assert (await api.get(f"{CUSTOMERS}/by-email?email={email}")).json() == {"data": tagged}
    assert await _emails(api, f"email={email}") == ["lena+a+b@orbit.example"]


async def test_a_plus_sign_that_was_not_encoded_is_tried_last(api: httpx.AsyncClient) -> None:
    spaced = await created(api, email='"a b"@orbit.example', external_id="crm 1")
    await created(api, email='"a+b"@orbit.example', external_id="crm+1")
    leading = await created(api, email="+1555@sms.example", external_id="+2")

    for query in ('by-email?email="a+b"@orbit.example', "by-external-id?external_id=crm+1"):
        assert (await api.get(f"{CUSTOMERS}/{query}")).json() == {"data": spaced}
    for query in ("by-email?email=+1555@sms.example", "by-external-id?external_id=+2"):
        assert (await api.get(f"{CUSTOMERS}/{query}")).json() == {"data": leading}
    for query in ('email="a+b"@', "external_id=crm+1", 'email="a+b"@&external_id=crm+1'):
        assert await _emails(api, query) == [spaced["email"]]
    for query in ("external_id=+2", "email=%2B1555&external_id=+2", "email=1555&external_id=+2"):
        assert await _emails(api, query) == [leading["email"]]
    assert await _emails(api, "email=no+body&external_id=crm+3") == []
    for query in ("by-email?email=le+na@orbit.example", "by-external-id?external_id=crm+2"):
        assert error(await api.get(f"{CUSTOMERS}/{query}")) == NOT_FOUND


async def test_a_look_up_ignores_whitespace_around_an_email_and_no_other(api: httpx.AsyncClient) -> None:
    lena = await created(api, **LENA)

    for email in ("lena@orbit.example%20", "%09lena@orbit.example%0A", "%E3%80%80LENA@orbit.example"):
        assert (await api.get(f"{CUSTOMERS}/by-email?email={email}")).json() == {"data": lena}
        assert await _emails(api, f"email={email}") == ["lena@orbit.example"]
    assert error(await api.get(f"{CUSTOMERS}/by-external-id?external_id=crm-8841%20")) == NOT_FOUND
    assert await _emails(api, "external_id=crm-8841%20") == []


async def test_fixed_paths_are_not_taken_for_ids(api: httpx.AsyncClient) -> None:
    assert error(await api.get(f"{CUSTOMERS}/by-email"))[0] == 422
    assert error(await api.get(f"{CUSTOMERS}/by-external-id"))[0] == 422
    for word in ("by-email", "by-external-id", "get-or-create"):
        for method in ("PUT", "PATCH", "DELETE"):
            answer = error(await api.request(method, f"{CUSTOMERS}/{word}", json={"name": "x"}))
            assert answer == (405, "method_not_allowed", None)


async def test_a_look_up_is_one_statement_after_authentication(
    api: httpx.AsyncClient, app: Any, statements: Statements
) -> None:
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
