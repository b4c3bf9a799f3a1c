"""The revision of a database's schema: whether this program can serve it. `db.migrations` changes it.

Apart from it, since Alembic takes 9 MB and a tenth of a second, and mostly there is nothing to do.
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

# Each file of a migration begins with its number.
REVISIONS = sorted(
    file.name[:4] for file in (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
)
ENCODING = "SELECT current_setting('server_encoding')"
_REVISION = "SELECT version_num FROM alembic_version"


class UnfitDatabase(Exception):
    """A database that cannot be served as it is. The message, one line, says why and what to do."""


class MigrationError(Exception):
    """A migration cannot be run, or would leave rows behind that point to nothing. Nothing was changed."""


async def is_current(database: Database) -> bool:
    """Whether a database is at the revision of this program, and not at an earlier one.

    Raises UnfitDatabase, for a later one and for a table that may not be read, too, and StoreUnavailable.
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
        # Rights are looked at though no row is: else a table would be missed only when a request reads it.
        looks = (f"SELECT 1 FROM {name} WHERE false" for name in sorted(metadata.tables))  # noqa: S608
        async with refusing_unfit(), database.read() as session:
            await session.rows(Query(" UNION ALL ".join(looks), ()), {})
    return True


async def require_current(database: Database) -> None:
    """Return if a database is at the revision of this program. Raises UnfitDatabase and StoreUnavailable."""
    if not await is_current(database):
        raise UnfitDatabase("the database is not up to date: run `python server.py migrate`")


def require_known(revision: str, known: list[str]) -> None:
    """Return if a revision is one of those known. Raises UnfitDatabase."""
    if revision not in known:
        raise UnfitDatabase(
            "the database is of a later version of Licensegraph: this one does not know its revision "
            f"{revision}; start that version"
        )


def require_utf8(encoding: object) -> None:
    """Return if this is the encoding that a PostgreSQL database has to have. Raises UnfitDatabase."""
    if encoding != "UTF8":
        raise UnfitDatabase(
            f"the encoding of the database is {encoding}, and has to be UTF8: make another one with "
            "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'"
        )


@asynccontextmanager
async def refusing_unfit() -> AsyncIterator[None]:
    """Raise UnfitDatabase where a statement of the block fails for the rights that the role does not have."""
    try:
        yield
    except (DBAPIError, asyncpg.InsufficientPrivilegeError) as error:
        cause = driver_error(error)
        if not isinstance(cause, asyncpg.InsufficientPrivilegeError):
            raise
        raise UnfitDatabase(
            f"the role of DATABASE_URL lacks a right ({cause.message}): to migrate it has to own the tables "
            "and to have CREATE on the schema, to serve it has to have SELECT, INSERT, UPDATE and DELETE on "
            "every table"
        ) from error
