"""The token of a license: its claims, its signature, and when another token replaces it."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import update

from db.apps import apps
from db.engine import Database
from db.licenses import licenses
from db.signing_keys import signing_keys
from db.tokens import tokens
from resolvers.keyring import Algorithm
from resolvers.licenses import (
    create_license,
    delete_license,
    regenerate_license,
    reinstate_license,
    revoke_license,
)
from resolvers.licenses import license as read_license
from resolvers.rotation import rotate_app_keys
from resolvers.tiers import update_tier
from resolvers.viewer import Viewer
from tests.factories import (
    Account,
    App,
    Customer,
    Tier,
    make_app,
    make_customer,
    make_feature,
    make_signing_key,
    make_tier,
)
from tests.resolvers.calling import read, refused, row, rows, shape, write
from tests.resolvers.conftest import Clock

PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
DAY = timedelta(days=1)


@pytest.fixture(params=list(Algorithm))
async def app(request: pytest.FixtureRequest, database: Database, account: Account) -> App:
    return await make_app(database, account, slug="editor", algorithm=request.param)


@pytest.fixture
async def ada(database: Database, app: App) -> Customer:
    return await make_customer(database, app)


@pytest.fixture
async def team(database: Database, app: App) -> Tier:
    """A tier with two features, in an app with two more features."""
    by_slug = {
        slug: await make_feature(database, app, slug=slug) for slug in ("sso", "export", "beta_api", "a")
    }
    return await make_tier(database, app, slug="team", features=[by_slug["sso"], by_slug["export"]])


async def issue(database: Database, viewer: Viewer, customer: Customer, **values: object) -> str:
    term = {} if "duration_days" in values else {"forever": True}
    given = {"customer_id": customer.id, "installation_id": PLACE, **term, **values}
    return await write(database, create_license, viewer, given)


async def shown(database: Database, viewer: Viewer, id: str) -> str:
    """Return the token that a license shows."""
    answer = await read(database, read_license, viewer, id, shape("token"))
    assert answer is not None
    return answer.removeprefix('{"token":"').removesuffix('"}')


async def verified(database: Database, token: str, app: App, generation: int = 1) -> Mapping[str, Any]:
    """Return the header and claims of a token.

    Verifies the token's signature first, with the app's public key of this generation.
    """
    (key,) = (
        each
        for each in await rows(database, signing_keys)
        if each["app_id"] == app.id and each["generation"] == generation
    )
    found: Mapping[str, Any] = jwt.decode_complete(
        token,
        key["public_key_pem"],
        algorithms=["RS256", "EdDSA"],
        audience=app.slug,
        issuer="license-server",
        # PyJWT would compare these times with the real clock, not with the test's.
        options={"verify_exp": False, "verify_iat": False},
    )
    assert found["header"]["kid"] == key["id"]
    return found


async def held(database: Database, id: str) -> list[tuple[int, int, bool]]:
    """Return the number and key generation of each token of a license, and whether its text is stored."""
    found = [each for each in await rows(database, tokens) if each["license_id"] == id]
    return sorted((each["number"], each["generation"], each["token"] is not None) for each in found)


async def test_claims_and_header_of_a_token(
    database: Database, viewer: Viewer, app: App, ada: Customer, team: Tier, clock: Clock
) -> None:
    id = await issue(
        database, viewer, ada, tier_id=team.id, features=["beta_api", "sso", "a"], duration_days=90
    )

    token = await verified(database, await shown(database, viewer, id), app)

    (stored,) = await rows(database, tokens)
    (key,) = await rows(database, signing_keys)
    algorithm = Algorithm((await row(database, apps, app.id))["signing_algorithm"])
    assert token["header"] == {"alg": algorithm.jwa, "typ": "JWT", "kid": key["id"]}
    assert token["payload"] == {
        "sub": PLACE,
        "aud": "editor",
        "iss": "license-server",
        "iat": int(clock.now.timestamp()),
        "exp": int((clock.now + 90 * DAY).timestamp()),
        "jti": stored["jti"],
        "tier": "team",
        "features": ["export", "sso", "a", "beta_api"],
        "lic_id": id,
    }
    assert stored["jti"].startswith("lic_")
    assert stored["jti"] != id
    assert list(token["payload"]) == ["sub", "aud", "iss", "iat", "exp", "jti", "tier", "features", "lic_id"]


async def test_a_perpetual_license_without_tier_has_no_exp_and_no_tier(
    database: Database, viewer: Viewer, app: App, ada: Customer, clock: Clock
) -> None:
    id = await issue(database, viewer, ada)

    claims = (await verified(database, await shown(database, viewer, id), app))["payload"]

    assert "exp" not in claims
    assert claims["tier"] is None
    assert claims["features"] == []
    assert claims["lic_id"] == id


@pytest.mark.parametrize(
    ("own", "expected", "stored"),
    [
        (None, ["export", "sso"], []),
        ([], ["export", "sso"], []),
        (["sso"], ["export", "sso"], ["sso"]),
        (["beta_api", "a"], ["export", "sso", "a", "beta_api"], ["a", "beta_api"]),
        (["sso", "a", "a", "export"], ["export", "sso", "a"], ["a", "export", "sso"]),
    ],
)
async def test_features_are_those_of_the_tier_then_its_own_each_sorted_by_slug(
    database: Database,
    viewer: Viewer,
    app: App,
    ada: Customer,
    team: Tier,
    own: list[str] | None,
    expected: list[str],
    stored: list[str],
) -> None:
    id = await issue(database, viewer, ada, tier_id=team.id, features=own)

    license = await row(database, licenses, id)
    assert (license["features"], license["own_features"]) == (expected, stored)
    claims = (await verified(database, await shown(database, viewer, id), app))["payload"]
    assert claims["features"] == expected


async def test_only_features_of_its_own(
    database: Database, viewer: Viewer, ada: Customer, team: Tier
) -> None:
    id = await issue(database, viewer, ada, features=["sso", "a"])

    assert (await row(database, licenses, id))["features"] == ["a", "sso"]


async def test_tier_and_features_must_be_of_the_same_app(
    database: Database, viewer: Viewer, account: Account, ada: Customer, team: Tier, strangers_app: App
) -> None:
    other = await make_app(database, account)
    foreign = [await make_tier(database, each) for each in (other, strangers_app)]
    await make_feature(database, other, slug="theirs")
    term = {"customer_id": ada.id, "forever": True}

    for id in (*(each.id for each in foreign), "tier_none", ada.id):
        assert await refused(database, create_license, viewer, {**term, "tier_id": id}) == [
            ("NOT_FOUND", "tier_id")
        ]
    for features in (["theirs"], ["sso", "Sso"], [""]):
        assert await refused(database, create_license, viewer, {**term, "features": features}) == [
            ("NOT_FOUND", "features")
        ]
    both = {**term, "tier_id": foreign[0].id, "features": ["theirs"]}
    assert await refused(database, create_license, viewer, both) == [
        ("NOT_FOUND", "tier_id"),
        ("NOT_FOUND", "features"),
    ]
    malformed = {**both, "installation_id": "x", "features": "sso"}
    assert await refused(database, create_license, viewer, malformed) == [
        ("INVALID", "features"),
        ("INVALID", "installation_id"),
    ]


async def test_an_empty_tier_means_no_tier(
    database: Database, viewer: Viewer, ada: Customer, team: Tier
) -> None:
    for installation, tier_id in enumerate(("", None)):
        place = f"8f14e45f-ceea-467f-a3b5-2d1b6f0c9e1{installation}"
        id = await issue(database, viewer, ada, tier_id=tier_id, installation_id=place)
        assert (await row(database, licenses, id))["tier_id"] is None


async def test_regenerate_reads_the_tier_s_features_again_and_keeps_everything_else(
    database: Database, viewer: Viewer, app: App, ada: Customer, team: Tier, clock: Clock
) -> None:
    id = await issue(database, viewer, ada, tier_id=team.id, features=["a", "export"], duration_days=5)
    before = await verified(database, await shown(database, viewer, id), app)
    stored = await row(database, licenses, id)
    await write(database, update_tier, viewer, team.id, {"features": ["beta_api"]})
    assert await row(database, licenses, id) == stored
    clock.passes(days=1)

    assert await write(database, regenerate_license, viewer, id) == id

    after = await verified(database, await shown(database, viewer, id), app)
    assert after["payload"] == {
        **before["payload"],
        "iat": int(clock.now.timestamp()),
        "jti": after["payload"]["jti"],
        "features": ["beta_api", "a", "export"],
    }
    assert after["payload"]["jti"] != before["payload"]["jti"]
    assert after["header"] == before["header"]
    features = ["beta_api", "a", "export"]
    assert await row(database, licenses, id) == {
        **stored,
        "features": features,
        "updated_at": clock.now,
        "version": 2,
    }
    assert await held(database, id) == [(1, 1, False), (2, 1, True)]


async def test_a_revoked_or_expired_license_is_not_regenerated(
    database: Database, viewer: Viewer, stranger: Viewer, ada: Customer, clock: Clock
) -> None:
    revoked = await issue(database, viewer, ada)
    await write(database, revoke_license, viewer, revoked, {})
    expired = await issue(database, viewer, ada, duration_days=1)
    live = await issue(database, viewer, ada, installation_id=None)
    clock.passes(days=1)

    for id in (revoked, expired):
        assert await refused(database, regenerate_license, viewer, id) == [("WRONG_STATE", "id")]
    for id in ("lic_none", "", "a\x00b"):
        expected = "NOT_FOUND" if id else "BLANK"
        assert await refused(database, regenerate_license, viewer, id) == [(expected, "id")]
    assert await refused(database, regenerate_license, stranger, live) == [("NOT_FOUND", "id")]


async def test_a_revoked_license_keeps_its_token_and_gets_one_when_it_is_reinstated(
    database: Database, viewer: Viewer, app: App, ada: Customer, team: Tier
) -> None:
    id = await issue(database, viewer, ada, tier_id=team.id)
    token = await shown(database, viewer, id)
    await write(database, revoke_license, viewer, id, {"reason": "Refunded"})
    assert await shown(database, viewer, id) == token
    await write(database, reinstate_license, viewer, id)
    assert await shown(database, viewer, id) == token
    assert await held(database, id) == [(1, 1, True)]

    await write(database, revoke_license, viewer, id, {})
    await write(database, rotate_app_keys, viewer, "editor")
    assert await shown(database, viewer, id) == token
    await write(database, reinstate_license, viewer, id)

    new = await verified(database, await shown(database, viewer, id), app, generation=2)
    assert new["payload"]["features"] == ["export", "sso"]
    assert new["payload"]["tier"] == "team"
    assert [each[:2] for each in await held(database, id)] == [(1, 1), (2, 2)]


async def test_tokens_are_signed_under_both_keys_during_a_rotation(
    database: Database, viewer: Viewer, app: App, ada: Customer, clock: Clock
) -> None:
    revoked = await issue(database, viewer, ada, installation_id=None)
    await write(database, revoke_license, viewer, revoked, {})
    algorithm = Algorithm((await row(database, apps, app.id))["signing_algorithm"])
    kid = await make_signing_key(database, app, 2, algorithm=algorithm, activated_at=clock.now)

    id = await issue(database, viewer, ada)
    first = await shown(database, viewer, id)
    await write(database, regenerate_license, viewer, id)
    await write(database, reinstate_license, viewer, revoked)

    assert await held(database, id) == [(1, 1, False), (2, 2, False), (3, 1, True), (4, 2, True)]
    assert await held(database, revoked) == [(1, 1, True), (2, 2, True)]
    current = await shown(database, viewer, id)
    assert current != first
    await verified(database, current, app, generation=1)
    async with database.write() as session:
        await session.execute(update(apps).values(signing_generation=2))
    switched = await shown(database, viewer, id)
    assert jwt.get_unverified_header(switched)["kid"] == kid
    await verified(database, switched, app, generation=2)
    await verified(database, await shown(database, viewer, revoked), app, generation=2)


async def test_nothing_is_signed_for_a_license_that_is_refused(
    database: Database, viewer: Viewer, ada: Customer
) -> None:
    await issue(database, viewer, ada)
    values = {"customer_id": ada.id, "installation_id": PLACE, "forever": True}

    assert await refused(database, create_license, viewer, values) == [("TAKEN", "installation_id")]


async def test_tokens_are_deleted_with_their_license_and_the_key_keeps_the_last_expiry(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    short = await issue(database, viewer, ada, duration_days=1)
    long = await issue(database, viewer, ada, duration_days=9, installation_id=None)
    last = clock.now + 9 * DAY
    await write(database, delete_license, viewer, long)
    await write(database, delete_license, viewer, short)

    assert await rows(database, tokens) == []
    (key,) = await rows(database, signing_keys)
    assert key["last_expiry"] == last
