"""Tiers and features: how they are created, changed and deleted, and kept while they are in use."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from db.engine import Database
from db.features import MOST_IN_APP, features
from db.tiers import HIGHEST_POSITION, LOWEST_POSITION, rank, tier_features, tiers
from resolvers.errors import Faults
from resolvers.features import create_feature, delete_feature, update_feature
from resolvers.licenses import delete_license, revoke_license
from resolvers.tiers import create_tier, delete_tier, update_tier
from resolvers.viewer import Viewer
from tests.factories import (
    Account,
    App,
    make_app,
    make_customer,
    make_feature,
    make_license,
    make_tier,
)
from tests.resolvers.calling import everything, faults_of, refused, row, rows, write
from tests.resolvers.conftest import Clock

NAMED = {"slug": "team", "name": "Team"}
SSO = {"slug": "sso", "name": "Single sign-on"}


async def comprised(database: Database, tier_id: str) -> list[str]:
    """Return the slugs of a tier's features."""
    slugs = {each["id"]: each["slug"] for each in await rows(database, features)}
    links = await rows(database, tier_features)
    return sorted(slugs[each["feature_id"]] for each in links if each["tier_id"] == tier_id)


@pytest.fixture
async def export(database: Database, app: App) -> str:
    return (await make_feature(database, app, slug="export")).id


# Tiers


async def test_create_tier_stores_what_was_given(
    database: Database, viewer: Viewer, app: App, export: str, clock: Clock
) -> None:
    await make_feature(database, app, slug="sso")
    values = {"slug": "team_2", "name": " Team ", "position": -3, "features": ["sso", "export", "sso"]}

    id = await write(database, create_tier, viewer, app.slug, values)

    assert id.startswith("tier_")
    assert await rows(database, tiers) == [
        {
            "id": id,
            "app_id": app.id,
            "slug": "team_2",
            "name": " Team ",
            "position": -3,
            "rank": "2147483645.team_2",
            "created_at": clock.now,
            "version": 1,
            "duration_days": None,
            "trial": False,
        }
    ]
    assert await comprised(database, id) == ["export", "sso"]


@pytest.mark.parametrize(
    ("there", "expected"),
    [([], 1), ([1], 2), ([5, -7], 6), ([-9], -8), ([0, 0], 1), ([2**31 - 2], 2**31 - 1)],
)
async def test_a_tier_without_a_position_is_the_last_one(
    database: Database, viewer: Viewer, app: App, there: Sequence[int], expected: int
) -> None:
    for position in there:
        await make_tier(database, app, position=position)
    other = await make_app(database, _account_of(app))
    await make_tier(database, other, position=100)

    for given in ({}, {"position": None}):
        with_slug = {"slug": f"new_{len(given)}", "name": "New", **given}
        id = await write(database, create_tier, viewer, app.slug, with_slug)
        assert (await row(database, tiers, id))["position"] == expected
        await write(database, delete_tier, viewer, id)


async def test_there_is_no_position_after_the_highest(database: Database, viewer: Viewer, app: App) -> None:
    await make_tier(database, app, position=HIGHEST_POSITION)

    assert await refused(database, create_tier, viewer, app.slug, NAMED) == [("BLANK", "position")]


