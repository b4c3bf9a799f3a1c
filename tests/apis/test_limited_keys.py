"""Keys that are limited to some apps: no other app exists for them."""

from collections.abc import Mapping
from typing import Any

import pytest

from db.engine import Database
from tests.apis.market import As, Caller, Market, Stock
from tests.factories import make_key
from tests.keyrings import SETTINGS
from tests.rest.expecting import error

EXCHANGE = "mutation($t: String!) { regenerateLicense(input: {currentToken: $t}) { %s } }"
VERIFY = """query($slug: String!, $installation: UUID!, $jti: String!, $token: String!) {
  a: verifyLicense(appSlug: $slug, by: {installationId: $installation}) { valid }
  b: verifyLicense(appSlug: $slug, by: {jti: $jti}) { valid }
  c: verifyLicense(appSlug: $slug, by: {token: $token}) { reason }
  d: verifyLicenses(appSlug: $slug, by: {jtis: [$jti]}) { valid }
  e: verifyLicenses(appSlug: $slug, by: {installationIds: [$installation]}) { valid } }"""


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "batch_limit_per_minute": 0}


@pytest.fixture
async def limited(by: As, database: Database, market: Market) -> Caller:
    """A secret key that is limited to the app `atlas`."""
    return by(await make_key(database, market.account, apps=[market.atlas.app]))


async def test_totals_and_pages_only_count_apps_of_the_key(
    by: As, database: Database, market: Market, limited: Caller, secret: Caller
) -> None:
    query = """query($after: String, $before: String) {
      apps(first: 1, after: $after, orderBy: {field: NAME}) {
        totalCount pageInfo { hasNextPage hasPreviousPage endCursor } nodes { slug } }
      back: apps(last: 5, before: $before, orderBy: {field: NAME}) { nodes { slug } } }"""

    first = await limited.data(query)
    assert first["apps"]["totalCount"] == 1
    assert [each["slug"] for each in first["apps"]["nodes"]] == ["atlas"]
    assert not first["apps"]["pageInfo"]["hasNextPage"]
    # A cursor that was returned for another key can be used: it only marks a place in the order.
    all_apps = await secret.data("{ apps(orderBy: {field: NAME}) { edges { cursor node { slug } } } }")
    cursors = {each["node"]["slug"]: each["cursor"] for each in all_apps["apps"]["edges"]}
    assert sorted(cursors) == ["atlas", "borealis"]
    beyond = await limited.data(query, after=cursors["atlas"], before=cursors["borealis"])
    assert (beyond["apps"]["nodes"], beyond["apps"]["totalCount"]) == ([], 1)
    assert beyond["back"] == {"nodes": [{"slug": "atlas"}]}
    none = by(await make_key(database, market.account, apps=[]))
    assert (await none.data(query))["apps"]["totalCount"] == 0
    assert (await none.rest("GET", "/apps")).json()["meta"]["total"] == 0


async def test_a_limited_key_creates_no_app(by: As, market: Market, limited: Caller) -> None:
    message = "This key is limited to some apps, so it cannot create apps."
    for slug in ("new", "borealis", "cirrus", "-"):
        answer = (
            await limited.post(
                f'mutation {{ createApp(input: {{slug: "{slug}", name: "N"}}) {{ userErrors {{ code }} }} }}'
            )
        ).json()
        (refusal,) = answer["errors"]
        assert (refusal["extensions"]["code"], refusal["message"]) == ("FORBIDDEN", message)
        assert answer["data"] == {"createApp": None}
        response = await limited.rest("POST", "/apps", {"slug": slug, "name": "N"})
        assert error(response)[:2] == (403, "forbidden")
        assert response.json()["error"]["message"] == message
    # The key is checked before the body is looked at.
    assert (await limited.rest("POST", "/apps", [])).status_code == 403


