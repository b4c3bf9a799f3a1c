"""Rules for every route: media types, bodies, methods, paths, request ids."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.types import Message

from asgi.authentication import Authentication
from db.customers import customers
from db.engine import Database
from resolvers.viewer import Policy
from rest.app import rest_app
from tests.factories import make_customer
from tests.keyrings import KEYRING
from tests.rest.conftest import CUSTOMERS, SLUG, Vendor
from tests.rest.expecting import (
    BAD_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    Like,
    error,
    stored,
)

pytestmark = pytest.mark.surface

MIB = 1024 * 1024


async def _post(api: httpx.AsyncClient, content: bytes, content_type: str | None) -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return await api.post(CUSTOMERS, content=content, headers=headers)


async def test_answers_are_json_in_utf_8(api: httpx.AsyncClient) -> None:
    made = await api.post(CUSTOMERS, json={"email": "jane@example.com", "name": "Žofia 🦊 O'Neil \" \\"})
    listed = await api.get(CUSTOMERS)
    missing = await api.get("/apps/nothing")

    for response in (made, listed, missing):
        assert response.headers["content-type"] == "application/json; charset=utf-8"
        assert int(response.headers["content-length"]) == len(response.content)
    assert made.json()["data"]["name"] == listed.json()["data"][0]["name"] == "Žofia 🦊 O'Neil \" \\"


async def test_a_body_needs_the_content_type_of_json(api: httpx.AsyncClient, database: Database) -> None:
    body = b'{"email": "%d@example.com"}'
    accepted = [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json ;a=b",
    ]
    refused = [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json+x",
        "",
    ]

    good = [(await _post(api, body % n, each)).status_code for n, each in enumerate(accepted)]
    bad = [error(await _post(api, body % 99, each)) for each in refused]

    assert good == [201] * len(accepted)
    assert bad == [UNSUPPORTED_MEDIA_TYPE] * len(refused)
    assert len(await stored(database, customers)) == len(accepted)


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", None])
async def test_a_write_without_a_body_is_a_bad_request(
    api: httpx.AsyncClient, database: Database, content_type: str | None
) -> None:
    assert error(await _post(api, b"", content_type)) == BAD_REQUEST
    assert await stored(database, customers) == []


async def test_a_body_that_is_not_a_json_object_is_a_bad_request(
    api: httpx.AsyncClient, database: Database
) -> None:
    bodies = [
        b"{",
        b"}",
        b'{"email": "a@example.com"',
        b'{"email": "a@example.com",}',
        b"{'email': 'a@example.com'}",
        b'{"email": "a@example.com"} x',
        b'{"email": "a@example.com", "metadata": {"a": NaN}}',
        b'{"email": "a@example.com", "metadata": {"a": Infinity}}',
        b'{"email": "a\x00@example.com"}',
        b'{"email": "\xff\xfe@example.com"}',
        b"email=a@example.com",
        b'["a@example.com"]',
        b'"a@example.com"',
        b"12",
        b"true",
        b"null",
        b" ",
        b"[" * 100_000,
        b'{"a":' * 100_000,
    ]

    answers = {body[:60]: error(await _post(api, body, "application/json")) for body in bodies}

    assert answers == dict.fromkeys(answers, BAD_REQUEST)
    assert await stored(database, customers) == []


async def test_a_body_of_one_mebibyte_is_read_and_a_longer_one_is_not(
    api: httpx.AsyncClient, database: Database
) -> None:
    body = b'{"email": "jane@example.com"}'

    too_long = await _post(api, body.ljust(MIB + 1), "application/json")
    none_yet = await stored(database, customers)
    as_long_as_may_be = await _post(api, body.ljust(MIB), "application/json")

    assert error(too_long) == PAYLOAD_TOO_LARGE
    assert none_yet == []
    assert as_long_as_may_be.status_code == 201


async def test_a_body_without_a_length_is_read_up_to_the_limit(
    api: httpx.AsyncClient, database: Database
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * (MIB // 8)

    response = await api.post(CUSTOMERS, content=endless(), headers={"Content-Type": "application/json"})

    assert "content-length" not in response.request.headers
    assert error(response) == PAYLOAD_TOO_LARGE
    assert sent == 9
    assert await stored(database, customers) == []


async def test_a_delete_ignores_its_body(api: httpx.AsyncClient, database: Database, vendor: Vendor) -> None:
    customer = await make_customer(database, vendor.app)

    response = await api.request(
        "DELETE", f"{CUSTOMERS}/{customer.id}", content=b"{", headers={"Content-Type": "x/y"}
    )

    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers


async def test_another_method_on_a_known_path_is_405_with_the_allowed_ones(
    client: httpx.AsyncClient,
) -> None:
    app, customers = f"/api/v1/apps/{SLUG}", f"/api/v1/apps/{SLUG}/customers"
    allowed_by_path = {
        "/api/health": "GET, HEAD",
        "/api/openapi.json": "GET, HEAD",
        "/api/v1/apps": "GET, POST, HEAD",
        app: "GET, PUT, PATCH, DELETE, HEAD",
        customers: "GET, POST, HEAD",
        f"{customers}/get-or-create": "POST",
        f"{customers}/by-email": "GET, HEAD",
        f"{customers}/by-external-id": "GET, HEAD",
        f"{customers}/cus_1": "GET, PUT, PATCH, DELETE, HEAD",
    }

    for path, allowed in allowed_by_path.items():
        known = allowed.split(", ")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"):
            if method not in known:
                response = await client.request(method, path)
                assert error(response) == (405, "method_not_allowed", None), (method, path)
                assert sorted(response.headers["allow"].split(", ")) == sorted(known), (method, path)


async def test_an_unknown_path_is_not_found_in_json(client: httpx.AsyncClient) -> None:
    paths = [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v2/apps",
        "/api/v1/customers",
        "/api/v1//apps",
        "/api/v1/apps//",
        f"/api/v1/apps/{SLUG}/customers/cus_1/licenses",
        f"/api/v1/apps/{SLUG}/nothing",
        "/favicon.ico",
        "/API/V1/APPS",
        "/%00",
        "/api/v1/apps/a%2Fb",
        "/%FF",
        "/%0A",
        "/nothing%0A",
        f"/api/v1/apps/{SLUG}%0A/nothing",
    ]

    answers = {
        (method, path): error(await client.request(method, path))
        for path in paths
        for method in ("GET", "POST")
    }
    answers["POST", "/"] = error(await client.post("/"))

    assert answers == dict.fromkeys(answers, NOT_FOUND)


async def test_a_websocket_is_refused() -> None:
    sent = []
    database = Database("sqlite:///nothing.db")
    app = rest_app(database, KEYRING, Authentication(database, Policy()), max_body_bytes=0)

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    await app({"type": "websocket", "path": "/api/v1/apps", "headers": []}, receive, send)

    assert sent == ["websocket.close"]


async def test_a_slash_at_the_end_changes_nothing(
    api: httpx.AsyncClient, database: Database, vendor: Vendor
) -> None:
    customer = await make_customer(database, vendor.app, email="jane@example.com", external_id="crm-1")
    for address in (
        "/apps",
        f"/apps/{SLUG}",
        CUSTOMERS,
        f"{CUSTOMERS}/{customer.id}",
        f"{CUSTOMERS}/by-email?email=jane@example.com",
        f"{CUSTOMERS}/by-external-id?external_id=crm-1",
        "/apps/nothing",
    ):
        path, mark, query = address.partition("?")

        without, with_slash = await api.get(f"{path}{mark}{query}"), await api.get(f"{path}/{mark}{query}")

        assert (with_slash.status_code, with_slash.text) == (without.status_code, without.text), path
    assert (await api.get("http://testserver/api/health/")).status_code == 200
    made = await api.post(f"{CUSTOMERS}/get-or-create/", json={"email": "new@example.com"})
    assert made.status_code == 201
    assert (await api.delete(f"{CUSTOMERS}/{customer.id}/")).status_code == 204


async def test_unknown_keys_and_parameters_are_ignored(api: httpx.AsyncClient) -> None:
    made = await api.post(
        f"{CUSTOMERS}?dry_run=1", json={"email": "jane@example.com", "id": "cus_1", "phone": None, "": [1]}
    )

    listed = await api.get(f"{CUSTOMERS}?sort=email&filter[email]=x&page[]=0&=&&a")

    assert made.status_code == 201
    assert made.json()["data"]["id"] != "cus_1"
    assert listed.json() == {"data": [made.json()["data"]], "meta": {"total": 1, "page": 1, "per_page": 20}}


async def test_head_is_get_without_a_body(api: httpx.AsyncClient, database: Database, vendor: Vendor) -> None:
    customer = await make_customer(database, vendor.app, email="jane@example.com")
    paths = [
        "/apps",
        f"/apps/{SLUG}",
        f"{CUSTOMERS}?page=1",
        f"{CUSTOMERS}/{customer.id}",
        f"{CUSTOMERS}/by-email?email=jane@example.com",
        f"{CUSTOMERS}/by-email",
        f"{CUSTOMERS}?page=0",
        "/apps/nothing",
        "/nothing",
        "http://testserver/api/health",
        "http://testserver/api/openapi.json",
    ]
    for path in paths:
        get, head = await api.get(path), await api.head(path)

        for answer in (get, head):
            for name in ("x-request-id", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"):
                answer.headers.pop(name, None)
        assert (head.status_code, head.headers, head.content) == (get.status_code, get.headers, b""), path


async def test_a_valid_request_id_is_echoed_and_any_other_is_replaced(api: httpx.AsyncClient) -> None:
    made = Like("[0-9a-f-]{36}")
    ids = {
        "req-1": "req-1",
        "A.b_c-9": "A.b_c-9",
        "x" * 128: "x" * 128,
        "x" * 129: made,
        "": made,
        "two words": made,
        "a/b": made,
        "é": made,
    }

    for path in ("/apps", "/apps/nothing", "/nothing"):
        answered = {
            id: (await api.get(path, headers=[(b"X-Request-Id", id.encode())])).headers["x-request-id"]
            for id in ids
        }
        assert answered == ids
    assert (await api.get("/apps")).headers["x-request-id"] == made
