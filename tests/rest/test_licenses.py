"""Issuing, reading, revoking, reinstating and deleting licenses."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from db import clock
from db.engine import Database
from db.licenses import licenses
from db.tokens import tokens
from tests.factories import make_app, make_customer, make_feature, make_license, make_tier
from tests.rest.conftest import INSTALLATION, LICENSES, SLUG, Offer, Vendor, issued
from tests.rest.expecting import (
    LICENSE_ID,
    LICENSE_KEYS,
    LICENSE_KEYS_WITHOUT_TOKEN,
    MOMENT,
    NOT_FOUND,
    TOKEN,
    error,
    invalid,
    stored,
)
from tests.statements import Statements

BLANK = "can't be blank"
TERMS = "needs exactly one of: expires_at, duration_days, forever"
UUID_FORM = "must be a UUID such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
ACTIVE = (409, "conflict", {"installation_id": ["already has an active license"]})


def _moment(at: datetime) -> str:
    return clock.as_text(at)


async def _stored(database: Database) -> tuple[list[dict[str, Any]], int]:
    """Return all stored licenses, and the number of stored tokens."""
    async with database.write() as session:
        found = (await session.execute(tokens.select())).all()
    return await stored(database, licenses), len(found)


# Issue


async def test_a_license_is_issued_with_its_token_and_location(api: httpx.AsyncClient, offer: Offer) -> None:
    before = clock.now()

    response = await api.post(
        LICENSES,
        json={**offer.body, "installation_id": INSTALLATION.upper(), "features": ["beta_api", "sso"]},
    )

    license = response.json()["data"]
    assert response.status_code == 201
    assert list(license) == LICENSE_KEYS
    assert license == {
        "id": LICENSE_ID,
        "installation_id": INSTALLATION,
        "token": TOKEN,
        "status": "active",
        "tier": "team",
        "features": ["export", "sso", "beta_api"],
        "expires_at": _moment(datetime.fromisoformat(license["created_at"]) + timedelta(days=90)),
        "created_at": MOMENT,
        "customer_id": offer.lena.id,
        "tier_id": offer.team.id,
        "jti": LICENSE_ID,
        "revoked_at": None,
        "metadata": {},
    }
    assert before <= datetime.fromisoformat(license["created_at"]) <= clock.now()
    assert license["jti"] != license["id"]
    assert response.headers["location"] == f"/api/v1{LICENSES}/{license['id']}"
    assert (await api.get(f"http://testserver{response.headers['location']}")).text == response.text


async def test_its_token_has_the_claims_of_the_license_and_verifies_with_the_public_key(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer, features=["beta_api"])
    forever = await issued(
        api, offer, installation_id="00000000-0000-4000-8000-000000000001", duration_days=None, forever=True
    )
    pem = (await anyone.get(f"/apps/{SLUG}/public-key")).text

    claims, lasting = (
        jwt.decode(each["token"], pem, ["EdDSA"], audience=SLUG, issuer="license-server")
        for each in (license, forever)
    )

    issued_at = claims["iat"]
    assert claims == {
        "sub": INSTALLATION,
        "aud": SLUG,
        "iss": "license-server",
        "iat": issued_at,
        "exp": int(datetime.fromisoformat(license["expires_at"]).timestamp()),
        "jti": license["jti"],
        "tier": "team",
        "features": ["export", "sso", "beta_api"],
        "lic_id": license["id"],
    }
    assert 0 <= issued_at - datetime.fromisoformat(license["created_at"]).timestamp() <= 1
    assert (forever["expires_at"], "exp" in lasting) == (None, False)


async def test_every_way_to_say_how_long_a_license_lasts(api: httpx.AsyncClient, offer: Offer) -> None:
    start = clock.now()
    expiries = []
    every_kind: list[dict[str, Any]] = [
        {"duration_days": 1},
        {"duration_days": "30"},
        {"duration_days": 36_500, "forever": False},
        {"duration_days": "007", "forever": None, "expires_at": None},
        {"expires_at": "2099-01-01T02:00:00.9+02:00"},
        {"expires_at": "9999-12-31T23:59:59Z", "duration_days": None},
        {"forever": True},
    ]
    for n, terms in enumerate(every_kind):
        body = {**offer.body, "duration_days": None, **terms}
        body["installation_id"] = f"00000000-0000-4000-8000-{n:012}"
        made = (await api.post(LICENSES, json=body)).json()["data"]
        days = None
        if made["expires_at"] is not None:
            days = round((datetime.fromisoformat(made["expires_at"]) - start) / timedelta(days=1))
        expiries.append(days if n < 4 else made["expires_at"])

    assert expiries == [1, 30, 36_500, 7, "2099-01-01T00:00:00Z", "9999-12-31T23:59:59Z", None]


async def test_faults_of_a_new_license(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    other = await make_app(database, vendor.account)
    theirs, their_tier = await make_customer(database, other), await make_tier(database, other)
    await make_feature(database, other, slug="elsewhere")
    past = _moment(clock.now() - timedelta(seconds=1))
    gone, days = "does not exist", "must be an integer"
    cases: list[tuple[dict[str, Any], tuple[int, str, object]]] = [
        ({"installation_id": None}, invalid(installation_id=BLANK)),
        ({"installation_id": ""}, invalid(installation_id=UUID_FORM)),
        ({"installation_id": "my-laptop"}, invalid(installation_id=UUID_FORM)),
        ({"installation_id": INSTALLATION.replace("-", "", 1)}, invalid(installation_id=UUID_FORM)),
        ({"installation_id": f"{{{INSTALLATION}"}, invalid(installation_id=UUID_FORM)),
        ({"installation_id": f"{INSTALLATION}\n"}, invalid(installation_id=UUID_FORM)),
        ({"installation_id": 1}, invalid(installation_id="must be a string")),
        ({"customer_id": None}, invalid(customer_id=BLANK)),
        ({"customer_id": " "}, invalid(customer_id=BLANK)),
        ({"customer_id": "cus_1"}, invalid(customer_id=gone)),
        ({"customer_id": theirs.id}, invalid(customer_id=gone)),
        ({"customer_id": offer.team.id}, invalid(customer_id=gone)),
        ({"customer_id": "a\x00b"}, invalid(customer_id="must not contain NUL or lone surrogates")),
        ({"tier_id": None}, invalid(tier_id=BLANK)),
        ({"tier_id": ""}, invalid(tier_id=BLANK)),
        ({"tier_id": "tier_1"}, invalid(tier_id=gone)),
        ({"tier_id": their_tier.id}, invalid(tier_id=gone)),
        ({"tier_id": "team"}, invalid(tier_id=gone)),
        ({"tier_id": 1}, invalid(tier_id="must be a string")),
        ({"features": ["sso", "nothing"]}, invalid(features="do not all exist: nothing")),
        ({"features": ["elsewhere"]}, invalid(features="do not all exist: elsewhere")),
        ({"features": "sso"}, invalid(features="must be a list")),
        ({"features": [None]}, invalid(features=BLANK)),
        ({"duration_days": None}, invalid(base=TERMS)),
        ({"duration_days": None, "forever": False}, invalid(base=TERMS)),
        ({"forever": True}, invalid(base=TERMS)),
        ({"expires_at": "2099-01-01T00:00:00Z"}, invalid(base=TERMS)),
        ({"expires_at": "2099-01-01T00:00:00Z", "forever": True}, invalid(base=TERMS)),
        ({"duration_days": 0}, invalid(duration_days="must be greater than or equal to 1")),
        ({"duration_days": "-1"}, invalid(duration_days="must be greater than or equal to 1")),
        ({"duration_days": 36_501}, invalid(duration_days="must be less than or equal to 36500")),
        ({"duration_days": "36501"}, invalid(duration_days="must be less than or equal to 36500")),
        ({"duration_days": "ninety"}, invalid(duration_days=days)),
        ({"duration_days": ""}, invalid(duration_days=days)),
        ({"duration_days": "1e1"}, invalid(duration_days=days)),
        ({"duration_days": "٣"}, invalid(duration_days=days)),
        ({"duration_days": 1.5}, invalid(duration_days=days)),
        ({"duration_days": "1.0"}, invalid(duration_days=days)),
        ({"duration_days": 0.0}, invalid(duration_days="must be greater than or equal to 1")),
        ({"duration_days": 36_501.0}, invalid(duration_days="must be less than or equal to 36500")),
        ({"duration_days": 1e300}, invalid(duration_days="must be less than or equal to 36500")),
        ({"duration_days": True}, invalid(duration_days=days)),
        ({"duration_days": None, "expires_at": past}, invalid(expires_at="must be in the future")),
        (
            {"duration_days": None, "expires_at": "2099-01-01T00:00:00"},
            invalid(expires_at="must be an RFC 3339 timestamp with an offset, such as 2026-01-23T10:00:00Z"),
        ),
        (
            {
                "installation_id": "x",
                "customer_id": "",
                "tier_id": None,
                "features": 1,
                "duration_days": "x",
                "forever": True,
            },
            invalid(
                customer_id=BLANK,
                tier_id=BLANK,
                features="must be a list",
                installation_id=UUID_FORM,
                duration_days=days,
                base=TERMS,
            ),
        ),
        (
            {"customer_id": theirs.id, "tier_id": their_tier.id, "features": ["elsewhere"]},
            invalid(customer_id=gone, tier_id=gone, features="do not all exist: elsewhere"),
        ),
        (
            {"tier_id": their_tier.id, "features": ["elsewhere"]},
            invalid(tier_id=gone, features="do not all exist: elsewhere"),
        ),
    ]

    answers = [error(await api.post(LICENSES, json={**offer.body, **body})) for body, _ in cases]

    assert answers == [answer for _, answer in cases]
    assert await _stored(database) == ([], 0)


async def test_an_installation_has_one_active_license(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    first = await issued(api, offer)
    before = await _stored(database)
    again = {**offer.body, "installation_id": INSTALLATION.upper()}

    while_active = error(await api.post(LICENSES, json=again))
    unchanged = await _stored(database) == before
    await api.post(f"{LICENSES}/{first['id']}/revoke")
    after_revocation = await api.post(LICENSES, json=again)

    assert (while_active, unchanged) == (ACTIVE, True)
    assert after_revocation.status_code == 201
    assert error(await api.post(LICENSES, json=again)) == ACTIVE


async def test_an_expired_license_makes_room(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    past = clock.now() - timedelta(seconds=1)
    await make_license(database, offer.lena, installation_id=INSTALLATION, expires_at=past)

    assert (await api.post(LICENSES, json=offer.body)).status_code == 201


async def test_one_of_two_concurrent_requests_for_an_installation_succeeds(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    answers = await asyncio.gather(*(api.post(LICENSES, json=offer.body) for _ in range(8)))

    assert sorted(each.status_code for each in answers) == [201] + [409] * 7
    assert len((await _stored(database))[0]) == 1


# Read


async def test_a_public_key_reads_licenses_without_their_tokens(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer)
    by_id = f"{LICENSES}/{license['id']}"
    by_installation = f"{LICENSES}/by-installation?installation_id={INSTALLATION.upper()}"

    for path in (by_id, by_installation):
        known, seen = (await api.get(path)).json()["data"], (await reader.get(path)).json()["data"]
        assert known == license
        assert list(known) == LICENSE_KEYS
        assert list(seen) == LICENSE_KEYS_WITHOUT_TOKEN
        assert {**seen, "token": license["token"]} == license


async def test_a_status_is_computed_when_it_is_read(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    now = clock.now()
    made: dict[str, dict[str, Any]] = {
        "active": {"expires_at": now + timedelta(hours=1)},
        "expired": {"expires_at": now - timedelta(seconds=1)},
        "revoked": {"expires_at": now - timedelta(days=1), "revoked_at": now},
    }
    for status, fields in made.items():
        license = await make_license(database, offer.lena, **fields)
        found = (await api.get(f"{LICENSES}/{license.id}")).json()["data"]
        assert found["status"] == status
        assert found["expires_at"] == _moment(fields["expires_at"])
        assert (found["tier"], found["tier_id"], found["token"]) == (None, None, None)


async def test_the_active_license_of_an_installation_is_found_or_else_the_newest(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    past = clock.now() - timedelta(days=1)
    path = f"{LICENSES}/by-installation?installation_id={INSTALLATION}"

    async def found() -> str:
        return str((await api.get(path)).json()["data"]["id"])

    old = await make_license(database, offer.lena, installation_id=INSTALLATION)
    new = await make_license(database, offer.lena, installation_id=INSTALLATION, revoked_at=past)
    while_active = await found()
    await api.post(f"{LICENSES}/{old.id}/revoke")

    assert (while_active, await found()) == (old.id, new.id)


async def test_by_installation_needs_a_known_uuid(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    other = await make_customer(database, await make_app(database, vendor.account))
    await make_license(database, other, installation_id=INSTALLATION)
    path = f"{LICENSES}/by-installation"

    assert error(await api.get(path)) == invalid(installation_id=BLANK)
    for text in ("", "laptop", INSTALLATION[:-1], f"{INSTALLATION}%00", "%FF"):
        answer = error(await api.get(f"{path}?installation_id={text}"))
        assert answer == invalid(installation_id=UUID_FORM), text
    assert error(await api.get(f"{path}?installation_id={INSTALLATION}")) == NOT_FOUND


@pytest.mark.parametrize("page", [1, 2])
async def test_a_list_is_newest_first_without_tokens_and_one_statement(
    api: httpx.AsyncClient,
    app: Any,
    database: Database,
    vendor: Vendor,
    offer: Offer,
    statements: Statements,
    page: int,
) -> None:
    made = [
        (
            await make_license(
                database, offer.lena, tier=offer.team, own_features=["beta_api"], token="a.b.c"
            )
        ).id
        for _ in range(5)
    ]
    await make_license(database, await make_customer(database, await make_app(database, vendor.account)))

    await api.get(f"{LICENSES}?per_page=3&page={page}")
    with statements.recorded(app.state.database) as sent:
        body = (await api.get(f"{LICENSES}?per_page=3&page={page}")).json()

    assert [each["id"] for each in body["data"]] == made[::-1][3 * page - 3 : 3 * page]
    assert [list(each) for each in body["data"]] == [LICENSE_KEYS_WITHOUT_TOKEN] * len(body["data"])
    assert body["data"][0]["features"] == ["export", "sso", "beta_api"]
    assert body["data"][0]["tier"] == "team"
    assert body["meta"] == {"total": 5, "page": page, "per_page": 3}
    assert len(sent) == 1


async def test_all_conditions_of_a_list_must_hold(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    past = clock.now() - timedelta(days=1)
    joe = await make_customer(database, vendor.app)
    ids = {
        "active": (await make_license(database, offer.lena, tier=offer.team)).id,
        "expired": (await make_license(database, offer.lena, expires_at=past)).id,
        "revoked": (await make_license(database, joe, tier=offer.team, revoked_at=past)).id,
        "both": (await make_license(database, joe, expires_at=past, revoked_at=past)).id,
    }
    names = {id: name for name, id in ids.items()}
    cases = {
        "": ["both", "revoked", "expired", "active"],
        "status=&customer_id=&tier_id=": ["both", "revoked", "expired", "active"],
        "status=active": ["active"],
        "status=expired": ["expired"],
        "status=revoked": ["both", "revoked"],
        f"customer_id={joe.id}": ["both", "revoked"],
        f"tier_id={offer.team.id}": ["revoked", "active"],
        f"tier_id={offer.team.id}&customer_id={joe.id}&status=revoked": ["revoked"],
        f"tier_id={offer.team.id}&status=expired": [],
        "customer_id=cus_1": [],
        "tier_id=team": [],
    }

    found = {}
    for query in cases:
        body = (await api.get(f"{LICENSES}?{query}")).json()
        found[query] = [names[each["id"]] for each in body["data"]]
        assert body["meta"]["total"] == len(found[query])

    assert found == cases


async def test_invalid_conditions_of_a_list(api: httpx.AsyncClient, offer: Offer) -> None:
    message = "must be one of: active, expired, revoked"
    for status in ("ACTIVE", "Active", "valid", "not_found", "active,expired", " active", "%00"):
        assert error(await api.get(f"{LICENSES}?status={status}")) == invalid(status=message), status
    answer = error(await api.get(f"{LICENSES}?status=x&page=0&customer_id=%00&tier_id={'x' * 256}"))
    assert answer == invalid(
        page="must be an integer of at least 1",
        status=message,
        customer_id="must not contain NUL or lone surrogates",
        tier_id="is too long (maximum is 255 characters)",
    )


async def test_a_license_of_another_app_of_the_account_is_not_found(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, offer: Offer
) -> None:
    other = await make_customer(database, await make_app(database, vendor.account))
    foreign = await make_license(database, other)
    before = await _stored(database)
    calls = [("GET", ""), ("DELETE", ""), ("POST", "/regenerate"), ("POST", "/revoke")]
    for id in (foreign.id, foreign.jti, offer.lena.id, "lic_1", "lic_%00", "%FF", "x" * 5000):
        for method, action in calls:
            answer = error(await api.request(method, f"{LICENSES}/{id}{action}"))
            assert answer == NOT_FOUND, (method, action, id)
    assert await _stored(database) == before


# Revoke and delete


async def test_revoking_again_changes_nothing(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    license = await issued(api, offer)
    path = f"{LICENSES}/{license['id']}/revoke"

    first = await api.post(path, json={"reason": "Refunded"})
    once = await _stored(database)
    again = await api.post(path, json={"reason": "Another"})

    revoked = first.json()["data"]
    assert (first.status_code, again.status_code, again.text) == (200, 200, first.text)
    assert list(revoked) == LICENSE_KEYS_WITHOUT_TOKEN
    assert revoked == {
        **{key: license[key] for key in LICENSE_KEYS_WITHOUT_TOKEN},
        "status": "revoked",
        "revoked_at": MOMENT,
    }
    assert once[0][0]["revoked_reason"] == "Refunded"
    assert await _stored(database) == once


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", None),
        (b"{}", None),
        (b'{"reason": null}', None),
        (b'{"reason": ""}', None),
        (b'{"reason": "%s", "x": 1}' % (b"x" * 500), "x" * 500),
    ],
)
async def test_a_reason_may_be_given(
    api: httpx.AsyncClient, database: Database, offer: Offer, body: bytes, reason: str | None
) -> None:
    license = await issued(api, offer)

    headers = {"Content-Type": "application/json"} if body else {}
    response = await api.post(f"{LICENSES}/{license['id']}/revoke", content=body, headers=headers)

    assert response.status_code == 200
    assert (await _stored(database))[0][0]["revoked_reason"] == reason


async def test_a_revocation_that_is_refused_changes_nothing(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    path = f"{LICENSES}/{(await issued(api, offer))['id']}/revoke"
    before = await _stored(database)

    answers = [
        error(await api.post(path, json={"reason": reason})) for reason in ("x" * 501, 1, ["x"], "a\x00")
    ]
    not_an_object = error(await api.post(path, json=["reason"]))

    assert answers == [
        invalid(reason="is too long (maximum is 500 characters)"),
        invalid(reason="must be a string"),
        invalid(reason="must be a string"),
        invalid(reason="must not contain NUL or lone surrogates"),
    ]
    assert not_an_object == (400, "bad_request", None)
    assert await _stored(database) == before


async def test_a_reinstated_license_is_as_before_its_revocation(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    path = f"{LICENSES}/{(await issued(api, offer, metadata={'order': 'A-1017'}))['id']}"
    before = await api.get(path)
    await api.post(f"{path}/revoke", json={"reason": "Refunded"})

    reinstated = await api.post(f"{path}/reinstate")

    assert (reinstated.status_code, reinstated.text) == (200, before.text)
    assert list(reinstated.json()["data"]) == LICENSE_KEYS
    assert (await api.get(path)).text == before.text
    assert (await _stored(database))[0][0]["revoked_reason"] is None


async def test_a_license_reinstated_after_a_rotation_has_a_token_of_the_new_key(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer)
    await api.post(f"{LICENSES}/{license['id']}/revoke")
    await api.post(f"/apps/{SLUG}/rotate-keys?retire=immediately")

    reinstated = (await api.post(f"{LICENSES}/{license['id']}/reinstate")).json()["data"]

    pem = (await anyone.get(f"/apps/{SLUG}/public-key")).text
    assert jwt.decode(reinstated["token"], pem, ["EdDSA"], audience=SLUG)["jti"] == reinstated["jti"]
    assert reinstated["jti"] != license["jti"]


async def test_what_cannot_be_reinstated(api: httpx.AsyncClient, database: Database, offer: Offer) -> None:
    first = await issued(api, offer)
    path = f"{LICENSES}/{first['id']}"
    not_revoked = await api.post(f"{path}/reinstate")
    await api.post(f"{path}/revoke")
    await issued(api, offer)
    before = await _stored(database)
    replaced = await api.post(f"{path}/reinstate")
    unknown = await api.post(f"{LICENSES}/lic_00000000000000000000000000/reinstate")
    elsewhere = await api.post(f"/apps/nothing/licenses/{first['id']}/reinstate")

    assert error(not_revoked) == (409, "conflict", {"id": ["is not revoked"]})
    assert error(replaced) == ACTIVE
    assert error(unknown) == error(elsewhere) == NOT_FOUND
    assert await _stored(database) == before


async def test_metadata_is_the_last_key_of_every_response_with_a_license(
    api: httpx.AsyncClient, reader: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    metadata = {"order": "A-1017", "seats": [1, {"of": None}]}
    made = await issued(api, offer, metadata=metadata)
    path = f"{LICENSES}/{made['id']}"
    found = f"{LICENSES}/by-installation?installation_id={INSTALLATION}"

    responses = {
        "one": await api.get(path),
        "found": await api.get(found),
        "one for a public key": await reader.get(path),
        "found for a public key": await reader.get(found),
        "renewed": await anyone.post(f"{path}/regenerate", json={"current_token": made["token"]}),
        "regenerated": await api.post(f"{path}/regenerate"),
        "revoked": await api.post(f"{path}/revoke"),
        "reinstated": await api.post(f"{path}/reinstate"),
    }
    shown = {what: response.json()["data"] for what, response in responses.items()}
    (shown["listed"],) = (await api.get(LICENSES)).json()["data"]

    for what, license in (shown | {"issued": made}).items():
        assert (list(license)[-1], license["metadata"]) == ("metadata", metadata), what


async def test_a_deleted_license_is_gone_with_its_tokens(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    path = f"{LICENSES}/{(await issued(api, offer))['id']}"

    deleted = await api.delete(path)

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert error(await api.get(path)) == error(await api.delete(path)) == NOT_FOUND
    assert await _stored(database) == ([], 0)
    assert (await api.post(LICENSES, json=offer.body)).status_code == 201
