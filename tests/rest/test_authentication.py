"""Permissions, and the order of the checks of a request."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import httpx
import pytest
from sqlalchemy import insert

from db import clock
from db import ids as new_ids
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.keys import keys
from server import create_app
from settings import Settings
from tests.factories import make_customer, make_feature, make_key, make_license, make_tier
from tests.keyrings import SETTINGS
from tests.rest.conftest import (
    CUSTOMERS,
    FEATURES,
    INSTALLATION,
    LICENSES,
    SLUG,
    TIERS,
    MakeClient,
    Vendor,
)
from tests.rest.expecting import (
    BAD_REQUEST,
    FORBIDDEN,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA_TYPE,
    error,
    invalid,
    stored,
)

Ids: TypeAlias = dict[str, str]

BROKEN: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "application/json"}}
CALLS = [
    ("GET", "/apps"),
    ("POST", "/apps"),
    ("GET", f"/apps/{SLUG}"),
    ("PUT", f"/apps/{SLUG}"),
    ("PATCH", f"/apps/{SLUG}"),
    ("DELETE", f"/apps/{SLUG}"),
    ("POST", f"/apps/{SLUG}/rotate-keys"),
    ("GET", CUSTOMERS),
    ("POST", CUSTOMERS),
    ("POST", f"{CUSTOMERS}/get-or-create"),
    ("GET", f"{CUSTOMERS}/by-email?email=jane@example.com"),
    ("GET", f"{CUSTOMERS}/by-external-id?external_id=crm-1"),
    ("GET", f"{CUSTOMERS}/{{id}}"),
    ("PUT", f"{CUSTOMERS}/{{id}}"),
    ("PATCH", f"{CUSTOMERS}/{{id}}"),
    ("DELETE", f"{CUSTOMERS}/{{id}}"),
    *(
        (method, f"{nouns}{path}")
        for nouns, id in ((TIERS, "{tier}"), (FEATURES, "{feature}"))
        for method, path in (
            ("GET", ""),
            ("POST", ""),
            ("GET", f"/{id}"),
            ("PUT", f"/{id}"),
            ("PATCH", f"/{id}"),
            ("DELETE", f"/{id}"),
        )
    ),
    ("GET", LICENSES),
    ("POST", LICENSES),
    ("GET", f"{LICENSES}/by-installation?installation_id={INSTALLATION}"),
    ("GET", f"{LICENSES}/{{license}}"),
    ("DELETE", f"{LICENSES}/{{license}}"),
    ("POST", f"{LICENSES}/{{license}}/regenerate"),
    ("POST", f"{LICENSES}/{{license}}/revoke"),
    ("POST", f"{LICENSES}/{{license}}/reinstate"),
]
READS = [call for call in CALLS if call[0] == "GET"]
WRITES = [call for call in CALLS if call[0] != "GET"]


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings under which one address may send any number of invalid keys."""
    return {**SETTINGS, "refused_limit_per_minute": 0}


@pytest.fixture
async def ids(database: Database, vendor: Vendor) -> Ids:
    """The ids of one object of each kind, to fill in the paths of the calls."""
    jane = await make_customer(database, vendor.app, email="jane@example.com", external_id="crm-1")
    feature = await make_feature(database, vendor.app)
    tier = await make_tier(database, vendor.app)
    license = await make_license(database, jane, installation_id=INSTALLATION, token="a.b.c")
    return {"id": jane.id, "feature": feature.id, "tier": tier.id, "license": license.id}


async def _all(
    api: httpx.AsyncClient, calls: list[tuple[str, str]], ids: Ids
) -> dict[tuple[str, str], object]:
    """Send these calls, each with an invalid body, and return the error of each call."""
    return {
        (method, path): error(await api.request(method, path.format(**ids), **BROKEN))
        for method, path in calls
    }


