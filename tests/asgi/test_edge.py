"""The edge of both APIs: invalid HTTP gets an error in the API's format, and has no effect."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from asgi import bodies
from asgi.http_protocol import Bounds
from db.customers import customers
from db.engine import Database
from db.events import command
from resolvers.keys import revoke_key
from resolvers.viewer import Policy
from tests.asgi.connections import LAST, Answer, Listener, cut, listening, post
from tests.asgi.test_http_protocol import JAVA
from tests.factories import Account, make_account, make_app, make_key
from tests.rest.expecting import stored

pytestmark = pytest.mark.surface

JSON = "Content-Type: application/json"
GRAPH, REST = "/graphql", "/api/v1/apps/atlas/customers"
PATHS = [GRAPH, REST]
CREATE = 'mutation { createCustomer(input: {appSlug: "atlas", email: "%s"}) { userErrors { code } } }'


@pytest.fixture
async def account(database: Database) -> Account:
    account = await make_account(database)
    await make_app(database, account, slug="atlas")
    return account


@pytest.fixture
async def key(database: Database, account: Account) -> str:
    return await make_key(database, account)


@pytest.fixture
async def server(app: Starlette) -> AsyncIterator[Listener]:
    async with listening(app) as server:
        yield server


def creating(path: str, email: str = "jane@example.com") -> bytes:
    """Return a request body that creates a customer, in the format of the path's API."""
    values = {"query": CREATE % email} if path == GRAPH else {"email": email}
    return json.dumps(values).encode()


def with_key(key: str) -> str:
    return f"Authorization: Bearer {key}"


async def emails(database: Database) -> list[str]:
    return sorted(row["email"] for row in await stored(database, customers))


def assert_refused(answer: Answer, path: str, status: int, code: str | None = None) -> None:
    """Check that a response is an error in the format of the path's API, with all the usual headers."""
    assert answer.status == status
    assert len(answer.headers["x-request-id"]) == 36
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    body: Any = answer.json()
    if path == GRAPH:
        (error,) = body["errors"]
        assert error["message"]
        assert error["extensions"] == {"code": "BAD_USER_INPUT" if code is None else code.upper()}
    else:
        assert list(body) == ["error"]
        assert body["error"]["message"]
        assert body["error"]["code"] == (code or "bad_request")


def answered(logged: list[Any]) -> list[tuple[str, str, int]]:
    return [
        (line["log_level"], line["path"], line["status"])
        for line in logged
        if line["event"] == "request.answered"
    ]


@pytest.mark.parametrize("how", ["whole", "head", "bytes"])
async def test_the_bytes_of_a_java_client_create_customers(
    server: Listener, database: Database, key: str, how: str
) -> None:
    for path in PATHS:
        text = post(path, creating(path, f"{path[1:4]}@example.com"), JSON, with_key(key), *JAVA)
        first, _ = await server.talk(*cut(text + LAST, how), pause=0.001)
        assert first.status in {200, 201}, first

    assert await emails(database) == ["api@example.com", "gra@example.com"]


