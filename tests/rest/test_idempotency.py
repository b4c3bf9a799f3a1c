"""Requests to REST that are sent again with their idempotency key."""

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select, text
from starlette.applications import Starlette

from asgi import authentication
from db import clock
from db import idempotency as stored
from db.engine import Database, WriteSession
from db.events import events
from db.idempotency import Claim, idempotency
from resolvers import idempotency as behaviour
from resolvers import rotation
from resolvers.idempotency import forget
from resolvers.keyring import Algorithm, Keyring, NewSigningKey
from rest.openapi import document
from tests.factories import key_id, make_key, make_outcome
from tests.rest.conftest import CUSTOMERS, LENA, LICENSES, SLUG, MakeClient, Offer, Vendor, created, issued
from tests.rest.expecting import BAD_REQUEST, error
from tests.statements import Statements

KEY = {"Idempotency-Key": "order-1"}
KEYS = "/api-keys"
APP = f"/apps/{SLUG}"


@pytest.fixture(autouse=True)
def no_cached_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look up keys in every request, so that a change takes effect at once."""
    monkeypatch.setattr(authentication, "CACHED_SECONDS", 0)


async def count_events(database: Database) -> int:
    async with database.read() as session:
        row = await session.row(select(func.count()).select_from(events), {})
    assert row is not None
    return int(row[0])


async def count_customers(api: httpx.AsyncClient) -> int:
    total: int = (await api.get(CUSTOMERS)).json()["meta"]["total"]
    return total


def is_replay(response: httpx.Response) -> bool:
    return bool(response.headers.get("idempotency-replayed") == "true")


async def test_a_repeated_request_gets_the_same_response(api: httpx.AsyncClient, database: Database) -> None:
    first = await api.post(CUSTOMERS, json=LENA, headers=KEY)
    recorded = await count_events(database)
    again = await api.post(CUSTOMERS, json=LENA, headers=KEY)

    assert (first.status_code, is_replay(first)) == (201, False)
    assert (again.status_code, is_replay(again)) == (201, True)
    assert again.content == first.content
    for name in ("location", "content-type", "cache-control"):
        assert again.headers[name] == first.headers[name]
    assert await count_customers(api) == 1
    assert await count_events(database) == recorded


async def test_every_kind_of_write_is_repeated_without_effect(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    license = await issued(api, offer)
    one = f"{LICENSES}/{license['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", f"{CUSTOMERS}/{offer.lena.id}", {"name": "Lena"}),
        ("POST", f"{CUSTOMERS}/get-or-create", {"email": "new@orbit.example"}),
        ("POST", f"{CUSTOMERS}/get-or-create", {"email": "lena@orbit.example"}),
        ("POST", f"{CUSTOMERS}/{offer.lena.id}/sessions", {}),
        ("POST", f"{one}/regenerate", {}),
        ("POST", f"{one}/revoke", {"reason": "refunded"}),
        ("POST", f"{one}/revoke", {"reason": "again"}),
        ("POST", f"{one}/reinstate", None),
        ("DELETE", one, None),
        ("POST", KEYS, {"name": "crm sync", "kind": "secret"}),
        ("POST", "/apps", {"name": "Nova", "slug": "nova", "signing_algorithm": "EdDSA"}),
        ("POST", f"{APP}/rotate-keys", {"retire": "immediately"}),
        ("DELETE", APP, None),
    ]

    for number, (method, path, body) in enumerate(calls):
        call = partial(api.request, method, path, json=body, headers={"Idempotency-Key": f"key-{number}"})
        first = await call()
        recorded = await count_events(database)
        again = await call()

        assert first.is_success, (method, path, first.text)
        assert (again.status_code, again.content) == (first.status_code, first.content), (method, path)
        assert (is_replay(first), is_replay(again)) == (False, True), (method, path)
        assert await count_events(database) == recorded, (method, path)


async def test_the_spacing_and_order_of_a_body_do_not_matter(api: httpx.AsyncClient, offer: Offer) -> None:
    first = await api.post(LICENSES, json=offer.body, headers=KEY)
    other = ", ".join(f'"{name}" :  "{value}"' for name, value in reversed(offer.body.items()))
    again = await api.post(
        LICENSES,
        content=f'{{ {other}, "unknown": true }}',
        headers={**KEY, "Content-Type": "application/json"},
    )

    assert (again.status_code, is_replay(again)) == (201, True)
    assert again.json() == first.json()


async def test_a_key_stands_for_one_input(api: httpx.AsyncClient, database: Database) -> None:
    await api.post(CUSTOMERS, json=LENA, headers=KEY)

    response = await api.post(CUSTOMERS, json={**LENA, "metadata": {"seats": 13}}, headers=KEY)

    assert (response.status_code, response.json()["error"]["code"]) == (422, "idempotency_mismatch")
    assert not is_replay(response)
    assert await count_customers(api) == 1


async def test_another_path_or_api_key_has_keys_of_its_own(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, client_with: MakeClient
) -> None:
    first = await api.post(CUSTOMERS, json=LENA, headers=KEY)
    found = await api.post(f"{CUSTOMERS}/get-or-create", json=LENA, headers=KEY)
    async with client_with(await make_key(database, vendor.account)) as other:
        taken = await other.post(CUSTOMERS, json=LENA, headers=KEY)

    assert (found.status_code, is_replay(found)) == (200, False)
    assert found.json() == first.json()
    assert (taken.status_code, is_replay(taken)) == (409, False)


async def test_a_replay_checks_the_api_key_and_its_scopes(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, client_with: MakeClient
) -> None:
    scopes = ["read", "read_customers", "write_customers"]
    token = await make_key(database, vendor.account, kind="restricted", scopes=scopes)
    path = f"{KEYS}/{await key_id(database, token)}"
    async with client_with(token) as other:
        assert (await other.post(CUSTOMERS, json=LENA, headers=KEY)).status_code == 201
        assert (await api.patch(path, json={"scopes": scopes[:2]})).status_code == 200
        forbidden = await other.post(CUSTOMERS, json=LENA, headers=KEY)
        assert (await api.delete(path)).status_code == 204
        revoked = await other.post(CUSTOMERS, json=LENA, headers=KEY)

    assert (forbidden.status_code, revoked.status_code) == (403, 401)


async def test_a_refusal_is_not_kept(api: httpx.AsyncClient, database: Database) -> None:
    refused = await api.post(CUSTOMERS, json={"email": "lena"}, headers=KEY)
    missing = await api.delete(f"{CUSTOMERS}/cus_1", headers=KEY)
    fixed = await api.post(CUSTOMERS, json=LENA, headers=KEY)

    assert (refused.status_code, missing.status_code) == (422, 404)
    assert (fixed.status_code, is_replay(fixed)) == (201, False)


async def test_quotes_around_a_key_do_not_matter(api: httpx.AsyncClient) -> None:
    await api.post(CUSTOMERS, json=LENA, headers={"Idempotency-Key": r'a"b\c'})

    again = await api.post(CUSTOMERS, json=LENA, headers={"Idempotency-Key": r'"a\"b\\c"'})

    assert is_replay(again)


@pytest.mark.parametrize("key", ["", '""', " ", "a b", "é", "x" * 256, '"open', '"a" b', '"a";b=1'])
async def test_a_key_of_another_form_is_refused(api: httpx.AsyncClient, key: str) -> None:
    response = await api.post(CUSTOMERS, json=LENA, headers={b"Idempotency-Key": key.encode("latin-1")})

    assert error(response) == BAD_REQUEST
    assert "1 to 255 visible ASCII characters" in response.json()["error"]["message"]
    assert await count_customers(api) == 0


async def test_two_keys_are_refused(api: httpx.AsyncClient) -> None:
    sent = [("Idempotency-Key", "a"), ("Idempotency-Key", "a"), *api.headers.items()]

    response = await api.post(CUSTOMERS, json={"email": "ada@example.com"}, headers=sent)

    assert error(response) == BAD_REQUEST
    assert response.json()["error"]["message"] == "Idempotency-Key was sent more than once."


async def test_a_read_ignores_the_key(api: httpx.AsyncClient) -> None:
    responses = [await api.get(CUSTOMERS, headers={"Idempotency-Key": key}) for key in ("a", "a", "")]

    assert [(each.status_code, is_replay(each)) for each in responses] == [(200, False)] * 3


async def test_an_exchange_of_a_token_ignores_the_key(
    api: httpx.AsyncClient, anyone: httpx.AsyncClient, offer: Offer
) -> None:
    license = await issued(api, offer)
    path, body = f"{LICENSES}/{license['id']}/regenerate", {"current_token": license["token"]}

    for client in (anyone, api):
        renewed = [await client.post(path, json=body, headers=KEY) for _ in range(2)]
        tokens = {each.json()["data"]["token"] for each in renewed}
        assert [each.status_code for each in renewed] == [200, 200]
        assert len(tokens) == 2
        assert not any(map(is_replay, renewed))


async def test_a_repeated_creation_shows_the_secret_again_but_the_database_does_not(
    api: httpx.AsyncClient, database: Database
) -> None:
    body = {"name": "crm sync", "kind": "secret"}
    first = await api.post(KEYS, json=body, headers=KEY)
    again = await api.post(KEYS, json=body, headers=KEY)

    token = first.json()["data"]["key"]
    assert again.json()["data"]["key"] == token
    assert (await api.get(KEYS)).json()["meta"]["total"] == 3
    async with database.read() as session:
        (row,) = await session.rows(select(idempotency), {})
    kept = b"".join(each if isinstance(each, bytes) else str(each).encode() for each in row)
    assert token.encode() not in kept
    assert b"crm" not in kept


async def test_a_replayed_deletion_of_the_api_key_itself_needs_a_key(
    api: httpx.AsyncClient, database: Database, vendor: Vendor, client_with: MakeClient
) -> None:
    token = await make_key(database, vendor.account)
    path = f"{KEYS}/{await key_id(database, token)}"
    async with client_with(token) as own:
        responses = [await own.delete(path, headers=KEY) for _ in range(2)]

    assert [each.status_code for each in responses] == [204, 401]


async def test_the_customer_of_an_outcome_is_noted(
    api: httpx.AsyncClient, database: Database, offer: Offer
) -> None:
    """Erasing a customer finds the outcomes that show the customer's data."""
    lena = await created(api, email="other@orbit.example")
    await api.patch(f"{CUSTOMERS}/{lena['id']}", json={"name": "Lena"}, headers={"Idempotency-Key": "a"})
    await api.post(LICENSES, json=offer.body, headers={"Idempotency-Key": "b"})
    await api.post(KEYS, json={"name": "crm", "kind": "secret"}, headers={"Idempotency-Key": "c"})

    async with database.read() as session:
        rows = await session.rows(select(idempotency.c.key, idempotency.c.customer_id), {})
    assert dict(tuple(row) for row in rows) == {"a": lena["id"], "b": offer.lena.id, "c": None}