async def test_without_a_valid_key_everything_is_unauthorized_whatever_else_is_wrong(
    client: httpx.AsyncClient, database: Database, vendor: Vendor, ids: Ids
) -> None:
    before = await stored(database, customers), await stored(database, apps)
    headers = [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        vendor.secret,
        f"Token {vendor.secret}",
        f"Bearer{vendor.secret}",
        f"Bearer {vendor.secret}x",
        f"Bearer {vendor.secret} {vendor.secret}",
        f'Bearer "{vendor.secret}"',
        "Bearer sk_live_" + "0" * 32,
        "Bearer pk_live_" + "0" * 32,
        "Bearer sk_live_' OR 1=1 --",
        "Bearer sk_live_é",
        "Bearer " + "x" * 10_000,
    ]
    client.base_url = "http://testserver/api/v1"

    answers: dict[str | None, object] = {None: await _all(client, CALLS, ids)}
    for header in headers:
        client.headers["Authorization"] = header
        answers[header] = await _all(client, CALLS, ids)
    refused = await client.get("/apps")

    assert answers == dict.fromkeys([None, *headers], dict.fromkeys(CALLS, UNAUTHORIZED))
    assert refused.headers["www-authenticate"] == "Bearer"
    assert (await stored(database, customers), await stored(database, apps)) == before


async def test_a_revoked_and_an_expired_key_are_unauthorized(
    client_with: MakeClient, database: Database, vendor: Vendor
) -> None:
    now = clock.now()
    tokens = [
        await make_key(database, vendor.account, revoked_at=now - timedelta(days=1)),
        await make_key(database, vendor.account, expires_at=now - timedelta(seconds=1)),
        await make_key(database, vendor.account, expires_at=now + timedelta(hours=1)),
        await make_key(database, vendor.account, expires_at=datetime(9999, 1, 1, tzinfo=UTC)),
    ]

    statuses = []
    for token in tokens:
        async with client_with(token) as api:
            statuses.append((await api.get("/apps")).status_code)

    assert statuses == [401, 401, 200, 200]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_scheme_is_not_case_sensitive(
    client: httpx.AsyncClient, vendor: Vendor, scheme: str
) -> None:
    response = await client.get("/api/v1/apps", headers={"Authorization": f"{scheme} {vendor.secret}"})

    assert response.status_code == 200


@pytest.mark.parametrize(("kind", "created"), [("sk_test_", 201), ("pk_test_", 403)])
async def test_test_keys_have_the_same_scopes_as_live_ones(
    client_with: MakeClient, database: Database, vendor: Vendor, kind: str, created: int
) -> None:
    token = kind + secrets.token_hex(16)
    key = new_ids.new_id(new_ids.KEY)
    async with database.write() as session:
        await session.execute(
            insert(keys).values(
                id=key.id,
                account_id=vendor.account.id,
                kind="secret" if kind.startswith("sk") else "public",
                digest=hashlib.sha256(token.encode()).hexdigest(),
                last4=token[-4:],
                created_at=key.created_at,
            )
        )
    async with client_with(token) as api:
        assert (await api.get(CUSTOMERS)).status_code == 200
        assert (await api.post(CUSTOMERS, json={"email": "jane@example.com"})).status_code == created


async def test_a_public_key_reads_apps_and_customers(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, ids: Ids
) -> None:
    for method, path in READS:
        seen, known = (
            await reader.request(method, path.format(**ids)),
            await api.get(path.format(**ids)),
        )
        assert (seen.status_code, seen.json()) == (200, _without_token(known.json())), path


def _without_token(answer: dict[str, Any]) -> dict[str, Any]:
    if isinstance(answer["data"], dict):
        answer["data"].pop("token", None)
    return answer


async def test_a_public_key_cannot_write_whatever_else_is_wrong(
    reader: httpx.AsyncClient, database: Database, ids: Ids
) -> None:
    before = await stored(database, customers), await stored(database, apps)
    unknown = [(method, path.replace(SLUG, "nothing")) for method, path in WRITES]

    assert await _all(reader, WRITES, ids) == dict.fromkeys(WRITES, FORBIDDEN)
    assert await _all(reader, unknown, ids) == dict.fromkeys(unknown, FORBIDDEN)
    assert (await stored(database, customers), await stored(database, apps)) == before


async def test_an_unknown_app_is_reported_before_errors_of_the_body_or_the_parameters(
    api: httpx.AsyncClient, database: Database, ids: Ids
) -> None:
    beneath = [(method, path.replace(SLUG, "nothing")) for method, path in CALLS if SLUG in path]
    wrong = [
        ("GET", "/apps/nothing/customers?page=0"),
        ("GET", "/apps/nothing/customers?email=%00"),
        ("GET", "/apps/nothing/customers/by-email"),
        ("GET", "/apps/nothing/tiers?page=0"),
        ("GET", "/apps/nothing/features?per_page=x"),
        ("GET", "/apps/nothing/licenses?status=new"),
        ("GET", "/apps/nothing/licenses/by-installation?installation_id=1"),
        ("GET", "/apps/nothing/licenses/verify"),
        ("POST", "/apps/nothing/licenses/verify/batch"),
        ("POST", "/apps/nothing/rotate-keys?retire=soon"),
        ("GET", "/apps/nothing/customers/by-external-id?external_id="),
    ]

    assert await _all(api, beneath, ids) == dict.fromkeys(beneath, NOT_FOUND)
    assert await _all(api, wrong, ids) == dict.fromkeys(wrong, NOT_FOUND)