async def test_only_values_in_the_same_app_are_taken(market: Market, limited: Caller) -> None:
    create = """mutation($slug: String!, $email: String!) {
      createCustomer(input: {appSlug: $slug, email: $email}) {
        customer { email } userErrors { code field existingId } } }"""
    email = market.borealis.ada.email

    elsewhere = await limited.data(create, slug="borealis", email=email)
    here = await limited.data(create, slug="atlas", email=email)
    taken = await limited.data(create, slug="atlas", email=market.atlas.ada.email)

    assert elsewhere["createCustomer"] == {
        "customer": None,
        "userErrors": [{"code": "NOT_FOUND", "field": ["appSlug"], "existingId": None}],
    }
    assert here["createCustomer"] == {"customer": {"email": email}, "userErrors": []}
    assert taken["createCustomer"]["userErrors"] == [
        {"code": "TAKEN", "field": ["email"], "existingId": market.atlas.ada.id}
    ]


async def test_a_license_cannot_have_a_tier_or_feature_of_another_app(
    market: Market, limited: Caller
) -> None:
    data = await limited.data(
        """mutation($customer: ID!, $tier: ID!, $feature: String!) { createLicense(input: {
          customerId: $customer, tierId: $tier, features: [$feature], forever: true}) {
            userErrors { code field } } }""",
        customer=market.atlas.ada.id,
        tier=market.borealis.tier.id,
        feature=market.borealis.feature.slug,
    )

    assert {each["code"] for each in data["createLicense"]["userErrors"]} == {"NOT_FOUND"}


async def verified(caller: Caller, stock: Stock) -> Any:
    values = {name: stock.values()[name] for name in ("slug", "installation", "jti", "token")}
    return await caller.data(VERIFY, **values)


async def test_verification_is_limited_to_the_apps_of_the_key(
    by: As, market: Market, limited: Caller, secret: Caller
) -> None:
    found = {
        **{key: {"valid": True} for key in "ab"},
        "c": {"reason": "MALFORMED_TOKEN"},
        **{key: [{"valid": True}] for key in "de"},
    }
    for stock in (market.atlas, market.borealis, market.cirrus):
        is_own = stock is market.atlas
        assert await verified(by(None), stock) == await verified(secret, stock) == found
        assert await verified(limited, stock) == (found if is_own else dict.fromkeys("abcde"))
        path = f"/apps/{stock.app.slug}/licenses/verify"
        by_jti = await limited.rest("GET", f"{path}?jti={stock.of_ada.jti}")
        batch = await limited.rest("POST", f"{path}/batch", {"jtis": [stock.of_ada.jti]})
        assert [by_jti.status_code, batch.status_code] == ([200] * 2 if is_own else [404] * 2)


@pytest.mark.parametrize("own", [True, False])
async def test_a_token_is_exchanged_with_the_scopes_of_the_key_if_it_reaches_the_app(
    market: Market, limited: Caller, secret: Caller, *, own: bool
) -> None:
    stock = market.atlas if own else market.borealis
    made = await secret.data(
        "mutation($id: ID!) { regenerateLicense(input: {id: $id}) { license { token } } }", id=stock.of_ada.id
    )
    token = made["regenerateLicense"]["license"]["token"]

    alone = await limited.data(EXCHANGE % "license { id token }", t=token)
    assert alone["regenerateLicense"]["license"]["id"] == stock.of_ada.id
    assert alone["regenerateLicense"]["license"]["token"].count(".") == 2
    query = EXCHANGE % "license { app { slug } customer { email } }"
    if own:
        beyond = await limited.data(query, t=token)
        assert beyond["regenerateLicense"]["license"] == {
            "app": {"slug": "atlas"},
            "customer": {"email": "ada@atlas.example"},
        }
    else:
        assert await limited.code(query, t=token) == "FORBIDDEN"


async def test_a_session_exchanges_a_token_like_anyone(
    by: As, database: Database, market: Market, secret: Caller
) -> None:
    session = by(await make_key(database, market.account, kind="session", customer=market.atlas.ada))
    made = await secret.data(
        "mutation($id: ID!) { regenerateLicense(input: {id: $id}) { license { token } } }",
        id=market.atlas.of_bob.id,
    )
    token = made["regenerateLicense"]["license"]["token"]

    data = await session.data(EXCHANGE % "license { id }", t=token)
    assert data["regenerateLicense"]["license"] == {"id": market.atlas.of_bob.id}
    assert await session.code(EXCHANGE % "license { customer { email } }", t=token) == "FORBIDDEN"
