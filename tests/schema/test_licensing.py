"""Mutations of tiers, features, licenses and signing keys, and the tokens that the keys sign."""

from typing import Any

import jwt
import pytest

from db.engine import Database
from tests.factories import (
    Account,
    App,
    Customer,
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_license,
    make_tier,
)
from tests.resolvers.calling import everything
from tests.schema.conftest import Graph

ERRORS = "userErrors { code message field }"
PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


@pytest.fixture
async def ada(database: Database, atlas: App) -> Customer:
    return await make_customer(database, atlas)


async def errors(graph: Graph, mutation: str, input: Any) -> list[dict[str, Any]]:
    """Run a mutation, and return its userErrors, each with its code and field."""
    type_ = f"{mutation[0].upper()}{mutation[1:]}Input!"
    data = await graph.data(
        f"mutation($input: {type_}) {{ {mutation}(input: $input) {{ userErrors {{ code field }} }} }}",
        input=input,
    )
    found: list[dict[str, Any]] = data[mutation]["userErrors"]
    return found


def error(code: str, *field: str) -> dict[str, Any]:
    return {"code": code, "field": list(field) or None}


async def test_the_life_of_a_feature_and_a_tier(graph: Graph, atlas: App) -> None:
    features = [
        await graph.data(
            f"""mutation($slug: String!) {{ createFeature(input: {{
              appSlug: "atlas", slug: $slug, name: "Feature", description: "What it does"
            }}) {{ feature {{ id slug name description app {{ slug }} }} {ERRORS} }} }}""",
            slug=slug,
        )
        for slug in ("sso", "export")
    ]
    sso = features[0]["createFeature"]["feature"]
    assert features[0]["createFeature"] == {
        "feature": {
            "id": sso["id"],
            "slug": "sso",
            "name": "Feature",
            "description": "What it does",
            "app": {"slug": "atlas"},
        },
        "userErrors": [],
    }
    fields = f"tier {{ id slug name position features {{ slug }} app {{ slug }} }} {ERRORS}"
    created = (
        await graph.data(
            f"""mutation {{ createTier(input: {{
              appSlug: "atlas", slug: "team", name: "Team", features: ["sso", "export"]
            }}) {{ {fields} }} }}"""
        )
    )["createTier"]
    tier = created["tier"]
    assert created == {
        "tier": {
            "id": tier["id"],
            "slug": "team",
            "name": "Team",
            "position": 1,
            "features": [{"slug": "export"}, {"slug": "sso"}],
            "app": {"slug": "atlas"},
        },
        "userErrors": [],
    }

    updated = await graph.data(
        f"""mutation($t: ID!, $f: ID!) {{
          a: updateTier(input: {{id: $t, name: "Crew", position: -1}}) {{ {fields} }}
          b: updateTier(input: {{id: $t, features: ["sso"]}}) {{ {fields} }}
          c: updateFeature(input: {{id: $f, name: "SSO", description: null}}) {{
            feature {{ slug name description }} {ERRORS} }}
          d: updateTier(input: {{id: $t, features: null}}) {{ {fields} }}
        }}""",
        t=tier["id"],
        f=sso["id"],
    )
    crew = {**tier, "name": "Crew", "position": -1}
    assert updated == {
        "a": {"tier": crew, "userErrors": []},
        "b": {"tier": {**crew, "features": [{"slug": "sso"}]}, "userErrors": []},
        "c": {"feature": {"slug": "sso", "name": "SSO", "description": None}, "userErrors": []},
        "d": {"tier": {**crew, "features": []}, "userErrors": []},
    }

    deleted = await graph.data(
        f"""mutation($t: ID!, $f: ID!) {{
          deleteTier(input: {{id: $t}}) {{ deletedTierId {ERRORS} }}
          deleteFeature(input: {{id: $f}}) {{ deletedFeatureId {ERRORS} }}
        }}""",
        t=tier["id"],
        f=sso["id"],
    )
    assert deleted == {
        "deleteTier": {"deletedTierId": tier["id"], "userErrors": []},
        "deleteFeature": {"deletedFeatureId": sso["id"], "userErrors": []},
    }
    left = await graph.data(
        """{ app(slug: "atlas") {
          tiers { totalCount } tier(slug: "team") { id } features { nodes { slug } } } }"""
    )
    assert left["app"] == {
        "tiers": {"totalCount": 0},
        "features": {"nodes": [{"slug": "export"}]},
        "tier": None,
    }


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        ({}, []),
        ({"slug": "", "name": " "}, [error("BLANK", "slug"), error("BLANK", "name")]),
        ({"slug": "Team"}, [error("INVALID", "slug")]),
        ({"slug": "x" * 64, "name": "y" * 256}, [error("TOO_LONG", "slug"), error("TOO_LONG", "name")]),
        ({"appSlug": "nope"}, [error("NOT_FOUND", "appSlug")]),
        ({"appSlug": ""}, [error("BLANK", "appSlug")]),
        ({"features": ["nope"]}, [error("NOT_FOUND", "features")]),
        ({"slug": "taken"}, [error("TAKEN", "slug")]),
        # The database is queried only if the input is well-formed.
        ({"slug": "taken", "name": "", "features": ["nope"]}, [error("BLANK", "name")]),
    ],
)
async def test_user_errors_of_a_new_tier(
    graph: Graph, database: Database, atlas: App, input: Any, expected: Any
) -> None:
    await make_tier(database, atlas, slug="taken")
    before = await everything(database)

    given = {"appSlug": "atlas", "slug": "team", "name": "Team", **input}

    assert await errors(graph, "createTier", given) == expected
    assert (await everything(database) == before) is bool(expected)


