"""What all tests share: databases, the app and its client, counted statements, Hypothesis profiles."""

import gc
import shutil
import signal
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings
from starlette.applications import Starlette

from db.engine import Database
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

# "ci" asks the same questions in every run; "fuzz" asks new ones each time, and many more.
settings.register_profile("ci", max_examples=500, deadline=None, derandomize=True)
settings.register_profile("fuzz", max_examples=5_000, deadline=None)
settings.load_profile("ci")

_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, str] | None = getattr(config, "workerinput", None)
    if worker is not None:
        config.stash[_FOLDER] = Path(worker["folder"])
        return
    folder = config.stash[_FOLDER] = make_folder()
    config.add_cleanup(lambda: _remove(folder))
    # Being told to end is to end in order, like Ctrl-C: otherwise PostgreSQL would outlive the run.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a process of pytest-xdist which folder this run shares."""
    node.workerinput["folder"] = str(node.config.stash[_FOLDER])


def pytest_collection_finish() -> None:
    # What is there by now stays to the end: it need not be looked through for garbage, again and again.
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
    """The name of this process of pytest-xdist; without it there is but one."""
    return str(getattr(pytestconfig, "workerinput", {"workerid": "main"})["workerid"])


@pytest.fixture(params=["sqlite", "postgresql"])
def template(request: pytest.FixtureRequest) -> SqliteTemplate | PostgresTemplate:
    found: SqliteTemplate | PostgresTemplate = request.getfixturevalue(f"{request.param}_template")
    return found


@pytest.fixture
def database_url(template: SqliteTemplate | PostgresTemplate) -> Iterator[str]:
    """The URL of a migrated, empty database of the test's own; a test that uses it runs on both kinds."""
    with template.copied() as url:
        yield url


@pytest.fixture
def unmigrated_url(template: SqliteTemplate | PostgresTemplate) -> Iterator[str]:
    """The URL of a database without a single table; a test that uses it runs on both kinds."""
    with template.empty() as url:
        yield url


@pytest.fixture
def statements() -> Iterator[Statements]:
    """Counts statements: ``with statements.recorded(database) as sent``.

    Those of `database` and of the app's database; others must be watched first.
    """
    statements = Statements()
    with pytest.MonkeyPatch.context() as patch:
        statements.wrap_drivers(patch)
        yield statements


@pytest.fixture
async def database(database_url: str, statements: Statements) -> AsyncIterator[Database]:
    """An open database."""
    database = Database(database_url)
    statements.watch(database)
    yield database
    await database.close()


@pytest.fixture
def keyring() -> Iterator[Keyring]:
    """A keyring that has the master key, the same as the application's."""
    keyring = unlocked()
    yield keyring
    keyring.close()


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """The settings of the application beside its database. A module may have its own."""
    return SETTINGS


@pytest.fixture
async def app(
    database_url: str, settings: Mapping[str, Any], statements: Statements, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Starlette]:
    """The application, started. Its database is ``app.state.database``.

    It purges nothing by itself, so that nothing is sent but what a test asks for.
    """
    # Only here: a test of the lower layers runs though the upper ones are broken.
    from server import create_app  # noqa: PLC0415
    from settings import Settings  # noqa: PLC0415

    monkeypatch.setattr("server.purging", lambda _database: nullcontext())
    app = create_app(Settings(database_url=database_url, **settings))
    statements.watch(app.state.database)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """Calls the application without a network."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """How many bytes Python has allocated since the test began, and not given back."""
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
    """The committed schema."""
    file = Path(__file__).parents[1] / "schema" / "schema.graphql"
    return file.read_text()