@pytest.mark.skipif(shutil.which("java") is None, reason="needs Java")
async def test_a_java_client_creates_customers(server: Listener, database: Database, key: str) -> None:
    program = Path(__file__).parent / "java" / "CreateCustomers.java"
    url = f"http://127.0.0.1:{server.port}"
    asked = [(f"{url}{path}", creating(path, f"{path[1:4]}@example.com").decode()) for path in PATHS]

    running = await asyncio.create_subprocess_exec(
        "java", str(program), key, *(word for each in asked for word in each), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await running.communicate()

    assert [line.split()[0] for line in printed.decode().splitlines()] == ["200", "201"]
    assert await emails(database) == ["api@example.com", "gra@example.com"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("before", "after", "status"),
    [
        ("?q=a b HTTP/1.1\r\nHost: x", "", 400),
        (" HTTP/1.1\r\nAccept: text/html", "", 400),
        (" HTTP/1.1\r\nHost: x\r\nHost: y", "", 400),
        (" HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket", "", 400),
        (" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked", "", 400),
        (" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", "", 400),
        (" HTTP/1.1\r\nHost: x\r\nX: " + "x" * 65_536, "", 431),
        ("/" + "x" * 65_536 + " HTTP/1.1\r\nHost: x", "", 431),
    ],
)
async def test_invalid_http_is_an_error_in_the_shape_of_the_api(
    server: Listener, path: str, before: str, after: str, status: int
) -> None:
    with capture_logs() as logged:
        (got,) = await server.talk(f"GET {path}{before}\r\n\r\n{after}".encode())

    if before.startswith("/"):
        path = "/anything else"  # the longer path is not /graphql, so its error is in REST's format
    assert_refused(got, path, status)
    assert [(level, code) for level, _, code in answered(logged)] == [("info", status)]
    assert {line["log_level"] for line in logged} == {"info"}


async def test_bytes_that_are_not_a_request_are_an_error_too(server: Listener) -> None:
    (got,) = await server.talk(b"\x16\x03\x01\x02\x00")

    assert_refused(got, "/", 400)


@pytest.mark.parametrize("path", PATHS)
async def test_slow_headers_and_slow_bodies_are_errors_in_the_shape_of_the_api(
    app: Starlette, database: Database, key: str, path: str
) -> None:
    text = post(path, creating(path), JSON, with_key(key))
    async with listening(app, Bounds(header_timeout_s=0.3, body_timeout_s=0.3)) as server:
        (slow_head,) = await server.talk(text[:40])
        (slow_body,) = await server.talk(*[text[at : at + 1] for at in range(len(text) - 1)], pause=0)
        broken = post(path, creating(path), JSON, with_key(key), chunked=True).replace(b"\r\n0\r\n", b"\r\nz")
        (broken_body,) = await server.talk(*cut(broken, "head"), pause=0.1)

    assert_refused(slow_head, path, 408)
    assert_refused(slow_body, path, 408)
    assert_refused(broken_body, path, 400)
    assert await emails(database) == []


async def test_too_many_connections_are_an_error_that_says_when_to_retry(app: Starlette) -> None:
    async with listening(app, Bounds(max_connections=1)) as server:
        _, writer = await server.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await asyncio.sleep(0.1)
        (got,) = await server.talk(b"")
        writer.close()

    assert_refused(got, "/", 503, "unavailable")
    assert got.headers["retry-after"] == "1"


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_must_not_be_compressed(
    server: Listener, database: Database, key: str, path: str
) -> None:
    for number, encoding in enumerate(["identity", "Identity", ""]):
        body = creating(path, f"{number}@example.com")
        text = post(path, body, JSON, with_key(key), f"Content-Encoding: {encoding}")
        assert (await server.talk(text + LAST))[0].status in {200, 201}
    for encoding in ("gzip", "br", "x", "identity, gzip"):
        text = post(path, creating(path), JSON, with_key(key), f"Content-Encoding: {encoding}")
        refused, _ = await server.talk(text + LAST)
        assert_refused(refused, path, 415, None if path == GRAPH else "unsupported_media_type")

    assert await emails(database) == ["0@example.com", "1@example.com", "2@example.com"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_byte_order_mark_is_skipped(
    server: Listener, database: Database, key: str, path: str
) -> None:
    mark = b"\xef\xbb\xbf"

    await server.talk(post(path, mark + creating(path), JSON, with_key(key)) + LAST)
    twice, _ = await server.talk(post(path, mark * 2 + creating(path), JSON, with_key(key)) + LAST)

    assert await emails(database) == ["jane@example.com"]
    assert_refused(twice, path, 400)


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_that_is_too_long_is_refused_before_it_is_sent(
    server: Listener, key: str, path: str
) -> None:
    text = post(path, LAST * 30_000, JSON, with_key(key), "Expect: 100-continue")

    (got,) = await server.talk(*cut(text, "head"))

    assert_refused(got, path, 413, None if path == GRAPH else "payload_too_large")
    assert got.headers["connection"] == "close"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("how", ["revoked", "whole"])
async def test_a_key_that_is_revoked_while_the_body_is_received_no_longer_works(
    server: Listener, database: Database, account: Account, key: str, path: str, how: str
) -> None:
    text = post(path, creating(path), JSON, with_key(key))
    reader, writer = await server.connect()
    writer.write(text[:-5])
    await asyncio.sleep(0.2)
    if how == "revoked":
        async with database.write() as session:
            await revoke_key(session, command("keys revoke"), Policy(), key)
    await asyncio.sleep(1)
    writer.write(text[-5:] + LAST)
    got = (await reader.read()).split(b"\r\n")[0]
    writer.close()

    if how == "revoked":
        assert got == b"HTTP/1.1 401 Unauthorized"
        assert await emails(database) == []
    else:
        assert got in {b"HTTP/1.1 200 OK", b"HTTP/1.1 201 Created"}
        assert await emails(database) == ["jane@example.com"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_bad_key_is_refused_before_the_body_is_received(server: Listener, path: str) -> None:
    head, _ = cut(post(path, b" " * 1_000_000, JSON, with_key("sk_live_" + "x" * 32)), "head")
    reader, writer = await server.connect()
    writer.write(head)
    got = await asyncio.wait_for(reader.readline(), 5)
    writer.close()

    assert got == b"HTTP/1.1 401 Unauthorized\r\n"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kept", [0, 60, -20, -1, None])
@pytest.mark.parametrize("wait", [0.01, 0.2])
async def test_a_client_that_hangs_up_is_not_an_error(
    server: Listener, key: str, path: str, kept: int | None, wait: float
) -> None:
    text = post(path, creating(path), JSON, with_key(key))
    with capture_logs() as logged:
        _, writer = await server.connect()
        writer.write(text[:kept])
        await asyncio.sleep(wait)
        writer.transport.abort()
        await asyncio.sleep(0.2)

    assert {line["log_level"] for line in logged} <= {"info"}
    if kept in {0, 60}:
        assert logged == [], "no complete request head was sent"
    elif kept is not None:
        assert answered(logged) == [("info", path.replace("atlas", "{slug}"), 499)]
        assert len(logged) == 1


async def test_long_bodies_share_a_bound(server: Listener, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_LARGE_BYTES", 300_000)
    text = post(GRAPH, creating(GRAPH).ljust(250_000), JSON, with_key(key))
    reader, writer = await server.connect()
    writer.write(text[:200_000])
    await asyncio.sleep(0.2)

    refused, _ = await server.talk(text[:200_000], text[200_000:] + LAST, pause=0.1)
    small, _ = await server.talk(*cut(post(GRAPH, creating(GRAPH), JSON, with_key(key)) + LAST, "head"))
    writer.write(text[200_000:] + LAST)
    first = await reader.readline()
    writer.close()
    later, _ = await server.talk(text[:200_000], text[200_000:] + LAST, pause=0.1)

    assert_refused(refused, GRAPH, 503, "unavailable")
    assert refused.headers["retry-after"] == "1"
    assert (small.status, first, later.status) == (200, b"HTTP/1.1 200 OK\r\n", 200)


async def test_every_response_has_nosniff_and_cache_control(server: Listener, key: str) -> None:
    lasting = {
        "/api/v1/apps/atlas/public-key": "public, max-age=300",
        # caches must revalidate it each time, because the app has no next key yet
        "/api/v1/apps/atlas/jwks.json": "public, no-cache",
    }
    not_ours = {"/", "/api/health", "/api/openapi.json"}
    paths = [
        "/graphql",
        "/graphql?query={__typename}",
        "/api/v1/apps",
        "/api/v1/apps/atlas",
        "/api/v1/apps/nothing",
        "/api/v1/apps/atlas/customers",
        "/api/v1/apps/atlas/licenses",
        "/api/v1/apps/atlas/licenses/verify",
        "/nothing",
        *lasting,
        *not_ours,
    ]
    for path in paths:
        for lines in ("", f"\r\n{with_key(key)}", "\r\nAccept: text/html"):
            text = f"GET {path} HTTP/1.1\r\nHost: x{lines}\r\n\r\n".encode()
            got, _ = await server.talk(text + LAST)
            assert got.headers["x-content-type-options"] == "nosniff", path
            if path not in not_ours and (path.startswith("/api") or "html" not in lines):
                assert got.headers["cache-control"] == lasting.get(path, "no-store"), path