def test_ranks_sort_by_position_and_then_by_slug() -> None:
    places = [
        (LOWEST_POSITION, "z"),
        (-10, "a"),
        (-9, "b"),
        (-1, "a"),
        (0, "0"),
        (0, "_"),
        (0, "a"),
        (0, "a0"),
        (0, "a_"),
        (0, "aa"),
        (1, "a"),
        (10, "a"),
        (HIGHEST_POSITION, "a"),
    ]

    ranks = [rank(*place) for place in places]

    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(ranks)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [("BLANK", "slug"), ("BLANK", "name")]),
        ({"slug": "", "name": " "}, [("BLANK", "slug"), ("BLANK", "name")]),
        ({"slug": None, "name": None}, [("BLANK", "slug"), ("BLANK", "name")]),
        ({"slug": "Team", "name": "x" * 256}, [("INVALID", "slug"), ("TOO_LONG", "name")]),
        ({"slug": "a-b", "name": "x"}, [("INVALID", "slug")]),
        ({"slug": "team ", "name": "x"}, [("INVALID", "slug")]),
        ({"slug": "x" * 64, "name": "x"}, [("TOO_LONG", "slug")]),
        ({"slug": "é", "name": "a\x00b"}, [("INVALID", "slug"), ("INVALID", "name")]),
        ({**NAMED, "position": 2**31}, [("INVALID", "position")]),
        ({**NAMED, "position": -(2**31) - 1}, [("INVALID", "position")]),
        ({**NAMED, "features": "export"}, [("INVALID", "features")]),
        ({**NAMED, "features": ["a\x00b"]}, [("INVALID", "features.0")]),
        # The database is queried only if the input is well-formed.
        ({**NAMED, "position": 2**31, "features": ["unknown"]}, [("INVALID", "position")]),
        ({**NAMED, "features": ["unknown", "export", "", "x-y"]}, [("NOT_FOUND", "features")]),
    ],
)
async def test_tier_that_is_refused(
    database: Database,
    viewer: Viewer,
    app: App,
    export: str,
    values: dict[str, object],
    expected: list[tuple[str, str]],
) -> None:
    assert await refused(database, create_tier, viewer, app.slug, values) == expected


async def test_unknown_features_are_named(database: Database, viewer: Viewer, app: App, export: str) -> None:
    values = {**NAMED, "features": ["b", "export", "a", "b"]}

    with pytest.raises(Faults, match=r"features do not all exist: b, a$"):
        await write(database, create_tier, viewer, app.slug, values)


async def test_features_of_another_app_are_not_found(
    database: Database, viewer: Viewer, app: App, strangers_app: App
) -> None:
    await make_feature(database, strangers_app, slug="sso")
    await make_feature(database, await make_app(database, _account_of(app)), slug="sso")

    values = {**NAMED, "features": ["sso"]}
    assert await refused(database, create_tier, viewer, app.slug, values) == [("NOT_FOUND", "features")]


@pytest.mark.parametrize(("create", "values"), [(create_tier, NAMED), (create_feature, SSO)])
async def test_slugs_are_unique_in_their_app(
    database: Database, viewer: Viewer, app: App, create: Any, values: dict[str, object]
) -> None:
    other = await make_app(database, _account_of(app))
    await write(database, create, viewer, app.slug, values)
    await write(database, create, viewer, other.slug, values)

    assert await refused(database, create, viewer, app.slug, {**values, "name": "Other"}) == [
        ("TAKEN", "slug")
    ]


@pytest.mark.parametrize(("create", "values"), [(create_tier, NAMED), (create_feature, SSO)])
async def test_the_app_must_be_of_the_viewer_s_account(
    database: Database, viewer: Viewer, strangers_app: App, create: Any, values: dict[str, object]
) -> None:
    for slug in (strangers_app.slug, "unknown"):
        assert await refused(database, create, viewer, slug, values) == [("NOT_FOUND", "app_slug")]
    assert await refused(database, create, viewer, "", values) == [("BLANK", "app_slug")]


