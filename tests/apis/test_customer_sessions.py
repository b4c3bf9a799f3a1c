"""Customer sessions: a token for one customer, for pages where customers see their own licenses."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, update

from asgi import authentication
from db import clock as real_clock
from db.engine import Database
from db.keys import keys
from resolvers.keys import digest
from tests.apis.market import As, Caller, Market
from tests.factories import key_id, make_key, make_license
from tests.rest.expecting import error
from tests.statements import Statements

CREATE = """mutation($input: CreateCustomerSessionInput!) { createCustomerSession(input: $input) {
  session { token expiresAt customer { id email } } userErrors { code field message } } }"""
OWN = """id email name externalId metadata createdAt updatedAt
  app { id slug name description signingAlgorithm publicKeyPem }
  licenses { totalCount pageInfo { hasNextPage endCursor } nodes {
    id installationId status expiresAt revokedAt revokedReason features jti token metadata createdAt updatedAt
    app { slug } customer { id }
    tier { id slug name position createdAt app { slug } features { id slug name app { slug } } } } }"""
REGENERATE = """mutation($id: ID!) { regenerateLicense(input: {id: $id}) {
  license { id token } userErrors { code field } } }"""
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def no_cached_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up keys in every request, so that a change takes effect at once."""
    monkeypatch.setattr(authentication, "CACHED_SECONDS", 0)


async def created(caller: Caller, surface: str, market: Market, **terms: Any) -> str:
    """Create a session of Ada through one of the APIs, and return its token."""
    if surface == "graph":
        data = await caller.data(CREATE, input={"customerId": market.atlas.ada.id, **as_graph(terms)})
        assert data["createCustomerSession"]["userErrors"] == []
        return str(data["createCustomerSession"]["session"]["token"])
    response = await caller.rest("POST", f"/apps/atlas/customers/{market.atlas.ada.id}/sessions", terms)
    assert response.status_code == 201, response.text
    assert set(response.json()["data"]) == {"token", "expires_at"}
    return str(response.json()["data"]["token"])


async def faults(caller: Caller, surface: str, market: Market, **terms: Any) -> list[tuple[str, str]]:
    """Return the code and field of each fault of a session's input. REST has no codes, so INVALID is used."""
    if surface == "graph":
        data = await caller.data(CREATE, input={"customerId": market.atlas.ada.id, **as_graph(terms)})
        assert data["createCustomerSession"]["session"] is None
        return [(each["code"], each["field"][0]) for each in data["createCustomerSession"]["userErrors"]]
    response = await caller.rest("POST", f"/apps/atlas/customers/{market.atlas.ada.id}/sessions", terms)
    assert response.status_code == 422, response.text
    return [("INVALID", field) for field in response.json()["error"]["details"]]


def as_graph(terms: dict[str, Any]) -> dict[str, Any]:
    names = {"ttl_seconds": "ttlSeconds"}
    values = {names.get(name, name): value for name, value in terms.items()}
    if "scopes" in values:
        values["scopes"] = [scope.upper() for scope in values["scopes"]]
    return values


async def stored(database: Database, token: str) -> dict[str, Any]:
    async with database.write() as session:
        found = await session.execute(select(keys).where(keys.c.digest == digest(token)))
        return dict(found.mappings().one())


async def change(database: Database, id: str, **values: object) -> None:
    async with database.write() as session:
        await session.execute(update(keys).where(keys.c.id == id).values(values))


both_surfaces = pytest.mark.parametrize("surface", ["graph", "rest"])


# Creating a session


@both_surfaces
async def test_a_session_is_a_key_of_one_customer(
    database: Database, market: Market, secret: Caller, surface: str
) -> None:
    before = real_clock.now()

    token = await created(secret, surface, market)

    assert token.startswith("cs_live_")
    assert len(token) == len("cs_live_") + 32
    row = await stored(database, token)
    assert before + HOUR <= row.pop("expires_at") <= real_clock.now() + HOUR
    assert row.pop("id").startswith("key_")
    assert before <= row.pop("created_at") + timedelta(seconds=1)
    assert row == {
        "account_id": market.account.id,
        "kind": "session",
        "name": None,
        "digest": digest(token),
        "last4": token[-4:],
        "revoked_at": None,
        "scopes": ["read"],
        "app_ids": [market.atlas.app.id],
        "origins": None,
        "documents": "any",
        "document_sets": None,
        "customer_id": market.atlas.ada.id,
        "created_by": await key_id(database, secret.token or ""),
        "previous_digest": None,
        "previous_until": None,
        "version": 1,
    }


