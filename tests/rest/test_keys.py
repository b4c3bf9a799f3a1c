"""API keys at /api/v1/api-keys."""

from typing import Any

import httpx
import pytest

from asgi import authentication
from db import clock
from db.engine import Database
from tests.factories import key_id, make_account, make_app, make_customer, make_key
from tests.rest.conftest import SLUG, MakeClient, Vendor
from tests.rest.expecting import FORBIDDEN, MOMENT, NOT_FOUND, Like, error, invalid

KEYS = "/api-keys"
KEY_ID = Like("key_[0-7][0-9a-hjkmnp-tv-z]{25}")
CRM = {
    "name": "crm sync",
    "kind": "restricted",
    "scopes": ["read", "read_customers", "write_customers"],
    "apps": [SLUG],
}
SCOPES = (
    "read, read_customers, read_tokens, read_events, write, write_customers, write_licenses, write_catalog, "
    "rotate_signing_keys, manage_keys, manage_webhooks"
)
LAST = {"id": ["is the last secret key without an expiry or a limit: it cannot be revoked or limited"]}


@pytest.fixture(autouse=True)
def no_cached_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up keys in every request, so that a change takes effect at once."""
    monkeypatch.setattr(authentication, "CACHED_SECONDS", 0)


async def made(api: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await api.post(KEYS, json={**CRM, **fields})
    assert response.status_code == 201, response.text
    key: dict[str, Any] = response.json()["data"]
    return key


async def test_a_new_key_is_shown_once_with_its_token(api: httpx.AsyncClient) -> None:
    response = await api.post(KEYS, json=CRM)

    key = response.json()["data"]
    shown = {
        "id": KEY_ID,
        "name": "crm sync",
        "kind": "restricted",
        "prefix": "rk_live_",
        "last4": key["key"][-4:],
        "scopes": ["read", "read_customers", "write_customers"],
        "apps": [SLUG],
        "origins": None,
        "documents": "any",
        "created_at": MOMENT,
        "last_used_at": None,
        "expires_at": None,
        "revoked_at": None,
    }
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/api-keys/{key['id']}"
    assert key == {**shown, "key": Like("rk_live_[0-9A-Za-z]{32}")}
    assert list(key) == [*shown, "key"]
    again = (await api.get(f"{KEYS}/{key['id']}")).json()["data"]
    assert again == shown
    assert list(again) == list(shown)


async def test_a_new_key_works_as_far_as_its_scopes_go(
    api: httpx.AsyncClient, client_with: MakeClient
) -> None:
    crm = client_with((await made(api))["key"])

    assert (await crm.post(f"/apps/{SLUG}/customers", json={"email": "a@b.example"})).status_code == 201
    assert error(await crm.post(f"/apps/{SLUG}/tiers", json={"slug": "a", "name": "A"})) == FORBIDDEN
    assert error(await crm.get(KEYS)) == FORBIDDEN
    assert error(await crm.post(KEYS, json=CRM)) == FORBIDDEN


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"kind": "other"}, "kind", "must be one of: secret, public, restricted"),
        (
            {"kind": "session"},
            "kind",
            "must be one of: secret, public, restricted: a session is created for a customer",
        ),
        (
            {"scopes": ["read", "fly"]},
            "scopes",
            f"must be a list of these: {SCOPES}",
        ),
        ({"scopes": "read"}, "scopes", "must be a list"),
        ({"apps": [SLUG, "other"]}, "apps", "do not all exist: other"),
        ({"apps": ["a"] * 51}, "apps", "has too many apps (maximum is 50)"),
        ({"apps": "atlas"}, "apps", "must be a list"),
        ({"documents": "none"}, "documents", "must be one of: any, registered"),
        ({"origins": []}, "origins", "needs at least one origin; null allows every origin"),
        ({"expires_at": "2026-01-01T00:00:00Z"}, "expires_at", "must be in the future"),
        ({"name": None}, "name", "can't be blank"),
    ],
)
async def test_an_error_names_the_wrong_field(
    api: httpx.AsyncClient, database: Database, body: dict[str, Any], field: str, message: str
) -> None:
    await make_app(database, await make_account(database), slug="other")

    assert error(await api.post(KEYS, json={**CRM, **body})) == invalid(**{field: message})


async def test_the_list_has_filters_and_pages(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    customer = await make_customer(database, vendor.app)
    own = await key_id(database, vendor.secret)
    await make_key(database, vendor.account, kind="session", name="s", customer=customer, created_by=own)
    await make_key(database, vendor.account, name="revoked", revoked_at=clock.now())
    await make_key(database, vendor.account, kind="restricted", name="r", scopes=["read"])

    async def names(**query: str) -> list[str]:
        found = (await api.get(KEYS, params=query)).json()["data"]
        return [each["name"] or each["kind"] for each in found]

    assert await names() == ["r", "revoked", "public", "secret"]
    assert await names(live="true") == ["r", "public", "secret"]
    assert await names(live="false", kind="secret") == ["revoked"]
    assert await names(kind="session") == ["s"]
    assert (await api.get(KEYS, params={"per_page": "1", "page": "2"})).json()["meta"] == {
        "total": 4,
        "page": 2,
        "per_page": 1,
    }
    first = (await api.get(KEYS, params={"cursor": "", "per_page": "1", "live": "false"})).json()["meta"]
    assert first["next_cursor"] is None
    cursor = (await api.get(KEYS, params={"cursor": "", "per_page": "1"})).json()["meta"]["next_cursor"]
    assert await names(cursor=cursor, per_page="1") == ["revoked"]
    other = await api.get(KEYS, params={"cursor": cursor, "live": "false"})
    assert error(other) == invalid(cursor="belongs to another list or another filter")
    wrong = await api.get(KEYS, params={"kind": "x", "live": "x"})
    assert error(wrong) == invalid(
        kind="must be one of: secret, public, restricted, session", live="must be true or false"
    )


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
async def test_a_change_keeps_what_is_left_out(api: httpx.AsyncClient, method: str) -> None:
    key = await made(api)
    del key["key"]

    changed = await api.request(
        method, f"{KEYS}/{key['id']}", json={"apps": None, "origins": ["https://a.example"]}
    )

    assert changed.json()["data"] == {**key, "apps": None, "origins": ["https://a.example"]}
    wrong = await api.request(method, f"{KEYS}/{key['id']}", json={"apps": ["nowhere"]})
    assert error(wrong) == invalid(apps="do not all exist: nowhere")


async def test_a_rotation_shows_the_new_token(api: httpx.AsyncClient, client_with: MakeClient) -> None:
    key = await made(api)

    rotated = (await api.post(f"{KEYS}/{key['id']}/rotate", json={"overlap_hours": 1})).json()["data"]

    token = rotated["key"]
    assert rotated == {**key, "last4": token[-4:], "key": token}
    assert token != key["key"]
    assert [(await client_with(each).get("/apps")).status_code for each in (key["key"], token)] == [200] * 2
    newest = (await api.post(f"{KEYS}/{key['id']}/rotate")).json()["data"]["key"]
    works = [(await client_with(each).get("/apps")).status_code for each in (key["key"], token, newest)]
    assert works == [401, 200, 200]
    wrong = await api.post(f"{KEYS}/{key['id']}/rotate", json={"overlap_hours": 169})
    assert error(wrong) == invalid(overlap_hours="must be less than or equal to 168")


async def test_a_deleted_key_is_revoked_and_the_last_one_stays(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, client_with: MakeClient
) -> None:
    key = await made(api)

    for _ in range(2):
        response = await api.delete(f"{KEYS}/{key['id']}")
        assert (response.status_code, response.content) == (204, b"")

    assert (await client_with(key["key"]).get("/apps")).status_code == 401
    assert (await api.get(f"{KEYS}/{key['id']}")).json()["data"]["revoked_at"] == MOMENT
    own = f"{KEYS}/{await key_id(database, vendor.secret)}"
    assert error(await api.delete(own)) == (409, "conflict", LAST)
    assert error(await api.patch(own, json={"origins": ["https://a.example"]})) == (409, "conflict", LAST)


async def test_a_key_of_another_account_is_not_found(api: httpx.AsyncClient, database: Database) -> None:
    id = await key_id(database, await make_key(database, await make_account(database)))

    for method, path in (("GET", ""), ("PATCH", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/rotate")):
        for each in (id, "key_01h455vb4pex5vsknk084sn02q", "nonsense"):
            body: dict[str, Any] | None = {} if method in {"PATCH", "PUT", "POST"} else None
            assert error(await api.request(method, f"{KEYS}/{each}{path}", json=body)) == NOT_FOUND
