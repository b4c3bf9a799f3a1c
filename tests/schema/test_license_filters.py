"""License filters by tier and by feature use an index, no matter how many licenses there are."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from db.engine import Database
from tests.factories import (
    Account,
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_license,
    make_tier,
)
from tests.schema.conftest import UNLIMITED_COST, Graph
from tests.schema.plans import analyze, described, faults
from tests.statements import Statements

FOUND = """query($feature: String, $status: LicenseStatus) { app(slug: "atlas") {
  page: licenses(first: 100, filter: {feature: $feature, status: $status}) { nodes { id } }
  counted: licenses(first: 1, filter: {feature: $feature, status: $status}) { totalCount nodes { id } }
  customers { nodes { licenses(filter: {feature: $feature, status: $status}) { totalCount } } }
  tiers { nodes { licenses(filter: {feature: $feature, status: $status}) { totalCount } } }
} }"""


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings without a limit on cost, because filters have a high cost."""
    return UNLIMITED_COST


async def found(graph: Graph, feature: str, **variables: Any) -> list[str]:
    """Return the ids of the licenses with a feature, and check that all ways to find them agree."""
    app = (await graph.data(FOUND, feature=feature, **variables))["app"]
    ids = [node["id"] for node in app["page"]["nodes"]]
    assert app["counted"]["totalCount"] == len(ids)
    assert [node["id"] for node in app["counted"]["nodes"]] == ids[:1]
    assert sum(node["licenses"]["totalCount"] for node in app["customers"]["nodes"]) == len(ids)
    assert sum(node["licenses"]["totalCount"] for node in app["tiers"]["nodes"]) == len(ids)
    return ids


@pytest.mark.usefixtures("walked")
async def test_the_index_of_features_follows_every_change(
    graph: Graph, database: Database, account: Account
) -> None:
    others = await make_account(database)
    for owner, slug in ((others, "foreign"), (account, "other")):
        other = await make_app(database, owner, slug=slug)
        sso = await make_feature(database, other, slug="sso")
        tier = await make_tier(database, other, slug="team", features=[sso])
        await make_license(database, await make_customer(database, other), tier=tier, own_features=["sso"])
    atlas = await make_app(database, account, slug="atlas")
    tier = await make_tier(database, atlas, slug="team")
    customer = await make_customer(database, atlas)
    first = await make_license(database, customer, tier=tier, own_features=["sso"])
    second = await make_license(database, customer, tier=tier, own_features=["sso", "export"])
    await make_license(database, customer, tier=tier)

    assert await found(graph, "sso") == [second.id, first.id]
    assert await found(graph, "export") == [second.id]
    assert await found(graph, "sso", status="REVOKED") == []
    for nothing in ("SSO", "ss", "so", '"sso"', "sso,export", "[]", "", "ßß", "no such"):
        assert await found(graph, nothing) == ([] if nothing else await found(graph, ""))

    async with database.write() as session:
        changed = "UPDATE licenses SET features = '[\"export\"]' WHERE id = :id"
        await session.execute(text(changed), {"id": first.id})
    assert await found(graph, "sso") == [second.id]
    assert await found(graph, "export") == [second.id, first.id]

    await graph.data(
        "mutation($id: ID!) { deleteLicense(input: {id: $id}) { deletedLicenseId } }", id=second.id
    )
    assert await found(graph, "export") == [first.id]
    if database.is_sqlite:
        async with database.write() as session:
            rows = await session.execute(text("SELECT count(*) FROM license_features"))
            assert rows.scalar_one() == 3


@pytest.mark.parametrize("parts", ["nodes { id }", "totalCount"])
@pytest.mark.parametrize("filter", ['tierSlug: "team"', 'feature: "sso"'])
async def test_no_filter_reads_all_licenses(
    graph: Graph, app: Starlette, statements: Statements, account: Account, parts: str, filter: str
) -> None:
    database = app.state.database
    atlas = await make_app(database, account, slug="atlas")
    customer = await make_customer(database, atlas)
    for slug in ("team", "other"):
        tier = await make_tier(database, atlas, slug=slug)
        for _ in range(50):
            await make_license(database, customer, tier=tier)
    await analyze(database)

    with statements.recorded(database) as sent:
        await graph.data(f'{{ app(slug: "atlas") {{ licenses(filter: {{{filter}}}) {{ {parts} }} }} }}')

    plan = await described(database, sent[-1])
    reads_all = ("SCAN licenses", "Seq Scan on licenses")
    assert not any(fault.startswith(reads_all) for fault in await faults(database, sent[-1]))
    if "tier" in filter:
        assert "ix_licenses_tier_id" in plan
    else:
        assert ("license_features" if database.is_sqlite else "ix_licenses_features") in plan


async def test_a_key_of_another_account_finds_nothing(
    graph: Graph, database: Database, account: Account
) -> None:
    atlas = await make_app(database, account, slug="atlas")
    await make_license(database, await make_customer(database, atlas), own_features=["sso"])
    other = graph.with_token(await make_key(database, await make_account(database)))

    assert await other.data(FOUND, feature="sso") == {"app": None}