async def test_update_tier_only_changes_the_given_fields(
    database: Database, viewer: Viewer, app: App, export: str, clock: Clock
) -> None:
    id = await write(database, create_tier, viewer, app.slug, {**NAMED, "features": ["export"]})
    made = await row(database, tiers, id)
    clock.passes(days=1)

    assert await write(database, update_tier, viewer, id, {}) == id
    assert await row(database, tiers, id) == made

    await write(database, update_tier, viewer, id, {"position": -2})
    moved = {**made, "position": -2, "rank": rank(-2, "team"), "version": 2}
    assert await row(database, tiers, id) == moved

    await write(database, update_tier, viewer, id, {"name": "Crew", "slug": "team"})
    assert await row(database, tiers, id) == {**moved, "name": "Crew", "version": 3}
    assert await comprised(database, id) == ["export"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["sso"], ["sso"]),
        (["sso", "export"], ["export", "sso"]),
        (["export"], ["export"]),
        ([], []),
        (None, []),
    ],
)
async def test_update_replaces_the_features(
    database: Database,
    viewer: Viewer,
    app: App,
    export: str,
    given: Sequence[str] | None,
    expected: Sequence[str],
) -> None:
    await make_feature(database, app, slug="sso")
    id = await write(database, create_tier, viewer, app.slug, {**NAMED, "features": ["export"]})
    other = await write(
        database, create_tier, viewer, app.slug, {"slug": "b", "name": "B", "features": ["export"]}
    )

    await write(database, update_tier, viewer, id, {"features": given})

    assert await comprised(database, id) == expected
    assert await comprised(database, other) == ["export"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"slug": "crew"}, [("INVALID", "slug")]),
        ({"slug": None}, [("INVALID", "slug")]),
        ({"slug": 7, "name": None}, [("INVALID", "slug"), ("BLANK", "name")]),
        ({"name": ""}, [("BLANK", "name")]),
        ({"position": None}, [("BLANK", "position")]),
        ({"position": 2**31, "name": "x" * 256}, [("TOO_LONG", "name"), ("INVALID", "position")]),
        ({"features": ["unknown"], "name": "New"}, [("NOT_FOUND", "features")]),
    ],
)
async def test_update_of_a_tier_that_is_refused(
    database: Database,
    viewer: Viewer,
    app: App,
    export: str,
    values: dict[str, object],
    expected: list[tuple[str, str]],
) -> None:
    id = await write(database, create_tier, viewer, app.slug, {**NAMED, "features": ["export"]})

    assert await refused(database, update_tier, viewer, id, values) == expected


@pytest.mark.parametrize(
    ("change", "rest"),
    [(update_tier, ({},)), (delete_tier, ()), (update_feature, ({},)), (delete_feature, ())],
)
async def test_unknown_tiers_and_features_are_not_found(
    database: Database, viewer: Viewer, strangers_app: App, change: Any, rest: tuple[object, ...]
) -> None:
    tier, feature = await make_tier(database, strangers_app), await make_feature(database, strangers_app)

    for id in (tier.id, feature.id, "tier_nope", "nonsense", "a\x00b", "\ud800"):
        assert await refused(database, change, viewer, id, *rest) == [("NOT_FOUND", "id")]
    assert await refused(database, change, viewer, "", *rest) == [("BLANK", "id")]


async def test_a_tier_of_a_license_is_not_deleted(database: Database, viewer: Viewer, app: App) -> None:
    tier, free = await make_tier(database, app), await make_tier(database, app)
    license = await make_license(database, await make_customer(database, app), tier=tier)

    assert await refused(database, delete_tier, viewer, tier.id) == [("IN_USE", "id")]
    assert await write(database, delete_tier, viewer, free.id) == free.id

    await write(database, revoke_license, viewer, license.id, {})
    assert await refused(database, delete_tier, viewer, tier.id) == [("IN_USE", "id")]
    await write(database, delete_license, viewer, license.id)
    await write(database, delete_tier, viewer, tier.id)
    assert await rows(database, tiers) == []


# Features


async def test_create_feature_stores_what_was_given(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    id = await write(database, create_feature, viewer, app.slug, {**SSO, "description": "SAML"})
    bare = await write(
        database, create_feature, viewer, app.slug, {"slug": "_", "name": "x", "description": ""}
    )

    assert id.startswith("feat_")
    assert await row(database, features, id) == {
        "id": id,
        "app_id": app.id,
        "slug": "sso",
        "name": "Single sign-on",
        "description": "SAML",
        "created_at": clock.now,
        "version": 1,
    }
    assert (await row(database, features, bare))["description"] is None


async def test_update_feature(database: Database, viewer: Viewer, app: App) -> None:
    id = await write(database, create_feature, viewer, app.slug, {**SSO, "description": "SAML"})
    made = await row(database, features, id)

    await write(database, update_feature, viewer, id, {"slug": "sso"})
    assert await row(database, features, id) == made
    await write(database, update_feature, viewer, id, {"name": "SSO", "description": None})
    assert await row(database, features, id) == {**made, "name": "SSO", "description": None, "version": 2}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"slug": "sso_2"}, [("INVALID", "slug")]),
        ({"name": None}, [("BLANK", "name")]),
        ({"description": "x" * 2_001, "name": ""}, [("BLANK", "name"), ("TOO_LONG", "description")]),
    ],
)
async def test_update_of_a_feature_that_is_refused(
    database: Database,
    viewer: Viewer,
    app: App,
    values: dict[str, object],
    expected: list[tuple[str, str]],
) -> None:
    id = await write(database, create_feature, viewer, app.slug, SSO)

    assert await refused(database, update_feature, viewer, id, values) == expected


