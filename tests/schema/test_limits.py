"""Limits: a document that exceeds one is refused before any statement runs, with a code that says why."""

from collections.abc import AsyncIterator, Callable

import pytest

from db.engine import Database
from schema.pipeline.limits import Limits
from tests.factories import Account, make_app, make_customer, make_feature, make_license, make_tier
from tests.schema.conftest import Graph, limited

pytestmark = pytest.mark.surface


async def refused(graph: Graph, query: str, expected: str) -> str:
    code, message = await graph.refusal(query)
    assert code == expected
    return message


async def test_tokens(graph: Graph) -> None:
    assert await graph.data("{ " + "__typename " * 50 + "}")
    message = await refused(graph, "{" + "a " * 5_000 + "}", "GRAPHQL_PARSE_FAILED")

    assert "5000 tokens" in message


async def test_a_document_of_a_megabyte(graph: Graph) -> None:
    await refused(graph, "{ a" + " a" * 500_000 + "}", "GRAPHQL_PARSE_FAILED")
    response = await graph.post("{ a" + " a" * 600_000 + "}")

    assert response.status_code == 413
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_body_without_a_content_length(graph: Graph) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    headers = {"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"}
    response = await graph.client.post("/graphql", content=chunks(), headers=headers)

    assert response.status_code == 413


async def test_depth(graph: Graph) -> None:
    def nested(levels: int) -> str:
        query = "id"
        for level in range(levels - 2):
            query = f"app {{ {query} }}" if level % 2 else f'customer(by: {{email: "a@b.de"}}) {{ {query} }}'
        return f'{{ app(slug: "x") {{ {query} }} }}'

    assert nested(4) == '{ app(slug: "x") { app { customer(by: {email: "a@b.de"}) { id } } } }'
    assert await graph.data(nested(15)) == {"app": None}
    assert "15 levels" in await refused(graph, nested(17), "GRAPHQL_VALIDATION_FAILED")


async def test_depth_counts_through_fragments_and_not_through_introspection(graph: Graph) -> None:
    parts = [
        f"fragment F{i} on App {{ customer(by: {{id: $id}}) {{ app {{ ...F{i + 1} }} }} }}" for i in range(8)
    ]
    query = 'query($id: ID!) { app(slug: "x") { ...F0 } }' + "".join(parts) + " fragment F8 on App { id }"
    types = "type { kind ofType { kind ofType { kind ofType { kind ofType { kind ofType { kind ofType { kind "
    deep = (
        "{ __schema { types { fields { "
        + types
        + "ofType { kind ofType { kind ofType { name } } } } } } } } } } } } } }"
    )

    await refused(graph, query, "GRAPHQL_VALIDATION_FAILED")
    assert (await graph.data(deep))["__schema"]["types"]


async def test_aliases(graph: Graph) -> None:
    query = '{ app(slug: "x") { %s } }'

    assert await graph.data(query % " ".join(f"a{i}: id" for i in range(100))) == {"app": None}
    await refused(graph, query % " ".join(f"a{i}: id" for i in range(101)), "GRAPHQL_VALIDATION_FAILED")


async def test_ten_thousand_aliases(graph: Graph) -> None:
    query = "{ " + " ".join(f"a{i}: __typename" for i in range(10_000)) + " }"

    await refused(graph, query, "GRAPHQL_PARSE_FAILED")


async def test_root_fields(graph: Graph) -> None:
    def ask(count: int) -> str:
        return (
            "query { ...F } fragment F on Query { "
            + " ".join(f'a{i}: app(slug: "x") {{ id }}' for i in range(count))
            + " }"
        )

    assert len(await graph.data(ask(50))) == 50
    assert "50 root fields" in await refused(graph, ask(51), "GRAPHQL_VALIDATION_FAILED")


async def test_circular_and_missing_fragments(graph: Graph) -> None:
    circle = "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"
    self = "{ ...A } fragment A on Query { apps { nodes { ... on App { id } } } ...A }"

    response = await graph.post(circle)
    assert {error["extensions"]["code"] for error in response.json()["errors"]} == {
        "GRAPHQL_VALIDATION_FAILED"
    }
    assert "Cannot spread fragment" in response.json()["errors"][0]["message"]
    await refused(graph, self, "GRAPHQL_VALIDATION_FAILED")
    await refused(graph, "{ ...Nowhere }", "GRAPHQL_VALIDATION_FAILED")