async def test_the_graph_returns_the_session_with_its_customer(market: Market, secret: Caller) -> None:
    data = await secret.data(CREATE, input={"customerId": market.atlas.ada.id, "ttlSeconds": 300})

    session = data["createCustomerSession"]["session"]
    assert session["customer"] == {"id": market.atlas.ada.id, "email": "ada@atlas.example"}
    ends = datetime.fromisoformat(session["expiresAt"])
    assert timedelta(seconds=298) <= ends - datetime.now(UTC) <= timedelta(seconds=300)


@both_surfaces
@pytest.mark.parametrize("seconds", [300, 900, 86_400])
async def test_a_session_lasts_five_minutes_to_a_day(
    database: Database, market: Market, secret: Caller, surface: str, seconds: int
) -> None:
    token = await created(secret, surface, market, ttl_seconds=seconds)

    lasts = (await stored(database, token))["expires_at"] - real_clock.now()
    assert timedelta(seconds=seconds - 2) <= lasts <= timedelta(seconds=seconds)


@pytest.mark.surface
@both_surfaces
@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"ttl_seconds": 299}, "ttl_seconds"),
        ({"ttl_seconds": 86_401}, "ttl_seconds"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
        ({"ttl_seconds": -1}, "ttl_seconds"),
        ({"scopes": ["read", "read_customers"]}, "scopes"),
        ({"scopes": ["write"]}, "scopes"),
        ({"scopes": ["manage_keys"]}, "scopes"),
        ({"origins": ["https://portal.example/login"]}, "origins"),
        ({"origins": ["http://portal.example"]}, "origins"),
        ({"origins": [f"https://{n}.example" for n in range(21)]}, "origins"),
    ],
)
async def test_terms_that_a_session_cannot_have_are_invalid(
    database: Database, market: Market, secret: Caller, surface: str, terms: dict[str, Any], field: str
) -> None:
    named = as_graph({field: []}) if surface == "graph" and field == "ttl_seconds" else {field: []}

    assert await faults(secret, surface, market, **terms) == [("INVALID", next(iter(named)))]
    async with database.write() as session:
        sessions = select(func.count()).select_from(keys).where(keys.c.kind == "session")
        assert (await session.execute(sessions)).scalar_one() == 0


async def test_all_faults_are_reported_together(market: Market, secret: Caller) -> None:
    terms = {"ttl_seconds": 299, "scopes": ["write"], "origins": ["null"]}

    assert await faults(secret, "graph", market, **terms) == [
        ("INVALID", "ttlSeconds"),
        ("INVALID", "scopes"),
        ("INVALID", "origins"),
    ]
    assert await faults(secret, "rest", market, **terms) == [
        ("INVALID", "ttl_seconds"),
        ("INVALID", "scopes"),
        ("INVALID", "origins"),
    ]


@both_surfaces
@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["read"], ["read"]),
        (["read", "read_tokens"], ["read", "read_tokens"]),
        (["read_tokens", "read", "read"], ["read", "read_tokens"]),
        (["read_tokens"], ["read", "read_tokens"]),
    ],
)
async def test_a_session_reads_and_may_read_tokens(
    by: As, market: Market, secret: Caller, surface: str, given: list[str], kept: list[str]
) -> None:
    token = await created(secret, surface, market, scopes=given)

    viewer = await by(token).data("{ viewer { keyKind keyLast4 scopes accountName } }")
    assert viewer == {
        "viewer": {
            "keyKind": "SESSION",
            "keyLast4": token[-4:],
            "scopes": [scope.upper() for scope in kept],
            "accountName": "Acme",
        }
    }


@both_surfaces
async def test_a_session_never_has_more_than_the_key_that_creates_it(
    database: Database, by: As, market: Market, surface: str
) -> None:
    ends = real_clock.now() + timedelta(minutes=20)
    creator = by(
        await make_key(
            database,
            market.account,
            kind="restricted",
            scopes=["read", "read_customers", "write_customers"],
            apps=[market.atlas.app, market.borealis.app],
            expires_at=ends,
            documents="any",
        )
    )

    token = await created(creator, surface, market, ttl_seconds=86_400)

    row = await stored(database, token)
    assert (row["expires_at"], row["app_ids"]) == (ends, [market.atlas.app.id])
    assert await faults(creator, surface, market, scopes=["read", "read_tokens"]) == [("INVALID", "scopes")]


