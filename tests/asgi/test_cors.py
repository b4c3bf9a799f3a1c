"""CORS: which origins are allowed, preflights, and the headers of every response."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette
from structlog.testing import capture_logs

from asgi import cors
from asgi.cors import AllowedOrigins
from asgi.http_protocol import Bounds
from db import clock
from db.engine import Database
from db.events import command
from resolvers import apps
from resolvers.keys import revoke_key
from resolvers.viewer import Policy
from server import create_app
from settings import Settings
from tests.asgi.connections import LAST, Answer, Listener, listening, post
from tests.databases import stopped
from tests.factories import Account, make_account, make_app, make_key
from tests.keyrings import SETTINGS
from tests.rest.test_service import refusing_writes
from tests.statements import Statements

pytestmark = pytest.mark.surface

PORTAL, PREVIEW, FOREIGN = "https://portal.example", "https://*.preview.example", "https://foreign.example"
METHODS = "GET, POST, PUT, PATCH, DELETE"
ACCEPTED = "Authorization, Content-Type, Idempotency-Key, If-Match, Read-After, X-Request-Id"
EXPOSED = (
    "X-Request-Id, Read-After, Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, "
    "X-RateLimit-Remaining, X-RateLimit-Reset, Idempotency-Replayed, ETag, Location"
)
ALLOWED = {
    "access-control-allow-origin": PORTAL,
    "access-control-allow-methods": METHODS,
    "access-control-allow-headers": ACCEPTED,
    "access-control-max-age": "7200",
    "vary": "Origin",
}
JSON = {"Content-Type": "application/json"}

APP = "/api/v1/apps/atlas"
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
PATHS = ["/graphql", "/graphql/", "/api/v1/apps", f"{APP}/customers/cus_1", "/nothing", "/", "/api/docs"]
WITHOUT_KEY = [
    "/api/health",
    "/api/openapi.json",
    f"{APP}/public-key",
    f"{APP}/jwks.json",
    f"{APP}/licenses/verify?installation_id={INSTALLATION}",
]
BATCH = f"{APP}/licenses/verify/batch"


@pytest.fixture
def database(_database: Database) -> Database:
    """A database with connections of its own, because keys are created before the application starts."""
    return _database


@pytest.fixture
async def account(database: Database) -> Account:
    account = await make_account(database)
    await make_app(database, account, slug="atlas")
    return account


@pytest.fixture
async def key(database: Database, account: Account) -> str:
    """A public key for pages of the portal and of its previews."""
    return await make_key(database, account, kind="public", origins=[PORTAL, PREVIEW])


@pytest.fixture
async def secret(database: Database, account: Account) -> str:
    return await make_key(database, account)


class Monotonic:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = time.monotonic() + 1_000

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    made = Monotonic()
    monkeypatch.setattr(cors, "time", SimpleNamespace(monotonic=made))
    return made


@pytest.fixture
async def api(key: str, client: httpx.AsyncClient, monotonic: Monotonic) -> httpx.AsyncClient:
    """A client of the application. The key is created before the application starts.

    Only the test moves the clock of CORS.
    """
    return client


async def preflight(
    client: httpx.AsyncClient, path: str, origin: str | None = PORTAL, method: str = "POST"
) -> httpx.Response:
    headers = {
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
        **({} if origin is None else {"Origin": origin}),
    }
    return await client.options(path, headers=headers)


def of_cors(response: httpx.Response) -> dict[str, str]:
    """Return the CORS headers of a response, and its header Vary."""
    return {
        name: value
        for name, value in response.headers.items()
        if name.startswith("access-control-") or name == "vary"
    }


def assert_readable(response: httpx.Response, origin: str = PORTAL) -> None:
    """Check that a page of the origin can read a response and the headers that are exposed to pages."""
    headers = of_cors(response)
    vary = headers.pop("vary").split(", ")
    assert headers == {"access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED}
    assert vary.count("Origin") == 1
    for name in ("vary", "access-control-allow-origin", "x-request-id"):
        assert len(response.headers.get_list(name)) == 1


# Preflights


async def test_a_preflight_from_the_origin_of_a_key_allows_what_the_apis_need(api: httpx.AsyncClient) -> None:
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            response = await preflight(api, path, method=method)

            assert (response.status_code, response.content) == (204, b"")
            assert of_cors(response) == ALLOWED
            assert response.headers.keys() - of_cors(response).keys() == {
                "x-request-id",
                "x-content-type-options",
            }


@pytest.mark.parametrize(
    "origin",
    [
        FOREIGN,
        "null",
        "",
        "*",
        "http://portal.example",
        "https://portal.example:8443",
        "https://portal.example/",
        "https://PORTAL.example",
        "https://preview.example",
        "https://a.b.preview.example",
        "https://portal.example.foreign.example",
        f"{PORTAL}, {PORTAL}",
        "https://x\xff.example",
    ],
)
async def test_a_preflight_from_another_origin_allows_nothing(api: httpx.AsyncClient, origin: str) -> None:
    response = await api.options(
        "/graphql",
        headers=[(b"Access-Control-Request-Method", b"POST"), (b"Origin", origin.encode("latin-1"))],
    )

    assert (response.status_code, response.content) == (204, b"")
    assert of_cors(response) == {}


async def test_a_star_stands_for_one_label(api: httpx.AsyncClient) -> None:
    response = await preflight(api, "/graphql", "https://pr-7.preview.example")

    assert of_cors(response) == {**ALLOWED, "access-control-allow-origin": "https://pr-7.preview.example"}


async def test_two_origins_are_not_allowed(api: httpx.AsyncClient, key: str) -> None:
    twice = [("Origin", PORTAL), ("Origin", PORTAL)]
    asked = await api.options("/graphql", headers=[*twice, ("Access-Control-Request-Method", "POST")])
    answered = await api.get("/api/v1/apps", headers=[*twice, ("Authorization", f"Bearer {key}")])

    assert (asked.status_code, of_cors(asked)) == (204, {})
    assert answered.status_code == 403
    assert of_cors(answered) == {"vary": "Origin"}


async def test_options_requests_that_are_no_preflights_are_refused(api: httpx.AsyncClient) -> None:
    refused = {path: await api.options(path, headers={"Origin": PORTAL}) for path in ("/graphql", f"{APP}")}
    without_origin = await api.options("/graphql", headers={"Access-Control-Request-Method": "POST"})

    assert [answer.status_code for answer in refused.values()] == [405, 405]
    assert refused["/graphql"].headers["allow"] == "GET, POST"
    for answer in refused.values():
        assert_readable(answer)
    assert (without_origin.status_code, of_cors(without_origin)) == (405, {"vary": "Accept"})


async def test_a_preflight_is_one_line_in_the_log_without_the_values_in_its_path(
    api: httpx.AsyncClient,
) -> None:
    with capture_logs() as logged:
        await preflight(api, f"{APP}/customers/cus_1")
        await preflight(api, "/graphql")

    assert [(line["event"], line["method"], line["path"], line["status"]) for line in logged] == [
        ("request.answered", "OPTIONS", "/api/v1/apps/{slug}/customers/{id}", 204),
        ("request.answered", "OPTIONS", "/graphql", 204),
    ]


# Responses


async def test_a_page_reads_every_response(
    api: httpx.AsyncClient,
    app: Starlette,
    database: Database,
    database_url: str,
    account: Account,
    key: str,
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = {"Origin": PORTAL, "Authorization": f"Bearer {key}"}
    writer = {"Origin": PORTAL, "Authorization": f"Bearer {secret}"}
    of_others = await make_key(database, account, origins=[FOREIGN])
    customers = f"{APP}/customers"

    async def graph(document: str, headers: Mapping[str, str], **options: Any) -> httpx.Response:
        return await api.post("/graphql", json={"query": document}, headers=headers, **options)

    async def refused_write(path: str, body: object) -> httpx.Response:
        app.state.database.timeouts = app.state.database.timeouts.__class__(statement=1, lock=0.1)
        async with refusing_writes(database_url):
            return await api.post(path, json=body, headers=writer)

    create = (
        'mutation { createCustomer(input: {appSlug: "atlas", email: "a@b.example"}) { customer { id } } }'
    )
    got: dict[tuple[str, int], httpx.Response] = {
        ("graph", 200): await graph("{ apps { totalCount } }", page),
        ("graph", 400): await graph("{", {**page, "Accept": "application/graphql-response+json"}),
        ("graph", 401): await graph("{ apps { totalCount } }", {"Origin": PORTAL}),
        ("graph", 403): await graph(
            "{ apps { totalCount } }", {**page, "Authorization": f"Bearer {of_others}"}
        ),
        ("graph", 405): await api.put("/graphql", headers=page),
        ("graph", 406): await api.get("/graphql", headers={**page, "Accept": "image/png"}),
        ("graph", 413): await api.post("/graphql", content=b" " * 2**21, headers={**page, **JSON}),
        ("graph", 415): await api.post("/graphql", content=b"{}", headers=page),
        ("graph", 503): await refused_write("/graphql", {"query": create}),
        ("rest", 200): await api.get("/api/v1/apps", headers=page),
        ("rest", 201): await api.post(customers, json={"email": "b@b.example"}, headers=writer),
        ("rest", 400): await api.post(customers, content=b"{", headers={**writer, **JSON}),
        ("rest", 401): await api.get("/api/v1/apps", headers={"Origin": PORTAL}),
        ("rest", 403): await api.post(customers, json={}, headers=page),
        ("rest", 404): await api.get("/api/v1/nothing", headers=page),
        ("rest", 405): await api.put("/api/v1/apps", headers=page),
        ("rest", 409): await api.post(customers, json={"email": "b@b.example"}, headers=writer),
        ("rest", 413): await api.post(customers, content=b" " * 2**21, headers={**writer, **JSON}),
        ("rest", 415): await api.post(customers, content=b"{}", headers=writer),
        ("rest", 422): await api.post(customers, json={"email": "?"}, headers=writer),
        ("rest", 503): await refused_write(customers, {"email": "c@b.example"}),
        ("a page", 200): await api.get("/", headers={"Origin": PORTAL, "Accept": "text/html"}),
        ("addresses", 200): await api.get("/", headers={"Origin": PORTAL}),
        ("nothing", 404): await api.get("/assets/nothing.js", headers={"Origin": PORTAL}),
    }
    deleted = (await api.get(customers, headers=writer)).json()["data"][0]["id"]
    got["rest", 204] = await api.delete(f"{customers}/{deleted}", headers=writer)

    async def crash(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(apps, "all_apps", crash)
    got["rest", 500] = await api.get("/api/v1/apps", headers=page)

    def crash_at_once(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("server.is_for_pages", crash_at_once)
    got["the log", 500] = await api.get("/", headers={"Origin": PORTAL})

    for (kind, status), response in got.items():
        assert (kind, response.status_code) == (kind, status)
        assert_readable(response)
        assert of_cors(response)["vary"] == (
            "Accept, Origin" if kind in {"graph", "a page", "addresses"} else "Origin"
        )


async def test_a_response_to_another_origin_allows_nothing(api: httpx.AsyncClient, secret: str) -> None:
    headers = {"Authorization": f"Bearer {secret}"}

    assert of_cors(await api.get("/api/v1/apps", headers={**headers, "Origin": FOREIGN})) == {
        "vary": "Origin"
    }
    assert of_cors(await api.get("/api/v1/apps", headers=headers)) == {}


async def test_pages_of_any_origin_read_what_needs_no_key(api: httpx.AsyncClient, key: str) -> None:
    for path in WITHOUT_KEY:
        for origin in (None, PORTAL, FOREIGN, "null"):
            response = await api.get(path, headers={} if origin is None else {"Origin": origin})
            assert response.status_code == (404 if "verify" in path else 200)
            assert of_cors(response) == {
                "access-control-allow-origin": "*",
                "access-control-expose-headers": EXPOSED,
                **({} if origin is None else {"vary": "Origin"}),
            }
    batch = await api.post(BATCH, json={"installation_ids": [INSTALLATION]}, headers={"Origin": FOREIGN})
    errors = [
        await api.post(BATCH, json={}, headers={"Origin": FOREIGN}),
        await api.post(BATCH, content=b"{}", headers={"Origin": FOREIGN}),
        await api.put(BATCH, headers={"Origin": FOREIGN}),
        await api.get(f"{APP}/public-key", headers={"Origin": FOREIGN, "Authorization": f"Bearer {key}"}),
        await api.get("/api/v1/apps/none/jwks.json", headers={"Origin": FOREIGN}),
    ]

    assert [each.status_code for each in (batch, *errors)] == [200, 422, 415, 405, 403, 404]
    for each in (batch, *errors):
        assert_readable(each, "*")


async def test_a_preflight_from_any_origin_allows_what_needs_no_key(api: httpx.AsyncClient) -> None:
    for path in (*WITHOUT_KEY, BATCH, f"{BATCH}/"):
        for origin in (PORTAL, FOREIGN, "null"):
            assert of_cors(await preflight(api, path, origin)) == {
                **ALLOWED,
                "access-control-allow-origin": "*",
            }
    assert of_cors(await preflight(api, f"{APP}/licenses", FOREIGN)) == {}


# Settings


async def headers_with(
    database_url: str, origins: object, origin: str, path: str = "/graphql"
) -> list[dict[str, str]]:
    """Return the CORS headers of the responses to a preflight and to a GET request.

    `origins` is the setting `cors_origins` of the server.
    """
    app = create_app(Settings(database_url=database_url, cors_origins=origins, **SETTINGS))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        asked = await preflight(client, path, origin)
        answered = await client.get(path, headers={"Origin": origin})
    await app.state.database.close()
    assert asked.status_code == (405 if str(origins).lower() == "off" else 204)
    return [of_cors(asked), of_cors(answered)]


@pytest.mark.parametrize(
    ("setting", "origin", "allowed"),
    [
        (PORTAL, PORTAL, PORTAL),
        (f"https://a.example, {PORTAL}:443 ,{PREVIEW}", PORTAL, PORTAL),
        (f"https://a.example,{PREVIEW}", "https://a.preview.example", "https://a.preview.example"),
        (PORTAL, FOREIGN, None),
        ("", PORTAL, None),
        ("*", FOREIGN, "*"),
        (" * ", "null", "*"),
    ],
)
async def test_the_setting_allows_origins(
    database_url: str, setting: str, origin: str, allowed: str | None
) -> None:
    asked, answered = await headers_with(database_url, setting, origin)

    if allowed is None:
        assert asked == {}
        assert answered == {"vary": "Accept, Origin"}
    else:
        assert asked == {**ALLOWED, "access-control-allow-origin": allowed}
        assert answered == {
            "access-control-allow-origin": allowed,
            "access-control-expose-headers": EXPOSED,
            "vary": "Accept, Origin",
        }


@pytest.mark.parametrize("off", ["off", "OFF"])
async def test_off_leaves_cors_to_a_proxy(database_url: str, key: str, off: str) -> None:
    assert await headers_with(database_url, off, PORTAL) == [{"vary": "Accept"}, {"vary": "Accept"}]
    assert await headers_with(database_url, off, PORTAL, "/api/health") == [{}, {}]


# Origins of keys


async def test_the_origins_of_keys_are_read_once_in_a_second(
    client: httpx.AsyncClient, app: Starlette, key: str, monotonic: Monotonic, statements: Statements
) -> None:
    monotonic.now += 10
    with statements.recorded(app.state.database) as sent:
        for origin in (PORTAL, FOREIGN, PORTAL):
            await preflight(client, "/graphql", origin)
        monotonic.now += 0.99
        await preflight(client, "/graphql")
        await client.get("/graphql", headers={"Origin": PORTAL})
    assert len(sent) == 1

    monotonic.now += 0.01
    with statements.recorded(app.state.database) as sent:
        await client.get("/graphql")
        await preflight(client, "/graphql", None)
        await preflight(client, "/api/health")
    assert sent == []

    with statements.recorded(app.state.database) as sent:
        await asyncio.gather(*(preflight(client, "/graphql") for _ in range(10)))
    assert len(sent) == 1


async def test_an_origin_that_the_setting_allows_takes_no_statement(
    database: Database, key: str, statements: Statements
) -> None:
    with statements.recorded(database) as sent:
        assert await AllowedOrigins(database, [FOREIGN]).allows(FOREIGN.encode())
        assert await AllowedOrigins(database, every=True).allows(b"null")
    assert sent == []


async def test_keys_that_are_not_live_allow_nothing(database: Database, account: Account) -> None:
    now = clock.now()
    for name, ends in {
        "live": {},
        "later": {"expires_at": now + timedelta(days=1)},
        "revoked": {"revoked_at": now},
        "expired": {"expires_at": now - timedelta(seconds=1)},
    }.items():
        for kind in ("secret", "public"):
            await make_key(database, account, kind=kind, origins=[f"https://{name}.example"], **ends)  # type: ignore[arg-type]
    other = await make_account(database)
    await make_key(database, other, origins=["https://other.example", "https://live.example"])
    await make_key(database, other)
    allowed = AllowedOrigins(database)

    found = {
        name: await allowed.allows(f"https://{name}.example".encode())
        for name in ("live", "later", "revoked", "expired", "other", "unknown")
    }

    assert found == {
        "live": True,
        "later": True,
        "revoked": False,
        "expired": False,
        "other": True,
        "unknown": False,
    }


async def test_creating_and_revoking_a_key_takes_effect_within_a_second(
    client: httpx.AsyncClient, database: Database, account: Account, monotonic: Monotonic
) -> None:
    monotonic.now += 1
    assert of_cors(await preflight(client, "/graphql")) == {}
    key = await make_key(database, account, kind="public", origins=[PORTAL])

    monotonic.now += 1
    assert of_cors(await preflight(client, "/graphql")) == ALLOWED
    async with database.write() as session:
        await revoke_key(session, command("keys revoke"), Policy(), key)

    monotonic.now += 1
    assert of_cors(await preflight(client, "/graphql")) == {}


@pytest.fixture
async def started(key: str, app: Starlette) -> Starlette:
    """The application. The key is created before the application starts."""
    return app


async def test_the_origins_are_known_from_the_start(
    started: Starlette, client: httpx.AsyncClient, statements: Statements
) -> None:
    with statements.recorded(started.state.database) as sent:
        response = await preflight(client, "/graphql")

    assert sent == []
    assert of_cors(response) == ALLOWED


@pytest.mark.parametrize("template", ["postgresql"], indirect=True)
async def test_the_last_known_origins_are_used_while_the_database_is_away(
    started: Starlette, client: httpx.AsyncClient, database_url: str, key: str, monotonic: Monotonic
) -> None:
    headers = {"Origin": PORTAL, "Authorization": f"Bearer {key}"}
    assert (await client.get("/api/v1/apps", headers=headers)).status_code == 200
    async with stopped(database_url):
        monotonic.now += 10
        away = [
            await client.get(
                "/api/v1/apps", headers={**headers, "Authorization": "Bearer sk_live_" + "x" * 32}
            ),
            await client.post(
                "/graphql",
                json={"query": "{ apps { totalCount } }"},
                headers={**headers, "Authorization": "Bearer sk_live_" + "x" * 32},
            ),
        ]
        asked = await preflight(client, "/graphql")
    monotonic.now += 10
    back = await preflight(client, "/graphql")

    for response in away:
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert_readable(response)
    assert of_cors(asked) == of_cors(back) == ALLOWED


@pytest.mark.parametrize("template", ["postgresql"], indirect=True)
async def test_a_database_that_hangs_does_not_hold_up_requests(
    started: Starlette, client: httpx.AsyncClient, database: Database, statements: Statements
) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.sleep(cors.FRESH_S)
    async with database.write() as session:
        await session.execute(text("LOCK TABLE keys IN ACCESS EXCLUSIVE MODE"))
        with statements.recorded(started.state.database) as sent:
            began = loop.time()
            first = await asyncio.gather(*(preflight(client, "/graphql") for _ in range(5)))
            waited = loop.time() - began
            began = loop.time()
            later = [await preflight(client, "/graphql") for _ in range(5)]
            then = loop.time() - began

    assert [of_cors(each) for each in (*first, *later)] == [ALLOWED] * 10
    assert cors.PATIENCE_S <= waited < cors.PATIENCE_S + 0.3
    assert then < 0.1
    assert len(sent) == 1


async def test_a_database_that_cannot_be_reached_allows_what_the_setting_allows() -> None:
    allowed = AllowedOrigins(Database("sqlite:////nowhere/at/all.db"), [PORTAL])

    assert await allowed.allows(PORTAL.encode())
    assert not await allowed.allows(FOREIGN.encode())


# Responses to requests that the HTTP protocol refuses or ends


def head(*lines: str, method: str = "GET", path: str = "/graphql") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


def assert_page_reads(answer: Answer, status: int, origin: str = PORTAL) -> None:
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] == origin
    assert answer.headers["access-control-expose-headers"] == EXPOSED
    assert "Origin" in answer.headers["vary"].split(", ")
    assert len(answer.headers["x-request-id"]) == 36


@pytest.fixture
async def server(started: Starlette) -> AsyncIterator[Listener]:
    async with listening(started) as server:
        yield server


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/apps"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([f"Origin: {PORTAL}"], 400),
        (["Host: x", "Host: y", f"origin:{PORTAL}"], 400),
        (["Host: x", f"ORIGIN: \t{PORTAL}", "Bad Header: x"], 400),
        (["Host: x", f"Origin: {PORTAL}", "Transfer-Encoding: gzip, chunked"], 400),
        ([f"Origin: {PORTAL}", "Host: x", "X: " + "x" * 65_536], 431),
        (["Host: x", f"Origin: {PORTAL}", "Connection: Upgrade", "Upgrade: websocket"], 400),
    ],
)
async def test_a_page_reads_the_response_to_a_malformed_request(
    server: Listener, path: str, lines: list[str], status: int
) -> None:
    (answer,) = await server.talk(head(*lines, path=path))

    assert_page_reads(answer, status)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


async def test_a_malformed_request_is_no_preflight(server: Listener) -> None:
    lines = [f"Origin: {PORTAL}", "Access-Control-Request-Method: POST"]
    (answer,) = await server.talk(head(*lines, method="OPTIONS"))

    assert_page_reads(answer, 400)


async def test_another_origin_does_not_read_the_response_to_a_malformed_request(server: Listener) -> None:
    for lines in ([f"Origin: {FOREIGN}"], [f"Origin: {PORTAL}", f"Origin: {PORTAL}"]):
        (answer,) = await server.talk(head(*lines))
        assert answer.status == 400
        assert "access-control-allow-origin" not in answer.headers


async def test_a_page_reads_the_response_to_a_request_that_takes_too_long(started: Starlette) -> None:
    async with listening(started, Bounds(header_timeout_s=0.3, body_timeout_s=0.3)) as server:
        (slow_head,) = await server.talk(head("Host: x", f"Origin: {PORTAL}", "X: y")[:-4])
        slow = post("/graphql", b"{}", "Content-Type: application/json", f"Origin: {PORTAL}")
        (slow_body,) = await server.talk(slow[:-1])

    assert_page_reads(slow_head, 408)
    assert_page_reads(slow_body, 408)


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/apps"])
async def test_a_page_reads_that_too_many_connections_are_open(started: Starlette, path: str) -> None:
    async with listening(started, Bounds(max_connections=5)) as server:
        busy = [(await server.connect())[1] for _ in range(5)]
        for writer in busy:
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        await asyncio.sleep(0.1)
        asking = ["Host: x", f"Origin: {PORTAL}", "Access-Control-Request-Method: POST"]
        (asked,) = await server.talk(head(*asking, path=path, method="OPTIONS"))
        (refused,) = await server.talk(post(path, b"{}", f"Origin: {PORTAL}") + LAST)
        (in_parts,) = await server.talk(
            b"GET ", head("Host: x", f"Origin: {PORTAL}", path=path)[4:], pause=0.1
        )
        (silent,) = await server.talk(b"")
        for writer in busy:
            writer.close()

    assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, PORTAL)
    for answer in (refused, in_parts):
        assert_page_reads(answer, 503)
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
    assert silent.status == 503


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/apps"])
async def test_a_page_reads_that_the_server_is_shutting_down(
    started: Starlette, database: Database, secret: str, path: str
) -> None:
    """The request waits for a lock when the server ends the requests that are still in progress."""
    create = 'mutation { createApp(input: {slug: "b", name: "B"}) { app { id } } }'
    body = f'{{"query": {create!r}}}'.replace("'", '"').replace('"b"', '\\"b\\"').replace('"B"', '\\"B\\"')
    text_of = post(
        path,
        body.encode() if path == "/graphql" else b'{"slug": "b", "name": "B"}',
        "Content-Type: application/json",
        f"Origin: {PORTAL}",
        f"Authorization: Bearer {secret}",
    )
    async with database.write() as session:
        await session.execute(text("UPDATE apps SET name = name"))
        if not database.is_sqlite:
            await session.execute(text("LOCK TABLE apps IN ACCESS EXCLUSIVE MODE"))
        async with listening(started) as server:
            reader, writer = await server.connect()
            writer.write(text_of)
            await asyncio.sleep(0.2)
        received = await asyncio.wait_for(reader.read(), 5)
        writer.close()

    lines = received.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert f"access-control-allow-origin: {PORTAL}".encode() in lines
    assert b"retry-after: 1" in lines
    assert b"The server is shutting down. Try again later." in received


# WebSockets


@pytest.mark.parametrize("path", ["/graphql", "/api/v1/apps"])
@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 400),
        ([f"Origin: {PORTAL}"], 400),
        (["Origin: https://a.preview.example"], 400),
        (["Origin: http://licenses.example"], 400),
        (["Origin: https://licenses.example"], 400),
        ([f"Origin: {FOREIGN}"], 403),
        (["Origin: null"], 403),
        (["Origin: "], 403),
        (["Origin: https://licenses.example:8443"], 403),
        (["Origin: https://licenses.example.foreign.example"], 403),
        ([f"Origin: {PORTAL}", f"Origin: {PORTAL}"], 403),
    ],
)
async def test_a_page_of_another_site_cannot_open_a_websocket(
    server: Listener, path: str, lines: list[str], status: int
) -> None:
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]

    (answer,) = await server.talk(head("Host: licenses.example", *upgrade, *lines, path=path))

    assert answer.status == status
    error = answer.json()
    code = error["errors"][0]["extensions"]["code"] if path == "/graphql" else error["error"]["code"]
    assert code.lower() == (
        "forbidden" if status == 403 else "bad_user_input" if path == "/graphql" else "bad_request"
    )


async def test_a_websocket_handshake_compares_the_ports(server: Listener) -> None:
    statuses = {}
    for host, origin in [
        ("licenses.example:4000", "http://licenses.example:4000"),
        ("Licenses.example", "https://licenses.example"),
        ("licenses.example:443", "https://licenses.example"),
        ("licenses.example:4000", "http://licenses.example:4001"),
        ("licenses.example:80", "https://licenses.example"),
    ]:
        lines = [f"Host: {host}", f"Origin: {origin}", "Connection: Upgrade", "Upgrade: websocket"]
        (answer,) = await server.talk(head(*lines))
        statuses[host, origin] = answer.status

    assert list(statuses.values()) == [400, 400, 400, 403, 403]


async def test_off_still_refuses_websockets_of_other_sites(database_url: str, key: str) -> None:
    app = create_app(Settings(database_url=database_url, cors_origins="off", **SETTINGS))
    upgrade = ["Host: x", "Connection: Upgrade", "Upgrade: websocket"]
    # The lifespan reads the origins of the keys before the first request.
    async with app.router.lifespan_context(app), listening(app) as server:
        (foreign,) = await server.talk(head(*upgrade, f"Origin: {FOREIGN}"))
        (own,) = await server.talk(head(*upgrade, f"Origin: {PORTAL}"))

    assert (foreign.status, own.status) == (403, 400)
    assert "access-control-allow-origin" not in own.headers


# The path prefix


@pytest.fixture
def prefix() -> str:
    return "/tools/licenses"


async def test_a_preflight_is_never_redirected(database_url: str, key: str, prefix: str) -> None:
    app = create_app(Settings(database_url=database_url, path_prefix=prefix, **SETTINGS))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        for path in ("", "/", "/graphql", "/graphql/", "/api/v1/apps/"):
            assert of_cors(await preflight(client, f"{prefix}{path}")) == ALLOWED
        any_origin = await preflight(client, f"{prefix}/api/health", FOREIGN)
        answered = await client.get(f"{prefix}/api/openapi.json", headers={"Origin": FOREIGN})
        redirected = await client.get(prefix, headers={"Origin": PORTAL})
    await app.state.database.close()

    assert of_cors(any_origin)["access-control-allow-origin"] == "*"
    assert_readable(answered, "*")
    assert redirected.status_code == 308
    assert_readable(redirected)
