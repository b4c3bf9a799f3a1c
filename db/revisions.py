"""The revision of a database's schema, and whether this program can serve the database.

`db.migrations` changes the revision. This module does not import Alembic: the import takes 9 MB and a tenth
of a second, and most processes do not migrate.
"""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from sqlalchemy.exc import DBAPIError

from db.engine import Database, driver_error
from db.metadata import metadata
from db.statements import Query

# The name of a migration's file begins with its number.
REVISIONS = sorted(
    file.name[:4] for file in (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
)
ENCODING = "SELECT current_setting('server_encoding')"
_REVISION = "SELECT version_num FROM alembic_version"


class UnfitDatabase(Exception):
    """The database cannot be served in its current state.

    The message is one line that says why and what to do.
    """


class MigrationError(Exception):
    """A migration cannot run, or would leave rows that reference missing rows. Nothing was changed."""


async def is_current(database: Database) -> bool:
    """Return whether a database is at this program's revision, and not at an earlier one.

    Raises StoreUnavailable and PoolerFound. Raises UnfitDatabase if the database is at a later revision, if
    its encoding is not UTF8, or if the role is not permitted to read a table.
    """
    try:
        async with refusing_unfit(), database.read() as session:
            if not database.is_sqlite:
                require_utf8((await session.rows(Query(ENCODING, ()), {}))[0][0])
            rows = await session.rows(Query(_REVISION, ()), {})
    except (sqlite3.OperationalError, asyncpg.UndefinedTableError):
        return False
    if rows:
        require_known(rows[0][0], REVISIONS)
    if not rows or rows[0][0] != REVISIONS[-1]:
        return False
    if not database.is_sqlite:
        # PostgreSQL checks permissions even if a query reads no row, so this finds a missing permission at
        # startup.
        looks = (f"SELECT 1 FROM {name} WHERE false" for name in sorted(metadata.tables))  # noqa: S608
        async with refusing_unfit(), database.read() as session:
            await session.rows(Query(" UNION ALL ".join(looks), ()), {})
    return True


async def require_current(database: Database) -> None:
    """Raise UnfitDatabase unless a database is at this program's revision.

    May also raise StoreUnavailable or PoolerFound.
    """
    if not await is_current(database):
        raise UnfitDatabase("the database is not up to date: run `./licensegraph migrate`")


def require_known(revision: str, known: list[str]) -> None:
    """Raise UnfitDatabase unless a revision is one of the known revisions."""
    if revision not in known:
        raise UnfitDatabase(
            "the database is of a later version of Licensegraph: this one does not know its revision "
            f"{revision}; start that version"
        )


def require_utf8(encoding: object) -> None:
    """Raise UnfitDatabase unless a PostgreSQL database has the required encoding."""
    if encoding != "UTF8":
        raise UnfitDatabase(
            f"the encoding of the database is {encoding}, but it must be UTF8: create another database with "
            "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
        )


@asynccontextmanager
async def refusing_unfit() -> AsyncIterator[None]:
    """Raise UnfitDatabase if a statement in the block fails because the role lacks a permission."""
    try:
        yield
    except (DBAPIError, asyncpg.InsufficientPrivilegeError) as error:
        cause = driver_error(error)
        if not isinstance(cause, asyncpg.InsufficientPrivilegeError):
            raise
        raise UnfitDatabase(
            f"the role of DATABASE_URL lacks a permission ({cause.message}): to migrate, it must own the "
            "tables and have CREATE on the schema; to serve, it must have SELECT, INSERT, UPDATE and DELETE "
            "on every table"
        ) from error
