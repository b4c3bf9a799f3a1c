"""Who may do what: every query, mutation and REST operation, with every kind of key.

`TABLE` has a row for each. The request of each row is sent with keys that lack one of the scopes that it
needs, with keys that have only one scope, with a key that is limited to one app, with a public key, in a
session and without a key. It is sent for objects that the key can reach, and for objects that it cannot.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from string import Template
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from db import ids
from db.engine import Database
from resolvers.viewer import ALL_SCOPES, Scope, implied
from rest.routes import OPERATIONS
from schema.graph import graphql_schema
from tests.apis.market import As, Caller, Market, Stock, make_market
from tests.factories import make_key
from tests.keyrings import SETTINGS
from tests.resolvers.calling import everything
from tests.statements import Statements

READ, CUSTOMERS, EVENTS = Scope.READ, Scope.READ_CUSTOMERS, Scope.READ_EVENTS
CATALOG, LICENSES, WRITE_CUSTOMERS = Scope.WRITE_CATALOG, Scope.WRITE_LICENSES, Scope.WRITE_CUSTOMERS
ROTATE, MANAGE = Scope.ROTATE_SIGNING_KEYS, Scope.MANAGE_KEYS

WORKS, NOTHING, FORBIDDEN, NO_KEY = "works", "nothing", "forbidden", "no key"
"""The outcomes of requests. NOTHING: for this key, the object does not exist."""


@dataclass(frozen=True)
class Row:
    """A request, the scopes that it needs, and its outcomes in the cases that scopes do not decide.

    In a session with READ_TOKENS, `own` is the outcome of a request about the session's customer, and `other`
    that of a request about any other customer. `beyond` is the outcome with a key that is limited to another
    app. `is_open`: no key is needed. `is_of_account`: the request is not about an existing app.
    """

    request: "str | tuple[str, str] | tuple[str, str, Mapping[str, Any]]"
    needs: frozenset[Scope] = frozenset()
    own: str = FORBIDDEN
    other: str = FORBIDDEN
    beyond: str = NOTHING
    is_open: bool = False
    is_of_account: bool = False

    @property
    def writes(self) -> bool:
        text = self.request if isinstance(self.request, str) else self.request[0]
        return text.startswith(("mutation", "POST", "PUT", "PATCH", "DELETE"))


def needs(*scopes: Scope) -> frozenset[Scope]:
    return frozenset(scopes)


GRAPH: dict[str, Row] = {
    "viewer": Row("{ viewer { keyKind customer { id } } }", own=WORKS, other=WORKS, is_of_account=True),
    "verifyLicense": Row(
        '{ it: verifyLicense(appSlug: "$slug", by: {jti: "$jti"}) { valid } }',
        own=WORKS,
        other=WORKS,
        is_open=True,
    ),
    "verifyLicenses": Row(
        '{ it: verifyLicenses(appSlug: "$slug", by: {installationIds: ["$installation"]}) { valid } }',
        own=WORKS,
        other=WORKS,
        is_open=True,
    ),
    "app": Row('{ it: app(slug: "$slug") { id name } }', needs(READ), own=NOTHING, other=NOTHING),
    "snapshot": Row(
        '{ it: snapshot(id: "$customer", at: "2100-01-01T00:00:00Z") }', needs(READ, CUSTOMERS, EVENTS)
    ),
    "apps": Row("{ it: apps { totalCount nodes { id slug } } }", needs(READ), is_of_account=True),
    "customer": Row(
        '{ it: customer(id: "$customer") { email externalId licenses { totalCount nodes { id } } } }',
        needs(READ, CUSTOMERS),
        own=WORKS,
        other=NOTHING,
    ),
    "license": Row(
        '{ it: license(id: "$license") { jti token tier { slug } } }', needs(READ), own=WORKS, other=NOTHING
    ),
    "search": Row(
        '{ it: search(text: "$license") { field customer { email } license { jti token } } }',
        needs(READ, CUSTOMERS),
        own=WORKS,
        other=NOTHING,
    ),
    "node": Row('{ it: node(id: "$license") { id } }', needs(READ), own=WORKS, other=NOTHING),
    "nodes": Row(
        '{ it: nodes(ids: ["$license", "$customer"]) { id } }',
        needs(READ, CUSTOMERS),
        own=WORKS,
        other=NOTHING,
    ),
    "signingKeys": Row(
        '{ it: signingKeys(appSlug: "$slug") { kid } }', needs(READ), own=NOTHING, other=NOTHING
    ),
    "apiKeys": Row("{ it: apiKeys { totalCount nodes { id } } }", needs(MANAGE), is_of_account=True),
    "registeredDocuments": Row(
        "{ it: registeredDocuments { totalCount nodes { id } } }", needs(MANAGE), is_of_account=True
    ),
    "events": Row("{ it: events { totalCount nodes { id } } }", needs(EVENTS), is_of_account=True),
    "createApiKey": Row(
        'mutation { it: createApiKey(input: {kind: RESTRICTED, name: "N", scopes: [MANAGE_KEYS], '
        'appSlugs: ["$slug"]}) { token userErrors { code } } }',
        needs(MANAGE),
    ),
    "updateApiKey": Row(
        'mutation { it: updateApiKey(input: {id: "$key", name: "N"}) { apiKey { id } userErrors { code } } }',
        needs(MANAGE),
    ),
    "rotateApiKey": Row(
        'mutation { it: rotateApiKey(input: {id: "$key"}) { token userErrors { code } } }', needs(MANAGE)
    ),
    "revokeApiKey": Row(
        'mutation { it: revokeApiKey(input: {id: "$key"}) { apiKey { id } userErrors { code } } }',
        needs(MANAGE),
    ),
    "registerDocuments": Row(
        'mutation { it: registerDocuments(input: {set: "new", documents: [{text: "{ __typename }"}]}) '
        "{ added userErrors { code } } }",
        needs(MANAGE),
        is_of_account=True,
    ),
    "deleteDocumentSet": Row(
        'mutation { it: deleteDocumentSet(input: {set: "portal@1.0.0"}) '
        "{ deletedDocumentCount userErrors { code } } }",
        needs(MANAGE),
        is_of_account=True,
    ),
    "createApp": Row(
        'mutation { it: createApp(input: {slug: "new-$slug", name: "N", signingAlgorithm: EDDSA}) '
        "{ app { id } userErrors { code existingId } } }",
        needs(CATALOG, READ),
        beyond=FORBIDDEN,
        is_of_account=True,
    ),
    "updateApp": Row(
        'mutation { it: updateApp(input: {slug: "$slug", name: "N"}) { app { id } userErrors { code } } }',
        needs(CATALOG, READ),
    ),
    "deleteApp": Row(
        'mutation { it: deleteApp(input: {slug: "$slug"}) { deletedAppId userErrors { code } } }',
        needs(CATALOG),
    ),
    "rotateAppKeys": Row(
        'mutation { it: rotateAppKeys(input: {appSlug: "$slug"}) { licensesResigned userErrors { code } } }',
        needs(ROTATE),
    ),
    "createTier": Row(
        'mutation { it: createTier(input: {appSlug: "$slug", slug: "new", name: "N", '
        'features: ["$feature_slug"]}) { tier { id } userErrors { code } } }',
        needs(CATALOG, READ),
    ),
    "updateTier": Row(
        'mutation { it: updateTier(input: {id: "$tier", name: "N"}) { tier { id } userErrors { code } } }',
        needs(CATALOG, READ),
    ),
    "deleteTier": Row(
        'mutation { it: deleteTier(input: {id: "$spare_tier"}) { deletedTierId userErrors { code } } }',
        needs(CATALOG),
    ),
    "createFeature": Row(
        'mutation { it: createFeature(input: {appSlug: "$slug", slug: "new", name: "N"}) '
        "{ feature { id } userErrors { code } } }",
        needs(CATALOG, READ),
    ),
    "updateFeature": Row(
        'mutation { it: updateFeature(input: {id: "$feature", name: "N"}) '
        "{ feature { id } userErrors { code } } }",
        needs(CATALOG, READ),
    ),
    "deleteFeature": Row(
        'mutation { it: deleteFeature(input: {id: "$spare_feature"}) '
        "{ deletedFeatureId userErrors { code } } }",
        needs(CATALOG),
    ),
    "createCustomer": Row(
        'mutation { it: createCustomer(input: {appSlug: "$slug", email: "new@x.example"}) '
        "{ customer { id } userErrors { code existingId } } }",
        needs(WRITE_CUSTOMERS, READ, CUSTOMERS),
    ),
    "getOrCreateCustomer": Row(
        'mutation { it: getOrCreateCustomer(input: {appSlug: "$slug", email: "$email"}) '
        "{ created customer { id } userErrors { code existingId } } }",
        needs(WRITE_CUSTOMERS, READ, CUSTOMERS),
    ),
    "updateCustomer": Row(
        'mutation { it: updateCustomer(input: {id: "$customer", name: "N"}) '
        "{ customer { id } userErrors { code } } }",
        needs(WRITE_CUSTOMERS, READ, CUSTOMERS),
    ),
    "deleteCustomer": Row(
        'mutation { it: deleteCustomer(input: {id: "$customer"}) { deletedCustomerId userErrors { code } } }',
        needs(WRITE_CUSTOMERS),
    ),
    "createCustomerSession": Row(
        'mutation { it: createCustomerSession(input: {customerId: "$customer"}) '
        "{ session { token } userErrors { code } } }",
        needs(WRITE_CUSTOMERS, READ, CUSTOMERS),
    ),
    "createLicense": Row(
        'mutation { it: createLicense(input: {customerId: "$customer", tierId: "$tier", forever: true}) '
        "{ license { id } userErrors { code } } }",
        needs(LICENSES, READ),
    ),
    "updateLicense": Row(
        'mutation { it: updateLicense(input: {id: "$license", features: ["$feature_slug"]}) '
        "{ license { id } userErrors { code } } }",
        needs(LICENSES, READ),
    ),
    "renewLicense": Row(
        'mutation { it: renewLicense(input: {id: "$license", durationDays: 30}) '
        "{ license { id } previousExpiresAt userErrors { code } } }",
        needs(LICENSES, READ),
    ),
    "transferLicense": Row(
        'mutation { it: transferLicense(input: {id: "$license", customerId: "$other_customer"}) '
        "{ license { id } userErrors { code } } }",
        needs(LICENSES, READ),
    ),
    "regenerateLicense": Row(
        'mutation { it: regenerateLicense(input: {id: "$license"}) { license { id } userErrors { code } } }',
        needs(LICENSES, READ),
        own=WORKS,
        other=NOTHING,
    ),
    "revokeLicense": Row(
        'mutation { it: revokeLicense(input: {id: "$license"}) { license { id } userErrors { code } } }',
        needs(LICENSES, READ),
    ),
    "reinstateLicense": Row(
        'mutation { it: reinstateLicense(input: {id: "$revoked"}) { license { id } userErrors { code } } }',
        needs(LICENSES, READ),
    ),
    "deleteLicense": Row(
        'mutation { it: deleteLicense(input: {id: "$license"}) { deletedLicenseId userErrors { code } } }',
        needs(LICENSES),
    ),
}
APP = "/apps/$slug"
CUSTOMER, LICENSE = f"{APP}/customers/$customer", f"{APP}/licenses/$license"
TIER, FEATURE = f"{APP}/tiers", f"{APP}/features"
REST: dict[str, Row] = {
    "get_health": Row(("GET", "/api/health"), own=WORKS, other=WORKS, is_open=True, is_of_account=True),
    "get_openapi": Row(
        ("GET", "/api/openapi.json"), own=WORKS, other=WORKS, is_open=True, is_of_account=True
    ),
    "get_public_key": Row(("GET", f"{APP}/public-key"), own=WORKS, other=WORKS, beyond=WORKS, is_open=True),
    "get_key_set": Row(("GET", f"{APP}/jwks.json"), own=WORKS, other=WORKS, beyond=WORKS, is_open=True),
    "verify_license": Row(("GET", f"{APP}/licenses/verify?jti=$jti"), own=WORKS, other=WORKS, is_open=True),
    "verify_licenses": Row(
        ("POST", f"{APP}/licenses/verify/batch", {"jtis": ["$jti"]}), own=WORKS, other=WORKS, is_open=True
    ),
    "list_apps": Row(("GET", "/apps"), needs(READ), is_of_account=True),
    "create_app": Row(
        ("POST", "/apps", {"slug": "new-$slug", "name": "N", "signing_algorithm": "EdDSA"}),
        needs(CATALOG, READ),
        beyond=FORBIDDEN,
        is_of_account=True,
    ),
    "list_api_keys": Row(("GET", "/api-keys"), needs(MANAGE), is_of_account=True),
    "create_api_key": Row(
        (
            "POST",
            "/api-keys",
            {"kind": "restricted", "name": "N", "scopes": ["manage_keys"], "apps": ["$slug"]},
        ),
        needs(MANAGE),
    ),
    "get_api_key": Row(("GET", "/api-keys/$key"), needs(MANAGE)),
    "update_api_key": Row(("PATCH", "/api-keys/$key", {"name": "N"}), needs(MANAGE)),
    "rotate_api_key": Row(("POST", "/api-keys/$key/rotate"), needs(MANAGE)),
    "revoke_api_key": Row(("DELETE", "/api-keys/$key"), needs(MANAGE)),
    "list_events": Row(("GET", "/events"), needs(EVENTS), is_of_account=True),
    "list_app_events": Row(("GET", f"{APP}/events"), needs(READ, EVENTS)),
    "get_statistics": Row(("GET", f"{APP}/statistics?from=2026-01-01&to=2026-01-31"), needs(READ, CUSTOMERS)),
    "get_app": Row(("GET", APP), needs(READ)),
    "update_app": Row(("PATCH", APP, {"name": "N"}), needs(CATALOG, READ)),
    "delete_app": Row(("DELETE", APP), needs(CATALOG)),
    "rotate_keys": Row(("POST", f"{APP}/rotate-keys"), needs(ROTATE)),
    "list_tiers": Row(("GET", TIER), needs(READ)),
    "create_tier": Row(
        ("POST", TIER, {"slug": "new", "name": "N", "features": ["$feature_slug"]}), needs(CATALOG, READ)
    ),
    "get_tier": Row(("GET", f"{TIER}/$tier"), needs(READ), own=NOTHING, other=NOTHING),
    "update_tier": Row(("PATCH", f"{TIER}/$tier", {"name": "N"}), needs(CATALOG, READ)),
    "delete_tier": Row(("DELETE", f"{TIER}/$spare_tier"), needs(CATALOG, READ)),
    "list_features": Row(("GET", FEATURE), needs(READ)),
    "create_feature": Row(("POST", FEATURE, {"slug": "new", "name": "N"}), needs(CATALOG, READ)),
    "get_feature": Row(("GET", f"{FEATURE}/$feature"), needs(READ), own=NOTHING, other=NOTHING),
    "update_feature": Row(("PATCH", f"{FEATURE}/$feature", {"name": "N"}), needs(CATALOG, READ)),
    "delete_feature": Row(("DELETE", f"{FEATURE}/$spare_feature"), needs(CATALOG, READ)),
    "list_customers": Row(("GET", f"{APP}/customers"), needs(READ, CUSTOMERS)),
    "create_customer": Row(
        ("POST", f"{APP}/customers", {"email": "new@x.example"}), needs(WRITE_CUSTOMERS, READ, CUSTOMERS)
    ),
    "get_or_create_customer": Row(
        ("POST", f"{APP}/customers/get-or-create", {"email": "$email"}),
        needs(WRITE_CUSTOMERS, READ, CUSTOMERS),
    ),
    "get_customer_by_email": Row(
        ("GET", f"{APP}/customers/by-email?email=$email"), needs(READ, CUSTOMERS), own=WORKS, other=NOTHING
    ),
    "get_customer_by_external_id": Row(
        ("GET", f"{APP}/customers/by-external-id?external_id=$external_id"),
        needs(READ, CUSTOMERS),
        own=WORKS,
        other=NOTHING,
    ),
    "get_customer": Row(("GET", CUSTOMER), needs(READ, CUSTOMERS), own=WORKS, other=NOTHING),
    "update_customer": Row(("PATCH", CUSTOMER, {"name": "N"}), needs(WRITE_CUSTOMERS, READ, CUSTOMERS)),
    "delete_customer": Row(("DELETE", CUSTOMER), needs(WRITE_CUSTOMERS, READ, CUSTOMERS)),
    "create_customer_session": Row(
        ("POST", f"{CUSTOMER}/sessions", {"ttl_seconds": 900}), needs(WRITE_CUSTOMERS, READ, CUSTOMERS)
    ),
    "list_licenses": Row(("GET", f"{APP}/licenses"), needs(READ)),
    "create_license": Row(
        (
            "POST",
            f"{APP}/licenses",
            {
                "customer_id": "$customer",
                "tier_id": "$tier",
                "forever": True,
                "installation_id": "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11",
            },
        ),
        needs(LICENSES, READ),
    ),
    "get_license_by_installation": Row(
        ("GET", f"{APP}/licenses/by-installation?installation_id=$installation"),
        needs(READ),
        own=WORKS,
        other=NOTHING,
    ),
    "get_license": Row(("GET", LICENSE), needs(READ), own=WORKS, other=NOTHING),
    "update_license": Row(("PATCH", LICENSE, {"features": ["$feature_slug"]}), needs(LICENSES, READ)),
    "delete_license": Row(("DELETE", LICENSE), needs(LICENSES, READ)),
    "renew_license": Row(("POST", f"{LICENSE}/renew", {"duration_days": 30}), needs(LICENSES, READ)),
    "transfer_license": Row(
        ("POST", f"{LICENSE}/transfer", {"customer_id": "$other_customer"}), needs(LICENSES, READ)
    ),
    "regenerate_license": Row(
        ("POST", f"{LICENSE}/regenerate"), needs(LICENSES, READ), own=WORKS, other=NOTHING
    ),
    "revoke_license": Row(("POST", f"{LICENSE}/revoke"), needs(LICENSES, READ)),
    "reinstate_license": Row(("POST", f"{APP}/licenses/$revoked/reinstate"), needs(LICENSES, READ)),
}
TABLE = GRAPH | REST
each_row = pytest.mark.parametrize("name", TABLE)


def test_every_query_mutation_and_operation_is_in_the_table() -> None:
    query, mutation = graphql_schema.query_type, graphql_schema.mutation_type
    assert query is not None
    assert mutation is not None
    assert set(GRAPH) == {*query.fields, *mutation.fields}
    assert set(REST) == {each.name for each in OPERATIONS}


@dataclass(frozen=True)
class Answer:
    """The outcome of a request, and the text of the response."""

    outcome: str
    text: str


async def call(caller: Caller, row: Row, values: Mapping[str, str]) -> Answer:
    """Send the request of a row, filled with these values."""
    if isinstance(row.request, str):
        response = await caller.post(Template(row.request).substitute(values))
        return Answer(_outcome_of_graph(response), response.text)
    method, path, *bodies = row.request
    body = _filled(bodies[0], values) if bodies else None
    response = await caller.rest(method, Template(path).substitute(values), body)
    outcomes = {401: NO_KEY, 403: FORBIDDEN, 404: NOTHING}
    if response.is_success:
        return Answer(WORKS, response.text)
    # A 422 with no other faults than these means that an object in the body does not exist.
    details = response.json()["error"].get("details", {})
    faults = {each.partition(":")[0] for each in chain(*details.values())}
    is_unknown = response.status_code == 422 and faults <= {"does not exist", "do not all exist"}
    outcome = NOTHING if is_unknown else outcomes.get(response.status_code, response.text)
    return Answer(outcome, response.text)


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    match value:
        case str():
            return Template(value).substitute(values)
        case list():
            return [_filled(each, values) for each in value]
        case dict():
            return {key: _filled(each, values) for key, each in value.items()}
        case _:
            return value


def _outcome_of_graph(response: httpx.Response) -> str:
    answer = response.json()
    if "errors" in answer:
        assert set((answer.get("data") or {}).values()) <= {None}, answer
        codes = {error["extensions"]["code"] for error in answer["errors"]}
        return {"FORBIDDEN": FORBIDDEN, "UNAUTHENTICATED": NO_KEY}.get("".join(codes), response.text)
    (found,) = answer["data"].values()
    if isinstance(found, list):
        return {frozenset[bool](): NOTHING, frozenset({True}): NOTHING, frozenset({False}): WORKS}[
            frozenset(each is None for each in found)
        ]
    if found is None:
        return NOTHING
    codes = {error["code"] for error in found.get("userErrors", ())}
    return {frozenset[str](): WORKS, frozenset({"NOT_FOUND"}): NOTHING}.get(frozenset(codes), response.text)


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings without limits per key, because responses that show what is left of a limit differ."""
    return {**SETTINGS, "budget_burst": 0, "rate_limit_per_minute": 0}


