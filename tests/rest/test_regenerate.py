"""Regenerating a license's token, with a secret key or with the token itself."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from db import clock
from db.engine import Database
from db.licenses import licenses
from db.tokens import tokens
from tests.factories import make_app, make_customer, make_tier
from tests.keyrings import SETTINGS
from tests.rest.conftest import (
    FEATURES,
    INSTALLATION,
    LICENSES,
    SLUG,
    TIERS,
    MakeClient,
    Offer,
    Vendor,
    issued,
)
from tests.rest.expecting import (
    BAD_REQUEST,
    FORBIDDEN,
    LICENSE_KEYS,
    NOT_FOUND,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA_TYPE,
    error,
    invalid,
    stored,
)

ANOTHER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings under which one address may send any number of invalid keys, and of tokens to exchange."""
    return {**SETTINGS, "refused_limit_per_minute": 0, "renewal_limit_per_minute": 0}


def _path(license: dict[str, Any]) -> str:
    return f"{LICENSES}/{license['id']}/regenerate"


async def _stored(database: Database) -> object:
    async with database.write() as session:
        rows = await session.execute(tokens.select().order_by(tokens.c.jti))
        issued_tokens = [tuple(row) for row in rows]
    return await stored(database, licenses), issued_tokens


def _claims(license: dict[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(license["token"], options={"verify_signature": False})
    return claims


def _encoded(part: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"current_token": null}', b'{"unknown": 1}'])
async def test_a_secret_key_regenerates_any_license(
    api: httpx.AsyncClient, offer: Offer, body: bytes
) -> None:
    old = await issued(api, offer, features=["beta_api"])

    headers = {"Content-Type": "application/json"} if body else {}
    response = await api.post(_path(old), content=body, headers=headers)

    new = response.json()["data"]
    assert response.status_code == 200
    assert list(new) == LICENSE_KEYS
    assert new == {**old, "token": new["token"], "jti": new["jti"]}
    assert (new["token"] != old["token"], new["jti"] != old["jti"]) == (True, True)
    before, after = _claims(old), _claims(new)
    assert after == {**before, "jti": new["jti"], "iat": after["iat"]}


async def test_features_are_read_again_from_the_tier_and_joined_with_the_licenses_own(
    api: httpx.AsyncClient, offer: Offer
) -> None:
    old = await issued(api, offer, features=["beta_api", "sso"])
    await api.post(FEATURES, json={"slug": "audit", "name": "Audit"})
    await api.put(f"{TIERS}/{offer.team.id}", json={"features": ["export", "audit"]})

    unchanged = (await api.get(f"{LICENSES}/{old['id']}")).json()["data"]
    new = (await api.post(_path(old))).json()["data"]

    assert unchanged == old
    assert new["features"] == _claims(new)["features"] == ["audit", "export", "beta_api", "sso"]


async def test_a_request_with_a_token_needs_no_key_and_may_have_any(
    api: httpx.AsyncClient,
    anyone: httpx.AsyncClient,
    reader: httpx.AsyncClient,
    stranger: httpx.AsyncClient,
    offer: Offer,
) -> None:
    license = await issued(api, offer)
    for client in (anyone, reader, stranger, api):
        response = await client.post(_path(license), json={"current_token": license["token"]})

        regenerated = response.json()["data"]
        assert response.status_code == 200
        assert list(regenerated) == LICENSE_KEYS
        assert regenerated == {**license, "token": regenerated["token"], "jti": regenerated["jti"]}
        assert regenerated["jti"] != license["jti"]
        license = regenerated


async def test_a_superseded_token_works_even_if_its_key_was_rotated(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    first = await issued(api, offer)
    await api.post(_path(first))
    await api.post(f"/apps/{SLUG}/rotate-keys")

    after_rotation = await anyone.post(_path(first), json={"current_token": first["token"]})
    await api.post(f"/apps/{SLUG}/rotate-keys?retire=immediately")

    assert after_rotation.status_code == 200
    for license in (first, after_rotation.json()["data"]):
        answer = error(await anyone.post(_path(license), json={"current_token": license["token"]}))
        assert answer == UNAUTHORIZED


async def test_an_invalid_token_is_unauthorized_with_any_key(
    api: httpx.AsyncClient,
    anyone: httpx.AsyncClient,
    reader: httpx.AsyncClient,
    database: Database,
    vendor: Vendor,
    offer: Offer,
) -> None:
    license = await issued(api, offer)
    sibling = await issued(api, offer, installation_id=ANOTHER)
    other = await make_app(database, vendor.account, slug="other")
    body = {
        **offer.body,
        "customer_id": (await make_customer(database, other)).id,
        "tier_id": (await make_tier(database, other)).id,
    }
    foreign = (await api.post("/apps/other/licenses", json=body)).json()["data"]
    pem = (await anyone.get(f"/apps/{SLUG}/public-key")).text

    token = license["token"]
    header, payload, signature = token.split(".")
    claims = _claims(license)
    kid = jwt.get_unverified_header(token)["kid"]
    hs256 = f"{_encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': kid})}.{payload}"
    mac = hmac.new(pem.encode(), hs256.encode(), hashlib.sha256).digest()
    their_header = foreign["token"].split(".")[0]
    bad = {
        "empty": "",
        "no token": "x",
        "three parts": "a.b.c",
        "truncated": token[:-1],
        "without its signature": f"{header}.{payload}.",
        "with another's signature": f"{header}.{payload}.{sibling['token'].split('.')[2]}",
        "tampered": f"{header}.{_encoded({**claims, 'tier': 'pro'})}.{signature}",
        "prolonged": f"{header}.{_encoded({**claims, 'exp': claims['exp'] + 1})}.{signature}",
        "alg none": f"{_encoded({'alg': 'none', 'kid': kid})}.{payload}.",
        "HS256 under the public key": f"{hs256}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}",
        "a kid that does not exist": f"{_encoded({'alg': 'EdDSA', 'kid': 'sgn_0'})}.{payload}.{signature}",
        "another app's kid": f"{their_header}.{payload}.{signature}",
        "another app's": foreign["token"],
        "another license's": sibling["token"],
        "NUL": f"{token}\x00",
        "too long": token + "x" * 20_000,
    }
    before = await _stored(database)
    for name, current_token in bad.items():
        for client in (anyone, reader, api):
            answer = error(await client.post(_path(license), json={"current_token": current_token}))
            assert answer == UNAUTHORIZED, name
    good = {"current_token": token}
    for path in (f"{LICENSES}/lic_1/regenerate", f"/apps/other/licenses/{license['id']}/regenerate"):
        assert error(await anyone.post(path, json=good)) == UNAUTHORIZED
    nowhere = f"/apps/nothing/licenses/{license['id']}/regenerate"
    assert error(await anyone.post(nowhere, json=good)) == UNAUTHORIZED
    assert await _stored(database) == before


async def test_without_a_token_a_secret_key_is_required_whatever_the_body(
    anyone: httpx.AsyncClient,
    reader: httpx.AsyncClient,
    api: httpx.AsyncClient,
    database: Database,
    offer: Offer,
) -> None:
    license = await issued(api, offer)
    before = await _stored(database)
    as_json = {"Content-Type": "application/json"}
    bodies: list[tuple[bytes, dict[str, str], tuple[int, str, object] | None]] = [
        (b"", {}, None),
        (b"{}", as_json, None),
        (b'{"current_token": null}', as_json, None),
        (b'{"current_token": 1}', as_json, invalid(current_token="must be a string")),
        (b"[]", as_json, BAD_REQUEST),
        (b"{", as_json, BAD_REQUEST),
        (b"{}", {"Content-Type": "text/plain"}, UNSUPPORTED_MEDIA_TYPE),
    ]
    for body, headers, fault in bodies:
        for id in (license["id"], "lic_1"):
            path = f"{LICENSES}/{id}/regenerate"
            assert error(await anyone.post(path, content=body, headers=headers)) == UNAUTHORIZED
            assert error(await reader.post(path, content=body, headers=headers)) == FORBIDDEN
        missing = error(await api.post(f"{LICENSES}/lic_1/regenerate", content=body, headers=headers))
        assert missing == NOT_FOUND
        if fault is not None:
            assert error(await api.post(_path(license), content=body, headers=headers)) == fault
    assert await _stored(database) == before


async def test_a_bad_key_is_unauthorized_even_with_a_valid_token(
    api: httpx.AsyncClient, client_with: MakeClient, database: Database, offer: Offer
) -> None:
    license = await issued(api, offer)
    before = await _stored(database)

    async with client_with("sk_live_" + "0" * 32) as bad:
        answer = error(await bad.post(_path(license), json={"current_token": license["token"]}))

    assert answer == UNAUTHORIZED
    assert await _stored(database) == before


async def test_a_revoked_license_is_a_conflict_and_a_deleted_one_unauthorized(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    license = await issued(api, offer)
    token = {"current_token": license["token"]}
    await api.post(f"{LICENSES}/{license['id']}/revoke")
    before = await _stored(database)

    said = ["is of a revoked license"]
    assert error(await api.post(_path(license))) == (409, "conflict", {"id": said})
    by_token = await anyone.post(_path(license), json=token)
    assert error(by_token) == (409, "conflict", {"current_token": said})
    assert await _stored(database) == before
    await api.delete(f"{LICENSES}/{license['id']}")
    assert error(await anyone.post(_path(license), json=token)) == UNAUTHORIZED
    assert error(await api.post(_path(license))) == NOT_FOUND


async def test_an_expired_license_is_a_conflict_and_its_token_is_invalid(
    api: httpx.AsyncClient,
    anyone: httpx.AsyncClient,
    database: Database,
    offer: Offer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    license = await issued(api, offer)
    before = await _stored(database)
    later = clock.now() + timedelta(days=90, seconds=1)
    now: Callable[[], object] = lambda: later  # noqa: E731
    monkeypatch.setattr(clock, "now", now)

    assert error(await api.post(_path(license))) == (409, "conflict", {"id": ["is of an expired license"]})
    answer = error(await anyone.post(_path(license), json={"current_token": license["token"]}))
    assert answer == UNAUTHORIZED
    assert await _stored(database) == before


async def test_a_public_key_may_read_the_license_of_its_token(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer)

    regenerated = (await reader.post(_path(license), json={"current_token": license["token"]})).json()["data"]

    assert regenerated["installation_id"] == INSTALLATION
    assert "token" not in (await reader.get(f"{LICENSES}/{license['id']}")).json()["data"]
