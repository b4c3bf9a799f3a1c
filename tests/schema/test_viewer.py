"""The viewer field: which account the client's key belongs to, and what the key allows."""

import httpx
from starlette.applications import Starlette

from asgi.authentication import Authentication
from db.engine import Database
from resolvers.viewer import Policy
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from schema.pipeline.limits import Limits
from tests.factories import Account, key_id, make_account, make_app, make_key
from tests.keyrings import KEYRING
from tests.schema.conftest import Graph
from tests.statements import Statements, assert_one

VIEWER = "{ viewer { accountName keyId keyName keyKind keyLast4 scopes } }"
EVERYTHING = [
    "READ",
    "READ_CUSTOMERS",
    "READ_TOKENS",
    "READ_EVENTS",
    "WRITE",
    "WRITE_CUSTOMERS",
    "WRITE_LICENSES",
    "WRITE_CATALOG",
    "ROTATE_SIGNING_KEYS",
    "MANAGE_KEYS",
    "MANAGE_WEBHOOKS",
]


async def test_each_key_describes_itself_and_its_account(graph: Graph, database: Database) -> None:
    acme = await make_account(database, name="Acme")
    bolt = await make_account(database, name="Bolt <b>& Söhne</b> 🔩")

    for account in (acme, bolt):
        for kind, scopes in (("secret", EVERYTHING), ("public", ["READ", "READ_CUSTOMERS"])):
            token = await make_key(database, account, kind=kind, name="website")
            assert await graph.with_token(token).data(VIEWER) == {
                "viewer": {
                    "accountName": account.name,
                    "keyId": await key_id(database, token),
                    "keyName": "website",
                    "keyKind": kind.upper(),
                    "keyLast4": token[-4:],
                    "scopes": scopes,
                }
            }


async def test_a_key_knows_its_id_and_name_and_if_it_is_limited_to_apps(
    graph: Graph, database: Database, account: Account
) -> None:
    atlas = await make_app(database, account, slug="atlas")
    query = "{ viewer { keyId keyName isLimitedToApps } apiKeys { nodes { id name } } }"
    for name, apps, is_limited in ((None, None, False), ("crm", [atlas], True), ("old", [], True)):
        scopes = ["read", "manage_keys"]
        token = await make_key(database, account, kind="restricted", name=name, scopes=scopes, apps=apps)
        data = await graph.with_token(token).data(query)
        viewer = data["viewer"]
        assert viewer == {"keyId": viewer["keyId"], "keyName": name, "isLimitedToApps": is_limited}
        assert {"id": viewer["keyId"], "name": name} in data["apiKeys"]["nodes"]


async def test_scopes_follow_the_settings_for_public_keys(database: Database, account: Account) -> None:
    closed = Authentication(database, Policy(public_keys_read_customers=False))
    api = GraphQLEndpoint(graphql_schema, database, KEYRING, closed, limits=Limits())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://testserver")

    for kind, scopes in (("secret", EVERYTHING), ("public", ["READ"])):
        asking = Graph(client, await make_key(database, account, kind=kind))
        assert await asking.data("{ viewer { scopes } }") == {"viewer": {"scopes": scopes}}


async def test_it_is_selected_like_any_other_field(graph: Graph, account: Account) -> None:
    query = """query($short: Boolean!) {
      viewer { may: scopes ...V name: accountName }
      me: viewer { __typename ... on Viewer { keyKind @include(if: $short) } }
      absent: viewer @skip(if: $short) { scopes }
      ...Q
    }
    fragment V on Viewer { what: __typename keyKind @skip(if: $short) accountName }
    fragment Q on Query { viewer { accountName name: accountName } }"""

    short = await graph.data(query, short=True)
    whole = await graph.data(query, short=False)

    viewer = {"may": EVERYTHING, "what": "Viewer", "accountName": account.name, "name": account.name}
    assert short == {"viewer": viewer, "me": {"__typename": "Viewer", "keyKind": "SECRET"}}
    assert list(short["viewer"]) == ["may", "what", "accountName", "name"]
    assert whole == {
        "viewer": {**viewer, "keyKind": "SECRET"},
        "me": {"__typename": "Viewer"},
        "absent": {"scopes": EVERYTHING},
    }
    assert list(whole["viewer"]) == ["may", "what", "keyKind", "accountName", "name"]


async def test_it_is_one_statement_after_the_key_lookup_and_none_if_not_selected(
    graph: Graph, app: Starlette, statements: Statements
) -> None:
    await graph.data(VIEWER)
    with statements.recorded(app.state.database) as sent:
        await graph.data(VIEWER)
    with statements.recorded(app.state.database) as others:
        await graph.data("{ apps { totalCount } }")

    assert_one(sent)
    assert len(sent.authentications) <= 1
    assert_one(others)
    assert "accounts" not in "".join([*others, *others.authentications])