async def restricted(database: Database, market: Market, scopes: Iterable[Scope]) -> str:
    names = sorted(scope.value for scope in scopes)
    return await make_key(database, market.account, kind="restricted", scopes=names)


@pytest.mark.surface
@each_row
async def test_a_restricted_key_needs_exactly_these_scopes(
    database: Database, market: Market, by: As, name: str
) -> None:
    row = TABLE[name]
    every = ALL_SCOPES - {Scope.WRITE}
    values = market.atlas.values()
    before = await everything(database)

    for scope in row.needs:
        key = by(await restricted(database, market, every - {scope}))
        assert (await call(key, row, values)).outcome == FORBIDDEN, scope
    for scope in sorted(ALL_SCOPES):
        if not (row.is_open or row.needs <= implied([scope])):
            key = by(await restricted(database, market, [scope]))
            assert (await call(key, row, values)).outcome == FORBIDDEN, scope
    assert _without_keys(await everything(database)) == _without_keys(before)

    with_write = {Scope.WRITE} | (row.needs - implied([Scope.WRITE]))
    for scopes in (row.needs or {Scope.READ_EVENTS}, with_write):
        market = await make_market(
            database, f"-{'w' if Scope.WRITE in scopes else 'x'}"
        )  # new objects, which no request has changed
        key = by(await restricted(database, market, scopes))
        assert (await call(key, row, market.atlas.values())).outcome == WORKS


