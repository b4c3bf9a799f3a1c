"""verifyLicense and verifyLicenses without a key: the format of the responses, and what is refused."""

from typing import Any

import pytest
from starlette.applications import Starlette

from db import clock
from db.engine import Database
from tests.factories import (
    Account,
    App,
    License,
    make_app,
    make_customer,
    make_feature,
    make_license,
    make_tier,
)
from tests.schema.conftest import Graph
from tests.statements import Statements, assert_one

ALL = "valid reason since status installationId tier features expiresAt"
EXPIRED_AT = "2025-12-31T00:00:00Z"
PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
NOWHERE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


@pytest.fixture
async def expired(database: Database, atlas: App) -> License:
    tier = await make_tier(
        database, atlas, slug="team", features=[await make_feature(database, atlas, slug="sso")]
    )
    return await make_license(
        database,
        await make_customer(database, atlas, email="ada@example.com", name="Ada"),
        installation_id=PLACE,
        expires_at=clock.from_text(EXPIRED_AT),
        tier=tier,
        own_features=["beta_api"],
    )


@pytest.fixture
def nobody(graph: Graph) -> Graph:
    """A client without a key."""
    return graph.with_token(None)


async def test_every_field_of_a_verification(nobody: Graph, expired: License) -> None:
    data = await nobody.data(
        f"""query($i: UUID!, $j: String!) {{
          __typename
          one: verifyLicense(appSlug: "atlas", by: {{installationId: $i}}) {{ {ALL} }}
          two: verifyLicense(appSlug: "atlas", by: {{jti: $j}}) {{ a: since ...V b: since __typename }}
          none: verifyLicense(appSlug: "atlas", by: {{jti: "none"}}) {{ {ALL} }}
          token: verifyLicense(appSlug: "atlas", by: {{token: "none"}}) {{ {ALL} }}
          unknown: verifyLicense(appSlug: "unknown", by: {{jti: $j}}) {{ {ALL} }}
          many: verifyLicenses(appSlug: "unknown", by: {{jtis: [$j]}}) {{ {ALL} }}
        }}
        fragment V on LicenseVerification {{ reason @skip(if: true) valid }}""",
        i=PLACE.upper(),
        j=expired.jti,
    )

    nothing = {"since": None, "status": None, "installationId": None, "tier": None}
    assert data == {
        "__typename": "Query",
        "one": {
            "valid": False,
            "reason": "EXPIRED",
            "since": EXPIRED_AT,
            "status": "EXPIRED",
            "installationId": PLACE,
            "tier": "team",
            "features": ["sso", "beta_api"],
            "expiresAt": EXPIRED_AT,
        },
        "two": {"a": EXPIRED_AT, "valid": False, "b": EXPIRED_AT, "__typename": "LicenseVerification"},
        "none": {"valid": False, "reason": "NOT_FOUND", **nothing, "features": [], "expiresAt": None},
        "token": {"valid": False, "reason": "MALFORMED_TOKEN", **nothing, "features": [], "expiresAt": None},
        "unknown": None,
        "many": None,
    }
    assert list(data["two"]) == ["a", "valid", "b", "__typename"]
    assert "ada" not in str(data).lower()


async def test_several_results_are_in_the_order_of_their_proofs(nobody: Graph, expired: License) -> None:
    data = await nobody.data(
        f"""query($i: [UUID!]!, $j: [String!]!) {{
          a: verifyLicenses(appSlug: "atlas", by: {{installationIds: $i}}) {{ reason installationId }}
          b: verifyLicenses(appSlug: "atlas", by: {{jtis: $j}}) {{ reason }}
          c: verifyLicenses(appSlug: "atlas", by: {{installationIds: "{PLACE}"}}) {{ reason }}
          d: verifyLicenses(appSlug: "atlas", by: {{jtis: []}}) {{ reason }}
        }}""",
        i=[NOWHERE, PLACE, PLACE.upper(), NOWHERE],
        j=["", expired.jti, "none"],
    )

    there = {"reason": "EXPIRED", "installationId": PLACE}
    nowhere = {"reason": "NOT_FOUND", "installationId": None}
    assert data == {
        "a": [nowhere, there, there, nowhere],
        "b": [{"reason": "NOT_FOUND"}, {"reason": "EXPIRED"}, {"reason": "NOT_FOUND"}],
        "c": [{"reason": "EXPIRED"}],
        "d": [],
    }


