"""The two APIs agree on tiers, features, licenses, tokens, keys and verification.

Writes go to two apps of one account, as in `tests.apis.test_parity`.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from db import clock, ids
from db.engine import Database
from db.licenses import licenses
from tests.apis.both import (
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
    REINSTATE,
    REVOKE,
    ROTATE,
    TIER,
    UPDATE_FEATURE,
    UPDATE_TIER,
    VERIFICATION,
    BothApis,
    Values,
    as_input,
    as_license,
    as_rest,
    as_tier,
    as_verification,
    chosen,
    snake_case,
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
    """A customer and a tier of the same app, to issue licenses with.

    The tier is called "team" and has the features export and sso. The app also has the feature beta.
    """

    customer: Customer
    tier: Tier


@pytest.fixture
async def offers(apis: BothApis, database: Database, account: Account) -> dict[str, Offer]:
    """One offer for each app, by the app's slug. Apart from their ids, the offers are equal."""
    made = {}
    for slug in (BY_REST, BY_GRAPH):
        id = (await apis.rest_data(f"/apps/{slug}"))["id"]
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
        "metadata": {"order": "A-1017"},
        **fields,
    }


def _unlike(license: Values | None) -> Values:
    """Return a license, tier or feature without the fields that differ between the two apps."""
    return {
        key: value for key, value in chosen(license or {}).items() if key not in {"customer_id", "tier_id"}
    }


async def test_tiers_and_features_are_listed_alike(
    apis: BothApis, database: Database, offers: dict[str, Offer]
) -> None:
    for slug, position in (("pro", 9), ("free", -1), ("basic", 4)):
        await apis.rest("POST", f"{OF_REST}/tiers", {"slug": slug, "name": slug, "position": position})
    query = f"""query ($slug: String!) {{ app(slug: $slug) {{
      tiers(first: 20) {{ totalCount nodes {{ {TIER} }} }}
      features(first: 20) {{ totalCount nodes {{ {FEATURE} }} }} }} }}"""

    app = (await apis.graph(query, slug=BY_REST))["app"]
    tiers, features = [(await apis.rest("GET", f"{OF_REST}/{noun}")).json() for noun in ("tiers", "features")]

    assert [each["slug"] for each in tiers["data"]] == ["free", "basic", "team", "pro"]
    assert tiers["data"] == [as_tier(node) for node in app["tiers"]["nodes"]]
    assert tiers["meta"]["total"] == app["tiers"]["totalCount"] == 4
    assert [each["slug"] for each in features["data"]] == ["beta", "export", "sso"]
    assert features["data"] == [as_rest(node) for node in app["features"]["nodes"]]
    assert features["meta"]["total"] == app["features"]["totalCount"] == 3
    for noun, listed in (("tiers", tiers), ("features", features)):
        for each in listed["data"]:
            assert await apis.rest_data(f"{OF_REST}/{noun}/{each['id']}") == each


async def test_tiers_are_made_changed_and_deleted_alike(apis: BothApis, offers: dict[str, Offer]) -> None:
    body: Values = {"slug": "pro", "name": "Pro", "features": ["sso", "beta"]}
    steps: list[Values] = [
        {},
        {"name": "Professional", "position": -2},
        {"features": []},
        {"features": ["export"], "name": "Pro"},
        {"name": "", "position": None, "features": ["nothing"]},
        {"features": ["nothing"]},
    ]
    made = await apis.rest("POST", f"{OF_REST}/tiers", body)
    outcome = await apis.mutate(CREATE_TIER, appSlug=BY_GRAPH, **body)
    assert chosen(made.json()["data"]) == chosen(as_tier(outcome["tier"]) or {})
    ids = made.json()["data"]["id"], outcome["tier"]["id"]

    for step in steps:
        changed = await apis.rest("PUT", f"{OF_REST}/tiers/{ids[0]}", step)
        outcome = await apis.mutate(UPDATE_TIER, id=ids[1], **step)
        _alike(changed, outcome, as_tier(outcome["tier"]))
    for bad in ({**body, "slug": "team"}, {**body, "slug": "A B"}, {**body, "slug": "x", "features": ["y"]}):
        refused = await apis.rest("POST", f"{OF_REST}/tiers", bad)
        _alike(refused, await apis.mutate(CREATE_TIER, appSlug=BY_GRAPH, **bad), None)
    for place, id in ((0, ids[0]), (1, ids[1])):
        if place == 0:
            assert (await apis.rest("DELETE", f"{OF_REST}/tiers/{id}")).status_code == 204
        else:
            assert (await apis.mutate(DELETE_TIER, id=id))["deletedTierId"] == id


