"""The statements of a request: one for the key, and one for each root field with all its selections."""

from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from db.engine import Database
from tests.factories import Account, make_app, make_customer, make_feature, make_license, make_tier
from tests.schema.conftest import Graph
from tests.statements import Statements, assert_one

DASHBOARD = """
query Dashboard($slug: String!, $customers: Int!, $licenses: Int!) {
  app(slug: $slug) {
    name
    customers(first: $customers) {
      totalCount
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      nodes {
        id email name
        licenses(first: $licenses) {
          totalCount
          pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
          nodes { id status expiresAt }
        }
      }
    }
  }
}
"""


@pytest.fixture
async def slug(database: Database, account: Account) -> str:
    app = await make_app(database, account)
    for _ in range(12):
        customer = await make_customer(database, app)
        await make_license(database, customer)
        await make_license(database, customer)
    return app.slug


@pytest.mark.parametrize(("customers", "licenses"), [(1, 1), (50, 10), (100, 100)])
async def test_the_dashboard_is_one_statement_after_the_key_lookup(
    graph: Graph, app: Starlette, statements: Statements, slug: str, customers: int, licenses: int
) -> None:
    variables = {"slug": slug, "customers": customers, "licenses": licenses}

    await graph.data(DASHBOARD, **variables)  # warm-up, because SQLite may run a new statement twice
    with statements.recorded(app.state.database) as sent:
        data = await graph.data(DASHBOARD, **variables)

    assert len(sent) == 1
    assert len(sent.authentications) <= 1
    assert len(data["app"]["customers"]["nodes"]) == min(customers, 12)
    assert data["app"]["customers"]["totalCount"] == 12
    assert [page["licenses"]["totalCount"] for page in data["app"]["customers"]["nodes"]] == [2] * min(
        customers, 12
    )


LICENSING = """
query($slug: String!, $customers: Int!, $licenses: Int!) {
  app(slug: $slug) {
    signingAlgorithm publicKeyPem
    customers(first: $customers) { totalCount nodes {
      email
      licenses(first: $licenses) { totalCount nodes {
        id status jti token features revokedReason
        tier { slug name features { slug name } }
      } }
    } }
    tiers { totalCount nodes {
      slug features { slug } licenses(first: $licenses) { totalCount nodes { id } }
    } }
    features { nodes { slug } }
  }
}
"""


@pytest.mark.parametrize(("customers", "licenses"), [(1, 1), (5, 3), (12, 2)])
async def test_licenses_with_tiers_and_features_are_one_statement_after_the_key_lookup(
    graph: Graph,
    app: Starlette,
    database: Database,
    account: Account,
    statements: Statements,
    customers: int,
    licenses: int,
) -> None:
    made = await make_app(database, account, slug="atlas")
    features = [await make_feature(database, made, slug=slug) for slug in ("sso", "export")]
    tier = await make_tier(database, made, slug="team", features=features)
    for _ in range(12):
        customer = await make_customer(database, made)
        for _ in range(3):
            await make_license(database, customer, tier=tier, own_features=["a"], token="a.b.c")
    variables = {"slug": "atlas", "customers": customers, "licenses": licenses}

    await graph.data(LICENSING, **variables)
    with statements.recorded(app.state.database) as sent:
        data = await graph.data(LICENSING, **variables)

    assert_one(sent)
    assert len(sent.authentications) <= 1
    nodes = data["app"]["customers"]["nodes"]
    assert len(nodes) == customers
    for node in nodes:
        assert node["licenses"]["totalCount"] == 3
        assert [each["token"] for each in node["licenses"]["nodes"]] == ["a.b.c"] * min(licenses, 3)
        for each in node["licenses"]["nodes"]:
            assert each["features"] == ["export", "sso", "a"]
            assert [feature["slug"] for feature in each["tier"]["features"]] == ["export", "sso"]
    assert data["app"]["tiers"]["nodes"][0]["licenses"]["totalCount"] == 36


async def test_every_root_field_is_one_statement(
    graph: Graph, app: Starlette, statements: Statements, slug: str
) -> None:
    ids = (await graph.data("{ apps { nodes { id licenses { nodes { id customer { id } } } } } }"))["apps"][
        "nodes"
    ]
    wanted = [ids[0]["id"], *(node[key] for node in ids[0]["licenses"]["nodes"] for key in ("id",))]
    query = """query($ids: [ID!]!, $slug: String!) {
      nodes(ids: $ids) { id ... on App { customers { totalCount } } ... on License { customer { email } } }
      apps { totalCount nodes { slug } }
      app(slug: $slug) { id }
    }"""

    with statements.recorded(app.state.database) as sent:
        await graph.data(query, ids=wanted, slug=slug)

    assert len(sent) == 3


async def test_ids_that_cannot_exist_are_not_looked_up(
    graph: Graph, app: Starlette, statements: Statements
) -> None:
    with statements.recorded(app.state.database) as sent:
        data = await graph.data(
            '{ node(id: "nonsense") { id } nodes(ids: ["x", "acc_01h455vb4pex5vsknk084sn02q"]) { id } }'
        )

    assert data == {"node": None, "nodes": [None, None]}
    assert sent == []


