"""Which documents run without a key, and what the holder of a license's token may read."""

from dataclasses import dataclass
from typing import Any

import pytest
from starlette.applications import Starlette

from db import clock
from db.engine import Database
from tests.factories import (
    Account,
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_tier,
)
from tests.resolvers.calling import everything
from tests.schema.conftest import Graph
from tests.statements import Statements

OWN = """id installationId status expiresAt revokedAt revokedReason features jti token metadata createdAt
  updatedAt tier { id slug name position createdAt features { id slug name description createdAt } }"""
RENEW = "mutation($t: String!) { regenerateLicense(input: {currentToken: $t}) { %s } }"
BEYOND = {
    "the app": "license { app { slug } }",
    "the customer": "license { customer { email } }",
    "the app of the tier": "license { tier { app { slug } } }",
    "licenses of the tier": "license { tier { licenses { totalCount } } }",
    "the app of a feature": "license { tier { features { app { slug } } } }",
    "by another name": "a: license { id } b: license { jti tier { a: app { id } } }",
    "by a fragment": "...P } } fragment P on RegenerateLicensePayload { license { ...L } } "
    "fragment L on License { customer { id ",
    "as a Node": "license { ... on Node { ... on License { app { id } } } }",
}


@dataclass(frozen=True)
class Held:
    """What the holder of a license's token knows about the license."""

    id: str
    token: str
    jti: str
    installation_id: str


@pytest.fixture
async def nobody(graph: Graph) -> Graph:
    """A client without a key."""
    return graph.with_token(None)


@pytest.fixture
async def held(graph: Graph, database: Database, account: Account) -> Held:
    app = await make_app(database, account, slug="atlas")
    tier = await make_tier(
        database, app, slug="team", features=[await make_feature(database, app, slug="sso")]
    )
    customer = await make_customer(database, app, email="ada@example.com")
    made = await graph.data(
        """mutation($c: ID!, $t: ID!) { createLicense(input: {customerId: $c, tierId: $t, durationDays: 9}) {
          license { id token jti installationId } } }""",
        c=customer.id,
        t=tier.id,
    )
    license = made["createLicense"]["license"]
    return Held(license["id"], license["token"], license["jti"], license["installationId"])


async def refused_whole(graph: Graph, database: Database, query: str, **variables: Any) -> None:
    """Check that a document is refused and writes nothing, both when it is new and once it is prepared."""
    before = await everything(database)
    for _ in range(2):
        response = await graph.post(query, variables)
        assert response.status_code == 401, response.text
        assert response.headers["WWW-Authenticate"] == "Bearer"
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
        assert "data" not in response.json()
    assert await everything(database) == before


async def test_open_documents_run_without_a_key(nobody: Graph, held: Held) -> None:
    query = """query($i: UUID!, $j: String!, $t: String!) {
      __typename
      __schema { queryType { name } }
      a: verifyLicense(appSlug: "atlas", by: {installationId: $i}) { reason }
      b: verifyLicense(appSlug: "atlas", by: {jti: $j}) { reason }
      c: verifyLicense(appSlug: "atlas", by: {token: $t}) { reason }
      d: verifyLicenses(appSlug: "atlas", by: {jtis: [$j]}) { reason }
    }"""

    for _ in range(2):
        data = await nobody.data(query, i=held.installation_id, j=held.jti, t=held.token)
        assert data == {
            "__typename": "Query",
            "__schema": {"queryType": {"name": "Query"}},
            **{key: {"reason": "VALID"} for key in "abc"},
            "d": [{"reason": "VALID"}],
        }


@pytest.mark.parametrize(
    "closed",
    [
        'app(slug: "atlas") { id }',
        "apps { totalCount }",
        "viewer { scopes }",
        "...Q } fragment Q on Query { me: viewer { __typename }",
        'node(id: "x") { id }',
        'license(id: "lic_01h455vb4pex5vsknk084sn02q") { id }',
    ],
)
async def test_one_field_that_needs_a_key_closes_the_document(
    nobody: Graph, database: Database, held: Held, closed: str
) -> None:
    query = f'query($j: String!) {{ verifyLicense(appSlug: "atlas", by: {{jti: $j}}) {{ valid }} {closed} }}'

    await refused_whole(nobody, database, query, j=held.jti)