@both_surfaces
async def test_origins_and_documents_are_those_of_the_key_that_creates_the_session(
    database: Database, market: Market, client: httpx.AsyncClient, surface: str
) -> None:
    origins = ["https://portal.example", "https://*.preview.example"]
    key = await make_key(database, market.account, origins=origins)
    creator = Caller(client, key).with_headers(Origin="https://portal.example")

    left_out = await stored(database, await created(creator, surface, market))
    given = ["https://one.preview.example"]
    narrowed = await stored(database, await created(creator, surface, market, origins=given))

    assert (left_out["origins"], narrowed["origins"]) == (origins, given)
    for beyond in (["https://evil.example"], ["https://a.b.preview.example"], [*given, "https://x.example"]):
        assert await faults(creator, surface, market, origins=beyond) == [("INVALID", "origins")]


@both_surfaces
async def test_origins_of_a_session_are_stored_as_browsers_send_them(
    database: Database, market: Market, secret: Caller, surface: str
) -> None:
    token = await created(secret, surface, market, origins=["HTTPS://Portal.example:443"])

    assert (await stored(database, token))["origins"] == ["https://portal.example"]


@both_surfaces
@pytest.mark.parametrize("lacking", ["write_customers", "read", "read_customers"])
async def test_creating_a_session_needs_the_scopes_to_read_and_write_customers(
    database: Database, by: As, market: Market, surface: str, lacking: str
) -> None:
    scopes = {"write_customers", "read", "read_customers", "write_licenses"} - {lacking}
    caller = by(await make_key(database, market.account, kind="restricted", scopes=sorted(scopes)))

    if surface == "graph":
        assert await caller.code(CREATE, input={"customerId": market.atlas.ada.id}) == "FORBIDDEN"
    else:
        response = await caller.rest("POST", f"/apps/atlas/customers/{market.atlas.ada.id}/sessions", {})
        assert error(response)[:2] == (403, "forbidden")


async def test_a_customer_that_the_key_cannot_reach_is_not_found(
    database: Database, by: As, market: Market, secret: Caller
) -> None:
    limited = by(await make_key(database, market.account, apps=[market.borealis.app]))
    unknown = "cus_01h455vb4pex5vsknk084sn02q"

    for caller, id in (
        (limited, market.atlas.ada.id),
        (limited, unknown),
        (secret, market.cirrus.ada.id),
        (secret, unknown),
        (secret, "nonsense"),
        (secret, "\x00"),
    ):
        data = await caller.data(CREATE, input={"customerId": id})
        assert data["createCustomerSession"]["session"] is None
        assert data["createCustomerSession"]["userErrors"] == [
            {"code": "NOT_FOUND", "field": ["customerId"], "message": "does not exist"}
        ]
    # In REST, the customer must also be in the app of the path.
    for caller, path in (
        (limited, f"atlas/customers/{market.atlas.ada.id}"),
        (limited, f"borealis/customers/{market.atlas.ada.id}"),
        (secret, f"borealis/customers/{market.atlas.ada.id}"),
        (secret, f"cirrus/customers/{market.cirrus.ada.id}"),
        (secret, f"atlas/customers/{unknown}"),
    ):
        response = await caller.rest("POST", f"/apps/{path}/sessions", {"ttl_seconds": 1})
        assert error(response)[:2] == (404, "not_found"), path


async def test_the_body_of_rest_may_be_empty(market: Market, secret: Caller) -> None:
    response = await secret.rest("POST", f"/apps/atlas/customers/{market.atlas.ada.id}/sessions")

    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    assert "location" not in response.headers


async def test_a_session_cannot_create_another_one(by: As, market: Market, secret: Caller) -> None:
    session = by(await created(secret, "graph", market))

    assert await session.code(CREATE, input={"customerId": market.atlas.ada.id}) == "FORBIDDEN"


# What a session sees