async def test_features_are_made_changed_and_deleted_alike(apis: BothApis, offers: dict[str, Offer]) -> None:
    body: Values = {"slug": "sync", "name": "Sync", "description": "Between machines"}
    steps: list[Values] = [
        {},
        {"name": "Syncing"},
        {"description": None},
        {"description": ""},
        {"name": None, "description": "x" * 2001},
    ]
    made = await apis.rest("POST", f"{OF_REST}/features", body)
    outcome = await apis.mutate(CREATE_FEATURE, appSlug=BY_GRAPH, **body)
    assert chosen(made.json()["data"]) == chosen(as_rest(outcome["feature"]) or {})
    ids = made.json()["data"]["id"], outcome["feature"]["id"]

    for step in steps:
        changed = await apis.rest("PATCH", f"{OF_REST}/features/{ids[0]}", step)
        outcome = await apis.mutate(UPDATE_FEATURE, id=ids[1], **step)
        _alike(changed, outcome, as_rest(outcome["feature"]))
    for bad in ({**body, "slug": "sso"}, {**body, "slug": ""}, {**body, "slug": "x", "name": " "}):
        refused = await apis.rest("POST", f"{OF_REST}/features", bad)
        _alike(refused, await apis.mutate(CREATE_FEATURE, appSlug=BY_GRAPH, **bad), None)
    assert (await apis.rest("DELETE", f"{OF_REST}/features/{ids[0]}")).status_code == 204
    assert (await apis.mutate(DELETE_FEATURE, id=ids[1]))["deletedFeatureId"] == ids[1]


async def test_licenses_are_listed_and_found_alike(
    apis: BothApis, database: Database, offers: dict[str, Offer], client: httpx.AsyncClient, account: Account
) -> None:
    past = clock.now() - timedelta(days=1)
    ada, team = offers[BY_REST].customer, offers[BY_REST].tier
    await make_license(database, ada, tier=team, own_features=["beta"], installation_id=INSTALLATION)
    await make_license(database, ada, expires_at=past)
    await make_license(database, ada, tier=team, revoked_at=past, revoked_reason="Refunded")
    query = f"""query ($filter: LicenseFilter) {{ app(slug: "{BY_REST}") {{
      licenses(first: 100, filter: $filter) {{ totalCount nodes {{ {WITHOUT_TOKEN} }} }} }} }}"""

    for wanted in ({}, {"status": "active"}, {"status": "expired"}, {"status": "revoked"}):
        listed = (await apis.rest("GET", f"{OF_REST}/licenses", **wanted)).json()
        graph = {key: value.upper() for key, value in wanted.items()}
        found = (await apis.graph(query, filter=graph))["app"]["licenses"]
        assert listed["data"] == [as_license(node) for node in found["nodes"]]
        assert listed["meta"]["total"] == found["totalCount"] == (1 if wanted else 3)

    one = f"""query ($by: LicenseRef!) {{ app(slug: "{BY_REST}") {{ license(by: $by) {{ {LICENSE} }} }} }}"""
    for license in await apis.rest_data(f"{OF_REST}/licenses"):
        by_id = await apis.rest_data(f"{OF_REST}/licenses/{license['id']}")
        by_installation = await apis.rest_data(
            f"{OF_REST}/licenses/by-installation", installation_id=license["installation_id"].upper()
        )
        node = (await apis.graph(one, by={"id": license["id"]}))["app"]["license"]
        assert by_id == by_installation == as_license(node)
        node = (await apis.graph(one, by={"installationId": license["installation_id"]}))["app"]["license"]
        assert by_id == as_license(node)

    client.headers["Authorization"] = f"Bearer {await make_key(database, account, kind='public')}"
    seen = await apis.rest_data(f"{OF_REST}/licenses/{by_id['id']}")
    node = (await apis.graph(one, by={"id": by_id["id"]}))["app"]["license"]
    assert node["token"] is None
    assert {**seen, "token": None} == as_license(node)


