"""The log line of a request shows its key, its client and its operation, but no values."""

import json
import subprocess
import sys
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from structlog.testing import capture_logs

from asgi import request_log
from asgi.abandonment import Abandonment
from db.engine import Database
from db.keys import keys
from tests.factories import Account, make_account, make_key
from tests.processes import PROGRAM


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database)


@pytest.fixture
async def key(client: httpx.AsyncClient, database: Database, account: Account) -> dict[str, str]:
    """Give the client a key, and return the fields of a log line that identify this key."""
    client.headers["Authorization"] = f"Bearer {await make_key(database, account)}"
    answer = await client.post("/graphql", json={"query": "{ viewer { keyLast4 } }"})
    assert answer.status_code == 200
    async with database.read() as session:
        ((id,),) = await session.rows(select(keys.c.id), {})
    return {"key": id, "account": account.id}


async def line_of(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> dict[str, Any]:
    with capture_logs() as logged:
        await client.request(method, path, **options)
    (line,) = [each for each in logged if each["event"] == "request.answered"]
    assert line.pop("milliseconds") >= 0
    return {name: line[name] for name in line if name not in {"event", "log_level"}}


async def test_the_line_of_a_rest_operation(client: httpx.AsyncClient, key: dict[str, str]) -> None:
    line = await line_of(client, "GET", "/api/v1/apps/no-such-app/customers/cus_1/?secret=1")

    assert line == {
        "method": "GET",
        "path": "/api/v1/apps/{slug}/customers/{id}",
        "status": 404,
        "operation": "get_customer",
        "client": "127.0.0.1",
        "ignored_parameters": "secret",
        **key,
    }


@pytest.mark.parametrize(
    ("query", "operation"),
    [
        ("{ __typename }", "query"),
        ("query Dashboard { __typename }", "query Dashboard"),
        ("mutation Rename { __typename }", "mutation Rename"),
        (f"query {'A' * 5000} {{ __typename }}", f"query {'A' * 74}…"),
        ("query A { __typename } query B { __typename }", None),
        ("{ nothingThatIsThere }", None),
        ("query Broken {", None),
    ],
)
async def test_the_line_of_a_document(
    client: httpx.AsyncClient, key: dict[str, str], query: str, operation: str | None
) -> None:
    line = await line_of(client, "POST", "/graphql", json={"query": query})

    assert line.get("operation") == operation
    assert line["path"] == "/graphql"
    assert {"key": line["key"], "account": line["account"]} == key


async def test_without_a_key_the_line_names_no_account(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer sk_live_" + "a" * 32}):
        line = await line_of(client, "GET", "/api/v1/apps", headers=headers)

        assert line["status"] == 401
        assert line["operation"] == "list_apps"
        assert line.keys().isdisjoint({"key", "account"})


async def test_the_log_shows_the_client_that_limits_count_by(client: httpx.AsyncClient) -> None:
    other = {"Forwarded": "for=10.1.2.3", "X-Real-IP": "10.1.2.3"}
    assert (await line_of(client, "GET", "/api/health", headers=other))["client"] == "127.0.0.1"

    forwarded = {"X-Forwarded-For": "10.1.2.3, 203.0.113.7, 127.0.0.1"}
    assert (await line_of(client, "GET", "/api/health", headers=forwarded))["client"] == "203.0.113.7"


async def test_the_line_of_an_unknown_peer(app: Starlette) -> None:
    transport = httpx.ASGITransport(app=app, client=None)  # type: ignore[arg-type]  # as on a Unix socket
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        assert "client" not in await line_of(client, "GET", "/api/health")


@pytest.mark.parametrize("place", ["/", "/api/", "/api/v1/apps/", "/graphql/"])
async def test_a_long_path_is_cut_off(client: httpx.AsyncClient, place: str) -> None:
    path = (await line_of(client, "GET", place + "x" * 60_000))["path"]

    assert len(path) <= request_log.PATH_LENGTH + 1
    assert path == "/api/v1/apps/{slug}" or path == f"{place}{'x' * (200 - len(place))}…"


async def test_an_unknown_method_is_not_logged(client: httpx.AsyncClient) -> None:
    assert (await line_of(client, "SECRETMETHOD", "/api/health"))["method"] == "other"


async def test_an_uncaught_error_is_500_and_logged_without_its_message(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(Abandonment, "__call__", fail)
    with capture_logs() as logged:
        answer = await client.get("/graphql")

    assert answer.status_code == 500
    failed, answered = logged
    assert (failed["event"], failed["log_level"]) == ("request.failed", "error")
    assert failed["exception"].endswith("RuntimeError")
    assert answered["status"] == 500


def test_a_path_that_is_not_unicode_is_written() -> None:
    program = (
        "from asgi import logs; import structlog, sys; logs.configure('info', sys.argv[1]); "
        r"structlog.get_logger().info('it', path='/\udcff', other=object())"
    )

    for format in ("json", "console"):
        done = subprocess.run(
            [sys.executable, "-c", program, format],
            cwd=PROGRAM.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        assert r"/\udcff" in done.stderr
        if format == "json":
            assert json.loads(done.stderr)["other"] == "object"