@pytest.mark.surface
@each_row
async def test_a_public_key_reads_and_a_request_without_a_key_only_verifies(
    database: Database, market: Market, by: As, name: str
) -> None:
    row = TABLE[name]
    public = by(await make_key(database, market.account, kind="public"))
    values = market.atlas.values()
    before = _without_keys(await everything(database))

    reads = row.is_open or row.needs <= {READ, CUSTOMERS}
    found = await call(public, row, values)
    assert found.outcome == (WORKS if reads else FORBIDDEN)
    assert market.atlas.values()["token"] not in found.text
    nobody = await call(by(None), row, values)
    assert nobody.outcome == (WORKS if row.is_open else NO_KEY)
    if not row.is_of_account:
        others = await call(public, row, market.cirrus.values())
        assert others.outcome == (WORKS if row.is_open else NOTHING if reads else FORBIDDEN)
    assert _without_keys(await everything(database)) == before


@each_row
async def test_a_key_that_is_limited_to_an_app_reaches_no_other_app(
    database: Database, market: Market, app: Starlette, by: As, statements: Statements, name: str
) -> None:
    row = TABLE[name]
    limited = by(await make_key(database, market.account, apps=[market.atlas.app]))
    before = _without_keys(await everything(database))
    unreachable = [market.borealis, market.cirrus]

    if row.is_of_account:
        if row.beyond == FORBIDDEN:
            found = await call(limited, row, market.atlas.values())
            assert found.outcome == FORBIDDEN
            assert _without_keys(await everything(database)) == before
            return
    else:
        sent = {}
        unknown = _unknown(market.borealis.values())
        for kind, values in (
            ("unknown", unknown),
            *((stock.app.slug, stock.values()) for stock in unreachable),
        ):
            # Authenticate first, so that the key is in the cache. The first snapshot also reads when the log
            # began.
            await limited.data('{ viewer { keyKind } snapshot(id: "", at: "2100-01-01T00:00:00Z") }')
            with statements.recorded(app.state.database) as recording:
                found = await call(limited, row, values)
            sent[kind] = (_neutral(found.text, values), [_shape(each) for each in recording])
            if kind != "unknown":
                assert found.outcome == row.beyond
                _assert_no_trace(found.text, unreachable, values)
        if row.beyond == NOTHING:
            # An object of another app looks exactly like one that does not exist.
            assert sent["borealis"] == sent["cirrus"] == sent["unknown"]
        assert _without_keys(await everything(database)) == before
    found = await call(limited, row, market.atlas.values())
    assert found.outcome == WORKS
    _assert_no_trace(found.text, unreachable, {})


