"""Connections: pages in both directions, which do not shift when rows are added or deleted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.engine import Database
from tests.factories import Account, App, Customer, make_account, make_app, make_customer, make_license
from tests.schema.conftest import Graph

PAGE = """query(
  $first: Int, $after: String, $last: Int, $before: String, $order: CustomerOrder, $filter: CustomerFilter
) {
  app(slug: "atlas") {
    customers(first: $first, after: $after, last: $last, before: $before, orderBy: $order, filter: $filter) {
      totalCount
      edges { cursor node { name } }
      nodes { name }
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    }
  }
}"""


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


async def page(graph: Graph, **variables: object) -> dict[str, Any]:
    found = (await graph.data(PAGE, **variables))["app"]["customers"]
    assert [edge["node"] for edge in found["edges"]] == found["nodes"]
    cursors = [edge["cursor"] for edge in found["edges"]]
    assert found["pageInfo"]["startCursor"] == (cursors[0] if cursors else None)
    assert found["pageInfo"]["endCursor"] == (cursors[-1] if cursors else None)
    return {
        "names": [node["name"] for node in found["nodes"]],
        "next": found["pageInfo"]["hasNextPage"],
        "previous": found["pageInfo"]["hasPreviousPage"],
        "start": found["pageInfo"]["startCursor"],
        "end": found["pageInfo"]["endCursor"],
        "total": found["totalCount"],
        "cursors": cursors,
    }


async def named(database: Database, app: App, *names: str | None) -> list[Customer]:
    return [await make_customer(database, app, name=name) for name in names]


async def test_the_default_order_is_newest_first(graph: Graph, database: Database, atlas: App) -> None:
    await named(database, atlas, "1", "2", "3")

    assert (await page(graph))["names"] == ["3", "2", "1"]
    ascending = await page(graph, order={"field": "CREATED_AT"})
    assert ascending["names"] == ["1", "2", "3"]


async def test_the_default_size_is_twenty(graph: Graph, database: Database, atlas: App) -> None:
    await named(database, atlas, *(str(number) for number in range(21)))

    found = await page(graph)

    assert found["names"] == [str(number) for number in range(20, 0, -1)]
    assert (found["next"], found["previous"], found["total"]) == (True, False, 21)


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_paging_forward_and_backward_returns_every_row_once(
    graph: Graph, database: Database, atlas: App, size: int, direction: str
) -> None:
    await named(database, atlas, "ada", None, "Zoë", "Ada", None, "ADA")
    order = {"field": "NAME", "direction": direction}
    all = (await page(graph, order=order))["cursors"]

    forward: list[str] = []
    after = None
    while True:
        found = await page(graph, first=size, after=after, order=order)
        assert found["previous"] == (after is not None)
        forward += found["cursors"]
        if not found["next"]:
            break
        after = found["end"]
    backward: list[str] = []
    before = None
    while True:
        found = await page(graph, last=size, before=before, order=order)
        assert found["next"] == (before is not None)
        backward = found["cursors"] + backward
        if not found["previous"]:
            break
        before = found["start"]

    assert len(all) == 6
    assert forward == all
    assert backward == all


async def test_order_is_by_code_point_of_the_folded_value_with_nulls_last(
    graph: Graph, database: Database, atlas: App
) -> None:
    await named(database, atlas, "Zoë", None, "ß", "st", "ÄRGER", "sz", "ada", "Éa", "_", "")

    ascending = await page(graph, order={"field": "NAME"})
    descending = await page(graph, order={"field": "NAME", "direction": "DESC"})

    assert ascending["names"] == ["", "_", "ada", "ß", "st", "sz", "Zoë", "ÄRGER", "Éa", None]
    assert descending["names"] == ["Éa", "ÄRGER", "Zoë", "sz", "st", "ß", "ada", "_", "", None]


async def test_a_cursor_outlives_its_row_and_new_rows_do_not_shift_it(
    graph: Graph, database: Database, atlas: App
) -> None:
    one, two, three, _ = await named(database, atlas, "b", "d", "f", "h")
    order = {"field": "NAME"}
    first = await page(graph, first=2, order=order)
    assert first["names"] == ["b", "d"]

    for gone in (one, two):
        await graph.data(
            "mutation($id: ID!) { deleteCustomer(input: {id: $id}) { deletedCustomerId } }", id=gone.id
        )
    await named(database, atlas, "a", "c", "e")
    found = await page(graph, first=2, after=first["end"], order=order)

    assert found["names"] == ["e", "f"]
    assert (found["next"], found["previous"], found["total"]) == (True, True, 5)
    assert three


async def test_before_without_a_size_reads_backward(graph: Graph, database: Database, atlas: App) -> None:
    await named(database, atlas, "a", "b", "c")
    order = {"field": "NAME"}
    last = (await page(graph, order=order))["end"]

    found = await page(graph, before=last, order=order)

    assert found["names"] == ["a", "b"]
    assert (found["next"], found["previous"]) == (True, False)


async def test_an_empty_page(graph: Graph, database: Database, atlas: App) -> None:
    await named(database, atlas, "a")
    end = (await page(graph))["end"]

    beyond = await page(graph, after=end)
    nothing = await page(graph, filter={"search": "nobody"})

    assert (beyond["names"], beyond["next"], beyond["previous"], beyond["total"]) == ([], False, True, 1)
    assert (nothing["names"], nothing["next"], nothing["previous"], nothing["total"]) == ([], False, False, 0)


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ({"email": "ANN"}, ["Ann"]),
        ({"email": "%"}, ["Percy"]),
        ({"email": "_"}, ["Una"]),
        ({"email": "/"}, ["Slade"]),
        ({"email": ""}, ["Slade", "Una", "Percy", "Ann"]),
        ({"search": "straSSE"}, []),
        ({"search": "una"}, ["Una"]),
        ({"search": "EXAMPLE", "email": "un"}, ["Una"]),
        ({"externalId": "Ext-1"}, ["Ann"]),
        ({"externalId": "ext-1"}, []),
        ({"externalId": ""}, ["Slade", "Una", "Percy", "Ann"]),
        ({"email": None}, ["Slade", "Una", "Percy", "Ann"]),
        ({}, ["Slade", "Una", "Percy", "Ann"]),
        (None, ["Slade", "Una", "Percy", "Ann"]),
    ],
)
async def test_filters_of_customers(
    graph: Graph, database: Database, atlas: App, filter: object, names: list[str]
) -> None:
    await make_customer(database, atlas, email="Ann.Lee@example.com", name="Ann", external_id="Ext-1")
    await make_customer(database, atlas, email="50%off@example.com", name="Percy")
    await make_customer(database, atlas, email="un_a@example.com", name="Una")
    await make_customer(database, atlas, email="sla/de@example.com", name="Slade")

    found = await page(graph, filter=filter)

    assert found["names"] == names
    assert found["total"] == len(names)


async def test_created_bounds_are_exclusive_and_may_fall_within_a_second(
    graph: Graph, database: Database, atlas: App
) -> None:
    noon = datetime(2025, 5, 5, 12, tzinfo=UTC)
    for seconds in range(3):
        at = noon + timedelta(seconds=seconds)
        await make_customer(database, atlas, name=str(seconds), created_at=at)

    async def names(**filter: str) -> list[str]:
        return list((await page(graph, filter=filter))["names"])

    assert await names(createdAfter="2025-05-05T12:00:01Z") == ["2"]
    assert await names(createdBefore="2025-05-05T12:00:01Z") == ["0"]
    assert await names(createdAfter="2025-05-05T14:00:00.5+02:00") == ["2", "1"]
    assert await names(createdBefore="2025-05-05T12:00:01.000001Z") == ["1", "0"]
    assert await names(createdAfter="1969-12-31T23:59:59Z") == ["2", "1", "0"]
    assert await names(createdBefore="0001-01-01T00:00:00Z") == []
    assert await names(createdBefore="9999-12-31T23:59:59.5Z") == ["2", "1", "0"]
    assert await names(createdAfter="9999-12-31T23:59:59.5Z") == []


async def test_filters_and_order_of_licenses(graph: Graph, database: Database, atlas: App) -> None:
    customer = await make_customer(database, atlas)
    now = datetime.now(UTC)
    past, future = now - timedelta(days=1), now + timedelta(days=1)
    await make_license(database, customer, metadata={"n": "forever"})
    await make_license(database, customer, expires_at=past, metadata={"n": "expired"})
    await make_license(database, customer, expires_at=future, metadata={"n": "active"})
    await make_license(database, customer, expires_at=past, revoked_at=past, metadata={"n": "revoked"})

    async def names(arguments: str) -> list[str]:
        query = f'{{ app(slug: "atlas") {{ licenses{arguments} {{ totalCount nodes {{ metadata }} }} }} }}'
        found = (await graph.data(query))["app"]["licenses"]
        assert found["totalCount"] == len(found["nodes"])
        return [node["metadata"]["n"] for node in found["nodes"]]

    stamp = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await names("") == ["revoked", "active", "expired", "forever"]
    assert await names("(filter: {status: ACTIVE})") == ["active", "forever"]
    assert await names("(filter: {status: EXPIRED})") == ["expired"]
    assert await names("(filter: {status: REVOKED})") == ["revoked"]
    assert await names(f'(filter: {{expiresBefore: "{stamp}"}})') == ["revoked", "expired"]
    assert await names(f'(filter: {{expiresAfter: "{stamp}"}})') == ["active"]
    assert await names("(orderBy: {field: EXPIRES_AT})") == ["expired", "revoked", "active", "forever"]
    assert await names("(orderBy: {field: EXPIRES_AT, direction: DESC})") == [
        "active",
        "revoked",
        "expired",
        "forever",
    ]


async def test_only_apps_of_the_account_are_listed(
    graph: Graph, database: Database, account: Account, atlas: App
) -> None:
    await make_app(database, account, slug="zeta", name="alpha")
    await make_app(database, await make_account(database), slug="foreign")

    data = await graph.data(
        """{
          newest: apps { totalCount nodes { slug } }
          byName: apps(orderBy: {field: NAME}) { nodes { slug } }
          bySlug: apps(orderBy: {field: SLUG, direction: DESC}, first: 1) {
            nodes { slug } pageInfo { hasNextPage }
          }
        }"""
    )

    assert data == {
        "newest": {"totalCount": 2, "nodes": [{"slug": "zeta"}, {"slug": "atlas"}]},
        "byName": {"nodes": [{"slug": "atlas"}, {"slug": "zeta"}]},
        "bySlug": {"nodes": [{"slug": "zeta"}], "pageInfo": {"hasNextPage": True}},
    }