@both_surfaces
async def test_a_session_sees_its_customer_and_from_there_the_licenses(
    by: As, database: Database, market: Market, secret: Caller, surface: str
) -> None:
    session = by(await created(secret, surface, market))
    ada, license = market.atlas.ada, market.atlas.of_ada

    seen = (await session.data(f"{{ viewer {{ customer {{ {OWN} }} }} }}"))["viewer"]["customer"]

    assert (seen["id"], seen["email"], seen["externalId"]) == (ada.id, "ada@atlas.example", "crm-ada-atlas")
    assert seen["licenses"]["totalCount"] == 2
    assert [each["id"] for each in seen["licenses"]["nodes"]] == [market.atlas.revoked[ada.id].id, license.id]
    assert [each["token"] for each in seen["licenses"]["nodes"]] == [None, None]
    tier = seen["licenses"]["nodes"][1]["tier"]
    assert (tier["slug"], [each["slug"] for each in tier["features"]]) == ("atlas_team", ["atlas_sso"])
    assert seen == (await secret.data(f"query($id: ID!) {{ customer(id: $id) {{ {OWN} }} }}", id=ada.id))[
        "customer"
    ] | {"licenses": seen["licenses"]}


async def test_a_session_finds_what_is_its_own_by_id(by: As, market: Market, secret: Caller) -> None:
    session = by(await created(secret, "graph", market))
    ada, license = market.atlas.ada.id, market.atlas.of_ada.id

    data = await session.data(
        """query($ada: ID!, $license: ID!) {
          customer(id: $ada) { email } license(id: $license) { customer { email } tier { slug } }
          a: node(id: $ada) { id __typename } b: node(id: $license) { ... on License { status } }
          nodes(ids: [$license, $ada]) { id } }""",
        ada=ada,
        license=license,
    )

    assert data == {
        "customer": {"email": "ada@atlas.example"},
        "license": {"customer": {"email": "ada@atlas.example"}, "tier": {"slug": "atlas_team"}},
        "a": {"id": ada, "__typename": "Customer"},
        "b": {"status": "ACTIVE"},
        "nodes": [{"id": license}, {"id": ada}],
    }


