"""Signing keys (contract 3): their public halves, and their replacement."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from db import clock
from db.engine import Database
from db.signing_keys import signing_keys
from server import create_app
from settings import Settings
from tests.factories import make_license
from tests.keyrings import MASTER_KEY, RSA_BITS
from tests.rest.conftest import LICENSES, SLUG, Offer, Vendor, issued
from tests.rest.expecting import NOT_FOUND, PEM, UNAUTHORIZED, error, invalid, stored
from tests.statements import Statements

PUBLIC_KEY = f"/apps/{SLUG}/public-key"
KEY_SET = f"/apps/{SLUG}/jwks.json"
ROTATE = f"/apps/{SLUG}/rotate-keys"


def _verifies(token: str, pem: str) -> bool:
    try:
        jwt.decode(token, pem, ["EdDSA", "RS256"], audience=SLUG)
    except jwt.InvalidSignatureError:
        return False
    return True


def _key(keys: list[dict[str, Any]], token: str) -> jwt.PyJWK:
    kid = jwt.get_unverified_header(token)["kid"]
    return jwt.PyJWK(next(key for key in keys if key["kid"] == kid))


@pytest.mark.parametrize(
    ("algorithm", "members"),
    [
        (None, ["kty", "use", "alg", "kid", "n", "e"]),
        ("RS256", ["kty", "use", "alg", "kid", "n", "e"]),
        ("EdDSA", ["kty", "use", "alg", "kid", "x", "crv"]),
    ],
)
async def test_an_app_is_made_with_a_key_of_its_algorithm(
    api: httpx.AsyncClient, anybody: httpx.AsyncClient, algorithm: str | None, members: list[str]
):
    body = {"name": "Nova", "slug": "nova"} | ({} if algorithm is None else {"signing_algorithm": algorithm})

    app = (await api.post("/apps", json=body)).json()["data"]
    pem = await anybody.get("/apps/nova/public-key")
    (key,) = (await anybody.get("/apps/nova/jwks.json")).json()["keys"]

    assert app["public_key_pem"] == pem.text == PEM
    assert (sorted(key), key["alg"], key["use"]) == (sorted(members), algorithm or "RS256", "sig")
    assert list(key)[:4] == members[:4]


async def test_the_public_key_is_plain_pem_that_may_be_kept_five_minutes(
    api: httpx.AsyncClient, anybody: httpx.AsyncClient, vendor: Vendor
):
    response = await anybody.get(PUBLIC_KEY)
    head = await anybody.head(PUBLIC_KEY)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-pem-file"
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.text == (await api.get(f"/apps/{SLUG}")).json()["data"]["public_key_pem"] == PEM
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == response.headers["etag"]


async def test_the_key_set_is_bare_and_may_be_kept_five_minutes(anybody: httpx.AsyncClient, vendor: Vendor):
    response = await anybody.get(KEY_SET)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=300"
    assert list(response.json()) == ["keys"]
    assert len(response.json()["keys"]) == 1
    assert "d" not in response.json()["keys"][0]


@pytest.mark.parametrize("path", [PUBLIC_KEY, KEY_SET])
async def test_whoever_has_the_newest_is_told_so(
    api: httpx.AsyncClient, anybody: httpx.AsyncClient, vendor: Vendor, path: str
):
    tag = (await anybody.get(path)).headers["etag"]

    statuses = {}
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*", '"x"', tag.strip('"'), ""):
        response = await anybody.get(path, headers={"If-None-Match": given})
        statuses[given] = response.status_code
        assert (response.content == b"") == (response.status_code == 304)
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == "public, max-age=300"
    await api.post(ROTATE)
    after = await anybody.get(path, headers={"If-None-Match": tag})

    assert list(statuses.values()) == [304, 304, 304, 304, 200, 200, 200]
    assert after.status_code == 200
    assert after.headers["etag"] != tag


@pytest.mark.parametrize("name", ["public-key", "jwks.json"])
async def test_an_app_that_is_not_there_has_no_keys(
    api: httpx.AsyncClient, anybody: httpx.AsyncClient, vendor: Vendor, name: str
):
    for slug in ("nothing", SLUG.upper(), "%00", "x" * 300):
        assert error(await anybody.get(f"/apps/{slug}/{name}")) == NOT_FOUND, slug
    await api.delete(f"/apps/{SLUG}")
    assert error(await anybody.get(f"/apps/{SLUG}/{name}")) == NOT_FOUND


async def test_public_keys_are_read_in_one_statement_and_a_bad_key_is_refused(
    anybody: httpx.AsyncClient, app: Any, vendor: Vendor, statements: Statements
):
    for path in (PUBLIC_KEY, KEY_SET):
        await anybody.get(path)
        with statements.recorded(app.state.database) as sent:
            response = await anybody.get(path)
        assert (response.status_code, len(sent), sent.authentications) == (200, 1, [])
        refused = await anybody.get(path, headers={"Authorization": "Bearer nonsense"})
        assert error(refused) == UNAUTHORIZED


async def test_rotation_signs_live_licenses_anew_and_leaves_the_others(
    api: httpx.AsyncClient, anybody: httpx.AsyncClient, database: Database, offer: Offer
):
    live = [await issued(api, offer, installation_id=f"00000000-0000-4000-8000-{n:012}") for n in range(3)]
    revoked = await issued(api, offer)
    await api.post(f"{LICENSES}/{revoked['id']}/revoke")
    past = clock.now() - timedelta(days=1)
    await make_license(database, offer.lena, expires_at=past, token="an.old.one")
    old_pem = (await anybody.get(PUBLIC_KEY)).text

    response = await api.post(ROTATE)

    answer = response.json()["data"]
    new_pem = (await anybody.get(PUBLIC_KEY)).text
    assert response.status_code == 200
    assert list(answer) == ["message", "licenses_resigned", "public_key_pem"]
    assert answer == {
        "message": "Signing keys replaced",
        "licenses_resigned": 3,
        "public_key_pem": new_pem,
    }
    assert (old_pem != new_pem, new_pem == PEM) == (True, True)
    keys = (await anybody.get(KEY_SET)).json()["keys"]
    assert len(keys) == 2
    for license in live:
        now = (await api.get(f"{LICENSES}/{license['id']}")).json()["data"]
        assert now == {**license, "token": now["token"], "jti": now["jti"]}
        assert (_verifies(license["token"], new_pem), _verifies(now["token"], new_pem)) == (False, True)
        for token in (license["token"], now["token"]):
            jwt.decode(token, _key(keys, token), audience=SLUG)
    kept = (await api.get(f"{LICENSES}/{revoked['id']}")).json()["data"]
    assert (kept["token"], kept["jti"]) == (revoked["token"], revoked["jti"])


async def test_a_leaked_key_is_dropped_at_once_with_all_before_it(
    api: httpx.AsyncClient, anybody: httpx.AsyncClient, vendor: Vendor
):
    await api.post(ROTATE)
    published = len((await anybody.get(KEY_SET)).json()["keys"])

    response = await api.post(f"{ROTATE}?retire=immediately", json={"ignored": 1})

    assert (published, response.status_code) == (2, 200)
    (key,) = (await anybody.get(KEY_SET)).json()["keys"]
    assert jwt.PyJWK(key).key_id == key["kid"]


async def test_a_rotation_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, database: Database, vendor: Vendor
):
    before = await stored(database, signing_keys)

    for word in ("", "later", "Immediately", "immediately,now", "true", "%00"):
        answer = error(await api.post(f"{ROTATE}?retire={word}"))
        assert answer == invalid(retire="must be immediately, or left out"), word
    assert error(await stranger.post(f"{ROTATE}?retire=immediately")) == NOT_FOUND
    assert await stored(database, signing_keys) == before


@pytest.fixture
async def small(database_url: str, vendor: Vendor) -> AsyncIterator[httpx.AsyncClient]:
    """The vendor's client of a server that rotates the keys of at most one live license in a request."""
    settings = Settings(database_url=database_url, master_key=MASTER_KEY, rsa_bits=RSA_BITS, rotation_limit=1)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app),
            base_url="http://testserver/api/v1",
            headers={"Authorization": f"Bearer {vendor.secret}"},
        ) as client,
    ):
        yield client


async def test_an_app_with_too_many_licenses_is_told_the_command(
    small: httpx.AsyncClient, database: Database, offer: Offer
):
    await make_license(database, offer.lena)
    within = await small.post(ROTATE)
    await make_license(database, offer.lena)
    before = await stored(database, signing_keys)

    beyond = error(await small.post(ROTATE))

    message = (
        "has more than 1 live licenses, which a request does not sign for; "
        f"run: python server.py keys rotate --app {SLUG}"
    )
    assert (within.status_code, beyond) == (200, (409, "conflict", {"app_slug": [message]}))
    assert await stored(database, signing_keys) == before
