"""API keys in the graph: what is shown of a key, which keys are found, and who may read them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette

from db import clock
from db.engine import Database
from resolvers.usage import of_limit
from tests.factories import (
    Account,
    key_id,
    make_account,
    make_app,
    make_customer,
    make_key,
    make_license,
    make_usage,
)
from tests.schema.conftest import UNLIMITED_COST, Graph
from tests.schema.plans import analyze, faults
from tests.statements import Statements, assert_one

NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)
EVERYTHING = [
    *("READ", "READ_CUSTOMERS", "READ_TOKENS", "READ_EVENTS"),
    *("WRITE", "WRITE_CUSTOMERS", "WRITE_LICENSES", "WRITE_CATALOG"),
    *("ROTATE_SIGNING_KEYS", "MANAGE_KEYS", "MANAGE_WEBHOOKS"),
]
KEYS = "{ apiKeys { nodes { name } } }"


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings without a limit on cost, because usage and the apps of keys have a high cost."""
    return UNLIMITED_COST


def names(data: Any) -> list[str]:
    return [node["name"] for node in data["apiKeys"]["nodes"]]


async def test_every_field_of_a_key(graph: Graph, database: Database, account: Account) -> None:
    editor, atlas = [await make_app(database, account, slug=slug) for slug in ("editor", "atlas")]
    creator = await key_id(database, graph.token or "")
    token = await make_key(
        database, account, kind="restricted", name="CRM", scopes=["read", "write_customers"],
        apps=[editor, atlas], origins=["https://portal.example"], documents="registered",
        document_sets=["portal@1.4.2"], expires_at=NOW + timedelta(days=9000), revoked_at=NOW,
        created_by=creator, created_at=NOW,
    )  # fmt: skip
    id = await key_id(database, token)

    data = await graph.data(
        """query ($id: ID!) { node(id: $id) { ... on ApiKey {
          __typename id kind name prefix last4 scopes apps { slug } origins documents documentSets
          createdAt createdBy { id kind createdBy { id } } expiresAt revokedAt lastUsedAt usage { day }
        } } }""",
        id=id,
    )

    assert data["node"] == {
        "__typename": "ApiKey",
        "id": id,
        "kind": "RESTRICTED",
        "name": "CRM",
        "prefix": "rk_live_",
        "last4": token[-4:],
        "scopes": ["READ", "WRITE_CUSTOMERS"],
        "apps": [{"slug": "atlas"}, {"slug": "editor"}],
        "origins": ["https://portal.example"],
        "documents": "REGISTERED",
        "documentSets": ["portal@1.4.2"],
        "createdAt": "2026-01-23T10:00:00Z",
        "createdBy": {"id": creator, "kind": "SECRET", "createdBy": None},
        "expiresAt": "2050-09-14T10:00:00Z",
        "revokedAt": "2026-01-23T10:00:00Z",
        "lastUsedAt": None,
        "usage": [],
    }


@pytest.mark.parametrize(
    ("kind", "prefix", "scopes"),
    [
        ("secret", "sk_live_", EVERYTHING),
        ("public", "pk_live_", ["READ", "READ_CUSTOMERS"]),
    ],
)
async def test_a_key_without_limits(
    graph: Graph, database: Database, account: Account, kind: str, prefix: str, scopes: list[str]
) -> None:
    token = await make_key(database, account, kind=kind)

    data = await graph.data(
        """query ($id: ID!) { node(id: $id) { ... on ApiKey {
          name prefix scopes apps { id } origins documents documentSets expiresAt revokedAt
        } } }""",
        id=await key_id(database, token),
    )

    assert data["node"] == {
        "name": None,
        "prefix": prefix,
        "scopes": scopes,
        "apps": None,
        "origins": None,
        "documents": "ANY",
        "documentSets": None,
        "expiresAt": None,
        "revokedAt": None,
    }