@pytest.mark.parametrize(
    ("input", "expected"),
    [
        ({"slug": "taken"}, [error("TAKEN", "slug")]),
        (
            {"slug": "a-b", "description": "x" * 2_001},
            [error("INVALID", "slug"), error("TOO_LONG", "description")],
        ),
        ({"appSlug": "nope"}, [error("NOT_FOUND", "appSlug")]),
        ({"name": "a\x00b"}, [error("INVALID", "name")]),
    ],
)
async def test_user_errors_of_a_new_feature(
    graph: Graph, database: Database, atlas: App, input: Any, expected: Any
) -> None:
    await make_feature(database, atlas, slug="taken")
    before = await everything(database)

    given = {"appSlug": "atlas", "slug": "sso", "name": "SSO", **input}

    assert await errors(graph, "createFeature", given) == expected
    assert await everything(database) == before


async def test_slugs_of_tiers_and_features_cannot_be_updated(graph: Graph) -> None:
    for mutation in ("updateTier", "updateFeature"):
        code, message = await graph.refusal(
            f'mutation {{ {mutation}(input: {{id: "x", slug: "new"}}) {{ userErrors {{ code }} }} }}'
        )
        assert code == "GRAPHQL_VALIDATION_FAILED"
        assert "slug" in message


async def test_tiers_and_features_in_use_are_not_deleted(
    graph: Graph, database: Database, atlas: App, ada: Customer
) -> None:
    sso, export = [await make_feature(database, atlas, slug=slug) for slug in ("sso", "export")]
    tier = await make_tier(database, atlas, features=[sso])
    await make_license(database, ada, tier=tier, own_features=["export"])
    before = await everything(database)

    data = await graph.data(
        f"""mutation($t: ID!, $a: ID!, $b: ID!) {{
          t: deleteTier(input: {{id: $t}}) {{ deletedTierId {ERRORS} }}
          a: deleteFeature(input: {{id: $a}}) {{ deletedFeatureId {ERRORS} }}
          b: deleteFeature(input: {{id: $b}}) {{ deletedFeatureId {ERRORS} }}
        }}""",
        t=tier.id,
        a=sso.id,
        b=export.id,
    )

    by_license = {"code": "IN_USE", "message": "is in use by a license", "field": ["id"]}
    by_either = {**by_license, "message": "is in use by a tier or a license"}
    assert data == {
        "t": {"deletedTierId": None, "userErrors": [by_license]},
        "a": {"deletedFeatureId": None, "userErrors": [by_either]},
        "b": {"deletedFeatureId": None, "userErrors": [by_either]},
    }
    assert await everything(database) == before


@pytest.mark.parametrize("mutation", ["updateTier", "deleteTier", "updateFeature", "deleteFeature"])
async def test_tiers_and_features_of_another_account_are_not_found(
    graph: Graph, database: Database, mutation: str
) -> None:
    foreign = await make_app(database, await make_account(database))
    tier, feature = await make_tier(database, foreign), await make_feature(database, foreign)

    for id in (tier.id, feature.id, "nonsense"):
        assert await errors(graph, mutation, {"id": id}) == [error("NOT_FOUND", "id")]
    assert await errors(graph, mutation, {"id": ""}) == [error("BLANK", "id")]


