"""Tiers."""

from typing import Any

import httpx
import pytest

from db.engine import Database
from db.tiers import tier_features, tiers
from tests.factories import make_app, make_customer, make_feature, make_license, make_tier
from tests.rest.conftest import TIERS, Offer, Vendor
from tests.rest.expecting import MOMENT, NOT_FOUND, TIER_ID, TIER_KEYS, error, invalid, stored, taken
from tests.statements import Statements

BLANK = "can't be blank"
SLUG_FORM = "must be lower-case letters, digits and underscores"
PRO: dict[str, Any] = {"name": "Pro", "slug": "pro_2", "position": 7, "features": ["sso", "beta_api"]}


async def _links(database: Database) -> list[tuple[str, str]]:
    async with database.write() as session:
        rows = await session.execute(tier_features.select())
        return sorted((row.tier_id, row.feature_id) for row in rows)


async def test_a_tier_is_created_with_its_location(api: httpx.AsyncClient, offer: Offer) -> None:
    response = await api.post(TIERS, json=PRO)

    tier = response.json()["data"]
    assert response.status_code == 201
    assert list(tier) == TIER_KEYS
    assert tier == {**PRO, "id": TIER_ID, "features": ["beta_api", "sso"], "created_at": MOMENT}
    assert response.headers["location"] == f"/api/v1{TIERS}/{tier['id']}"
    assert (await api.get(f"http://testserver{response.headers['location']}")).text == response.text


async def test_without_a_position_a_tier_becomes_the_last_and_without_features_it_has_none(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    await make_tier(database, await make_app(database, vendor.account), position=50)
    bodies: list[dict[str, Any]] = [
        {},
        {"position": None, "features": None},
        {"position": 40},
        {"features": []},
        {"position": -3},
        {},
    ]

    made = [
        (await api.post(TIERS, json={"name": "Tier", "slug": f"tier_{n}", **body})).json()["data"]
        for n, body in enumerate(bodies)
    ]

    assert [each["position"] for each in made] == [1, 2, 40, 41, -3, 42]
    assert [each["features"] for each in made] == [[]] * len(bodies)


async def test_tiers_are_listed_by_position_and_then_by_slug_a_page_at_a_time(
    api: httpx.AsyncClient,
    app: Any,
    database: Database,
    vendor: Vendor,
    offer: Offer,
    statements: Statements,
) -> None:
    for slug, position in (("b", 2), ("z", -5), ("a", 2), ("m", 10), ("k", 0)):
        await make_tier(database, vendor.app, slug=slug, position=position)
    await make_tier(database, await make_app(database, vendor.account), slug="of_another_app")

    await api.get(TIERS)
    with statements.recorded(app.state.database) as sent:
        first = (await api.get(f"{TIERS}?per_page=4")).json()
    second = (await api.get(f"{TIERS}?per_page=4&page=2")).json()

    assert [each["slug"] for each in first["data"]] == ["z", "k", "team", "a"]
    assert [each["slug"] for each in second["data"]] == ["b", "m"]
    assert (first["meta"], second["meta"]) == (
        {"total": 6, "page": 1, "per_page": 4},
        {"total": 6, "page": 2, "per_page": 4},
    )
    assert [list(each) for each in first["data"]] == [TIER_KEYS] * 4
    assert first["data"][2]["features"] == ["export", "sso"]
    assert len(sent) == 1


async def test_faults_of_a_new_tier(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    await make_feature(database, await make_app(database, vendor.account), slug="elsewhere")
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({"slug": None, "name": None}, invalid(slug=BLANK, name=BLANK)),
        ({"slug": "", "name": " "}, invalid(slug=BLANK, name=BLANK)),
        ({"slug": "Pro"}, invalid(slug=SLUG_FORM)),
        ({"slug": "pro-2"}, invalid(slug=SLUG_FORM)),
        ({"slug": "pró"}, invalid(slug=SLUG_FORM)),
        ({"slug": "pro\n"}, invalid(slug=SLUG_FORM)),
        ({"slug": "x" * 64}, invalid(slug="is too long (maximum is 63 characters)")),
        ({"slug": 1}, invalid(slug="must be a string")),
        ({"name": "x" * 256}, invalid(name="is too long (maximum is 255 characters)")),
        ({"position": "first"}, invalid(position="must be an integer")),
        ({"position": "1.0"}, invalid(position="must be an integer")),
        ({"position": " 1"}, invalid(position="must be an integer")),
        ({"position": ""}, invalid(position="must be an integer")),
        ({"position": "9" * 6000}, invalid(position="must be an integer")),
        ({"position": 1.5}, invalid(position="must be an integer")),
        ({"position": True}, invalid(position="must be an integer")),
        ({"position": 2**31}, invalid(position="must be less than or equal to 2147483647")),
        ({"position": str(2**31)}, invalid(position="must be less than or equal to 2147483647")),
        ({"position": -(2**31) - 1}, invalid(position="must be greater than or equal to -2147483648")),
        ({"features": "sso"}, invalid(features="must be a list")),
        ({"features": ["sso", 1]}, invalid(features="must be a string")),
        ({"features": ["sso\x00"]}, invalid(features="must not contain NUL or lone surrogates")),
        ({"features": ["sso", "nothing", ""]}, invalid(features="do not all exist: nothing, ")),
        ({"features": ["elsewhere"]}, invalid(features="do not all exist: elsewhere")),
        (
            {"slug": "A", "name": "", "position": "x", "features": 1},
            invalid(slug=SLUG_FORM, name=BLANK, position="must be an integer", features="must be a list"),
        ),
        ({"slug": "team"}, taken("slug")),
    ]
    before = await stored(database, tiers), await _links(database)

    answers = [error(await api.post(TIERS, json={**PRO, **body})) for body, _ in cases]

    assert answers == [answer for _, answer in cases]
    assert (await stored(database, tiers), await _links(database)) == before


async def test_a_slug_is_free_in_another_app(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    await make_tier(database, await make_app(database, vendor.account), slug="pro")

    assert (await api.post(TIERS, json={"name": "Pro", "slug": "pro"})).status_code == 201


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_update_changes_the_keys_that_are_present(
    api: httpx.AsyncClient, offer: Offer, method: str
) -> None:
    expected = (await api.get(f"{TIERS}/{offer.team.id}")).json()["data"]

    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"name": "Teams"}, {"name": "Teams"}),
        ({"slug": "team", "position": 9}, {"position": 9}),
        ({"position": "-4"}, {"position": -4}),
        ({"features": ["beta_api", "sso", "sso"]}, {"features": ["beta_api", "sso"]}),
        ({"features": None}, {"features": []}),
        ({"features": ["export"], "name": "Team"}, {"features": ["export"], "name": "Team"}),
        ({"id": "tier_1", "created_at": "2020-01-01T00:00:00Z", "unknown": 1}, {}),
    ]
    for body, change in steps:
        response = await api.request(method, f"{TIERS}/{offer.team.id}", json=body)
        expected = expected | change
        assert (response.status_code, response.json()) == (200, {"data": expected}), body
        assert list(response.json()["data"]) == TIER_KEYS