async def test_a_feature_in_use_is_not_deleted(database: Database, viewer: Viewer, app: App) -> None:
    ada = await make_customer(database, app)
    used, owned, a, a_b, b = [
        await make_feature(database, app, slug=slug) for slug in ("used", "owned", "a", "a_b", "b")
    ]
    await make_tier(database, app, features=[used])
    await make_license(database, ada, own_features=["owned", "a_b"])
    # This license gets the feature `b` from its tier. The tier then loses the feature, but the license keeps
    # it.
    tier = await make_tier(database, app, features=[b])
    await make_license(database, ada, tier=tier)
    await write(database, update_tier, viewer, tier.id, {"features": []})

    for feature in (used, owned, a_b, b):
        assert await refused(database, delete_feature, viewer, feature.id) == [("IN_USE", "id")]
    # A feature is not in use if its slug is only a part of another slug.
    assert await write(database, delete_feature, viewer, a.id) == a.id


async def test_another_app_s_licenses_do_not_keep_a_feature(
    database: Database, viewer: Viewer, app: App
) -> None:
    other = await make_app(database, _account_of(app))
    await make_license(database, await make_customer(database, other), own_features=["sso"])
    feature = await make_feature(database, app, slug="sso")

    assert await write(database, delete_feature, viewer, feature.id) == feature.id


async def test_the_number_of_features_of_an_app_is_bounded_under_concurrency_too(
    database: Database, viewer: Viewer, app: App
) -> None:
    for number in range(MOST_IN_APP - 3):
        await make_feature(database, app, slug=f"f{number}")

    async def add(number: int) -> list[tuple[str, str]]:
        try:
            await write(database, create_feature, viewer, app.slug, {"slug": f"new_{number}", "name": "New"})
        except Faults as faults:
            return faults_of(faults)
        return []

    outcomes = await asyncio.gather(*(add(number) for number in range(8)))

    assert sorted(outcomes) == [*[[]] * 3, *[[("WRONG_STATE", "app_slug")]] * 5]
    assert len(await rows(database, features)) == MOST_IN_APP


async def test_tiers_added_concurrently_get_different_positions(
    database: Database, viewer: Viewer, app: App
) -> None:
    await asyncio.gather(
        *(
            write(database, create_tier, viewer, app.slug, {"slug": f"t{number}", "name": "T"})
            for number in range(6)
        )
    )

    assert sorted(each["position"] for each in await rows(database, tiers)) == [1, 2, 3, 4, 5, 6]


async def test_a_feature_is_not_deleted_while_it_is_added_to_a_tier(
    database: Database, viewer: Viewer, app: App, export: str
) -> None:
    """Two outcomes are valid: the feature is added and kept, or it is deleted and the tier is refused."""

    async def attempt(change: Any, *arguments: object) -> list[tuple[str, str]]:
        try:
            await write(database, change, viewer, *arguments)
        except Faults as faults:
            return faults_of(faults)
        return []

    made, deleted = await asyncio.gather(
        attempt(create_tier, app.slug, {**NAMED, "features": ["export"]}), attempt(delete_feature, export)
    )

    left = await everything(database)
    assert (made, deleted) in (([], [("IN_USE", "id")]), ([("NOT_FOUND", "features")], []))
    assert bool(left["features"]) is bool(left["tier_features"]) is (made == [])


def _account_of(app: App) -> Account:
    return Account(app.account_id, "")