async def test_a_license_with_a_tier_and_its_token(
    graph: Graph, database: Database, atlas: App, ada: Customer
) -> None:
    sso, _ = [await make_feature(database, atlas, slug=slug) for slug in ("sso", "export")]
    tier = await make_tier(database, atlas, slug="team", features=[sso])
    fields = "license { id token jti features status tier { slug } app { publicKeyPem } }"

    made = await graph.data(
        f"""mutation($c: ID!, $t: ID!) {{ createLicense(input: {{
          customerId: $c, tierId: $t, features: ["export", "sso"], installationId: "{PLACE}", durationDays: 9
        }}) {{ {fields} {ERRORS} }} }}""",
        c=ada.id,
        t=tier.id,
    )
    license = made["createLicense"]["license"]
    await graph.data(
        "mutation($t: ID!) { updateTier(input: {id: $t, features: []}) { tier { id } } }", t=tier.id
    )
    regenerated = await graph.data(
        f"""mutation($id: ID!) {{ regenerateLicense(input: {{id: $id}}) {{ {fields} {ERRORS} }} }}""",
        id=license["id"],
    )

    assert license["features"] == ["sso", "export"]
    assert license["tier"] == {"slug": "team"}
    claims = jwt.decode(
        license["token"], license["app"]["publicKeyPem"], algorithms=["EdDSA"], audience="atlas"
    )
    assert (claims["jti"], claims["lic_id"], claims["sub"]) == (license["jti"], license["id"], PLACE)
    assert (claims["tier"], claims["features"]) == ("team", ["sso", "export"])
    again = regenerated["regenerateLicense"]["license"]
    assert {**again, "token": "", "jti": ""} == {
        **license,
        "token": "",
        "jti": "",
        "features": ["export", "sso"],
    }
    assert again["token"] != license["token"]
    assert again["jti"] != license["jti"]


async def test_user_errors_of_licenses(
    graph: Graph, database: Database, account: Account, atlas: App, ada: Customer
) -> None:
    other = await make_tier(database, await make_app(database, account))
    term = {"customerId": ada.id, "forever": True}
    revoked = await make_license(database, ada, revoked_at=ada.created_at)
    expired = await make_license(database, ada, expires_at=ada.created_at)
    before = await everything(database)

    assert await errors(graph, "createLicense", {**term, "tierId": other.id, "features": ["nope"]}) == [
        error("NOT_FOUND", "tierId"),
        error("NOT_FOUND", "features"),
    ]
    # The database is queried only if the input is well-formed.
    assert await errors(graph, "createLicense", {**term, "tierId": "nope", "durationDays": 0}) == [
        error("INVALID", "durationDays"),
        error("INVALID"),
    ]
    for license in (revoked, expired):
        assert await errors(graph, "regenerateLicense", {"id": license.id}) == [error("WRONG_STATE", "id")]
    assert await errors(graph, "regenerateLicense", {"id": "lic_nope"}) == [error("NOT_FOUND", "id")]
    assert await errors(graph, "rotateAppKeys", {"appSlug": "nope"}) == [error("NOT_FOUND", "appSlug")]
    assert await everything(database) == before


async def test_an_app_s_keys_are_rotated(graph: Graph, database: Database, atlas: App, ada: Customer) -> None:
    for _ in range(3):
        await graph.data(
            "mutation($c: ID!) { createLicense(input: {customerId: $c, forever: true}) { license { id } } }",
            c=ada.id,
        )
    query = '{ app(slug: "atlas") { publicKeyPem licenses { nodes { id token jti features } } } }'
    before = (await graph.data(query))["app"]

    rotated = await graph.data(
        f"""mutation {{ rotateAppKeys(input: {{appSlug: "atlas"}}) {{
          app {{ publicKeyPem signingAlgorithm }} licensesResigned {ERRORS} }} }}"""
    )

    after = (await graph.data(query))["app"]
    assert rotated["rotateAppKeys"] == {
        "app": {"publicKeyPem": after["publicKeyPem"], "signingAlgorithm": "EDDSA"},
        "licensesResigned": 3,
        "userErrors": [],
    }
    assert after["publicKeyPem"] != before["publicKeyPem"]
    for old, new in zip(before["licenses"]["nodes"], after["licenses"]["nodes"], strict=True):
        assert (old["id"], old["features"]) == (new["id"], new["features"])
        assert old["jti"] != new["jti"]
        jwt.decode(new["token"], after["publicKeyPem"], algorithms=["EdDSA"], audience="atlas")
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(old["token"], after["publicKeyPem"], algorithms=["EdDSA"], audience="atlas")


@pytest.mark.parametrize("algorithm", ["RS256", "EDDSA"])
async def test_an_app_s_algorithm_is_chosen_when_it_is_created(graph: Graph, algorithm: str) -> None:
    data = await graph.data(
        """mutation($a: SigningAlgorithm!) {
          a: createApp(input: {name: "A", slug: "a", signingAlgorithm: $a}) {
            app { signingAlgorithm publicKeyPem } }
          b: createApp(input: {name: "B", slug: "b"}) { app { signingAlgorithm } }
        }""",
        a=algorithm,
    )

    assert data["a"]["app"]["signingAlgorithm"] == algorithm
    assert data["a"]["app"]["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert data["b"]["app"]["signingAlgorithm"] == "RS256"
