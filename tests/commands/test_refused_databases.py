"""When a database cannot be used, the command says why, and what to do."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from starlette.types import Message
from uvicorn.config import STARTUP_FAILURE

from db import migrations
from server import create_app
from settings import Settings
from tests.databases import PostgresTemplate
from tests.keyrings import SETTINGS
from tests.processes import PROGRAM, run

BEHIND = "the database is not up to date: run `./licensegraph migrate`"
AHEAD = (
    "the database is of a later version of Licensegraph: this one does not know its revision 0099; "
    "start that version"
)
RIGHTS = (
    "to migrate, it must own the tables and have CREATE on the schema; to serve, it must have "
    "SELECT, INSERT, UPDATE and DELETE on every table"
)


def execute(url: str, *statements: str) -> None:
    """Run statements on a PostgreSQL database, each in its own transaction."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


@pytest.fixture
def migrated_postgresql(postgresql_template: PostgresTemplate) -> Iterator[str]:
    with postgresql_template.copied() as url:
        yield url


@pytest.fixture
def empty_postgresql(postgresql_template: PostgresTemplate) -> Iterator[str]:
    with postgresql_template.empty() as url:
        yield url


@contextmanager
def role(url: str, worker: str, *grants: str) -> Iterator[str]:
    """Create a role with only these rights, and yield its database URL."""
    name = f"guest_{worker}"
    execute(url, f"CREATE ROLE {name} LOGIN", *(f"GRANT {grant} TO {name}" for grant in grants))
    try:
        yield url.replace("postgres@", f"{name}@")
    finally:
        execute(url, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def set_revision(url: str, revision: str) -> None:
    """Set the schema revision that a database claims to have."""
    statement = text("UPDATE alembic_version SET version_num = :revision")
    asyncio.run(
        migrations.in_transaction(
            url, lambda connection: connection.execute(statement, {"revision": revision}).rowcount
        )
    )


def refused(folder: Path, url: str, *arguments: str) -> str:
    """Run a command that refuses a database, and return its error.

    Checks that the command creates no file in the folder.
    """
    before = sorted(folder.iterdir())

    done = run(folder, *arguments, DATABASE_URL=url)

    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1
    assert sorted(folder.iterdir()) == before
    return done.stderr.removeprefix("licensegraph: ").rstrip("\n")


def refused_by_factory(url: str) -> str:
    """Start the application as other ASGI servers do, and return the startup error that it reports."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    async def start() -> None:
        app = create_app(Settings(database_url=url, **SETTINGS))
        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)

    with pytest.raises(Exception):  # noqa: B017, PT011  (only the message sent to the server is shown)
        asyncio.run(start())
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    return str(sent[0]["message"])


SERVE = ("serve", "--port", "0")
AS_IT_IS = (*SERVE, "--no-migrate")


def test_an_empty_database_is_refused_without_migrating(tmp_path: Path, unmigrated_url: str) -> None:
    assert refused(tmp_path, unmigrated_url, *AS_IT_IS) == BEHIND
    assert refused_by_factory(unmigrated_url) == BEHIND


def test_a_database_of_an_earlier_version_is_refused_without_migrating(
    tmp_path: Path, database_url: str
) -> None:
    asyncio.run(migrations.downgrade(database_url, "0005"))

    assert refused(tmp_path, database_url, *AS_IT_IS) == BEHIND
    assert refused_by_factory(database_url) == BEHIND


@pytest.mark.parametrize("arguments", [("migrate",), SERVE, AS_IT_IS], ids=" ".join)
def test_a_database_of_a_later_version(tmp_path: Path, database_url: str, arguments: tuple[str, ...]) -> None:
    set_revision(database_url, "0099")

    assert refused(tmp_path, database_url, *arguments) == AHEAD
    assert refused_by_factory(database_url) == AHEAD


def test_another_server_program_reports_it_in_its_own_way(tmp_path: Path, unmigrated_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--factory", "server:create_app", "--port", "0"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROGRAM.parent),
            "DATABASE_URL": unmigrated_url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == STARTUP_FAILURE
    said = [line.split(maxsplit=1) for line in done.stderr.splitlines() if not line.startswith("INFO: ")]
    assert said == [["ERROR:", BEHIND], ["ERROR:", "Application startup failed. Exiting."]]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_in_utf_8(
    tmp_path: Path, empty_postgresql: str, worker: str, encoding: str
) -> None:
    name = f"{encoding.lower()}_{worker}"
    url = empty_postgresql.replace(str(make_url(empty_postgresql).database), name, 1)
    said = (
        f"the encoding of the database is {encoding}, but it must be UTF8: create another database with "
        "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
    )
    execute(
        empty_postgresql,
        f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    try:
        assert refused(tmp_path, url, "migrate") == said
        assert refused(tmp_path, url, *SERVE) == said
        assert refused(tmp_path, url, *AS_IT_IS) == said
        assert refused_by_factory(url) == said
    finally:
        execute(empty_postgresql, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("arguments", [("migrate",), SERVE], ids=" ".join)
def test_a_role_that_may_not_create_tables(
    tmp_path: Path, empty_postgresql: str, worker: str, arguments: tuple[str, ...]
) -> None:
    with role(empty_postgresql, worker) as url:
        assert refused(tmp_path, url, *arguments) == (
            f"the role of DATABASE_URL lacks a permission (permission denied for schema public): {RIGHTS}"
        )


@pytest.mark.parametrize(
    ("grants", "table"),
    [
        ((), "alembic_version"),
        (("SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public",), "customers"),
    ],
)
def test_a_role_that_may_not_read_a_table(
    tmp_path: Path, migrated_postgresql: str, worker: str, grants: tuple[str, ...], table: str
) -> None:
    said = f"the role of DATABASE_URL lacks a permission (permission denied for table {table}): {RIGHTS}"
    with role(migrated_postgresql, worker, *grants) as url:
        execute(migrated_postgresql, f"REVOKE ALL ON {table} FROM guest_{worker}")

        assert refused(tmp_path, url, *SERVE) == said
        assert refused(tmp_path, url, *AS_IT_IS) == said
        assert refused_by_factory(url) == said


def test_a_role_that_may_only_read_creates_no_installation(
    tmp_path: Path, migrated_postgresql: str, worker: str
) -> None:
    with role(migrated_postgresql, worker, "SELECT ON ALL TABLES IN SCHEMA public") as url:
        done = run(tmp_path, *SERVE, DATABASE_URL=url)

    assert done.returncode == 1
    assert done.stderr == (
        "licensegraph: the role of DATABASE_URL lacks a permission (permission denied for table master_key): "
        f"{RIGHTS}\n"
    )


def test_a_role_with_the_needed_rights_is_enough(migrated_postgresql: str, worker: str) -> None:
    everything = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
    with role(migrated_postgresql, worker, everything) as url:

        async def start() -> None:
            app = create_app(Settings(database_url=url, **SETTINGS))
            async with app.router.lifespan_context(app):
                pass

        asyncio.run(start())