async def test_an_unknown_object_is_reported_before_errors_of_the_body(api: httpx.AsyncClient) -> None:
    unknown = {"id": "cus_nothing", "tier": "tier_nothing", "feature": "feat_nothing", "license": "lic_0"}
    calls = [(method, path.format(**unknown)) for method, path in CALLS if "{" in path]

    assert await _all(api, calls, {}) == dict.fromkeys(calls, NOT_FOUND)


async def test_the_body_is_checked_last(api: httpx.AsyncClient, ids: Ids) -> None:
    json = {"Content-Type": "application/json"}
    for method, path in [
        (method, path.format(**ids))
        for method, path in WRITES
        if method != "DELETE" and not path.endswith(("rotate-keys", "reinstate"))
    ]:
        answers = [
            error(await api.request(method, path, content=b"{", headers=json)),
            error(await api.request(method, path, content=b"{}", headers={"Content-Type": "text/plain"})),
            error(await api.request(method, path, content=b" " * (1024 * 1024 + 1), headers=json)),
        ]
        assert answers == [BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE, PAYLOAD_TOO_LARGE], (method, path)
    assert error(await api.post(CUSTOMERS, json={})) == invalid(email="can't be blank")


async def test_objects_of_another_account_get_the_same_response_as_unknown_ones(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, database: Database, ids: Ids
) -> None:
    before = await stored(database, customers), await stored(database, apps)
    for method, path in CALLS[2:]:
        foreign = await stranger.request(method, path.format(**ids), **BROKEN)
        missing = await stranger.request(method, path.replace(SLUG, "nothing").format(**ids), **BROKEN)
        for answer in (foreign, missing):
            for name in ("x-request-id", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"):
                answer.headers.pop(name, None)
        assert (foreign.status_code, foreign.headers, foreign.content) == (
            404,
            missing.headers,
            missing.content,
        ), (method, path)
    # The app is the caller's own, but the customer in the path belongs to another account.
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        foreign = await stranger.request(
            method, f"/apps/another-app/customers/{ids['id']}", json={"name": "x"}
        )
        missing = await stranger.request(method, "/apps/another-app/customers/cus_0", json={"name": "x"})
        assert (foreign.status_code, foreign.content) == (404, missing.content), method
    assert (await stored(database, customers), await stored(database, apps)) == before
    assert [app["slug"] for app in (await stranger.get("/apps")).json()["data"]] == ["another-app"]
    taken = await stranger.post("/apps", json={"name": "Mine", "slug": SLUG})
    assert error(taken) == (409, "conflict", {"slug": ["has already been taken"]})


@pytest.fixture
async def closed_reader(database_url: str, vendor: Vendor) -> AsyncIterator[httpx.AsyncClient]:
    """A client with a public key, on a server where public keys may not read customers."""
    app = create_app(Settings(database_url=database_url, public_keys_read_customers=False, **SETTINGS))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://testserver/api/v1",
            headers={"Authorization": f"Bearer {vendor.public}"},
        ) as client,
    ):
        yield client


async def test_an_installation_may_hide_customers_from_public_keys(
    closed_reader: httpx.AsyncClient, ids: Ids
) -> None:
    of_customers = [call for call in CALLS if "customers" in call[1]]
    unknown = [(method, path.replace(SLUG, "nothing")) for method, path in of_customers]
    wrong = [("GET", f"{CUSTOMERS}?page=0"), ("GET", f"{CUSTOMERS}/by-email")]

    assert (await closed_reader.get("/apps")).status_code == 200
    assert (await closed_reader.get(f"/apps/{SLUG}")).status_code == 200
    for calls in (of_customers, unknown, wrong):
        assert await _all(closed_reader, calls, ids) == dict.fromkeys(calls, FORBIDDEN)
