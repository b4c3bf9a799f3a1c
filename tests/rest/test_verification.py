"""Verification, which needs no key."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from db import clock
from db.engine import Database
from tests.factories import make_app, make_customer, make_license
from tests.rest.conftest import INSTALLATION, LICENSES, SLUG, Offer, Vendor, issued
from tests.rest.expecting import (
    BAD_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    UNAUTHORIZED,
    UNSUPPORTED_MEDIA_TYPE,
    VERIFICATION_KEYS,
    error,
    invalid,
)
from tests.statements import Statements

VERIFY = f"{LICENSES}/verify"
BATCH = f"{LICENSES}/verify/batch"
NOBODY = "00000000-0000-4000-8000-000000000000"
UUID_FORM = "must be a UUID such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
ONE_OF = "needs exactly one of: installation_id, jti"
ONE_LIST_OF = "needs exactly one of: installation_ids, jtis"
UNKNOWN = {"valid": False, "status": "not_found", "tier": None}


async def test_a_license_is_verified_by_its_installation_or_by_the_id_of_any_of_its_tokens(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    old = await issued(api, offer, features=["beta_api"])
    new = (await api.post(f"{LICENSES}/{old['id']}/regenerate")).json()["data"]
    asked = [
        {"installation_id": INSTALLATION},
        {"installation_id": INSTALLATION.upper()},
        {"installation_id": INSTALLATION, "jti": ""},
        {"jti": old["jti"]},
        {"jti": new["jti"]},
    ]
    for query in asked:
        response = await anyone.get(VERIFY, params=query)

        assert response.status_code == 200, query
        assert response.headers["cache-control"] == "no-store"
        assert list(response.json()["data"]) == VERIFICATION_KEYS
        assert response.json() == {
            "data": {
                "valid": True,
                "status": "active",
                "tier": "team",
                "features": ["export", "sso", "beta_api"],
                "expires_at": old["expires_at"],
                "installation_id": INSTALLATION,
            }
        }


async def test_a_license_that_is_no_longer_valid_has_a_reason(
    anyone: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    now = clock.now()
    past = now - timedelta(seconds=1)
    cases: list[tuple[dict[str, Any], bool, str]] = [
        ({}, True, "active"),
        ({"expires_at": now + timedelta(hours=1)}, True, "active"),
        ({"expires_at": past}, False, "expired"),
        ({"revoked_at": past}, False, "revoked"),
        ({"expires_at": past, "revoked_at": now}, False, "revoked"),
    ]
    for fields, valid, status in cases:
        license = await make_license(database, offer.lena, **fields)
        expires_at = fields.get("expires_at")
        for query in ({"installation_id": license.installation_id}, {"jti": license.jti}):
            response = await anyone.get(VERIFY, params=query)
            assert (response.status_code, response.json()["data"]) == (
                200,
                {
                    "valid": valid,
                    "status": status,
                    "tier": None,
                    "features": [],
                    "expires_at": None if expires_at is None else clock.as_text(expires_at),
                    "installation_id": license.installation_id,
                },
            )


async def test_an_unknown_license_is_not_found_and_must_not_be_cached(
    anyone: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    other = await make_customer(database, await make_app(database, vendor.account))
    foreign = await make_license(database, other)
    license = await make_license(database, offer.lena)
    paths = [
        f"{VERIFY}?installation_id={NOBODY}",
        f"{VERIFY}?installation_id={foreign.installation_id}",
        f"{VERIFY}?jti={foreign.jti}",
        f"{VERIFY}?jti={license.id}",
        f"{VERIFY}?jti=x",
        f"{VERIFY}?jti=x&installation_id=%20",
        f"{VERIFY}?installation_id={NOBODY}&jti=%20",
        f"/apps/nothing/licenses/verify?jti={license.jti}",
        f"/apps/{SLUG.upper()}/licenses/verify?jti={license.jti}",
        f"/apps/%00/licenses/verify?jti={license.jti}",
        "/apps/nothing/licenses/verify",
        "/apps/nothing/licenses/verify?installation_id=x",
    ]
    for path in paths:
        response = await anyone.get(path)
        assert error(response) == NOT_FOUND, path
        assert response.headers["cache-control"] == "no-store", path


async def test_exactly_one_valid_parameter_is_required(anyone: httpx.AsyncClient, offer: Offer) -> None:
    cases = {
        "": invalid(base=ONE_OF),
        "installation_id=&jti=": invalid(base=ONE_OF),
        "jti=%20": invalid(base=ONE_OF),
        "jti=+": invalid(base=ONE_OF),
        "installation_id=%20%09": invalid(base=ONE_OF),
        f"installation_id={INSTALLATION}&jti=lic_1": invalid(base=ONE_OF),
        "token=x": invalid(base=ONE_OF),
        "installation_id=laptop": invalid(installation_id=UUID_FORM),
        f"installation_id={INSTALLATION[:-1]}": invalid(installation_id=UUID_FORM),
        f"installation_id={INSTALLATION}%00": invalid(installation_id=UUID_FORM),
        "jti=%00": invalid(jti="must not contain NUL or lone surrogates"),
        "installation_id=x&jti=%FF": invalid(
            installation_id=UUID_FORM, jti="must not contain NUL or lone surrogates", base=ONE_OF
        ),
    }
    for query, answer in cases.items():
        response = await anyone.get(f"{VERIFY}?{query}")
        assert error(response) == answer, query
        assert response.headers["cache-control"] == "no-store"


async def test_a_batch_has_a_result_for_each_id_as_it_was_sent(
    anyone: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    past = clock.now() - timedelta(days=1)
    good = await make_license(database, offer.lena, tier=offer.team, installation_id=INSTALLATION)
    expired = await make_license(database, offer.lena, expires_at=past)
    revoked = await make_license(database, offer.lena, tier=offer.team, revoked_at=past)
    foreign = await make_license(
        database, await make_customer(database, await make_app(database, vendor.account))
    )
    verdicts = [
        {"valid": True, "status": "active", "tier": "team"},
        {"valid": False, "status": "expired", "tier": None},
        {"valid": False, "status": "revoked", "tier": "team"},
        UNKNOWN,
    ]
    licenses = (good, expired, revoked, foreign)
    for key, asked in (
        ("installation_ids", [each.installation_id for each in licenses]),
        ("jtis", [each.jti for each in licenses]),
    ):
        response = await anyone.post(BATCH, json={key: [*asked, *asked]})

        assert response.status_code == 200
        assert response.headers["cache-control"] == "no-store"
        assert response.json() == {"data": {"results": dict(zip(asked, verdicts, strict=True))}}
        assert list(response.json()["data"]["results"]) == asked
        assert [list(each) for each in response.json()["data"]["results"].values()] == [
            ["valid", "status", "tier"]
        ] * 4

    spellings = [INSTALLATION.upper(), INSTALLATION, INSTALLATION.title()]
    several = await anyone.post(BATCH, json={"installation_ids": spellings, "jtis": None})
    assert several.json()["data"]["results"] == dict.fromkeys(spellings, verdicts[0])


async def test_an_empty_list_has_no_results(anyone: httpx.AsyncClient, offer: Offer) -> None:
    bodies: list[dict[str, object]] = [
        {"installation_ids": []},
        {"jtis": []},
        {"jtis": [], "installation_ids": None},
    ]
    for body in bodies:
        response = await anyone.post(BATCH, json=body)
        assert (response.status_code, response.json()) == (200, {"data": {"results": {}}})


async def test_an_invalid_batch(anyone: httpx.AsyncClient, offer: Offer) -> None:
    many = "holds more than 100 values"
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({}, invalid(base=ONE_LIST_OF)),
        ({"installation_ids": None, "jtis": None}, invalid(base=ONE_LIST_OF)),
        ({"installation_ids": [], "jtis": []}, invalid(base=ONE_LIST_OF)),
        ({"installation_ids": [INSTALLATION], "jtis": ["lic_1"]}, invalid(base=ONE_LIST_OF)),
        ({"installation_ids": [INSTALLATION] * 101}, invalid(installation_ids=many)),
        ({"jtis": [f"lic_{n}" for n in range(101)]}, invalid(jtis=many)),
        ({"jtis": ["x"] * 101, "installation_ids": []}, invalid(jtis=many, base=ONE_LIST_OF)),
        ({"installation_ids": [INSTALLATION, "laptop"]}, invalid(installation_ids=UUID_FORM)),
        ({"installation_ids": ["", "a\x00"]}, invalid(installation_ids=UUID_FORM)),
        ({"installation_ids": [1]}, invalid(installation_ids="must be a string")),
        ({"installation_ids": [None]}, invalid(installation_ids="can't be blank")),
        ({"installation_ids": INSTALLATION}, invalid(installation_ids="must be a list")),
        ({"jtis": {"a": 1}}, invalid(jtis="must be a list")),
        ({"jtis": ["a\x00"]}, invalid(jtis="must not contain NUL or lone surrogates")),
    ]
    for body, answer in cases:
        response = await anyone.post(BATCH, json=body)
        assert error(response) == answer, body
        assert response.headers["cache-control"] == "no-store"


async def test_a_batch_needs_a_json_object_and_a_known_app(anyone: httpx.AsyncClient, offer: Offer) -> None:
    as_json = {"Content-Type": "application/json"}
    bodies: list[tuple[bytes, dict[str, str], tuple[int, str, object]]] = [
        (b"", {}, BAD_REQUEST),
        (b"{", as_json, BAD_REQUEST),
        (b"[]", as_json, BAD_REQUEST),
        (b"{}", {"Content-Type": "text/plain"}, UNSUPPORTED_MEDIA_TYPE),
        (b" " * (1024 * 1024 + 1), as_json, PAYLOAD_TOO_LARGE),
    ]
    for body, headers, answer in bodies:
        assert error(await anyone.post(BATCH, content=body, headers=headers)) == answer
        missing = await anyone.post("/apps/nothing/licenses/verify/batch", content=body, headers=headers)
        assert error(missing) == NOT_FOUND
        assert missing.headers["cache-control"] == "no-store"
    missing = await anyone.post("/apps/nothing/licenses/verify/batch", json={"jtis": []})
    assert error(missing) == NOT_FOUND


async def test_verification_is_one_statement_for_any_number_of_licenses(
    anyone: httpx.AsyncClient, app: Any, database: Database, offer: Offer, statements: Statements
) -> None:
    made = [await make_license(database, offer.lena, tier=offer.team) for _ in range(100)]
    requests: list[dict[str, Any]] = [
        {"method": "GET", "url": VERIFY, "params": {"installation_id": made[0].installation_id}},
        {"method": "GET", "url": VERIFY, "params": {"jti": made[0].jti}},
        {"method": "GET", "url": VERIFY, "params": {"jti": "lic_1"}},
        {"method": "POST", "url": BATCH, "json": {"jtis": [each.jti for each in made]}},
        {
            "method": "POST",
            "url": BATCH,
            "json": {"installation_ids": [each.installation_id for each in made]},
        },
    ]
    for request in requests:
        await anyone.request(**request)
        with statements.recorded(app.state.database) as sent:
            await anyone.request(**request)
        # SQLite runs a short read directly, and stops a longer one and runs it again in a thread. Reading a
        # hundred licenses may take either way.
        assert (len(set(sent)), len(sent) <= 2) == (1, True), request
        assert (sent.transactions, sent.authentications) == ([], []), request


@pytest.mark.parametrize("header", ["Bearer nonsense", "Basic eDp5", ""])
async def test_a_bad_key_is_refused_although_none_is_needed(
    anyone: httpx.AsyncClient, offer: Offer, header: str
) -> None:
    headers = {"Authorization": header}

    one = await anyone.get(f"{VERIFY}?installation_id={NOBODY}", headers=headers)
    many = await anyone.post(BATCH, json={"installation_ids": [NOBODY]}, headers=headers)

    for answer in (one, many):
        assert error(answer) == UNAUTHORIZED
        assert answer.headers["cache-control"] == "no-store"