async def test_an_update_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    before = await stored(database, tiers), await _links(database)
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({"slug": "other"}, invalid(slug="cannot be changed")),
        ({"slug": None}, invalid(slug="cannot be changed")),
        ({"slug": "TEAM"}, invalid(slug="cannot be changed")),
        ({"name": None}, invalid(name=BLANK)),
        ({"position": None}, invalid(position=BLANK)),
        ({"position": "x"}, invalid(position="must be an integer")),
        ({"features": ["nothing"]}, invalid(features="do not all exist: nothing")),
        (
            {"slug": "x", "name": "", "position": "", "features": {}},
            invalid(
                slug="cannot be changed",
                name=BLANK,
                position="must be an integer",
                features="must be a list",
            ),
        ),
    ]
    for body, answer in cases:
        sent = {"name": "New", "features": [], "position": 3, **body}
        assert error(await api.put(f"{TIERS}/{offer.team.id}", json=sent)) == answer, body
    assert (await stored(database, tiers), await _links(database)) == before


async def test_a_tier_in_use_is_not_deleted_and_an_unused_one_is(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    license = await make_license(database, offer.lena, tier=offer.team)
    path = f"{TIERS}/{offer.team.id}"

    refused = error(await api.delete(path))
    await api.delete(f"/apps/atlas-studio/licenses/{license.id}")
    deleted = await api.delete(path)

    assert refused == (409, "conflict", {"id": ["is in use by a license"]})
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert error(await api.delete(path)) == NOT_FOUND
    assert await stored(database, tiers) == []
    assert await _links(database) == []


async def test_a_tier_of_another_app_of_the_account_is_not_found(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    other = await make_app(database, vendor.account)
    foreign = await make_tier(database, other)
    customer = await make_customer(database, other)
    before = await stored(database, tiers)
    ids = (foreign.id, customer.id, "tier_1", "tier_%00", "%FF", "'", "x" * 5000)
    for id in ids:
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = error(await api.request(method, f"{TIERS}/{id}", json={"name": "New"}))
            assert answer == NOT_FOUND, (method, id)
    assert await stored(database, tiers) == before