async def test_fragments_that_unfold_to_too_many_fields(graph: Graph, database: Database) -> None:
    body = "licenses { nodes { customer { app { ...%s } } } edges { node { app { ...%s } } } }"
    fragments = [f"fragment F{i} on App {{ {body % (f'F{i + 1}', f'F{i + 1}')} }}" for i in range(12)]
    query = '{ app(slug: "x") { ...F0 } }' + "".join(fragments) + "fragment F12 on App { id }"
    limits = Limits(max_depth=0, max_cost=0)

    code, message = await limited(graph, database, limits).refusal(query)

    assert code == "GRAPHQL_VALIDATION_FAILED"
    assert "unfolds to more than 5000 fields" in message


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ("{ __typename }", 0),
        ('{ app(slug: "x") { id name } }', 1),
        ('{ node(id: "x") { id } }', 1),
        ('{ nodes(ids: ["x", "y", "z"]) { ... on Customer { app { id } } } }', 6),
        ("{ apps { nodes { id } } }", 20),
        ("{ apps(first: 3) { totalCount } }", 1),
        ("{ apps(last: 3) { nodes { id } edges { cursor } pageInfo { endCursor } } }", 6),
        (
            "{ apps(first: 2) { nodes { customers(first: 3) { totalCount nodes { app { id } } } } } }",
            2 * (1 + 1 + 3 * 2),
        ),
        (
            """{ app(slug: "x") { customers(first: 50) {
              totalCount nodes { licenses(first: 10) { totalCount nodes { id } } }
            } } }""",
            602,
        ),
        ('{ license(id: "lic_01h455vb4pex5vsknk084sn02q") { id jti token } }', 1 + 1),
        (
            """{ app(slug: "x") {
              licenses(first: 5) { nodes { token t: token } edges { node { token } } } } }""",
            1 + 5 * (1 + 2) + 5 * (1 + 1),
        ),
        ('{ app(slug: "x") { tier(slug: "y") { features { id } } } }', 1 + 1 + 20),
        ('{ app(slug: "x") { tiers(first: 3) { nodes { features { app { id } } } } } }', 1 + 3 * (1 + 40)),
        ('{ app(slug: "x") { license(by: {id: "lic_01h455vb4pex5vsknk084sn02q"}) { tier { id } } } }', 3),
        (
            """{ app(slug: "x") { customers(first: 2) { nodes { licenses(first: 3) { nodes {
              tier { features { id } } features } } } } } }""",
            1 + 2 * (1 + 3 * (1 + 1 + 20)),
        ),
        # A scan of all rows of an app has a fixed cost, whatever it finds. On a page of apps, it is counted
        # once for all of them, because each row is in only one app.
        ('{ app(slug: "x") { customers(filter: {search: "an"}) { totalCount } } }', 1 + 1 + 4_500),
        ('{ app(slug: "x") { customers(filter: {email: "an"}) { nodes { id } } } }', 1 + 20 + 4_000),
        ('{ app(slug: "x") { customers(filter: {search: "an"}) { totalCount nodes { id } } } }', 22 + 4_500),
        (
            '{ app(slug: "x") { licenses(filter: {status: ACTIVE}) { totalCount nodes { id } } } }',
            22 + 4_000,
        ),
        ('{ app(slug: "x") { customers(filter: {externalId: "x"}) { totalCount } } }', 2),
        (
            '{ app(slug: "x") { customers(filter: {createdAfter: "2026-01-01T00:00:00Z"}) { totalCount } } }',
            502,
        ),
        ('{ app(slug: "x") { licenses(filter: {feature: "sso"}) { totalCount(atMost: 1) } } }', 2 + 4_000),
        ('{ app(slug: "x") { tier(slug: "y") { licenses { totalCount } } } }', 3 + 500),
        ('{ app(slug: "x") { tier(slug: "y") { licenses { totalCount(atMost: 5) } } } }', 3),
        ("{ apps(first: 50) { nodes { licenses(filter: {status: ACTIVE}) { totalCount } } } }", 100 + 2_000),
        # A scan is counted again each time the document returns to the same app.
        (
            """{ app(slug: "x") { customers(first: 2) { nodes {
              app { licenses(filter: {status: ACTIVE}) { totalCount } } } } } }""",
            1 + 2 * (1 + 1 + 1 + 2_000),
        ),
        # A scan of one customer's licenses has a hundredth of that cost, because a customer has few licenses.
        (
            """{ app(slug: "x") { customers(first: 50) { nodes {
              licenses(filter: {status: ACTIVE}) { totalCount } } } } }""",
            1 + 50 * (1 + 1 + 20),
        ),
        (
            f"""{{ app(slug: "x") {{ customers(first: 50) {{ nodes {{ licenses(filter: {{status: ACTIVE}}) {{
              {" ".join(f"a{number}: totalCount" for number in range(15))} }} }} }} }} }}""",
            1 + 50 * (1 + 15 * (1 + 20)),
        ),
        (
            f"""{{ app(slug: "x") {{ customers(first: 2) {{ nodes {{ licenses(filter: {{status: ACTIVE}}) {{
              {" ".join(f"a{number}: totalCount" for number in range(30))} }} }} }} }} }}""",
            1 + 2 * (1 + 30 * (1 + 20)),
        ),
        ("{ viewer { accountName scopes } again: viewer { keyLast4 } }", 2),
        ('{ verifyLicense(appSlug: "x", by: {jti: "y"}) { valid reason features } }', 1),
        ('{ verifyLicenses(appSlug: "x", by: {jtis: []}) { valid } }', 0),
        ('{ verifyLicenses(appSlug: "x", by: {jtis: ["a", "b", "b"]}) { valid } }', 3),
        ('{ verifyLicenses(appSlug: "x", by: {jtis: "a"}) { valid } }', 1),
        ('{ signingKeys(appSlug: "x") { kid } }', 100),
        ('mutation { deleteApp(input: {slug: "x"}) { deletedAppId } }', 10),
        ('mutation { regenerateLicense(input: {id: "x"}) { license { id token tier { id } } } }', 10 + 3),
        ('mutation { rotateAppKeys(input: {appSlug: "x"}) { licensesResigned } }', 2_000),
        (
            'mutation { a: updateApp(input: {slug: "x"}) { app { licenses(first: 5) { nodes { id } } } } }',
            10 + 1 + 5,
        ),
    ],
)
async def test_cost_is_the_largest_number_of_objects_that_could_be_returned(
    graph: Graph, query: str, cost: int
) -> None:
    answer = (await graph.post(query)).json()

    assert answer["extensions"]["cost"].items() >= {"requested": cost, "maximum": 20_000}.items()