async def test_licenses_are_issued_alike(
    apis: BothApis, database: Database, offers: dict[str, Offer], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Stop the clock, so that both APIs issue licenses at the same time.
    now, new_id = clock.now(), ids.new_id
    monkeypatch.setattr(clock, "now", lambda: now)
    monkeypatch.setattr(ids, "new_id", lambda prefix: replace(new_id(prefix), created_at=now))
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
        made = await apis.rest("POST", f"{OF_REST}/licenses", _body(offers[BY_REST], **given))
        if fields.get("installation_id") == "laptop":
            # GraphQL refuses the whole request, because the variable has the wrong type: nothing to compare.
            assert error(made)[0] == 422
            continue
        outcome = await apis.mutate(CREATE_LICENSE, **as_input(_body(offers[BY_GRAPH], **given)))
        statuses.append(made.status_code)
        _alike(made, outcome, as_license(outcome["license"]))
    assert statuses == [201, 201, 201, 201, 422, 422, 422, 422, 422, 422]
    await _stored_alike(database)


async def test_licenses_are_regenerated_revoked_reinstated_and_deleted_alike(
    apis: BothApis, database: Database, offers: dict[str, Offer]
) -> None:
    rest = (await apis.rest("POST", f"{OF_REST}/licenses", _body(offers[BY_REST]))).json()["data"]
    graph = (await apis.mutate(CREATE_LICENSE, **as_input(_body(offers[BY_GRAPH]))))["license"]
    path = f"{OF_REST}/licenses/{rest['id']}"
    await apis.rest("PUT", f"{OF_REST}/tiers/{offers[BY_REST].tier.id}", {"features": ["beta"]})
    await apis.rest("PUT", f"{OF_GRAPH}/tiers/{offers[BY_GRAPH].tier.id}", {"features": ["beta"]})

    by_key = await apis.rest("POST", f"{path}/regenerate")
    outcome = await apis.mutate(REGENERATE, id=graph["id"])
    _alike(by_key, outcome, as_license(outcome["license"]))
    assert outcome["license"]["features"] == ["beta"]
    by_token = await apis.rest("POST", f"{path}/regenerate", {"current_token": rest["token"]})
    outcome = await apis.mutate(REGENERATE, currentToken=graph["token"])
    _alike(by_token, outcome, as_license(outcome["license"]))

    bad = await apis.rest("POST", f"{path}/regenerate", {"current_token": "a.b.c"})
    assert error(bad) == (401, "unauthorized", None)
    assert await apis.graph_refusal(REGENERATE, input={"currentToken": "a.b.c"}) == "UNAUTHENTICATED"

    for _ in range(2):
        revoked = await apis.rest("POST", f"{path}/revoke", {"reason": "Refunded"})
        outcome = await apis.mutate(REVOKE, id=graph["id"], reason="Refunded")
        _alike(revoked, outcome, as_license(outcome["license"]))
        assert outcome["license"]["status"] == "REVOKED"
    await _stored_alike(database)
    refused = await apis.rest("POST", f"{path}/regenerate")
    _alike(refused, await apis.mutate(REGENERATE, id=graph["id"]), None)
    assert refused.status_code == 409

    reinstated = await apis.rest("POST", f"{path}/reinstate")
    outcome = await apis.mutate(REINSTATE, id=graph["id"])
    _alike(reinstated, outcome, as_license(outcome["license"]))
    assert outcome["license"]["status"] == "ACTIVE"
    await _stored_alike(database)
    refused = await apis.rest("POST", f"{path}/reinstate")
    _alike(refused, await apis.mutate(REINSTATE, id=graph["id"]), None)
    assert refused.status_code == 409

    assert (await apis.rest("DELETE", path)).status_code == 204
    assert (await apis.mutate(DELETE_LICENSE, id=graph["id"]))["deletedLicenseId"] == graph["id"]
    gone = await apis.rest("DELETE", path)
    _alike(gone, await apis.mutate(DELETE_LICENSE, id=graph["id"]), None)
    assert gone.status_code == 404


AS_THEY_ARRIVE: dict[str, Callable[[str], str]] = {
    "from a file": lambda token: f"{token}\n",
    "from a file of Windows": lambda token: f"\ufeff{token}\r\n",
    "pasted": lambda token: f"  \t{token}\u00a0 ",
    "wrapped by a mail client": lambda token: "\r\n".join(textwrap.wrap(token, 76)),
    "wrapped and indented": lambda token: "\n    ".join(textwrap.wrap(token, 40)),
    "from a page that may break anywhere": "\u200b".join,
    "as a header": lambda token: f"Bearer {token}",
    "as a header in lower case": lambda token: f" bearer  {token}\n",
    "as a header that was wrapped": lambda token: f"BEARER\n{token[:50]}\n {token[50:]}",
}


@pytest.mark.parametrize("arrival", AS_THEY_ARRIVE)
async def test_a_token_is_the_same_however_it_arrives(
    apis: BothApis, offers: dict[str, Offer], arrival: str
) -> None:
    spaced = AS_THEY_ARRIVE[arrival]
    made = (await apis.rest("POST", f"{OF_REST}/licenses", _body(offers[BY_REST]))).json()["data"]
    del apis.client.headers["Authorization"]
    verify = f"""query ($token: String!) {{
      verifyLicense(appSlug: "{BY_REST}", by: {{token: $token}}) {{ reason installationId }} }}"""
    path = f"{OF_REST}/licenses/{made['id']}/regenerate"

    verified = (await apis.graph(verify, token=spaced(made["token"])))["verifyLicense"]
    by_rest = await apis.rest("POST", path, {"current_token": spaced(made["token"])})
    by_graph = await apis.mutate(
        """mutation ($input: RegenerateLicenseInput!) {
          outcome: regenerateLicense(input: $input) { license { id token } userErrors { code } } }""",
        currentToken=spaced(by_rest.json()["data"]["token"]),
    )

    assert verified == {"reason": "VALID", "installationId": INSTALLATION}
    assert (by_rest.status_code, by_rest.json()["data"]["id"]) == (200, made["id"])
    assert (by_graph["userErrors"], by_graph["license"]["id"]) == ([], made["id"])
    assert len({made["token"], by_rest.json()["data"]["token"], by_graph["license"]["token"]}) == 3


async def test_licenses_are_verified_alike(
    apis: BothApis, database: Database, offers: dict[str, Offer]
) -> None:
    past = clock.now() - timedelta(days=1)
    ada, team = offers[BY_REST].customer, offers[BY_REST].tier
    made = [
        await make_license(database, ada, tier=team, own_features=["beta"]),
        await make_license(database, ada, expires_at=past),
        await make_license(database, ada, tier=team, revoked_at=past, expires_at=past),
    ]
    del apis.client.headers["Authorization"]
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
        nodes = (await apis.graph(many, by={f"{name}s": asked}))["verifyLicenses"]
        batch = await apis.rest("POST", f"{OF_REST}/licenses/verify/batch", {f"{key}s": asked})
        for value, node in zip(asked, nodes, strict=True):
            response = await apis.rest("GET", f"{OF_REST}/licenses/verify", **{key: value})
            single = (await apis.graph(one, by={name: value}))["verifyLicense"]
            verdict = batch.json()["data"]["results"][value]
            assert single == node
            if node.pop("reason") == "NOT_FOUND":
                assert error(response) == (404, "not_found", None)
                assert verdict == {"valid": False, "status": "not_found", "tier": None}
            else:
                assert response.json()["data"] == as_verification(node)
                assert verdict.items() <= as_verification(node).items()


async def test_keys_are_rotated_and_shown_alike(apis: BothApis, offers: dict[str, Offer]) -> None:
    for slug in (BY_REST, BY_GRAPH):
        await apis.rest("POST", f"/apps/{slug}/licenses", _body(offers[slug]))

    by_rest = (await apis.rest("POST", f"{OF_REST}/rotate-keys")).json()["data"]
    by_graph = await apis.mutate(ROTATE, appSlug=BY_GRAPH)

    assert by_rest["licenses_resigned"] == by_graph["licensesResigned"] == 1
    for slug, shown in (
        (BY_REST, by_rest["public_key_pem"]),
        (BY_GRAPH, by_graph["app"]["publicKeyPem"]),
    ):
        app = (await apis.graph(f'{{ app(slug: "{slug}") {{ {APP} }} }}'))["app"]
        pem = (await apis.rest("GET", f"/apps/{slug}/public-key")).text
        assert shown == pem == app["publicKeyPem"]
        assert await apis.rest_data(f"/apps/{slug}") == as_rest(app)
        assert len((await apis.rest("GET", f"/apps/{slug}/jwks.json")).json()["keys"]) == 2
    await apis.rest("POST", f"{OF_REST}/rotate-keys", retire="immediately")
    await apis.mutate(ROTATE, appSlug=BY_GRAPH, retire="IMMEDIATELY")
    for slug in (BY_REST, BY_GRAPH):
        assert len((await apis.rest("GET", f"/apps/{slug}/jwks.json")).json()["keys"]) == 1
    missing = await apis.rest("POST", "/apps/nothing/rotate-keys")
    _alike(missing, await apis.mutate(ROTATE, appSlug="nothing"), None)


def _alike(response: httpx.Response, outcome: Any, node: Values | None) -> None:
    """Check that REST and the graph return the same object, or the same error."""
    if outcome["userErrors"]:
        codes = {each["code"] for each in outcome["userErrors"]}
        field = {each["field"][0] for each in outcome["userErrors"] if each["field"]}
        if codes == {"NOT_FOUND"} and not field & {"id", "slug", "appSlug"}:
            # A field of the input names the missing object. REST responds with 404 only if an object in the
            # path is missing, so here it reports an invalid field.
            for each in outcome["userErrors"]:
                each["code"] = "INVALID"
        # An error without a field concerns the whole input. REST reports it under "base". The message names
        # fields as each API spells them.
        user_errors = [
            each if each["field"] else {**each, "field": ["base"], "message": snake_case(each["message"])}
            for each in outcome["userErrors"]
        ]
        assert error(response) == translated(user_errors)
        return
    assert response.status_code in {200, 201}, response.text
    answered = _unlike(response.json()["data"])
    assert answered == {key: value for key, value in _unlike(node).items() if key in answered}
    assert answered.keys() == _unlike(node).keys()


async def _stored_alike(database: Database) -> None:
    """Check that both apps have the same licenses, except for ids and times."""
    held: dict[str, list[Values]] = {}
    for row in await stored(database, licenses):
        kept = {key: value for key, value in row.items() if not key.endswith("_at") and key != "id"}
        held.setdefault(kept.pop("app_id"), []).append(
            {key: value for key, value in kept.items() if key not in {"customer_id", "tier_id"}}
        )
    of_rest, of_graph = held.values()
    assert of_rest == of_graph != []
