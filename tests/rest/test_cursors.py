"""Lists read page by page with cursors: changes between two pages neither repeat nor skip an item."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Table, delete
from starlette.applications import Starlette

from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.features import features
from db.licenses import licenses
from db.tiers import tiers
from tests.factories import (
    Account,
    App,
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_license,
    make_tier,
)
from tests.rest.conftest import CUSTOMERS, FEATURES, LICENSES, TIERS, MakeClient, Offer, Vendor
from tests.rest.expecting import NOT_FOUND, error, invalid
from tests.statements import Statements

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOT_A_CURSOR = "is not a cursor of this list, or was altered"
OTHER_LIST = "belongs to another list or another filter"
WITH_PAGE = "cannot be given together with page"
ALL_LISTS = ["/apps", CUSTOMERS, LICENSES, TIERS, FEATURES]


async def _page(
    api: httpx.AsyncClient, path: str, cursor: str, **query: Any
) -> tuple[list[str], dict[str, Any]]:
    response = await api.get(path, params={**query, "cursor": cursor})
    body = response.json()
    assert response.status_code == 200, body
    assert list(body) == ["data", "meta"]
    assert list(body["meta"]) == ["per_page", "next_cursor"]
    return [each["id"] for each in body["data"]], body["meta"]


async def _walk(api: httpx.AsyncClient, path: str, **query: Any) -> list[list[str]]:
    """Read a list to its end, and return the ids on each page."""
    ids, meta = await _page(api, path, "", **query)
    pages = [ids]
    while meta["next_cursor"] is not None:
        ids, meta = await _page(api, path, meta["next_cursor"], **query)
        pages.append(ids)
    return pages


# Changes between two pages


Make: TypeAlias = Callable[[Database, App, int], Awaitable[str]]


@dataclass(frozen=True)
class Kind:
    """A list to read: its path, its table, and a function that adds a row at a place in the order.

    Places are numbers from 0 to 99. `query` has the list's filters. With a filter, only rows at even places
    match.
    """

    path: str
    table: Table
    make: Make
    query: tuple[tuple[str, str], ...] = ()

    def matches(self, place: int) -> bool:
        return not self.query or place % 2 == 0


async def _make_app(database: Database, app: App, place: int) -> str:
    account = Account(app.account_id, "Vendor")
    return (await make_app(database, account, created_at=NOON + timedelta(seconds=place))).id


async def _make_tier(database: Database, app: App, place: int) -> str:
    return (await make_tier(database, app, position=place)).id


async def _make_feature(database: Database, app: App, place: int) -> str:
    other = (await make_feature(database, app)).slug
    async with database.write() as session:
        await session.execute(delete(features).where(features.c.slug == other))
    return (await make_feature(database, app, slug=f"at_{place:02}_{other}")).id


async def _make_customer(database: Database, app: App, place: int) -> str:
    name = "Ann" if place % 2 == 0 else "Bob"
    at = NOON + timedelta(seconds=place)
    return (await make_customer(database, app, name=name, created_at=at)).id


async def _make_license(database: Database, app: App, place: int) -> str:
    customer = await make_customer(database, app)
    at = NOON + timedelta(seconds=place)
    own = ["sso"] if place % 2 == 0 else []
    return (await make_license(database, customer, own_features=own, created_at=at)).id


KINDS = {
    "apps": Kind("/apps", apps, _make_app),
    "tiers": Kind("/apps/{slug}/tiers", tiers, _make_tier),
    "features": Kind("/apps/{slug}/features", features, _make_feature),
    "customers": Kind("/apps/{slug}/customers", customers, _make_customer),
    "customers found": Kind("/apps/{slug}/customers", customers, _make_customer, (("search", "ANN"),)),
    "licenses": Kind("/apps/{slug}/licenses", licenses, _make_license),
    "licenses found": Kind(
        "/apps/{slug}/licenses", licenses, _make_license, (("status", "active"), ("feature", "sso"))
    ),
}
PLACES = st.integers(0, 99)
# The changes after each page. True adds a row at the place. False deletes a row, which the number picks.
CHANGES = st.lists(st.lists(st.tuples(st.booleans(), PLACES), max_size=4), max_size=8)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(places=st.lists(PLACES, max_size=12), per_page=st.integers(1, 5), changes=CHANGES)
@settings(max_examples=20, suppress_health_check=list(HealthCheck))
async def test_what_is_there_all_the_time_is_read_once(
    database: Database,
    client_with: MakeClient,
    kind: Kind,
    places: list[int],
    per_page: int,
    changes: list[list[tuple[bool, int]]],
) -> None:
    account = await make_account(database)
    app = await make_app(database, account, created_at=NOON)
    path = kind.path.format(slug=app.slug)
    there: dict[str, int] = {app.id: 0} if kind.table is apps else {}
    for place in places:
        there[await kind.make(database, app, place)] = place
    made, deleted, seen = dict(there), set[str](), list[str]()
    at_first = dict(there)

    async with client_with(await make_key(database, account)) as api:
        cursor: str | None = ""
        while cursor is not None:
            ids, meta = await _page(api, path, cursor, per_page=per_page, **dict(kind.query))
            cursor = meta["next_cursor"]
            assert len(ids) == per_page or cursor is None
            seen += ids
            for is_added, place in changes.pop(0) if changes else ():
                if is_added:
                    id = await kind.make(database, app, place)
                    there[id] = made[id] = place
                elif rows := [id for id in there if id != app.id]:
                    id = rows[place % len(rows)]
                    async with database.write() as session:
                        await session.execute(delete(kind.table).where(kind.table.c.id == id))
                    del there[id]
                    deleted.add(id)
        numbered = (await api.get(path, params={"per_page": 100, **dict(kind.query)})).json()

    throughout = {id for id, place in at_first.items() if id not in deleted and kind.matches(place)}
    in_order = [each["id"] for each in numbered["data"] if each["id"] in throughout]
    assert [id for id in seen if id in throughout] == in_order
    assert set(in_order) == throughout
    assert len(set(seen)) == len(seen)
    assert all(kind.matches(made[id]) for id in seen)


# The pages and their envelope


async def test_an_empty_cursor_begins_and_null_ends(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    newest_first = [(await make_customer(database, vendor.app)).id for _ in range(6)][::-1]

    first, meta = await _page(api, CUSTOMERS, "", per_page=3)
    last, end = await _page(api, CUSTOMERS, meta["next_cursor"], per_page=3)

    assert (first, last) == (newest_first[:3], newest_first[3:])
    assert isinstance(meta["next_cursor"], str)
    assert (meta["per_page"], end) == (3, {"per_page": 3, "next_cursor": None})


@pytest.mark.parametrize("path", ALL_LISTS)
async def test_a_list_without_items_or_with_few_ends_at_once(api: httpx.AsyncClient, path: str) -> None:
    for query in ("cursor=", "cursor", "cursor=&page=", "cursor=&page=&per_page=", "page=3&page=&cursor="):
        assert (await api.get(f"{path}?{query}")).json()["meta"] == {"per_page": 20, "next_cursor": None}
    assert (await api.get(f"{path}?cursor=&per_page=500")).json()["meta"] == {
        "per_page": 100,
        "next_cursor": None,
    }


@pytest.mark.parametrize("path", ALL_LISTS)
async def test_pages_by_cursor_are_the_pages_by_number(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, path: str
) -> None:
    customer = await make_customer(database, vendor.app)
    for position in range(5):
        await make_app(database, vendor.account)
        await make_tier(database, vendor.app, position=-position)
        await make_feature(database, vendor.app)
        await make_license(database, customer)
        await make_customer(database, vendor.app)

    numbered = [
        [each["id"] for each in (await api.get(f"{path}?page={page}&per_page=2")).json()["data"]]
        for page in range(1, 4)
    ]

    assert await _walk(api, path, per_page=2) == [ids for ids in numbered if ids]
    assert sum(len(ids) for ids in numbered) >= 5


async def test_the_size_of_a_page_may_change_and_so_may_the_key(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    newest_first = [(await make_customer(database, vendor.app)).id for _ in range(6)][::-1]

    _, meta = await _page(api, CUSTOMERS, "", per_page=2)
    ids, meta = await _page(reader, CUSTOMERS, meta["next_cursor"], per_page=3)

    assert (ids, meta["per_page"]) == (newest_first[2:5], 3)


async def test_a_cursor_outlives_its_row(api: httpx.AsyncClient, database: Database, vendor: Vendor) -> None:
    newest_first = [(await make_customer(database, vendor.app)).id for _ in range(4)][::-1]

    _, meta = await _page(api, CUSTOMERS, "", per_page=2)
    await api.delete(f"{CUSTOMERS}/{newest_first[1]}")

    assert (await _page(api, CUSTOMERS, meta["next_cursor"], per_page=2))[0] == newest_first[2:]


# The cost of a page


@pytest.mark.parametrize("path", ALL_LISTS)
async def test_a_page_is_one_statement_that_counts_nothing(
    api: httpx.AsyncClient,
    app: Starlette,
    database: Database,
    vendor: Vendor,
    statements: Statements,
    path: str,
) -> None:
    customer = await make_customer(database, vendor.app)
    for _ in range(10):
        await make_app(database, vendor.account)
        await make_tier(database, vendor.app)
        await make_feature(database, vendor.app)
        await make_license(database, customer)
        await make_customer(database, vendor.app)
    # Run both statements once before recording: SQLite may run a new statement twice (`db.short_reads`).
    _, meta = await _page(api, path, "", per_page=5)
    await _page(api, path, meta["next_cursor"], per_page=5)

    for cursor in ("", meta["next_cursor"]):
        with statements.recorded(app.state.database) as sent:
            await _page(api, path, cursor, per_page=5)

        (statement,) = sent
        # The statement counts no rows except those that it fetches for the page. In some orders, it needs
        # their number to find the last one.
        assert "count(" not in statement.lower().replace("count(*) over () as rows_fetched", "")


# Invalid cursors


async def test_a_cursor_of_another_list_is_refused(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    other = await make_app(database, vendor.account, slug="other")
    for app in (vendor.app, other):
        for _ in range(2):
            await make_license(database, await make_customer(database, app))
            await make_tier(database, app)
            await make_feature(database, app)
    cursors = {path: (await _page(api, path, "", per_page=1))[1]["next_cursor"] for path in ALL_LISTS}

    for path in ALL_LISTS:
        for other_path, cursor in cursors.items():
            if path != other_path:
                answer = error(await api.get(path, params={"cursor": cursor}))
                assert answer == invalid(cursor=NOT_A_CURSOR), (path, other_path)
        if path != "/apps":
            elsewhere = path.replace(vendor.app.slug, "other")
            answer = error(await api.get(elsewhere, params={"cursor": cursors[path]}))
            assert answer == invalid(cursor=OTHER_LIST), path
    assert error(await stranger.get("/apps", params={"cursor": cursors["/apps"]})) == invalid(
        cursor=OTHER_LIST
    )


async def test_a_cursor_of_another_filter_is_refused(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    end = NOON + timedelta(days=36_500)
    for _ in range(3):
        await make_license(database, offer.lena, tier=offer.team, expires_at=end)
    after = {"expires_after": "2026-01-01T00:00:00Z"}
    queries: list[dict[str, str]] = [
        {},
        {"status": "active"},
        {"tier": "team"},
        {"tier_id": offer.team.id},
        {"customer_id": offer.lena.id},
        after,
        {"expires_after": "2026-01-01T00:00:01Z"},
        {"expires_before": "2026-01-01T00:00:00Z"},
        {**after, "status": "active"},
    ]
    for query in queries:
        cursor = (await _page(api, LICENSES, "", per_page=1, **query))[1]["next_cursor"]
        for asked in queries:
            if cursor is None:
                continue
            response = await api.get(LICENSES, params={**asked, "cursor": cursor})
            if asked == query:
                assert response.status_code == 200
            else:
                assert error(response) == invalid(cursor=OTHER_LIST), (query, asked)


async def test_the_same_filter_may_be_written_in_another_way(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    for _ in range(2):
        await make_license(database, offer.lena, revoked_at=NOON, expires_at=NOON + timedelta(days=90))
    query = {"expires_after": "2026-03-02T12:00:00Z", "status": "revoked"}
    cursor = (await _page(api, LICENSES, "", per_page=1, **query))[1]["next_cursor"]

    again = "status=revoked&tier=&feature=&expires_after=2026-03-02T14:00:00+02:00"
    response = await api.get(f"{LICENSES}?{again}", params=None)
    by_cursor = await api.get(f"{LICENSES}?cursor={cursor}&{again}")

    assert (response.status_code, by_cursor.status_code) == (200, 200)
    assert len(by_cursor.json()["data"]) == 1


async def test_a_broken_cursor_is_refused(api: httpx.AsyncClient, database: Database, vendor: Vendor) -> None:
    for _ in range(3):
        await make_customer(database, vendor.app)
    cursor = (await _page(api, CUSTOMERS, "", per_page=1))[1]["next_cursor"]
    row, _, fingerprint = cursor.rpartition(".")
    broken = ["x", ".", "....", " ", cursor[1:], cursor[:-1], f"{cursor}.", f"{cursor}x", row, "x" * 5_000]
    broken += [f"{row}.{fingerprint}x", f" {cursor}", f"{cursor}\n", "\x00", "\ud800", cursor.upper()]
    broken += [cursor.replace("created_at", "email"), cursor.replace("desc", "asc")]
    broken += [
        cursor[:place] + ("0" if cursor[place] != "0" else "1") + cursor[place + 1 :] for place in range(8)
    ]

    for text in broken:
        escaped = text.encode("utf-8", "surrogatepass")
        answer = error(await api.get(CUSTOMERS, params={"cursor": escaped}))
        assert answer in (invalid(cursor=NOT_A_CURSOR), invalid(cursor=OTHER_LIST)), text
    assert error(await api.get(f"{CUSTOMERS}?cursor=x")) == invalid(cursor=NOT_A_CURSOR)


async def test_a_cursor_and_a_page_number_exclude_each_other(api: httpx.AsyncClient) -> None:
    for path in ALL_LISTS:
        for query in ("cursor=&page=1", "page=2&cursor=", "cursor&page=1"):
            assert error(await api.get(f"{path}?{query}")) == invalid(cursor=WITH_PAGE), query


async def test_all_faults_are_reported_at_once(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    for _ in range(2):
        await make_license(database, await make_customer(database, vendor.app))
    cursor = (await _page(api, LICENSES, "", per_page=1))[1]["next_cursor"]
    number = "must be an integer of at least 1"

    faulty = error(await api.get(f"{LICENSES}?cursor=x&page=0&per_page=0&status=old&expires_after=today"))
    of_other_filter = error(await api.get(f"{LICENSES}?cursor={cursor}&page=2&tier=team"))

    assert faulty == (
        422,
        "validation_error",
        {
            "page": [number],
            "per_page": [number],
            "cursor": [NOT_A_CURSOR, WITH_PAGE],
            "status": ["must be one of: active, expired, revoked"],
            "expires_after": ["must be an RFC 3339 timestamp with an offset, such as 2026-01-23T10:00:00Z"],
        },
    )
    assert of_other_filter == (422, "validation_error", {"cursor": [OTHER_LIST, WITH_PAGE]})


async def test_an_app_that_does_not_exist_takes_precedence(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    for _ in range(2):
        await make_customer(database, vendor.app)
    cursor = (await _page(api, CUSTOMERS, "", per_page=1))[1]["next_cursor"]

    for text in ("", "x", cursor):
        for noun in ("customers", "licenses", "tiers", "features"):
            answer = await api.get(f"/apps/nothing/{noun}", params={"cursor": text, "page": 1})
            assert error(answer) == NOT_FOUND
            assert error(await api.get(f"/apps/nothing/{noun}", params={"cursor": text})) == NOT_FOUND
