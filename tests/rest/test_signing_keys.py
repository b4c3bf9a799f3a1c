"""Signing keys: the public keys and their rotation."""

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
from tests.factories import make_license, make_signing_key
from tests.keyrings import MASTER_KEY, RSA_BITS
from tests.rest.conftest import LICENSES, SLUG, Offer, Vendor, issued
from tests.rest.expecting import (
    BAD_REQUEST,
    NOT_FOUND,
    PEM,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA_TYPE,
    error,
    invalid,
    stored,
)
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
async def test_a_new_app_has_a_key_of_its_algorithm(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, algorithm: str | None, members: list[str]
) -> None:
    body = {"name": "Nova", "slug": "nova"} | ({} if algorithm is None else {"signing_algorithm": algorithm})

    app = (await api.post("/apps", json=body)).json()["data"]
    pem = await anyone.get("/apps/nova/public-key")
    (key,) = (await anyone.get("/apps/nova/jwks.json")).json()["keys"]

    assert app["public_key_pem"] == pem.text == PEM
    assert (sorted(key), key["alg"], key["use"]) == (sorted(members), algorithm or "RS256", "sig")
    assert list(key)[:4] == members[:4]


async def test_the_public_key_is_plain_pem_and_may_be_cached_for_five_minutes(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, vendor: Vendor
) -> None:
    response = await anyone.get(PUBLIC_KEY)
    head = await anyone.head(PUBLIC_KEY)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-pem-file"
    assert response.headers["cache-control"] == "public, max-age=300"
    assert response.text == (await api.get(f"/apps/{SLUG}")).json()["data"]["public_key_pem"] == PEM
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == response.headers["etag"]


