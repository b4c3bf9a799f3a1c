"""Unusual documents that are valid, and work like any other."""

import pytest

from db.engine import Database
from tests.factories import Account, make_app, make_customer
from tests.schema.conftest import Graph

LONG = "a" * 64  # longer than PostgreSQL's limit for identifiers


@pytest.fixture
async def customer_id(database: Database, account: Account) -> str:
    app = await make_app(database, account, slug="atlas", name="Atlas")
    return (await make_customer(database, app, email="jane@example.com")).id


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ('{ app(slug: "atlas") { id @skip(if: true) } }', {"app": {}}),
        (
            '{ app(slug: "atlas") { customers { nodes { app { id @skip(if: true) } } } } }',
            {"app": {"customers": {"nodes": [{"app": {}}]}}},
        ),
        ("{ apps { totalCount @skip(if: true) } }", {"apps": {}}),
        ("{ apps { pageInfo { endCursor @skip(if: true) } } }", {"apps": {"pageInfo": {}}}),
        ("{ apps { edges { cursor @skip(if: true) } } }", {"apps": {"edges": [{}]}}),
        ("{ apps @include(if: false) { totalCount } }", {}),
    ],
)
async def test_selections_whose_fields_are_all_skipped(
    graph: Graph, customer_id: str, document: str, answer: object
) -> None:
    assert await graph.data(document) == answer


async def test_aliases_longer_than_an_identifier(graph: Graph, customer_id: str) -> None:
    data = await graph.data(
        f"""{{ app(slug: "atlas") {{ {LONG}: __typename customers {{
          {LONG}n: nodes {{ {LONG}: __typename {LONG}e: email {LONG}x: name metadata }}
          pageInfo {{ {LONG}: __typename {LONG}h: hasNextPage }}
          {LONG}: __typename {LONG}t: totalCount
        }} }} }}"""
    )

    assert data["app"] == {
        LONG: "App",
        "customers": {
            f"{LONG}n": [
                {LONG: "Customer", f"{LONG}e": "jane@example.com", f"{LONG}x": None, "metadata": {}}
            ],
            "pageInfo": {LONG: "PageInfo", f"{LONG}h": False},
            LONG: "CustomerConnection",
            f"{LONG}t": 1,
        },
    }


async def test_fragments_that_are_defined_before_their_operation(graph: Graph, customer_id: str) -> None:
    document = """
      fragment F on App { customer(by: {email: $email}) { id } }
      query A($email: String!) { app(slug: "atlas") { ...F } }
      query B { __typename }
    """

    response = await graph.client.post(
        "/graphql",
        json={"query": document, "operationName": "A", "variables": {"email": "jane@example.com"}},
        headers={"Authorization": f"Bearer {graph.token}"},
    )

    assert response.json()["data"] == {"app": {"customer": {"id": customer_id}}}


async def test_the_same_field_with_other_arguments_and_in_merged_fragments(
    graph: Graph, customer_id: str
) -> None:
    data = await graph.data(
        """{ app(slug: "atlas") {
          none: customers(filter: {search: "nobody"}) { totalCount }
          ...A
          customers { nodes { email } totalCount }
        } }
        fragment A on App { customers { nodes { id } ...B } }
        fragment B on CustomerConnection { nodes { name __typename } }"""
    )

    assert data["app"] == {
        "none": {"totalCount": 0},
        "customers": {
            "nodes": [
                {"id": customer_id, "name": None, "__typename": "Customer", "email": "jane@example.com"}
            ],
            "totalCount": 1,
        },
    }
    assert list(data["app"]["customers"]["nodes"][0]) == ["id", "name", "__typename", "email"]
