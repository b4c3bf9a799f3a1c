"""The history of the schema: one, for both databases. A released migration is never edited."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from db.engine import Database

# Any number will do, as long as every process that migrates takes the same lock.
_POSTGRES_LOCK = 4_812_377_310


class MigrationError(Exception):
    """A migration would leave rows behind that point to nothing. Nothing was changed."""


def configuration(connection: Connection) -> Config:
    """Alembic's configuration for a connection that is inside a transaction."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


async def upgrade(url: str, revision: str = "head") -> bool:
    """Bring a database up to date, in one transaction, and say whether there was anything to do.

    Processes that start together take turns: the second finds the work done. Raises StoreUnavailable,
    InvalidDatabaseUrl and MigrationError.
    """
    database = Database(url, pool_size=1, enforce_foreign_keys=False)
    try:
        async with database.write() as session:
            return await session.run_sync(_upgrade, revision)
    finally:
        await database.close()


def _upgrade(connection: Connection, revision: str) -> bool:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _POSTGRES_LOCK})
    before = MigrationContext.configure(connection).get_current_revision()
    if (
        revision == "head"
        and before == ScriptDirectory.from_config(configuration(connection)).get_current_head()
    ):
        return False
    command.upgrade(configuration(connection), revision)
    check_foreign_keys(connection)
    return before != MigrationContext.configure(connection).get_current_revision()


def check_foreign_keys(connection: Connection) -> None:
    """Refuse a SQLite database whose rows point to rows that are gone (foreign keys were off till here)."""
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(5)
        if broken:
            raise MigrationError(
                f"the migration broke references: {', '.join(str(tuple(row)) for row in broken)}"
            )