async def test_a_bad_key_refuses_open_documents_too(
    graph: Graph, database: Database, account: Account, held: Held
) -> None:
    revoked = await make_key(database, account, revoked_at=clock.now())
    for token in ("nonsense", "sk_live_" + "0" * 32, revoked):
        bad = graph.with_token(token)
        await refused_whole(bad, database, "{ __typename }")
        await refused_whole(bad, database, '{ verifyLicense(appSlug: "atlas", by: {jti: "x"}) { valid } }')
        await refused_whole(bad, database, RENEW % "license { id }", t=held.token)


# Getting a new token without a key


@pytest.mark.parametrize("literal", [True, False])
async def test_the_holder_of_the_token_regenerates_the_license(
    nobody: Graph, graph: Graph, held: Held, literal: bool
) -> None:
    query = RENEW % f"license {{ {OWN} }} userErrors {{ code }}"
    variables = {"t": held.token}
    if literal:
        query, variables = query.replace("($t: String!)", "").replace("$t", f'"{held.token}"'), {}

    first = (await nobody.data(query, **variables))["regenerateLicense"]
    again = (await nobody.data(query, **variables))["regenerateLicense"]

    assert first["userErrors"] == again["userErrors"] == []
    assert len({held.token, first["license"]["token"], again["license"]["token"]}) == 3
    assert len({held.jti, first["license"]["jti"], again["license"]["jti"]}) == 3
    shown = await graph.data(f"query($id: ID!) {{ license(id: $id) {{ {OWN} }} }}", id=held.id)
    assert again["license"] == shown["license"]
    assert again["license"]["id"] == held.id
    assert again["license"]["tier"]["features"][0]["slug"] == "sso"


async def test_the_whole_input_may_be_a_variable(nobody: Graph, database: Database, held: Held) -> None:
    query = """mutation($i: RegenerateLicenseInput!) { regenerateLicense(input: $i) {
      license { id } userErrors { code } } }"""

    # The document is the same, but the values of its variables decide whether it needs a key.
    for _ in range(2):
        data = await nobody.data(query, i={"currentToken": held.token})
        assert data == {"regenerateLicense": {"license": {"id": held.id}, "userErrors": []}}
        await refused_whole(nobody, database, query, i={"id": held.id})


@pytest.mark.parametrize("input", ["{id: $id}", '{id: "lic_x"}'])
async def test_regenerating_by_id_needs_a_key(
    nobody: Graph, database: Database, held: Held, input: str
) -> None:
    query = f"mutation($id: ID!) {{ regenerateLicense(input: {input}) {{ license {{ id }} }} }}"
    if "$id" not in input:
        query = query.replace("($id: ID!)", "")

    await refused_whole(nobody, database, query, id=held.id)


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("literal", [True, False])
async def test_without_a_key_only_the_license_can_be_selected(
    nobody: Graph, database: Database, held: Held, beyond: str, literal: bool
) -> None:
    query, variables = RENEW % BEYOND[beyond], {"t": held.token}
    if literal:
        query, variables = query.replace("($t: String!)", "").replace("$t", f'"{held.token}"'), {}

    await refused_whole(nobody, database, query, **variables)


async def test_skipped_fields_need_no_key(nobody: Graph, database: Database, held: Held) -> None:
    query = """mutation($t: String!, $all: Boolean!) { regenerateLicense(input: {currentToken: $t}) {
      license { id app @include(if: $all) { slug } } } }"""

    for _ in range(2):
        data = await nobody.data(query, t=held.token, all=False)
        assert data == {"regenerateLicense": {"license": {"id": held.id}}}
        await refused_whole(nobody, database, query, t=held.token, all=True)


async def test_other_mutations_in_the_document_need_a_key(
    nobody: Graph, database: Database, held: Held
) -> None:
    query = RENEW.replace("($t: String!)", "($t: String!, $id: ID!)") % "license { id }"
    query = query[:-1] + " revokeLicense(input: {id: $id}) { license { id } } }"

    await refused_whole(nobody, database, query, t=held.token, id=held.id)


@pytest.mark.parametrize("key", ["none", "secret", "public", "another account's"])
async def test_an_invalid_token_regenerates_nothing(
    graph: Graph, database: Database, account: Account, held: Held, key: str
) -> None:
    asking = graph.with_token(await _key(database, account, key))
    before = await everything(database)

    for token in ("", "nonsense", held.token[:-3], f"{held.token}.x"):
        response = await asking.post(RENEW % "license { id } userErrors { code }", {"t": token})
        answer = response.json()
        assert response.status_code == 200
        assert answer["data"] == {"regenerateLicense": None}
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
    assert await everything(database) == before