async def test_a_document_that_costs_too_much(graph: Graph) -> None:
    page = "customers(first: $n) { nodes { id } edges { cursor } }"
    query = f"query($n: Int) {{ apps(first: 100) {{ nodes {{ {page} }} }} }}"

    assert await graph.data(query, n=99)
    answer = (await graph.post(query, {"n": 100})).json()

    (error,) = answer["errors"]
    assert error["extensions"] == {
        "code": "COST_LIMIT_EXCEEDED",
        "cost": {"requested": 20_100, "maximum": 20_000},
    }
    assert "data" not in answer


async def test_zero_switches_a_limit_off(graph: Graph, database: Database) -> None:
    none = Limits(0, 0, 0, 0, 0, 0)
    query = "{ " + " ".join(f"a{i}: apps(first: 100) {{ edges {{ cursor }} }}" for i in range(250)) + " }"

    answer = (await limited(graph, database, none).post(query + " " * 2_000_000)).json()

    assert len(answer["data"]) == 250
    assert answer["extensions"]["cost"].items() >= {"requested": 25_000, "maximum": None}.items()


async def test_introspection_can_be_closed(graph: Graph, database: Database) -> None:
    closed = limited(graph, database, Limits(), introspection=False)

    answer = (await closed.post("{ __schema { queryType { name } } }")).json()
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}
    assert "data" not in answer
    _, message = await closed.refusal("{ appz { totalCount } }")
    assert "apps" not in message.replace("appz", "")
    assert await closed.data("{ __typename }") == {"__typename": "Query"}


PAGE_INFO = (
    "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount capped: totalCount(atMost: 5)"
)
LICENSES = (
    '(last: 1, orderBy: {field: EXPIRES_AT}, filter: {status: ACTIVE, expiresAfter: "2020-01-01T00:00:00Z"})'
)
CUSTOMERS = """(
  last: 1, orderBy: {field: NAME}, filter: {search: "a", email: "b", createdAfter: "2020-01-01T00:00:00Z"}
)"""


def through_licenses(levels: int) -> str:
    if levels < 3:
        return "id"
    if levels < 6:
        return f"id licenses{LICENSES} {{ {PAGE_INFO} }}"
    below = through_licenses(levels - 3)
    return f"slug licenses{LICENSES} {{ {PAGE_INFO} nodes {{ status app {{ {below} }} }} }}"


