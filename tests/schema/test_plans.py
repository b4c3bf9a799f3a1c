"""Every page is a walk along an index: no table is read from end to end, nothing is sorted but a page."""

import pytest
from starlette.applications import Starlette

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.shaping import cursors
from tests.factories import Account, make_app
from tests.schema.conftest import Graph
from tests.schema.plans import analyze, described, faults
from tests.statements import Statements

ROWS = 3_000
ORDERS = {
    "apps": {"CREATED_AT": None, "NAME": "app 7", "SLUG": "app-7"},
    "customers": {"CREATED_AT": None, "EMAIL": "mabel", "NAME": "mabel"},
    "licenses": {"CREATED_AT": None, "EXPIRES_AT": "2026-01-01T00:00:00Z"},
}
NULLABLE = {("customers", "NAME"), ("licenses", "EXPIRES_AT")}


@pytest.fixture
async def customer_id(database: Database, account: Account) -> str:
    """Many apps, two of which have many rows; answers a customer's id."""
    for number in range(300):
        await make_app(database, account, slug=f"app-{number}", name=f"App {number % 50}")
    for slug in ("atlas", "other"):
        app = await make_app(database, account, slug=slug)
        (batch,) = Believable(app.id, ROWS, 1, clock.now()).batches(2 * ROWS)
        async with database.write() as session:
            await session.load(customers, CUSTOMER_COLUMNS, batch.customers)
            await session.load(licenses, LICENSE_COLUMNS, batch.licenses)
    await analyze(database)
    return str(batch.customers[0][0])


def pages(connection: str, order: str, direction: str) -> list[str]:
    """The arguments of a first page, a last one, and of those on both sides of each kind of place."""
    kind = connection.removesuffix("s").capitalize()
    value = ORDERS[connection][order]
    places = [value, None] if (connection, order) in NULLABLE else [value]
    tag = f"{kind}.{order.lower()}.{direction.lower()}"
    found = [cursors.encode(tag, "cus_01m82q4h06ep9b09e7rw1d5xyz", place) for place in places]
    return [
        "first: 20",
        "last: 20",
        *(f'first: 20, after: "{cursor}"' for cursor in found),
        *(f'last: 20, before: "{cursor}"' for cursor in found),
    ]


@pytest.mark.parametrize(
    ("around", "connection"),
    [
        ("{ %s }", "apps"),
        ('{ app(slug: "atlas") { %s } }', "customers"),
        ('{ app(slug: "atlas") { %s } }', "licenses"),
        ("query($id: ID!) { customer(id: $id) { %s } }", "licenses"),
    ],
    ids=["apps", "customers of an app", "licenses of an app", "licenses of a customer"],
)
async def test_every_order_in_both_directions_from_every_place(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str, around: str, connection: str
) -> None:
    database = app.state.database
    for order in ORDERS[connection]:
        for direction in ("ASC", "DESC"):
            for page in pages(connection, order, direction):
                selected = (
                    f"{connection}({page}, orderBy: {{field: {order}, direction: {direction}}}) {{"
                    " nodes { id createdAt }"
                    " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
                )
                with statements.recorded(database) as sent:
                    await graph.data(around % selected, id=customer_id)

                assert await faults(database, sent[-1]) == [], selected


async def test_creation_times_are_a_range_of_ids(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str
) -> None:
    database = app.state.database
    query = """{ app(slug: "atlas") { customers(
      filter: {createdAfter: "2026-01-01T00:00:00Z", createdBefore: "2026-02-01T00:00:00Z"}
    ) { nodes { id } totalCount } } }"""

    with statements.recorded(database) as sent:
        await graph.data(query)

    assert "created_at" not in sent[-1]
    assert await faults(database, sent[-1]) == []


async def test_a_rest_page_is_found_by_walking_ids_alone(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str
) -> None:
    database = app.state.database

    with statements.recorded(database) as sent:
        response = await graph.client.get(
            "/api/v1/apps/atlas/customers?page=140", headers={"Authorization": f"Bearer {graph.token}"}
        )

    assert len(response.json()["data"]) == 20
    assert await faults(database, sent[-1]) == []
    how = "USING COVERING INDEX" if database.is_sqlite else "Index Only Scan Backward using"
    assert f"{how} ix_customers_app_id_id" in await described(database, sent[-1])


async def test_what_a_bad_plan_looks_like(database: Database, customer_id: str) -> None:
    statement = "SELECT id FROM customers ORDER BY created_at"

    assert await faults(database, statement) == (
        ["SCAN customers", "USE TEMP B-TREE FOR ORDER BY"]
        if database.is_sqlite
        else ["Seq Scan on customers", "Sort by ['created_at COLLATE \"C\"'] of customers"]
    )