@each_row
async def test_a_session_reaches_only_its_customer(
    database: Database, market: Market, by: As, name: str
) -> None:
    row = TABLE[name]
    ada = market.atlas.ada
    session = by(
        await make_key(database, market.account, kind="session", scopes=["read", "read_tokens"], customer=ada)
    )
    before = _without_keys(await everything(database))

    bobs = market.atlas.values(market.atlas.bob)
    found = await call(session, row, bobs)
    assert found.outcome == row.other
    if not row.is_open:
        _assert_none_of(found.text, bobs, _of_customer(bobs), also=set(market.atlas.values().values()))
        for stock in (market.borealis, market.cirrus):
            others = await call(session, row, stock.values())
            assert others.outcome == row.other, stock.app.slug
            _assert_no_trace(others.text, [stock], stock.values())
    assert _without_keys(await everything(database)) == before

    own = await call(session, row, market.atlas.values())
    assert own.outcome == row.own
    _assert_no_trace(own.text, [market.borealis, market.cirrus], {})
    if not row.is_open:
        _assert_none_of(own.text, {}, _of_customer(bobs), also=set())
    if not (row.writes and row.own == WORKS):
        assert _without_keys(await everything(database)) == before


def _without_keys(rows: dict[str, Any]) -> dict[str, Any]:
    return {table: found for table, found in rows.items() if table != "keys"}