async def test_apps_of_a_key_lead_to_their_customers_and_deleted_apps_are_left_out(
    graph: Graph, database: Database, account: Account
) -> None:
    kept, gone = [await make_app(database, account, slug=slug) for slug in ("kept", "gone")]
    await make_license(database, await make_customer(database, kept))
    await make_key(database, account, name="one", apps=[kept, gone])
    await make_key(database, account, name="none", apps=[gone])
    await graph.data('mutation { deleteApp(input: {slug: "gone"}) { userErrors { code } } }')

    data = await graph.data(
        """{ apiKeys(first: 2) { nodes { name apps { slug licenses { totalCount }
             customers { nodes { licenses { nodes { status } } } } } } } }"""
    )

    licenses = {"nodes": [{"status": "ACTIVE"}]}
    app = {"slug": "kept", "licenses": {"totalCount": 1}, "customers": {"nodes": [{"licenses": licenses}]}}
    assert data["apiKeys"]["nodes"] == [{"name": "none", "apps": []}, {"name": "one", "apps": [app]}]


# Usage


async def test_usage_is_a_row_for_each_day_that_had_any_oldest_first(
    graph: Graph, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    id = await key_id(database, graph.token or "")
    for moment, requests in (
        ("2026-01-23T10:00:00", 1),
        ("2026-01-23T00:00:00", 2),
        ("2026-01-22T23:59:00", 4),
        ("2025-12-25T00:00:00", 8),
        ("2025-12-24T23:59:00", 16),
        ("2025-10-26T00:00:00", 32),
        ("2025-10-25T23:59:00", 64),
    ):
        minute = datetime.fromisoformat(f"{moment}+00:00")
        await make_usage(
            database, id, minute=minute, requests=requests, points=10 * requests, refused=requests - 1
        )
    await make_usage(database, "key_of_someone_else", minute=NOW, requests=128)

    data = await graph.data(
        """query ($id: ID!, $days: Int!) { node(id: $id) { ... on ApiKey {
          lastUsedAt
          month: usage { is: __typename day requests points refused }
          today: usage(days: 1) { requests }
          yesterday: usage(days: $days) { requests }
          most: usage(days: 90) { requests }
        } } }""",
        id=id,
        days=2,
    )

    assert data["node"] == {
        "lastUsedAt": "2026-01-23T10:00:00Z",
        "month": [
            {"is": "KeyUsage", "day": "2025-12-25", "requests": 8, "points": 80, "refused": 7},
            {"is": "KeyUsage", "day": "2026-01-22", "requests": 4, "points": 40, "refused": 3},
            {"is": "KeyUsage", "day": "2026-01-23", "requests": 3, "points": 30, "refused": 1},
        ],
        "today": [{"requests": 3}],
        "yesterday": [{"requests": 4}, {"requests": 3}],
        "most": [{"requests": each} for each in (32, 16, 8, 4, 3)],
    }


async def test_points_of_a_day_are_never_negative(
    graph: Graph, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request may take points before midnight and, after midnight, return those that it did not need."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    id = await key_id(database, graph.token or "")
    for moment, points in (("01-22T23:59", 100), ("01-23T00:00", -60), ("01-23T00:01", 10)):
        minute = datetime.fromisoformat(f"2026-{moment}:00+00:00")
        await make_usage(database, id, minute=minute, points=points)

    data = await graph.data(
        "query ($id: ID!) { node(id: $id) { ... on ApiKey { usage { points } } } }", id=id
    )

    assert data["node"] == {"usage": [{"points": 100}, {"points": 0}]}


async def test_what_limits_count_is_no_usage_of_a_key(
    graph: Graph, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    id = await key_id(database, graph.token or "")
    await make_usage(database, of_limit("requests", id), minute=NOW)

    data = await graph.data("{ apiKeys { nodes { id lastUsedAt usage { day } } } }")

    assert data["apiKeys"]["nodes"] == [{"id": id, "lastUsedAt": None, "usage": []}]


@pytest.mark.parametrize("days", [0, -1, 91, 2**31 - 1])
async def test_usage_of_a_wrong_number_of_days_is_refused(graph: Graph, days: int) -> None:
    refused = ("BAD_USER_INPUT", "usage: days must be between 1 and 90")

    for head, argument in (("", days), ("query ($days: Int!)", "$days")):
        query = f"{head} {{ apiKeys {{ nodes {{ usage(days: {argument}) {{ day }} }} }} }}"
        assert await graph.refusal(query, days=days) == refused


async def test_the_costs_of_fields(graph: Graph) -> None:
    async def cost(selected: str) -> int:
        answer = (await graph.post(f"{{ apiKeys(first: 10) {{ nodes {{ {selected} }} }} }}")).json()
        return int(answer["extensions"]["cost"]["requested"])

    assert await cost("id lastUsedAt") == 10
    assert await cost("createdBy { id }") == 20
    assert await cost("apps { id }") == 510
    assert await cost("usage { day }") == 310
    assert await cost("usage(days: 7) { day requests }") == 80


# Which keys are found


async def test_lists_show_sessions_only_on_request(
    graph: Graph, database: Database, account: Account
) -> None:
    customer = await make_customer(database, await make_app(database, account))
    assert graph.token is not None
    own = await key_id(database, graph.token)
    await make_key(database, account, kind="session", name="session", customer=customer, created_by=own)
    await make_key(database, account, kind="public", name="public")
    await make_key(database, account, name="revoked", revoked_at=NOW)
    await make_key(database, account, name="expired", expires_at=NOW)
    await make_key(database, account, name="secret", expires_at=NOW + timedelta(days=9000))

    async def found(filter: str) -> list[str]:
        data = await graph.data(f"{{ apiKeys(filter: {{{filter}}}) {{ nodes {{ name }} totalCount }} }}")
        assert data["apiKeys"]["totalCount"] == len(data["apiKeys"]["nodes"])
        return [name or "own" for name in names(data)]

    assert await found("") == ["secret", "expired", "revoked", "public", "own"]
    assert await found("live: null, kind: null") == ["secret", "expired", "revoked", "public", "own"]
    assert await found("live: true") == ["secret", "public", "own"]
    assert await found("live: false") == ["expired", "revoked"]
    assert await found("kind: SESSION") == ["session"]
    assert await found("kind: SECRET, live: true") == ["secret", "own"]
    assert await found("kind: RESTRICTED") == []


async def test_pages_are_like_those_of_every_connection(
    graph: Graph, database: Database, account: Account
) -> None:
    for name in "abcd":
        await make_key(database, account, name=name)
    page = "edges { cursor node { name } } pageInfo { hasNextPage hasPreviousPage endCursor } totalCount"

    first = (await graph.data(f"{{ apiKeys(first: 2) {{ {page} }} }}"))["apiKeys"]
    after = first["pageInfo"]["endCursor"]
    second = (
        await graph.data(f"query ($a: String) {{ apiKeys(first: 2, after: $a) {{ {page} }} }}", a=after)
    )["apiKeys"]
    last = (await graph.data(f"{{ apiKeys(last: 1) {{ {page} }} }}"))["apiKeys"]

    assert [edge["node"]["name"] for edge in first["edges"]] == ["d", "c"]
    assert [edge["node"]["name"] for edge in second["edges"]] == ["b", "a"]
    assert [edge["node"]["name"] for edge in last["edges"]] == [None]
    assert second["pageInfo"]["hasPreviousPage"]
    assert second["pageInfo"]["hasNextPage"]
    assert first["totalCount"] == second["totalCount"] == last["totalCount"] == 5
    assert await graph.refusal("{ apiKeys(first: 101) { totalCount } }") == (
        "BAD_USER_INPUT",
        "apiKeys: first must be between 1 and 100",
    )


async def test_every_read_is_one_statement_along_an_index(
    graph: Graph, app: Starlette, database: Database, account: Account, statements: Statements
) -> None:
    sold = await make_app(database, account)
    customer = await make_customer(database, sold)
    for number in range(300):
        await make_key(database, await make_account(database))
        await make_key(database, account, kind="session", scopes=["read"], customer=customer)
        if number % 10 == 0:
            await make_key(database, account, apps=[sold])
    id = await key_id(database, graph.token or "")
    for minute in range(300):
        await make_usage(database, id, minute=NOW + timedelta(minutes=minute))
    await analyze(database)
    fields = "id apps { slug } createdBy { id } usage { day points } lastUsedAt"
    watched = app.state.database

    for query in (
        f"query ($id: ID!) {{ node(id: $id) {{ ... on ApiKey {{ {fields} }} }} }}",
        f"query ($id: ID!) {{ nodes(ids: [$id]) {{ ... on ApiKey {{ {fields} }} }} }}",
        f"{{ apiKeys(first: 5) {{ nodes {{ {fields} }} pageInfo {{ endCursor hasNextPage }} }} }}",
        f"{{ apiKeys(last: 5, filter: {{kind: SESSION}}) {{ nodes {{ {fields} }} }} }}",
    ):
        with statements.recorded(watched) as sent:
            await graph.data(query, id=id)

        assert_one(sent)
        # Sorts are allowed here, because they are small: the apps of a key, or its days of usage.
        found = await faults(watched, sent[-1])
        assert [each for each in found if "keys" in each or "SCAN apps" in each] == [], query


# Who may read keys


async def test_keys_of_another_account_do_not_exist(
    graph: Graph, database: Database, account: Account
) -> None:
    stranger = graph.with_token(await make_key(database, await make_account(database), name="stranger"))
    id = await key_id(database, graph.token or "")

    data = await stranger.data(
        "query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } apiKeys { nodes { name } } }", id=id
    )

    assert data == {"node": None, "nodes": [None], "apiKeys": {"nodes": [{"name": "stranger"}]}}


@pytest.mark.parametrize(
    ("kind", "scopes"),
    [
        ("public", None),
        ("restricted", ["read", "read_customers", "read_tokens", "read_events", "write_customers"]),
    ],
)
async def test_reading_keys_needs_the_scope(
    graph: Graph, database: Database, account: Account, kind: str, scopes: list[str] | None
) -> None:
    other = graph.with_token(await make_key(database, account, kind=kind, scopes=scopes))
    id = await key_id(database, graph.token or "")
    expected = {
        "public": "A public key cannot read or manage keys; use a secret key.",
        "restricted": "This key does not have the scope MANAGE_KEYS.",
    }[kind]

    for query in (
        KEYS,
        "{ apiKeys { totalCount } }",
        "query ($id: ID!) { node(id: $id) { id } }",
        "query ($id: ID!) { node(id: $id) { ... on App { id } } }",
        "query ($id: ID!) { nodes(ids: [$id]) { id } }",
    ):
        assert await other.refusal(query, id=id) == ("FORBIDDEN", expected), query


async def test_the_scope_alone_is_enough_for_keys_and_for_nothing_else(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    token = await make_key(
        database, account, kind="restricted", name="keys only", scopes=["manage_keys"], apps=[app]
    )
    manager, id = graph.with_token(token), await key_id(database, token)

    assert names(await manager.data(KEYS)) == ["keys only"]
    data = await manager.data("query ($id: ID!) { node(id: $id) { ... on ApiKey { name } } }", id=id)
    assert data == {"node": {"name": "keys only"}}
    missing = ("FORBIDDEN", "This key does not have the scope READ.")
    assert await manager.refusal("{ apiKeys { nodes { apps { id } } } }") == missing
    assert await manager.refusal("query ($id: ID!) { nodes(ids: [$id]) { id } }", id=app.id) == missing
    assert await manager.refusal('{ node(id: "nothing") { id } }') == missing


async def test_a_key_limited_to_apps_sees_only_keys_within_these_apps(
    graph: Graph, database: Database, account: Account
) -> None:
    atlas, bolt, gone = [await make_app(database, account, slug=slug) for slug in ("atlas", "bolt", "gone")]
    creator = await key_id(database, graph.token or "")
    scopes = ["read", "manage_keys"]
    token = await make_key(
        database, account, kind="restricted", name="own", scopes=scopes, apps=[atlas, gone],
        created_by=creator,
    )  # fmt: skip
    own = await key_id(database, token)
    for name, apps in (("atlas", [atlas]), ("bolt", [bolt]), ("both", [bolt, atlas]), ("gone", [gone])):
        await make_key(database, account, name=name, apps=apps, created_by=own)
    await graph.data('mutation { deleteApp(input: {slug: "gone"}) { userErrors { code } } }')
    limited = graph.with_token(token)

    data = await limited.data(
        """query ($creator: ID!) {
          node(id: $creator) { id }
          apiKeys { totalCount nodes { name apps { slug } createdBy { name } } }
        }""",
        creator=creator,
    )

    assert data == {
        "node": None,
        "apiKeys": {
            "totalCount": 3,
            "nodes": [
                {"name": "gone", "apps": [], "createdBy": {"name": "own"}},
                {"name": "atlas", "apps": [{"slug": "atlas"}], "createdBy": {"name": "own"}},
                {"name": "own", "apps": [{"slug": "atlas"}], "createdBy": None},
            ],
        },
    }
    assert names(await graph.data(KEYS)) == ["gone", "both", "bolt", "atlas", "own", None]