async def test_the_key_set_has_no_envelope_and_may_be_cached_for_five_minutes(
    anyone: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    next_key = await make_signing_key(database, vendor.app, 2)

    response = await anyone.get(KEY_SET)

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "public, max-age=300"
    assert list(response.json()) == ["keys"]
    first, second = response.json()["keys"]
    assert "d" not in first.keys() | second.keys()
    assert first["kid"] != second["kid"] == next_key


async def test_a_key_set_without_the_next_key_is_not_used_from_a_cache(
    anyone: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    without = await anyone.get(KEY_SET)
    again = await anyone.get(KEY_SET, headers={"If-None-Match": without.headers["etag"]})
    await make_signing_key(database, vendor.app, 2)
    complete = await anyone.get(KEY_SET, headers={"If-None-Match": without.headers["etag"]})

    assert (without.status_code, without.headers["cache-control"]) == (200, "public, no-cache")
    assert (again.status_code, again.headers["cache-control"]) == (304, "public, no-cache")
    assert (complete.status_code, complete.headers["cache-control"]) == (200, "public, max-age=300")


async def test_a_key_set_from_a_cache_has_the_key_that_signs_after_a_rotation(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    await make_signing_key(database, vendor.app, 2)
    cached = (await anyone.get(KEY_SET)).json()["keys"]
    old = await issued(api, offer)

    for retire in ("", "?retire=immediately"):
        await api.post(f"{ROTATE}{retire}")
        new = (await api.get(f"{LICENSES}/{old['id']}")).json()["data"]["token"]
        if not retire:
            jwt.decode(new, _key(cached, new), audience=SLUG)
            await make_signing_key(database, vendor.app, 3)
            cached = (await anyone.get(KEY_SET)).json()["keys"]

    assert new != old["token"]
    jwt.decode(new, _key(cached, new), audience=SLUG)


@pytest.mark.parametrize("path", [PUBLIC_KEY, KEY_SET])
async def test_a_client_with_the_current_etag_gets_304(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, database: Database, vendor: Vendor, path: str
) -> None:
    await make_signing_key(database, vendor.app, 2)
    tag = (await anyone.get(path)).headers["etag"]

    statuses = {}
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*", '"x"', tag.strip('"'), ""):
        response = await anyone.get(path, headers={"If-None-Match": given})
        statuses[given] = response.status_code
        assert (response.content == b"") == (response.status_code == 304)
        assert response.headers["etag"] == tag
        assert response.headers["cache-control"] == "public, max-age=300"
    await api.post(ROTATE)
    after = await anyone.get(path, headers={"If-None-Match": tag})

    assert list(statuses.values()) == [304, 304, 304, 304, 200, 200, 200]
    assert after.status_code == 200
    assert after.headers["etag"] != tag


@pytest.mark.parametrize("name", ["public-key", "jwks.json"])
async def test_an_unknown_app_has_no_keys(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, vendor: Vendor, name: str
) -> None:
    for slug in ("nothing", SLUG.upper(), "%00", "x" * 300):
        assert error(await anyone.get(f"/apps/{slug}/{name}")) == NOT_FOUND, slug
    await api.delete(f"/apps/{SLUG}")
    assert error(await anyone.get(f"/apps/{SLUG}/{name}")) == NOT_FOUND


async def test_public_keys_are_read_in_one_statement_and_a_bad_key_is_refused(
    anyone: httpx.AsyncClient, app: Any, vendor: Vendor, statements: Statements
) -> None:
    for path in (PUBLIC_KEY, KEY_SET):
        await anyone.get(path)
        with statements.recorded(app.state.database) as sent:
            response = await anyone.get(path)
        assert (response.status_code, len(sent), sent.authentications) == (200, 1, [])
        refused = await anyone.get(path, headers={"Authorization": "Bearer nonsense"})
        assert error(refused) == UNAUTHORIZED


async def test_rotation_signs_live_licenses_again_and_leaves_the_others(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    live = [await issued(api, offer, installation_id=f"00000000-0000-4000-8000-{n:012}") for n in range(3)]
    revoked = await issued(api, offer)
    await api.post(f"{LICENSES}/{revoked['id']}/revoke")
    past = clock.now() - timedelta(days=1)
    await make_license(database, offer.lena, expires_at=past, token="an.old.one")
    old_pem = (await anyone.get(PUBLIC_KEY)).text

    response = await api.post(ROTATE)

    answer = response.json()["data"]
    new_pem = (await anyone.get(PUBLIC_KEY)).text
    assert response.status_code == 200
    assert list(answer) == ["message", "licenses_resigned", "public_key_pem"]
    assert answer == {
        "message": "Signing keys replaced",
        "licenses_resigned": 3,
        "public_key_pem": new_pem,
    }
    assert (old_pem != new_pem, new_pem == PEM) == (True, True)
    keys = (await anyone.get(KEY_SET)).json()["keys"]
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
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, vendor: Vendor
) -> None:
    await api.post(ROTATE)
    published = len((await anyone.get(KEY_SET)).json()["keys"])

    responses = [
        await api.post(f"{ROTATE}?retire=immediately"),
        await api.post(ROTATE, json={"retire": "immediately"}),
        await api.post(f"{ROTATE}?retire=immediately", json={"retire": "immediately"}),
        await api.post(f"{ROTATE}?retire=immediately", json={}),
    ]

    assert (published, [response.status_code for response in responses]) == (2, [200] * 4)
    (key,) = (await anyone.get(KEY_SET)).json()["keys"]
    assert jwt.PyJWK(key).key_id == key["kid"]


@pytest.mark.parametrize("way", ["query", "body"])
async def test_after_either_way_to_retire_at_once_the_leaked_key_is_not_published(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, vendor: Vendor, way: str
) -> None:
    (leaked,) = (await anyone.get(KEY_SET)).json()["keys"]

    if way == "query":
        await api.post(f"{ROTATE}?retire=immediately")
    else:
        await api.post(ROTATE, json={"retire": "immediately"})

    assert leaked not in (await anyone.get(KEY_SET)).json()["keys"]


MUST_BE = "must be immediately or left out"
NOT_UNDERSTOOD: dict[str, tuple[str, object, Any]] = {
    "another word": ("", {"retire": "later"}, invalid(retire=MUST_BE)),
    "the word of the graph": ("", {"retire": "IMMEDIATELY"}, invalid(retire=MUST_BE)),
    "an empty word": ("", {"retire": ""}, invalid(retire=MUST_BE)),
    "null": ("", {"retire": None}, invalid(retire=MUST_BE)),
    "true": ("", {"retire": True}, invalid(retire=MUST_BE)),
    "a list": ("", {"retire": ["immediately"]}, invalid(retire=MUST_BE)),
    "a mistyped key": ("", {"retired": "immediately"}, invalid(retired="is not known")),
    "a key of null": ("", {"Retire": None}, invalid(Retire="is not known")),
    "a mistyped parameter": ("?retired=immediately", None, invalid(retired="is not known")),
    "a parameter in brackets": ("?retire[]=immediately", None, invalid(**{"retire[]": "is not known"})),
    "a parameter and another word in the body": (
        "?retire=immediately",
        {"retire": "after_last_expiry"},
        invalid(retire=MUST_BE),
    ),
    "another parameter and the word in the body": (
        "?retire=later",
        {"retire": "immediately"},
        invalid(retire=MUST_BE),
    ),
    "a word": ("", "immediately", BAD_REQUEST),
}


@pytest.mark.parametrize("name", NOT_UNDERSTOOD)
async def test_what_is_not_understood_is_refused_and_rotates_nothing(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, name: str
) -> None:
    query, body, expected = NOT_UNDERSTOOD[name]
    before = await stored(database, signing_keys)

    response = await api.post(f"{ROTATE}{query}", json=body)

    assert error(response) == expected
    assert "x-ignored-parameters" not in response.headers
    assert await stored(database, signing_keys) == before


async def test_a_form_is_refused_and_rotates_nothing(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    """`curl -d retire=immediately` sends a form, so a form must be refused and not ignored."""
    before = await stored(database, signing_keys)

    assert error(await api.post(ROTATE, data={"retire": "immediately"})) == UNSUPPORTED_MEDIA_TYPE
    assert await stored(database, signing_keys) == before


async def test_a_rotation_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, stranger: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    before = await stored(database, signing_keys)

    for word in ("", "later", "Immediately", "immediately,now", "true", "%00"):
        answer = error(await api.post(f"{ROTATE}?retire={word}"))
        assert answer == invalid(retire="must be immediately or left out"), word
    assert error(await stranger.post(f"{ROTATE}?retire=immediately")) == NOT_FOUND
    assert await stored(database, signing_keys) == before


@pytest.fixture
async def small(database_url: str, vendor: Vendor) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the vendor's secret key, on a server that re-signs at most one license in a rotation."""
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


async def test_an_app_with_too_many_licenses_gets_an_error_that_names_the_command(
    small: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    await make_license(database, offer.lena)
    within = await small.post(ROTATE)
    await make_license(database, offer.lena)
    before = await stored(database, signing_keys)

    beyond = error(await small.post(ROTATE))

    message = (
        "has more than 1 active licenses, more than a request can sign for; "
        f"run: ./licensegraph keys rotate --app {SLUG}"
    )
    assert (within.status_code, beyond) == (200, (409, "conflict", {"app_slug": [message]}))
    assert await stored(database, signing_keys) == before
