"""The two doors are one house, for what licenses are made of: tiers, features, tokens, keys, verification.

Writes are done in two apps of one account, each through one door, as in `tests.doors.test_parity`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest

from db import clock
from db.engine import Database
from db.licenses import licenses
from tests.doors.both import (
    APP,
    BY_GRAPH,
    BY_REST,
    CREATE_FEATURE,
    CREATE_LICENSE,
    CREATE_TIER,
    DELETE_FEATURE,
    DELETE_LICENSE,
    DELETE_TIER,
    FEATURE,
    LICENSE,
    REGENERATE,
    REVOKE,
    ROTATE,
    TIER,
    UPDATE_FEATURE,
    UPDATE_TIER,
    VERIFICATION,
    Doors,
    Values,
    as_input,
    as_license,
    as_rest,
    as_tier,
    as_verification,
    chosen,
    translated,
)
from tests.factories import (
    Account,
    Customer,
    Tier,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_license,
    make_tier,
)
from tests.rest.expecting import error, stored

INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
OF_REST, OF_GRAPH = f"/apps/{BY_REST}", f"/apps/{BY_GRAPH}"
WITHOUT_TOKEN = LICENSE.replace("token ", "")


@dataclass(frozen=True)
class Offer:
    """A customer and the tier team (features export and sso) of one of the two apps, which knows beta too."""

    customer: Customer
    tier: Tier


@pytest.fixture
async def offers(doors: Doors, database: Database, account: Account) -> dict[str, Offer]:
    """The same in each app, by its slug."""
    made = {}
    for slug in (BY_REST, BY_GRAPH):
        id = (await doors.rest_data(f"/apps/{slug}"))["id"]
        app = await make_app(database, account)
        app = type(app)(id, account.id, slug, app.created_at)
        features = [await make_feature(database, app, slug=name) for name in ("sso", "export", "beta")]
        tier = await make_tier(database, app, slug="team", position=4, features=features[:2])
        made[slug] = Offer(await make_customer(database, app, email="ada@example.com"), tier)
    return made


def _body(offer: Offer, **fields: object) -> Values:
    return {
        "installation_id": INSTALLATION,
        "customer_id": offer.customer.id,
        "tier_id": offer.tier.id,
        "expires_at": "2099-01-01T00:00:00Z",
        **fields,
    }


def _unlike(license: Values | None) -> Values:
    """What two licenses, issued alike in two apps, have in common."""
    return {
        key: value for key, value in chosen(license or {}).items() if key not in {"customer_id", "tier_id"}
    }


async def test_tiers_and_features_are_listed_alike(
    doors: Doors, database: Database, offers: dict[str, Offer]
):
    for slug, position in (("pro", 9), ("free", -1), ("basic", 4)):
        await doors.rest("POST", f"{OF_REST}/tiers", {"slug": slug, "name": slug, "position": position})
    query = f"""query ($slug: String!) {{ app(slug: $slug) {{
      tiers(first: 20) {{ totalCount nodes {{ {TIER} }} }}
      features(first: 20) {{ totalCount nodes {{ {FEATURE} }} }} }} }}"""

    app = (await doors.graph(query, slug=BY_REST))["app"]
    tiers, features = [
        (await doors.rest("GET", f"{OF_REST}/{noun}")).json() for noun in ("tiers", "features")
    ]

    assert [each["slug"] for each in tiers["data"]] == ["free", "basic", "team", "pro"]
    assert tiers["data"] == [as_tier(node) for node in app["tiers"]["nodes"]]
    assert tiers["meta"]["total"] == app["tiers"]["totalCount"] == 4
    assert [each["slug"] for each in features["data"]] == ["beta", "export", "sso"]
    assert features["data"] == [as_rest(node) for node in app["features"]["nodes"]]
    assert features["meta"]["total"] == app["features"]["totalCount"] == 3
    for noun, listed in (("tiers", tiers), ("features", features)):
        for each in listed["data"]:
            assert await doors.rest_data(f"{OF_REST}/{noun}/{each['id']}") == each


async def test_tiers_are_made_changed_and_deleted_alike(doors: Doors, offers: dict[str, Offer]):
    body: Values = {"slug": "pro", "name": "Pro", "features": ["sso", "beta"]}
    steps: list[Values] = [
        {},
        {"name": "Professional", "position": -2},
        {"features": []},
        {"features": ["export"], "name": "Pro"},
        {"name": "", "position": None, "features": ["nothing"]},
        {"features": ["nothing"]},
    ]
    made = await doors.rest("POST", f"{OF_REST}/tiers", body)
    outcome = await doors.mutate(CREATE_TIER, appSlug=BY_GRAPH, **body)
    assert chosen(made.json()["data"]) == chosen(as_tier(outcome["tier"]) or {})
    ids = made.json()["data"]["id"], outcome["tier"]["id"]

    for step in steps:
        changed = await doors.rest("PUT", f"{OF_REST}/tiers/{ids[0]}", step)
        outcome = await doors.mutate(UPDATE_TIER, id=ids[1], **step)
        _alike(changed, outcome, as_tier(outcome["tier"]))
    for bad in ({**body, "slug": "team"}, {**body, "slug": "A B"}, {**body, "slug": "x", "features": ["y"]}):
        refused = await doors.rest("POST", f"{OF_REST}/tiers", bad)
        _alike(refused, await doors.mutate(CREATE_TIER, appSlug=BY_GRAPH, **bad), None)
    for place, id in ((0, ids[0]), (1, ids[1])):
        if place == 0:
            assert (await doors.rest("DELETE", f"{OF_REST}/tiers/{id}")).status_code == 204
        else:
            assert (await doors.mutate(DELETE_TIER, id=id))["deletedTierId"] == id


async def test_features_are_made_changed_and_deleted_alike(doors: Doors, offers: dict[str, Offer]):
    body: Values = {"slug": "sync", "name": "Sync", "description": "Between machines"}
    steps: list[Values] = [
        {},
        {"name": "Syncing"},
        {"description": None},
        {"description": ""},
        {"name": None, "description": "x" * 2001},
    ]
    made = await doors.rest("POST", f"{OF_REST}/features", body)
    outcome = await doors.mutate(CREATE_FEATURE, appSlug=BY_GRAPH, **body)
    assert chosen(made.json()["data"]) == chosen(as_rest(outcome["feature"]) or {})
    ids = made.json()["data"]["id"], outcome["feature"]["id"]

    for step in steps:
        changed = await doors.rest("PATCH", f"{OF_REST}/features/{ids[0]}", step)
        outcome = await doors.mutate(UPDATE_FEATURE, id=ids[1], **step)
        _alike(changed, outcome, as_rest(outcome["feature"]))
    for bad in ({**body, "slug": "sso"}, {**body, "slug": ""}, {**body, "slug": "x", "name": " "}):
        refused = await doors.rest("POST", f"{OF_REST}/features", bad)
        _alike(refused, await doors.mutate(CREATE_FEATURE, appSlug=BY_GRAPH, **bad), None)
    assert (await doors.rest("DELETE", f"{OF_REST}/features/{ids[0]}")).status_code == 204
    assert (await doors.mutate(DELETE_FEATURE, id=ids[1]))["deletedFeatureId"] == ids[1]


async def test_licenses_are_listed_and_found_alike(
    doors: Doors, database: Database, offers: dict[str, Offer], client: httpx.AsyncClient, account: Account
):
    past = clock.now() - timedelta(days=1)
    ada, team = offers[BY_REST].customer, offers[BY_REST].tier
    await make_license(database, ada, tier=team, own_features=["beta"], installation_id=INSTALLATION)
    await make_license(database, ada, expires_at=past)
    await make_license(database, ada, tier=team, revoked_at=past, revoked_reason="Refunded")
    query = f"""query ($filter: LicenseFilter) {{ app(slug: "{BY_REST}") {{
      licenses(first: 100, filter: $filter) {{ totalCount nodes {{ {WITHOUT_TOKEN} }} }} }} }}"""

    for wanted in ({}, {"status": "active"}, {"status": "expired"}, {"status": "revoked"}):
        listed = (await doors.rest("GET", f"{OF_REST}/licenses", **wanted)).json()
        graph = {key: value.upper() for key, value in wanted.items()}
        found = (await doors.graph(query, filter=graph))["app"]["licenses"]
        assert listed["data"] == [as_license(node) for node in found["nodes"]]
        assert listed["meta"]["total"] == found["totalCount"] == (1 if wanted else 3)

    one = f"""query ($by: LicenseRef!) {{ app(slug: "{BY_REST}") {{ license(by: $by) {{ {LICENSE} }} }} }}"""
    for license in await doors.rest_data(f"{OF_REST}/licenses"):
        by_id = await doors.rest_data(f"{OF_REST}/licenses/{license['id']}")
        by_installation = await doors.rest_data(
            f"{OF_REST}/licenses/by-installation", installation_id=license["installation_id"].upper()
        )
        node = (await doors.graph(one, by={"id": license["id"]}))["app"]["license"]
        assert by_id == by_installation == as_license(node)
        node = (await doors.graph(one, by={"installationId": license["installation_id"]}))["app"]["license"]
        assert by_id == as_license(node)

    client.headers["Authorization"] = f"Bearer {await make_key(database, account, kind='public')}"
    seen = await doors.rest_data(f"{OF_REST}/licenses/{by_id['id']}")
    node = (await doors.graph(one, by={"id": by_id["id"]}))["app"]["license"]
    assert node["token"] is None
    assert {**seen, "token": None} == as_license(node)


async def test_licenses_are_issued_alike(doors: Doors, database: Database, offers: dict[str, Offer]):
    terms: list[Values] = [
        {},
        {"features": ["beta", "sso"], "expires_at": None, "duration_days": 30},
        {"expires_at": None, "forever": True},
        {"installation_id": INSTALLATION.upper()},
        {"installation_id": "laptop", "forever": True},
        {"expires_at": None},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": None, "duration_days": 0},
        {"features": ["nothing"]},
        {"tier_id": "tier_1"},
        {"customer_id": "cus_1"},
    ]
    statuses = []
    for n, fields in enumerate(terms):
        given = {"installation_id": f"00000000-0000-4000-8000-{n % 3:012}", **fields}
        made = await doors.rest("POST", f"{OF_REST}/licenses", _body(offers[BY_REST], **given))
        if fields.get("installation_id") == "laptop":
            # To the graph that is a variable of the wrong type, which is refused whole.
            assert error(made)[0] == 422
            continue
        outcome = await doors.mutate(CREATE_LICENSE, **as_input(_body(offers[BY_GRAPH], **given)))
        statuses.append(made.status_code)
        _alike(made, outcome, as_license(outcome["license"]))
    assert statuses == [201, 201, 201, 201, 422, 422, 422, 422, 422, 422]
    await _stored_alike(database)


async def test_licenses_are_regenerated_revoked_and_deleted_alike(
    doors: Doors, database: Database, offers: dict[str, Offer]
):
    rest = (await doors.rest("POST", f"{OF_REST}/licenses", _body(offers[BY_REST]))).json()["data"]
    graph = (await doors.mutate(CREATE_LICENSE, **as_input(_body(offers[BY_GRAPH]))))["license"]
    path = f"{OF_REST}/licenses/{rest['id']}"
    await doors.rest("PUT", f"{OF_REST}/tiers/{offers[BY_REST].tier.id}", {"features": ["beta"]})
    await doors.rest("PUT", f"{OF_GRAPH}/tiers/{offers[BY_GRAPH].tier.id}", {"features": ["beta"]})

    by_key = await doors.rest("POST", f"{path}/regenerate")
    outcome = await doors.mutate(REGENERATE, id=graph["id"])
    _alike(by_key, outcome, as_license(outcome["license"]))
    assert outcome["license"]["features"] == ["beta"]
    by_token = await doors.rest("POST", f"{path}/regenerate", {"current_token": rest["token"]})
    outcome = await doors.mutate(REGENERATE, currentToken=graph["token"])
    _alike(by_token, outcome, as_license(outcome["license"]))

    bad = await doors.rest("POST", f"{path}/regenerate", {"current_token": "a.b.c"})
    assert error(bad) == (401, "unauthorized", None)
    assert await doors.graph_refusal(REGENERATE, input={"currentToken": "a.b.c"}) == "UNAUTHENTICATED"

    for _ in range(2):
        revoked = await doors.rest("POST", f"{path}/revoke", {"reason": "Refunded"})
        outcome = await doors.mutate(REVOKE, id=graph["id"], reason="Refunded")
        _alike(revoked, outcome, as_license(outcome["license"]))
        assert outcome["license"]["status"] == "REVOKED"
    await _stored_alike(database)
    refused = await doors.rest("POST", f"{path}/regenerate")
    _alike(refused, await doors.mutate(REGENERATE, id=graph["id"]), None)
    assert refused.status_code == 409

    assert (await doors.rest("DELETE", path)).status_code == 204
    assert (await doors.mutate(DELETE_LICENSE, id=graph["id"]))["deletedLicenseId"] == graph["id"]
    gone = await doors.rest("DELETE", path)
    _alike(gone, await doors.mutate(DELETE_LICENSE, id=graph["id"]), None)
    assert gone.status_code == 404


async def test_licenses_are_verified_alike(doors: Doors, database: Database, offers: dict[str, Offer]):
    past = clock.now() - timedelta(days=1)
    ada, team = offers[BY_REST].customer, offers[BY_REST].tier
    made = [
        await make_license(database, ada, tier=team, own_features=["beta"]),
        await make_license(database, ada, expires_at=past),
        await make_license(database, ada, tier=team, revoked_at=past, expires_at=past),
    ]
    del doors.client.headers["Authorization"]
    one = f"""query ($by: LicenseProof!) {{
      verifyLicense(appSlug: "{BY_REST}", by: $by) {{ reason {VERIFICATION} }} }}"""
    many = f"""query ($by: LicenseProofs!) {{
      verifyLicenses(appSlug: "{BY_REST}", by: $by) {{ reason {VERIFICATION} }} }}"""
    unknown = "00000000-0000-4000-8000-000000000000"

    for key, asked in (
        ("installation_id", [*(each.installation_id for each in made), unknown]),
        ("jti", [*(each.jti for each in made), "lic_1"]),
    ):
        name = next(iter(as_input({key: ""})))
        nodes = (await doors.graph(many, by={f"{name}s": asked}))["verifyLicenses"]
        batch = await doors.rest("POST", f"{OF_REST}/licenses/verify/batch", {f"{key}s": asked})
        for value, node in zip(asked, nodes, strict=True):
            response = await doors.rest("GET", f"{OF_REST}/licenses/verify", **{key: value})
            single = (await doors.graph(one, by={name: value}))["verifyLicense"]
            verdict = batch.json()["data"]["results"][value]
            assert single == node
            if node.pop("reason") == "NOT_FOUND":
                assert error(response) == (404, "not_found", None)
                assert verdict == {"valid": False, "status": "not_found", "tier": None}
            else:
                assert response.json()["data"] == as_verification(node)
                assert verdict.items() <= as_verification(node).items()


async def test_keys_are_rotated_and_shown_alike(doors: Doors, offers: dict[str, Offer]):
    for slug in (BY_REST, BY_GRAPH):
        await doors.rest("POST", f"/apps/{slug}/licenses", _body(offers[slug]))

    by_rest = (await doors.rest("POST", f"{OF_REST}/rotate-keys")).json()["data"]
    by_graph = await doors.mutate(ROTATE, appSlug=BY_GRAPH)

    assert by_rest["licenses_resigned"] == by_graph["licensesResigned"] == 1
    for slug, shown in (
        (BY_REST, by_rest["public_key_pem"]),
        (BY_GRAPH, by_graph["app"]["publicKeyPem"]),
    ):
        app = (await doors.graph(f'{{ app(slug: "{slug}") {{ {APP} }} }}'))["app"]
        pem = (await doors.rest("GET", f"/apps/{slug}/public-key")).text
        assert shown == pem == app["publicKeyPem"]
        assert await doors.rest_data(f"/apps/{slug}") == as_rest(app)
        assert len((await doors.rest("GET", f"/apps/{slug}/jwks.json")).json()["keys"]) == 2
    await doors.rest("POST", f"{OF_REST}/rotate-keys", retire="immediately")
    await doors.mutate(ROTATE, appSlug=BY_GRAPH, retire="IMMEDIATELY")
    for slug in (BY_REST, BY_GRAPH):
        assert len((await doors.rest("GET", f"/apps/{slug}/jwks.json")).json()["keys"]) == 1
    missing = await doors.rest("POST", "/apps/nothing/rotate-keys")
    _alike(missing, await doors.mutate(ROTATE, appSlug="nothing"), None)


def _alike(response: httpx.Response, outcome: Any, node: Values | None) -> None:
    """REST's answer and the graph's outcome hold the same: the object, or what is wrong."""
    if outcome["userErrors"]:
        codes = {each["code"] for each in outcome["userErrors"]}
        field = {each["field"][0] for each in outcome["userErrors"] if each["field"]}
        if codes == {"NOT_FOUND"} and not field & {"id", "slug", "appSlug"}:
            # What an input refers to, not what the path names.
            for each in outcome["userErrors"]:
                each["code"] = "INVALID"
        user_errors = [{**each, "field": each["field"] or ["base"]} for each in outcome["userErrors"]]
        assert error(response) == translated(user_errors)
        return
    assert response.status_code in {200, 201}, response.text
    answered = _unlike(response.json()["data"])
    assert answered == {key: value for key, value in _unlike(node).items() if key in answered}
    assert answered.keys() == _unlike(node).keys()


async def _stored_alike(database: Database) -> None:
    """Both apps hold the same licenses, but for ids and times."""
    held: dict[str, list[Values]] = {}
    for row in await stored(database, licenses):
        kept = {key: value for key, value in row.items() if not key.endswith("_at") and key != "id"}
        held.setdefault(kept.pop("app_id"), []).append(
            {key: value for key, value in kept.items() if key not in {"customer_id", "tier_id"}}
        )
    of_rest, of_graph = held.values()
    assert of_rest == of_graph != []