def through_customers(levels: int) -> str:
    if levels < 3:
        return "id"
    if levels < 7:
        return f"id customers{CUSTOMERS} {{ {PAGE_INFO} }}"
    below = through_customers(levels - 4)
    node = f"node {{ email app {{ {below} }} }}"
    return f"slug customers{CUSTOMERS} {{ {PAGE_INFO} edges {{ cursor {node} }} }}"


def through_searches(levels: int) -> str:
    """Return a selection like that of `through_customers`, but only with totals that have a bound.

    If every total has a bound, a search first checks rows one by one. It uses another statement for that.
    """
    capped = PAGE_INFO.replace(" totalCount ", " ")
    if levels < 3:
        return "id"
    if levels < 7:
        return f"id customers{CUSTOMERS} {{ {capped} nodes {{ id }} }}"
    below = through_searches(levels - 4)
    node = f"node {{ email app {{ {below} }} }}"
    return f"slug customers{CUSTOMERS} {{ {capped} edges {{ cursor {node} }} }}"


def through_tiers(levels: int) -> str:
    if levels < 3:
        return "id"
    if levels < 6:
        return f'id tiers(last: 1) {{ {PAGE_INFO} }} tier(slug: "team") {{ features {{ slug }} }}'
    if levels < 9:
        return f"id tiers(last: 1) {{ {PAGE_INFO} nodes {{ id features {{ slug }} }} }}"
    below = through_tiers(levels - 6)
    licenses = f"licenses{LICENSES} {{ {PAGE_INFO} nodes {{ token tier {{ app {{ {below} }} }} }} }}"
    return f"slug tiers(last: 1) {{ {PAGE_INFO} nodes {{ {licenses} }} }}"


def through_look_ups(levels: int) -> str:
    if levels <= 2:
        return "id"
    return f'customer(by: {{email: "A@b.de"}}) {{ email app {{ {through_look_ups(levels - 2)} }} }}'


@pytest.mark.parametrize(
    "deep", [through_licenses, through_customers, through_searches, through_tiers, through_look_ups]
)
async def test_the_deepest_documents_are_answered(
    graph: Graph, database: Database, account: Account, deep: Callable[[int], str]
) -> None:
    """No statement has more than 100 open constructs, because SQLite before 3.46 could not parse it.

    See docs/decisions.md.
    """
    app = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, app, email="a@b.de", name="Ann")
    tier = await make_tier(database, app, slug="team", features=[await make_feature(database, app)])
    await make_license(database, customer, tier=tier)
    below = deep(14)
    query = f"""query($ids: [ID!]!) {{
      app(slug: "atlas") {{ {below} }}
      nodes(ids: $ids) {{ ... on App {{ {below} }} ... on Customer {{ app {{ id {deep(13)} }} }} }}
    }}"""

    data = await limited(graph, database, Limits(max_cost=0)).data(query, ids=[app.id, customer.id])

    assert data["app"] == data["nodes"][0]
    assert data["nodes"][1]["app"]


async def test_wide_and_long_selections_are_answered(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas", name='Atlas "Studio"')
    await make_customer(database, app, email="a@b.de")
    wide = " ".join(f"name_{i}: name" for i in range(98))
    long = "a" * 300

    data = await graph.data(
        f'{{ app(slug: "atlas") {{ {wide} {long}: customers {{ {long}x: nodes {{ email }} }} }} }}'
    )

    assert list(data["app"]) == [*(f"name_{i}" for i in range(98)), long]
    assert {data["app"][f"name_{i}"] for i in range(98)} == {'Atlas "Studio"'}
    assert data["app"][long] == {f"{long}x": [{"email": "a@b.de"}]}


async def test_apps_and_rotations_cost_what_their_signing_keys_do(
    graph: Graph, database: Database, account: Account
) -> None:
    def made(apps: int) -> str:
        return " ".join(
            f'a{number}: createApp(input: {{name: "New", slug: "new-{number}"}}) {{ userErrors {{ code }} }}'
            for number in range(apps)
        )

    rotation = 'rotateAppKeys(input: {appSlug: "new-0"}) { userErrors { code } }'
    await refused(graph, f"mutation {{ {made(11)} }}", "COST_LIMIT_EXCEEDED")
    await refused(graph, f"mutation {{ {made(10)} {rotation} }}", "COST_LIMIT_EXCEEDED")
    assert await graph.data("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}

    response = await graph.post(f"mutation {{ {made(2)} {rotation} }}")
    assert response.json()["extensions"]["cost"].items() >= {"requested": 6_000, "maximum": 20_000}.items()
