"""Migrations: one history of the schema for both databases. A released migration is never edited."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text

from db import postgresql, sqlite
from db.deadlines import UNLIMITED
from db.engine import Database
from db.revisions import ENCODING, MigrationError, refusing_unfit, require_known, require_utf8
from db.urls import parse_url

T = TypeVar("T")

# An arbitrary number: all processes that migrate must use the same lock.
_POSTGRES_LOCK = 4_812_377_310
OTHERS_MIGRATE_MS = 600_000


def configuration(connection: Connection | None = None) -> Config:
    """Return Alembic's configuration.

    Commands that use the database need `connection`, in a transaction that the caller begins and commits.
    """
    config = Config(
        attributes={"connection": connection}, stdout=StringIO()
    )  # Alembic's commands print to this buffer
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(url: str, revision: str = "head", *, pooled: bool = False) -> bool:
    """Bring a database to a revision, by default the newest, in one transaction.

    Returns False if the database was there already. If several processes start together, one of them migrates
    and the others wait for it. `pooled` has the same meaning as in `Database`. Raises StoreUnavailable,
    InvalidDatabaseUrl, PoolerFound, UnfitDatabase and MigrationError.
    """
    try:
        return await in_transaction(url, _upgrade, revision, pooled=pooled)
    except CommandError as error:
        raise MigrationError(str(error)) from error


async def downgrade(url: str, revision: str) -> None:
    """Take a database back to a revision in one transaction. The revision "base" is the empty schema.

    Raises the errors of `in_transaction`, MigrationError if references would break, and Alembic's
    CommandError if the revision does not exist.
    """
    await in_transaction(url, _downgrade, revision)


async def check(url: str) -> None:
    """Compare a migrated database with our tables. Raises Alembic's CommandError if they differ.

    CHECK constraints, predicates of indexes, and collations are not compared here, but in
    tests/db/test_migrations.py.
    """
    await in_transaction(url, _check)


async def in_transaction(url: str, work: Callable[..., T], *arguments: object, pooled: bool = False) -> T:
    """Run a function with a SQLAlchemy connection in one transaction. No other process can migrate meanwhile.

    On SQLite, foreign keys are not enforced, so a migration must end with `check_foreign_keys`. Raises
    StoreUnavailable, InvalidDatabaseUrl, PoolerFound and UnfitDatabase.
    """
    database, parsed = Database(url), parse_url(url)
    engine = (
        sqlite.create_engine(parsed.path, 1, enforce_foreign_keys=False)
        if database.is_sqlite
        else postgresql.create_engine(parsed, 1, UNLIMITED, pooled=pooled, parses_json=True)
    )
    try:
        async with refusing_unfit(), engine.begin() as connection:
            if database.is_sqlite:
                await connection.exec_driver_sql(f"PRAGMA busy_timeout={OTHERS_MIGRATE_MS}")
                await connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                await connection.exec_driver_sql(postgresql.set_locally(parsed, UNLIMITED))
                require_utf8(await connection.scalar(text(ENCODING)))
                await connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _POSTGRES_LOCK}
                )
            return await connection.run_sync(work, *arguments)
    except Exception as error:
        database.raise_if_unavailable(error)
        raise
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, revision: str) -> bool:
    before = MigrationContext.configure(connection).get_current_revision()
    if _is_head(before) and revision == "head":
        return False
    command.upgrade(configuration(connection), revision)
    check_foreign_keys(connection)
    return before != MigrationContext.configure(connection).get_current_revision()


def _is_head(revision: str | None) -> bool:
    """Return whether a revision is the newest.

    Raises UnfitDatabase if this program does not know the revision.
    """
    scripts = ScriptDirectory.from_config(configuration())
    if revision is not None:
        require_known(revision, [script.revision for script in scripts.walk_revisions()])
    return revision == scripts.get_current_head()


def _downgrade(connection: Connection, revision: str) -> None:
    command.downgrade(configuration(connection), revision)
    check_foreign_keys(connection)


def _check(connection: Connection) -> None:
    command.check(configuration(connection))


def check_foreign_keys(connection: Connection) -> None:
    """Raise MigrationError if a SQLite database has rows that reference missing rows."""
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
        if broken:
            raise MigrationError(
                f"the migration broke references: {', '.join(str(tuple(row)) for row in broken)}"
            )
