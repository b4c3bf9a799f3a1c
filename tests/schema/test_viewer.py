"""The viewer: a client learns who it is signed in as, and what its key allows."""

import httpx
from starlette.applications import Starlette

from asgi.authentication import Authentication
from db.engine import Database
from resolvers.viewer import Policy
from schema.door import GraphQLDoor
from schema.limits import Limits
from tests.factories import Account, make_account, make_key
from tests.schema.conftest import Graph
from tests.statements import Statements, assert_one

VIEWER = "{ viewer { accountName keyKind keyLast4 scopes } }"
EVERYTHING = ["READ", "READ_CUSTOMERS", "READ_TOKENS", "WRITE"]


async def test_each_key_tells_of_itself_and_of_its_account(graph: Graph, database: Database) -> None:
    acme = await make_account(database, name="Acme")
    bolt = await make_account(database, name="Bolt <b>& Söhne</b> 🔩")

    for account in (acme, bolt):
        for kind, scopes in (("secret", EVERYTHING), ("public", ["READ", "READ_CUSTOMERS"])):
            token = await make_key(database, account, kind=kind, name="website")
            assert await graph.with_token(token).data(VIEWER) == {
                "viewer": {
                    "accountName": account.name,
                    "keyKind": kind.upper(),
                    "keyLast4": token[-4:],
                    "scopes": scopes,
                }
            }


async def test_scopes_follow_what_the_installation_lets_public_keys_do(
    database: Database, account: Account
) -> None:
    closed = Authentication(database, Policy(public_keys_read_customers=False))
    door = GraphQLDoor(database, closed, limits=Limits())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://testserver")

    for kind, scopes in (("secret", EVERYTHING), ("public", ["READ"])):
        asking = Graph(client, await make_key(database, account, kind=kind))
        assert await asking.data("{ viewer { scopes } }") == {"viewer": {"scopes": scopes}}


async def test_it_is_selected_as_anything_else(graph: Graph, account: Account) -> None:
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


async def test_it_is_one_statement_beside_the_key_and_none_where_it_is_not_asked(
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