def _of_customer(values: Mapping[str, str]) -> set[str]:
    names = ("customer", "email", "external_id", "license", "installation", "jti", "revoked", "token")
    return {values[name] for name in names}


def _assert_none_of(text: str, sent: Mapping[str, str], secrets: set[str], also: set[str]) -> None:
    """Assert that a response has none of the secrets, except those that are in `sent` or `also`."""
    found = {each for each in secrets - set(sent.values()) - also if each in text}
    assert not found, text


def _assert_no_trace(text: str, stocks: Iterable[Stock], sent: Mapping[str, str]) -> None:
    """Assert that a response says nothing about these apps that the request did not say."""
    for stock in stocks:
        for customer in (stock.ada, stock.bob):
            _assert_none_of(text, sent, set(stock.values(customer).values()), also=set())


def _unknown(values: Mapping[str, str]) -> dict[str, str]:
    """Return values of the same form that identify nothing."""
    found = {}
    for name, value in values.items():
        prefix = ids.prefix_of(value)
        if prefix is not None:
            found[name] = ids.new_id(prefix).id
        elif name == "installation":
            found[name] = "00000000-0000-4000-8000-000000000000"
        else:
            found[name] = value.replace("borealis", "zephyrus")
    return found


def _neutral(text: str, sent: Mapping[str, str]) -> str:
    """Return a response in which each value that the request sent is replaced with the value's name."""
    for name, value in sent.items():
        text = text.replace(value, name)
    return text


def _shape(statement: str) -> str:
    """Return a statement without its values, which SQLite reports as part of the text."""
    return re.sub(r"'[^']*'|\b\d+\b|x'[^']*'", "?", statement)
