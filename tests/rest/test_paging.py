"""Pages of every list."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from db.engine import Database
from tests.factories import make_account, make_app, make_customer
from tests.rest.conftest import CUSTOMERS, FEATURES, LICENSES, TIERS, Vendor
from tests.rest.expecting import CUSTOMER_KEYS, error, invalid
from tests.statements import Statements

LARGEST_PAGE = 2**31 - 1


async def _page(
    api: httpx.AsyncClient, query: str, path: str = CUSTOMERS
) -> tuple[list[str], dict[str, int]]:
    response = await api.get(f"{path}?{query}")
    body = response.json()
    assert response.status_code == 200, body
    assert list(body) == ["data", "meta"]
    assert list(body["meta"]) == ["total", "page", "per_page"]
    return [each["id"] for each in body["data"]], body["meta"]


async def test_without_parameters_a_page_holds_the_newest_twenty(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    made = [(await make_customer(database, vendor.app)).id for _ in range(21)]

    ids, meta = await _page(api, "")

    assert ids == made[:0:-1]
    assert meta == {"total": 21, "page": 1, "per_page": 20}


async def test_pages_have_no_gaps_and_no_overlaps(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    made = [(await make_customer(database, vendor.app)).id for _ in range(7)]

    pages = [await _page(api, f"page={page}&per_page=3") for page in (1, 2, 3, 4)]

    newest_first = made[::-1]
    assert [ids for ids, _ in pages] == [newest_first[:3], newest_first[3:6], newest_first[6:], []]
    assert [meta for _, meta in pages] == [{"total": 7, "page": page, "per_page": 3} for page in (1, 2, 3, 4)]


async def test_rows_of_one_second_are_ordered_by_id(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    later = [(await make_customer(database, vendor.app, created_at=noon)).id for _ in range(5)]
    earlier = (await make_customer(database, vendor.app, created_at=noon - timedelta(days=1))).id

    ids, _ = await _page(api, "per_page=10")

    assert ids == [*sorted(later, reverse=True), earlier]


async def test_page_sizes_above_a_hundred_become_a_hundred(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    made = [(await make_customer(database, vendor.app)).id for _ in range(101)]

    answers = [
        await _page(api, f"per_page={size}") for size in ("100", "101", "1000000", "9" * 30, "9" * 6000)
    ]

    assert answers == [(made[:0:-1], {"total": 101, "page": 1, "per_page": 100})] * 5


async def test_a_page_past_the_end_is_empty_and_has_the_total(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    await make_customer(database, vendor.app)

    answers = {page: await _page(api, f"page={page}&per_page=100") for page in (2, 10**6, LARGEST_PAGE)}

    assert answers == {
        page: ([], {"total": 1, "page": page, "per_page": 100}) for page in (2, 10**6, LARGEST_PAGE)
    }


async def test_an_invalid_page_number_is_a_validation_error(
    api: httpx.AsyncClient,
) -> None:
    texts = [
        "0",
        "-1",
        "-0",
        "+",
        "x",
        "1.0",
        "1e2",
        "0x1",
        "1_0",
        " 1",
        "1 ",
        "%31%00",
        "true",
        "٣",
        "%FF",
        "NaN",
    ]
    message = "must be an integer of at least 1"
    for path in ("/apps", CUSTOMERS):
        pages = {text: error(await api.get(f"{path}?page={text}")) for text in texts}
        sizes = {text: error(await api.get(f"{path}?per_page={text}")) for text in texts}

        assert pages == dict.fromkeys(texts, invalid(page=message))
        assert sizes == dict.fromkeys(texts, invalid(per_page=message))


@pytest.mark.parametrize("page", [str(LARGEST_PAGE + 1), str(2**63), str(10**30), "9" * 6000])
async def test_a_huge_page_number_is_a_validation_error(api: httpx.AsyncClient, page: str) -> None:
    answer = error(await api.get(f"{CUSTOMERS}?page={page}"))

    assert answer == invalid(page="must be at most 2147483647")


@pytest.mark.parametrize("path", ["/apps", CUSTOMERS, TIERS, FEATURES, LICENSES])
async def test_an_empty_page_number_or_size_counts_as_absent(api: httpx.AsyncClient, path: str) -> None:
    _, default = await _page(api, "", path)

    for query in ("page=&per_page=", "page", "per_page=", "page=2&page="):
        assert (await _page(api, query, path))[1] == default, query
    assert default == {"total": default["total"], "page": 1, "per_page": 20}


@pytest.mark.parametrize("path", ["/apps", CUSTOMERS, TIERS, FEATURES, LICENSES])
async def test_the_message_names_both_faults(api: httpx.AsyncClient, path: str) -> None:
    response = await api.get(f"{path}?page=0&per_page=0")

    message = "must be an integer of at least 1"
    assert error(response) == invalid(page=message, per_page=message)
    assert response.json()["error"]["message"] == f"page {message}; per_page {message}"


async def test_numbers_may_be_padded_with_zeros(api: httpx.AsyncClient) -> None:
    assert await _page(api, f"page=001&per_page={'0' * 5000}7") == (
        [],
        {"total": 0, "page": 1, "per_page": 7},
    )


async def test_all_wrong_parameters_are_reported_together(api: httpx.AsyncClient) -> None:
    message = "must be an integer of at least 1"

    answer = error(await api.get(f"{CUSTOMERS}?page=0&per_page=x&email=%00&external_id={'x' * 256}"))

    assert answer == invalid(
        page=message,
        per_page=message,
        email="must not contain NUL or lone surrogates",
        external_id="is too long (maximum is 255 characters)",
    )


async def test_the_last_of_a_repeated_parameter_counts(api: httpx.AsyncClient) -> None:
    _, meta = await _page(api, "page=0&page=2&per_page=3&per_page=4")

    assert meta == {"total": 0, "page": 2, "per_page": 4}


async def test_apps_are_paged_the_same_way(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    others = [(await make_app(database, vendor.account)).id for _ in range(3)]
    await make_app(database, await make_account(database))

    ids, meta = await _page(api, "page=2&per_page=3", "/apps")
    first, _ = await _page(api, "", "/apps")

    assert (ids, meta) == ([vendor.app.id], {"total": 4, "page": 2, "per_page": 3})
    assert first == [*others[::-1], vendor.app.id]


@pytest.mark.parametrize("query", ["", "page=2&per_page=100", "email=a&external_id=b"])
async def test_a_list_is_one_statement_after_authentication(
    api: httpx.AsyncClient, app: Any, database: Database, vendor: Vendor, statements: Statements, query: str
) -> None:
    for number in range(5):
        await make_customer(database, vendor.app, email=f"a{number}@example.com", external_id=f"b{number}")

    await api.get(f"{CUSTOMERS}?{query}")  # not recorded: SQLite may run a new statement twice
    with statements.recorded(app.state.database) as sent:
        customers = await api.get(f"{CUSTOMERS}?{query}")
    with statements.recorded(app.state.database) as sent_for_apps:
        await api.get("/apps?page=1")

    assert [list(each) for each in customers.json()["data"]] == [CUSTOMER_KEYS] * len(
        customers.json()["data"]
    )
    assert len(sent) == 1
    assert len(sent_for_apps) == 1