async def test_without_a_key_no_further_statement_is_run(
    api: httpx.AsyncClient, app: Starlette, statements: Statements
) -> None:
    database = app.state.database
    with statements.recorded(database) as without:
        await api.post(CUSTOMERS, json={"email": "a@orbit.example"})
    with statements.recorded(database) as given:
        await api.post(CUSTOMERS, json={"email": "b@orbit.example"}, headers=KEY)

    written = 2 if database.is_sqlite else 1  # the customer and the event
    assert len(without) == written
    assert not any("idempotency" in each for each in without)
    assert sum("idempotency" in each for each in given) == 2  # take, settle
    assert len(given) == written + 2


async def test_a_first_request_that_runs_too_long_is_a_conflict(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, make = asyncio.Event(), Keyring.make

    async def make_later(keyring: Keyring, algorithm: Algorithm) -> NewSigningKey:
        await gate.wait()
        return await make(keyring, algorithm)

    monkeypatch.setattr(Keyring, "make", make_later)
    call = partial(api.post, "/apps", json={"name": "Nova", "slug": "nova"}, headers=KEY)

    first = asyncio.create_task(call())
    await asyncio.sleep(0)
    started = time.monotonic()
    early = await call()
    waited = time.monotonic() - started
    gate.set()
    done, again = await first, await call()

    assert error(early) == (409, "conflict", {"base": ["is still running"]})
    assert early.headers["retry-after"] == "1"
    assert 0.9 < waited < 2
    assert (done.status_code, is_replay(done)) == (201, False)
    assert (again.status_code, is_replay(again)) == (201, True)


async def test_a_request_waits_for_another_process(
    api: httpx.AsyncClient, database: Database, database_url: str, vendor: Vendor
) -> None:
    """The other process has taken the key, and then it fails. The request waits, and then does the work."""
    if database.is_sqlite:
        pytest.skip("on SQLite, a writer waits for any other writer (tests/apis/test_retries.py)")
    claim = Claim(await key_id(database, vendor.secret), f"POST /api/v1{CUSTOMERS}", "order-1", "0" * 64)
    other = Database(database_url)
    call = partial(api.post, CUSTOMERS, json=LENA, headers=KEY)

    session = WriteSession(other, other._writers)
    await stored.take(session, claim, 1)
    started = time.monotonic()
    busy = await call()
    waited = time.monotonic() - started
    await session.end(RuntimeError())
    await other.close()
    done = await call()

    assert (busy.status_code, busy.headers["retry-after"]) == (409, "1")
    assert 0.9 < waited < 2
    assert (done.status_code, is_replay(done)) == (201, False)


async def test_old_outcomes_are_deleted(database: Database, vendor: Vendor) -> None:
    id = await key_id(database, vendor.secret)
    for hours in (1, 23, 25, 30):
        at = clock.now() - timedelta(hours=hours)
        await make_outcome(database, id, key=f"{hours} h", created_at=at)

    assert await forget(database, 24) == 2
    async with database.read() as session:
        rows = await session.rows(select(idempotency.c.key).order_by(text("key")), {})
    assert [row[0] for row in rows] == ["1 h", "23 h"]


async def test_outcomes_are_deleted_in_batches(
    database: Database, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(behaviour, "ROWS_PER_TRANSACTION", 2)
    id, at = await key_id(database, vendor.secret), clock.now() - timedelta(days=2)
    for number in range(5):
        await make_outcome(database, id, key=str(number), created_at=at)

    assert await forget(database, 24) == 5
    assert await forget(database, 24) == 0


async def test_the_change_and_its_outcome_are_stored_together(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the outcome cannot be stored, nothing is changed, and the repeat is a first request."""

    async def fail(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(stored, "settle", fail)
        failed = await api.post(CUSTOMERS, json=LENA, headers=KEY)
    count = await count_customers(api)
    done = await api.post(CUSTOMERS, json=LENA, headers=KEY)

    assert (failed.status_code, count) == (500, 0)
    assert (done.status_code, is_replay(done)) == (201, False)


async def test_an_interrupted_rotation_continues_where_it_stopped(
    api: httpx.AsyncClient, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def published() -> list[str]:
        return sorted(key["kid"] for key in (await api.get(f"{APP}/jwks.json")).json()["keys"])

    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    await issued(api, offer)
    with monkeypatch.context() as broken:
        broken.setattr(rotation, "_switch", fail)
        failed = await api.post(f"{APP}/rotate-keys", headers=KEY)
    keys = await published()
    done = await api.post(f"{APP}/rotate-keys", headers=KEY)
    again = await api.post(f"{APP}/rotate-keys", headers=KEY)

    assert (failed.status_code, len(keys)) == (500, 2)
    assert (done.status_code, is_replay(done)) == (200, False)
    assert done.json()["data"]["licenses_resigned"] == 1
    assert is_replay(again)
    assert again.json() == done.json()
    assert await published() == keys


def test_every_write_documents_the_header() -> None:
    for path, methods in document()["paths"].items():
        for method, described in methods.items():
            names = {each["name"] for each in described.get("parameters", ())}
            takes_key = method != "get" and described["security"] != [] and "verify" not in path
            assert ("Idempotency-Key" in names) == takes_key, (method, path)
