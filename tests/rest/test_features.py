"""Features."""

from typing import Any

import httpx
import pytest

from db.engine import Database
from db.features import MOST_IN_APP, features
from tests.factories import make_app, make_feature, make_license
from tests.rest.conftest import FEATURES, Offer, Vendor
from tests.rest.expecting import FEATURE_ID, FEATURE_KEYS, MOMENT, NOT_FOUND, error, invalid, stored, taken
from tests.statements import Statements

BLANK = "can't be blank"
SLUG_FORM = "must be lower-case letters, digits and underscores"
SYNC = {"name": "Sync", "slug": "sync_2", "description": "Between machines"}


async def test_a_feature_is_created_with_its_location(api: httpx.AsyncClient, vendor: Vendor) -> None:
    response = await api.post(FEATURES, json=SYNC)

    feature = response.json()["data"]
    assert response.status_code == 201
    assert list(feature) == FEATURE_KEYS
    assert feature == {**SYNC, "id": FEATURE_ID, "created_at": MOMENT}
    assert response.headers["location"] == f"/api/v1{FEATURES}/{feature['id']}"
    assert (await api.get(f"http://testserver{response.headers['location']}")).text == response.text


async def test_an_empty_description_becomes_null(api: httpx.AsyncClient, vendor: Vendor) -> None:
    bodies: list[dict[str, Any]] = [{}, {"description": None}, {"description": ""}]

    made = [
        (await api.post(FEATURES, json={"name": "Sync", "slug": f"sync_{n}", **body})).json()["data"]
        for n, body in enumerate(bodies)
    ]

    assert [each["description"] for each in made] == [None] * 3


async def test_features_are_listed_by_slug_a_page_at_a_time(
    api: httpx.AsyncClient, app: Any, database: Database, vendor: Vendor, statements: Statements
) -> None:
    for slug in ("m", "z", "a", "_", "0"):
        await make_feature(database, vendor.app, slug=slug)
    await make_feature(database, await make_app(database, vendor.account), slug="of_another_app")

    await api.get(FEATURES)
    with statements.recorded(app.state.database) as sent:
        first = (await api.get(f"{FEATURES}?per_page=3")).json()
    second = (await api.get(f"{FEATURES}?per_page=3&page=2")).json()

    assert [each["slug"] for each in first["data"]] == ["0", "_", "a"]
    assert [each["slug"] for each in second["data"]] == ["m", "z"]
    assert (first["meta"], second["meta"]) == (
        {"total": 5, "page": 1, "per_page": 3},
        {"total": 5, "page": 2, "per_page": 3},
    )
    assert [list(each) for each in first["data"]] == [FEATURE_KEYS] * 3
    assert len(sent) == 1


async def test_faults_of_a_new_feature(api: httpx.AsyncClient, database: Database, offer: Offer) -> None:
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({"slug": None, "name": None}, invalid(slug=BLANK, name=BLANK)),
        ({"slug": "", "name": " "}, invalid(slug=BLANK, name=BLANK)),
        ({"slug": "Sync"}, invalid(slug=SLUG_FORM)),
        ({"slug": "sync-2"}, invalid(slug=SLUG_FORM)),
        ({"slug": "x" * 64}, invalid(slug="is too long (maximum is 63 characters)")),
        ({"slug": ["sync"]}, invalid(slug="must be a string")),
        ({"name": "x" * 256}, invalid(name="is too long (maximum is 255 characters)")),
        ({"name": "a\x00"}, invalid(name="must not contain NUL or lone surrogates")),
        ({"description": "x" * 2001}, invalid(description="is too long (maximum is 2000 characters)")),
        ({"description": 1}, invalid(description="must be a string")),
        (
            {"slug": "-", "name": 1, "description": []},
            invalid(slug=SLUG_FORM, name="must be a string", description="must be a string"),
        ),
        ({"slug": "sso"}, taken("slug")),
    ]
    before = await stored(database, features)

    answers = [error(await api.post(FEATURES, json={**SYNC, **body})) for body, _ in cases]

    assert answers == [answer for _, answer in cases]
    assert await stored(database, features) == before


async def test_the_features_of_an_app_are_limited_to_what_a_tier_may_return(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    for _ in range(MOST_IN_APP):
        await make_feature(database, vendor.app)

    answer = error(await api.post(FEATURES, json=SYNC))

    assert answer == (409, "conflict", {"app_slug": ["has 200 features already, the most there can be"]})
    assert len(await stored(database, features)) == MOST_IN_APP


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_an_update_changes_the_keys_that_are_present(
    api: httpx.AsyncClient, vendor: Vendor, method: str
) -> None:
    expected = (await api.post(FEATURES, json=SYNC)).json()["data"]
    path = f"{FEATURES}/{expected['id']}"

    steps: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        ({"name": "Syncing"}, {"name": "Syncing"}),
        ({"slug": "sync_2", "description": None}, {"description": None}),
        ({"description": "New"}, {"description": "New"}),
        ({"description": ""}, {"description": None}),
        ({"id": "feat_1", "created_at": "2020-01-01T00:00:00Z", "unknown": 1}, {}),
    ]
    for body, change in steps:
        response = await api.request(method, path, json=body)
        expected = expected | change
        assert (response.status_code, response.json()) == (200, {"data": expected}), body
        assert list(response.json()["data"]) == FEATURE_KEYS


async def test_an_update_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    feature = await make_feature(database, vendor.app, slug="sync")
    before = await stored(database, features)
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({"slug": "other"}, invalid(slug="cannot be changed")),
        ({"slug": None}, invalid(slug="cannot be changed")),
        ({"name": ""}, invalid(name=BLANK)),
        ({"slug": 1, "name": None}, invalid(slug="cannot be changed", name=BLANK)),
    ]
    for body, answer in cases:
        sent = {"description": "New", **body}
        assert error(await api.put(f"{FEATURES}/{feature.id}", json=sent)) == answer, body
    assert await stored(database, features) == before


async def test_a_feature_in_use_is_not_deleted_and_an_unused_one_is(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    ids = {each["slug"]: each["id"] for each in (await api.get(FEATURES)).json()["data"]}
    await make_license(database, offer.lena, own_features=["beta_api"])
    free = await make_feature(database, vendor.app)

    of_tier = error(await api.delete(f"{FEATURES}/{ids['sso']}"))
    of_license = error(await api.delete(f"{FEATURES}/{ids['beta_api']}"))
    deleted = await api.delete(f"{FEATURES}/{free.id}")

    in_use = (409, "conflict", {"id": ["is in use by a tier or a license"]})
    assert (of_tier, of_license) == (in_use, in_use)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert error(await api.delete(f"{FEATURES}/{free.id}")) == NOT_FOUND
    assert {row["id"] for row in await stored(database, features)} == set(ids.values())


async def test_a_feature_of_another_app_of_the_account_is_not_found(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    foreign = await make_feature(database, await make_app(database, vendor.account))
    before = await stored(database, features)
    for id in (foreign.id, vendor.app.id, "feat_1", "feat_%00", "%FF", "'", "x" * 5000):
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = error(await api.request(method, f"{FEATURES}/{id}", json={"name": "New"}))
            assert answer == NOT_FOUND, (method, id)
    assert await stored(database, features) == before
