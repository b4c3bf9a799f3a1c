"""The causes of 503 responses are logged without values, in at most one line a second."""

import asyncio
import sqlite3
from collections.abc import Iterator

import asyncpg
import httpx
import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs

from asgi import unavailability as module
from asgi.authentication import Authentication
from asgi.unavailability import Unavailability
from db.apps import apps
from db.causes import cause_of
from db.deadlines import Timeouts
from db.engine import Database, StoreUnavailable
from resolvers.errors import Busy
from resolvers.viewer import Policy
from rest.app import rest_app
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from schema.pipeline.limits import Limits
from tests.factories import make_account, make_app, make_key
from tests.keyrings import KEYRING


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Unavailability]:
    """An empty log of causes, used by both APIs."""
    made = Unavailability()
    for api in ("rest.operations", "schema.pipeline.errors"):
        monkeypatch.setattr(f"{api}.unavailability", made)
    yield made
    if made._timer is not None:
        made._timer.cancel()


def unavailable(cause: BaseException) -> StoreUnavailable:
    try:
        raise StoreUnavailable from cause
    except StoreUnavailable as error:
        return error


@pytest.mark.parametrize(
    ("url", "error", "code", "message"),
    [
        ("sqlite:////nothing/x.db", "OperationalError", "SQLITE_CANTOPEN", "unable to open database file"),
        (
            "postgresql://me:secret@127.0.0.1:1/db",
            "ConnectionRefusedError",
            "ECONNREFUSED",
            "Connection refused",
        ),
        (
            "postgresql://me:secret@/db?host=/nothing",
            "FileNotFoundError",
            "ENOENT",
            "No such file or directory",
        ),
    ],
)
@pytest.mark.parametrize("path", ["/graphql", "/api/v1/apps", "/api/health"])
async def test_both_apis_log_the_cause(path: str, url: str, error: str, code: str, message: str) -> None:
    database = Database(url)
    authentication = Authentication(database, Policy())
    api = (
        GraphQLEndpoint(graphql_schema, database, KEYRING, authentication, limits=Limits())
        if path == "/graphql"
        else rest_app(database, KEYRING, authentication, max_body_bytes=0)
    )
    headers = {"Authorization": "Bearer sk_live_" + "a" * 32}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://x") as client:
        with capture_logs() as logged:
            answer = await client.get(path, headers=headers, params={"query": "{ apps { totalCount } }"})

    assert answer.status_code == 503
    (line,) = logged
    assert (line["event"], line["log_level"], line["times"]) == ("store.unavailable", "warning", 1)
    assert line["error"].rpartition(".")[2] == error
    assert (line["code"], line["message"]) == (code, message)
    assert line["place"].startswith("db/")
    assert "secret" not in str(line)
    await database.close()


async def test_a_lock_timeout_is_logged(app: Starlette, database: Database, database_url: str) -> None:
    """This tests the whole application, with the database's real error."""
    account = await make_account(database)
    await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    app.state.database.timeouts = Timeouts(statement=5, lock=0.3)
    other = Database(database_url)  # the connections of the application would wait for each other instead
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client,
        other.write() as session,
    ):
        await session.execute(apps.update().values(name="Held"))
        with capture_logs() as logged:
            answer = await client.put("/api/v1/apps/atlas", json={"name": "secret"})
    await other.close()

    assert answer.status_code == 503
    (line,) = [line for line in logged if line["event"] == "store.unavailable"]
    if database.is_sqlite:
        assert (line["code"], line["message"]) == ("SQLITE_BUSY", "database is locked")
    else:
        assert (line["code"], line["message"]) == ("55P03", "canceling statement due to lock timeout")
    assert "secret" not in str(line)


async def test_one_line_a_second_counts_all_failures(
    fresh: Unavailability, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.1)
    with capture_logs() as logged:
        for _ in range(500):
            fresh.tell(unavailable(ConnectionRefusedError(111, "secret")))
            fresh.tell(unavailable(TimeoutError("secret")))
            fresh.tell(Busy("Too many wait."))
        assert len(logged) == 1
        await asyncio.sleep(0.15)
        assert len(logged) == 2
        await asyncio.sleep(0.4)
        told = [(line["error"], line["times"]) for line in logged]
        fresh.tell(Busy("Too many wait."))

    assert told == [
        ("ConnectionRefusedError", 1),
        ("TimeoutError", 500),
        ("Busy", 500),
        ("ConnectionRefusedError", 499),
    ]
    assert logged[2]["message"] == "Too many wait."
    assert len(logged) == 5, "after an interval without failures, the next one is logged immediately"
    assert "secret" not in str(logged)


async def test_the_number_of_unknown_causes_is_bounded(
    fresh: Unavailability,
) -> None:
    with capture_logs():
        for number in range(10_000):
            fresh.tell(Busy(f"{number}"))

    assert len(fresh._waiting) == module.KNOWN


def test_it_is_logged_in_any_event_loop(fresh: Unavailability) -> None:
    async def tell() -> None:
        fresh.tell(unavailable(TimeoutError()))

    with capture_logs() as logged:
        for _ in range(2):
            asyncio.run(tell())

    assert len(logged) == 2


async def test_messages_of_drivers_are_only_logged_if_they_hold_no_value(
    database: Database,
) -> None:
    """The drivers' messages in this test quote the secret."""
    if database.is_sqlite:
        with sqlite3.connect(":memory:") as connection, pytest.raises(sqlite3.Error) as raised:
            connection.execute("SELECT secret")
        assert "secret" in str(raised.value)
        assert str(cause_of(raised.value)) == "sqlite3.OperationalError SQLITE_ERROR"
    else:
        connection = await database._readers.take(None)
        for sql, arguments in (
            ("SELECT CAST($1::text AS integer)", ["secret"]),
            ("SELECT $1::integer", ["secret"]),
            ("INSERT INTO accounts (id, name, created_at) VALUES ($1, $1, $1), ($1, $1, $1)", ["secret"]),
        ):
            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as failed:
                await connection.fetch(sql, *arguments)
            assert "secret" in f"{failed.value} {getattr(failed.value, 'detail', '')}"
            assert "secret" not in str(cause_of(failed.value))
        database._readers.give_back(connection)
