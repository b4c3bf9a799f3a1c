"""Invalid arguments of reads: an error names the argument, and no statement runs."""

import json

import pytest

from db.engine import Database
from db.shaping import cursors
from tests.factories import Account, make_app, make_customer
from tests.schema.conftest import Graph

pytestmark = pytest.mark.surface

ID = "cus_01h455vb4pex5vsknk084sn02q"


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ("first: 0", "first"),
        ("first: -1", "first"),
        ("first: 101", "first"),
        ("first: 2147483647", "first"),
        ("last: 0", "last"),
        ("last: 101", "last"),
        ("first: 1, last: 1", "last"),
        ('first: 1, before: "x"', "before"),
        ('last: 1, after: "x"', "after"),
        ('after: "x", before: "x"', "before"),
        ('after: ""', "after"),
        ('after: "x"', "after"),
        ('after: "Zm9v"', "after"),
        ('after: "ünïcode"', "after"),
        ('before: "%%%"', "before"),
        ('after: "\\u0000"', "after"),
        ('filter: {email: "\\u0000"}', "email"),
        ('filter: {search: "%s"}' % ("x" * 256), "search"),
        ('filter: {externalId: "%s"}' % ("x" * 256), "externalId"),
    ],
)
async def test_pages_and_filters(graph: Graph, arguments: str, argument: str) -> None:
    query = f'{{ app(slug: "atlas") {{ customers({arguments}) {{ totalCount }} }} }}'

    answer = (await graph.post(query)).json()

    (error,) = answer["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": argument}
    assert error["message"].startswith(f"customers: {argument} ")
    assert error["locations"]
    assert "data" not in answer


@pytest.mark.parametrize("first", [2147483648, "10", 1.5, True, [1, 2]])
async def test_page_sizes_that_are_not_integers(graph: Graph, first: object) -> None:
    code, message = await graph.refusal("query($n: Int) { apps(first: $n) { totalCount } }", n=first)

    assert code == "BAD_USER_INPUT"
    assert "$n" in message


def altered(cursor: str) -> list[str]:
    flipped = [
        cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        for place in range(0, len(cursor), 7)
    ]
    return [
        *flipped,
        cursor[:-1],
        cursor[1:],
        cursor[: len(cursor) // 2],
        cursor + "A",
        cursor + "=",
        cursor + " ",
    ]


async def test_altered_truncated_and_foreign_cursors(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    for _ in range(3):
        await make_customer(database, app)
    query = """query($after: String, $order: CustomerOrder) {
      app(slug: "atlas") { customers(first: 1, after: $after, orderBy: $order) { pageInfo { endCursor } } }
    }"""
    by_email = {"field": "EMAIL"}
    cursor = (await graph.data(query, order=by_email))["app"]["customers"]["pageInfo"]["endCursor"]

    assert await graph.data(query, order=by_email, after=cursor)
    for text in altered(cursor):
        code, _ = await graph.refusal(query, order=by_email, after=text)
        assert code == "BAD_USER_INPUT"
    for other in (None, {"field": "NAME"}, {"field": "EMAIL", "direction": "DESC"}, {"field": "CREATED_AT"}):
        code, message = await graph.refusal(query, order=other, after=cursor)
        assert code == "BAD_USER_INPUT"
        assert "another order" in message
    licenses = '{ app(slug: "atlas") { licenses(after: "%s") { totalCount } } }'
    code, message = await graph.refusal(licenses % cursors.encode("Customer.created_at.desc", ID, None))
    assert (code, "another connection" in message) == ("BAD_USER_INPUT", True)


@pytest.mark.parametrize(
    "query",
    [
        'customer(id: "{}") {{ id }}',
        'license(id: "{}") {{ id }}',
        'app(slug: "atlas") {{ customer(by: {{id: "{}"}}) {{ id }} }}',
    ],
)
@pytest.mark.parametrize("id", ["", "x", "app_01h455vb4pex5vsknk084sn02q", ID + "0", ID.upper(), "cus_", "1"])
async def test_ids_that_cannot_be_of_the_type(graph: Graph, query: str, id: str) -> None:
    code, message = await graph.refusal("{ " + query.format(id) + " }")

    assert code == "BAD_USER_INPUT"
    assert ": id is not the id of a " in message


async def test_ids_beyond_a_hundred(graph: Graph) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert (await graph.data(query, ids=[ID] * 100))["nodes"] == [None] * 100
    code, message = await graph.refusal(query, ids=[ID] * 101)
    assert (code, message) == ("BAD_USER_INPUT", "nodes: ids holds more than 100 ids")


@pytest.mark.parametrize("slug", ["", "nowhere", "Ünïcode", "a b", "x" * 10_000, "\\u0000"])
async def test_unknown_slugs_are_null(graph: Graph, slug: str) -> None:
    assert await graph.data(f'{{ app(slug: "{slug}") {{ id }} }}') == {"app": None}


@pytest.mark.parametrize(
    "by", [{}, {"id": ID, "email": "a@b.de"}, {"email": None}, {"nonsense": "x"}, None, {"email": 1}]
)
async def test_a_customer_is_looked_up_by_exactly_one_field(graph: Graph, by: object) -> None:
    query = 'query($by: CustomerRef!) { app(slug: "atlas") { customer(by: $by) { id } } }'

    answer = (await graph.post(query, {"by": by})).json()

    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert "data" not in answer


@pytest.mark.parametrize(
    "moment",
    [
        "2026-01-23T10:00:00",
        "2026-01-23",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-23T24:00:01Z",
        "2026-01-23T10:00:60Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00Z",
        "1769162400",
        1769162400,
        "yesterday",
        "",
        "\u0000",
        "２０２６-01-23T10:00:00Z",
    ],
)
async def test_invalid_timestamps(graph: Graph, moment: object) -> None:
    query = """query($at: DateTime) {
      app(slug: "atlas") { customers(filter: {createdAfter: $at}) { totalCount } }
    }"""

    code, message = await graph.refusal(query, at=moment)

    assert code == "BAD_USER_INPUT"
    assert "$at" in message


async def test_lone_surrogates_in_variables(graph: Graph) -> None:
    body = json.dumps(
        {
            "query": """query($e: String, $n: Int) {
              apps(first: $n) { nodes { customers(filter: {email: $e}) { totalCount } } }
            }""",
            "variables": {"e": "\ud800"},
        }
    )
    headers = {"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"}

    response = await graph.client.post("/graphql", content=body, headers=headers)
    echoed = await graph.client.post("/graphql", content=body.replace('"e":', '"n":'), headers=headers)

    assert response.json()["errors"][0]["extensions"] == {"code": "BAD_USER_INPUT", "argument": "email"}
    assert echoed.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_surrogates_in_a_documents_own_strings_are_a_syntax_error(graph: Graph) -> None:
    code, _ = await graph.refusal('{ app(slug: "\\uD800") { id } }')

    assert code == "GRAPHQL_PARSE_FAILED"


async def test_a_bad_argument_anywhere_refuses_the_whole_document(graph: Graph) -> None:
    mutation = """mutation {
      createApp(input: {name: "Atlas", slug: "atlas"}) { app { customers(first: 0) { totalCount } } }
    }"""

    code, _ = await graph.refusal(mutation)

    assert code == "BAD_USER_INPUT"
    assert await graph.data("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}
