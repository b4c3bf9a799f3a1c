"""Fixtures for all tests: databases, the app and its client, and recorded statements.

Also sets up Hypothesis.
"""

import gc
import shutil
import signal
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import httpx
import hypothesis
import pytest
from starlette.applications import Starlette

from db.engine import Database
from db.statements import Statements as CompiledStatements
from resolvers.keyring import Keyring
from tests.databases import (
    PostgresTemplate,
    SqliteTemplate,
    make_folder,
    postgres_server,
    stop_abandoned_server,
)
from tests.keyrings import SETTINGS, unlocked
from tests.statements import Statements

# "ci" tries the same examples in every run. "fuzz" tries new examples in every run, ten times as many.
hypothesis.settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True)
hypothesis.settings.register_profile("fuzz", max_examples=5_000, deadline=None)
hypothesis.settings.load_profile("ci")

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_FOLDER] = Path(worker["folder"])
        return
    folder = config.stash[_FOLDER] = make_folder()
    config.add_cleanup(lambda: _remove(folder))
    # Treat SIGTERM like Ctrl-C, so that PostgreSQL is stopped when the run ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass this run's shared folder to a new pytest-xdist process."""
    node.workerinput["folder"] = str(node.config.stash[_FOLDER])


@pytest.hookimpl(tryfirst=True)  # before `-m "not long"` selects tests
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        on = getattr(item, "callspec", None)
        if item.get_closest_marker("surface") and on and on.params.get("template") == "postgresql":
            item.add_marker(pytest.mark.long)


def pytest_collection_finish() -> None:
    # Nearly all objects that exist at this point are kept until the end of the run. Freeze them, so that the
    # garbage collector does not scan them each time.
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _remove(folder: Path) -> None:
    stop_abandoned_server(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def sqlite_template(pytestconfig: pytest.Config, worker: str) -> SqliteTemplate:
    folder = pytestconfig.stash[_FOLDER] / worker
    folder.mkdir()
    return SqliteTemplate(folder)


@pytest.fixture(scope="session")
def postgresql_template(pytestconfig: pytest.Config, worker: str) -> Iterator[PostgresTemplate]:
    with postgres_server(pytestconfig.stash[_FOLDER]) as socket_folder:
        template = PostgresTemplate(socket_folder, worker)
        yield template
        template.close()


@pytest.fixture(scope="session")
def worker(pytestconfig: pytest.Config) -> str:
    """The name of this pytest-xdist process, or "main" without pytest-xdist."""
    return str(getattr(pytestconfig, "workerinput", {"workerid": "main"})["workerid"])


@pytest.fixture(params=["sqlite", "postgresql"])
def template(request: pytest.FixtureRequest) -> SqliteTemplate | PostgresTemplate:
    found: SqliteTemplate | PostgresTemplate = request.getfixturevalue(f"{request.param}_template")
    return found


@pytest.fixture
def database_url(template: SqliteTemplate | PostgresTemplate) -> Iterator[str]:
    """The URL of a migrated, empty database for one test.

    Tests that use it run on SQLite and on PostgreSQL.
    """
    with template.copied() as url:
        yield url


@pytest.fixture
def unmigrated_url(template: SqliteTemplate | PostgresTemplate) -> Iterator[str]:
    """The URL of a database without any tables. Tests that use it run on SQLite and on PostgreSQL."""
    with template.empty() as url:
        yield url


@pytest.fixture
def statements() -> Iterator[Statements]:
    """Records statements: ``with statements.recorded(database) as sent``.

    The fixture `database` and the database of the fixture `app` are already watched. Call `statements.watch`
    for any other database before its first connection.
    """
    statements = Statements()
    with pytest.MonkeyPatch.context() as patch:
        statements.wrap_drivers(patch)
        yield statements


@pytest.fixture
def database(request: pytest.FixtureRequest, database_url: str) -> Database:
    """An open database. It is the application's, if the test has one, because connecting takes long.

    `database_url` is an argument, so that pytest runs every test of a database on both databases.
    """
    if "app" in request.fixturenames:
        found: Database = request.getfixturevalue("app").state.database
        return found
    return cast("Database", request.getfixturevalue("_database"))


@pytest.fixture
async def _database(database_url: str, statements: Statements) -> AsyncIterator[Database]:
    database = Database(database_url)
    statements.watch(database)
    yield database
    await database.close()


@pytest.fixture
def keyring() -> Iterator[Keyring]:
    """An unlocked keyring with the application's master key."""
    keyring = unlocked()
    yield keyring
    keyring.close()


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """The application's settings, except for the database. A test module may override this fixture."""
    return SETTINGS


@pytest.fixture(scope="session")
def compiled() -> dict[bool, CompiledStatements]:
    """The compiled statements of SQLite and of PostgreSQL, which the applications of all tests share."""
    return {}


@pytest.fixture
async def app(
    database_url: str,
    settings: Mapping[str, Any],
    statements: Statements,
    compiled: dict[bool, CompiledStatements],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Starlette]:
    """The started application. Its database is ``app.state.database``.

    It has no background tasks, so that only the test's requests send statements. It makes no pauses between
    new documents, because most requests of the tests have a new document.
    """
    # Imported here, so that tests of lower layers run even if an upper layer cannot be imported.
    from server import create_app  # noqa: PLC0415
    from settings import Settings  # noqa: PLC0415

    monkeypatch.setattr("schema.pipeline.worker.RESTS", 0)
    monkeypatch.setattr("server.keeping", lambda _ledger: nullcontext())
    monkeypatch.setattr("server.purging", lambda _database: nullcontext())
    monkeypatch.setattr("server.projecting", lambda _database, _days: nullcontext())
    monkeypatch.setattr("server.forgetting_events", lambda _database, _days: nullcontext())
    monkeypatch.setattr("server.making_next_keys", lambda _database, _keyring: nullcontext())
    monkeypatch.setattr("server.forgetting", lambda _database, _hours: nullcontext())
    monkeypatch.setattr("server.noting", lambda _database: nullcontext())
    monkeypatch.setattr("server.GraphQLEndpoint.running", lambda _endpoint, **_: nullcontext())
    app = create_app(Settings(database_url=database_url, **settings))
    database = app.state.database
    statements.watch(database)
    database.statements = compiled.setdefault(database.is_sqlite, database.statements)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application without a network."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """A function that returns the number of bytes that Python has allocated since the test began.

    Bytes that were freed are not counted.
    """
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def held() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    yield held
    tracemalloc.stop()


@pytest.fixture(scope="session")
def sdl() -> str:
    """The committed GraphQL schema."""
    file = Path(__file__).parents[1] / "schema" / "schema.graphql"
    return file.read_text()