@pytest.mark.parametrize(
    "by",
    [
        "{}",
        '{jti: "a", token: "b"}',
        "{jti: null}",
        f'{{installationId: "{PLACE}x"}}',
        '{installationId: ""}',
        "{installationId: 7}",
        '{customer: "a"}',
    ],
)
async def test_an_invalid_proof(nobody: Graph, expired: License, by: str) -> None:
    answer = (await nobody.post(f'{{ verifyLicense(appSlug: "atlas", by: {by}) {{ valid }} }}')).json()

    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"GRAPHQL_VALIDATION_FAILED"}


@pytest.mark.parametrize(
    "by",
    [
        {},
        {"jti": "a", "token": "b"},
        {"jti": None},
        {"installationId": f"{PLACE}x"},
        {"installationId": None, "jti": "x"},
    ],
)
async def test_an_invalid_proof_in_a_variable(nobody: Graph, expired: License, by: Any) -> None:
    query = 'query($by: LicenseProof!) { verifyLicense(appSlug: "atlas", by: $by) { valid } }'

    answer = (await nobody.post(query, {"by": by})).json()

    assert "data" not in answer
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}


@pytest.mark.parametrize(
    ("by", "argument"),
    [
        ({"jtis": ["x"] * 101}, "jtis"),
        ({"installationIds": [NOWHERE] * 101}, "installationIds"),
        ({"jtis": ["x"], "installationIds": [NOWHERE]}, None),
        ({"installationIds": [NOWHERE, "x"]}, None),
        ({"jtis": [None]}, None),
        ({"jtis": None}, None),
        ({}, None),
    ],
)
async def test_invalid_proofs_run_no_statement(
    nobody: Graph, app: Starlette, statements: Statements, atlas: App, by: Any, argument: str | None
) -> None:
    query = 'query($by: LicenseProofs!) { verifyLicenses(appSlug: "atlas", by: $by) { valid } }'

    with statements.recorded(app.state.database) as sent:
        for _ in range(2):
            (error,) = (await nobody.post(query, {"by": by})).json()["errors"]
            assert error["extensions"]["code"] == "BAD_USER_INPUT"
            assert error["extensions"].get("argument") == argument

    assert sent == []
    assert len((await nobody.data(query, by={"jtis": ["x"] * 100}))["verifyLicenses"]) == 100


async def test_each_field_is_one_statement(
    nobody: Graph, app: Starlette, database: Database, atlas: App, statements: Statements
) -> None:
    customer = await make_customer(database, atlas)
    made = [await make_license(database, customer) for _ in range(100)]
    asked = {
        "installationIds": [each.installation_id for each in made],
        "jtis": [each.jti for each in made],
    }
    for name, values in asked.items():
        query = f'query($by: LicenseProofs!) {{ verifyLicenses(appSlug: "atlas", by: $by) {{ {ALL} }} }}'
        await nobody.data(query, by={name: values})
        with statements.recorded(app.state.database) as sent:
            data = await nobody.data(query, by={name: values})

        assert_one(sent)
        found = data["verifyLicenses"]
        assert [each["installationId"] for each in found] == asked["installationIds"]
        assert {each["reason"] for each in found} == {"VALID"}
    for by in ({"jti": made[0].jti}, {"installationId": made[0].installation_id}, {"token": "a.b.c"}):
        query = f'query($by: LicenseProof!) {{ verifyLicense(appSlug: "atlas", by: $by) {{ {ALL} }} }}'
        await nobody.data(query, by=by)
        with statements.recorded(app.state.database) as sent:
            await nobody.data(query, by=by)
        assert_one(sent)


async def test_responses_must_not_be_cached(nobody: Graph, expired: License) -> None:
    query = f'{{ verifyLicense(appSlug: "atlas", by: {{jti: "{expired.jti}"}}) {{ valid }} }}'

    posted = await nobody.post(query)
    got = await nobody.client.get("/graphql", params={"query": query})

    for response in (posted, got):
        assert response.json()["data"] == {"verifyLicense": {"valid": False}}
        assert response.headers["cache-control"] == "no-store"