async def test_a_refused_document_runs_no_statement(
    client: httpx.AsyncClient, app: Starlette, statements: Statements
) -> None:
    with statements.recorded(app.state.database) as sent:
        response = await Graph(client, None).post("{ apps { totalCount } }")

    assert response.status_code == 401
    assert sent == []


async def test_total_count_is_only_counted_when_selected(
    graph: Graph, app: Starlette, statements: Statements, slug: str
) -> None:
    with statements.recorded(app.state.database) as sent:
        await graph.data(
            "query($slug: String!) { app(slug: $slug) { customers { nodes { id } } } }", slug=slug
        )

    assert "count(" not in sent[0].lower()


LONG_KEY = "k" * 64  # longer than PostgreSQL's limit for identifiers
OF_THE_ROW = f"__typename id mail: email name externalId metadata createdAt {LONG_KEY}: updatedAt"
BEYOND_THE_ROW = "id app { slug customers { totalCount } } licenses { totalCount nodes { id } }"
GIVEN = {
    "appSlug": "atlas",
    "email": "Ada@Example.com",
    "name": 'Ada "\\" Ünïcode \U0001f600',
    "metadata": {"z": 1, "a": [1.50, None, "\u2028"], "big": 10**25},
}


def making(mutation: str, payload: str) -> str:
    return f"""mutation($input: CreateCustomerInput!) {{
      outcome: {mutation}(input: $input) {{ {payload} userErrors {{ code }} }} }}"""


async def read(graph: Graph, email: str, fields: str) -> Any:
    query = f"""query($email: String!) {{
      app(slug: "atlas") {{ customer(by: {{email: $email}}) {{ {fields} }} }} }}"""
    return (await graph.data(query, email=email))["app"]["customer"]


def writing(database: Database) -> tuple[int, list[str]]:
    """Return how many statements write the event of a new customer, and those around them.

    PostgreSQL inserts the customer and the event with one statement.
    """
    return (1, ["BEGIN IMMEDIATE", "COMMIT"]) if database.is_sqlite else (0, [])


@pytest.mark.parametrize("fields", [OF_THE_ROW, BEYOND_THE_ROW])
async def test_get_or_create_of_an_existing_customer_is_one_statement(
    graph: Graph, app: Starlette, database: Database, account: Account, statements: Statements, fields: str
) -> None:
    customer = await make_customer(
        database, await make_app(database, account, slug="atlas"), email="ada@example.com"
    )
    await make_license(database, customer)
    mutation = making("getOrCreateCustomer", f"created customer {{ {fields} }}")
    await graph.data(mutation, input=GIVEN)  # warm-up, because SQLite may run a new statement twice

    with statements.recorded(app.state.database) as sent:
        data = await graph.data(mutation, input=GIVEN)

    assert (len(sent), sent.transactions) == (1, [])
    shown = await read(graph, "ada@example.com", fields)
    assert shown["id"] == customer.id
    assert data["outcome"] == {"created": False, "customer": shown, "userErrors": []}


@pytest.mark.parametrize(
    ("mutation", "fields", "expected"),
    [
        ("getOrCreateCustomer", OF_THE_ROW, 2),
        ("getOrCreateCustomer", BEYOND_THE_ROW, 3),
        ("createCustomer", OF_THE_ROW, 1),
        ("createCustomer", BEYOND_THE_ROW, 2),
    ],
)
async def test_a_new_customer_is_only_read_back_for_fields_outside_its_row(
    graph: Graph,
    app: Starlette,
    database: Database,
    account: Account,
    statements: Statements,
    mutation: str,
    fields: str,
    expected: int,
) -> None:
    await make_app(database, account, slug="atlas")
    document = making(mutation, f"customer {{ {fields} }}")
    await graph.data(document, input={"appSlug": "atlas", "email": "first@example.com"})

    with statements.recorded(app.state.database) as sent:
        data = await graph.data(document, input=GIVEN)

    of_event, transaction = writing(database)
    assert (len(sent), sent.transactions) == (expected + of_event, transaction)
    shown = await read(graph, "ada@example.com", fields)
    assert data["outcome"] == {"customer": shown, "userErrors": []}
    assert list(data["outcome"]["customer"]) == list(shown)


async def test_a_customer_that_is_not_selected_is_not_read_back(
    graph: Graph, app: Starlette, database: Database, account: Account, statements: Statements
) -> None:
    await make_app(database, account, slug="atlas")
    mutation = making("getOrCreateCustomer", "created customer @skip(if: true) { id }")

    with statements.recorded(app.state.database) as first:
        made = await graph.data(mutation, input=GIVEN)
    with statements.recorded(app.state.database) as again:
        got = await graph.data(mutation, input=GIVEN)

    assert (made["outcome"], got["outcome"]) == (
        {"created": True, "userErrors": []},
        {"created": False, "userErrors": []},
    )
    of_event, transaction = writing(database)
    assert (len(first), first.transactions) == (2 + of_event, transaction)
    assert (len(again), again.transactions) == (1, [])