@pytest.mark.parametrize("key", ["secret", "public", "another account's", "another account's public"])
async def test_with_any_key_the_token_is_shown_to_the_holder_of_a_token(
    graph: Graph, database: Database, account: Account, held: Held, key: str
) -> None:
    asking = graph.with_token(await _key(database, account, key))

    data = await asking.data(RENEW % f"license {{ {OWN} }} userErrors {{ code }}", t=held.token)

    license = data["regenerateLicense"]["license"]
    assert license["id"] == held.id
    assert license["token"].count(".") == 2
    assert license["token"] != held.token


@pytest.mark.parametrize("key", ["secret", "public"])
async def test_a_key_of_the_account_sees_everything_its_scopes_allow(
    graph: Graph, database: Database, account: Account, held: Held, key: str
) -> None:
    asking = graph.with_token(await _key(database, account, key))

    data = await asking.data(RENEW % "license { app { slug } customer { email } }", t=held.token)

    assert data["regenerateLicense"]["license"] == {
        "app": {"slug": "atlas"},
        "customer": {"email": "ada@example.com"},
    }


async def test_the_token_of_one_license_shows_no_tokens_of_others(
    graph: Graph, database: Database, account: Account, held: Held
) -> None:
    asking = graph.with_token(await _key(database, account, "public"))

    query = (
        "license { token app { slug } } again: license { app { licenses { nodes { token } } } } "
        "tier: license { token tier { licenses { nodes { token } } } }"
    )
    data = await asking.data(RENEW % query, t=held.token)

    answer = data["regenerateLicense"]
    assert answer["license"]["token"].count(".") == 2
    assert answer["again"] == {"app": {"licenses": {"nodes": [{"token": None}]}}}
    assert answer["tier"] == {"token": None, "tier": {"licenses": {"nodes": [{"token": None}]}}}


@pytest.mark.parametrize("beyond", BEYOND)
@pytest.mark.parametrize("key", ["another account's", "another account's public"])
async def test_a_key_of_another_account_sees_only_the_license(
    graph: Graph, database: Database, account: Account, held: Held, beyond: str, key: str
) -> None:
    asking = graph.with_token(await _key(database, account, key))
    before = await everything(database)

    for _ in range(2):
        response = await asking.post(RENEW % BEYOND[beyond], {"t": held.token})
        assert response.status_code == 200
        assert response.json()["data"] == {"regenerateLicense": None}
        (error,) = response.json()["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"
    assert await everything(database) == before


async def test_a_public_key_does_not_regenerate_by_id(
    graph: Graph, database: Database, account: Account, held: Held
) -> None:
    asking = graph.with_token(await _key(database, account, "public"))
    before = await everything(database)

    code, _ = await asking.refusal(
        "mutation($id: ID!) { regenerateLicense(input: {id: $id}) { license { id } } }", id=held.id
    )

    assert code == "FORBIDDEN"
    assert await everything(database) == before


async def test_tokens_are_only_shown_to_secret_keys(
    graph: Graph, database: Database, account: Account, held: Held
) -> None:
    public = graph.with_token(await _key(database, account, "public"))
    query = """query($id: ID!) {
      license(id: $id) { token jti }
      node(id: $id) { ... on License { token } }
      app(slug: "atlas") { licenses { nodes { token } }
        customers { nodes { licenses { edges { node { token } } } } }
        tier(slug: "team") { licenses { nodes { token } } } }
    }"""

    for asking, token in ((graph, held.token), (public, None), (graph, held.token)):
        alone = {"token": token}
        assert await asking.data(query, id=held.id) == {
            "license": {"token": token, "jti": held.jti},
            "node": alone,
            "app": {
                "licenses": {"nodes": [alone]},
                "customers": {"nodes": [{"licenses": {"edges": [{"node": alone}]}}]},
                "tier": {"licenses": {"nodes": [alone]}},
            },
        }


async def test_a_refused_document_runs_no_statement(
    nobody: Graph, app: Starlette, statements: Statements, held: Held
) -> None:
    with statements.recorded(app.state.database) as sent:
        response = await nobody.post(RENEW % BEYOND["the app"], {"t": held.token})

    assert response.status_code == 401
    assert sent == []


async def _key(database: Database, account: Account, kind: str) -> str | None:
    match kind:
        case "none":
            return None
        case "secret" | "public":
            return await make_key(database, account, kind=kind)
        case _:
            kind = "public" if kind.endswith("public") else "secret"
            return await make_key(database, await make_account(database), kind=kind)