async def test_everything_else_does_not_exist_for_a_session(
    by: As, market: Market, secret: Caller, database: Database, statements: Statements, app: Any
) -> None:
    session = by(await created(secret, "graph", market))
    others = [
        *(each for stock in (market.borealis, market.cirrus) for each in (stock.ada.id, stock.of_ada.id)),
        *(market.atlas.bob.id, market.atlas.of_bob.id, market.atlas.app.id, market.atlas.tier.id),
        *(market.atlas.feature.id, market.borealis.app.id, market.cirrus.tier.id),
    ]

    data = await session.data("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=others)
    assert data == {"nodes": [None] * len(others)}
    for stock in (market.atlas, market.borealis, market.cirrus):
        data = await session.data(
            "query($bob: ID!, $of: ID!, $slug: String!) { customer(id: $bob) { id } license(id: $of) { id } "
            "app(slug: $slug) { id name } node(id: $of) { id } }",
            bob=stock.bob.id,
            of=stock.of_bob.id,
            slug=stock.app.slug,
        )
        assert data == {"customer": None, "license": None, "app": None, "node": None}


@pytest.mark.surface
@pytest.mark.parametrize(
    "query",
    [
        "{ apps { totalCount } }",
        "{ apps { nodes { id } } }",
        '{ app(slug: "atlas") { customers { totalCount } } }',
        '{ app(slug: "atlas") { licenses { nodes { id } } } }',
        '{ app(slug: "atlas") { tiers { nodes { id } } } }',
        '{ app(slug: "atlas") { customer(by: {email: "bob@atlas.example"}) { id } } }',
        '{ app(slug: "atlas") { webhookUrl } }',
        '{ app(slug: "nothing") { customers { totalCount } } }',
        "{ viewer { customer { app { customers { totalCount } } } } }",
        "{ viewer { customer { app { licenses(first: 1) { edges { node { token } } } } } } }",
        "{ viewer { customer { app { features { nodes { id } } } } } }",
        '{ viewer { customer { app { customer(by: {externalId: "crm-bob-atlas"}) { email } } } } }',
        '{ viewer { customer { app { license(by: {installationId: "%s"}) { id } } } } }' % ("0" * 32),
        '{ viewer { customer { app { tier(slug: "atlas_team") { id } } } } }',
        "{ viewer { customer { app { webhookUrl } } } }",
        "{ viewer { customer { app { createdAt } } } }",
        "{ viewer { customer { licenses { nodes { app { updatedAt } } } } } }",
        "{ viewer { customer { licenses { nodes { tier { licenses { totalCount } } } } } } }",
        "{ viewer { customer { licenses { edges { node { tier { licenses { totalCount } } } } } } } }",
        "{ viewer { customer { licenses { nodes { tier { features { app { webhookUrl } } } } } } } }",
        "{ viewer { customer { licenses { nodes { customer { app { tiers { totalCount } } } } } } } }",
    ],
)
async def test_what_is_not_of_the_customer_is_forbidden_before_anything_runs(
    by: As, market: Market, secret: Caller, app: Any, statements: Statements, query: str
) -> None:
    session = by(await created(secret, "graph", market, scopes=["read", "read_tokens"]))

    with statements.recorded(app.state.database) as sent:
        answer = (await session.post(query)).json()

    (refusal,) = answer["errors"]
    assert refusal["extensions"]["code"] == "FORBIDDEN"
    assert refusal["message"] == "This session only shows its own customer and that customer's licenses."
    assert sent == []


@pytest.mark.parametrize("kind", ["secret", "public"])
async def test_only_a_session_has_a_customer(
    by: As, database: Database, market: Market, kind: str, app: Any, statements: Statements
) -> None:
    other = by(await make_key(database, market.account, kind=kind))

    with statements.recorded(app.state.database) as sent:
        assert await other.data("{ viewer { customer { id app { slug } } } }") == {
            "viewer": {"customer": None}
        }
    assert sent == []


async def test_reading_the_customer_of_a_session_is_one_statement(
    by: As, market: Market, secret: Caller, app: Any, statements: Statements
) -> None:
    session = by(await created(secret, "graph", market))
    query = f"{{ viewer {{ customer {{ {OWN} }} }} }}"

    with statements.recorded(app.state.database) as sent:
        await session.data(query)

    assert len(set(sent)) == 1
    both = await session.data("{ viewer { a: keyKind customer { id } b: keyKind c: customer { email } } }")
    assert both == {
        "viewer": {
            "a": "SESSION",
            "customer": {"id": market.atlas.ada.id},
            "b": "SESSION",
            "c": {"email": "ada@atlas.example"},
        }
    }
    assert list(both["viewer"]) == ["a", "customer", "b", "c"]


async def test_tokens_of_the_licenses_need_the_scope(by: As, market: Market, secret: Caller) -> None:
    query = "query($id: ID!) { license(id: $id) { token } }"
    path = f"/apps/atlas/licenses/{market.atlas.of_ada.id}"

    for scopes, token in ((["read"], None), (["read", "read_tokens"], "token.of.ada@atlas.example")):
        session = by(await created(secret, "graph", market, scopes=scopes))
        assert (await session.data(query, id=market.atlas.of_ada.id))["license"] == {"token": token}
        license = (await session.rest("GET", path)).json()["data"]
        assert license.get("token") == token


# REST


async def test_rest_shows_a_session_its_customer_and_licenses(by: As, market: Market, secret: Caller) -> None:
    session = by(await created(secret, "rest", market, scopes=["read", "read_tokens"]))
    ada, license = market.atlas.ada, market.atlas.of_ada

    for path in (
        f"/apps/atlas/customers/{ada.id}",
        "/apps/atlas/customers/by-email?email=ADA@atlas.example",
        "/apps/atlas/customers/by-external-id?external_id=crm-ada-atlas",
        f"/apps/atlas/licenses/{license.id}",
        f"/apps/atlas/licenses/by-installation?installation_id={license.installation_id}",
    ):
        seen = await session.rest("GET", path)
        assert seen.status_code == 200, path
        assert seen.json() == (await secret.rest("GET", path)).json(), path


async def test_rest_shows_a_session_nothing_else(by: As, market: Market, secret: Caller) -> None:
    session = by(await created(secret, "rest", market, scopes=["read", "read_tokens"]))
    ada, bob = market.atlas.ada, market.atlas.bob

    for path in (
        f"/apps/atlas/customers/{bob.id}",
        "/apps/atlas/customers/by-email?email=bob@atlas.example",
        "/apps/atlas/customers/by-external-id?external_id=crm-bob-atlas",
        f"/apps/atlas/licenses/{market.atlas.of_bob.id}",
        f"/apps/atlas/licenses/by-installation?installation_id={market.atlas.of_bob.installation_id}",
        f"/apps/borealis/customers/{ada.id}",
        f"/apps/borealis/customers/{market.borealis.ada.id}",
        f"/apps/cirrus/customers/{market.cirrus.ada.id}",
        f"/apps/atlas/tiers/{market.atlas.tier.id}",
        f"/apps/atlas/features/{market.atlas.feature.id}",
    ):
        assert error(await session.rest("GET", path))[:2] == (404, "not_found"), path
    for path in ("", "/atlas", "/atlas/customers", "/atlas/licenses", "/atlas/tiers", "/atlas/features"):
        assert error(await session.rest("GET", f"/apps{path}"))[:2] == (403, "forbidden"), path
    # Another app of the account looks the same as one that does not exist.
    unknown, other = [
        await session.rest("GET", f"/apps/{slug}/customers/{bob.id}") for slug in ("nothing", "borealis")
    ]
    assert unknown.json() == other.json()


async def test_of_two_licenses_of_an_installation_a_session_sees_its_own(
    by: As, database: Database, market: Market, secret: Caller
) -> None:
    session = by(await created(secret, "rest", market))
    installation = market.atlas.of_bob.installation_id
    own = await make_license(
        database, market.atlas.ada, installation_id=installation, revoked_at=real_clock.now()
    )

    path = f"/apps/atlas/licenses/by-installation?installation_id={installation}"
    assert (await session.rest("GET", path)).json()["data"]["id"] == own.id


# The only mutation


async def test_a_session_that_can_read_tokens_regenerates_its_licenses(
    by: As, market: Market, secret: Caller
) -> None:
    session = by(await created(secret, "graph", market, scopes=["read", "read_tokens"]))
    license = market.atlas.of_ada

    first = (await session.data(REGENERATE, id=license.id))["regenerateLicense"]
    path = f"/apps/atlas/licenses/{license.id}/regenerate"
    second = (await session.rest("POST", path)).json()["data"]

    assert first["license"]["id"] == second["id"] == license.id
    assert len({"token.of.ada@atlas.example", first["license"]["token"], second["token"]}) == 3
    assert first["license"]["token"].count(".") == second["token"].count(".") == 2


async def test_a_session_regenerates_no_other_license(
    by: As, database: Database, market: Market, secret: Caller
) -> None:
    session = by(await created(secret, "graph", market, scopes=["read", "read_tokens"]))
    for stock, license in ((market.atlas, market.atlas.of_bob), (market.borealis, market.borealis.of_ada)):
        data = await session.data(REGENERATE, id=license.id)
        assert data["regenerateLicense"] == {
            "license": None,
            "userErrors": [{"code": "NOT_FOUND", "field": ["id"]}],
        }
        path = f"/apps/{stock.app.slug}/licenses/{license.id}/regenerate"
        assert error(await session.rest("POST", path))[:2] == (404, "not_found")
        token = (await secret.data("query($id: ID!) { license(id: $id) { token } }", id=license.id))[
            "license"
        ]
        assert token == {"token": f"token.of.{stock.bob.email if stock is market.atlas else stock.ada.email}"}


async def test_a_session_that_cannot_read_tokens_regenerates_nothing(
    by: As, market: Market, secret: Caller, app: Any, statements: Statements
) -> None:
    session = by(await created(secret, "graph", market))
    license = market.atlas.of_ada

    assert await session.code(REGENERATE, id=license.id) == "FORBIDDEN"
    response = await session.rest("POST", f"/apps/atlas/licenses/{license.id}/regenerate")
    assert error(response)[:2] == (403, "forbidden")


async def test_nothing_is_regenerated_if_the_selection_is_forbidden(
    by: As, market: Market, secret: Caller
) -> None:
    session = by(await created(secret, "graph", market, scopes=["read", "read_tokens"]))
    license = market.atlas.of_ada
    query = REGENERATE.replace("id token", "id app { customers { totalCount } }")

    assert await session.code(query, id=license.id) == "FORBIDDEN"

    shown = await secret.data("query($id: ID!) { license(id: $id) { token } }", id=license.id)
    assert shown == {"license": {"token": "token.of.ada@atlas.example"}}


# The end of a session


async def works(session: Caller) -> bool:
    graph = await session.post("{ viewer { customer { id } } }")
    rest = await session.rest("GET", "/apps")
    assert (graph.status_code, rest.status_code) in {(200, 403), (401, 401)}
    return graph.status_code == 200


async def test_a_session_ends_when_its_time_is_up(
    by: As, database: Database, market: Market, secret: Caller
) -> None:
    token = await created(secret, "graph", market)
    assert await works(by(token))

    await change(database, await key_id(database, token), expires_at=real_clock.now())

    assert not await works(by(token))


@pytest.mark.parametrize("end", ["revoked", "expired", "deleted", "rotated"])
async def test_a_session_ends_with_the_key_that_created_it(
    by: As, database: Database, market: Market, end: str
) -> None:
    token = await make_key(database, market.account)
    creator = await key_id(database, token)
    session = by(await created(by(token), "graph", market))
    assert await works(session)

    now = real_clock.now()
    match end:
        case "revoked":
            await change(database, creator, revoked_at=now)
        case "expired":
            await change(database, creator, expires_at=now)
        case "deleted":
            async with database.write() as write:
                await write.execute(keys.delete().where(keys.c.id == creator))
        case "rotated":  # the key stays valid, with another token
            await change(database, creator, digest="0" * 64)

    assert await works(session) is (end == "rotated")


@pytest.mark.parametrize("how", ["customer", "app"])
async def test_a_session_shows_nothing_after_its_customer_or_app_is_deleted(
    by: As, market: Market, secret: Caller, how: str
) -> None:
    session = by(await created(secret, "graph", market))
    assert await works(session)

    if how == "customer":
        await secret.rest("DELETE", f"/apps/atlas/customers/{market.atlas.ada.id}")
        assert not await works(session)
    else:  # the rows of a deleted app are removed later
        await secret.rest("DELETE", "/apps/atlas")
        data = await session.data(
            "query($id: ID!) { viewer { customer { id } } node(id: $id) { id } }", id=market.atlas.of_ada.id
        )
        assert data == {"viewer": {"customer": None}, "node": None}


async def test_a_customer_has_a_hundred_sessions_and_one_more_ends_the_oldest(
    by: As, database: Database, market: Market, secret: Caller
) -> None:
    ada = market.atlas.ada
    first, second, *_ = [
        await make_key(
            database,
            market.account,
            kind="session",
            customer=ada,
            created_by=await key_id(database, secret.token or ""),
        )
        for _ in range(98)
    ]
    of_bob = await make_key(database, market.account, kind="session", customer=market.atlas.bob)
    ended = await make_key(
        database, market.account, kind="session", customer=ada, expires_at=real_clock.now()
    )

    newest = [await created(secret, surface, market) for surface in ("graph", "rest")]

    for token in (first, second, *newest, of_bob):
        assert await works(by(token))
    newest.append(await created(secret, "graph", market))
    assert [await works(by(token)) for token in (first, second, *newest, of_bob)] == [False] + [True] * 5
    async with database.write() as session:
        left = select(func.count()).select_from(keys).where(keys.c.customer_id == ada.id)
        assert (await session.execute(left)).scalar_one() == 100
        of_ended = select(func.count()).select_from(keys).where(keys.c.digest == digest(ended))
        assert (await session.execute(of_ended)).scalar_one() == 0


async def test_concurrent_sessions_never_exceed_the_bound(
    by: As, database: Database, market: Market, secret: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.customer_sessions.MOST_LIVE", 3)

    tokens = await asyncio.gather(*(created(secret, "graph", market) for _ in range(12)))

    assert sum([await works(by(token)) for token in tokens]) == 3


# What needs no key can also be done with a session


async def test_a_session_verifies_like_anyone(by: As, market: Market, secret: Caller) -> None:
    session = by(await created(secret, "graph", market))
    query = """query($slug: String!, $id: UUID!) {
      verifyLicense(appSlug: $slug, by: {installationId: $id}) { valid } }"""

    for stock in (market.atlas, market.borealis, market.cirrus):
        id = stock.of_bob.installation_id
        assert (await session.data(query, slug=stock.app.slug, id=id))["verifyLicense"] == {"valid": True}
        path = f"/apps/{stock.app.slug}/licenses/verify?installation_id={id}"
        assert (await session.rest("GET", path)).status_code == 200
        assert (await session.rest("GET", f"/apps/{stock.app.slug}/public-key")).status_code == 200
